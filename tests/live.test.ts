/** Live timelines lose nothing: not behind rows that are late, not in a long replay. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { FollowAuthorDocument, LiveTimelineDocument, PostCheepReceiptDocument, TimelineDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import type { Author } from './load.js';
import { eventually, startSystem, type System } from './system.js';

let system: System;
beforeAll(async () => {
  system = await startSystem({ readSides: 2 });
}, 60_000);
afterAll(() => system?.stop());

async function pair(): Promise<[Author, Author]> {
  const [bob, alice] = [await system.author(), await system.author()];
  await alice.client.request(FollowAuthorDocument, { input: { authorId: bob.id } });

  return [bob, alice];
}

const post = async ({ client }: Author, message: string) => {
  const cheepId = newId();
  const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message, cheepId } });
  expect(postCheep.status).toBe('COMMITTED');

  return cheepId;
};

describe('a live timeline', () => {
  it('tells every cheep once and in order, while half of the shards stand still for longer than their lease', async () => {
    const [bob, alice] = await pair();
    const frames = alice.client.subscribe(LiveTimelineDocument, {});
    await frames.next();
    for (const readSide of system.readSides) {
      const seen: string[] = [];
      const reading = (async () => {
        while (seen.length < 12) {
          const { timeline } = (await frames.next()).value!;
          if (timeline.__typename === 'CheepAdded') seen.push(timeline.cheep.id);
        }
      })();
      readSide.signal('SIGSTOP');
      const posted: string[] = [];
      for (let i = 0; i < 12; i++) posted.push(await post(bob, `cheep ${i}`));
      await reading;
      readSide.signal('SIGCONT');
      await readSide.ready();
      expect(seen).toEqual(posted);
    }
    await frames.return?.();
  }, 60_000);

  it('replays more than a live queue may hold, and then says that it is live, while posting goes on', async () => {
    const [bob, alice] = await pair();
    const { timeline } = await alice.client.request(TimelineDocument, {});
    const ids = new Set<string>();
    await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        for (let i = 0; i < 30; i++) ids.add(await post(bob, `${n}/${i}`));
      }),
    );
    alice.client.consistencyToken = bob.client.consistencyToken;
    const frames = alice.client.subscribe(LiveTimelineDocument, { after: timeline.resumeCursor });
    let isOver = false;
    const posting = (async () => {
      while (!isOver) ids.add(await post(bob, 'meanwhile'));
    })();
    const seen: string[] = [];
    for await (const { timeline: frame } of frames) {
      if (frame.__typename === 'TimelineLive') break;
      expect(frame.__typename).toBe('CheepAdded');
      if (frame.__typename === 'CheepAdded') seen.push(frame.cheep.id);
    }
    isOver = true;
    await posting;
    expect(seen.length).toBeGreaterThanOrEqual(1_500);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.filter((id) => !ids.has(id))).toEqual([]);
  }, 60_000);
});

describe('a new epoch of the journal', () => {
  it('is heard of by all: reads and writes go on, old tokens are refused, live timelines are reset', async () => {
    const [bob, alice] = await pair();
    const frames = alice.client.subscribe(LiveTimelineDocument, {});
    await frames.next();
    const old = alice.client.consistencyToken!;
    await system.sql(`UPDATE journal_head SET epoch = 'another'`);
    const reader = system.client({ accessToken: alice.client.accessToken });
    bob.client.consistencyToken = null;
    await eventually(
      async () => {
        const cheepId = newId();
        bob.client.consistencyToken = null;
        await bob.client.ask(PostCheepReceiptDocument, { input: { message: 'a new life', cheepId } });
        reader.consistencyToken = bob.client.consistencyToken;
        const page = await reader.ask(TimelineDocument, {});
        return page.data?.timeline.edges.some(({ node }) => node.id === cheepId);
      },
      'a write of the new epoch is read with its token',
      20_000,
    );
    expect((await reader.ask(TimelineDocument, {}, { 'x-cheeper-consistency': old })).errors[0]?.extensions?.code).toBe('BAD_TOKEN');
    let frame = (await frames.next()).value!.timeline;
    while (frame.__typename === 'CheepAdded') frame = (await frames.next()).value!.timeline;
    expect(frame).toMatchObject({ __typename: 'TimelineReset', reason: 'CURSOR_TOO_OLD' });
    await post(bob, 'after the reset');
    expect((await frames.next()).value!.timeline.__typename).toBe('CheepAdded');
    await frames.return?.();
  }, 60_000);
});
