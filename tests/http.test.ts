/**
 * GraphQL over HTTP, as the draft has it and clients rely on it: https://graphql.github.io/graphql-over-http/draft/
 *
 * The audits are the draft's own suite. They know nothing of the guard against forged requests, so each request names itself
 * as one that no page of another origin could have sent.
 */
import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { serverAudits } from 'graphql-http';
import { PostCheepReceiptDocument, TimelineDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { encodeToken } from '../shared/token.js';
import { eventually, startSystem, type System } from './system.js';

const JSON_TYPE = 'application/json';
const GRAPHQL_TYPE = 'application/graphql-response+json';
const FRIEND = 'https://friend.example';

let system: System;
beforeAll(async () => {
  system = await startSystem({ env: { ALLOWED_ORIGINS: FRIEND } });
});
afterAll(() => system?.stop());

const preflighted: typeof fetch = (url, init) => fetch(url, { ...init, headers: { ...init?.headers, 'apollo-require-preflight': 'yes' } });

describe('the audits of GraphQL over HTTP', () => {
  const audits = serverAudits({ url: () => system.url, fetchFn: preflighted });

  it('are all there', () => expect(audits).toHaveLength(61));

  it.each(audits)('$id: $name', async (audit) => {
    const result = await audit.fn();

    expect(result.status === 'ok' ? 'ok' : `${result.status}: ${result.reason}`).toBe('ok');
  });
});

interface Body {
  data?: unknown;
  errors?: { message: string; path?: string[]; extensions: { code: string; argument?: string } }[];
}

const post = (body: unknown, headers: Record<string, string> = {}) =>
  fetch(system.url, {
    method: 'POST',
    headers: { 'content-type': JSON_TYPE, accept: GRAPHQL_TYPE, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const bodyOf = async (response: Response) => (await response.json()) as Body;
const typeOf = (response: Response) => response.headers.get('content-type')?.split(';')[0];

const nested = (levels: number, selection: string): string =>
  levels === 0 ? selection : `nodes { followers(first: 30) { ${nested(levels - 1, selection)} } }`;
const deep = (levels: number, open: string, inside: string, close: string) => open.repeat(levels) + inside + close.repeat(levels);
const introspection = '{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }';

describe('a document that cannot be executed', () => {
  const documents = [
    { what: 'does not parse', query: '{', codes: ['GRAPHQL_PARSE_FAILED'] },
    { what: 'has more tokens than are read', query: `{ ${'a: __typename '.repeat(700)} }`, codes: ['GRAPHQL_PARSE_FAILED'] },
    { what: 'asks for a field that there is not', query: '{ viewer { nickname } }', codes: ['GRAPHQL_VALIDATION_FAILED'] },
    {
      what: 'asks for the schema, deeper and deeper',
      query: introspection,
      codes: ['GRAPHQL_VALIDATION_FAILED'],
    },
    {
      what: 'is given variables of wrong types',
      query: 'query ($first: Int, $id: ID!) { author(id: $id) { cheeps(first: $first) { resumeCursor } } }',
      variables: { first: 'many', id: ['x'] },
      codes: ['BAD_USER_INPUT', 'BAD_USER_INPUT'],
    },
    { what: 'is not given a variable that it needs', query: 'query ($id: ID!) { author(id: $id) { id } }', codes: ['BAD_USER_INPUT'] },
    {
      what: 'is given null where its argument cannot be',
      query: 'query ($id: ID = "x") { author(id: $id) { id } }',
      variables: { id: null },
      codes: ['BAD_USER_INPUT'],
    },
    { what: 'could ask for too many objects', query: `{ viewer { followers { ${nested(3, 'totalCount')} } } }`, codes: ['BAD_USER_INPUT'] },
    {
      what: 'could ask for too many objects, by its variables',
      query: `query ($first: Int) { viewer { followers(first: $first) { nodes { cheeps(first: $first) { nodes { author { id } } } } } } }`,
      variables: { first: 100 },
      codes: ['BAD_USER_INPUT'],
    },
    {
      what: 'repeats itself beyond counting',
      query: `{ ...f0 } ${Array.from({ length: 20 }, (_, i) => `fragment f${i} on Query { ...f${i + 1} a${i}: viewer { id } ...f${i + 1} }`).join(' ')} fragment f20 on Query { __typename }`,
      codes: ['BAD_USER_INPUT'],
    },
    {
      what: 'asks for the schema under many names',
      query: `{ ${Array.from({ length: 68 }, (_, i) => `a${i}: __schema { types { fields { name } } }`).join(' ')} }`,
      codes: ['BAD_USER_INPUT'],
    },
    { what: 'is nested too deeply', query: deep(50_000, '{a', '', '}'), codes: ['GRAPHQL_PARSE_FAILED'] },
    { what: 'has a list that is nested too deeply', query: `{ author(id: ${'['.repeat(1_980)}`, codes: ['GRAPHQL_PARSE_FAILED'] },
    {
      what: 'spreads fragments in themselves, below fields',
      query: `{ viewer { ...f0 } } ${Array.from({ length: 30 }, (_, i) => `fragment f${i} on Author { followers { nodes { ...f${(i + 1) % 30} ...f${(i + 2) % 30} } } }`).join(' ')}`,
      codes: Array.from({ length: 3 }, () => 'GRAPHQL_VALIDATION_FAILED'),
    },
    {
      what: 'has a subscription whose field has a directive that is wrong',
      query: 'subscription { timeline @skip(if: maybe) { cursor } }',
      codes: ['GRAPHQL_VALIDATION_FAILED'],
    },
  ];

  it.each(documents)('because it $what is 400, and for who knows plain JSON only 200', async ({ what: _, codes, ...body }) => {
    for (const [accept, status] of [[GRAPHQL_TYPE, 400] as const, [JSON_TYPE, 200] as const]) {
      const response = await post(body, { accept });
      const { errors, ...rest } = await bodyOf(response);

      expect(response.status).toBe(status);
      expect(typeOf(response)).toBe(accept);
      expect(errors?.map((error) => error.extensions.code)).toEqual(codes);
      expect(rest).not.toHaveProperty('data');
    }
  });

  it('is 400 with the media type that explains it, in whatever order the client names both', async () => {
    for (const accept of [`${JSON_TYPE}, ${GRAPHQL_TYPE}`, `${GRAPHQL_TYPE}, ${JSON_TYPE};q=0.9`, `${GRAPHQL_TYPE};q=0.5, ${JSON_TYPE}`]) {
      const response = await post({ query: '{' }, { accept });

      expect([response.status, typeOf(response)]).toEqual([400, GRAPHQL_TYPE]);
    }
  });

  it('is 400 when its operation cannot be told, for everybody', async () => {
    const query = 'query A { __typename } query B { __typename }';
    for (const accept of [GRAPHQL_TYPE, JSON_TYPE]) {
      for (const operationName of ['C', undefined]) {
        const response = await post({ query, operationName }, { accept });

        expect(response.status).toBe(400);
        expect((await bodyOf(response)).errors).toMatchObject([{ extensions: { code: 'OPERATION_RESOLUTION_FAILURE' } }]);
      }
    }
    expect(await bodyOf(await post({ query, operationName: 'B' }))).toMatchObject({ data: { __typename: 'Query' } });
  });
});

describe('a request that is no question', () => {
  const get = (query: string, headers: Record<string, string>) => fetch(`${system.url}?query=${encodeURIComponent(query)}`, { headers });
  const safely = (search: string) => fetch(`${system.url}?${search}`, { headers: { 'apollo-require-preflight': 'yes' } });
  const requests: { what: string; status: number; send: () => Promise<Response>; allow?: string }[] = [
    { what: 'JSON that is nested too deeply', status: 400, send: () => post(deep(100_000, '[', '', ']')) },
    {
      what: 'variables that are nested too deeply',
      status: 400,
      send: () => post(`{"query":"{ __typename }","variables":{"a":${deep(100_000, '[', '', ']')}}}`),
    },
    {
      what: 'extensions that are nested too deeply',
      status: 400,
      send: () => post(`{"query":"{ __typename }","extensions":${deep(20_000, '{"a":', '1', '}')}}`),
    },
    {
      what: 'variables in the URL that are nested too deeply',
      status: 400,
      send: () => safely(`query={__typename}&variables={"a":${deep(5_000, '[', '', ']')}}`),
    },
    {
      what: 'extensions in the URL that are nested too deeply',
      status: 400,
      send: () => safely(`query={__typename}&extensions={"a":${deep(5_000, '[', '', ']')}}`),
    },
    {
      what: 'a stream with variables in the URL that are nested too deeply',
      status: 400,
      send: () => fetch(`${system.url}/stream?query={__typename}&variables={"a":${deep(5_000, '[', '', ']')}}`),
    },
    ...['null', '1', '"x"', '{}', '[null]', '[1]', '[[]]', '[[{"query":"{ __typename }"}]]', '', ' '].map((body) => ({
      what: `the body ${JSON.stringify(body)}`,
      status: 400,
      send: () => post(body),
    })),
    ...[
      '{"query":1}',
      '{"query":{"a":1}}',
      '{"query":"{ __typename }","__proto__":{"a":1}}',
      '{"query":"{ __typename }","variables":"x"}',
    ].map((body) => ({ what: `the body ${body}`, status: 400, send: () => post(body) })),
    ...['variables=[', 'variables=1', 'variables=[]', 'extensions=x', 'extensions=[]', 'query=x'].map((parameter) => ({
      what: `the parameter ${parameter}`,
      status: 400,
      send: () => safely(`query={__typename}&${parameter}`),
    })),
    { what: 'JSON that does not parse', status: 400, send: () => post('{"query":') },
    { what: 'a body that is too large', status: 413, send: () => post({ query: `{ __typename } # ${'x'.repeat(256 * 1024)}` }) },
    { what: 'a body of another kind', status: 415, send: () => post('<query/>', { 'content-type': 'application/xml' }) },
    { what: 'a request without a document', status: 400, send: () => post({ qeury: '{ __typename }' }) },
    { what: 'variables in a list', status: 400, send: () => post({ query: '{ __typename }', variables: [1] }) },
    { what: 'several requests, and none of them', status: 400, send: () => post([]) },
    { what: 'a subscription', status: 400, send: () => post({ query: 'subscription { timeline { cursor } }' }) },
    { what: 'an answer in HTML', status: 406, send: () => post({ query: '{ __typename }' }, { accept: 'text/html' }) },
    {
      what: 'a mutation by GET',
      status: 405,
      allow: 'POST',
      send: () => get('mutation { logOut }', { 'apollo-require-preflight': 'yes' }),
    },
    { what: 'a query by GET that any page could have sent', status: 400, send: () => get('{ __typename }', {}) },
    {
      what: 'another method',
      status: 405,
      allow: 'GET, POST',
      send: () => fetch(system.url, { method: 'PUT', headers: { 'content-type': JSON_TYPE }, body: '{"query":"{ __typename }"}' }),
    },
  ];

  it.each(requests)('is refused: $what is $status', async ({ status, send, allow }) => {
    const response = await send();

    expect(response.status).toBe(status);
    expect(typeOf(response)).toMatch(/^application\/(graphql-response\+)?json$/);
    expect(response.headers.get('allow')).toBe(allow ?? null);
    expect((await bodyOf(response)).errors).toMatchObject([{ message: expect.any(String), extensions: { code: 'BAD_REQUEST' } }]);
  });

  it('is refused: a Host that is none is 400', async () => {
    const { hostname, port, pathname } = new URL(system.url);
    const status = await new Promise((resolve, reject) => {
      const headers = { host: '[', 'content-type': JSON_TYPE };
      const sent = request({ hostname, port, path: pathname, method: 'POST', headers }, (response) =>
        resolve(response.resume().statusCode),
      );
      sent.on('error', reject).end('{"query":"{ __typename }"}');
    });

    expect(status).toBe(400);
  });
});

describe('bytes that are no request', () => {
  const raw = async (bytes: string | Buffer): Promise<string> => {
    const socket = connect({ port: system.gateways[0]!.port, host: '127.0.0.1' });
    socket.write(bytes);
    let answer = '';
    for await (const data of socket) {
      answer += String(data);
      if (/\r\n\r\n/.test(answer)) break;
    }

    return answer;
  };
  const body = '{"query":"{ __typename }"}';
  const head = (...lines: string[]) =>
    `${['POST /graphql HTTP/1.1', 'Host: x', 'Content-Type: application/json', ...lines].join('\r\n')}\r\n\r\n`;
  const length = `Content-Length: ${body.length}`;

  it.each<[string, number | null, string | Buffer]>([
    ['TLS', 400, Buffer.from('16030100c8010000c40303', 'hex')],
    ['HTTP/2', 400, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['CONNECT', null, 'CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['TRACE', 404, 'TRACE /graphql HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['another version', 400, 'GET /graphql HTTP/9.9\r\nHost: x\r\n\r\n'],
    ['a path that is none', 400, 'GET /% HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a URL that is none', 400, 'GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a long header', 431, head(`X: ${'x'.repeat(70_000)}`)],
    ['many headers', 431, head(...Array.from({ length: 4_000 }, () => 'a: b'))],
    ['two lengths', 400, head('Content-Length: 1', 'Content-Length: 2')],
    ['a length, and chunks', 400, `${head(length, 'Transfer-Encoding: chunked')}0\r\n\r\n`],
    ['a chunk without a length', 400, `${head('Transfer-Encoding: chunked')}x\r\n`],
    ['an expectation', 417, head('Expect: x', length) + body],
    ['cookies that are none', 200, head('Cookie: cheeper_session=%; =;;; __proto__=1; cheeper_consistency=%E0%A4%A', length) + body],
    ['bytes that are no text in headers', 200, head('X-Request-Id: \u00ff', 'Traceparent: \u00ff', 'Origin: http://[', length) + body],
    ['trailers', 200, `${head('Transfer-Encoding: chunked')}${body.length.toString(16)}\r\n${body}\r\n0\r\nX: y\r\n\r\n`],
  ])('are answered as what they are: %s', async (_, status, bytes) => {
    expect(await raw(bytes)).toMatch(status === null ? /^$/ : new RegExp(`^HTTP/1\\.1 ${status} `));
  });
});

describe('a page', () => {
  const lists = {
    timeline: (args: string) => `{ page: timeline(authorId: "${newId()}", ${args}) { resumeCursor } }`,
    followers: (args: string) => `{ viewer { page: followers(${args}) { totalCount } } }`,
    following: (args: string) => `{ viewer { page: following(${args}) { totalCount } } }`,
    cheeps: (args: string) => `{ viewer { page: cheeps(${args}) { resumeCursor } } }`,
  };
  const wrong = [
    ...[0, 101, -1].map((first) => ({ argument: 'first', args: `first: ${first}` })),
    ...['x', 'eyJhIjoxfQ', '', '🙂', encodeToken({ epoch: 'e', position: 1 })].map((after) => ({
      argument: 'after',
      args: `after: "${after}"`,
    })),
  ];

  it.each(Object.keys(lists) as (keyof typeof lists)[])('of %s has 1 to 100 items, and begins after a cursor of its own', async (list) => {
    const { client } = await system.author();
    const ask = async (args: string) => {
      const response = await post({ query: lists[list](args) }, { authorization: `Bearer ${client.accessToken}` });
      return { status: response.status, ...(await bodyOf(response)) };
    };
    for (const { argument, args } of wrong) {
      // It is found out while the operation is executed, so HTTP has nothing to say.
      expect({ args, ...(await ask(args)) }).toMatchObject({
        args,
        status: 200,
        errors: [{ path: expect.arrayContaining(['page']), extensions: { code: 'BAD_USER_INPUT', argument } }],
      });
    }
    for (const args of ['first: 1', 'first: 100', 'first: null', 'after: null']) expect(await ask(args)).not.toHaveProperty('errors');
  });

  it('of a timeline does not begin after the cursor of a subscription', async () => {
    const { client } = await system.author();
    const { timeline } = await client.request(TimelineDocument, {});
    const { errors } = await client.ask(TimelineDocument, { after: timeline.resumeCursor });

    expect(errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT', argument: 'after' } }]);
  });
});

describe('every answer', () => {
  it('names its request, by the name that the client gave it', async () => {
    const { client } = await system.author();
    const headers = { authorization: `Bearer ${client.accessToken}` };
    const query = 'mutation { postCheep(input: { message: "hello" }) { commandId } }';
    const answer = await post({ query }, { ...headers, 'x-request-id': 'my-own.name_1' });
    expect(answer.headers.get('x-request-id')).toBe('my-own.name_1');
    const { data } = (await answer.json()) as { data: { postCheep: { commandId: string } } };
    const [entry] = await system.sql<{ body: string }>(
      `SELECT body FROM journal WHERE type = 'CheepPosted' ORDER BY position DESC LIMIT 1`,
    );
    expect(JSON.parse(entry!.body)).toMatchObject({ commandId: data.postCheep.commandId, correlationId: 'my-own.name_1' });

    const nameless = await post({ query: '{ __typename }' }, { 'x-request-id': 'not a name' });
    expect(nameless.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('may be read by pages of the allowed origins, and by those of no other', async () => {
    const preflight = (origin: string) =>
      fetch(system.url, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'content-type,x-cheeper-consistency',
        },
      });
    const welcome = await preflight(FRIEND);
    expect(welcome.headers.get('access-control-allow-origin')).toBe(FRIEND);
    expect(welcome.headers.get('access-control-allow-headers')).toContain('x-cheeper-consistency');
    // Nothing by cookie.
    expect(welcome.headers.get('access-control-allow-credentials')).toBeNull();
    expect((await preflight('https://stranger.example')).headers.get('access-control-allow-origin')).toBeNull();

    const answer = await post({ query: '{ __typename }' }, { origin: FRIEND });
    expect(answer.headers.get('access-control-allow-origin')).toBe(FRIEND);
    expect(answer.headers.get('access-control-expose-headers')).toContain('x-cheeper-consistency');
  });
});

describe('a bug', () => {
  it('is told to nobody, and logged whole, with the name of the request', async () => {
    const { client } = await system.author();
    const cheepId = newId();
    await client.request(PostCheepReceiptDocument, { input: { message: 'lost', cheepId, waitFor: 'PROJECTED' } });
    // A projection that lists what it does not have is one.
    await system.redis.del(await system.redis.keys(`${system.namespace}:*:cheep:${cheepId}`));
    const query = '{ viewer { id cheeps { nodes { message } } } }';
    const answer = await post({ query }, { authorization: `Bearer ${client.accessToken}`, 'x-request-id': 'a-bug' });

    expect(await bodyOf(answer)).toEqual({
      data: { viewer: null },
      errors: [
        {
          message: 'Something went wrong here. It was written down.',
          locations: expect.any(Array),
          path: ['viewer', 'cheeps'],
          extensions: { code: 'INTERNAL_SERVER_ERROR' },
        },
      ],
      extensions: expect.anything(),
    });
    const linesOf = (name: string) =>
      system.gateways[0]!.log(Infinity)
        .split('\n')
        .filter((line) => line.includes(name));
    await eventually(() => linesOf('a-bug').length > 0, 'it is written down');
    const lines = linesOf('a-bug');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      {
        level: 50,
        correlationId: 'a-bug',
        path: ['viewer', 'cheeps'],
        err: { message: expect.stringContaining(cheepId), stack: expect.any(String) },
      },
    ]);
  });
});
