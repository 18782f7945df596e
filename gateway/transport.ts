/** What HTTP and the websocket have in common: from a request's headers (or a connection's parameters) to a `Context`. */
import type { IncomingHttpHeaders } from 'node:http';
import { parseCookie } from 'cookie';
import { newId } from '../shared/ids.js';
import { Consistency, CONSISTENCY_COOKIE, CONSISTENCY_HEADER, READ_HEADER, WAIT_HEADER } from './consistency.js';
import { Context, type Services, type Transport } from './context.js';
import { fault } from './errors.js';
import { SESSION_COOKIE } from './sessions.js';

/** Headers of HTTP, or the `connectionParams` of a websocket: the same names, any case. */
export type Parameters = Record<string, string | undefined>;

export function parametersOf(source: IncomingHttpHeaders | Record<string, unknown>): Parameters {
  return Object.fromEntries(
    Object.entries(source).flatMap(([name, value]) => {
      const text = Array.isArray(value) ? value.join(',') : value;
      return typeof text === 'string' ? [[name.toLowerCase(), text]] : [];
    }),
  );
}

/**
 * The cookies that count. Those of a page of another origin do not: a browser sends them along, but nobody who is signed in
 * here asked for it. (Clients that are no browsers send no `Origin`.)
 */
export function cookiesOf(headers: IncomingHttpHeaders): Record<string, string | undefined> {
  return isForeign(headers) ? {} : parseCookie(headers.cookie ?? '');
}

export function isForeign({ origin, host }: IncomingHttpHeaders): boolean {
  return origin !== undefined && !(URL.canParse(origin) && new URL(origin).host === host);
}

/**
 * @throws UNAUTHENTICATED for an access token that is none, BAD_TOKEN, BAD_USER_INPUT; UNAVAILABLE before the read side was heard of
 */
export async function createContext(
  services: Services,
  config: { READ_DEADLINE_MS: number },
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
    config.READ_DEADLINE_MS,
  );
  const viewerId = await whoIs(services, parameters.authorization, cookies[SESSION_COOKIE], transport);
  const traceparent = parameters.traceparent && parameters.traceparent.length <= 64 ? parameters.traceparent : null;
  const given = parameters['x-request-id'];

  return new Context(services, viewerId, consistency, given && /^[\w.-]{1,64}$/.test(given) ? given : newId(), traceparent, transport);
}

async function whoIs(
  { sessions }: Services,
  authorization: string | undefined,
  sessionCookie: string | undefined,
  transport: Transport | undefined,
): Promise<string | null> {
  if (authorization !== undefined) {
    const token = /^Bearer +(\S+)$/i.exec(authorization.trim())?.[1];
    const viewerId = token ? await sessions.verify(token) : null;
    if (!viewerId) throw fault('UNAUTHENTICATED', 'The access token is not valid, or has expired.', { http: 401 });

    return viewerId;
  }
  if (!sessionCookie) return null;
  const viewerId = await sessions.verify(sessionCookie);
  // A browser sends it until it is told not to.
  if (!viewerId) transport?.setSession(null);

  return viewerId;
}
