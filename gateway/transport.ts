/** What HTTP and the websocket have in common: from a request's headers (or a connection's parameters) to a `Context`. */
import type { IncomingHttpHeaders } from 'node:http';
import { parseCookie } from 'cookie';
import { newId } from '../shared/ids.js';
import { Consistency, CONSISTENCY_COOKIE, CONSISTENCY_HEADER, READ_HEADER, WAIT_HEADER } from './consistency.js';
import { Context, type Services, type Transport } from './context.js';
import { fault } from './errors.js';
import { SESSION_COOKIE, type Viewer } from './sessions.js';

/** Headers of HTTP, or the `connectionParams` of a websocket, that mean something here: the same names, any case. */
const PARAMETERS = ['authorization', CONSISTENCY_HEADER, READ_HEADER, WAIT_HEADER, 'x-request-id', 'traceparent'];
/** https://www.w3.org/TR/trace-context/#traceparent-header: it goes into the journal, so nothing else may come in by it. */
const TRACEPARENT = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/;
export type Parameters = Record<string, string | undefined>;

export function parametersOf(source: IncomingHttpHeaders | Record<string, unknown>): Parameters {
  const parameters: Parameters = {};
  for (const [name, value] of Object.entries(source)) {
    // In a socket's parameters there may be anything, which need not have a text.
    const values: unknown[] = Array.isArray(value) ? value : [value];
    const isText = values.every((one) => typeof one === 'string' || typeof one === 'number');
    const text = isText && values.join(',');
    if (typeof text === 'string' && PARAMETERS.includes(name.toLowerCase())) parameters[name.toLowerCase()] = text;
  }

  return parameters;
}

/**
 * The cookies that count. Those of a page of another origin do not: a browser sends them along, but nobody who is signed in
 * here asked for it. (Clients that are no browsers send no `Origin`.)
 */
export function cookiesOf(headers: IncomingHttpHeaders): Record<string, string | undefined> {
  if (isForeign(headers) || !headers.cookie) return {};
  const cookies = parseCookie(headers.cookie);

  return { [SESSION_COOKIE]: cookies[SESSION_COOKIE], [CONSISTENCY_COOKIE]: cookies[CONSISTENCY_COOKIE] };
}

export function isForeign({ origin, host }: IncomingHttpHeaders): boolean {
  return origin !== undefined && !(URL.canParse(origin) && new URL(origin).host === host);
}

/**
 * @throws UNAUTHENTICATED for an access token that is none, BAD_TOKEN, BAD_USER_INPUT; UNAVAILABLE before the read side was heard of
 */
export async function createContext(
  services: Services,
  parameters: Parameters,
  cookies: Record<string, string | undefined>,
  transport?: Transport,
): Promise<Context> {
  const { epoch } = services.reads.space;
  const consistency = Consistency.of(
    {
      header: parameters[CONSISTENCY_HEADER],
      cookie: cookies[CONSISTENCY_COOKIE],
      read: parameters[READ_HEADER],
      waitMs: parameters[WAIT_HEADER],
    },
    epoch,
    services.readDeadlineMs,
  );
  const viewer = await whoIs(services, parameters.authorization, cookies[SESSION_COOKIE], transport);
  const traceparent = TRACEPARENT.test(parameters.traceparent ?? '') ? parameters.traceparent! : null;
  const given = parameters['x-request-id'];

  return new Context(services, viewer, consistency, given && /^[\w.-]{1,64}$/.test(given) ? given : newId(), traceparent, transport);
}

async function whoIs(
  { sessions }: Services,
  authorization: string | undefined,
  sessionCookie: string | undefined,
  transport: Transport | undefined,
): Promise<Viewer | null> {
  if (authorization !== undefined) {
    const token = /^Bearer +(\S+)$/i.exec(authorization.trim())?.[1];
    const viewer = token ? await sessions.verify(token) : null;
    if (!viewer) throw fault('UNAUTHENTICATED', 'The access token is not valid, or has expired.', { http: 401 });

    return viewer;
  }
  if (!sessionCookie) return null;
  const viewer = await sessions.verify(sessionCookie);
  // A browser sends it until it is told not to.
  if (!viewer) transport?.setSession(null);

  return viewer;
}
