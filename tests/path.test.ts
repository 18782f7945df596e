import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  AuthorDocument,
  AuthorListsDocument,
  CheepDocument,
  CommandDocument,
  FollowAuthorDocument,
  FollowAuthorReceiptDocument,
  LiveTimelineDocument,
  PostCheepDocument,
  PostCheepReceiptDocument,
  TimelineDocument,
  UnfollowAuthorDocument,
  type TimelineQuery,
} from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { startSystem, type System } from './system.js';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

describe('one cheep, all the way', () => {
  it('reaches the timeline page and the live frames of who follows its author', async () => {
    const [bob, alice] = [await system.author(), await system.author()];
    await alice.client.request(FollowAuthorDocument, { input: { authorId: bob.id } });
    const page = await alice.client.request(TimelineDocument, {});
    const frames = alice.client.subscribe(LiveTimelineDocument, { after: page.timeline.resumeCursor });
    const live = await frames.next();
    expect(live.value?.timeline.__typename).toBe('TimelineLive');

    const { postCheep } = await bob.client.request(PostCheepDocument, { input: { message: 'Hello world, this is Bob' } });
    expect(postCheep).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: { message: 'Hello world, this is Bob' } });

    const frame = await frames.next();
    expect(frame.value?.timeline).toMatchObject({
      __typename: 'CheepAdded',
      cheep: { id: postCheep.cheep!.id, author: { username: bob.username } },
    });
    alice.client.consistencyToken = bob.client.consistencyToken;
    const after = await alice.client.request(TimelineDocument, {});
    expect(after.timeline.edges.map((edge) => edge.node.id)).toEqual([postCheep.cheep!.id]);
    const own = await bob.client.request(TimelineDocument, {});
    expect(own.timeline.edges).toEqual([]);
    await frames.return?.();
  });

  it('replays what was missed to a subscription that goes on from a cursor, then is live', async () => {
    const [bob, alice] = [await system.author(), await system.author()];
    await alice.client.request(FollowAuthorDocument, { input: { authorId: bob.id } });
    const { timeline } = await alice.client.request(TimelineDocument, {});
    const posted: string[] = [];
    for (const message of ['one', 'two', 'three']) {
      posted.push((await bob.client.request(PostCheepDocument, { input: { message } })).postCheep.cheep!.id);
    }
    alice.client.consistencyToken = bob.client.consistencyToken;
    const frames = alice.client.subscribe(LiveTimelineDocument, { after: timeline.resumeCursor });
    const seen: string[] = [];
    let second = '';
    for await (const { timeline: frame } of frames) {
      if (frame.__typename === 'TimelineLive') break;
      if (frame.__typename === 'CheepAdded') seen.push(frame.cheep.id);
      if (seen.length === 2) second ||= frame.cursor;
    }
    expect(seen).toEqual(posted);

    const again = alice.client.subscribe(LiveTimelineDocument, { after: second });
    expect((await again.next()).value?.timeline).toMatchObject({ __typename: 'CheepAdded', cheep: { id: posted[2] } });
    expect((await again.next()).value?.timeline.__typename).toBe('TimelineLive');
    await again.return?.();
  });

  it('resets the live frames when the reader follows or unfollows', async () => {
    const [bob, alice] = [await system.author(), await system.author()];
    await bob.client.request(PostCheepDocument, { input: { message: 'before' } });
    const frames = alice.client.subscribe(LiveTimelineDocument, {});
    await frames.next();
    await alice.client.request(FollowAuthorDocument, { input: { authorId: bob.id } });
    expect((await frames.next()).value?.timeline).toMatchObject({ __typename: 'TimelineReset', reason: 'FOLLOWED' });
    const page = await alice.client.request(TimelineDocument, {});
    expect(page.timeline.edges.map((edge) => edge.node.message)).toEqual(['before']);

    await bob.client.request(PostCheepDocument, { input: { message: 'after' } });
    expect((await frames.next()).value?.timeline).toMatchObject({ __typename: 'CheepAdded', cheep: { message: 'after' } });
    await alice.client.request(UnfollowAuthorDocument, { input: { authorId: bob.id } });
    expect((await frames.next()).value?.timeline).toMatchObject({ __typename: 'TimelineReset', reason: 'UNFOLLOWED' });
    expect((await alice.client.request(TimelineDocument, {})).timeline.edges).toEqual([]);
    await frames.return?.();
  });

  it('pages a timeline by cursor, newest first, nothing twice and nothing left out', async () => {
    const [bob, alice] = [await system.author(), await system.author()];
    await alice.client.request(FollowAuthorReceiptDocument, { input: { authorId: bob.id } });
    const posted: string[] = [];
    for (let i = 0; i < 7; i++) {
      const { postCheep } = await bob.client.request(PostCheepReceiptDocument, { input: { message: `cheep ${i}`, cheepId: newId() } });
      expect(postCheep.status).toBe('COMMITTED');
      alice.client.consistencyToken = postCheep.consistencyToken!;
      const { timeline } = await alice.client.request(TimelineDocument, { first: 1 });
      posted.unshift(timeline.edges[0]!.node.id);
    }
    const seen: string[] = [];
    let after: string | null | undefined;
    do {
      const page: TimelineQuery = await alice.client.request(TimelineDocument, { first: 3, after });
      seen.push(...page.timeline.edges.map((edge) => edge.node.id));
      after = page.timeline.pageInfo.hasNextPage ? page.timeline.pageInfo.endCursor : null;
    } while (after);
    expect(seen).toEqual(posted);
  });
});
void [AuthorDocument, AuthorListsDocument, CheepDocument, CommandDocument];
