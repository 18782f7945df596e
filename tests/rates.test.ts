/**
 * Rates: what a client may use over time, the same at all gateways and on every transport. Clients on this machine have none unless they say, as
 * a proxy would, that somebody else asks.
 */
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import WebSocket from 'ws';
import { CheeperClient } from '../client/client.js';
import { SearchAuthorsDocument } from '../client/operations.js';
import { Budget, BudgetStore } from '../gateway/budgets.js';
import { newId } from '../shared/ids.js';
import { Proxy } from './faults/proxy.js';
import { eventually, PASSWORD, startSystem, type System } from './system.js';

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: 2, env: { TRUST_PROXY: 'loopback' } });
});
afterAll(() => system?.stop());

let addresses = 0;
/** Of nobody else in this file. */
const newAddress = () => `203.0.113.${++addresses}`;

interface Result {
  data?: Record<string, unknown> | null;
  errors?: { message: string; path?: unknown; extensions: { code: string; retryable?: boolean; retryAfterMs?: number; budget?: string } }[];
  extensions?: { cost?: { requestedQueryCost: number; throttleStatus: Record<string, number> } };
}
interface Asked {
  address?: string | undefined;
  accessToken?: string | null;
  gateway?: number;
  accept?: string;
  path?: string;
  variables?: Record<string, unknown>;
}

async function send(body: unknown, { address, accessToken, gateway = 0, accept = 'application/json', path = '' }: Asked = {}) {
  const response = await fetch(`${system.urlOf(system.gateways[gateway]!)}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept,
      ...(address ? { 'x-forwarded-for': address } : {}),
      ...(accessToken ? { authorization: `Bearer ${accessToken}` } : {}),
    },
    body: JSON.stringify(body),
  });

  return { status: response.status, headers: response.headers, text: await response.text() };
}

async function ask(query: string, { variables = {}, ...options }: Asked = {}) {
  const { text, ...answer } = await send({ query, variables }, options);

  return { ...answer, ...(JSON.parse(text) as Result) };
}

/** The result of one operation on a socket of its own: what was answered, or the errors in its place. */
async function askOnSocket(query: string, { address, gateway = 0 }: Asked): Promise<Result> {
  const url = system.urlOf(system.gateways[gateway]!).replace('http', 'ws');
  const socket = new WebSocket(url, 'graphql-transport-ws', { headers: { 'x-forwarded-for': address! } });
  try {
    return await new Promise<Result>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('close', (code) => reject(new Error(`closed: ${code}`)));
      socket.once('open', () => socket.send('{"type":"connection_init"}'));
      socket.on('message', (data: Buffer) => {
        const { type, payload } = JSON.parse(data.toString()) as { type: string; payload: unknown };
        if (type === 'connection_ack') socket.send(JSON.stringify({ type: 'subscribe', id: '1', payload: { query } }));
        if (type === 'next') resolve(payload as Result);
        if (type === 'error') resolve({ errors: payload as NonNullable<Result['errors']> });
      });
    });
  } finally {
    socket.terminate();
  }
}

const SMALL = '{ viewer { id } }';
/** Asks for much, and finds nothing: about 8,000 points. */
const LARGE = `{ ${Array.from({ length: 30 }, (_, i) => `s${i}: searchAuthors(prefix: "zzzzzz", first: 100) { edges { node { id username followersCount } } }`).join(' ')} }`;

/** Uses up what the address has. */
async function useUp(address: string, options: Asked = {}): Promise<void> {
  await eventually(async () => (await ask(LARGE, { ...options, address })).status === 429, 'the budget is used up');
}

const logIn = (usernameOrEmail: string, password: string, options: Asked) =>
  ask('mutation ($input: LogInInput!) { logIn(input: $input) { session { accessToken } userErrors { code } } }', {
    ...options,
    variables: { input: { usernameOrEmail, password } },
  });
/** WRONG_CREDENTIALS, RATE_LIMITED, or that somebody is in. */
async function outcomeOf(usernameOrEmail: string, password: string, options: Asked): Promise<string> {
  const { data, errors } = await logIn(usernameOrEmail, password, options);
  const { session, userErrors } = (data?.logIn ?? {}) as { session?: unknown; userErrors?: { code: string }[] };

  return session ? 'IN' : (userErrors?.[0]?.code ?? errors![0]!.extensions.code);
}
const signUp = (name: string, options: Asked) =>
  ask('mutation ($input: SignUpInput!) { signUp(input: $input) { status userErrors { code } } }', {
    ...options,
    variables: { input: { username: name, email: `${name}@example.org`, password: PASSWORD } },
  });
const newName = () => `u${newId().slice(-10).replaceAll('-', '')}`;

describe('an answer', () => {
  it('says what it cost, and how much is left until when, on every transport', async () => {
    const address = newAddress();
    const { status, headers, extensions } = await ask(SMALL, { address });
    expect(status).toBe(200);
    const { requestedQueryCost, throttleStatus } = extensions!.cost!;
    expect(throttleStatus).toMatchObject({ maximumAvailable: 60_000, restoreRate: 3_000 });
    expect(throttleStatus.currentlyAvailable).toBeLessThanOrEqual(60_000);
    expect(requestedQueryCost).toBeGreaterThan(10);
    expect(headers.get('ratelimit-limit')).toBe('60000');
    expect(headers.get('ratelimit-remaining')).toBe(String(throttleStatus.currentlyAvailable));
    expect(Number(headers.get('ratelimit-reset'))).toBeLessThanOrEqual(20);
    expect(headers.get('ratelimit-policy')).toBe('60000;w=20');
    const cost = { requestedQueryCost, throttleStatus: expect.objectContaining({ restoreRate: 3_000 }) };
    expect((await askOnSocket(SMALL, { address })).extensions!.cost).toEqual(cost);
    const stream = await send({ query: SMALL }, { address, path: '/stream', accept: 'text/event-stream' });
    const [, event] = /^event: next\ndata: (.*)$/m.exec(stream.text)!;
    expect((JSON.parse(event!) as Result).extensions!.cost).toEqual(cost);
    expect(stream.headers.get('ratelimit-limit')).toBe('60000');
  });

  it('to a client on this machine says nothing of it', async () => {
    const { headers, extensions } = await ask(SMALL);
    expect(extensions!.cost).toBeUndefined();
    expect([...headers.keys()].filter((name) => name.startsWith('ratelimit'))).toEqual([]);
  });

  it('is exposed to pages of other origins with its headers', async () => {
    const own = await startSystem({ env: { ALLOWED_ORIGINS: 'https://a.example', RATE_LIMITS: 'on' } });
    try {
      const response = await fetch(own.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', origin: 'https://a.example' },
        body: JSON.stringify({ query: SMALL }),
      });
      expect(response.headers.get('access-control-expose-headers')).toContain('ratelimit-remaining');
      // With RATE_LIMITS=on there are rates on this machine too.
      expect(response.headers.get('ratelimit-limit')).toBe('60000');
    } finally {
      await own.stop();
    }
  });
});

describe('a budget that is used up', () => {
  it('is so at all gateways and on every transport, for that address alone', async () => {
    const address = newAddress();
    await useUp(address);
    const refused = await ask(LARGE, { address, gateway: 1 });
    expect(refused).toMatchObject({
      status: 429,
      errors: [{ extensions: { code: 'RATE_LIMITED', retryable: true, budget: 'cost-of-address' } }],
      extensions: { cost: { throttleStatus: { maximumAvailable: 60_000 } } },
    });
    expect(refused.data).toBeUndefined();
    const { retryAfterMs } = refused.errors![0]!.extensions;
    expect(refused.headers.get('retry-after')).toBe(String(Math.ceil(retryAfterMs! / 1_000)));
    expect(Number(refused.headers.get('ratelimit-remaining'))).toBeLessThan(10_000);
    const [both, socket, stream] = await Promise.all([
      ask(LARGE, { address, accept: 'application/graphql-response+json' }),
      askOnSocket(LARGE, { address, gateway: 1 }),
      send({ query: LARGE }, { address, path: '/stream', accept: 'text/event-stream' }),
    ]);
    expect(both.status).toBe(429);
    expect(socket.errors![0]!.extensions).toMatchObject({ code: 'RATE_LIMITED', retryable: true, retryAfterMs: expect.any(Number) });
    expect(stream.status).toBe(429);
    expect(stream.headers.get('retry-after')).not.toBeNull();

    expect((await ask(LARGE, { address: newAddress(), gateway: 1 })).status).toBe(200);
    expect((await ask(LARGE)).status).toBe(200);
    const { client } = await system.author();
    expect((await ask(LARGE, { address, accessToken: client.accessToken })).status).toBe(200);
  });

  it('is known before a document is looked at, on every transport', async () => {
    const address = newAddress();
    // It costs as much as refills in 0.8 s: for so long nobody from there is answered.
    const wrong = `{ nothing }${' '.repeat(240_000)}`;
    await useUp(address);
    const asked = async (): Promise<Result[]> => {
      await ask(wrong, { address });
      const [request, stream, socket] = await Promise.all([
        ask('{ nothing }', { address }),
        send({ query: '{ nothing }' }, { address, accept: 'text/event-stream', path: '/stream' }),
        askOnSocket('{ nothing }', { address }),
      ]);

      return [request, stream.status === 429 ? (JSON.parse(stream.text) as Result) : {}, socket];
    };
    const isRefused = ({ errors }: Result) =>
      errors?.[0]?.extensions.code === 'RATE_LIMITED' && errors[0].extensions.budget === 'cost-of-address';
    await eventually(async () => (await asked()).every(isRefused), 'what was left is used up by documents that are wrong');
  });

  it('refills', async () => {
    const address = newAddress();
    await useUp(address);
    await eventually(async () => (await ask(LARGE, { address, gateway: 1 })).status === 200, 'there is room again', 30_000);
  });

  it('is waited for by the client', async () => {
    const address = newAddress();
    await useUp(address);
    const client = new CheeperClient({ url: system.url, headers: { 'x-forwarded-for': address } });
    const { searchAuthors } = await client.query(SearchAuthorsDocument, { prefix: 'zzzzzz', first: 100 });
    expect(searchAuthors.edges).toEqual([]);
    await client.close();
  });

  it('refuses one operation of a batch, and answers the others', async () => {
    const address = newAddress();
    const { text, status } = await send(
      Array.from({ length: 10 }, () => ({ query: SMALL })),
      { address },
    );
    expect(status).toBe(200);
    expect((JSON.parse(text) as Result[]).every(({ data }) => data)).toBe(true);
    await useUp(address);
    const many = await send([{ query: LARGE }, { query: SMALL }], { address });
    const [large, small] = JSON.parse(many.text) as Result[];
    expect(large!.errors?.[0]?.extensions.code).toBe('RATE_LIMITED');
    expect(small!.data).toBeTruthy();
  });

  it('leaves keys in Redis only for as long as it takes to refill', async () => {
    await ask(LARGE, { address: newAddress() });
    const keys = await system.redis.keys(`${system.namespace}:rates:*`);
    expect(keys.length).toBeGreaterThan(0);
    const lifetimes = await Promise.all(keys.map((key) => system.redis.pttl(key)));
    // Some may be gone by now.
    expect(lifetimes.filter((ms) => ms === -1)).toEqual([]);
    expect(Math.max(...lifetimes)).toBeLessThanOrEqual(30 * 86_400_000);
  });
});

describe('a budget in Redis', () => {
  it('is granted, refused, charged, given back and refilled as one that a process counts', async () => {
    const store = new BudgetStore(system.redis, system.namespace);
    const budget = new Budget(store, { name: 'test', points: 10, refillSeconds: 1_000 });
    expect(await budget.take('a', 6)).toEqual({ isGranted: true, left: 4, retryAfterMs: 0 });
    const refused = await budget.take('a', 5);
    expect(refused).toMatchObject({ isGranted: false, left: 4 });
    expect(refused.retryAfterMs).toBeGreaterThan(50_000);
    expect(refused.retryAfterMs).toBeLessThanOrEqual(100_000);
    expect(await budget.take('a', 4)).toMatchObject({ isGranted: true, left: 0 });
    expect(await budget.charge('a', 5)).toMatchObject({ left: -5 });
    expect(await budget.used('a')).toBe(15);
    // The debt is bounded: else somebody would wait for hours.
    await budget.charge('a', 1_000);
    expect(await budget.used('a')).toBe(20);
    expect((await budget.take('a', 10)).retryAfterMs).toBeLessThanOrEqual(2_000_000);
    await budget.giveBack('a', 15);
    expect(await budget.used('a')).toBe(5);
    await budget.refill('a');
    expect(await budget.used('a')).toBe(0);
    // All of that was asked of Redis.
    expect(store.countedHere.size).toBe(0);
    expect(await system.redis.exists(`${system.namespace}:rates:test:a`)).toBe(0);
  });
});

describe('signing in', () => {
  const one = 'logIn(input: { usernameOrEmail: "a", password: "b" }) { userErrors { code } }';
  const MANY = [
    `mutation { a: ${one} b: ${one} }`,
    `mutation { ...A ...B } fragment A on Mutation { a: ${one} } fragment B on Mutation { ... on Mutation { b: ${one} } }`,
    `mutation ($yes: Boolean! = true) { a: ${one} ... @include(if: $yes) { b: ${one} } }`,
    `mutation { a: ${one} signUp(input: { username: "abc", email: "a@example.org", password: "12345678" }) { status } }`,
  ];

  it.each(MANY)('is done once in an operation, and not with %s', async (query) => {
    const address = newAddress();
    const refused = [{ extensions: { code: 'BAD_USER_INPUT' }, message: expect.stringContaining('at most 1 logIn or signUp') }];
    expect(await ask(query)).toMatchObject({ errors: refused });
    expect(await askOnSocket(query, { address })).toMatchObject({ errors: refused });
    const stream = await send({ query }, { path: '/stream', accept: 'text/event-stream' });
    expect(JSON.parse(/(?:^data: )?(\{.*\})/m.exec(stream.text)![1]!)).toMatchObject({ errors: refused });
  });

  it('is done by what is one field, or left out', async () => {
    const merged = `mutation { ${one} ... on Mutation { logIn(input: { usernameOrEmail: "a", password: "b" }) { author { id } } } }`;
    const left = `mutation ($no: Boolean! = false) { a: ${one} ... @include(if: $no) { b: ${one} } }`;
    for (const query of [merged, left]) expect((await ask(query)).errors).toBeUndefined();
  });

  it('is done in no batch, whose other operations are answered', async () => {
    const { text } = await send([{ query: `mutation { ${one} }` }, { query: SMALL }]);
    const [refused, answered] = JSON.parse(text) as Result[];
    expect(refused).toMatchObject({ errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] });
    expect(answered).toMatchObject({ data: { viewer: null } });
  });
});

describe('wrong log-ins', () => {
  it('are refused from one address after a few, at all gateways, and the owner signs in from elsewhere meanwhile', async () => {
    const [{ username }, address] = [await system.author(), newAddress()];
    const outcomes: string[] = [];
    for (let i = 0; i < 40; i++) outcomes.push(await outcomeOf(username, `wrong password ${i}`, { address, gateway: i % 2 }));
    const wrong = outcomes.filter((one) => one === 'WRONG_CREDENTIALS').length;
    expect(wrong).toBeGreaterThanOrEqual(5);
    expect(wrong).toBeLessThanOrEqual(10);
    expect(outcomes.filter((one) => one === 'RATE_LIMITED')).toHaveLength(40 - wrong);
    // Not even with the right password.
    const refused = await logIn(username.toUpperCase(), PASSWORD, { address, gateway: 1 });
    expect(refused).toMatchObject({ status: 429, errors: [{ extensions: { code: 'RATE_LIMITED', budget: 'log-in' } }] });
    expect(refused.headers.get('retry-after')).not.toBeNull();
    expect(await outcomeOf(username, PASSWORD, { address: newAddress() })).toBe('IN');
  });

  it('at one account from everywhere keep its owner out nowhere', async () => {
    const { username } = await system.author();
    const home = newAddress();
    expect(await outcomeOf(username, PASSWORD, { address: home })).toBe('IN');
    const attack = async (lane: number) => {
      for (let i = 0; i < 30; i++) await outcomeOf(username, 'wrong password', { address: `10.9.${lane}.${i}`, gateway: i % 2 });
    };
    await Promise.all(Array.from({ length: 5 }, (_, lane) => attack(lane)));
    // Who is new has one try at a time.
    const stranger = newAddress();
    expect(await outcomeOf(username, 'wrong password', { address: stranger })).toBe('WRONG_CREDENTIALS');
    const refused = await logIn(username, PASSWORD, { address: stranger, gateway: 1 });
    expect(refused.errors?.[0]?.extensions.retryAfterMs).toBeGreaterThan(30_000);
    // From where somebody has signed in before it is as ever, and from elsewhere the right password is enough.
    expect(await outcomeOf(username, 'wrong password', { address: home })).toBe('WRONG_CREDENTIALS');
    expect(await outcomeOf(username, PASSWORD, { address: home, gateway: 1 })).toBe('IN');
    expect(await outcomeOf(username, PASSWORD, { address: newAddress() })).toBe('IN');
  });

  it('at other accounts keep nobody out who has signed in at that address before', async () => {
    const [{ username }, address] = [await system.author(), newAddress()];
    expect(await outcomeOf(username, PASSWORD, { address })).toBe('IN');
    await eventually(async () => (await outcomeOf(newName(), 'wrong password', { address })) === 'RATE_LIMITED', 'too many were wrong');
    expect(await outcomeOf(username, PASSWORD, { address })).toBe('IN');
    const { username: another } = await system.author();
    expect(await outcomeOf(another, PASSWORD, { address })).toBe('RATE_LIMITED');
  });
});

describe('sign-ups, commands, sockets and subscriptions', () => {
  it('are counted: sign-ups of an address', async () => {
    const address = newAddress();
    const outcomes = await Promise.all(Array.from({ length: 25 }, (_, i) => signUp(newName(), { address, gateway: i % 2 })));
    const refused = outcomes.filter(({ status }) => status === 429);
    expect(refused.length).toBe(5);
    expect(refused[0]!.errors).toMatchObject([{ extensions: { code: 'RATE_LIMITED', budget: 'sign-ups' } }]);
    expect((await signUp(newName(), { address: newAddress() })).data).toMatchObject({ signUp: { status: 'COMMITTED' } });
    // What is refused for its fields counts for nothing.
    const other = newAddress();
    for (let i = 0; i < 30; i++) expect((await signUp('x', { address: other })).data).toMatchObject({ signUp: { status: 'REJECTED' } });
  });

  it('are counted: changes of an e-mail address, of an account wherever it is', async () => {
    const { client } = await system.author();
    const change = (i: number) =>
      ask('mutation ($email: String!) { changeEmail(input: { email: $email }) { status } }', {
        accessToken: client.accessToken,
        address: newAddress(),
        gateway: i % 2,
        variables: { email: `${newName()}@example.org` },
      });
    const statuses: number[] = [];
    for (let i = 0; i < 7; i++) statuses.push((await change(i)).status);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429, 429]);
  });

  it('are counted: sockets that are opened', async () => {
    const address = newAddress();
    const upgrade = (of: string) =>
      new Promise<{ status: number; retryAfter: string | undefined }>((resolve, reject) => {
        const asked = httpRequest(system.url, {
          headers: {
            ...{
              connection: 'Upgrade',
              upgrade: 'websocket',
              'sec-websocket-version': '13',
              'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
            },
            ...{ 'sec-websocket-protocol': 'graphql-transport-ws', 'x-forwarded-for': of },
          },
        });
        asked.once('upgrade', ({ statusCode }, socket) => {
          socket.destroy();
          resolve({ status: statusCode!, retryAfter: undefined });
        });
        asked.once('response', ({ statusCode, headers }) => resolve({ status: statusCode!, retryAfter: headers['retry-after'] }));
        asked.once('error', reject);
        asked.end();
      });
    const refused = await eventually(async () => {
      const outcomes = await Promise.all(Array.from({ length: 100 }, () => upgrade(address)));
      return outcomes.find(({ status }) => status === 429);
    }, 'sockets are refused');
    expect(refused.retryAfter).toBe('1');
    expect((await upgrade(newAddress())).status).toBe(101);
  });
});

describe('while Redis is away', () => {
  it('each gateway counts for itself, and mutations go on', async () => {
    const redisUrl = new URL(process.env.TEST_REDIS_URL!);
    const link = await Proxy.start(Number(redisUrl.port));
    redisUrl.port = String(link.port);
    const own = await startSystem({ env: { TRUST_PROXY: 'loopback', REDIS_URL: redisUrl.href } });
    const [before, address] = [system, newAddress()];
    system = own;
    try {
      const { username, client } = await own.author();
      link.cut();
      const outcomes: string[] = [];
      for (let i = 0; i < 20; i++) outcomes.push(await outcomeOf(username, 'wrong password', { address }));
      expect(outcomes.slice(0, 5)).toEqual(Array.from({ length: 5 }, () => 'WRONG_CREDENTIALS'));
      expect(outcomes.filter((one) => one === 'RATE_LIMITED').length).toBeGreaterThanOrEqual(10);
      const posted = await ask('mutation { postCheep(input: { message: "still here" }) { status } }', {
        address,
        accessToken: client.accessToken,
      });
      expect(posted).toMatchObject({ status: 200, data: { postCheep: { status: 'COMMITTED' } } });
      expect(posted.headers.get('ratelimit-limit')).toBe('1200000');
    } finally {
      system = before;
      link.heal();
      await own.stop();
      await link.stop();
    }
  });
});
