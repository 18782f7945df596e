/** Live timelines lose nothing: not behind rows that are late, not in a long replay. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  DeleteCheepDocument,
  EditCheepDocument,
  FollowAuthorDocument,
  LiveTimelineDocument,
  PostCheepReceiptDocument,
  TimelineDocument,
  type LiveTimelineSubscription,
} from '../client/operations.js';
import { newId } from '../shared/ids.js';
import type { Author } from './load.js';
import { eventually, startSystem, type System } from './system.js';

let system: System;
beforeAll(async () => {
  // One follower of a shard gets an author's cheeps; all others there merge them.
  system = await startSystem({ readSides: 2, env: { HOT_FOLLOWERS: '1' } });
});
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
  });

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
  });
});

const edit = async ({ client }: Author, cheepId: string, message: string) => {
  const { editCheep } = await client.request(EditCheepDocument, { input: { cheepId, message } });
  expect(editCheep.status).toBe('COMMITTED');
};
const remove = async ({ client }: Author, cheepId: string) => {
  const { deleteCheep } = await client.request(DeleteCheepDocument, { input: { cheepId } });
  expect(deleteCheep.status).toBe('COMMITTED');
};

type Shown = { id: string; message: string }[];
type Frame = LiveTimelineSubscription['timeline'];

/** What a client shows after a frame. */
function after(shown: Shown, frame: Frame): Shown {
  switch (frame.__typename) {
    case 'CheepAdded':
      return [{ id: frame.cheep.id, message: frame.cheep.message }, ...shown];
    case 'CheepEdited': {
      const { id, message } = frame.cheep;
      return shown.map((cheep) => (cheep.id === id ? { id, message } : cheep));
    }
    case 'CheepRemoved':
      return shown.filter(({ id }) => id !== frame.cheepId);
    case 'TimelineLive':
      return shown;
    default:
      throw new Error(`${frame.__typename} was not to be expected`);
  }
}

async function page({ client }: Author): Promise<{ shown: Shown; cursor: string }> {
  const { timeline } = await client.request(TimelineDocument, { first: 100 });

  return { shown: timeline.edges.map(({ node: { id, message } }) => ({ id, message })), cursor: timeline.resumeCursor! };
}

describe('edits and deletions', () => {
  it('make of a page and the frames after it what the page is now, for who is told and for who merges, live and replayed', async () => {
    // In 8 shards, two of 9 readers are in one at least.
    const [bob, ...readers] = await Promise.all(Array.from({ length: 10 }, () => system.author()));
    const author = bob!;
    const old = [await post(author, 'old 1'), await post(author, 'old 2'), await post(author, 'old 3')];
    for (const { client } of readers) await client.request(FollowAuthorDocument, { input: { authorId: author.id } });
    const start = await Promise.all(
      readers.map(async (reader) => {
        reader.client.consistencyToken = author.client.consistencyToken;
        const begun = await page(reader);
        expect(begun.shown).toHaveLength(3);
        return { reader, ...begun, frames: reader.client.subscribe(LiveTimelineDocument, { after: begun.cursor }) };
      }),
    );
    const following = start.map(async ({ frames, shown }) => {
      const states = [{ shown, cursor: '' }];
      for await (const { timeline: frame } of frames) {
        states.push({ shown: after(states.at(-1)!.shown, frame), cursor: frame.cursor });
        if (frame.__typename === 'CheepAdded' && frame.cheep.message === 'the last') return states;
      }
      throw new Error('the frames ended');
    });

    await edit(author, old[0]!, 'old 1, edited');
    const young = await post(author, 'young');
    await remove(author, old[1]!);
    await edit(author, young, 'young, edited');
    const short = await post(author, 'short');
    await edit(author, young, 'young, edited twice');
    await remove(author, short);
    await post(author, 'the last');

    const expected = ['the last', 'young, edited twice', 'old 3', 'old 1, edited'];
    const told = await Promise.all(following);
    for (const [i, { reader }] of start.entries()) {
      reader.client.consistencyToken = author.client.consistencyToken;
      const now = await page(reader);
      expect(now.shown.map(({ message }) => message)).toEqual(expected);
      expect(told[i]!.at(-1)!.shown).toEqual(now.shown);
      // From everywhere between, another time.
      for (const { shown, cursor } of told[i]!.slice(1)) {
        let replayed = shown;
        for await (const { timeline: frame } of reader.client.subscribe(LiveTimelineDocument, { after: cursor })) {
          replayed = after(replayed, frame);
          if (frame.__typename === 'TimelineLive') break;
        }
        expect(replayed).toEqual(now.shown);
      }
    }
  });

  it('are told, each with what it is about', async () => {
    const [bob, alice] = await pair();
    const frames = alice.client.subscribe(LiveTimelineDocument, {});
    const next = async () => (await frames.next()).value!.timeline;
    await next();
    const cheepId = await post(bob, 'befor');
    expect(await next()).toMatchObject({ __typename: 'CheepAdded', cheep: { id: cheepId, message: 'befor' } });
    await edit(bob, cheepId, 'before');
    expect(await next()).toMatchObject({ __typename: 'CheepEdited', cheep: { id: cheepId, message: 'before' } });
    await remove(bob, cheepId);
    expect(await next()).toMatchObject({ __typename: 'CheepRemoved', cheepId });
    await frames.return?.();
  });

  it('of what was deleted meanwhile are left out of a replay, which goes on to the end', async () => {
    const [bob, alice] = await pair();
    const { cursor } = await page(alice);
    const gone = await post(bob, 'soon gone');
    const kept = await post(bob, 'kept');
    await edit(bob, gone, 'soon gone, and edited');
    await remove(bob, gone);
    alice.client.consistencyToken = bob.client.consistencyToken;
    const seen: unknown[] = [];
    for await (const { timeline: frame } of alice.client.subscribe(LiveTimelineDocument, { after: cursor })) {
      seen.push(frame.__typename === 'CheepAdded' ? frame.cheep.id : frame.__typename === 'CheepRemoved' ? -1 : frame.__typename);
      if (frame.__typename === 'TimelineLive') break;
    }
    expect(seen).toEqual([kept, -1, 'TimelineLive']);
  });
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
    await eventually(async () => {
      const cheepId = newId();
      bob.client.consistencyToken = null;
      await bob.client.ask(PostCheepReceiptDocument, { input: { message: 'a new life', cheepId } });
      reader.consistencyToken = bob.client.consistencyToken;
      const page = await reader.ask(TimelineDocument, {});
      return page.data?.timeline.edges.some(({ node }) => node.id === cheepId);
    }, 'a write of the new epoch is read with its token');
    expect((await reader.ask(TimelineDocument, {}, { 'x-cheeper-consistency': old })).errors[0]?.extensions?.code).toBe('BAD_TOKEN');
    let frame = (await frames.next()).value!.timeline;
    while (frame.__typename === 'CheepAdded') frame = (await frames.next()).value!.timeline;
    expect(frame).toMatchObject({ __typename: 'TimelineReset', reason: 'CURSOR_TOO_OLD' });
    expect((await frames.next()).value!.timeline.__typename).toBe('TimelineLive');
    await post(bob, 'after the reset');
    expect((await frames.next()).value!.timeline.__typename).toBe('CheepAdded');
    await frames.return?.();
  });
});
