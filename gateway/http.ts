/** GraphQL over HTTP: Apollo Server, and what it is told about our contract. https://graphql.github.io/graphql-over-http/draft/ */
import {
  ApolloServer,
  HeaderMap,
  type ApolloServerPlugin,
  type GraphQLRequest,
  type GraphQLRequestContextDidResolveOperation,
  type GraphQLRequestContextResponseForOperation,
  type GraphQLRequestContextWillSendResponse,
  type GraphQLRequestListener,
  type GraphQLResponse,
} from '@apollo/server';
import { ApolloServerPluginCacheControlDisabled, ApolloServerPluginLandingPageDisabled } from '@apollo/server/plugin/disabled';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { GraphQLError, OperationTypeNode, type GraphQLFormattedError, type GraphQLSchema } from 'graphql';
import type { Logger } from '../shared/log.js';
import { admit } from './admission.js';
import { acceptedBy, EVENT_STREAM, GRAPHQL_RESPONSE, JSON_TYPE } from './accept.js';
import { costOf } from './complexity.js';
import { CONSISTENCY_COOKIE, CONSISTENCY_HEADER } from './consistency.js';
import type { Context, Services, Transport } from './context.js';
import { A_BUG, cutMessage, isRefusedWhole, NO_ACCESS, retryAfterOf } from './errors.js';
import type { Executor } from './executor.js';
import { PARSE_OPTIONS, VALIDATION_OPTIONS } from './document-size.js';
import { faultIn } from './json.js';
import type { LargeRequests } from './large-requests.js';
import type { CheckedDocuments, OperationRequest, Operations } from './operations.js';
import {
  clientName,
  errorBody,
  gate,
  GRAPHQL_PATH,
  isForPeople,
  kindOf,
  notExecuted,
  readJsonOnly,
  refusalOfDocument,
  refuseOtherMethods,
} from './requests.js';
import type { ShowPage } from './ide.js';
import { noIntrospection, withoutSuggestions } from './introspection.js';
import type { Origins } from './origins.js';
import { PresenceOfResponse } from './presence.js';
import { rateLimitHeaders } from './rates.js';
import { rootFields } from './root-fields.js';
import type { EventStreams } from './server-sent-events.js';
import { SESSION_COOKIE } from './sessions.js';
import { cookieName, cookiesOf, createContext, parametersOf } from './transport.js';
import type { TrustedDocuments } from './trusted-documents.js';
import { NO_VARIABLES } from './variables.js';
import { askerAt } from './work.js';

const MAX_IN_A_BATCH = 10;
/** Of SHA-256 in hex. */
const HASH_CHARACTERS = 64;

export interface HttpOptions {
  /** Whether operations may ask for the schema, and errors may suggest what is in it. */
  introspection: boolean;
  /** Whether a request may have several operations. */
  batches: boolean;
  /** For those who open the path in a browser. */
  showPage: ShowPage;
}

export async function serveHttp(
  app: FastifyInstance,
  schema: GraphQLSchema,
  {
    services,
    executor,
    operations,
    documents,
    streams,
    large,
    sent,
  }: {
    services: Services;
    executor: Executor;
    operations: Operations;
    documents: TrustedDocuments;
    streams: EventStreams;
    large: LargeRequests;
    /** Is told of bytes that a client may not read soon. */
    sent: (bytes: number) => void;
  },
  { introspection, batches, showPage }: HttpOptions,
) {
  const apollo = new ApolloServer<Context>({
    // Apollo executes by something else than graphql-js only for what it calls a gateway: see `executed`.
    gateway: {
      onSchemaLoadOrUpdate: (tell) => {
        tell({ apiSchema: schema, coreSupergraphSdl: '' });
        return () => undefined;
      },
      load: async () => ({
        executor: async ({ context }) => (context as Context).resultWithErrors!,
      }),
      stop: async () => undefined,
    },
    plugins: [
      // It would watch every field.
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginLandingPageDisabled(),
      inOne(services.log, executor, [
        consistencyOfEveryResponse,
        statusForPlainJson,
        statusForNoAccess,
        refusedDocuments,
        noSubscriptions,
        boundedWork(schema),
        admittedWork(schema),
      ]),
    ],
    // `gate` decides it, for event streams too.
    csrfPrevention: false,
    // Ours says so in the same words on sockets and event streams.
    introspection: true,
    validationRules: introspection ? [] : [noIntrospection],
    includeStacktraceInErrorResponses: false,
    persistedQueries: false,
    // They are executed at the same time, so they wait once.
    allowBatchedHttpRequests: batches,
    stopOnTerminationSignals: false,
    parseOptions: PARSE_OPTIONS,
    validationOptions: VALIDATION_OPTIONS,
    // Its key ends with the hash of the text. What is not there is not valid, or was given up meanwhile: Apollo looks for itself.
    documentStore: {
      get: async (key) => operations.withHash(key.slice(-HASH_CHARACTERS)),
      set: async () => undefined,
      delete: async () => false,
    },
    formatError: introspection ? presentable : (formatted, error) => unsuggestive(presentable(formatted, error)),
    logger: services.log,
  });
  await apollo.start();

  /** @param onBegun gets what to call when the request is over */
  const contextOf = async (request: FastifyRequest, reply: FastifyReply, onBegun: (done: () => void) => void) => {
    const { origins } = services;
    const address = origins.addressOf(request.raw);
    const presence = new PresenceOfResponse(reply.raw);
    // Who leaves before the answer is there holds its places until nothing is done for it any more.
    onBegun(services.work.begin(Array.isArray(request.body) ? request.body.length : 1, askerAt(address, request.raw.socket)));
    const cookies = cookiesOf(origins, request.raw);
    const parameters = parametersOf(request.headers);
    const context = await createContext(services, address, parameters, cookies, presence, cookiesOn(origins, request, reply));
    void reply.header('x-request-id', context.correlationId);
    if (origins.isForwardedInVain(request.raw)) services.rates.suspectProxy(address);
    const refusal = services.rates.areFor(address) ? services.rates.refusalOfUsedUp(context) : null;
    if (refusal) {
      void reply.header('retry-after', retryAfterOf([refusal]));
      throw refusal;
    }

    return context;
  };

  readJsonOnly(app, services);
  // Fastify would read the body of what no route is for.
  app.addHook('onRequest', (request, reply, done) =>
    request.is404 ? void reply.code(404).send(errorBody('BAD_REQUEST', 'There is nothing here.')) : done(),
  );
  refuseOtherMethods(app, GRAPHQL_PATH);
  app.route({
    url: GRAPHQL_PATH,
    method: ['GET', 'POST'],
    exposeHeadRoute: false,
    ...gate({ services, operations, documents }),
    preValidation: large.hold(services.origins),
    errorHandler: notExecuted(services.log),
    async handler(request, reply) {
      if (isForPeople(request)) return showPage(reply.header('vary', 'accept'));
      const { body, method, headers } = request;
      const { json, named } = acceptedBy(headers.accept);
      const isStream = async () => !json || (await kindOf(operations, services.origins, request)) === OperationTypeNode.SUBSCRIPTION;
      if (named.includes(EVENT_STREAM) && (await isStream())) return streams.answer(request, reply);
      // Before anything is done for somebody who would not take the answer.
      if (!json) return reply.code(406).send(errorBody('BAD_REQUEST', 'Answers are JSON, or event streams.'));
      if (Array.isArray(body) && !batches)
        return reply.code(400).send(errorBody('BAD_REQUEST', 'One operation comes in one request here.'));
      if (Array.isArray(body) && body.length > MAX_IN_A_BATCH) {
        return reply.code(400).send(errorBody('BAD_REQUEST', `At most ${MAX_IN_A_BATCH} operations come in one request.`));
      }
      if (Array.isArray(body)) request.body = body.map((asked: unknown) => withDocument(documents, asked, clientName(request)));
      const { queries, json: texts } = textsOf(request);
      const jsonFault = texts.map(faultIn).find((found) => found !== null);
      if (jsonFault) return reply.code(400).send(errorBody(jsonFault.code, jsonFault.message));
      const { body: asked } = request;
      const refusal = refusalOfDocument(request);
      const address = services.origins.addressOf(request.raw);
      const checked = refusal
        ? [refusal]
        : await operations.inTurn(queries, address.network, () => operations.checkAll(queries, address)).catch(asFault);
      if (checked instanceof GraphQLError)
        return reply
          .code(503)
          .header('retry-after', '1')
          .send({ errors: [checked.toJSON()] });
      // Nobody waits for it any more.
      if (reply.raw.destroyed) return reply.hijack();
      const together = checked instanceof Map && Array.isArray(asked) ? operations.costOfAll(asked.flatMap(operationIn), checked) : null;
      const harm = together instanceof GraphQLError ? [together] : checked;
      if (Array.isArray(harm)) {
        if (services.rates.areFor(address))
          services.rates.chargeForDocument({ address, accountId: null, cost: null }, queries.join('').length);
        // As what Apollo finds wrong with a document: see statusForPlainJson.
        const isPlain = !named.includes(GRAPHQL_RESPONSE);
        return reply
          .code(isPlain && !Array.isArray(body) ? 200 : 400)
          .type(`${isPlain ? JSON_TYPE : GRAPHQL_RESPONSE}; charset=utf-8`)
          .send({ errors: harm });
      }
      const found = harm;
      const letGo = operations.hold(found);
      const type = headers['content-type'];
      const httpGraphQLRequest = {
        method,
        body: Array.isArray(asked) ? asked.map((one) => asking(one, found)) : asking(asked, found),
        headers: new HeaderMap([['accept', json], ...(type === undefined ? [] : [['content-type', type] as const])]),
        search: method === 'GET' ? searchOf(request.query as Record<string, string | string[]>) : '',
      };
      const invalid = method === 'GET' ? invalidIn(request.query, found) : null;
      if (invalid) {
        httpGraphQLRequest.search = searchOf({ ...(request.query as object), ...NOTHING, operationName: '' });
        refusedOperations.set(httpGraphQLRequest, invalid);
      }
      let done: (() => void) | null = null;
      const answering = apollo.executeHTTPGraphQLRequest({
        httpGraphQLRequest,
        context: async () =>
          Object.assign(await contextOf(request, reply, (end) => (done = end)), {
            valuesTogether: together && !(together instanceof GraphQLError) ? together.values : undefined,
          }),
      });
      const answer = await answering.finally(() => {
        letGo();
        if (!done) return;
        // Until the answer is taken; who has gone will not go again.
        if (reply.raw.destroyed) done();
        else reply.raw.once('close', done);
      });
      for (const [name, value] of answer.headers) void reply.header(name, value);
      if (answer.status === 503) void reply.header('retry-after', '1');
      if (answer.body.kind !== 'complete')
        throw new Error('Apollo Server answers in parts only where there is @defer, and here there is none.');

      sent(answer.body.string.length);

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

/** A bug is none. */
function asFault(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  throw error;
}

/** As far as it is one; what it is else, Apollo says. */
function operationIn(asked: unknown): OperationRequest[] {
  const { query, operationName, variables } = (asked ?? {}) as Record<string, unknown>;
  if (typeof query !== 'string') return [];
  const isObject = typeof variables === 'object' && variables !== null && !Array.isArray(variables);

  return [
    {
      query,
      operationName: typeof operationName === 'string' ? operationName : null,
      variables: isObject ? (variables as Record<string, unknown>) : {},
    },
  ];
}

/** What is wrong with the document of an operation; null if nothing is. */
function invalidIn(asked: unknown, documents: CheckedDocuments): RefusedOperation | null {
  const { query } = (asked ?? {}) as { query?: unknown };
  const errors = typeof query === 'string' ? documents.get(query)?.errors : null;

  return errors ? { errors, status: 400, characters: (query as string).length } : null;
}

/** As Apollo is asked: an empty name of an operation is as none, and one whose document is invalid asks for nothing. */
function asking(asked: unknown, documents: CheckedDocuments): unknown {
  if (typeof asked !== 'object' || asked === null) return asked;
  const { operationName } = asked as { operationName?: unknown };
  const invalid = invalidIn(asked, documents);
  if (!invalid) return operationName === '' ? { ...asked, operationName: null } : asked;
  const nothing = { ...asked, ...NOTHING, ...(typeof operationName === 'string' ? { operationName: null } : {}) };
  refusedOperations.set(nothing, invalid);

  return nothing;
}

/**
 * The parameters without those that are empty, as what is empty in a body: a form sends a parameter whether there is something in it or
 * not.
 */
function searchOf(query: Record<string, string | string[]>): string {
  const parameters = Object.entries(query).flatMap(([name, values]) => [values].flat().map((value): [string, string] => [name, value]));
  const isEmpty = (name: string, value: string) =>
    (name === 'operationName' && value === '') || ((name === 'variables' || name === 'extensions') && (value === '' || value === 'null'));
  const given = parameters.filter(([name, value]) => !isEmpty(name, value));

  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

/** Takes the place of what is not executed because of its document: Apollo parses and validates nothing itself, and says there what is wrong. */
const NOTHING = { query: '{ __typename }' };

interface RefusedOperation {
  errors: readonly GraphQLError[];
  status: number;
  /** Of its document. */
  characters: number;
}

/** By the body of what Apollo executes in its place, or by the whole request, if it has no body. */
const refusedOperations = new WeakMap<object, RefusedOperation>();

function refusalOf({ http }: GraphQLRequest): RefusedOperation | null {
  const { body } = http ?? {};
  const key = typeof body === 'object' && body !== null ? body : http;

  return (key && refusedOperations.get(key)) ?? null;
}

/** An operation of a batch. One that is refused asks for nothing: Apollo says so in its place, while the others are executed. */
function withDocument(documents: TrustedDocuments, asked: unknown, client: string | undefined): unknown {
  if (typeof asked !== 'object' || asked === null) return asked;
  const resolved = documents.resolve(asked, client);
  if (!(resolved instanceof GraphQLError)) return resolved;
  const nothing = { ...NOTHING };
  // The status is that of the whole batch, whose other operations are executed.
  refusedOperations.set(nothing, { errors: [resolved], status: 200, characters: 0 });

  return nothing;
}

/** What we have to say of an operation, in order: one that throws ends it. */
interface Step {
  didResolveOperation?(request: GraphQLRequestContextDidResolveOperation<Context>): void | Promise<void>;
  willSendResponse?(request: GraphQLRequestContextWillSendResponse<Context>): void;
}

const refusedDocuments: Step = {
  didResolveOperation({ request }) {
    const refusal = refusalOf(request);
    const [first] = refusal?.errors ?? [];
    if (!refusal || !first) return;
    const { message, nodes, source, positions, extensions } = first;
    const http = { status: refusal.status };
    throw new GraphQLError(message, { nodes, source, positions, extensions: { ...extensions, http } });
  },
  willSendResponse({ request, response: { body } }) {
    const refusal = refusalOf(request);
    // Only one can be thrown. What else is wrong with the request is told alone.
    if (!refusal || body.kind !== 'single' || body.singleResult.errors?.[0]?.message !== refusal.errors[0]!.message) return;
    body.singleResult.errors = refusal.errors.map((error) => presentable(error.toJSON(), error));
  },
};

function cookiesOn(origins: Origins, request: FastifyRequest, reply: FastifyReply): Transport {
  const isOwn = origins.isOwn(request.raw);
  const secure = origins.isSecure(request.raw);
  const options = { path: '/', httpOnly: true, sameSite: 'lax', secure } as const;
  const [sessionCookie, consistencyCookie] = [cookieName(SESSION_COOKIE, secure), cookieName(CONSISTENCY_COOKIE, secure)];
  const otherSession = cookieName(SESSION_COOKIE, !secure);
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
      if (session) void reply.setCookie(sessionCookie, session.accessToken, { ...options, expires: session.expiresAt });
      else void reply.clearCookie(sessionCookie, options);
      // That of before the gateway was reached in another way would come back with each request.
      if (request.cookies[otherSession] !== undefined) void reply.clearCookie(otherSession, { ...options, secure: !secure });
    },
    setConsistency(token) {
      if (isOwn && request.cookies[consistencyCookie] !== token) void reply.setCookie(consistencyCookie, token, options);
    },
  });

  return of(0);
}

/** The newest token goes out with every response, in the three ways in which it can come back. */
const consistencyOfEveryResponse: Step = {
  willSendResponse({ response, contextValue }) {
    if (response.body.kind !== 'single' || !contextValue.consistency) return;
    const { authentication, cost } = contextValue;
    const consistency = contextValue.consistency.report();
    const extensions = {
      ...response.body.singleResult.extensions,
      consistency,
      ...(authentication ? { authentication } : {}),
      ...(cost ? { cost } : {}),
    };
    response.body.singleResult.extensions = extensions;
    response.http.headers.set(CONSISTENCY_HEADER, contextValue.consistency.header());
    contextValue.transport?.setConsistency(contextValue.consistency.cookie());
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
const statusForPlainJson: Step = {
  willSendResponse({ response, errors, contextValue: { transport } }) {
    const { named } = acceptedBy(transport?.accept);
    const code = errors?.[0]?.extensions.code;
    const isDocuments = typeof code === 'string' && CODES_OF_DOCUMENTS.has(code);
    if (response.http.status !== 400 || !isDocuments) return;
    if (named.includes(GRAPHQL_RESPONSE)) response.http.headers.set('content-type', `${GRAPHQL_RESPONSE}; charset=utf-8`);
    else response.http.status = 200;
  },
};

/** An access token that is no good is 401 where it leaves nothing to answer. In a batch the others have their answers. */
const statusForNoAccess: Step = {
  willSendResponse({ response, contextValue: { authentication, transport } }) {
    if (response.body.kind !== 'single' || !authentication || transport?.isBatch) return;
    if (!isRefusedWhole(response.body.singleResult)) return;
    delete response.body.singleResult.data;
    response.http.status = 401;
    response.http.headers.set('www-authenticate', NO_ACCESS);
  },
};

/** A response is one answer. */
const noSubscriptions: Step = {
  didResolveOperation({ operation }) {
    if (operation?.operation !== OperationTypeNode.SUBSCRIPTION) return;
    const extensions = { code: 'BAD_REQUEST', http: { status: 400 } };
    throw new GraphQLError('Subscriptions need a websocket at the same path, or `Accept: text/event-stream`.', { extensions });
  },
};

const boundedWork = (schema: GraphQLSchema): Step => ({
  didResolveOperation({ document, request }) {
    const cost = costOf(schema, document, request.operationName, request.variables ?? NO_VARIABLES);
    if (cost instanceof GraphQLError) throw cost;
  },
});

/** Counts what is executed, and what is not for what is wrong with it. What is left is told with every answer. */
const admittedWork = (schema: GraphQLSchema): Step => ({
  didResolveOperation({ document, request, contextValue }) {
    const { operationName, variables } = request;

    return admit(schema, contextValue, { document, operationName, variables });
  },
  willSendResponse({ request, response, document, contextValue }) {
    const { services, address, transport, cost } = contextValue;
    if (response.body.kind !== 'single' || !services.rates.areFor(address)) return;
    if (!cost) services.rates.chargeForDocument(contextValue, refusalOf(request)?.characters ?? request.query?.length ?? 0);
    else for (const [name, value] of rateLimitHeaders(cost)) response.http.headers.set(name, value);
    const { singleResult } = response.body;
    const retryAfter = retryAfterOf(singleResult.errors);
    if (retryAfter === null) return;
    response.http.headers.set('retry-after', retryAfter);
    // In a batch the others have their answers, and of several mutations those before may be done.
    const isNothingDone =
      singleResult.errors!.every(({ path }) => path === undefined) ||
      rootFields(document!, request.operationName, request.variables).length === 1;
    const isRefused = !transport?.isBatch && isNothingDone && isRefusedWhole(singleResult, 'RATE_LIMITED');
    response.http.status = isRefused ? 429 : undefined;
    if (isRefused) delete singleResult.data;
  },
});

/**
 * What Apollo makes for an executor of its own is an object with getters for each operation (`makeGatewayGraphQLRequestContext`), which V8 keeps with all that
 * belongs to the request until it collects the old generation (see the rule about getters in eslint.config.mjs). So it is not asked to execute: that
 * is done before, and Apollo is only told the result. Of one with errors it makes the answer itself.
 */
async function executed(
  executor: Executor,
  { document, operation, request: { operationName, variables }, contextValue: context }: GraphQLRequestContextResponseForOperation<Context>,
): Promise<GraphQLResponse | null> {
  const result = await executor.execute({ document, operation, operationName, variables, context });
  if (!result.errors) return { http: { headers: new HeaderMap(), status: undefined }, body: { kind: 'single', singleResult: result } };
  context.resultWithErrors = result;

  return null;
}

/** One of Apollo's plugins for all steps: each plugin costs a request several turns of the queue of promises. */
function inOne(log: Logger, executor: Executor, steps: readonly Step[]): ApolloServerPlugin<Context> {
  const listener: GraphQLRequestListener<Context> = {
    async didResolveOperation(request) {
      for (const { didResolveOperation } of steps) {
        const waiting = didResolveOperation?.(request);
        if (waiting) await waiting;
      }
    },
    responseForOperation: (request) => executed(executor, request),
    async willSendResponse(request) {
      for (const step of steps) step.willSendResponse?.(request);
    },
    async didEncounterErrors({ errors, contextValue }) {
      logBugs(errors, log, contextValue.correlationId);
    },
  };

  return {
    async contextCreationDidFail({ error }) {
      logBugs([error], log);
    },
    async requestDidStart({ contextValue }) {
      contextValue.onItsOwn();

      return listener;
    },
  };
}

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

const unsuggestive = (error: GraphQLFormattedError): GraphQLFormattedError => ({ ...error, message: withoutSuggestions(error.message) });

export function presentable(formatted: GraphQLFormattedError, error: unknown): GraphQLFormattedError {
  if (bugIn(error)) return { ...formatted, message: A_BUG, extensions: { code: 'INTERNAL_SERVER_ERROR' } };
  const message = cutMessage(formatted.message);
  // What graphql-js itself says of a whole request, and not of a field, is about the request: that its variables have too many errors, say.
  const isOfRequest = error instanceof GraphQLError && !error.path && error.extensions.code === undefined;
  if (isOfRequest && formatted.extensions?.code === 'INTERNAL_SERVER_ERROR')
    return { ...formatted, message, extensions: { ...formatted.extensions, code: 'BAD_USER_INPUT' } };

  return { ...formatted, message };
}
