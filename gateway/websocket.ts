/**
 * GraphQL over websockets: all operations, by the protocol graphql-transport-ws, on the same port and path as HTTP.
 * https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  createSourceEventStream,
  execute,
  GraphQLError,
  getOperationAST,
  getVariableValues,
  parse,
  validate,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  type GraphQLSchema,
} from 'graphql';
import { CloseCode, GRAPHQL_TRANSPORT_WS_PROTOCOL, makeServer, type SubscribePayload } from 'graphql-ws';
import { WebSocketServer, type WebSocket } from 'ws';
import { decodeToken } from '../shared/token.js';
import { pause } from '../shared/follow.js';
import { complexityFault } from './complexity.js';
import { CONSISTENCY_COOKIE, CONSISTENCY_HEADER, type ConsistencyReport } from './consistency.js';
import type { Context, Services } from './context.js';
import { fault, GoneMeanwhile } from './errors.js';
import { GRAPHQL_PATH, logBugs, PARSE_OPTIONS, presentable } from './http.js';
import { SESSION_COOKIE } from './sessions.js';
import { cookiesOf, createContext, isForeign, parametersOf } from './transport.js';

/** Operations of one socket at a time, at the most. */
const MOST_OPERATIONS = 100;
const MOST_BYTES_IN_A_MESSAGE = 256 * 1024;
/** Who asks for more while so much waits to be read does not read at all. */
const MOST_BYTES_UNREAD = 16 * 1024 * 1024;
const INIT_DEADLINE_MS = 5_000;
/** A socket that has not answered one ping by the time of the next is dead. */
const PING_MS = 12_000;
/** For a client to answer that we are going away. */
const CLOSE_DEADLINE_MS = 1_000;

/** Between tries of a frame whose rows are not there yet; each try waits by itself, too. */
const RETRY_MS = 100;

/** Of one socket: the operations on it are one session, and never go back. */
interface Session {
  request: IncomingMessage;
  /** The newest that any of its operations answered with. */
  token: string | null;
  underWay: number;
}

export function serveWebsocket(
  server: Server,
  schema: GraphQLSchema,
  services: Services,
  config: { READ_DEADLINE_MS: number; ALLOWED_ORIGINS: string[] },
) {
  const { log } = services;
  const contextOf = (session: Session, params: Record<string, unknown>, payload?: SubscribePayload) => {
    const { headers } = session.request;
    const parameters = { ...parametersOf(headers), ...parametersOf(params) };
    const extra = payload?.extensions?.[CONSISTENCY_HEADER];
    if (typeof extra === 'string') parameters[CONSISTENCY_HEADER] = [parameters[CONSISTENCY_HEADER], extra].filter(Boolean).join(',');
    // What we remember for a client is like a cookie: one of another epoch is nobody's fault, and forgotten.
    const cookies = cookiesOf(headers);
    if (session.token) cookies[CONSISTENCY_COOKIE] = session.token;

    return createContext(services, config, parameters, cookies);
  };

  const protocol = makeServer<Record<string, unknown>, Session>({
    schema,
    connectionInitWaitTimeout: INIT_DEADLINE_MS,
    onConnect: async ({ extra: session, connectionParams }) => {
      try {
        await contextOf(session, connectionParams ?? {});
      } catch (error) {
        // Who says a wrong name is not let in (4403); what else is wrong is told to each operation.
        if (error instanceof GraphQLError && error.extensions.code === 'UNAUTHENTICATED') return false;
        if (!(error instanceof GraphQLError)) throw error;
      }

      return true;
    },
    onSubscribe: async ({ extra: session, connectionParams }, _id, payload) => {
      if (session.underWay >= MOST_OPERATIONS) return [fault('OVERLOADED', `At most ${MOST_OPERATIONS} operations run on one socket.`)];
      const checked = check(schema, payload);
      if (Array.isArray(checked)) return checked;
      // Before anything is waited for: messages come without waiting for each other.
      session.underWay += 1;
      try {
        const contextValue = await contextOf(session, connectionParams ?? {}, payload);

        return { schema, document: checked, operationName: payload.operationName, variableValues: payload.variables, contextValue };
      } catch (error) {
        session.underWay -= 1;
        if (error instanceof GraphQLError) return [error];
        throw error;
      }
    },
    subscribe: (args) => subscribeAfresh(args),
    onNext: ({ extra: session }, _id, _payload, args, result) => {
      const context = args.contextValue as Context;
      // A frame's own is there already.
      const consistency = (result.extensions?.consistency as ConsistencyReport | undefined) ?? context.consistency.report();
      session.token = newer(session.token, consistency.token);
      logBugs(result.errors ?? [], log, context.correlationId);

      return {
        ...result,
        ...(result.errors ? { errors: result.errors.map((error) => present(error)) } : {}),
        extensions: { ...result.extensions, consistency },
      };
    },
    onError: (_, __, ___, errors) => {
      logBugs(errors, log);

      return errors.map((error) => present(error));
    },
    onComplete: ({ extra: session }) => {
      session.underWay -= 1;
    },
  });

  /** As over HTTP, without what is meant for HTTP. */
  const present = (error: GraphQLError) => {
    const formatted = error.toJSON();
    const { http: _, ...extensions }: Record<string, unknown> = { code: 'INTERNAL_SERVER_ERROR', ...formatted.extensions };

    return presentable({ ...formatted, extensions }, error);
  };

  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (protocols) => protocols.has(GRAPHQL_TRANSPORT_WS_PROTOCOL) && GRAPHQL_TRANSPORT_WS_PROTOCOL,
    maxPayload: MOST_BYTES_IN_A_MESSAGE,
    perMessageDeflate: false,
  });
  const serve = (websocket: WebSocket, request: IncomingMessage) => {
    const failed = (error: Error) => {
      // One that only servers send; everything else that a client can do wrong is dealt with inside.
      if (error.message.startsWith('Unexpected message of type')) return websocket.close(CloseCode.BadRequest, 'Invalid message received');
      log.error({ err: error }, 'a bug in a websocket operation');
      websocket.close(CloseCode.InternalServerError, 'Internal server error');
    };
    const closed = protocol.opened(
      {
        protocol: websocket.protocol,
        // Settles when it is on its way, so that a slow reader holds back what is sent to it. To who has gone, nothing is sent.
        send: (data) => new Promise((resolve) => websocket.send(data, () => resolve())),
        close: (code, reason) => websocket.close(code, reason),
        onMessage: (handle) =>
          websocket.on('message', (data: Buffer) => {
            if (websocket.bufferedAmount > MOST_BYTES_UNREAD) websocket.terminate();
            else handle(data.toString()).catch(failed);
          }),
      },
      { request, token: null, underWay: 0 },
    );
    let isAlive = true;
    websocket.on('pong', () => (isAlive = true));
    const heart = setInterval(() => {
      if (!isAlive) return websocket.terminate();
      isAlive = false;
      websocket.ping();
    }, PING_MS);
    websocket.on('error', (error) => log.debug({ err: error }, 'a websocket failed'));
    websocket.once('close', (code, reason) => {
      clearInterval(heart);
      closed(code, reason.toString()).catch(failed);
    });
  };
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const status = refusal(request, config.ALLOWED_ORIGINS);
    if (!status) return sockets.handleUpgrade(request, socket, head, serve);
    // It may have gone before it could be told.
    socket.on('error', (error) => log.debug({ err: error }, 'a refused upgrade failed'));
    socket.once('finish', () => socket.destroy());
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  });

  return {
    /** Closes all sockets, with or without the client's consent. */
    stop: async () => {
      const gone = new Promise((resolve) => sockets.close(resolve));
      for (const websocket of sockets.clients) websocket.close(1001, 'Going away');
      const deadline = setTimeout(() => sockets.clients.forEach((websocket) => websocket.terminate()), CLOSE_DEADLINE_MS);
      await gone;
      clearTimeout(deadline);
    },
  };
}

/** The one of two tokens that says more; of different epochs, the second. */
function newer(known: string | null, token: string): string {
  if (known === null) return token;
  const [a, b] = [decodeToken(known), decodeToken(token)];

  return a.epoch === b.epoch && a.position > b.position ? known : token;
}

/** The status line for an upgrade that is refused. */
function refusal(request: IncomingMessage, allowedOrigins: string[]): string | null {
  if (request.url?.split('?')[0] !== GRAPHQL_PATH) return '404 Not Found';
  const { origin, cookie = '' } = request.headers;
  // A page of another origin cannot be kept from sending our cookie along, so then it does not get in at all.
  if (isForeign(request.headers) && cookie.includes(`${SESSION_COOKIE}=`) && !allowedOrigins.includes(origin!)) return '403 Forbidden';

  return null;
}

/** The document, or what is wrong with it: told to this operation, while the others of the socket go on. */
function check(schema: GraphQLSchema, { query, operationName, variables }: SubscribePayload): DocumentNode | GraphQLError[] {
  const withCode = (code: string) => (error: GraphQLError) =>
    new GraphQLError(error.message, { nodes: error.nodes, source: error.source, positions: error.positions, extensions: { code } });
  let document: DocumentNode;
  try {
    document = parse(query, PARSE_OPTIONS);
  } catch (error) {
    if (error instanceof GraphQLError) return [withCode('GRAPHQL_PARSE_FAILED')(error)];
    throw error;
  }
  const invalid = validate(schema, document);
  if (invalid.length > 0) return invalid.map(withCode('GRAPHQL_VALIDATION_FAILED'));
  const operation = getOperationAST(document, operationName);
  if (!operation) return [new GraphQLError('Which operation is meant?', { extensions: { code: 'OPERATION_RESOLUTION_FAILURE' } })];
  const wrong = getVariableValues(schema, operation.variableDefinitions ?? [], variables ?? {}).errors ?? [];
  if (wrong.length > 0) return wrong.map(withCode('BAD_USER_INPUT'));
  const tooMuch = complexityFault(schema, document, operationName, variables ?? {});

  return tooMuch ? [tooMuch] : document;
}

/** Has it failed for nothing but what passes? */
const isRetryable = ({ errors }: ExecutionResult) =>
  errors !== undefined && errors.length > 0 && errors.every(({ extensions }) => extensions.retryable === true);

/** Is it about what is no longer there? Then there is nothing to tell. */
const isGone = ({ errors = [] }: ExecutionResult) => errors.some(({ originalError }) => originalError instanceof GoneMeanwhile);

/** As graphql-js does it, but each frame is executed with a context of its own: what was loaded for one is not shown in another. */
async function subscribeAfresh(args: ExecutionArgs): Promise<AsyncIterable<ExecutionResult> | ExecutionResult> {
  const source = await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) return source;
  const frames = source[Symbol.asyncIterator]();
  const context = args.contextValue as Context;
  const stop = new AbortController();
  const results: AsyncIterableIterator<ExecutionResult> = {
    next: async () => {
      for (;;) {
        const frame = await frames.next();
        if (frame.done) return { value: undefined, done: true };
        let contextValue = context.fresh();
        let result = await execute({ ...args, rootValue: frame.value, contextValue });
        // A frame that is lost is never told again, so it waits for the rows that it needs, and those behind it wait with it.
        while (isRetryable(result) && !stop.signal.aborted) {
          await pause(RETRY_MS, stop.signal);
          contextValue = context.fresh();
          result = await execute({ ...args, rootValue: frame.value, contextValue });
        }
        if (isGone(result)) continue;

        return { value: { ...result, extensions: { ...result.extensions, consistency: contextValue.consistency.report() } }, done: false };
      }
    },
    return: async () => {
      stop.abort();
      await frames.return?.();

      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]: () => results,
  };

  return results;
}
