/** What is small to send and large to answer, to check, or to keep. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PostCheepReceiptDocument } from '../../client/operations.js';
import { expectNoHarm, MAX_MEMORY, startVictim, type AttackOptions, type Victim } from './harm.js';

/** More than there is room for. */
const MANY_DOCUMENTS = 4_500;

let victim: Victim;
/** Somebody with a full page of long cheeps. */
let authorId: string;
beforeAll(async () => {
  victim = await startVictim();
  authorId = victim.author.id;
  for (let i = 0; i < 75; i++)
    await victim.author.client.mutate(PostCheepReceiptDocument, { input: { message: `${i} ${'wide '.repeat(50)}` } });
});
afterAll(() => victim?.stop());

const times = (n: number, make: (i: number) => string, between = ' ') => Array.from({ length: n }, (_, i) => make(i)).join(between);

async function send(
  body: unknown,
  headers: Record<string, string> = { 'x-forwarded-for': '192.0.2.1' },
): Promise<{ status: number; bytes: number; codes: unknown[] }> {
  const response = await fetch(victim.system.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  const answers = [JSON.parse(text)].flat() as { errors?: { extensions: { code: string } }[] }[];

  return {
    status: response.status,
    bytes: text.length,
    codes: answers.flatMap(({ errors = [] }) => errors.map(({ extensions }) => extensions.code)),
  };
}

/** The same again and again, each with a number of its own. */
function flood(bodyOf: (i: number) => unknown, options?: AttackOptions) {
  let i = 0;

  return victim.harmOf(async ({ headers, signal }) => {
    while (!signal.aborted) await send(bodyOf(i++), headers);
  }, options);
}

const cheeps = (inner: string, first = 100) => `author(id: "${authorId}") { cheeps(first: ${first}) { nodes { ${inner} } } }`;
/** Fragments that hold two of the next, and so many of it in the end. */
const doubling = (levels: number, leaf: string) =>
  `${times(levels, (i) => `fragment f${i} on Cheep { a: author { cheeps(first: 1) { nodes { ...f${i + 1} } } } ...f${i + 1} }`)} fragment f${levels} on Cheep { ${leaf} }`;

describe('an answer without end harms nobody', () => {
  it('asked for by ten operations in one request: it is refused', async () => {
    const query = `{ ${cheeps(`author { cheeps(first: 95) { nodes { ${times(45, (i) => `m${i}: message`)} } } }`)} }`;
    const batch = Array.from({ length: 10 }, () => ({ query }));
    expect(JSON.stringify(batch).length).toBeLessThan(9_000);
    expect(await send(batch)).toMatchObject({ status: 200, codes: Array.from({ length: 10 }, () => 'BAD_USER_INPUT') });
  });

  it('asked for by ten operations each of which may run alone', async () => {
    const query = `{ ${cheeps(times(30, (i) => `m${i}: message`))} }`;
    expect(await send({ query })).toMatchObject({ status: 200, codes: [] });
    const batch = Array.from({ length: 10 }, () => ({ query }));
    const { bytes, codes } = await send(batch);
    expect(new Set(codes)).toEqual(new Set(['ANSWER_TOO_LARGE']));
    expect(bytes).toBeLessThan(1.1 * 1024 * 1024);
    expectNoHarm(await flood(() => batch));
  });

  it('asked for from this machine, for which there are no rates', async () => {
    const query = `{ ${cheeps(times(30, (i) => `m${i}: message`))} }`;
    const batch = Array.from({ length: 10 }, () => ({ query }));
    const { codes } = await send(batch, {});
    expect(new Set(codes)).toEqual(new Set(['ANSWER_TOO_LARGE']));
    expectNoHarm(await flood(() => batch, { areLocal: true }));
  });

  it('asked for by fragments that multiply what has no fields', async () => {
    const query = `{ ${cheeps(`...f0 author { cheeps(first: 90) { nodes { ...f0 } } }`)} } ${doubling(
      3,
      times(20, (i) => `m${i}: message`),
    )}`;
    expect(query.length).toBeLessThan(1_000);
    expect(await send({ query })).toMatchObject({ codes: ['BAD_USER_INPUT'] });
    expectNoHarm(await flood(() => ({ query })));
  });

  it.each([
    ['long', 'message', 'ANSWER_TOO_LARGE'],
    ['many', 'likesCount', undefined],
  ])('asked for by one operation, whose values are as %s as they may be', async (_, field, code) => {
    const query = `{ ${cheeps(`author { cheeps(first: 22) { nodes { ${times(20, (i) => `m${i}: ${field}`)} } } }`)} }`;
    expect((await send({ query })).codes[0]).toBe(code);
    expectNoHarm(await flood(() => ({ query })));
  });
});

describe('documents that are all different harm nobody', () => {
  it('whose fragments expand to very many fields', async () => {
    let sent = 0;
    const document = (i: number) =>
      `query ($s: Boolean = false) { viewer { ...f0 } } ${times(8, (k) => `fragment f${k} on Author { a${i}: followers(first: 1) { nodes { ...f${k + 1} } } b${i}: following(first: 1) { nodes { ...f${k + 1} } } }`)} fragment f8 on Author { id @skip(if: $s) }`;
    expect(document(1_000).length).toBeLessThan(1_100);
    expect(await send({ query: document(1_000) })).toMatchObject({ status: 200, codes: [] });
    const before = victim.gateway();
    // Each three times: what comes again is what is worth keeping. From this machine: rates would leave only a few of them to be kept.
    expectNoHarm(await flood(() => ({ query: document(Math.floor(sent++ / 3)) }), { areLocal: true }));
    // The caches are full only after more than that.
    while (sent < MANY_DOCUMENTS)
      await Promise.all(Array.from({ length: 20 }, () => send({ query: document(Math.floor(sent++ / 3)) }, {})));
    const { pid, residentBytes } = victim.gateway();
    console.info(`${sent} documents: ${before.residentBytes} bytes before, ${residentBytes} after`);
    expect(pid).toBe(before.pid);
    expect(residentBytes).toBeLessThan(MAX_MEMORY * before.residentBytes);
  });

  it('that take as long to check as any', async () => {
    const wrong = (i: number) => `{ ${times(1_980, () => '\n', '')} ${times(900, (k) => `a${k}x${i}`)} }`;
    const repeated = (i: number) => `{ ${times(51, () => `viewer { cheeps { nodes { author { x${i}: id } } } }`)} }`;
    const spread = (i: number) =>
      `{ ${times(50, (k) => `...f${k}`)} } ${times(50, (k) => `fragment f${k} on Query { viewer { cheeps { nodes { x${i}: id } } } }`)}`;
    const codes = [wrong, repeated, spread].map(async (document) => new Set((await send({ query: document(1_000_000) })).codes));
    expect(await Promise.all(codes)).toEqual([new Set(['GRAPHQL_VALIDATION_FAILED']), new Set(), new Set()]);
    expectNoHarm(await flood((i) => ({ query: [wrong, repeated, spread][i % 3]!(i) })));
    expectNoHarm(await flood((i) => ({ query: [wrong, repeated, spread][i % 3]!(2_000_000 + i) }), { areLocal: true }));
  });

  it('with as many texts and comments as there is room for', async () => {
    const text = (i: number) => `{ author(id: "${i}${'\\u20ac'.repeat(16_000)}") { id } }`;
    const comments = (i: number) => `{ ${times(1_990, (k) => `#${i}${k}\n`, '')} __typename }`;
    for (const document of [text, comments]) expect(await send({ query: document(1_000_000) })).toMatchObject({ status: 200, codes: [] });
    expectNoHarm(await flood((i) => ({ query: [text, comments][i % 2]!(i) })));
  });
});

describe('variables without end harm nobody', () => {
  it.each([
    [
      'items, as many as are read',
      'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }',
      () => ({ ids: Array.from({ length: 9_900 }, () => 'a') }),
      'BAD_USER_INPUT',
    ],
    [
      'items, more than are read',
      'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }',
      () => ({ ids: Array.from({ length: 80_000 }, () => []) }),
      'BAD_REQUEST',
    ],
    [
      'a text',
      'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status } }',
      () => ({ input: { message: 'x', waitFor: 'x'.repeat(240_000) } }),
      'BAD_USER_INPUT',
    ],
    [
      'names, as many as are read',
      'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status } }',
      () => ({ input: Object.fromEntries(Array.from({ length: 990 }, (_, i) => [`a${i}`, 1])) }),
      'BAD_USER_INPUT',
    ],
    [
      'names, more than are read',
      '{ viewer { id } }',
      () => Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`a${i}`, 1])),
      'BAD_REQUEST',
    ],
  ])('that are %s', async (_, query, variables, code) => {
    const body = { query, variables: variables() };
    expect(new Set((await send(body)).codes)).toEqual(new Set([code]));
    expectNoHarm(await flood(() => body));
  });
});

describe('requests of other kinds that cost much harm nobody', () => {
  it('a long name of an operation', async () => {
    const body = { query: times(140, (i) => `query q${i} { __typename }`), operationName: 'x'.repeat(200_000) };
    expect((await send(body)).codes).toEqual(['OPERATION_RESOLUTION_FAILURE']);
    expectNoHarm(await flood(() => body));
  });

  it('batches of mutations in documents that are new', async () => {
    const post = (i: number) => `mutation { ${times(10, (k) => `m${k}: postCheep(input: { message: "${i}" }) { status }`)} }`;
    const batch = (i: number) => Array.from({ length: 10 }, () => ({ query: post(i) }));
    expect(new Set((await send(batch(1_000_000))).codes)).toEqual(new Set(['UNAUTHENTICATED']));
    expectNoHarm(await flood(batch));
  });
});

it('a mutation whose answer is too large has taken place, and says so', async () => {
  const { client } = victim.author;
  const commandId = randomUUID();
  const query = `mutation ($input: PostCheepInput!) { first: postCheep(input: $input) { status cheep { author { cheeps(first: 100) { nodes { ${times(95, (i) => `m${i}: message`)} } } } } } second: logOut }`;
  const response = await fetch(victim.system.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${client.accessToken!}` },
    body: JSON.stringify({ query, variables: { input: { message: 'Is it there?', commandId } } }),
  });
  const { data, errors } = (await response.json()) as { data: unknown; errors: { extensions: { code: string; mutations?: unknown } }[] };
  expect(data).toBeNull();
  expect(errors.map(({ extensions }) => [extensions.code, extensions.mutations])).toEqual([
    ['ANSWER_TOO_LARGE', { begun: ['first'], notBegun: ['second'] }],
  ]);
  const again = await client.mutate(PostCheepReceiptDocument, { input: { message: 'Is it there?', commandId } });
  expect(again.postCheep.status).toBe('COMMITTED');
});
