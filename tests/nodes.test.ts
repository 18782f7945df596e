/** Ids are global: each names one thing, of one type, which `node` and `nodes` find again; and the edges that mutations offer are those of the lists. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import {
  FollowAuthorReceiptDocument,
  MarkNotificationsReadDocument,
  PostCheepReceiptDocument,
  SignUpDocument,
} from '../client/operations.js';
import { derivedId, newId, partOf, SYSTEM } from '../shared/ids.js';
import { lockNames } from '../shared/names.js';
import { eventually, PASSWORD, startSystem, type System } from './system.js';

type Author = Awaited<ReturnType<System['author']>>;
/** For those who are to wait in vain. */
const SHORT_WAIT_MS = 1_000;

let system: System;
let alice: Author, bob: Author;
beforeAll(async () => {
  system = await startSystem({ writeSides: 2 });
  [alice, bob] = await Promise.all([system.author(), system.author()]);
});
afterAll(() => system?.stop());

interface Answer<Data> {
  data: Data;
  errors?: { message: string; path?: string[]; extensions: Record<string, unknown> }[];
}

/** As this author asks, or nobody; having seen what alice and bob have. */
async function ask<Data>(author: Author | null, query: string, variables: object = {}, waitMs?: number): Promise<Answer<Data>> {
  const tokens = [alice, bob, author].flatMap((one) => one?.client.consistencyToken ?? []);
  const response = await fetch(system.url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(author ? { authorization: `Bearer ${author.client.accessToken}` } : {}),
      ...(waitMs === undefined ? {} : { 'x-cheeper-wait-ms': String(waitMs) }),
      ...(tokens.length > 0 ? { 'x-cheeper-consistency': tokens.join() } : {}),
    },
    body: JSON.stringify({ query, variables }),
  });
  const token = response.headers.get('x-cheeper-consistency');
  if (author && token) author.client.consistencyToken = token;

  return (await response.json()) as Answer<Data>;
}

async function read<Data>(author: Author | null, query: string, variables: object = {}): Promise<Data> {
  const { data, errors } = await ask<Data>(author, query, variables);
  expect(errors ?? []).toEqual([]);

  return data;
}

interface Node {
  __typename: string;
  id: string;
}
const nodes = async (author: Author | null, ids: string[]) =>
  (await read<{ nodes: (Node | null)[] }>(author, 'query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }', { ids })).nodes;

async function post({ client }: Author, message: string, inReplyTo: string | null = null, cheepId = newId()): Promise<string> {
  const { postCheep } = await client.mutate(PostCheepReceiptDocument, { input: { message, cheepId, inReplyTo } });
  expect(postCheep.userErrors).toEqual([]);

  return cheepId;
}
const remove = (author: Author, cheepId: string) =>
  read(author, 'mutation ($cheepId: ID!) { deleteCheep(input: { cheepId: $cheepId }) { status } }', { cheepId });

describe('nodes(ids:)', () => {
  it('finds things of all types, in the order of the ids, each as often as it is named, and null for what is not there', async () => {
    const [cheepId, gone, commandId] = [await post(alice, 'here'), await post(alice, 'gone'), newId()];
    await remove(alice, gone);
    await alice.client.mutate(FollowAuthorReceiptDocument, { input: { authorId: bob.id, commandId } });
    const welcome = await welcomeOf(alice);
    const ids = [cheepId, alice.id, newId(), `DeletedCheep:${gone}`, gone, cheepId, welcome, 'no id', commandId, bob.id.toUpperCase()];
    const cheep = { __typename: 'Cheep', id: cheepId };
    const found = [
      ...[cheep, { __typename: 'Author', id: alice.id }, null, { __typename: 'DeletedCheep', id: `DeletedCheep:${gone}` }, null, cheep],
      ...[{ __typename: 'WelcomeNotification', id: welcome }, null, { __typename: 'Command', id: commandId }],
      { __typename: 'Author', id: bob.id },
    ];
    expect(await nodes(alice, ids)).toEqual(found);
    const isOwn = (node: Node | null) => node?.__typename === 'WelcomeNotification' || node?.__typename === 'Command';
    for (const other of [bob, null]) expect(await nodes(other, ids)).toEqual(found.map((node) => (isOwn(node) ? null : node)));
    for (const [i, id] of ids.entries()) {
      const { node } = await read<{ node: Node | null }>(alice, 'query ($id: ID!) { node(id: $id) { __typename id } }', { id });
      expect({ id, node }).toEqual({ id, node: found[i] });
    }
  });

  it('shows of each what its type has', async () => {
    const [question, gone] = [await post(alice, 'a question'), await post(alice, 'gone')];
    const answer = await post(bob, 'an answer', question);
    await remove(alice, gone);
    const reply = await eventually(async () => {
      const query = '{ notifications(first: 1) { nodes { id ... on ReplyNotification { cheep { id } } } } }';
      const { notifications } = await read<{ notifications: { nodes: { id: string; cheep?: { id: string } }[] } }>(alice, query);

      return notifications.nodes.find(({ cheep }) => cheep?.id === answer)?.id;
    }, 'a notification of the reply');
    const shown = await read(
      alice,
      `query ($ids: [ID!]!) { nodes(ids: $ids) {
        ... on Author { username cheeps(first: 1) { nodes { message } } }
        ... on Cheep { message author { username } replies { nodes { message } } }
        ... on DeletedCheep { cheepId }
        ... on ReplyNotification { read at cheep { message author { username } } }
      } }`,
      { ids: [bob.id, question, `DeletedCheep:${gone}`, reply] },
    );
    expect(shown).toEqual({
      nodes: [
        { username: bob.username, cheeps: { nodes: [{ message: 'an answer' }] } },
        { message: 'a question', author: { username: alice.username }, replies: { nodes: [{ message: 'an answer' }] } },
        { cheepId: gone },
        { read: false, at: expect.any(String), cheep: { message: 'an answer', author: { username: bob.username } } },
      ],
    });
    await remove(bob, answer);
    expect(await nodes(alice, [reply])).toEqual([null]);
  });

  it('takes up to 100 ids, and counts each', async () => {
    const many = (n: number) => Array.from({ length: n }, () => alice.id);
    expect(await nodes(null, many(100))).toHaveLength(100);
    expect(await nodes(null, [])).toEqual([]);
    const { errors } = await ask(null, 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', { ids: many(101) });
    expect(errors).toMatchObject([{ message: '`ids` has 101 ids, and the maximum is 100.', extensions: { code: 'BAD_USER_INPUT' } }]);
    const nested = 'query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Author { cheeps(first: 100) { nodes { id author { id } } } } } }';
    expect((await ask(null, nested, { ids: many(100) })).errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' } }]);
    expect((await ask(null, nested, { ids: many(10) })).errors).toBeUndefined();
  });
});

async function welcomeOf(author: Author): Promise<string> {
  return eventually(async () => {
    const query = '{ notifications(first: 100) { nodes { __typename id } } }';
    const { notifications } = await read<{ notifications: { nodes: Node[] } }>(author, query);

    return notifications.nodes.find(({ __typename }) => __typename === 'WelcomeNotification')?.id;
  }, 'a welcome');
}

describe('an id that a caller chooses', () => {
  const signUp = async (authorId: string) => {
    const username = `u${newId().slice(-12)}`;
    const input = { username, email: `${username}@example.org`, password: PASSWORD, authorId };

    return (await system.client().request(SignUpDocument, { input })).signUp;
  };
  const postAs = async ({ client }: Author, cheepId: string) =>
    (await client.request(PostCheepReceiptDocument, { input: { message: 'mine', cheepId } })).postCheep;
  const refused = (code: string, field: string) => ({ status: 'REJECTED', userErrors: [{ code, field: [field] }] });

  it('is refused when something of another type has it', async () => {
    const [cheepId, gone, welcome] = [await post(alice, 'first'), await post(alice, 'gone'), await welcomeOf(alice)];
    await remove(alice, gone);
    for (const id of [cheepId, gone, welcome, bob.id]) expect(await signUp(id)).toMatchObject(refused('AUTHOR_ALREADY_EXISTS', 'authorId'));
    for (const id of [alice.id.toUpperCase(), bob.id, welcome]) {
      expect(await postAs(bob, id)).toMatchObject(refused('CHEEP_ALREADY_EXISTS', 'cheepId'));
    }
  });

  it('becomes one thing when two processes make two of it at once', async () => {
    const lock = lockNames(system.namespace);
    const ownerOf = async (id: string) => {
      const [row] = await system.sql<{ owner: number | null }>('SELECT IS_USED_LOCK(?) AS owner', [lock.lane(partOf(id, lanes))]);
      return row!.owner;
    };
    const [{ lanes }] = (await system.sql<{ lanes: number }>('SELECT lanes FROM journal_head')) as [{ lanes: number }];
    const both = async () => {
      const owners = await system.sql<{ owner: number | null }>(
        Array.from({ length: lanes }, () => 'SELECT IS_USED_LOCK(?) AS owner').join(' UNION ALL '),
        Array.from({ length: lanes }, (_, n) => lock.lane(n)),
      );
      return new Set(owners.map(({ owner }) => owner)).size === 2 && owners.every(({ owner }) => owner !== null);
    };
    await eventually(both, 'two processes share the lanes');
    const owner = await ownerOf(alice.id);
    let id = newId();
    while ((await ownerOf(id)) === owner) id = newId();

    // Neither can commit, so neither sees what the other makes.
    const head = await mysql.createConnection({ uri: system.env.MYSQL_URL });
    await head.query('START TRANSACTION');
    await head.query('SELECT * FROM journal_head FOR UPDATE');
    const made = Promise.all([signUp(id), postAs(alice, id)]);
    await eventually(async () => {
      const [rows] = await head.query<RowDataPacket[]>(
        `SELECT COUNT(*) AS waiting FROM information_schema.processlist WHERE db = ? AND info LIKE '%journal_head SET%' AND info NOT LIKE 'SELECT COUNT%'`,
        [system.namespace],
      );
      return Number(rows[0]!.waiting) === 2;
    }, 'both wait for the journal');
    await head.query('ROLLBACK');
    await head.end();

    const [author, cheep] = await made;
    expect([author.status, cheep.status].toSorted()).toEqual(['COMMITTED', 'REJECTED']);
    if (author.status === 'COMMITTED') expect(cheep).toMatchObject(refused('CHEEP_ALREADY_EXISTS', 'cheepId'));
    else expect(author).toMatchObject(refused('AUTHOR_ALREADY_EXISTS', 'authorId'));
    const [count] = await system.sql<{ things: number }>(
      '(SELECT (SELECT COUNT(*) FROM authors WHERE id = ?) + (SELECT COUNT(*) FROM cheeps WHERE id = ?) AS things)',
      [id, id],
    );
    expect(Number(count!.things)).toBe(1);
  });

  it('keeps nobody from being told, if a notification would have had it', async () => {
    const [reader, follower] = [await system.author(), await system.author()];
    const foreseen = derivedId(SYSTEM, `${reader.id}/follow/${follower.id}`);
    expect(await postAs(follower, foreseen)).toMatchObject({ status: 'COMMITTED' });
    await follower.client.mutate(FollowAuthorReceiptDocument, { input: { authorId: reader.id } });
    const told = () =>
      read<{ notifications: { nodes: Node[]; unreadCount: number } }>(reader, '{ notifications { nodes { __typename id } unreadCount } }');
    const { notifications } = await eventually(async () => {
      const data = await told();
      return data.notifications.nodes.length === 2 ? data : null;
    }, 'a welcome and a follow');
    const [{ __typename, id }] = notifications.nodes as [Node, Node];
    expect(__typename).toBe('FollowNotification');
    expect(id).not.toBe(foreseen);
    expect(await nodes(reader, [foreseen, id])).toEqual([
      { __typename: 'Cheep', id: foreseen },
      { __typename, id },
    ]);
    const { markNotificationsRead } = await reader.client.mutate(MarkNotificationsReadDocument, { input: { upTo: id } });
    expect(markNotificationsRead).toMatchObject({ status: 'COMMITTED', unreadCount: 0 });

    // Told once for ever, whatever its id.
    await read(follower, 'mutation ($id: ID!) { unfollowAuthor(input: { authorId: $id }) { status } }', { id: reader.id });
    await follower.client.mutate(FollowAuthorReceiptDocument, { input: { authorId: reader.id } });
    const later = await post(follower, `@${reader.username}`);
    await eventually(async () => (await told()).notifications.nodes.length === 3, 'a mention');
    expect((await told()).notifications.nodes.map((node) => node.__typename)).toEqual([
      'MentionNotification',
      'FollowNotification',
      'WelcomeNotification',
    ]);
    expect(later).not.toBe(foreseen);
  });
});

describe('an edge of a mutation', () => {
  const edges = 'edges { cursor node { id } }';
  interface Edge {
    cursor: string;
    node: { id: string };
  }

  it('is that of a new cheep in its author’s cheeps, in the replies and in timelines', async () => {
    const [writer, reader] = [await system.author(), await system.author()];
    await reader.client.mutate(FollowAuthorReceiptDocument, { input: { authorId: writer.id } });
    const question = await post(writer, 'a question');
    await post(writer, 'an answer', question);
    const { postCheep } = await read<{ postCheep: { cheepEdge: Edge; cheep: { id: string } } }>(
      writer,
      `mutation ($input: PostCheepInput!) { postCheep(input: $input) {
        cheep { id } cheepEdge { cursor node { id message author { username } replies { nodes { id } } } }
      } }`,
      { input: { message: 'another', inReplyTo: question } },
    );
    const { cheepEdge: edge, cheep } = postCheep;
    expect(edge.node).toEqual({ id: cheep.id, message: 'another', author: { username: writer.username }, replies: { nodes: [] } });
    await post(writer, 'newer', question);
    const lists = (after: string | null) =>
      read<{ author: { cheeps: { edges: Edge[] } }; cheep: { replies: { edges: Edge[] } }; timeline: { edges: Edge[] } }>(
        writer,
        `query ($author: ID!, $cheep: ID!, $reader: ID!, $after: String) {
          author(id: $author) { cheeps(after: $after) { ${edges} } }
          cheep(id: $cheep) { replies(after: $after) { ${edges} } }
          timeline(authorId: $reader, after: $after) { ${edges} }
        }`,
        { author: writer.id, cheep: question, reader: reader.id, after },
      ).then(({ author, cheep: { replies }, timeline }) => [author.cheeps.edges, replies.edges, timeline.edges]);
    const whole = await lists(null);
    const rest = await lists(edge.cursor);
    for (const [i, list] of whole.entries()) {
      const at = list.findIndex(({ node }) => node.id === cheep.id);
      expect(list[at]).toEqual({ cursor: edge.cursor, node: { id: cheep.id } });
      expect(rest[i]).toEqual(list.slice(at + 1));
    }
    expect(rest.map((list) => list.length)).toEqual([2, 1, 2]);
  });

  it('is that of a follow in the lists of both, also when it holds already, and null when it holds no more', async () => {
    const [reader, writer, other] = [await system.author(), await system.author(), await system.author()];
    const follow = (author: Author, of: Author, commandId = newId()) =>
      read<{ followAuthor: { followerEdge: Edge | null; followingEdge: Edge | null } }>(
        author,
        `mutation ($input: FollowAuthorInput!) { followAuthor(input: $input) {
          followerEdge { cursor node { id } } followingEdge { cursor node { id } }
        } }`,
        { input: { authorId: of.id, commandId } },
      ).then(({ followAuthor }) => followAuthor);
    await follow(other, writer);
    await follow(reader, other);
    const commandId = newId();
    const first = await follow(reader, writer, commandId);
    for (const again of [await follow(reader, writer), await follow(reader, writer, commandId)]) expect(again).toEqual(first);
    const lists = () =>
      read<{ writer: { followers: { edges: Edge[] } }; reader: { following: { edges: Edge[] } } }>(
        reader,
        `query ($writer: ID!, $reader: ID!) {
          writer: author(id: $writer) { followers { ${edges} } }
          reader: author(id: $reader) { following { ${edges} } }
        }`,
        { writer: writer.id, reader: reader.id },
      );
    expect(await lists()).toMatchObject({
      writer: { followers: { edges: [first.followerEdge, { node: { id: other.id } }] } },
      reader: { following: { edges: [first.followingEdge, { node: { id: other.id } }] } },
    });
    await read(reader, 'mutation ($id: ID!) { unfollowAuthor(input: { authorId: $id }) { status } }', { id: writer.id });
    expect(await follow(reader, writer, commandId)).toEqual({ followerEdge: null, followingEdge: null });
    // A new follow is at a new place, and so is the answer to a retry of the first.
    const second = await follow(reader, writer);
    expect(second.followerEdge!.cursor).not.toBe(first.followerEdge!.cursor);
    expect(await follow(reader, writer, commandId)).toEqual(second);
  });

  it('waits for its own write, as the thing itself does', async () => {
    const cheepId = newId();
    const query = 'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status cheepEdge { cursor } } }';
    const [readSide] = system.readSides;
    readSide!.signal('SIGSTOP');
    try {
      expect(await ask(alice, query, { input: { message: 'late', cheepId } }, SHORT_WAIT_MS)).toMatchObject({
        data: { postCheep: { status: 'COMMITTED', cheepEdge: null } },
        errors: [{ path: ['postCheep', 'cheepEdge'], extensions: { code: 'NOT_CAUGHT_UP' } }],
      });
      const follow = 'mutation ($id: ID!) { followAuthor(input: { authorId: $id }) { status followerEdge { cursor } } }';
      expect(await ask(bob, follow, { id: alice.id }, SHORT_WAIT_MS)).toMatchObject({
        data: { followAuthor: { status: 'COMMITTED', followerEdge: null } },
        errors: [{ path: ['followAuthor', 'followerEdge'], extensions: { code: 'NOT_CAUGHT_UP' } }],
      });
    } finally {
      readSide!.signal('SIGCONT');
    }
    await readSide!.ready();
  });

  it('is null when nothing was done, when it was only accepted, and when the cheep is gone', async () => {
    const query = 'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status cheepEdge { cursor node { id } } } }';
    const [commandId, cheepId] = [newId(), newId()];
    expect(await read(alice, query, { input: { message: ' ' } })).toEqual({ postCheep: { status: 'REJECTED', cheepEdge: null } });
    const accepted = { message: 'x', commandId, cheepId, waitFor: 'ACCEPTED' };
    expect(await read(alice, query, { input: accepted })).toEqual({ postCheep: { status: 'ACCEPTED', cheepEdge: null } });
    const input = { message: 'x', commandId, cheepId };
    expect(await read(alice, query, { input })).toMatchObject({ postCheep: { status: 'COMMITTED', cheepEdge: { node: { id: cheepId } } } });
    await remove(alice, cheepId);
    expect(await read(alice, query, { input })).toEqual({ postCheep: { status: 'COMMITTED', cheepEdge: null } });
  });
});

describe('a version that is not there yet', () => {
  it.each(['author', 'cheep'] as const)('is named at the deadline, beside the one that is there: %s', async (field) => {
    const cheepId = await post(alice, 'first');
    const known = field === 'author' ? alice.id : cheepId;
    const unknown = newId();
    const query = `query ($id: ID!) { ${field}(id: $id, minVersion: 99) { id } }`;
    const [there, not] = await Promise.all([
      ask(alice, query, { id: known }, SHORT_WAIT_MS),
      ask(alice, query, { id: unknown }, SHORT_WAIT_MS),
    ]);
    expect(there.errors![0]!.message).toMatch(
      new RegExp(
        `^The projection ${field}s\\S+ has applied position \\d+: it has version 1 of ${field} ${known}, and version 99 was asked for\\.$`,
      ),
    );
    expect(there.errors![0]!.extensions).toMatchObject({ code: 'NOT_CAUGHT_UP', version: 1, wantedVersion: 99 });
    expect(not.errors![0]!.message).toContain(`it has no ${field} ${unknown}, and version 99 was asked for.`);
    expect(not.errors![0]!.extensions).toMatchObject({ code: 'NOT_CAUGHT_UP', version: 0, wantedVersion: 99 });
    expect(there.errors![0]!.extensions).not.toHaveProperty('wanted');
  });
});
