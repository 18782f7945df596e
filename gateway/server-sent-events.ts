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
import { execute, getOperationAST, GraphQLError, OperationTypeNode, type GraphQLSchema } from 'graphql';
import { z } from 'zod';
import { EVENT_STREAM } from './accept.js';
import { CONSISTENCY_HEADER } from './consistency.js';
import type { Token } from '../shared/token.js';
import type { Context, Services } from './context.js';
import { fault, isRefusedWhole } from './errors.js';
import { isTooDeep } from './json.js';
import { nameOf, type OperationRequest, type Operations } from './operations.js';
import { errorBody, FORGEABLE, gate, notExecuted, refuseOtherMethods, STREAM_PATH } from './requests.js';
import { answer, newer, present, type Answer, type Subscriptions } from './subscriptions.js';
import { cookiesOf, createContext, parametersOf } from './transport.js';

const MOST_STREAMS = 10_000;
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
    if (isTooDeep(json)) throw new RangeError('too many levels');

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
  { services, operations, subscriptions }: { services: Services; operations: Operations; subscriptions: Subscriptions },
): EventStreams {
  const open = new Set<Readable>();
  let isStopping = false;

  const stream = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const asked = request.method === 'GET' ? inUrl.safeParse(request.query) : inBody.safeParse(request.body);
    if (!asked.success) return reply.code(400).send(errorBody('BAD_REQUEST', 'There is no `query`, or its variables are no JSON object.'));
    const isForgeable = request.method === 'GET' && services.origins.couldBeForged(request.raw);
    if (isForgeable && !Array.isArray(operations.check(asked.data))) return reply.code(400).send(errorBody('BAD_REQUEST', FORGEABLE));
    let events: AsyncIterableIterator<string>;
    try {
      if (open.size >= MOST_STREAMS) throw fault('OVERLOADED', 'There are too many streams here.', { http: 503 });
      const done = services.work.begin(1);
      events = await run(asked.data, request, reply).finally(done);
      if (isStopping) {
        await events.return!();
        throw fault('UNAVAILABLE', 'This gateway is about to leave.', { http: 503 });
      }
    } catch (error) {
      if (!(error instanceof GraphQLError)) throw error;
      const { status = 400 } = (error.extensions.http ?? {}) as { status?: number };
      if (status === 503) void reply.header('retry-after', '1');
      return reply.code(status).send({ errors: [present(error)] });
    }
    const body = Readable.from(events, { objectMode: false, highWaterMark: 1 });
    open.add(body.once('close', () => open.delete(body)));

    return reply.headers(HEADERS).send(body);
  };

  const run = async (asked: OperationRequest, request: FastifyRequest, reply: FastifyReply): Promise<AsyncIterableIterator<string>> => {
    const document = operations.check(asked);
    if (Array.isArray(document)) return onlyErrors(document);
    const { operation } = getOperationAST(document, asked.operationName)!;
    const { origins } = services;
    const cookies = cookiesOf(origins, request.raw);
    const contextValue = await createContext(services, origins.addressOf(request.raw), parametersOf(request.headers), cookies);
    void reply.header('x-request-id', contextValue.correlationId);
    const args = { schema, document, operationName: asked.operationName, variableValues: asked.variables, contextValue };
    const answers = await (operation === OperationTypeNode.SUBSCRIPTION ? subscriptions.subscribe(args) : execute(args));
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
    ...gate({ services, operations }),
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
