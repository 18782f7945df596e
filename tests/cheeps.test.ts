/** Cheeps are edited, deleted, answered, liked and mention people: the rules in docs/rules.md, through the public face. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { CheeperClient } from '../client/client.js';
import {
  AuthorDocument,
  AuthorListsDocument,
  ChangeUsernameDocument,
  CheepDetailsDocument,
  DeleteCheepDocument,
  EditCheepDocument,
  FollowAuthorReceiptDocument,
  LikeCheepDocument,
  NodeDocument,
  PostCheepDocument,
  PostCheepReceiptDocument,
  RepliesDocument,
  TimelineDocument,
  UnlikeCheepDocument,
} from '../client/operations.js';
import { newId } from '../shared/ids.js';
import type { EntryBody, EventType } from '../shared/messages/event.js';
import { startSystem, type System } from './system.js';

type Author = Awaited<ReturnType<System['author']>>;

let system: System;
/** Signed up once: whom a test needs, it takes from here, and gives each its own cheeps. */
let alice: Author, bob: Author, carol: Author;
beforeAll(async () => {
  system = await startSystem({ writeSides: 2 });
  [alice, bob, carol] = await Promise.all([system.author(), system.author(), system.author()]);
});
afterAll(() => system?.stop());

async function post({ client }: Author, message: string, inReplyTo: string | null = null): Promise<string> {
  const cheepId = newId();
  const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message, inReplyTo, cheepId } });
  expect(postCheep).toMatchObject({ status: 'COMMITTED', userErrors: [] });

  return cheepId;
}
const edit = async ({ client }: Author, cheepId: string, message: string, commandId?: string) =>
  (await client.request(EditCheepDocument, { input: { cheepId, message, ...(commandId ? { commandId } : {}) } })).editCheep;
const remove = async ({ client }: Author, cheepId: string, commandId?: string) =>
  (await client.request(DeleteCheepDocument, { input: { cheepId, ...(commandId ? { commandId } : {}) } })).deleteCheep;
const like = async ({ client }: Author, cheepId: string) => (await client.request(LikeCheepDocument, { input: { cheepId } })).likeCheep;
const unlike = async ({ client }: Author, cheepId: string) =>
  (await client.request(UnlikeCheepDocument, { input: { cheepId } })).unlikeCheep;
const reply = async ({ client }: Author, inReplyTo: string) =>
  (await client.request(PostCheepReceiptDocument, { input: { message: 'an answer', inReplyTo } })).postCheep;

/** The cheep as somebody sees it who has seen all that these have. */
async function look(id: string, { client }: { client: CheeperClient }, ...after: Author[]) {
  for (const { client: other } of after) await see(client, other);

  return (await client.request(CheepDetailsDocument, { id })).cheep;
}
/** Whoever looks has seen what the other has: a header may name several tokens. */
async function see(client: CheeperClient, other: CheeperClient) {
  const tokens = [client.consistencyToken, other.consistencyToken].filter(Boolean).join(',');
  const { errors } = await client.ask(NodeDocument, { id: newId() }, { 'x-cheeper-consistency': tokens });
  expect(errors).toEqual([]);
}

/** The types of the journal's entries that a command left. */
async function eventsOf(commandId: string | null | undefined): Promise<EventType[]> {
  const rows = await system.sql<{ type: EventType }>(
    `SELECT type FROM journal WHERE JSON_EXTRACT(body, '$.commandId') = ? ORDER BY position`,
    [commandId],
  );

  return rows.map(({ type }) => type);
}
const refused = (code: string, field = 'cheepId') => ({ status: 'REJECTED', userErrors: [{ code, field: [field] }] });

describe('editing a cheep', () => {
  it('changes its message, any number of times, and neither its place nor when it was posted', async () => {
    const cheepId = await post(alice, 'first');
    const newer = await post(alice, 'newer');
    const before = await look(cheepId, alice);
    expect(before).toMatchObject({ version: 1, message: 'first', editedAt: null });
    for (const [n, message] of ['second', 'third'].entries()) {
      const answer = await edit(alice, cheepId, message);
      expect(answer).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: { id: cheepId, version: n + 2, message } });
      expect(await eventsOf(answer.commandId)).toEqual(['CheepEdited']);
    }
    const after = await look(cheepId, alice);
    expect(after).toMatchObject({ version: 3, message: 'third', postedAt: before!.postedAt, author: { id: alice.id }, inReplyTo: null });
    expect(new Date(String(after!.editedAt)).getTime()).toBeGreaterThanOrEqual(new Date(String(before!.postedAt)).getTime());
    const { author } = await alice.client.request(AuthorListsDocument, { id: alice.id, first: 2 });
    expect(author!.cheeps.nodes.map(({ id }) => id)).toEqual([newer, cheepId]);
  });

  it('keeps what it answers', async () => {
    const parent = await post(bob, 'a question');
    const answer = await post(alice, 'yes', parent);
    await edit(alice, answer, 'no');
    expect(await look(answer, alice)).toMatchObject({
      message: 'no',
      inReplyTo: { __typename: 'Cheep', id: parent },
      ancestors: [{ id: parent }],
    });
  });

  it('to the same message has no effect, however it is written', async () => {
    const cheepId = await post(alice, 'caf\u00e9');
    for (const message of ['caf\u00e9', 'cafe\u0301']) {
      const answer = await edit(alice, cheepId, message);
      expect(answer).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: { version: 1, editedAt: null } });
      expect(await eventsOf(answer.commandId)).toEqual(['CommandHadNoEffect']);
    }
  });

  it('needs a message like any other', async () => {
    const cheepId = await post(alice, 'fine');
    expect(await edit(alice, cheepId, ' \n')).toMatchObject({ commandId: null, ...refused('TOO_SHORT', 'message') });
    expect(await edit(alice, cheepId, 'x'.repeat(261))).toMatchObject({ commandId: null, ...refused('TOO_LONG', 'message') });
    expect(await edit(alice, 'no id', 'fine')).toMatchObject({ commandId: null, ...refused('INVALID') });
  });
});

describe('deleting a cheep', () => {
  it('takes it out of everything, but for what answered it', async () => {
    await carol.client.request(FollowAuthorReceiptDocument, { input: { authorId: alice.id } });
    const [question, other] = [await post(bob, 'a question'), await post(alice, 'something else')];
    const answer = await post(alice, 'an answer that will go', question);
    const thanks = await post(bob, 'thanks', answer);
    await like(carol, answer);
    const count = async () => (await alice.client.request(AuthorDocument, { id: alice.id })).author!.cheepsCount;
    await see(alice.client, bob.client);
    const cheeps = await count();

    const deleted = await remove(alice, answer);
    expect(deleted).toMatchObject({ status: 'COMMITTED', userErrors: [], cheepId: answer });
    expect(await eventsOf(deleted.commandId)).toEqual(['CheepDeleted']);

    for (const reader of [alice, bob, carol]) {
      expect(await look(answer, reader, alice, bob)).toBeNull();
      expect((await reader.client.request(NodeDocument, { id: answer })).node).toBeNull();
    }
    expect(await count()).toBe(cheeps - 1);
    const lists = await alice.client.request(AuthorListsDocument, { id: alice.id, first: 1 });
    expect(lists.author!.cheeps.nodes.map(({ id }) => id)).toEqual([other]);
    const { timeline } = await carol.client.request(TimelineDocument, { first: 1 });
    expect(timeline.edges.map(({ node }) => node.id)).toEqual([other]);
    const replies = await alice.client.request(RepliesDocument, { id: question });
    expect(replies.cheep).toMatchObject({ repliesCount: 0, replies: { nodes: [] } });
    expect(await look(thanks, alice)).toMatchObject({
      inReplyTo: { __typename: 'DeletedCheep', id: `DeletedCheep:${answer}`, cheepId: answer },
      ancestors: [
        { __typename: 'Cheep', id: question },
        { __typename: 'DeletedCheep', id: `DeletedCheep:${answer}`, cheepId: answer },
      ],
    });
  });

  it('leaves nothing of its text in the projections', async () => {
    const [old, young] = [`${newId()} was written`, `${newId()} was written over it`];
    const cheepId = await post(alice, old);
    await look(cheepId, alice);
    expect(await keysWith(old)).not.toEqual([]);
    await edit(alice, cheepId, young);
    await look(cheepId, alice);
    await remove(alice, cheepId);
    expect((await alice.client.request(DeleteCheepDocument, { input: { cheepId, waitFor: 'PROJECTED' } })).deleteCheep.status).toBe(
      'PROJECTED',
    );
    expect(await keysWith(old)).toEqual([]);
    expect(await keysWith(young)).toEqual([]);
  });

  it('again has no effect, and makes no version that could be waited for', async () => {
    const cheepId = await post(alice, 'gone');
    await remove(alice, cheepId);
    const again = await remove(alice, cheepId);
    expect(again).toMatchObject({ status: 'COMMITTED', userErrors: [], cheepId });
    expect(await eventsOf(again.commandId)).toEqual(['CommandHadNoEffect']);
    expect((await alice.client.request(CheepDetailsDocument, { id: cheepId, minVersion: 2 })).cheep).toBeNull();
    const { errors } = await alice.client.ask(CheepDetailsDocument, { id: cheepId, minVersion: 3 }, { 'x-cheeper-wait-ms': '100' });
    expect(errors).toMatchObject([{ extensions: { code: 'NOT_CAUGHT_UP' } }]);
  });
});

describe('what is not there, not yours, or deleted', () => {
  it('is refused with the code that says so, and stays as it is', async () => {
    const [live, gone, unknown] = [await post(alice, 'live'), await post(alice, 'gone'), newId()];
    await remove(alice, gone);

    expect(await edit(alice, unknown, 'x')).toMatchObject(refused('CHEEP_NOT_FOUND'));
    expect(await remove(alice, unknown)).toMatchObject({ ...refused('CHEEP_NOT_FOUND'), cheepId: null });
    expect(await like(alice, unknown)).toMatchObject(refused('CHEEP_NOT_FOUND'));
    expect(await unlike(alice, unknown)).toMatchObject(refused('CHEEP_NOT_FOUND'));
    expect(await reply(alice, unknown)).toMatchObject(refused('CHEEP_NOT_FOUND', 'inReplyTo'));

    // Somebody else's, deleted or not.
    for (const cheepId of [live, gone]) {
      expect(await edit(bob, cheepId, 'mine')).toMatchObject(refused('NOT_YOUR_CHEEP'));
      expect(await remove(bob, cheepId)).toMatchObject({ ...refused('NOT_YOUR_CHEEP'), cheepId: null });
    }

    expect(await edit(alice, gone, 'back')).toMatchObject(refused('CHEEP_DELETED'));
    expect(await edit(alice, gone, '')).toMatchObject({ commandId: null, ...refused('TOO_SHORT', 'message') });
    for (const who of [alice, bob]) {
      expect(await like(who, gone)).toMatchObject(refused('CHEEP_DELETED'));
      expect(await reply(who, gone)).toMatchObject(refused('CHEEP_DELETED', 'inReplyTo'));
    }
    const unliked = await unlike(bob, gone);
    expect(unliked).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: null });
    expect(await eventsOf(unliked.commandId)).toEqual(['CommandHadNoEffect']);

    expect(await look(live, alice, bob)).toMatchObject({ version: 1, message: 'live' });
    expect(await look(gone, alice)).toBeNull();
  });

  it('is nobody’s who is not signed in', async () => {
    const cheepId = await post(alice, 'hands off');
    const nobody = { id: '', username: '', client: system.client() };
    const commands = [edit(nobody, cheepId, 'x'), remove(nobody, cheepId), like(nobody, cheepId), unlike(nobody, cheepId)];
    for (const command of await Promise.allSettled(commands)) {
      expect(command).toMatchObject({ status: 'rejected', reason: { code: 'UNAUTHENTICATED' } });
    }
  });

  it('can be asked for in capitals', async () => {
    const cheepId = await post(alice, 'ids are ids');
    expect(await edit(alice, cheepId.toUpperCase(), 'ids are still ids')).toMatchObject({ cheep: { id: cheepId } });
    expect(await like(bob, cheepId.toUpperCase())).toMatchObject({ cheep: { id: cheepId, likesCount: 1 } });
    expect(await remove(alice, cheepId.toUpperCase())).toMatchObject({ cheepId });
  });
});

describe('likes', () => {
  it('are counted once each, one’s own too, and told to the viewer', async () => {
    const cheepId = await post(alice, 'like me');
    expect(await like(bob, cheepId)).toMatchObject({ status: 'COMMITTED', cheep: { likesCount: 1, likedByViewer: true, version: 1 } });
    await see(alice.client, bob.client);
    expect(await look(cheepId, alice)).toMatchObject({ likesCount: 1, likedByViewer: false });
    expect(await like(alice, cheepId)).toMatchObject({ cheep: { likesCount: 2, likedByViewer: true } });
    const anybody = system.client({ consistencyToken: alice.client.consistencyToken });
    expect(await look(cheepId, { client: anybody })).toMatchObject({ likesCount: 2, likedByViewer: null });

    expect(await unlike(bob, cheepId)).toMatchObject({ status: 'COMMITTED', cheep: { likesCount: 1, likedByViewer: false } });
    expect(await like(bob, cheepId)).toMatchObject({ cheep: { likesCount: 2, likedByViewer: true } });
  });

  it('have no effect where they hold already', async () => {
    const cheepId = await post(alice, 'like me twice');
    expect(await eventsOf((await unlike(bob, cheepId)).commandId)).toEqual(['CommandHadNoEffect']);
    expect(await eventsOf((await like(bob, cheepId)).commandId)).toEqual(['CheepLiked']);
    const again = await like(bob, cheepId);
    expect(again).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: { likesCount: 1, likedByViewer: true } });
    expect(await eventsOf(again.commandId)).toEqual(['CommandHadNoEffect']);
    expect(await eventsOf((await unlike(bob, cheepId)).commandId)).toEqual(['CheepUnliked']);
    expect(await eventsOf((await unlike(bob, cheepId)).commandId)).toEqual(['CommandHadNoEffect']);
  });
});

describe('the same command again', () => {
  it('is done once, and answered the same', async () => {
    const cheepId = await post(alice, 'once');
    const [editing, deleting, liking] = [newId(), newId(), newId()];
    for (let time = 0; time < 3; time++) {
      expect(await edit(alice, cheepId, 'twice', editing)).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: { version: 2 } });
      const { likeCheep } = await bob.client.request(LikeCheepDocument, { input: { cheepId, commandId: liking } });
      expect(likeCheep).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: { likesCount: 1 } });
    }
    expect(await edit(alice, cheepId, 'something else', editing)).toMatchObject(refused('COMMAND_ID_REUSED', 'commandId'));
    const first = await remove(alice, cheepId, deleting);
    const second = await remove(alice, cheepId, deleting);
    expect(second).toEqual(first);
    expect(await eventsOf(deleting)).toEqual(['CheepDeleted']);
    // What was done stays done, and its answer the same, when the cheep is gone.
    expect(await edit(alice, cheepId, 'twice', editing)).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: null });
    expect(await eventsOf(editing)).toEqual(['CheepEdited']);
    expect(await eventsOf(liking)).toEqual(['CheepLiked']);
  });
});

describe('mentions', () => {
  const named = async (id: string, who: Author) => {
    const cheep = (await look(id, who))!;

    return cheep.mentions.map(({ start, end, author }) => [cheep.message.slice(start, end), author.id]);
  };

  it('are where a client’s language finds them, of those who had the name; the rest is text', async () => {
    const [a, b] = [alice.username, bob.username];
    const message = `👩‍👩‍👧 @${a}, @${b.toUpperCase()}! mail@${b} @nobody_${newId().slice(0, 8)} @${a}x (@${a})`;
    const cheepId = await post(carol, message);
    expect(await named(cheepId, carol)).toEqual([
      [`@${a}`, alice.id],
      [`@${b.toUpperCase()}`, bob.id],
      [`@${a}`, alice.id],
    ]);
  });

  it('are at most 20 names', async () => {
    const short = await system.author(`z${newId().slice(-4)}`);
    const cheepId = await post(carol, `@${short.username} `.repeat(21));
    expect(await named(cheepId, carol)).toHaveLength(20);
  });

  it('stay with the author when the name does not, and are made anew when the message is', async () => {
    const dave = await system.author();
    const old = dave.username;
    const message = `Hello @${old}`;
    const cheepId = await post(carol, message);
    const { changeUsername } = await dave.client.request(ChangeUsernameDocument, { input: { username: `x${newId().slice(-12)}` } });
    expect(changeUsername.userErrors).toEqual([]);
    const eve = await system.author();
    const renamed = await eve.client.request(ChangeUsernameDocument, { input: { username: old } });
    expect(renamed.changeUsername.userErrors).toEqual([]);
    const cheep = await look(cheepId, carol, dave, eve);
    expect(cheep!.mentions).toMatchObject([{ start: 6, end: 7 + old.length, author: { id: dave.id } }]);
    expect(cheep!.mentions[0]!.author.username).not.toBe(old);

    expect((await edit(carol, cheepId, `${message}!`)).cheep!.mentions).toMatchObject([{ author: { id: eve.id, username: old } }]);
    expect((await edit(carol, cheepId, 'Hello nobody')).cheep!.mentions).toEqual([]);
  });
});

describe('ancestors', () => {
  it('are the nearest 100, from the oldest down', async () => {
    const chain = [await post(alice, 'the beginning')];
    for (let i = 1; i <= 102; i++) chain.push(await post([alice, bob][i % 2]!, `answer ${i}`, chain.at(-1)));
    await see(alice.client, bob.client);
    const ids = async (i: number) => (await look(chain[i]!, alice))!.ancestors.map(({ id }) => id);
    expect(await ids(0)).toEqual([]);
    expect(await ids(1)).toEqual([chain[0]]);
    expect(await ids(100)).toEqual(chain.slice(0, 100));
    expect(await ids(102)).toEqual(chain.slice(2, 102));
  });

  it('cost what they may bring', async () => {
    const nested = (depth: number): string => (depth === 0 ? 'id' : `ancestors { ... on Cheep { ${nested(depth - 1)} } }`);
    const ask = async (depth: number) => {
      const query = `{ cheep(id: "${newId()}") { ${nested(depth)} } }`;
      const response = await fetch(system.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query }),
      });
      return (await response.json()) as { errors?: { extensions: { code: string } }[] };
    };
    expect((await ask(1)).errors).toBeUndefined();
    expect((await ask(3)).errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' } }]);
  });
});

describe('replies', () => {
  it('are listed oldest first, a page at a time, and counted while they are there', async () => {
    const parent = await post(alice, 'who is there?');
    const replies: string[] = [];
    for (let i = 0; i < 5; i++) replies.push(await post([alice, bob][i % 2]!, `number ${i}`, parent));
    await remove(bob, replies[1]!);
    await remove(alice, replies[4]!);
    await see(alice.client, bob.client);
    const live = [replies[0], replies[2], replies[3]];
    const seen: string[] = [];
    for (let after: string | null | undefined; ;) {
      const { cheep } = await alice.client.request(RepliesDocument, { id: parent, first: 2, after });
      expect(cheep!.repliesCount).toBe(3);
      expect(cheep!.replies.edges.map(({ node }) => node.id)).toEqual(cheep!.replies.nodes.map(({ id }) => id));
      seen.push(...cheep!.replies.nodes.map(({ id }) => id));
      if (!cheep!.replies.pageInfo.hasNextPage) break;
      after = cheep!.replies.pageInfo.endCursor;
    }
    expect(seen).toEqual(live);
  });

  it('and likes never come after the deletion of what they are to, whoever is first', async () => {
    const others = [bob, carol, ...(await Promise.all(Array.from({ length: 4 }, () => system.author())))];
    for (let round = 0; round < 8; round++) {
      const { postCheep } = await alice.client.request(PostCheepDocument, { input: { message: `round ${round}` } });
      const parent = postCheep.cheep!.id;
      // Over websockets or not, these are on their way at once; in which order they are done is what the journal says.
      const answers = await Promise.all([
        ...others.slice(0, 3).flatMap((author) => [like(author, parent), reply(author, parent)]),
        remove(alice, parent),
        ...others.slice(3).flatMap((author) => [reply(author, parent), like(author, parent)]),
      ]);
      for (const { status, userErrors } of answers) {
        if (status === 'COMMITTED') expect(userErrors).toEqual([]);
        else expect(userErrors).toMatchObject([{ code: 'CHEEP_DELETED' }]);
      }
      const journal = await system.sql<{ position: number; body: string | EntryBody }>(
        `SELECT position, body FROM journal WHERE type IN ('CheepPosted', 'CheepDeleted', 'CheepLiked') ORDER BY position`,
      );
      const about = journal
        .map(({ body }) => (typeof body === 'string' ? (JSON.parse(body) as EntryBody) : body).event)
        .filter((event) => ('cheepId' in event && event.cheepId === parent) || ('inReplyTo' in event && event.inReplyTo === parent));
      expect(about.at(-1)!.type).toBe('CheepDeleted');
      expect(about.filter(({ type }) => type === 'CheepDeleted')).toHaveLength(1);
      const done = answers.filter(({ status }) => status === 'COMMITTED').length;
      expect(about).toHaveLength(done + 1); // The post itself came before all of them.
    }
  });
});

/** The keys of this system whose content has this text. */
async function keysWith(text: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const some of system.redis.scanStream({ match: `${system.namespace}:*`, count: 1_000 })) keys.push(...(some as string[]));
  const types = await Promise.all(keys.map((key) => system.redis.type(key)));
  const contents = await Promise.all(
    keys.map(async (key, i): Promise<unknown> => {
      if (types[i] === 'string') return system.redis.get(key);
      if (types[i] === 'hash') return system.redis.hgetall(key);
      if (types[i] === 'stream') return system.redis.xrange(key, '-', '+');
      if (types[i] === 'zset') return system.redis.zrange(key, 0, -1);
      return types[i] === 'set' ? system.redis.smembers(key) : null;
    }),
  );

  return keys.filter((_, i) => JSON.stringify(contents[i]).includes(text));
}
