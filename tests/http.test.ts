/**
 * GraphQL over HTTP, as the draft has it and clients rely on it: https://graphql.github.io/graphql-over-http/draft/
 *
 * The audits are the draft's own suite. They know nothing of the guard against forged requests, so each request names itself
 * as one that no page of another origin could have sent.
 */
import { request, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, fetchExchange, type ClientOptions } from '@urql/core';
import { serverAudits } from 'graphql-http';
import { PostCheepReceiptDocument, TimelineDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { encodeToken } from '../shared/token.js';
import { eventually, PASSWORD, startSystem, type System } from './system.js';

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
/** With just these headers, unlike `fetch`. */
function send(method: string, path: string, headers: Record<string, string>, body?: Buffer) {
  const { hostname, port } = new URL(system.url);

  return new Promise<{ status: number; headers: IncomingHttpHeaders; body: string }>((resolve, reject) => {
    const sent = request({ hostname, port, path, method, headers }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode!, headers: response.headers, body }), reject);
    });
    sent.on('error', reject).end(body);
  });
}
/** What comes until the connection is closed. */
function exchange(raw: string): Promise<string> {
  const { hostname, port } = new URL(system.url);
  const socket = connect(Number(port), hostname, () => socket.write(raw));

  return text(socket);
}
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
});

describe('a request that is no question', () => {
  const get = (query: string, headers: Record<string, string>) => fetch(`${system.url}?query=${encodeURIComponent(query)}`, { headers });
  const safely = (search: string) => fetch(`${system.url}?${search}`, { headers: { 'apollo-require-preflight': 'yes' } });
  const requests: { what: string; status: number; send: () => Promise<Response>; allow?: string; code?: string }[] = [
    { what: 'JSON that is nested too deeply', status: 400, code: 'BAD_USER_INPUT', send: () => post(deep(100_000, '[', '', ']')) },
    {
      what: 'variables that are nested too deeply',
      status: 400,
      code: 'BAD_USER_INPUT',
      send: () => post(`{"query":"{ __typename }","variables":{"a":${deep(100_000, '[', '', ']')}}}`),
    },
    {
      what: 'extensions that are nested too deeply',
      status: 400,
      code: 'BAD_USER_INPUT',
      send: () => post(`{"query":"{ __typename }","extensions":${deep(20_000, '{"a":', '1', '}')}}`),
    },
    {
      what: 'variables in the URL that are nested too deeply',
      status: 400,
      code: 'BAD_USER_INPUT',
      send: () => safely(`query={__typename}&variables={"a":${deep(5_000, '[', '', ']')}}`),
    },
    {
      what: 'extensions in the URL that are nested too deeply',
      status: 400,
      code: 'BAD_USER_INPUT',
      send: () => safely(`query={__typename}&extensions={"a":${deep(5_000, '[', '', ']')}}`),
    },
    {
      what: 'a stream with variables in the URL that are nested too deeply',
      status: 400,
      code: 'BAD_USER_INPUT',
      send: () => fetch(`${system.url}/stream?query={__typename}&variables={"a":${deep(5_000, '[', '', ']')}}`),
    },
    ...['null', '1', '"x"', '{}', '[null]', '[1]', '[[]]', '[[{"query":"{ __typename }"}]]', '', ' '].map((body) => ({
      what: `the body ${JSON.stringify(body)}`,
      status: 400,
      send: () => post(body),
    })),
    ...['{"query":1}', '{"query":{"a":1}}', '{"query":"{ __typename }","variables":"x"}'].map((body) => ({
      what: `the body ${body}`,
      status: 400,
      send: () => post(body),
    })),
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

  it('is none the less one, where a name in it is special to JavaScript: GraphQL knows no such names', async () => {
    for (const body of [
      '{"query":"{ __typename }","__proto__":{"a":1},"constructor":{"prototype":{"a":1}}}',
      `{"query":"query ($__proto__: Boolean) { __typename __type(name: \\"Node\\") { fields(includeDeprecated: $__proto__) { name } } }",
        "variables":{"__proto__":true}}`,
    ]) {
      const response = await post(body);
      expect([response.status, await response.json()]).toMatchObject([200, { data: { __typename: 'Query' } }]);
    }
  });

  it.each<[string, Record<string, unknown>, object]>([
    ['query ($id: ID = "x") { author(id: $id) { id } __typename }', { id: null }, { author: null, __typename: 'Query' }],
    ['query ($id: ID = "x") { __typename author(id: $id) { id } }', { id: null }, { __typename: 'Query', author: null }],
    ['query ($name: String = "x") { __type(name: $name) { name } __typename }', { name: null }, { __type: null, __typename: 'Query' }],
  ])('is answered but for the field that may not have a null: %s', async (query, variables, data) => {
    const answer = (await (await post({ query, variables })).json()) as { data: unknown; errors: { path: unknown }[] };
    expect(answer.data).toEqual(data);
    expect(answer.errors.map(({ path }) => path)).toEqual([Object.keys(data).filter((name) => name !== '__typename')]);
  });

  it.each([
    ['query ($id: ID = "x") { nodes(ids: [$id]) { id } __typename }', { id: null }, ['nodes']],
    ['query ($if: Boolean = true) { a: __typename @skip(if: $if) }', { if: null }, undefined],
  ])('is answered with null where execution refuses a null: %s', async (query, variables, path) => {
    const answer = (await (await post({ query, variables })).json()) as { data: unknown; errors: { path?: unknown }[] };
    expect([answer.data, answer.errors.map((error) => error.path)]).toEqual([null, [path]]);
  });

  it('runs the mutations before the one whose argument may not be null', async () => {
    const { client } = await system.author();
    const query = 'mutation ($message: String = "x") { logOut postCheep(input: { message: $message }) { status } }';
    const response = await post({ query, variables: { message: null } }, { authorization: `Bearer ${client.accessToken}` });
    expect(await response.json()).toMatchObject({ data: null, errors: [{ path: ['postCheep'] }] });
    expect(response.headers.getSetCookie().join()).toMatch(/cheeper_session=;/);
  });

  it('has no name where the name is empty, in whatever way it comes', async () => {
    const one = 'query One { __typename }';
    const urls = ['operationName=', 'operationName=&variables=&extensions=', 'variables=null'].map(
      (more) => `${system.url}?query=${one}&${more}`,
    );
    for (const url of urls) expect((await fetch(url, { headers: { accept: JSON_TYPE } })).status).toBe(200);
    for (const body of [{ query: one, operationName: '' }, [{ query: one, operationName: '' }]]) {
      const response = await post(body);
      expect([response.status, JSON.stringify(await response.json())]).toEqual([200, expect.stringContaining('"__typename":"Query"')]);
    }
    const stream = await fetch(`${system.url}/stream?query=${one}&operationName=&variables=`, { headers: { accept: 'text/event-stream' } });
    expect(await stream.text()).toContain('"__typename":"Query"');
  });

  it('whose operation cannot be told is 200 for who knows JSON alone, and 400 for who knows more', async () => {
    const query = 'query A { __typename } query B { __typename }';
    for (const [accept, status] of [[JSON_TYPE, 200] as const, [GRAPHQL_TYPE, 400] as const]) {
      for (const operationName of ['C', undefined, '']) {
        const response = await post({ query, operationName }, { accept });
        expect([response.status, await response.json()]).toMatchObject([
          status,
          { errors: [{ extensions: { code: 'OPERATION_RESOLUTION_FAILURE' } }] },
        ]);
      }
    }
    expect(await (await post({ query, operationName: 'B' })).json()).toMatchObject({ data: { __typename: 'Query' } });
  });

  it('names at most 50 wrong values of its variables, and says that there are more', async () => {
    const query = 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }';
    const { errors } = (await (await post({ query, variables: { ids: Array.from({ length: 100 }, () => 0.5) } })).json()) as {
      errors: { message: string; extensions: { code: string } }[];
    };
    expect(errors).toHaveLength(51);
    expect(errors.at(-1)!.message).toMatch(/^Too many errors/);
    expect(new Set(errors.map(({ extensions }) => extensions.code))).toEqual(new Set(['BAD_USER_INPUT']));
  });

  it.each(requests)('is refused: $what is $status', async ({ status, send, allow, code = 'BAD_REQUEST' }) => {
    const response = await send();

    expect(response.status).toBe(status);
    expect(typeOf(response)).toMatch(/^application\/(graphql-response\+)?json$/);
    expect(response.headers.get('allow')).toBe(allow ?? null);
    expect((await bodyOf(response)).errors).toMatchObject([{ message: expect.any(String), extensions: { code } }]);
  });

  it.each(['', '/stream'])('hides nothing behind escapes that are no UTF-8, at /graphql%s', async (path) => {
    const get = async (search: string) => {
      const response = await fetch(`${system.url}${path}?${search}`, { headers: { accept: path ? 'text/event-stream' : JSON_TYPE } });
      return response.text();
    };
    const query = encodeURIComponent(`{ ${deep(101, '... {', ' __typename ', '}')} }`);
    expect(await get(`query=${query}`)).toContain('GRAPHQL_PARSE_FAILED');
    expect(await get(`query=%23%ff%0A${query}`)).toContain('GRAPHQL_PARSE_FAILED');
    expect(await get('query=%7B__typename%7D%23%ff%zz')).toContain('"data":{"__typename":"Query"}');
    const variables = (levels: number) => `variables=%7B"a":"%ff","b":${deep(levels, '%5B', '', '%5D')}%7D`;
    expect(await get(`query={__typename}&${variables(99)}`)).toContain('"data":{"__typename":"Query"}');
    expect(await get(`query={__typename}&${variables(100)}`)).toContain('"BAD_USER_INPUT"');
  });

  it('is told what is wrong with it in few words, however often and at whatever length it is wrong', async () => {
    const input = Object.fromEntries(Array.from({ length: 15_000 }, (_, i) => [`message${i}`, 0]));
    const query = 'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status } }';
    for (const response of [
      await post({ query, variables: { input } }),
      await post({ query, variables: { input } }, { accept: 'text/event-stream' }),
    ]) {
      const body = await response.text();
      expect(body).toContain('…');
      expect(body.length).toBeLessThan(100_000);
    }
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

describe('a client with its defaults', () => {
  const urql = (options: Partial<ClientOptions> = {}) => new Client({ url: system.url, exchanges: [fetchExchange], ...options });

  it('of urql asks by GET, and changes by POST', async () => {
    const { id, client } = await system.author();
    const methods: (string | undefined)[] = [];
    const watched: typeof fetch = (url, init) => {
      methods.push(init?.method);
      return fetch(url, init);
    };
    const headers = { authorization: `Bearer ${client.accessToken}` };
    const asking = urql({ fetch: watched, fetchOptions: { headers } });
    const query = await asking.query('query ($id: ID!) { author(id: $id) { id } viewer { id } }', { id }).toPromise();
    expect([query.error, query.data]).toEqual([undefined, { author: { id }, viewer: { id } }]);
    const mutation = await asking.mutation('mutation { postCheep(input: { message: "by urql" }) { status } }', {}).toPromise();
    expect([mutation.error, mutation.data]).toEqual([undefined, { postCheep: { status: 'COMMITTED' } }]);
    expect(methods).toEqual(['GET', 'POST']);
  });

  it('of urql subscribes over HTTP, where it is told to', async () => {
    const { client } = await system.author();
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: 'hello' } });
    const headers = { authorization: `Bearer ${client.accessToken}` };
    const { error, data } = await urql({ fetchSubscriptions: true, fetchOptions: { headers } })
      .subscription<{ command: { name: string } }>('subscription ($id: ID!) { command(id: $id) { name } }', { id: postCheep.commandId })
      .toPromise();
    expect([error, data]).toEqual([undefined, { command: { name: 'PostCheep' } }]);
  });
});

describe('a request by GET', () => {
  const get = async (headers: Record<string, string>, query = '{ __typename }') => {
    const response = await send('GET', `/graphql?query=${encodeURIComponent(query)}`, headers);
    return response.status;
  };

  it('is answered if no page of a stranger can have sent it, and never kept by caches', async () => {
    for (const headers of [
      { accept: JSON_TYPE },
      { accept: 'Application/JSON;q=0.5' },
      { accept: '*/*', 'sec-fetch-site': 'same-origin' },
      { accept: '*/*', 'sec-fetch-site': 'cross-site', origin: FRIEND },
      { accept: '*/*', 'graphql-require-preflight': '1' },
    ] as Record<string, string>[])
      expect({ headers, status: await get(headers) }).toEqual({ headers, status: 200 });
    const kept = await send('GET', '/graphql?query={__typename}', { accept: JSON_TYPE });
    expect(kept.headers['cache-control']).toBe('no-store');
  });

  it('is refused at both paths if one could have', async () => {
    for (const headers of [
      { accept: '*/*' },
      { accept: JSON_TYPE, 'sec-fetch-site': 'cross-site' },
      { accept: JSON_TYPE, 'sec-fetch-site': 'same-site' },
      { accept: JSON_TYPE, origin: 'https://stranger.example' },
      { accept: 'text/event-stream', origin: 'null' },
    ] as Record<string, string>[]) {
      for (const path of ['/graphql', '/graphql/stream']) {
        const { status, body } = await send('GET', `${path}?query={__typename}`, headers);
        expect({ path, headers, status }).toEqual({ path, headers, status: 400 });
        expect(JSON.parse(body)).toMatchObject({ errors: [{ extensions: { code: 'BAD_REQUEST' } }] });
      }
    }
  });

  it('changes nothing, whatever it says', async () => {
    for (const headers of [
      { accept: JSON_TYPE },
      { accept: '*/*' },
      { accept: 'text/event-stream' },
      { accept: JSON_TYPE, 'sec-fetch-site': 'same-origin' },
    ] as Record<string, string>[])
      expect(await get(headers, 'mutation { logOut }')).toBe(405);
  });

  it('that somebody has typed in without a question gets the IDE', async () => {
    const navigation = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'sec-fetch-site': 'cross-site' };
    const { status, headers, body } = await send('GET', '/graphql', navigation);
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    expect(body).toContain('<title>Cheeper</title>');
  });
});

describe('a body', () => {
  const bytes = (text: string, encoding: BufferEncoding) => Buffer.from(text, encoding);
  const question = '{"query":"{ __typename }"}';
  const as = async (contentType: string, body: Buffer = bytes(question, 'utf8'), headers: Record<string, string> = {}) => {
    const statuses = await Promise.all(
      ['/graphql', '/graphql/stream'].map(
        async (path) => (await send('POST', path, { 'content-type': contentType, ...headers }, body)).status,
      ),
    );
    expect(new Set(statuses).size).toBe(1);

    return statuses[0];
  };

  it.each([
    'application/json',
    'Application/JSON; Charset=UTF-8',
    'application/json;charset="utf-8"',
    'application/json ; charset=utf8',
    'application/json; profile="a;charset=latin1"',
  ])('of the type %s is read', async (contentType) => {
    expect(await as(contentType)).toBe(200);
  });

  it.each([
    'application/json; charset=iso-8859-1',
    'application/json;charset="UTF-16"',
    'application/json; Charset=us-ascii',
    'text/json',
    'application/json, text/plain',
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'x',
  ])('of the type %s is 415', async (contentType) => {
    expect(await as(contentType)).toBe(415);
  });

  it('that is compressed is 415, and one that is not UTF-8 is 400, not something else than what was meant', async () => {
    for (const encoding of ['gzip', 'GZIP', 'identity, br', 'deflate'])
      expect(await as(JSON_TYPE, undefined, { 'content-encoding': encoding })).toBe(415);
    expect(await as(JSON_TYPE, undefined, { 'content-encoding': 'identity' })).toBe(200);
    expect(await as(JSON_TYPE, bytes('{"query":"{ __typename } # é"}', 'latin1'))).toBe(400);
    expect(await as(JSON_TYPE, bytes(question, 'utf16le'))).toBe(400);
  });
});

describe('a request in an unusual form', () => {
  it('is understood, as HTTP has it', async () => {
    const json = { 'content-type': JSON_TYPE };
    const body = Buffer.from('{"query":"{ __typename }"}');
    for (const path of ['/graphql/', '/graphql/stream/', 'http://example.org/graphql']) {
      const { status } = await send('POST', path, json, body);
      expect({ path, status }).toEqual({ path, status: 200 });
    }
    const old = `POST /graphql HTTP/1.0\r\nContent-Type: ${JSON_TYPE}\r\nContent-Length: ${body.length}\r\n\r\n${body.toString()}`;
    expect(await exchange(old)).toMatch(/^HTTP\/1.1 200 [^]*"__typename":"Query"/);
    expect((await send('OPTIONS', '/graphql', {})).headers.allow).toBe('GET, POST');
    for (const path of ['/graphql', '/graphql/stream']) {
      const { status, headers } = await send('HEAD', path, {});
      expect([status, headers.allow]).toEqual([405, 'GET, POST']);
    }
  });

  it.each(['http://[/graphql', 'http:///graphql', '//graphql'])('and its target %s is no bug', async (path) => {
    const { status } = await send('POST', path, { 'content-type': JSON_TYPE }, Buffer.from('{"query":"{ __typename }"}'));
    expect(status).toBeLessThan(500);
  });

  it('whose answer its client would not take is not executed', async () => {
    const { id, client } = await system.author();
    const query = 'mutation { postCheep(input: { message: "unwanted" }) { status } }';
    for (const accept of ['text/html', 'multipart/mixed', 'application/json;q=0', 'image/*'])
      expect((await post({ query }, { accept, authorization: `Bearer ${client.accessToken}` })).status).toBe(406);
    await client.request(PostCheepReceiptDocument, { input: { message: 'wanted' } });
    expect(await system.sql('SELECT message FROM cheeps WHERE author_id = ?', [id])).toEqual([{ message: 'wanted' }]);
  });

  it('is answered in JSON where its operation ends, and as a stream where it does not, if the client takes both', async () => {
    const { id } = await system.author();
    const subscription = `subscription { timeline(authorId: "${id}") { __typename } }`;
    for (const accept of [`${JSON_TYPE}, text/event-stream`, `TEXT/EVENT-STREAM, ${GRAPHQL_TYPE};q=0.1`, 'text/event-stream, */*;q=0.1']) {
      const finite = await post({ query: '{ __typename }' }, { accept });
      expect([accept, finite.status, typeOf(finite)]).toEqual([accept, 200, expect.stringContaining('json')]);
      const stream = await post({ query: subscription }, { accept });
      expect([accept, stream.status, typeOf(stream)]).toEqual([accept, 200, 'text/event-stream']);
      await stream.body!.cancel();
    }
    expect((await post({ query: subscription }, { accept: `text/event-stream;q=0, ${JSON_TYPE}` })).status).toBe(400);
  });

  it('repeats a header, which is then a list', async () => {
    const ask = async (headers: Record<string, string>) => (await post({ query: '{ __typename }' }, headers)).status;
    expect(await ask({ 'x-cheeper-read': 'stale-ok, STALE-OK', 'x-cheeper-wait-ms': '10, 20' })).toBe(200);
    for (const headers of [
      { 'x-cheeper-read': 'strict, stale-ok' },
      { 'x-cheeper-read': 'x' },
      { 'x-cheeper-wait-ms': '10, x' },
      { 'x-cheeper-wait-ms': '0x10' },
    ] as Record<string, string>[])
      expect({ headers, status: await ask(headers) }).toEqual({ headers, status: 400 });
  });
});

describe('a batch', () => {
  it('signs nobody in: each operation that would is refused, and the others are answered', async () => {
    const { username } = await system.author();
    const logIn = `mutation { logIn(input: { usernameOrEmail: "${username}", password: "${PASSWORD}" }) { author { username } } }`;
    const response = await post([{ query: logIn }, { query: '{ __typename }' }, { query: 'mutation { logOut }' }]);
    expect(await response.json()).toMatchObject([
      { errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] },
      { data: { __typename: 'Query' } },
      { data: { logOut: true } },
    ]);
    const cookies = response.headers.getSetCookie().filter((line) => line.startsWith('cheeper_session='));
    expect(cookies).toEqual([expect.stringMatching(/^cheeper_session=;/)]);
  });
});

describe('a document with several faults', () => {
  const faults = ['one', 'two'].map((name, i) => ({
    message: expect.stringContaining(`"${name}"`),
    locations: [{ line: 1, column: i === 0 ? 3 : 7 }],
    extensions: { code: 'GRAPHQL_VALIDATION_FAILED' },
  }));
  const query = '{ one two }';

  it('is told of each of them, with the token of consistency, by POST and by GET', async () => {
    const got = await fetch(`${system.url}?${new URLSearchParams({ query, operationName: 'X' }).toString()}`, {
      headers: { accept: 'application/json' },
    });
    const posted = await post({ query, operationName: 'X', variables: { a: 1 } });
    expect([posted.status, got.status]).toEqual([400, 200]);
    for (const response of [posted, got])
      expect(await response.json()).toEqual({ errors: faults, extensions: { consistency: expect.anything() } });
  });

  it('is told so in its place in a batch, as often as it comes, while the others are answered', async () => {
    const response = await post([{ query }, { query: '{ __typename }' }, { query: '{' }, { query }]);
    expect(await response.json()).toMatchObject([
      { errors: faults },
      { data: { __typename: 'Query' } },
      { errors: [{ extensions: { code: 'GRAPHQL_PARSE_FAILED' } }] },
      { errors: faults },
    ]);
  });

  it('is not looked into where the request itself is wrong', async () => {
    const response = await post({ query, variables: 'none' });
    expect([response.status, await response.json()]).toMatchObject([400, { errors: [{ extensions: { code: 'BAD_REQUEST' } }] }]);
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
    ['TRACE', 405, 'TRACE /graphql HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['QUERY', 405, `QUERY /graphql HTTP/1.1\r\nHost: x\r\n${length}\r\n\r\n${body}`],
    ['PROPFIND', 405, 'PROPFIND /graphql/stream HTTP/1.1\r\nHost: x\r\n\r\n'],
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
    for (const name of [
      'apollographql-client-name',
      'apollographql-client-version',
      'x-apollo-operation-name',
      'graphql-require-preflight',
    ])
      expect(welcome.headers.get('access-control-allow-headers')).toContain(name);
    for (const name of ['apollo-require-preflight', 'traceparent', 'last-event-id', 'authorization'])
      expect(welcome.headers.get('access-control-allow-headers')).toContain(name);
    // It could say that it is one of ours.
    expect(welcome.headers.get('access-control-allow-headers')).not.toContain('forwarded');
    // Nothing by cookie.
    expect(welcome.headers.get('access-control-allow-credentials')).toBeNull();
    expect((await preflight('https://stranger.example')).headers.get('access-control-allow-origin')).toBeNull();

    const answer = await post({ query: '{ __typename }' }, { origin: FRIEND });
    expect(answer.headers.get('access-control-allow-origin')).toBe(FRIEND);
    for (const name of ['x-cheeper-consistency', 'retry-after', 'x-request-id'])
      expect(answer.headers.get('access-control-expose-headers')).toContain(name);
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
