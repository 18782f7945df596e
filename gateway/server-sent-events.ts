/**
 * GraphQL over server-sent events, for clients behind proxies that know nothing of websockets: the same subscriptions with the
 * same cursors, one response for each. https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
 *
 * Of that protocol it is the mode of distinct connections. The other one keeps a client's reservation in the process that made it,
 * and here any gateway answers any request. The library's own server is not used, because it queues without end for who does not
 * read; here nothing is taken from a feed before the client has room for it.
 */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { getOperationAST, GraphQLError, OperationTypeNode, type GraphQLSchema } from 'graphql';
import { z } from 'zod';
import { EVENT_STREAM } from './accept.js';
import { admit } from './admission.js';
import { PresenceOfResponse } from './presence.js';
import { CONSISTENCY_HEADER } from './consistency.js';
import type { Token } from '../shared/token.js';
import type { Context, Services } from './context.js';
import type { Places } from './crowd.js';
import { fault, isRefusedWhole, NO_ACCESS, retryAfterOf } from './errors.js';
import type { Executor } from './executor.js';
import type { LargeRequests } from './large-requests.js';
import { faultIn } from './json.js';
import { nameOf, type OperationRequest, type Operations } from './operations.js';
import { rateLimitHeaders } from './rates.js';
import { errorBody, FORGEABLE, gate, notExecuted, refusalOfDocument, refuseOtherMethods, STREAM_PATH } from './requests.js';
import { answer, newer, present, type Answer, type Subscriptions } from './subscriptions.js';
import { cookiesOf, createContext, parametersOf, refusalOfNobody } from './transport.js';
import type { TrustedDocuments } from './trusted-documents.js';
import { askerAt } from './work.js';

/** A proxy gives up a response that is silent for long. */
const HEARTBEAT_MS = 12_000;

const HEADERS = {
  'content-type': `${EVENT_STREAM}; charset=utf-8`,
  // No proxy may keep it until it is complete.
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};

const text = z.string().transform((json, context) => {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    context.addIssue('not JSON');
    return z.NEVER;
  }
});
const variables = z.record(z.string(), z.unknown()).nullish();
const operationName = z.string().nullish().transform(nameOf);
const inBody = z.object({ query: z.string(), operationName, variables });
const inUrl = z.object({
  query: z.string(),
  operationName,
  variables: z
    .literal('')
    .or(text.pipe(variables))
    .optional()
    .transform((given) => given || null),
});

export interface EventStreams {
  answer(request: FastifyRequest, reply: FastifyReply): Promise<unknown>;
  stop(): void;
}

export function serveEventStreams(
  app: FastifyInstance,
  schema: GraphQLSchema,
  {
    services,
    executor,
    operations,
    documents,
    subscriptions,
    places,
    large,
  }: {
    services: Services;
    executor: Executor;
    operations: Operations;
    documents: TrustedDocuments;
    subscriptions: Subscriptions;
    places: Places;
    large: LargeRequests;
  },
): EventStreams {
  const open = new Set<Readable>();
  let isStopping = false;

  const stream = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const { variables: json } = request.query as { variables?: unknown };
    const jsonFault = request.method === 'GET' && typeof json === 'string' ? faultIn(json) : null;
    if (jsonFault) return reply.code(400).send(errorBody(jsonFault.code, jsonFault.message));
    const refusal = refusalOfDocument(request);
    if (refusal) {
      const address = services.origins.addressOf(request.raw);
      if (services.rates.areFor(address)) services.rates.chargeForDocument({ address, accountId: null, cost: null }, 0);
      return reply.headers(HEADERS).send(Readable.from(onlyErrors([refusal]), { objectMode: false }));
    }
    const asked = request.method === 'GET' ? inUrl.safeParse(request.query) : inBody.safeParse(request.body);
    if (!asked.success) return reply.code(400).send(errorBody('BAD_REQUEST', 'There is no `query`, or its variables are no JSON object.'));
    // It would be kept for as long as the stream is open.
    request.body = null;
    let events: AsyncIterableIterator<string>;
    const address = services.origins.addressOf(request.raw);
    let end = () => void request.raw.socket.destroy();
    const leave = places.take(address.network, () => end());
    try {
      if (!leave) throw fault('OVERLOADED', 'There are too many streams here.', { http: 503 });
      const asker = askerAt(address, request.raw.socket);
      const done = services.work.begin(1, asker);
      events = await run(asked.data, request, reply).finally(done);
      // It has begun. A stream ends much later, and its body is not kept.
      services.work.ended(asker);
      large.letGo(request);
      if (isStopping) {
        await events.return!();
        throw fault('UNAVAILABLE', 'This gateway is about to leave.', { http: 503 });
      }
    } catch (error) {
      leave?.();
      if (!(error instanceof GraphQLError)) throw error;
      const { status = 400 } = (error.extensions.http ?? {}) as { status?: number };
      const retryAfter = retryAfterOf([error]) ?? (status === 503 ? '1' : null);
      if (retryAfter !== null) void reply.header('retry-after', retryAfter);
      if (status === 401) void reply.header('www-authenticate', NO_ACCESS);
      return reply.code(status).send({ errors: [present(error)] });
    }
    const body = Readable.from(events, { objectMode: false, highWaterMark: 1 });
    end = () => void body.destroy();
    open.add(body);
    body.once('close', () => {
      open.delete(body);
      leave();
    });

    return reply.headers(HEADERS).send(body);
  };

  const run = async (asked: OperationRequest, request: FastifyRequest, reply: FastifyReply): Promise<AsyncIterableIterator<string>> => {
    const { origins, rates } = services;
    const address = origins.addressOf(request.raw);
    const usedUp = refusalOfNobody(services, request.raw);
    if (usedUp) throw usedUp;
    const document = await operations.inTurn([asked.query], address.network, () => operations.check(asked, address));
    if (Array.isArray(document)) {
      if (rates.areFor(address)) rates.chargeForDocument({ address, accountId: null, cost: null }, asked.query.length);
      return onlyErrors(document);
    }
    if (request.method === 'GET' && origins.couldBeForged(request.raw))
      throw new GraphQLError(FORGEABLE, { extensions: { code: 'BAD_REQUEST' } });
    const { operation } = getOperationAST(document, asked.operationName)!;
    const cookies = cookiesOf(origins, request.raw);
    const contextValue = await createContext(services, address, parametersOf(request.headers), cookies, new PresenceOfResponse(reply.raw));
    void reply.header('x-request-id', contextValue.correlationId);
    if (origins.isForwardedInVain(request.raw)) rates.suspectProxy(address);
    const valid = { document, operationName: asked.operationName, variables: asked.variables };
    try {
      await admit(schema, contextValue, valid);
    } finally {
      if (contextValue.cost) void reply.headers(Object.fromEntries(rateLimitHeaders(contextValue.cost)));
    }
    const args = { schema, document, operationName: asked.operationName, variableValues: asked.variables, contextValue };
    const answers = await (operation === OperationTypeNode.SUBSCRIPTION ? subscriptions.subscribe(args) : executor.executeAsTold(args));
    if (!(Symbol.asyncIterator in answers) && contextValue.authentication && isRefusedWhole(answers))
      throw fault('UNAUTHENTICATED', answers.errors![0]!.message, { http: 401 });
    // What it has seen so far: a subscription, where it begins.
    void reply.header(CONSISTENCY_HEADER, contextValue.consistency.header());

    return eventsOf(Symbol.asyncIterator in answers ? answers : only(answer(answers, contextValue)), contextValue);
  };

  refuseOtherMethods(app, STREAM_PATH);
  app.route({
    url: STREAM_PATH,
    method: ['GET', 'POST'],
    exposeHeadRoute: false,
    ...gate({ services, operations, documents }),
    preValidation: large.hold(services.origins),
    errorHandler: notExecuted(services.log),
    handler: stream,
  });

  return {
    answer: stream,
    // Without a last word: a stream that was cut is one that the client opens again.
    stop: () => {
      isStopping = true;
      open.forEach((body) => body.destroy());
    },
  };
}

const next = (json: string) => `event: next\ndata: ${json}\n\n`;
const COMPLETE = 'event: complete\ndata:\n\n';
const HEARTBEAT = ':\n\n';

async function* onlyErrors(errors: GraphQLError[]): AsyncIterableIterator<string> {
  yield next(JSON.stringify({ errors: errors.map(present) })) + COMPLETE;
}

async function* only(one: Answer): AsyncIterableIterator<Answer, undefined> {
  yield one;
}

/** The text of the stream, until the last answer, or until the access token that it came with runs out. */
function eventsOf(answers: AsyncIterableIterator<Answer, undefined>, context: Context): AsyncIterableIterator<string> {
  const expiresAtMs = context.expiresAtMs ?? Infinity;
  let coming: Promise<IteratorResult<Answer, undefined>> | null = null;
  let newest: Token | null = null;
  let hasBegun = false;
  let isOver = false;
  const last = (text: string) => {
    isOver = true;
    return { value: text + COMPLETE, done: false };
  };
  const events: AsyncIterableIterator<string> = {
    next: async () => {
      if (isOver) return { value: undefined, done: true };
      // At once, so that the client knows that it is open.
      if (!hasBegun) {
        hasBegun = true;
        return { value: HEARTBEAT, done: false };
      }
      coming ??= answers.next();
      const silence = Promise.withResolvers<null>();
      const timer = setTimeout(() => silence.resolve(null), Math.min(HEARTBEAT_MS, expiresAtMs - Date.now()));
      const first = await Promise.race([coming, silence.promise]).finally(() => clearTimeout(timer));
      if (Date.now() >= expiresAtMs) {
        await events.return!();
        const expired = fault('UNAUTHENTICATED', 'The access token has expired.');
        return last(next(JSON.stringify({ errors: [present(expired)] })));
      }
      if (first === null) return { value: HEARTBEAT, done: false };
      coming = null;

      if (first.done) return last('');
      newest = newer(newest, first.value.newest);

      return { value: next(first.value.json(newest, context.authentication)), done: false };
    },
    return: async () => {
      isOver = true;
      await answers.return?.();

      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]: () => events,
  };

  return events;
}
