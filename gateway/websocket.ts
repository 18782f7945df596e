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
  parse,
  validate,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  type GraphQLSchema,
} from 'graphql';
import { GRAPHQL_TRANSPORT_WS_PROTOCOL, type SubscribePayload } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';
import { complexityFault } from './complexity.js';
import { CONSISTENCY_HEADER } from './consistency.js';
import { Context, type Services } from './context.js';
import { fault } from './errors.js';
import { GRAPHQL_PATH, PARSE_OPTIONS, presentable } from './http.js';
import { SESSION_COOKIE } from './sessions.js';
import { cookiesOf, createContext, isForeign, parametersOf } from './transport.js';

/** Operations of one socket at a time, at the most. */
const MOST_OPERATIONS = 100;
const MOST_BYTES_IN_A_MESSAGE = 256 * 1024;

/** What a socket has seen: the operations on it are one session, and never go back. */
interface Session {
  token: string | null;
  underWay: number;
}

interface WithSession extends Record<PropertyKey, unknown> {
  session?: Session;
}

export function serveWebsocket(
  server: Server,
  schema: GraphQLSchema,
  services: Services,
  config: { READ_DEADLINE_MS: number; ALLOWED_ORIGINS: string[] },
) {
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (protocols) => protocols.has(GRAPHQL_TRANSPORT_WS_PROTOCOL) && GRAPHQL_TRANSPORT_WS_PROTOCOL,
    maxPayload: MOST_BYTES_IN_A_MESSAGE,
    perMessageDeflate: false,
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const status = refusal(request, config.ALLOWED_ORIGINS);
    if (status) return void socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    sockets.handleUpgrade(request, socket, head, (websocket) => sockets.emit('connection', websocket, request));
  });

  const contextOf = (request: IncomingMessage, params: Record<string, unknown>, session: Session, payload?: SubscribePayload) => {
    const parameters = { ...parametersOf(request.headers), ...parametersOf(params) };
    const extra = payload?.extensions?.[CONSISTENCY_HEADER];
    const tokens = [parameters[CONSISTENCY_HEADER], session.token, typeof extra === 'string' ? extra : null];
    parameters[CONSISTENCY_HEADER] = tokens.filter(Boolean).join(',');

    return createContext(services, config, parameters, cookiesOf(request.headers));
  };
  const sessionOf = (extra: WithSession): Session => (extra.session ??= { token: null, underWay: 0 });

  const graphql = useServer<Record<string, unknown>, WithSession>(
    {
      isProd: true,
      schema,
      connectionInitWaitTimeout: 5_000,
      onConnect: async ({ extra, connectionParams }) => {
        try {
          await contextOf(extra.request, connectionParams ?? {}, sessionOf(extra));
        } catch (error) {
          // Who says a wrong name is not let in (4403); what else is wrong is told to each operation.
          if (error instanceof GraphQLError && error.extensions.code === 'UNAUTHENTICATED') return false;
          if (!(error instanceof GraphQLError)) throw error;
        }

        return true;
      },
      onSubscribe: async ({ extra, connectionParams }, _id, payload) => {
        const session = sessionOf(extra);
        if (session.underWay >= MOST_OPERATIONS) return [fault('OVERLOADED', `At most ${MOST_OPERATIONS} operations run on one socket.`)];
        const checked = check(schema, payload);
        if (Array.isArray(checked)) return checked;
        try {
          const contextValue = await contextOf(extra.request, connectionParams ?? {}, session, payload);
          session.underWay += 1;

          return { schema, document: checked, operationName: payload.operationName, variableValues: payload.variables, contextValue };
        } catch (error) {
          if (error instanceof GraphQLError) return [error];
          throw error;
        }
      },
      subscribe: (args) => subscribeAfresh(args),
      onNext: ({ extra }, _id, _payload, args, result) => {
        const { consistency } = args.contextValue as Context;
        // A frame's own is there already.
        const report = (result.extensions?.consistency as ReturnType<typeof consistency.report> | undefined) ?? consistency.report();
        sessionOf(extra).token = report.token;

        return {
          ...result,
          ...(result.errors ? { errors: result.errors.map((error) => present(error)) } : {}),
          extensions: { ...result.extensions, consistency: report },
        };
      },
      onError: (_, __, ___, errors) => errors.map((error) => present(error)),
      onComplete: ({ extra }) => {
        sessionOf(extra).underWay -= 1;
      },
    },
    sockets,
  );

  /** As over HTTP, without what is meant for HTTP. */
  const present = (error: GraphQLError) => {
    const formatted = error.toJSON();
    const { http: _, ...extensions }: Record<string, unknown> = { code: 'INTERNAL_SERVER_ERROR', ...formatted.extensions };

    return presentable({ ...formatted, extensions }, error, services.log);
  };

  return { stop: () => Promise.resolve(graphql.dispose()) };
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
  const withCode = (error: GraphQLError, code: string) =>
    new GraphQLError(error.message, { nodes: error.nodes, source: error.source, positions: error.positions, extensions: { code } });
  let document: DocumentNode;
  try {
    document = parse(query, PARSE_OPTIONS);
  } catch (error) {
    if (error instanceof GraphQLError) return [withCode(error, 'GRAPHQL_PARSE_FAILED')];
    throw error;
  }
  const invalid = validate(schema, document);
  if (invalid.length > 0) return invalid.map((error) => withCode(error, 'GRAPHQL_VALIDATION_FAILED'));
  if (!getOperationAST(document, operationName)) {
    return [new GraphQLError('Which operation is meant?', { extensions: { code: 'OPERATION_RESOLUTION_FAILURE' } })];
  }
  const tooMuch = complexityFault(schema, document, operationName, variables ?? {});

  return tooMuch ? [tooMuch] : document;
}

/** As graphql-js does it, but each frame is executed with a context of its own: what was loaded for one is not shown in another. */
async function subscribeAfresh(args: ExecutionArgs): Promise<AsyncIterable<ExecutionResult> | ExecutionResult> {
  const source = await createSourceEventStream(args);
  if (!(Symbol.asyncIterator in source)) return source;
  const frames = source[Symbol.asyncIterator]();
  const context = args.contextValue as Context;
  const results: AsyncIterableIterator<ExecutionResult> = {
    next: async () => {
      const frame = await frames.next();
      if (frame.done) return { value: undefined, done: true };
      const contextValue = context.fresh();
      const result = await execute({ ...args, rootValue: frame.value, contextValue });

      return { value: { ...result, extensions: { ...result.extensions, consistency: contextValue.consistency.report() } }, done: false };
    },
    return: async () => {
      await frames.return?.();

      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]: () => results,
  };

  return results;
}
