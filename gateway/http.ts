/** GraphQL over HTTP: Apollo Server, and what it is told about our contract. https://graphql.github.io/graphql-over-http/draft/ */
import { ApolloServer, type ApolloServerPlugin } from '@apollo/server';
import { ApolloServerPluginCacheControlDisabled, ApolloServerPluginLandingPageDisabled } from '@apollo/server/plugin/disabled';
import { fastifyApolloHandler } from '@as-integrations/fastify';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler, RouteHandlerMethod } from 'fastify';
import { GraphQLError, OperationTypeNode, type GraphQLFormattedError, type GraphQLSchema } from 'graphql';
import type { Logger } from '../shared/log.js';
import { complexityFault } from './complexity.js';
import { CONSISTENCY_COOKIE, CONSISTENCY_HEADER } from './consistency.js';
import type { Context, Services, Transport, Work } from './context.js';
import { overloaded } from './errors.js';
import { Executor } from './executor.js';
import { isTooDeep, MAX_JSON_LEVELS } from './json.js';
import { PARSE_OPTIONS, type Operations } from './operations.js';
import type { EventStreams } from './server-sent-events.js';
import { SESSION_COOKIE } from './sessions.js';
import { cookiesOf, createContext, isForeign, parametersOf } from './transport.js';

export const GRAPHQL_PATH = '/graphql';
const MOST_IN_A_BATCH = 10;

const GRAPHQL_RESPONSE = 'application/graphql-response+json';
const A_BUG = 'Something went wrong here. It was written down.';

/** Bodies of JSON as Fastify parses them, unless they are nested too deeply. */
export function parseBoundedJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (isTooDeep(body)) done(Object.assign(new Error(TOO_DEEP), { statusCode: 400 }));
    else void parse(request, body, done);
  });
}
const TOO_DEEP = `JSON has at most ${MAX_JSON_LEVELS} levels here.`;

export async function serveHttp(
  app: FastifyInstance,
  schema: GraphQLSchema,
  services: Services,
  operations: Operations,
  streams: EventStreams,
) {
  const executor = new Executor(schema);
  const apollo = new ApolloServer<Context>({
    // Apollo executes by something else than graphql-js only for what it calls a gateway.
    gateway: {
      onSchemaLoadOrUpdate: (tell) => {
        tell({ apiSchema: schema, coreSupergraphSdl: '' });
        return () => undefined;
      },
      load: async () => ({
        executor: ({ document, operation, request: { operationName, variables }, context }) =>
          executor.execute({ document, operation, operationName, variables, context: context as Context }),
      }),
      stop: async () => undefined,
    },
    plugins: [
      // It would watch every field.
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginLandingPageDisabled(),
      consistencyOfEveryResponse,
      statusForPlainJson,
      noSubscriptions,
      boundedWork(schema),
      loggedBugs(services.log),
    ],
    csrfPrevention: true,
    introspection: true,
    includeStacktraceInErrorResponses: false,
    persistedQueries: false,
    // They are executed at the same time, so they wait once.
    allowBatchedHttpRequests: true,
    stopOnTerminationSignals: false,
    parseOptions: PARSE_OPTIONS,
    formatError: presentable,
    logger: services.log,
  });
  await apollo.start();
  const apolloHandler: RouteHandlerMethod = fastifyApolloHandler(apollo, {
    context: async (request: FastifyRequest, reply: FastifyReply) => {
      const done = services.work.begin(Array.isArray(request.body) ? request.body.length : 1);
      // Who asked may have gone while it waited for its turn, and will not go again.
      if (reply.raw.destroyed) done();
      else reply.raw.once('close', done);
      const context = await createContext(services, parametersOf(request.headers), cookiesOf(request.headers), cookiesOn(request, reply));
      void reply.header('x-request-id', context.correlationId);

      return context;
    },
  });

  app.route({
    url: GRAPHQL_PATH,
    method: ['PUT', 'PATCH', 'DELETE'],
    handler: (_, reply) => reply.code(405).header('allow', 'GET, POST').send(errorBody('BAD_REQUEST', 'There are GET and POST here.')),
  });
  app.route({
    url: GRAPHQL_PATH,
    method: ['GET', 'POST'],
    onRequest: [inTurn(services.work), namesHost],
    errorHandler: notExecuted(services.log),
    handler(request, reply) {
      if (streams.isWantedBy(request)) return streams.answer(request, reply);
      if (Array.isArray(request.body) && request.body.length > MOST_IN_A_BATCH) {
        return reply.code(400).send(errorBody('BAD_REQUEST', `At most ${MOST_IN_A_BATCH} operations come in one request.`));
      }
      const { queries, json } = textsOf(request);
      if (json.some(isTooDeep)) return reply.code(400).send(errorBody('BAD_REQUEST', TOO_DEEP));
      const harm = queries.flatMap((query) => operations.harmIn(query));
      if (harm.length > 0) {
        // As what Apollo finds wrong with a document: see statusForPlainJson.
        const isPlain = !request.headers.accept?.includes(GRAPHQL_RESPONSE);
        return reply
          .code(isPlain && !Array.isArray(request.body) ? 200 : 400)
          .type(`${isPlain ? 'application/json' : GRAPHQL_RESPONSE}; charset=utf-8`)
          .send({ errors: harm });
      }

      return apolloHandler.call(app, request, reply);
    },
  });

  return { stop: () => apollo.stop() };
}

/** The documents of a request, and what of its URL is JSON, whatever else may be wrong with it. */
function textsOf({ method, body, query }: FastifyRequest): { queries: string[]; json: string[] } {
  const isText = (one: unknown): one is string => typeof one === 'string';
  const sources: unknown[] = method === 'GET' ? [query] : [body].flat();
  const named = (name: string) => sources.flatMap((one) => (one as Record<string, unknown> | null | undefined)?.[name]).filter(isText);

  return { queries: named('query'), json: method === 'GET' ? [...named('variables'), ...named('extensions')] : [] };
}

function cookiesOn(request: FastifyRequest, reply: FastifyReply): Transport {
  const options = { path: '/', httpOnly: true, sameSite: 'lax', secure: request.protocol === 'https' } as const;
  const mine = !isForeign(request.headers);

  return {
    setSession(session) {
      if (!mine) return;
      if (session) void reply.setCookie(SESSION_COOKIE, session.accessToken, { ...options, expires: session.expiresAt });
      else void reply.clearCookie(SESSION_COOKIE, options);
    },
    setConsistency(token) {
      if (mine && request.cookies[CONSISTENCY_COOKIE] !== token) void reply.setCookie(CONSISTENCY_COOKIE, token, options);
    },
  };
}

/** The newest token goes out with every response, in the three ways in which it can come back. */
const consistencyOfEveryResponse: ApolloServerPlugin<Context> = {
  async requestDidStart({ contextValue: mine }) {
    mine.onItsOwn();

    return {
      async willSendResponse({ response, contextValue }) {
        if (response.body.kind !== 'single' || !contextValue.consistency) return;
        const consistency = contextValue.consistency.report();
        response.body.singleResult.extensions = { ...response.body.singleResult.extensions, consistency };
        response.http.headers.set(CONSISTENCY_HEADER, contextValue.consistency.header());
        contextValue.transport?.setConsistency(contextValue.consistency.cookie());
      },
    };
  },
};

/** For what is never executed, because its body is no JSON, or too large, or of another kind. */
export const notExecuted = (log: Logger) => (error: FastifyError, _: FastifyRequest, reply: FastifyReply) => {
  // Who asked is gone, in the middle of asking.
  if (error.code === 'ERR_STREAM_PREMATURE_CLOSE' || error.code === 'ECONNRESET') return void reply.code(400).send();
  const status = error.statusCode ?? 500;
  if (status >= 500) log.error({ err: error }, 'a bug before a request was executed');
  void reply.code(status).send(status >= 500 ? errorBody('INTERNAL_SERVER_ERROR', A_BUG) : errorBody('BAD_REQUEST', error.message));
};

/** Before anything is read of what was sent: refusing must cost next to nothing, or it would be the overload. */
export const inTurn =
  (work: Work): onRequestHookHandler =>
  ({ headers: { accept } }, reply, done) => {
    try {
      const turn = accept?.includes(EVENT_STREAM) ? work.turnToSubscribe() : work.turn();
      if (turn) void turn.then(() => done()).catch((error: unknown) => void reply.send(error));
      else done();
    } catch {
      void reply.code(503).header('retry-after', '1').send(REFUSED);
    }
  };
const REFUSED = { errors: [overloaded().toJSON()] };

/** Apollo's handler makes a URL of it. */
const namesHost: onRequestHookHandler = ({ hostname }, reply, done) => {
  if (URL.canParse(`http://${hostname}`)) done();
  else void reply.code(400).send(errorBody('BAD_REQUEST', 'The header Host names no host.'));
};

/** The type of a stream of events. */
export const EVENT_STREAM = 'text/event-stream';

export const errorBody = (code: string, message: string) => ({ errors: [{ message, extensions: { code } }] });

/**
 * A client that knows only `application/json` takes a status other than 200 for trouble on the way, so a well-formed
 * request with a faulty document gets 200 there. Who knows `application/graphql-response+json` too, in whatever order, gets
 * 400 with that.
 */
const statusForPlainJson: ApolloServerPlugin<Context> = {
  async requestDidStart() {
    return {
      async willSendResponse({ request, response, errors }) {
        const accept = request.http?.headers.get('accept') ?? '';
        const code = errors?.[0]?.extensions.code;
        const isDocuments = code === 'GRAPHQL_PARSE_FAILED' || code === 'GRAPHQL_VALIDATION_FAILED' || code === 'BAD_USER_INPUT';
        if (response.http.status !== 400 || !isDocuments) return;
        if (accept.includes(GRAPHQL_RESPONSE)) response.http.headers.set('content-type', `${GRAPHQL_RESPONSE}; charset=utf-8`);
        else response.http.status = 200;
      },
    };
  },
};

/** A response is one answer. */
const noSubscriptions: ApolloServerPlugin<Context> = {
  async requestDidStart() {
    return {
      async didResolveOperation({ operation }) {
        if (operation?.operation !== OperationTypeNode.SUBSCRIPTION) return;
        const extensions = { code: 'BAD_REQUEST', http: { status: 400 } };
        throw new GraphQLError('Subscriptions need a websocket at the same path, or `Accept: text/event-stream`.', { extensions });
      },
    };
  },
};

const boundedWork = (schema: GraphQLSchema): ApolloServerPlugin<Context> => ({
  async requestDidStart() {
    return {
      async didResolveOperation({ document, request }) {
        const tooMuch = complexityFault(schema, document, request.operationName, request.variables ?? {});
        if (tooMuch) throw tooMuch;
      },
    };
  },
});

const loggedBugs = (log: Logger): ApolloServerPlugin<Context> => ({
  async contextCreationDidFail({ error }) {
    logBugs([error], log);
  },
  async requestDidStart() {
    return {
      async didEncounterErrors({ errors, contextValue }) {
        logBugs(errors, log, contextValue.correlationId);
      },
    };
  },
});

/** What was not meant to be thrown; null for what was meant to be said. */
function bugIn(error: unknown): unknown {
  if (!(error instanceof GraphQLError)) return error;
  const { originalError, extensions } = error;

  return originalError && !(originalError instanceof GraphQLError) && extensions.code === undefined ? originalError : null;
}

/** A bug is logged whole, and told to nobody. */
export function logBugs(errors: readonly Error[], log: Logger, correlationId?: string): void {
  for (const error of errors) {
    const bug = bugIn(error);
    if (bug) log.error({ err: bug, path: error instanceof GraphQLError ? error.path : undefined, correlationId }, 'a bug in a resolver');
  }
}

export function presentable(formatted: GraphQLFormattedError, error: unknown): GraphQLFormattedError {
  return bugIn(error) ? { ...formatted, message: A_BUG, extensions: { code: 'INTERNAL_SERVER_ERROR' } } : formatted;
}
