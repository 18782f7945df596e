/**
 * What a request has to be before anything is executed, and when it is its turn: at both paths, that of all operations and that of event
 * streams.
 */
import { isUtf8 } from 'node:buffer';
import { MIMEType } from 'node:util';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteShorthandOptions } from 'fastify';
import { OperationTypeNode } from 'graphql';
import type { Logger } from '../shared/log.js';
import { acceptedBy, EVENT_STREAM, JSON_TYPE } from './accept.js';
import type { Services } from './context.js';
import { A_BUG, overloaded } from './errors.js';
import { isTooDeep, TOO_DEEP } from './json.js';
import type { Operations } from './operations.js';
import { isHost } from './origins.js';

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
export function gate({ services: { work, origins }, operations }: { services: Services; operations: Operations }): RouteShorthandOptions {
  /**
   * What an operation is decides in which line it waits, not what its client takes besides: some name event streams in all that they send. Only
   * what may be a subscription is looked into; everything else waits, or is refused, before its body is read: refusing must cost next
   * to nothing, or it would be the overload.
   */
  const takeTurn = (isSubscription: boolean, reply: FastifyReply, done: HookHandlerDoneFunction) => {
    try {
      const turn = isSubscription ? work.turnToSubscribe() : work.turn();
      if (turn) void turn.then(() => done()).catch((error: unknown) => void reply.send(error));
      else done();
    } catch {
      void reply.code(503).header('retry-after', '1').send(OVERLOADED);
    }
  };
  const isSubscription = (request: FastifyRequest) => kindOf(operations, request) === OperationTypeNode.SUBSCRIPTION;

  return {
    onRequest(request, reply, done) {
      // With GET, any cache on the way could keep an answer.
      void reply.header('cache-control', 'no-store');
      if (isForPeople(request)) return done();
      const refusal = refusalOfHeaders(request) ?? (request.method === 'GET' ? refusalOfGet(request) : null);
      if (refusal) {
        const { status, message, headers = {} } = refusal;
        return void reply.code(status).headers(headers).send(errorBody('BAD_REQUEST', message));
      }
      if (!mayBeSubscription(request)) takeTurn(false, reply, done);
      else if (request.method === 'GET') takeTurn(isSubscription(request), reply, done);
      else done();
    },
    preHandler(request, reply, done) {
      if (request.method === 'GET' || !mayBeSubscription(request)) done();
      else takeTurn(isSubscription(request), reply, done);
    },
  };

  function refusalOfGet(request: FastifyRequest): Refusal | null {
    if (kindOf(operations, request) === OperationTypeNode.MUTATION)
      return { status: 405, message: 'A mutation is sent with POST.', headers: { allow: 'POST' } };
    // An event stream first says what is wrong with its document, for which nothing is executed.
    const isLeftToStream = request.routeOptions.url === STREAM_PATH;

    return isLeftToStream || !origins.couldBeForged(request.raw) ? null : { status: 400, message: FORGEABLE };
  }
}

/**
 * The parameters of a URL, read as Apollo Server reads them: Fastify's own parser leaves a value as it is when some of its escapes are no UTF-8, and
 * so what is checked here would not be what is executed there. A name that comes several times has a list.
 */
export function queryOf(search: string): Record<string, string | string[]> {
  const query = Object.create(null) as Record<string, string | string[]>;
  for (const [name, value] of new URLSearchParams(search)) query[name] = name in query ? [query[name]!, value].flat() : value;

  return query;
}

/** The kind of operation that is asked for; null if that cannot be told, or if there are several. */
export function kindOf(operations: Operations, { method, query, body }: FastifyRequest): OperationTypeNode | null {
  const asked = ((method === 'GET' ? query : body) ?? {}) as { query?: unknown; operationName?: unknown };

  return operations.kindOf(asked.query, asked.operationName);
}

/** Somebody has typed the path into a browser: they get the IDE. */
export function isForPeople({ method, headers, query, routeOptions: { url } }: FastifyRequest): boolean {
  if (method !== 'GET' || url !== GRAPHQL_PATH || (query as { query?: unknown }).query !== undefined) return false;
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

/** Bodies are JSON in UTF-8: browsers send no other kind than those that are refused here without asking first. */
export function readJsonOnly(app: FastifyInstance): void {
  // `__proto__` and `constructor` are names like others: nothing is merged into objects here, and graphql-js looks at own properties.
  const parse = app.getDefaultJsonParser('ignore', 'ignore');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>(JSON_TYPE, { parseAs: 'buffer' }, (request, body, done) => {
    const refuse = (message: string) => done(Object.assign(new Error(message), { statusCode: 400 }));
    if (!isUtf8(body)) return refuse('The body is not UTF-8.');
    const text = body.toString();
    if (isTooDeep(text)) return refuse(TOO_DEEP);

    return parse(request, text, done);
  });
}

/** Other methods, at a path of operations. */
export function refuseOtherMethods(app: FastifyInstance, url: string): void {
  app.route({ url, method: 'OPTIONS', handler: (_, reply) => reply.code(204).header('allow', ALLOW).send() });
  app.route({
    url,
    method: ['HEAD', 'PUT', 'PATCH', 'DELETE'],
    // Whatever the body is, it is not read.
    onRequest: (_, reply) => void reply.code(405).header('allow', ALLOW).send(errorBody('BAD_REQUEST', 'There are GET and POST here.')),
    handler: () => undefined,
  });
}

/** For what is never executed, because its body is no JSON, or too large, or of another kind. */
export const notExecuted = (log: Logger) => (error: FastifyError, _: FastifyRequest, reply: FastifyReply) => {
  // Who asked is gone, in the middle of asking.
  if (error.code === 'ERR_STREAM_PREMATURE_CLOSE' || error.code === 'ECONNRESET') return void reply.code(400).send();
  const status = error.statusCode ?? 500;
  if (status >= 500) log.error({ err: error }, 'a bug before a request was executed');
  void reply.code(status).send(status >= 500 ? errorBody('INTERNAL_SERVER_ERROR', A_BUG) : errorBody('BAD_REQUEST', error.message));
};
