/**
 * GraphQL over websockets: all operations, by the protocol graphql-transport-ws, on the same port and path as HTTP.
 * https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { getOperationAST, GraphQLError, OperationTypeNode, type ExecutionArgs, type ExecutionResult, type GraphQLSchema } from 'graphql';
import { CloseCode, GRAPHQL_TRANSPORT_WS_PROTOCOL, makeServer, type SubscribePayload } from 'graphql-ws';
import { WebSocketServer, type WebSocket } from 'ws';
import { encodeToken, type Token } from '../shared/token.js';
import { CONSISTENCY_COOKIE, CONSISTENCY_HEADER } from './consistency.js';
import type { Context, Services } from './context.js';
import { fault, unauthenticated } from './errors.js';
import { logBugs } from './http.js';
import { isTooDeep, MAX_JSON_LEVELS } from './json.js';
import { nameOf, type Operations } from './operations.js';
import type { ClientAddress, Origins } from './origins.js';
import { GRAPHQL_PATH } from './requests.js';
import { SESSION_COOKIE } from './sessions.js';
import { answer, newer, present, type Shown, type Subscriptions } from './subscriptions.js';
import { cookiesIn, cookiesOf, createContext, parametersOf, type Parameters } from './transport.js';

/** Operations of one socket at a time, at the most. */
const MOST_OPERATIONS = 100;
const MOST_BYTES_IN_A_MESSAGE = 256 * 1024;
/** Who asks for more while so much waits to be read does not read at all. */
const MOST_BYTES_UNREAD = 16 * 1024 * 1024;
/** Of all sockets together: beyond that, those who have left most unread are closed. */
const MOST_BYTES_UNREAD_IN_ALL = 256 * 1024 * 1024;
const UNREAD_LOOK_MS = 1_000;
const MOST_SOCKETS = 10_000;
const INIT_DEADLINE_MS = 5_000;
/** A socket that has not answered one ping by the time of the next is dead; one that is slow to read may not have come to it yet. */
const PING_MS = 12_000;
const MOST_PINGS_UNREAD = 10;
/** For a client to answer that we are going away. */
const CLOSE_DEADLINE_MS = 1_000;
/** A close frame has room for so much UTF-8 besides its code (RFC 6455, 5.5): `ws` throws when a reason is longer. */
const MAX_REASON_BYTES = 123;
/** A timer takes no more: about 24 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Of one socket: the operations on it are one session, and never go back. */
interface Session {
  address: ClientAddress;
  /** What it was opened with: a page of another origin has no cookies here. */
  parameters: Parameters;
  cookies: Record<string, string | undefined>;
  /** The newest that any of its operations answered with. */
  newest: Token | null;
  shown: Shown;
  /** By id, what to call when it is done. */
  underWay: Map<string, () => void>;
  /** Settles, if it cannot be on its way at once, when it is. */
  send(message: string): Promise<void> | undefined;
  /** Ends it when its access token runs out. */
  expire(atMs: number): void;
}

/** Sends a subscription's answers as they come, and brings none of them: they are written already, once for many sockets. */
type Operation = ExecutionArgs & { id: string; session: Session };

export function serveWebsocket(
  server: Server,
  schema: GraphQLSchema,
  { services, operations, subscriptions }: { services: Services; operations: Operations; subscriptions: Subscriptions },
) {
  const { log, origins } = services;
  /** @throws UNAUTHENTICATED for an access token that is no good, and as `createContext` */
  const contextOf = async (session: Session, params: Record<string, unknown>, payload?: SubscribePayload) => {
    const parameters = { ...session.parameters, ...parametersOf(params) };
    const extra = payload?.extensions?.[CONSISTENCY_HEADER];
    if (typeof extra === 'string') parameters[CONSISTENCY_HEADER] = [parameters[CONSISTENCY_HEADER], extra].filter(Boolean).join(',');
    // What we remember for a client is like a cookie: one of another epoch is nobody's fault, and forgotten.
    const cookies = session.newest ? { ...session.cookies, [CONSISTENCY_COOKIE]: encodeToken(session.newest) } : session.cookies;

    const context = await createContext(services, session.address, parameters, cookies);
    if (context.authentication) throw unauthenticated(context.authentication);

    return context;
  };

  const protocol = makeServer<Record<string, unknown>, Session>({
    schema,
    connectionInitWaitTimeout: INIT_DEADLINE_MS,
    onConnect: async ({ extra: session, connectionParams }) => {
      try {
        const { expiresAtMs } = await contextOf(session, connectionParams ?? {});
        if (expiresAtMs !== null) session.expire(expiresAtMs);
      } catch (error) {
        // Who says a wrong name is not let in (4403); what else is wrong is told to each operation.
        if (error instanceof GraphQLError && error.extensions.code === 'UNAUTHENTICATED') return false;
        if (!(error instanceof GraphQLError)) throw error;
      }

      return true;
    },
    onSubscribe: async ({ extra: session, connectionParams }, id, payload) => {
      if (session.underWay.size >= MOST_OPERATIONS)
        return [fault('OVERLOADED', `At most ${MOST_OPERATIONS} operations run on one socket.`)];
      const operationName = nameOf(payload.operationName);
      const checked = operations.check(payload);
      if (Array.isArray(checked)) return checked;
      // Before anything is waited for: messages come without waiting for each other.
      session.underWay.set(id, () => undefined);
      try {
        // A subscription is bounded by its socket; what it begins with is one read.
        const isLive = getOperationAST(checked, operationName)!.operation === OperationTypeNode.SUBSCRIPTION;
        await (isLive ? services.work.turnToSubscribe() : services.work.turn());
        if (!isLive) session.underWay.set(id, services.work.begin(1));
        const contextValue = await contextOf(session, connectionParams ?? {}, payload);
        // When it was opened, that may not have been known.
        if (contextValue.expiresAtMs !== null) session.expire(contextValue.expiresAtMs);
        const { variables: variableValues } = payload;
        const operation: Operation = { schema, document: checked, operationName, variableValues, contextValue, id, session };

        return operation;
      } catch (error) {
        ended(session, id);
        if (error instanceof GraphQLError) return [error];
        throw error;
      }
    },
    subscribe: (args) => deliver(args as Operation),
    onNext: ({ extra: session }, _id, _payload, args, result) => {
      const told = answer(result, args.contextValue as Context);
      session.newest = newer(session.newest, told.newest);
      session.shown.at = performance.now();

      return told.payload(session.newest);
    },
    onError: (_, __, ___, errors) => {
      logBugs(errors, log);

      return errors.map((error) => present(error));
    },
    onComplete: ({ extra: session }, id) => ended(session, id),
  });

  const ended = ({ underWay }: Session, id: string) => {
    underWay.get(id)?.();
    underWay.delete(id);
  };

  /** Settles with what is wrong, or with a source that sends each answer by itself and ends after the last. */
  function deliver({ id, session, ...args }: Operation): Promise<AsyncIterableIterator<never> | ExecutionResult> {
    const head = `{"id":${JSON.stringify(id)},"type":"next","payload":`;

    return subscriptions.subscribe(args, session.shown, (answer) => {
      session.newest = newer(session.newest, answer.newest);

      return session.send(`${head}${answer.json(session.newest)}}`);
    });
  }

  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (protocols) => protocols.has(GRAPHQL_TRANSPORT_WS_PROTOCOL) && GRAPHQL_TRANSPORT_WS_PROTOCOL,
    maxPayload: MOST_BYTES_IN_A_MESSAGE,
    perMessageDeflate: false,
  });
  const unanswered = new WeakMap<WebSocket, number>();
  const heart = setInterval(() => {
    for (const websocket of sockets.clients) {
      const pings = unanswered.get(websocket) ?? 0;
      if (pings >= (websocket.bufferedAmount > 0 ? MOST_PINGS_UNREAD : 1)) websocket.terminate();
      unanswered.set(websocket, pings + 1);
      websocket.ping();
    }
  }, PING_MS);
  const watch = setInterval(() => {
    let unread = 0;
    for (const { bufferedAmount } of sockets.clients) unread += bufferedAmount;
    if (unread <= MOST_BYTES_UNREAD_IN_ALL) return;
    log.warn({ unread }, 'too much waits to be read by websockets, closing those who read least');
    for (const websocket of [...sockets.clients].sort((a, b) => b.bufferedAmount - a.bufferedAmount)) {
      if (unread <= MOST_BYTES_UNREAD_IN_ALL / 2) break;
      unread -= websocket.bufferedAmount;
      websocket.terminate();
    }
  }, UNREAD_LOOK_MS);
  const serve = (websocket: WebSocket, request: IncomingMessage) => {
    const close: Close = (code, reason) => websocket.close(code, reason && cut(reason));
    // No listener below may throw: nobody is there to catch it, and the process would end.
    const failed = (error: unknown) => {
      // One that only servers send; everything else that a client can do wrong is dealt with inside.
      if (error instanceof Error && error.message.startsWith('Unexpected message of type'))
        return close(CloseCode.BadRequest, 'Invalid message received');
      log.error({ err: error }, 'a bug in a websocket operation');
      close(CloseCode.InternalServerError, 'Internal server error');
    };
    // While the one before is not on its way, this one waits for that, so that a slow reader holds back what is sent to it. To who has
    // gone, nothing is sent.
    const send = (message: string) => {
      if (websocket.bufferedAmount > 0) return new Promise<void>((resolve) => websocket.send(message, () => resolve()));
      websocket.send(message);
    };
    const cutOffUnread = () => {
      const isFull = websocket.bufferedAmount > MOST_BYTES_UNREAD;
      if (isFull) websocket.terminate();

      return isFull;
    };
    let expiry: NodeJS.Timeout | undefined;
    const session: Session = {
      address: origins.addressOf(request),
      parameters: parametersOf(request.headers),
      cookies: cookiesOf(origins, request),
      newest: null,
      shown: { at: 0 },
      underWay: new Map(),
      send,
      expire: (atMs) => {
        clearTimeout(expiry);
        if (websocket.readyState !== websocket.OPEN) return;
        const leftMs = atMs - Date.now();
        if (leftMs <= 0) return close(CloseCode.Forbidden, 'The access token has expired');
        expiry = setTimeout(() => session.expire(atMs), Math.min(leftMs, LONGEST_TIMER_MS));
      },
    };
    const closed = protocol.opened(
      {
        protocol: websocket.protocol,
        send,
        close,
        onMessage: (handle) => {
          const take = inTurn(websocket, handle, close, failed);
          websocket.on('message', (data: Buffer) => {
            // What comes behind the message for which it is closed has no effect.
            if (cutOffUnread() || websocket.readyState !== websocket.OPEN) return;
            try {
              const message = data.toString();
              if (isTooDeep(message)) close(CloseCode.BadRequest, `At most ${MAX_JSON_LEVELS} levels are in a message`);
              else take(message);
            } catch (error) {
              failed(error);
            }
          });
        },
      },
      session,
    );
    websocket.on('ping', cutOffUnread);
    websocket.on('pong', () => unanswered.delete(websocket));
    websocket.on('error', (error) => log.debug({ err: error }, 'a websocket failed'));
    websocket.once('close', (code, reason) => {
      clearTimeout(expiry);
      closed(code, reason.toString()).catch(failed);
    });
  };
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // It may go before it is told anything.
    socket.on('error', (error) => log.debug({ err: error }, 'an upgrade failed'));
    let status: string | null;
    try {
      status = sockets.clients.size >= MOST_SOCKETS ? '503 Service Unavailable' : refusal(request, origins);
      if (!status) return sockets.handleUpgrade(request, socket, head, serve);
    } catch (error) {
      log.error({ err: error }, 'a bug in an upgrade');
      return void socket.destroy();
    }
    socket.once('finish', () => socket.destroy());
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  });

  return {
    /** Closes all sockets, with or without the client's consent. */
    stop: async () => {
      clearInterval(heart);
      clearInterval(watch);
      const gone = new Promise((resolve) => sockets.close(resolve));
      for (const websocket of sockets.clients) websocket.close(1001, 'Going away');
      const deadline = setTimeout(() => sockets.clients.forEach((websocket) => websocket.terminate()), CLOSE_DEADLINE_MS);
      await gone;
      clearTimeout(deadline);
    },
  };
}

type Close = (code: number, reason?: string) => void;

/** As many whole characters of a reason as fit into a close frame: graphql-ws puts a client's ids into its own. */
function cut(reason: string): string {
  const bytes = Buffer.from(reason);

  // With `stream`, a character that is not whole at the end is left out.
  return bytes.length <= MAX_REASON_BYTES ? reason : new TextDecoder().decode(bytes.subarray(0, MAX_REASON_BYTES), { stream: true });
}

/**
 * graphql-ws knows an operation by its id alone, and mixes up one that was completed and has not quite ended with the next of that
 * id: the one's last answer is sent as the other's, and the end of the one is taken for the end of the other. So that one waits.
 */
function inTurn(
  websocket: WebSocket,
  handle: (message: string) => Promise<void>,
  close: Close,
  failed: (error: unknown) => void,
): (message: string) => void {
  const operations = new Map<string, { isCompleted: boolean; next: string | null }>();
  const pass = (message: string) => handle(message).catch(failed);
  const begin = (id: string, message: string) => {
    const operation = { isCompleted: false, next: null as string | null };
    operations.set(id, operation);
    void pass(message).then(() => {
      operations.delete(id);
      if (operation.next !== null && websocket.readyState === websocket.OPEN) begin(id, operation.next);
    });
  };

  return (message) => {
    const { type, id } = headOf(message);
    const before = id === undefined ? undefined : operations.get(id);
    if (type === 'subscribe' && id !== undefined && !before) {
      begin(id, message);
    } else if (type === 'subscribe' && before?.isCompleted) {
      if (before.next !== null) close(CloseCode.SubscriberAlreadyExists, `Subscriber for ${id} already exists`);
      before.next = message;
    } else if (type === 'complete' && before) {
      // The one that waits has not even begun.
      if (before.next === null) void pass(message);
      before.next = null;
      before.isCompleted = true;
    } else {
      void pass(message);
    }
  };
}

/** Of a message that graphql-ws will look at more closely. */
function headOf(message: string): { type?: unknown; id?: string } {
  try {
    const { type, id } = JSON.parse(message) as { type?: unknown; id?: unknown };

    return typeof id === 'string' ? { type, id } : { type };
  } catch {
    return {};
  }
}

/** The status line for an upgrade that is refused. */
function refusal(request: IncomingMessage, origins: Origins): string | null {
  const { url = '', headers } = request;
  // A target may be a whole URL (RFC 9112, section 3.2.2), of which Host says the rest.
  const path = url.replace(/^https?:\/\/[^/?]*/i, '').split('?')[0];
  if (path !== GRAPHQL_PATH && path !== `${GRAPHQL_PATH}/`) return '404 Not Found';
  // A page of another origin cannot be kept from sending our cookie along, so then it does not get in at all.
  const hasSession = headers.cookie !== undefined && cookiesIn(headers.cookie)[SESSION_COOKIE] !== undefined;
  if (!hasSession || origins.isOwn(request)) return null;
  const isAllowed = origins.isAllowed(headers.origin);
  origins.explain(request, isAllowed ? 'The cookies of a websocket were ignored' : 'A websocket was refused with 403');

  return isAllowed ? null : '403 Forbidden';
}
