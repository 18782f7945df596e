/**
 * Read your own writes, whoever answers: 200 sessions over two gateways, two write sides and two read sides, while read sides
 * are stopped and continued.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { CheeperClient } from '../client/client.js';
import { AuthorDocument, CheepDocument, FollowAuthorReceiptDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { eventually, startSystem, type System } from './system.js';

const SESSIONS = 200;
const AUTHORS = 20;
const ROUNDS = 5;

let system: System;
let authors: Awaited<ReturnType<System['author']>>[];
beforeAll(async () => {
  system = await startSystem({ gateways: 2, writeSides: 2, readSides: 2 });
  authors = await Promise.all(Array.from({ length: AUTHORS }, () => system.author()));
}, 90_000);
afterAll(() => system?.stop());

describe('200 sessions at once, with read sides stopped and continued', () => {
  it('see their own writes by their token, or NOT_CAUGHT_UP, and never less', async () => {
    let isOver = false;
    const pauses = (async () => {
      for (let i = 0; !isOver; i++) {
        const readSide = system.readSides[i % 2]!;
        readSide.signal('SIGSTOP');
        await new Promise((resolve) => setTimeout(resolve, 300)); // How long a stall lasts is the input here, not a hope.
        readSide.signal('SIGCONT');
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    })();
    const results = await Promise.all(
      Array.from({ length: SESSIONS }, (_, n) => session(system.client({ accessToken: authors[n % AUTHORS]!.client.accessToken }), n)),
    );
    isOver = true;
    await pauses;

    const all = results.flat();
    expect(all.filter((result) => result.startsWith('stale'))).toEqual([]);
    expect(all.filter((result) => result !== 'fresh' && result !== 'NOT_CAUGHT_UP')).toEqual([]);
    expect(all.filter((result) => result === 'fresh').length).toBeGreaterThan(all.length / 2);
  }, 120_000);

  it('leave a journal without a gap, in the order of the stream, and projections that agree with it', async () => {
    // In one statement, as of one moment: reactions may still come.
    const [journal] = await system.sql<{ n: number; highest: number; head: number; posts: number }>(
      `SELECT COUNT(*) AS n, MAX(position) AS highest, (SELECT position FROM journal_head) AS head,
         CAST(SUM(type = 'CheepPosted') AS SIGNED) AS posts
       FROM journal`,
    );
    expect(journal).toMatchObject({ n: Number(journal!.head), highest: Number(journal!.head) });
    const client = system.client();
    await eventually(async () => {
      const counts = await Promise.all(authors.map(({ id }) => client.request(AuthorDocument, { id })));
      return counts.reduce((sum, { author }) => sum + author!.cheepsCount, 0) === Number(journal!.posts);
    }, 'the counts of cheeps add up to the journal’s');
  });
});

/** Mutation, then a query with its token, and compare; each time through the other gateway. */
async function session(client: CheeperClient, n: number): Promise<string[]> {
  const results: string[] = [];
  const me = authors[n % AUTHORS]!;
  for (let round = 0; round < ROUNDS; round++) {
    const [one, other] = (n + round) % 2 === 0 ? system.gateways : system.gateways.toReversed();
    client.url = system.urlOf(one!);
    const message = `session ${n}, round ${round}`;
    if (round % 2 === 0) {
      const cheepId = newId();
      const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message, cheepId } });
      expect(postCheep).toMatchObject({ status: 'COMMITTED', userErrors: [] });
      client.url = system.urlOf(other!);
      const { data, errors } = await client.ask(CheepDocument, { id: cheepId });
      results.push(errors[0] ? String(errors[0].extensions?.code) : data!.cheep?.message === message ? 'fresh' : 'stale cheep');
    } else {
      const followed = authors[(n * 7 + round) % AUTHORS]!;
      if (followed.id === me.id) continue;
      await client.request(FollowAuthorReceiptDocument, { input: { authorId: followed.id } });
      client.url = system.urlOf(other!);
      const { data, errors } = await client.ask(AuthorDocument, { id: followed.id });
      results.push(errors[0] ? String(errors[0].extensions?.code) : data!.author!.isFollowedByViewer ? 'fresh' : 'stale follow');
    }
  }

  return results;
}
