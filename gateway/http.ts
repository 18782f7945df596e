/** GraphQL over HTTP: Apollo Server, and what it is told about our contract. https://graphql.github.io/graphql-over-http/draft/ */
import { ApolloServer, HeaderMap, type ApolloServerPlugin } from '@apollo/server';
import { ApolloServerPluginCacheControlDisabled, ApolloServerPluginLandingPageDisabled } from '@apollo/server/plugin/disabled';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { GraphQLError, OperationTypeNode, type GraphQLFormattedError, type GraphQLSchema } from 'graphql';
import type { Logger } from '../shared/log.js';
import { acceptedBy, EVENT_STREAM, GRAPHQL_RESPONSE, JSON_TYPE } from './accept.js';
import { complexityFault } from './complexity.js';
import { CONSISTENCY_COOKIE, CONSISTENCY_HEADER } from './consistency.js';
import type { Context, Services, Transport } from './context.js';
import { A_BUG, cutMessage, isRefusedWhole } from './errors.js';
import { Executor } from './executor.js';
import { isTooDeep, TOO_DEEP } from './json.js';
import { PARSE_OPTIONS, type Operations } from './operations.js';
import { errorBody, gate, GRAPHQL_PATH, isForPeople, kindOf, notExecuted, readJsonOnly, refuseOtherMethods } from './requests.js';
import type { Origins } from './origins.js';
import type { EventStreams } from './server-sent-events.js';
import { SESSION_COOKIE } from './sessions.js';
import { cookiesOf, createContext, parametersOf } from './transport.js';

const MOST_IN_A_BATCH = 10;

/** @param ide the page for those who open the path in a browser */
export async function serveHttp(
  app: FastifyInstance,
  schema: GraphQLSchema,
  { services, operations, streams, ide }: { services: Services; operations: Operations; streams: EventStreams; ide: string },
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
      statusForNoAccess,
      noSubscriptions,
      boundedWork(schema),
      loggedBugs(services.log),
    ],
    // `gate` decides it, for event streams too.
    csrfPrevention: false,
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

  const contextOf = async (request: FastifyRequest, reply: FastifyReply) => {
    const done = services.work.begin(Array.isArray(request.body) ? request.body.length : 1);
    // Who asked may have gone while it waited for its turn, and will not go again.
    if (reply.raw.destroyed) done();
    else reply.raw.once('close', done);
    const { origins } = services;
    const cookies = cookiesOf(origins, request.raw);
    const address = origins.addressOf(request.raw);
    const context = await createContext(services, address, parametersOf(request.headers), cookies, cookiesOn(origins, request, reply));
    void reply.header('x-request-id', context.correlationId);

    return context;
  };

  readJsonOnly(app);
  refuseOtherMethods(app, GRAPHQL_PATH);
  app.route({
    url: GRAPHQL_PATH,
    method: ['GET', 'POST'],
    exposeHeadRoute: false,
    ...gate({ services, operations }),
    errorHandler: notExecuted(services.log),
    async handler(request, reply) {
      if (isForPeople(request)) return reply.header('vary', 'accept').type('text/html; charset=utf-8').send(ide);
      const { body, method, headers, url } = request;
      const { json, named } = acceptedBy(headers.accept);
      if (named.includes(EVENT_STREAM) && (!json || kindOf(operations, request) === OperationTypeNode.SUBSCRIPTION))
        return streams.answer(request, reply);
      // Before anything is done for somebody who would not take the answer.
      if (!json) return reply.code(406).send(errorBody('BAD_REQUEST', 'Answers are JSON, or event streams.'));
      if (Array.isArray(body) && body.length > MOST_IN_A_BATCH) {
        return reply.code(400).send(errorBody('BAD_REQUEST', `At most ${MOST_IN_A_BATCH} operations come in one request.`));
      }
      const { queries, json: texts } = textsOf(request);
      if (texts.some(isTooDeep)) return reply.code(400).send(errorBody('BAD_REQUEST', TOO_DEEP));
      const harm = queries.flatMap((query) => operations.harmIn(query));
      if (harm.length > 0) {
        // As what Apollo finds wrong with a document: see statusForPlainJson.
        const isPlain = !named.includes(GRAPHQL_RESPONSE);
        return reply
          .code(isPlain && !Array.isArray(body) ? 200 : 400)
          .type(`${isPlain ? JSON_TYPE : GRAPHQL_RESPONSE}; charset=utf-8`)
          .send({ errors: harm });
      }
      const type = headers['content-type'];
      const answer = await apollo.executeHTTPGraphQLRequest({
        httpGraphQLRequest: {
          method,
          body: Array.isArray(body) ? body.map(withoutEmptyName) : withoutEmptyName(body),
          headers: new HeaderMap([['accept', json], ...(type === undefined ? [] : [['content-type', type] as const])]),
          search: url.includes('?') ? withoutEmptyParameters(url.slice(url.indexOf('?'))) : '',
        },
        context: () => contextOf(request, reply),
      });
      for (const [name, value] of answer.headers) void reply.header(name, value);
      if (answer.status === 503) void reply.header('retry-after', '1');
      if (answer.body.kind !== 'complete')
        throw new Error('Apollo Server answers in parts only where there is @defer, and here there is none.');

      return reply.code(answer.status ?? 200).send(answer.body.string);
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

/** An empty name of an operation is as none. */
function withoutEmptyName(asked: unknown): unknown {
  const isEmpty = typeof asked === 'object' && asked !== null && (asked as { operationName?: unknown }).operationName === '';

  return isEmpty ? { ...asked, operationName: null } : asked;
}

/** As what is empty in a body: a form sends a parameter whether there is something in it or not. */
function withoutEmptyParameters(search: string): string {
  const parameters = new URLSearchParams(search);
  const isEmpty = (name: string, value: string) =>
    (name === 'operationName' && value === '') || ((name === 'variables' || name === 'extensions') && (value === '' || value === 'null'));
  const given = [...parameters].filter(([name, value]) => !isEmpty(name, value));

  return given.length === parameters.size ? search : `?${new URLSearchParams(given).toString()}`;
}

function cookiesOn(origins: Origins, request: FastifyRequest, reply: FastifyReply): Transport {
  const isOwn = origins.isOwn(request.raw);
  const options = { path: '/', httpOnly: true, sameSite: 'lax', secure: origins.isSecure(request.raw) } as const;
  const isBatch = Array.isArray(request.body);
  let operations = 0;
  /** By which operation of a batch the session's cookie was set: they are executed at the same time, and end in any order. */
  let setBy = 0;
  const of = (operation: number): Transport => ({
    accept: request.headers.accept,
    isBatch,
    ofNextOperation: () => of(++operations),
    setSession(session) {
      if (!isOwn && session) origins.explain(request.raw, 'The session cookie of a sign-in was withheld');
      if (!isOwn || operation < setBy) return;
      setBy = operation;
      if (session) void reply.setCookie(SESSION_COOKIE, session.accessToken, { ...options, expires: session.expiresAt });
      else void reply.clearCookie(SESSION_COOKIE, options);
    },
    setConsistency(token) {
      if (isOwn && request.cookies[CONSISTENCY_COOKIE] !== token) void reply.setCookie(CONSISTENCY_COOKIE, token, options);
    },
  });

  return of(0);
}

/** The newest token goes out with every response, in the three ways in which it can come back. */
const consistencyOfEveryResponse: ApolloServerPlugin<Context> = {
  async requestDidStart({ contextValue: mine }) {
    mine.onItsOwn();

    return {
      async willSendResponse({ response, contextValue }) {
        if (response.body.kind !== 'single' || !contextValue.consistency) return;
        const { authentication } = contextValue;
        const consistency = contextValue.consistency.report();
        const extensions = { ...response.body.singleResult.extensions, consistency, ...(authentication ? { authentication } : {}) };
        response.body.singleResult.extensions = extensions;
        response.http.headers.set(CONSISTENCY_HEADER, contextValue.consistency.header());
        contextValue.transport?.setConsistency(contextValue.consistency.cookie());
      },
    };
  },
};

const CODES_OF_DOCUMENTS: ReadonlySet<string> = new Set([
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'OPERATION_RESOLUTION_FAILURE',
  'BAD_USER_INPUT',
]);

/**
 * A client that knows only `application/json` takes a status other than 200 for trouble on the way, so a well-formed
 * request with a faulty document gets 200 there. Who knows `application/graphql-response+json` too, in whatever order, gets
 * 400 with that.
 */
const statusForPlainJson: ApolloServerPlugin<Context> = {
  async requestDidStart() {
    return {
      async willSendResponse({ response, errors, contextValue: { transport } }) {
        const { named } = acceptedBy(transport?.accept);
        const code = errors?.[0]?.extensions.code;
        const isDocuments = typeof code === 'string' && CODES_OF_DOCUMENTS.has(code);
        if (response.http.status !== 400 || !isDocuments) return;
        if (named.includes(GRAPHQL_RESPONSE)) response.http.headers.set('content-type', `${GRAPHQL_RESPONSE}; charset=utf-8`);
        else response.http.status = 200;
      },
    };
  },
};

/** An access token that is no good is 401 where it leaves nothing to answer. In a batch the others have their answers. */
const statusForNoAccess: ApolloServerPlugin<Context> = {
  async requestDidStart() {
    return {
      async willSendResponse({ response, contextValue: { authentication, transport } }) {
        if (response.body.kind !== 'single' || !authentication || transport?.isBatch) return;
        if (!isRefusedWhole(response.body.singleResult)) return;
        delete response.body.singleResult.data;
        response.http.status = 401;
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
  if (bugIn(error)) return { ...formatted, message: A_BUG, extensions: { code: 'INTERNAL_SERVER_ERROR' } };
  const message = cutMessage(formatted.message);
  // What graphql-js itself says of a whole request, and not of a field, is about the request: that its variables have too many errors, say.
  const isOfRequest = error instanceof GraphQLError && !error.path && error.extensions.code === undefined;
  if (isOfRequest && formatted.extensions?.code === 'INTERNAL_SERVER_ERROR')
    return { ...formatted, message, extensions: { ...formatted.extensions, code: 'BAD_USER_INPUT' } };

  return { ...formatted, message };
}
