/** Requests that are allowed, and ask for as much as they may, again and again: others have their turns between them. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectNoHarm, READERS_ADDRESS, startVictim, type Victim } from './harm.js';

let victim: Victim;
beforeAll(async () => (victim = await startVictim({ cheeps: 120 })));
afterAll(() => victim?.stop());

const times = (count: number, field: (number: number) => string) => Array.from({ length: count }, (_, i) => `a${i}: ${field(i)}`).join(' ');

const ask = async (query: string, addressed: Record<string, string>, isKeptOpen = true) => {
  const response = await fetch(victim.system.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...addressed, ...(isKeptOpen ? {} : { connection: 'close' }) },
    body: JSON.stringify({ query }),
  });
  const { errors = [] } = (await response.json()) as { errors?: { extensions: { code: string } }[] };

  return errors.map(({ extensions }) => extensions.code);
};

const KINDS: [string, () => string][] = [
  ['small ones', () => '{ viewer { id } }'],
  [
    'pages within pages',
    () =>
      `{ author(id: "${victim.author.id}") { cheeps(first: 100) { nodes { author { cheeps(first: 40) { nodes { id message postedAt } } } } } } }`,
  ],
  [
    'the same object again and again',
    () => `{ author(id: "${victim.author.id}") { cheeps(first: 100) { nodes { ${times(40, () => 'author { id username }')} } } } }`,
  ],
  ['searches of all shards', () => `{ ${times(40, () => 'searchAuthors(prefix: "", first: 100) { nodes { id } }')} }`],
  ['documents with a hundred errors', () => `{ ${times(90, (i) => `searchAuthors(prefix: ${i}) { nodes { idd } }`)} }`],
];

describe('reads of as much as is allowed', () => {
  it.each(KINDS)('leave a reader its turns: %s', async (_, queryOf) => {
    const harm = await victim.harmOf(async ({ headers, signal }) => {
      while (!signal.aborted) await ask(queryOf(), headers);
    });
    expectNoHarm(harm);
  });

  it('leave a reader its turns when they come from this machine, for which there are no rates', async () => {
    const codes = new Set<unknown>();
    const harm = await victim.harmOf(
      async ({ headers, signal }) => {
        while (!signal.aborted) for (const code of await ask(KINDS[1]![1](), headers)) codes.add(code);
      },
      { areLocal: true },
    );
    expectNoHarm(harm);
    expect(codes).not.toContain('RATE_LIMITED');
  });

  it('leave a reader its turns when they come from its own address, each on a new connection', async () => {
    const harm = await victim.harmOf(async ({ signal }) => {
      while (!signal.aborted) await ask(KINDS[1]![1](), { 'x-forwarded-for': READERS_ADDRESS }, false);
    });
    expectNoHarm(harm);
  });
});
