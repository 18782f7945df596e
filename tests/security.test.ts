/**
 * What is not there in production, unless somebody switches it on: on HTTP, on sockets and on event streams. And the kinds of requests by which scanners
 * of GraphQL servers, such as graphql-cop, tell whether one of them is open to abuse.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { connect } from 'node:net';
import { RawSocket } from './raw-socket.js';
import { PASSWORD, startSystem, type System } from './system.js';

interface Answer {
  status: number;
  headers: Headers;
  text: string;
  body: { data?: Record<string, unknown> | null; errors?: { message: string; extensions: Record<string, unknown> }[] };
}

const ask = async (url: string, init: RequestInit = {}): Promise<Answer> => {
  const response = await fetch(url, init);
  const text = await response.text();
  let body = {};
  try {
    body = JSON.parse(text) as Answer['body'];
  } catch {
    // It is a page, or a stream.
  }

  return { status: response.status, headers: response.headers, text, body };
};
const JSON_BODY = { 'content-type': 'application/json' };
const postTo =
  (url: string) =>
  (body: unknown, headers: Record<string, string> = {}) =>
    ask(url, { method: 'POST', headers: { ...JSON_BODY, ...headers }, body: JSON.stringify(body) });

describe('in production', () => {
  let system: System;
  beforeAll(async () => (system = await startSystem({ env: { NODE_ENV: 'production', TRUST_PROXY: 'loopback' } })));
  afterAll(() => system?.stop());
  const post = (body: unknown, headers: Record<string, string> = {}) => postTo(system.url)(body, headers);
  const get = (query: string, headers: Record<string, string> = {}) => ask(`${system.url}?query=${encodeURIComponent(query)}`, { headers });
  const named = (query: string) => post({ query: `query probe ${query}`, operationName: 'probe' });

  it('there is an endpoint, which says what kind of operation it has executed', async () => {
    expect((await named('{ __typename }')).body.data).toEqual({ __typename: 'Query' });
  });

  describe('a scanner finds', () => {
    it('no schema', async () => {
      const { body } = await named('{ __schema { types { name fields { name } } } }');
      expect(body.data ?? null).toBeNull();
      expect(body.errors![0]!.message).toBe('__schema is not answered here: introspection is turned off.');
    });

    it('no schema in circles either', async () => {
      const { body } = await named('{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }');
      expect(body.data ?? null).toBeNull();
    });

    it.each([
      ['a field of the schema', '{ __schema { directive } }', {}],
      ['a field', '{ viewe { id } }', {}],
      ['an argument', '{ timeline(firs: 1) { nodes { id } } }', {}],
      ['a type', '{ ... on Quer { __typename } }', {}],
      ['a value of an enum', 'mutation { postCheep(input: { message: "x", waitFor: PROJECTE }) { status } }', {}],
      ['a field of an input', 'mutation { postCheep(input: { messag: "x" }) { status } }', {}],
      ['a variable’s value', 'mutation ($to: WaitFor) { postCheep(input: { message: "x", waitFor: $to }) { status } }', { to: 'PROJECTE' }],
      ['a field of a variable', 'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status } }', { input: { messag: 'x' } }],
    ])('no suggestion for %s', async (_, query, variables) => {
      const { text, body } = await post({ query, variables });
      expect(body.errors!.length).toBeGreaterThan(0);
      expect(text).not.toMatch(/did you mean/i);

      const stream = await postTo(`${system.url}/stream`)({ query, variables });
      expect(stream.text).toContain('"errors"');
      expect(stream.text).not.toMatch(/did you mean/i);
    });

    it('no IDE', async () => {
      const root = system.url.replace('/graphql', '');
      for (const path of ['/graphql', '/']) {
        const { status, text } = await ask(root + path, { headers: { accept: 'text/html' } });
        expect({ path, status, text }).toEqual({ path, status: 200, text: 'GraphQL is at /graphql, by POST.\n' });
      }
      expect((await ask(`${root}/ruru/ruru.js`)).status).toBe(404);
    });

    it('no query by GET that a page could have sent', async () => {
      expect((await get('query probe { __typename }')).status).toBe(400);
    });

    it('no mutation by GET', async () => {
      expect((await get('mutation probe { __typename }', { accept: 'application/json' })).status).toBe(405);
    });

    it('no query in a form', async () => {
      const { status } = await ask(system.url, { method: 'POST', body: new URLSearchParams({ query: 'query probe { __typename }' }) });
      expect(status).toBe(415);
    });

    it('no traces', async () => {
      const { body } = await named('{ __typename }');
      expect(JSON.stringify(body)).not.toMatch(/tracing/i);
      expect(Object.keys((body as { extensions: object }).extensions).sort()).toEqual(['consistency', 'cost']);
    });

    it('no exception in an error', async () => {
      const { body, text } = await post({ query: 'qwerty probe { abc }', operationName: 'probe' });
      expect(body.errors![0]!.extensions).toEqual({ code: 'GRAPHQL_PARSE_FAILED' });
      expect(text).not.toMatch(/exception|stack/i);
    });

    it('no batches', async () => {
      for (const operations of [1, 10]) {
        const { status, body } = await post(Array.from({ length: operations }, () => ({ query: 'query probe { __typename }' })));
        expect(status).toBe(400);
        expect(body.errors![0]!.extensions.code).toBe('BAD_REQUEST');
      }
    });
  });

  it('sockets answer no introspection, and suggest nothing', async () => {
    const socket = await RawSocket.ready(system.url);
    for (const [query, message] of [
      ['{ __schema { queryType { name } } }', '__schema is not answered here: introspection is turned off.'],
      ['{ a: __type(name: "Query") { name } }', '__type is not answered here: introspection is turned off.'],
      ['{ viewe { id } }', 'Cannot query field "viewe" on type "Query".'],
    ]) {
      socket.subscribe('one', query!);
      const { type, payload } = await socket.next();
      expect({ type, message: (payload as { message: string }[])[0]!.message }).toEqual({ type: 'error', message });
    }
    socket.subscribe('two', '{ __typename }');
    expect((await socket.only('two')).data).toEqual({ __typename: 'Query' });
    socket.close();
  });

  it('event streams answer no introspection', async () => {
    const { text } = await postTo(`${system.url}/stream`)({ query: '{ __type(name: "Query") { name } }' });
    expect(text).toContain('__type is not answered here: introspection is turned off.');
    expect((await postTo(`${system.url}/stream`)({ query: '{ __typename }' })).text).toContain('"__typename":"Query"');
  });

  it('answers are nothing that a browser runs, shows or frames, and do not say what made them', async () => {
    for (const { headers } of [await named('{ __typename }'), await ask(system.url.replace('/graphql', '/nowhere')), await get('{')]) {
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'");
      expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
      expect(headers.get('server')).toBeNull();
      expect(headers.get('x-powered-by')).toBeNull();
      expect(headers.get('strict-transport-security')).toBeNull();
    }
    const { headers } = await post({ query: '{ __typename }' }, { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'example.org' });
    expect(headers.get('strict-transport-security')).toBe('max-age=31536000');
  });

  it('a token that is no good is answered with what would be', async () => {
    const mutation = { query: 'mutation { postCheep(input: { message: "x" }) { status } }' };
    for (const url of [system.url, `${system.url}/stream`]) {
      const { status, headers } = await postTo(url)(mutation, { authorization: 'Bearer nobody' });
      expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer error="invalid_token"']);
    }
  });

  it('other methods are not allowed, and that says which are', async () => {
    for (const method of ['TRACE', 'QUERY', 'PROPFIND', 'PATCH']) {
      const socket = connect(system.gateways[0]!.port, '127.0.0.1');
      socket.end(`${method} /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const [data] = (await once(socket, 'data')) as [Buffer];
      expect(String(data)).toMatch(/^HTTP\/1\.1 405 [^]*\r\nallow: GET, POST\r\n/i);
      socket.destroy();
    }
  });

  describe('over HTTPS', () => {
    const HTTPS = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'example.org', 'x-forwarded-for': '198.51.100.7' };
    const signIn = async () => {
      const { username } = await system.author();
      const query = `mutation { logIn(input: { usernameOrEmail: "${username}", password: "${PASSWORD}" }) { author { username } } }`;
      const { headers } = await post({ query }, HTTPS);

      return { username, cookies: headers.getSetCookie() };
    };
    const viewer = async (cookie: string, headers: Record<string, string> = HTTPS) =>
      ((await post({ query: '{ viewer { username } }' }, { ...headers, cookie })).body.data as { viewer: { username: string } | null })
        .viewer;

    it('cookies are of this very host only', async () => {
      const { cookies } = await signIn();
      expect(cookies.map((line) => line.split('=')[0]).sort()).toEqual(['__Host-cheeper_consistency', '__Host-cheeper_session']);
      for (const line of cookies) {
        expect(line).toMatch(/; Path=\/;/);
        expect(line).toMatch(/; Secure/);
        expect(line).not.toMatch(/domain/i);
      }
    });

    it('one that somebody else could have set does not count', async () => {
      const [mine, theirs] = [await signIn(), await signIn()];
      const tokenOf = ({ cookies }: typeof mine) =>
        /^__Host-cheeper_session=([^;]*)/.exec(cookies.find((line) => line.includes('session'))!)![1]!;
      expect(await viewer(`__Host-cheeper_session=${tokenOf(mine)}`)).toEqual({ username: mine.username });
      expect(await viewer(`cheeper_session=${tokenOf(theirs)}`)).toBeNull();
      for (const cookie of [
        `cheeper_session=${tokenOf(theirs)}; __Host-cheeper_session=${tokenOf(mine)}`,
        `__Host-cheeper_session=${tokenOf(mine)}; cheeper_session=${tokenOf(theirs)}`,
      ]) {
        expect(await viewer(cookie)).toEqual({ username: mine.username });
        // A proxy that does not tell its scheme makes no difference to who is signed in.
        expect(await viewer(cookie, {})).toEqual({ username: mine.username });
      }
      const socket = await RawSocket.ready(system.url, {}, { headers: { ...HTTPS, cookie: `cheeper_session=${tokenOf(theirs)}` } });
      socket.subscribe('who', '{ viewer { username } }');
      expect((await socket.only('who')).data).toEqual({ viewer: null });
      socket.close();
    });
  });
});

describe('in production, with all of it switched on', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem({ env: { NODE_ENV: 'production', INTROSPECTION: 'on', IDE: 'on', BATCHES: 'on' } });
  });
  afterAll(() => system?.stop());

  it('it is there', async () => {
    const post = postTo(system.url);
    expect((await post({ query: '{ __schema { queryType { name } } }' })).body.data).toEqual({
      __schema: { queryType: { name: 'Query' } },
    });
    expect((await post({ query: '{ viewe { id } }' })).text).toContain('Did you mean \\"viewer\\"?');
    expect((await post([{ query: '{ __typename }' }, { query: '{ __typename }' }])).body).toHaveLength(2);
    const root = system.url.replace('/graphql', '/');
    const page = await ask(root, { headers: { accept: 'text/html' } });
    expect(page.text).toContain('<title>Cheeper</title>');
    const policy = page.headers.get('content-security-policy')!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(/script-src ([^;]*)/.exec(policy)![1]).not.toContain('unsafe');
    const same = await ask(system.url, { headers: { accept: 'text/html' } });
    expect([same.text, same.headers.get('content-security-policy')]).toEqual([page.text, policy]);
    expect((await ask(`${root}ruru/ruru.js`)).status).toBe(200);
  });
});
