/** An author, and a cheep with its replies, live: each change once and in order, and again from a cursor on another gateway. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  DeleteCheepDocument,
  EditCheepDocument,
  FollowAuthorDocument,
  LiveAuthorDocument,
  LiveThreadDocument,
  PostCheepReceiptDocument,
  ThreadPageDocument,
  UpdateProfileDocument,
} from '../client/operations.js';
import { parseResumeCursor } from '../gateway/resume-cursor.js';
import { newId } from '../shared/ids.js';
import type { Author } from './load.js';
import { startSystem, type System } from './system.js';

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: 2 });
});
afterAll(() => system?.stop());

const elsewhere = (author: Author) =>
  system.client({
    url: system.urlOf(system.gateways[1]!),
    accessToken: author.client.accessToken,
    consistencyToken: author.client.consistencyToken,
  });

async function post({ client }: Author, message: string, inReplyTo: string | null = null): Promise<string> {
  const cheepId = newId();
  const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message, cheepId, inReplyTo } });
  expect(postCheep.userErrors).toEqual([]);

  return cheepId;
}

describe('subscription author(id)', () => {
  it('tells each change of the profile and of the counts, live and after a cursor', async () => {
    const [bob, alice] = [await system.author(), await system.author()];
    const frames = alice.client.subscribe(LiveAuthorDocument, { id: bob.id });
    const live = (await frames.next()).value!.author;
    expect(live.__typename).toBe('AuthorLive');

    await alice.client.request(FollowAuthorDocument, { input: { authorId: bob.id } });
    expect((await frames.next()).value!.author).toMatchObject({ __typename: 'AuthorChanged', author: { followersCount: 1 } });
    await bob.client.request(UpdateProfileDocument, { input: { name: 'Bob' } });
    expect((await frames.next()).value!.author).toMatchObject({ author: { name: 'Bob', version: 2 } });
    const cheepId = await post(bob, 'Hello');
    expect((await frames.next()).value!.author).toMatchObject({ author: { cheepsCount: 1 } });
    await bob.client.request(DeleteCheepDocument, { input: { cheepId } });
    const last = (await frames.next()).value!.author;
    expect(last).toMatchObject({ author: { cheepsCount: 0 } });

    const again = elsewhere(bob).subscribe(LiveAuthorDocument, { id: bob.id, after: live.cursor });
    const replayed = [];
    for await (const { author } of again) {
      if (author.__typename === 'AuthorLive') break;
      replayed.push(author);
    }
    expect(replayed).toHaveLength(4);
    expect(replayed.at(-1)!.cursor).toBe(last.cursor);
  });

  it('says nothing of others', async () => {
    const [bob, alice] = [await system.author(), await system.author()];
    const frames = alice.client.subscribe(LiveAuthorDocument, { id: bob.id });
    await frames.next();
    await post(alice, 'of no interest');
    await post(bob, 'of interest');
    expect((await frames.next()).value!.author).toMatchObject({ author: { id: bob.id, cheepsCount: 1 } });
  });
});

describe('subscription thread(cheepId)', () => {
  it('tells replies, edits and deletions of the cheep and of its replies, and begins after a page', async () => {
    const [bob, alice] = [await system.author(), await system.author()];
    const cheepId = await post(bob, 'What do you think?');
    alice.client.consistencyToken = bob.client.consistencyToken;
    const { cheep } = await alice.client.request(ThreadPageDocument, { id: cheepId });
    expect(cheep!.replies.nodes).toEqual([]);
    const after = cheep!.replies.resumeCursor!;
    const replyId = await post(alice, 'Yes', cheepId);
    await post(bob, 'a reply to the reply is not on this page', replyId);
    const goneId = await post(alice, 'and gone', cheepId);

    const frames = elsewhere(alice).subscribe(LiveThreadDocument, { cheepId, after });
    const next = async () => (await frames.next()).value!.thread;
    expect(await next()).toMatchObject({ __typename: 'ReplyAdded', cheep: { id: replyId, message: 'Yes' } });
    expect(await next()).toMatchObject({ __typename: 'ReplyAdded', cheep: { id: goneId } });
    expect(await next()).toMatchObject({ __typename: 'ThreadLive' });

    await alice.client.request(EditCheepDocument, { input: { cheepId: replyId, message: 'No' } });
    expect(await next()).toMatchObject({ __typename: 'ThreadCheepChanged', cheep: { id: replyId, message: 'No' } });
    await bob.client.request(EditCheepDocument, { input: { cheepId, message: 'What do you really think?' } });
    expect(await next()).toMatchObject({ __typename: 'ThreadCheepChanged', cheep: { id: cheepId } });
    await alice.client.request(DeleteCheepDocument, { input: { cheepId: goneId } });
    expect(await next()).toMatchObject({ __typename: 'ThreadCheepDeleted', cheepId: goneId });
    await bob.client.request(DeleteCheepDocument, { input: { cheepId } });
    expect(await next()).toMatchObject({ __typename: 'ThreadCheepDeleted', cheepId });
    await frames.return?.();

    // Once more from the beginning: what is gone by now is not told of but by its deletion.
    const types = [];
    for await (const { thread } of elsewhere(alice).subscribe(LiveThreadDocument, { cheepId, after })) {
      types.push(thread.__typename);
      if (thread.__typename === 'ThreadLive') break;
    }
    expect(types).toEqual(['ReplyAdded', 'ThreadCheepChanged', 'ThreadCheepDeleted', 'ThreadCheepDeleted', 'ThreadLive']);
  });

  it('begins after a page that shows the cheep as it was as of its cursor, however often that is edited', async () => {
    const bob = await system.author();
    const cheepId = await post(bob, '1');
    const edits: { version: number; position: number }[] = [];
    let isOver = false;
    const editing = (async () => {
      for (let version = 2; !isOver; version++) {
        const { extensions } = await bob.client.ask(EditCheepDocument, { input: { cheepId, message: String(version) } });
        edits.push({ version, position: Number(extensions.consistency!.position) });
      }
    })();
    const pages: { version: number; cursor: number; position: string }[] = [];
    const query = `{ cheep(id: "${cheepId}") { version replies { resumeCursor pageInfo { position } } } }`;
    const headers = { 'content-type': 'application/json', 'x-cheeper-consistency': bob.client.consistencyToken! };
    const read = async () => {
      while (pages.length < 600) {
        const answer = (await (await fetch(system.url, { method: 'POST', headers, body: JSON.stringify({ query }) })).json()) as {
          data: { cheep: { version: number; replies: { resumeCursor: string; pageInfo: { position: string } } } };
        };
        const { version, replies } = answer.data.cheep;
        pages.push({ version, cursor: parseResumeCursor(replies.resumeCursor).position, position: replies.pageInfo.position });
      }
    };
    await Promise.all(Array.from({ length: 4 }, read));
    isOver = true;
    await editing;
    // Neither on the page nor in a frame after it.
    const lost = pages.filter((page) => edits.some((edit) => edit.version > page.version && edit.position <= page.cursor));
    expect(lost).toEqual([]);
    expect(pages.every(({ cursor, position }) => String(cursor) === position)).toBe(true);
    expect(edits.length).toBeGreaterThan(5);
  });

  it('refuses what is no id, and no cursor', async () => {
    const alice = await system.author();
    for (const variables of [{ cheepId: 'x' }, { cheepId: newId(), after: 'x' }]) {
      await expect(alice.client.subscribe(LiveThreadDocument, variables).next()).rejects.toMatchObject({
        errors: [{ extensions: { code: 'BAD_USER_INPUT' } }],
      });
    }
  });
});
