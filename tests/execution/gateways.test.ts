/** The same over HTTP: a gateway, and one beside it that executes by graphql-js, answer alike, with the product's resolvers and its data. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { readFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSchema } from 'graphql';
import { freePort, ServiceProcess, SIGNING_KEY, startSystem, type System } from '../system.js';
import { newId } from '../../shared/ids.js';
import { sample, seedOf, type Habits } from './documents.js';
import { Random } from './random.js';

const SEED = Number(process.env['EXECUTOR_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
const DOCUMENTS = Number(process.env['EXECUTOR_RUNS'] ?? 150);
const AT_ONCE = 8;

let system: System;
let reference: ServiceProcess;
let accessToken: string;
let habits: Habits;
const logs = mkdtempSync(join(tmpdir(), 'cheeper-reference-'));

beforeAll(async () => {
  system = await startSystem();
  const port = await freePort();
  const hooked = { NODE_OPTIONS: `--import ${new URL('by-graphql-js.mjs', import.meta.url).href}`, SIGNING_KEY };
  const env = { ...process.env, ...system.env, ...hooked, PORT: String(port), HOST: '127.0.0.1', READ_DEADLINE_MS: '5000' };
  reference = new ServiceProcess('gateway', port, env, join(logs, 'reference.log'));
  reference.start();
  await reference.ready();
  habits = await town();
});
afterAll(async () => {
  await reference.stop();
  await system.stop();
  rmSync(logs, { recursive: true });
});

async function send(url: string, body: object) {
  const headers = { 'content-type': 'application/json', ...(accessToken ? { authorization: `Bearer ${accessToken}` } : {}) };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  const { extensions: _, ...answer } = (await response.json()) as Record<string, unknown>;

  return { status: response.status, answer };
}
const ours = (body: object) => send(system.url, body);
const theirs = (body: object) => send(system.urlOf(reference), body);

/** Bob, who writes cheeps and answers to them, and Alice, who reads them. */
async function town(): Promise<Habits> {
  const alice = await system.author();
  const bob = await system.author();
  accessToken = bob.client.accessToken!;
  const cheeps = [newId(), newId(), newId()];
  const mutate = (field: string, input: string) =>
    ours({ query: `mutation { ${field}(input: { ${input}, waitFor: PROJECTED }) { status } }` });
  for (const [i, id] of cheeps.entries()) {
    const answers = i > 0 ? `, inReplyTo: "${cheeps[i - 1]}"` : '';
    await mutate('postCheep', `cheepId: "${id}", message: "hello @${alice.username}"${answers}`);
    await mutate('likeCheep', `cheepId: "${id}"`);
  }
  await mutate('deleteCheep', `cheepId: "${cheeps[1]}"`);
  await mutate('followAuthor', `authorId: "${alice.id}"`);
  accessToken = alice.client.accessToken!;
  await mutate('followAuthor', `authorId: "${bob.id}"`);
  await mutate('updateProfile', 'name: "Alice"');
  const ids = [alice.id, bob.id, ...cheeps];

  return {
    isReadOnly: true,
    // Its answer is as of now; and a read waits for a version that never comes.
    without: ['funnel', 'minVersion'],
    textOf(name, random) {
      if (/^(id|authorId|cheepId)$/.test(name) || (name.length > 1 && random.chance(0.3))) return random.pick(ids);
      if (name === 'username') return random.pick([alice.username, bob.username]);

      return name === 'prefix' ? random.pick(['', 'u']) : undefined;
    },
  };
}

it('answers random queries as graphql-js does, also when they come again', async () => {
  const schema = buildSchema(readFileSync(new URL('../../schema.graphql', import.meta.url), 'utf8'));
  let withData = 0;
  const compare = async (i: number) => {
    const { text: query, requests } = sample(schema, new Random(seedOf(SEED, i)), habits);
    const body = { query, ...requests[0] };
    const expected = await theirs(body);
    if (expected.answer['data']) withData += 1;
    for (let time = 1; time <= 2; time++) {
      const { status, answer } = await ours(body);
      const what = `document ${i} of seed ${SEED} (EXECUTOR_SEED), time ${time}: ${JSON.stringify(body)}`;
      expect([what, status, JSON.stringify(answer)]).toEqual([what, expected.status, JSON.stringify(expected.answer)]);
    }
  };
  let next = 0;
  const lane = async () => {
    while (next < DOCUMENTS) await compare(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  // Else little would be compared.
  expect(withData).toBeGreaterThan(DOCUMENTS / 2);
});

const NOTHING = 'mutation($n: String) { updateProfile(input: { name: $n }) { status userErrors { code } author { name } } }';

it('takes an absent variable in a literal for absent, however often the document comes', async () => {
  for (let i = 0; i < 5; i++) {
    const { answer } = await ours({ query: NOTHING });
    expect(answer['data']).toEqual({ updateProfile: { status: 'REJECTED', userErrors: [{ code: 'NOTHING_TO_CHANGE' }], author: null } });
  }
  expect((await ours({ query: '{ viewer { name } }' })).answer['data']).toEqual({ viewer: { name: 'Alice' } });
});

it('takes a retry for the same command, however often its document comes', async () => {
  const commandId = newId();
  const query =
    'mutation($c: ID, $n: String, $b: String) { updateProfile(input: { commandId: $c, name: $n, biography: $b }) { status userErrors { code } } }';
  for (let i = 0; i < 5; i++) {
    const { answer } = await ours({ query, variables: { c: commandId, b: 'writes' } });
    expect(answer['data']).toEqual({ updateProfile: { status: 'COMMITTED', userErrors: [] } });
  }
  expect((await ours({ query: '{ viewer { name } }' })).answer['data']).toEqual({ viewer: { name: 'Alice' } });
});

it.each([
  ['a fragment that is skipped first', { query: '{ viewer { ...C @skip(if: true) ...C } } fragment C on Author { name }' }],
  [
    'a fragment that is left out elsewhere',
    { query: '{ a: viewer { ...C @include(if: false) name } b: viewer { ...C } } fragment C on Author { username name }' },
  ],
  [
    'a fragment that another operation skips',
    { query: 'query A { viewer { ...C @skip(if: true) } } query B { viewer { ...C } } fragment C on Author { name }', operationName: 'B' },
  ],
  ['an odd alias', { query: '{ __proto__: viewer { constructor: name __proto__: name } }' }],
  ['an odd variable', { query: 'query ($__proto__: Int) { timeline(first: $__proto__) { nodes { id } } }' }],
])('answers as graphql-js does each time: %s', async (_, body) => {
  const expected = await theirs(body);
  expect(expected.status).toBe(200);
  for (let i = 0; i < 4; i++) {
    if ('operationName' in body) await ours({ ...body, operationName: 'A' });
    const { status, answer } = await ours(body);
    expect([status, JSON.stringify(answer)]).toEqual([expected.status, JSON.stringify(expected.answer)]);
  }
});
