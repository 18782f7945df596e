/**
 * What a request has to be before anything is executed, and when it is its turn: at both paths, that of all operations and that of event
 * streams.
 */
import { isUtf8 } from 'node:buffer';
import { METHODS } from 'node:http';
import { MIMEType } from 'node:util';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify';
import { GraphQLError, OperationTypeNode } from 'graphql';
import type { Logger } from '../shared/log.js';
import { acceptedBy, EVENT_STREAM, JSON_TYPE } from './accept.js';
import type { Services } from './context.js';
import { A_BUG, overloaded, retryAfterOf } from './errors.js';
import { faultIn } from './json.js';
import type { Operations } from './operations.js';
import { isHost, type Origins } from './origins.js';
import { refusalOfNobody } from './transport.js';
import type { Asked, TrustedDocuments } from './trusted-documents.js';
import { askerAt, type Asker, type Work } from './work.js';

export const GRAPHQL_PATH = '/graphql';
export const STREAM_PATH = `${GRAPHQL_PATH}/stream`;

/** The body of a request that may be a subscription is read before the request has its turn, if it is no longer than this. */
const MAX_BYTES_READ_BEFORE = 16 * 1024;

export const errorBody = (code: string, message: string) => ({ errors: [{ message, extensions: { code } }] });

export const FORGEABLE =
  'Any page could have made a browser send this request (CSRF). Name application/json in the header Accept, or send the header ' +
  'graphql-require-preflight, or use POST. Pages of other origins need ALLOWED_ORIGINS.';

const OVERLOADED = { errors: [overloaded().toJSON()] };
const ALLOW = 'GET, POST';

interface Refusal {
  status: number;
  message: string;
  headers?: Record<string, string>;
}

/** The hooks of a route for operations. */
export function gate({
  services,
  operations,
  documents,
}: {
  services: Services;
  operations: Operations;
  documents: TrustedDocuments;
}): RouteShorthandOptions {
  const { work, origins } = services;

  /** What an operation is decides in which line it waits, not what its client takes besides: some name event streams in all that they send. */
  const takeTurn = (isSubscription: boolean, request: FastifyRequest, reply: FastifyReply, done: () => void) => {
    const asker = askerOf(origins, request);
    const begin = () => {
      // Who asked may have gone while it waited.
      if (reply.raw.destroyed) return work.ended(asker);
      reply.raw.once('close', () => work.ended(asker));
      // Others do not wait for a body that may never come; a body that came after its turn waits for another.
      if (!request.raw.complete) work.ended(asker);
      // Subscriptions are refused by their own answer.
      const usedUp = isSubscription ? null : refusalOfNobody(services, request.raw);
      if (usedUp) refuseForRates(usedUp, reply);
      else done();
    };
    turnOf(work, asker, isSubscription)
      .then(begin)
      .catch((error: unknown) => void reply.send(error));
  };

  return {
    /** Whoever waits, or is refused, does so before its document is looked at, and its body read: refusing must cost next to nothing, or it would be the overload. */
    onRequest(request, reply, done) {
      // With GET, any cache on the way could keep an answer.
      void reply.header('cache-control', 'no-store');
      if (isForPeople(request)) return done();
      const refusal = refusalOfHeaders(request);
      if (refusal) return void refuseFor(refusal, reply);
      // What may be a subscription is short, and read before it is known in which line it waits.
      if (mayBeSubscription(request)) {
        if (request.method === 'GET') takeTurn(isOfSubscription(request.query), request, reply, done);
        else done();
        return;
      }
      takeTurn(false, request, reply, done);
    },
    preHandler(request, reply, done) {
      if (request.method === 'GET') {
        if (isForPeople(request)) return done();
        resolveInUrl(documents, request);
        const goOn = (refusal: Refusal | null) => (refusal ? refuseFor(refusal, reply) : done());
        return void refusalOfGet(request).then(goOn, (error: unknown) => void reply.send(error));
      }
      const go = () => {
        resolveInBody(documents, request);
        done();
      };
      if (work.isTurnOf(askerOf(origins, request))) go();
      else takeTurn(mayBeSubscription(request) && isOfSubscription(request.body), request, reply, go);
    },
  };

  async function refusalOfGet(request: FastifyRequest): Promise<Refusal | null> {
    if ((await kindOf(operations, origins, request)) === OperationTypeNode.MUTATION)
      return { status: 405, message: 'A mutation is sent with POST.', headers: { allow: 'POST' } };
    // An event stream first says what is wrong with its document, for which nothing is executed.
    const isLeftToStream = request.routeOptions.url === STREAM_PATH;

    return isLeftToStream || !origins.couldBeForged(request.raw) ? null : { status: 400, message: FORGEABLE };
  }
}

/** GraphQL has no other way to write the word; and a document that is named, and not sent, may be one. */
function isOfSubscription(asked: unknown): boolean {
  const { query } = (asked ?? {}) as { query?: unknown };

  return typeof query !== 'string' || query.includes('subscription');
}

async function turnOf(work: Work, asker: Asker, isSubscription = false): Promise<void> {
  return isSubscription ? work.turnToSubscribe(asker) : work.turn(asker);
}

function refuseFor({ status, message, headers = {} }: Refusal, reply: FastifyReply): void {
  void reply.code(status).headers(headers).send(errorBody('BAD_REQUEST', message));
}

/** Whoever has used up what they may. */
function refuseForRates(refusal: GraphQLError, reply: FastifyReply): void {
  const { http: _, ...extensions } = refusal.extensions;
  void reply
    .code(429)
    .header('retry-after', retryAfterOf([refusal]))
    .send({ errors: [{ ...refusal.toJSON(), extensions }] });
}

const askerOf = (origins: Origins, { raw }: FastifyRequest) => askerAt(origins.addressOf(raw), raw.socket);

/**
 * The parameters of a URL, read as Apollo Server reads them: Fastify's own parser leaves a value as it is when some of its escapes are no UTF-8, and
 * so what is checked here would not be what is executed there. A name that comes several times has a list.
 */
export function queryOf(search: string): Record<string, string | string[]> {
  const query = Object.create(null) as Record<string, string | string[]>;
  for (const [name, value] of new URLSearchParams(search)) query[name] = name in query ? [query[name]!, value].flat() : value;

  return query;
}

/** Requests that are not executed because of the document that they name, or bring. */
const refusals = new WeakMap<FastifyRequest, GraphQLError>();

/** Why the request's document is not executed, whatever else the request is; null if it may be. A batch has one for each operation. */
export const refusalOfDocument = (request: FastifyRequest): GraphQLError | null => refusals.get(request) ?? null;

/** What a client calls itself: Apollo's header, which others use as well. */
export function clientName({ headers }: Pick<FastifyRequest, 'headers'>): string | undefined {
  const name = headers['apollographql-client-name'] || headers['graphql-client-name'];

  return Array.isArray(name) ? name.find(Boolean) : name;
}

function resolveInUrl(documents: TrustedDocuments, request: FastifyRequest): void {
  const { extensions: json, ...query } = request.query as Record<string, unknown>;
  const asked: Asked = { ...query, extensions: typeof json === 'string' ? parsed(json) : undefined };
  const resolved = documents.resolve(asked, clientName(request));
  if (resolved === asked) return;
  if (resolved instanceof GraphQLError) return void refusals.set(request, resolved);
  const { extensions, ...others } = resolved;
  // What is no JSON stays as it is, for those who say so.
  const left = asked.extensions === undefined ? json : extensions && JSON.stringify(extensions);
  request.query = { ...others, ...(left === undefined ? {} : { extensions: left }) };
}

function resolveInBody(documents: TrustedDocuments, request: FastifyRequest): void {
  const { body } = request;
  // The operations of a batch are counted before anything is done for them.
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return;
  const resolved = documents.resolve(body, clientName(request));
  if (resolved instanceof GraphQLError) refusals.set(request, resolved);
  else request.body = resolved;
}

function parsed(json: string): unknown {
  if (faultIn(json)) return undefined;
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return undefined;
  }
}

/** The kind of operation that is asked for; null if that cannot be told, or if there are several. @throws OVERLOADED */
export async function kindOf(
  operations: Operations,
  origins: Origins,
  { method, query, body, raw }: FastifyRequest,
): Promise<OperationTypeNode | null> {
  const asked = ((method === 'GET' ? query : body) ?? {}) as { query?: unknown; operationName?: unknown };

  return operations.kindOf(asked.query, asked.operationName, origins.addressOf(raw));
}

/** Somebody has typed the path into a browser: they get the IDE. */
export function isForPeople({ method, headers, query, routeOptions: { url } }: FastifyRequest): boolean {
  const isOperation = ['query', 'documentId', 'extensions'].some((name) => name in (query as object));
  if (method !== 'GET' || url !== GRAPHQL_PATH || isOperation) return false;
  const [preferred] = acceptedBy(headers.accept).named;

  return preferred === 'text/html';
}

function mayBeSubscription({ method, headers, routeOptions: { url } }: FastifyRequest): boolean {
  if (url !== STREAM_PATH && !acceptedBy(headers.accept).named.includes(EVENT_STREAM)) return false;

  return method === 'GET' || Number(headers['content-length'] ?? Infinity) <= MAX_BYTES_READ_BEFORE;
}

function refusalOfHeaders({ method, headers }: FastifyRequest): Refusal | null {
  // HTTP/1.0 has requests without one.
  if (headers.host !== undefined && !isHost(headers.host)) return { status: 400, message: 'The header Host names no host.' };
  if (method !== 'POST') return null;
  const encodings = (headers['content-encoding'] ?? '').split(',').map((encoding) => encoding.trim().toLowerCase());
  if (!encodings.every((encoding) => encoding === '' || encoding === 'identity'))
    return { status: 415, message: 'Bodies are not read compressed.', headers: { 'accept-encoding': 'identity' } };
  const charset = charsetOf(headers['content-type']);
  if (charset !== null && !/^utf-?8$/i.test(charset)) return { status: 415, message: 'Bodies are read as UTF-8 only.' };

  return null;
}

/** Null if none is named, or if the type is none, which Fastify refuses. */
function charsetOf(contentType: string | undefined): string | null {
  try {
    return contentType === undefined ? null : new MIMEType(contentType).params.get('charset');
  } catch {
    return null;
  }
}

/**
 * Bodies are JSON in UTF-8: browsers send no other kind than those that are refused here without asking first. A body that came after its turn waits
 * for another one: it must not be read whenever its client likes.
 */
export function readJsonOnly(app: FastifyInstance, { work, origins }: Services): void {
  // `__proto__` and `constructor` are names like others: nothing is merged into objects here, and graphql-js looks at own properties.
  const parse = app.getDefaultJsonParser('ignore', 'ignore');
  const read = (request: FastifyRequest, body: Buffer, done: (error: Error | null, body?: unknown) => void): void => {
    const refuse = (message: string, code?: string) => done(Object.assign(new Error(message), { statusCode: 400, code }));
    if (!isUtf8(body)) return refuse('The body is not UTF-8.');
    const text = body.toString();
    const fault = faultIn(text);
    if (fault) return refuse(fault.message, fault.code);
    void parse(request, text, done);
  };
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>(JSON_TYPE, { parseAs: 'buffer' }, (request, body, done) => {
    if (body.length <= MAX_BYTES_READ_BEFORE) return read(request, body, done);
    work
      .turnOfLarge(origins.addressOf(request.raw), () => turnOf(work, askerOf(origins, request)))
      .then((end) => {
        read(request, body, done);
        end();
      }, done);
  });
}

/** Other methods, at a path of operations. */
export function refuseOtherMethods(app: FastifyInstance, url: string): void {
  // (CONNECT comes to no route.)
  const others = METHODS.filter((method) => !['GET', 'POST', 'OPTIONS', 'CONNECT'].includes(method));
  for (const method of others) if (!app.supportedMethods.includes(method)) app.addHttpMethod(method);
  // Whatever the body is, it is not read.
  app.route({
    url,
    method: 'OPTIONS',
    onRequest: (_, reply) => void reply.code(204).header('allow', ALLOW).send(),
    handler: () => undefined,
  });
  app.route({
    url,
    method: others,
    onRequest: (_, reply) => void reply.code(405).header('allow', ALLOW).send(errorBody('BAD_REQUEST', 'There are GET and POST here.')),
    handler: () => undefined,
  });
}

/** For what is never executed, because its body is no JSON, or too large, or of another kind. */
export const notExecuted = (log: Logger) => (error: FastifyError | GraphQLError, _: FastifyRequest, reply: FastifyReply) => {
  if (error instanceof GraphQLError) return void reply.code(503).header('retry-after', '1').send(OVERLOADED);
  // Who asked is gone, in the middle of asking.
  if (error.code === 'ERR_STREAM_PREMATURE_CLOSE' || error.code === 'ECONNRESET') return void reply.code(400).send();
  const status = error.statusCode ?? 500;
  if (status >= 500) log.error({ err: error }, 'a bug before a request was executed');
  const code = error.code === 'BAD_USER_INPUT' ? error.code : 'BAD_REQUEST';
  void reply.code(status).send(status >= 500 ? errorBody('INTERNAL_SERVER_ERROR', A_BUG) : errorBody(code, error.message));
};
