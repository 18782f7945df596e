/** What HTTP and the websocket have in common: from a request's headers (or a connection's parameters) to a `Context`. */
import type { IncomingHttpHeaders } from 'node:http';
import { parseCookie } from 'cookie';
import type { GraphQLError } from 'graphql';
import { newId } from '../shared/ids.js';
import type { Presence } from './presence.js';
import { Consistency, CONSISTENCY_COOKIE, CONSISTENCY_HEADER, READ_HEADER, WAIT_HEADER, type WaitingRoom } from './consistency.js';
import { Context, type Services, type Transport } from './context.js';
import { authenticationOf, type Authentication } from './errors.js';
import { siteOf, type ClientAddress, type IncomingRequest, type Origins } from './origins.js';
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

/** The cookies that count, which are none of those of a page that is not ours: a browser sends them along, but nobody who is signed in here asked for it. */
export function cookiesOf(origins: Origins, request: IncomingRequest): Record<string, string | undefined> {
  const { cookie } = request.headers;
  if (!cookie || !origins.isOwn(request)) return {};

  return cookiesIn(cookie, origins.isSecure(request));
}

/**
 * By their plain names. Over HTTPS a cookie counts only by its name for HTTPS: another one may be of anybody who can set cookies for a domain
 * above, or over HTTP. Where it is not known whether it is HTTPS, one that has that name takes precedence.
 */
export function cookiesIn(header: string, isSecure: boolean): Record<string, string | undefined> {
  const cookies = parseCookie(header);
  const named = (name: string) => unquoted(cookies[cookieName(name, true)] ?? (isSecure ? undefined : cookies[name]));

  return { [SESSION_COOKIE]: named(SESSION_COOKIE), [CONSISTENCY_COOKIE]: named(CONSISTENCY_COOKIE) };
}

/** The name of a cookie. With that prefix browsers take it over HTTPS only, and from nobody but this very host. */
export const cookieName = (name: string, isSecure: boolean): string => (isSecure ? `__Host-${name}` : name);

/** The grammar allows quotes around a value (RFC 6265, section 4.1.1). */
const unquoted = (value: string | undefined) => value?.replace(/^"(.*)"$/, '$1');

/** Does somebody say who they are, whether it is true or not? */
export const hasCredentials = ({ authorization }: Parameters, cookies: Record<string, string | undefined>): boolean =>
  authorization !== undefined || cookies[SESSION_COOKIE] !== undefined;

/** Nothing is done for who does not say who they are, while their address has used up what it may. Null otherwise. */
export function refusalOfNobody(
  { rates, origins }: Services,
  request: IncomingRequest & { headers: IncomingHttpHeaders },
): GraphQLError | null {
  const address = origins.addressOf(request);
  const refusal = rates.areFor(address) ? rates.refusalOfUsedUp({ address, accountId: null, cost: null }) : null;
  if (!refusal || hasCredentials(parametersOf(request.headers), cookiesOf(origins, request))) return null;
  if (origins.isForwardedInVain(request)) rates.suspectProxy(address);

  return refusal;
}

/** Where the operations of one client wait for the projections. */
class RoomOfClient implements WaitingRoom {
  constructor(
    private readonly services: Services,
    private readonly address: ClientAddress,
    private readonly presence: Presence,
  ) {}

  enter(): (() => void) | null {
    return this.services.waiting.take(siteOf(this.address.network), this.presence.client);
  }

  get isLeft(): boolean {
    return this.presence.isGone;
  }
}

/** @throws BAD_TOKEN, BAD_USER_INPUT; UNAVAILABLE before the read side was heard of */
export async function createContext(
  services: Services,
  address: ClientAddress,
  parameters: Parameters,
  cookies: Record<string, string | undefined>,
  presence: Presence,
  transport: Transport | null = null,
): Promise<Context> {
  const { epoch } = services.reads.space;
  const room = new RoomOfClient(services, address, presence);
  const consistency = Consistency.of(
    {
      header: parameters[CONSISTENCY_HEADER],
      cookie: cookies[CONSISTENCY_COOKIE],
      read: parameters[READ_HEADER],
      waitMs: parameters[WAIT_HEADER],
    },
    epoch,
    services.readDeadlineMs,
    (position) => services.progress.isPossible(position),
    room,
  );
  const { viewer, authentication } = await whoIs(services, parameters.authorization, cookies[SESSION_COOKIE], transport);
  const traceparent = TRACEPARENT.test(parameters.traceparent ?? '') ? parameters.traceparent! : null;
  const given = parameters['x-request-id'];
  const correlationId = given && /^[\w.-]{1,64}$/.test(given) ? given : newId();

  return new Context(services, address, viewer, consistency, correlationId, traceparent, transport, authentication, presence);
}

interface Identity {
  viewer: Viewer | null;
  authentication: Authentication | null;
}

/** An access token that is no good makes it nobody's operation, and is reported: nobody is to be kept from signing in by what has expired. */
async function whoIs(
  { sessions }: Services,
  authorization: string | undefined,
  sessionCookie: string | undefined,
  transport: Transport | null,
): Promise<Identity> {
  // Clients send an empty one when nobody is signed in.
  const [scheme, ...credentials] = authorization?.split(/[ \t]+/).filter(Boolean) ?? [];
  // Another scheme is that of a proxy, which is no reason to leave the cookie aside.
  if (scheme !== undefined && (scheme.toLowerCase() === 'bearer' || !sessionCookie)) {
    const isToken = scheme.toLowerCase() === 'bearer' && credentials.length === 1;
    const verified = isToken ? await sessions.verify(credentials[0]!) : 'TOKEN_INVALID';

    return typeof verified === 'string'
      ? { viewer: null, authentication: authenticationOf(verified) }
      : { viewer: verified, authentication: null };
  }
  if (!sessionCookie) return { viewer: null, authentication: null };
  const verified = await sessions.verify(sessionCookie);
  if (typeof verified !== 'string') return { viewer: verified, authentication: null };
  // A browser sends it until it is told not to.
  transport?.setSession(null);

  return { viewer: null, authentication: null };
}
