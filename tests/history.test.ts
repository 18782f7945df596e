/** What has happened to a thing: for its author through the public face, for operators from the journal, in whatever form it was written. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import mysql from 'mysql2/promise';
import {
  AuthorHistoryDocument,
  AuthorListsDocument,
  AuthorDocument,
  ChangeEmailDocument,
  ChangeUsernameDocument,
  CheepDetailsDocument,
  CheepDocument,
  CheepHistoryDocument,
  DeleteCheepDocument,
  EditCheepDocument,
  FollowAuthorReceiptDocument,
  PostCheepDocument,
  TimelineDocument,
  UnfollowAuthorDocument,
  UpdateProfileDocument,
} from '../client/operations.js';
import { history } from '../cli/history.js';
import { OperatorError, UsageError } from '../cli/subcommand.js';
import { newId } from '../shared/ids.js';
import { eventually, startSystem, type System } from './system.js';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

type Somebody = Awaited<ReturnType<System['author']>>;

const post = async ({ client }: Somebody, message: string, inReplyTo?: string) =>
  (await client.request(PostCheepDocument, { input: { message, inReplyTo } })).postCheep.cheep!;
const edit = ({ client }: Somebody, cheepId: string, message: string) => client.request(EditCheepDocument, { input: { cheepId, message } });
const remove = ({ client }: Somebody, cheepId: string) => client.request(DeleteCheepDocument, { input: { cheepId } });
const updateProfile = ({ client }: Somebody, input: object) => client.request(UpdateProfileDocument, { input });
const cheepHistory = async ({ client }: Pick<Somebody, 'client'>, id: string, first?: number, after?: string | null) =>
  (await client.request(CheepHistoryDocument, { id, first, after })).cheep;
const authorHistory = async ({ client }: Pick<Somebody, 'client'>, id: string, first?: number, after?: string | null) =>
  (await client.request(AuthorHistoryDocument, { id, first, after })).author;
/** Positions and times of an aggregate's entries. */
const entriesOf = async (id: string) => {
  const rows = await system.sql<{ position: number; body: string }>(
    // Its notifications go by the author's id too.
    `SELECT position, body FROM journal WHERE aggregate_id = ? AND aggregate_type <> 'Notifications' ORDER BY aggregate_version`,
    [id],
  );
  return rows.map(({ position, body }) => ({ position: Number(position), at: (JSON.parse(body) as { at: string }).at }));
};

/** Somebody to whom everything has happened. */
async function changed() {
  const somebody = await system.author();
  const { username } = somebody;
  await updateProfile(somebody, { name: 'Some Body', location: 'Here' });
  await updateProfile(somebody, { name: null });
  await somebody.client.request(ChangeUsernameDocument, { input: { username: `${username}x` } });
  await somebody.client.request(ChangeEmailDocument, { input: { email: `${username}@example.com` } });

  return somebody;
}

describe('an author’s history', () => {
  it('tells the author itself everything that happened to it, newest first, and nothing else', async () => {
    const somebody = await changed();
    const { username } = somebody;
    // What has no effect, and what happens to others, is not there.
    await somebody.client.request(ChangeUsernameDocument, { input: { username: `${username}x` } });
    await post(somebody, 'Hello');
    const page = (await authorHistory(somebody, somebody.id))!.history!;

    expect(page.nodes.map(({ event, changes }) => ({ event, changes }))).toEqual([
      {
        event: 'AuthorEmailChanged',
        changes: [{ field: 'email', from: `${username}@example.org`, to: `${username}@example.com` }],
      },
      { event: 'AuthorUsernameChanged', changes: [{ field: 'username', from: username, to: `${username}x` }] },
      { event: 'AuthorProfileUpdated', changes: [{ field: 'name', from: 'Some Body', to: null }] },
      {
        event: 'AuthorProfileUpdated',
        changes: [
          { field: 'name', from: null, to: 'Some Body' },
          { field: 'location', from: null, to: 'Here' },
        ],
      },
      {
        event: 'AuthorSignedUp',
        changes: [
          { field: 'username', from: null, to: username },
          { field: 'email', from: null, to: `${username}@example.org` },
        ],
      },
    ]);
    const entries = (await entriesOf(somebody.id)).toReversed();
    expect(page.nodes.map(({ position, at }) => ({ position, at }))).toEqual(
      entries.map(({ position, at }) => ({ position: String(position), at })),
    );
    expect(page.nodes.every(({ schemaVersion }) => schemaVersion === 1)).toBe(true);
    expect(JSON.stringify(page)).not.toContain('argon2');
  });

  it('is null for others and for nobody', async () => {
    const somebody = await changed();
    const other = await system.author();
    for (const client of [other.client, system.client()]) {
      client.consistencyToken = somebody.client.consistencyToken;
      expect(await authorHistory({ client }, somebody.id)).toEqual({ id: somebody.id, history: null });
    }
  });

  it.each([1, 2, 5])('comes in pages of %d without a gap or a double, while more happens', async (size) => {
    const somebody = await changed();
    const events: string[] = [];
    for (let after: string | null = null; ;) {
      const author: Awaited<ReturnType<typeof authorHistory>> = await authorHistory(somebody, somebody.id, size, after);
      const { nodes, edges, pageInfo } = author!.history!;
      events.push(...nodes.map(({ event }) => event));
      expect(pageInfo).toMatchObject({ hasPreviousPage: after !== null, startCursor: edges[0]!.cursor, endCursor: edges.at(-1)!.cursor });
      if (!pageInfo.hasNextPage) break;
      after = pageInfo.endCursor!;
      await updateProfile(somebody, { biography: `${events.length}` });
    }
    expect(events).toEqual([
      'AuthorEmailChanged',
      'AuthorUsernameChanged',
      'AuthorProfileUpdated',
      'AuthorProfileUpdated',
      'AuthorSignedUp',
    ]);
  });

  it('refuses a page of no size, and a cursor that is none', async () => {
    const { id, client } = await system.author();
    for (const variables of [
      { id, first: 0 },
      { id, first: 101 },
      { id, after: 'x' },
    ]) {
      const { errors } = await client.ask(AuthorHistoryDocument, variables);
      expect(errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' } }]);
    }
  });
});

describe('a cheep’s history', () => {
  it('tells its author every version, newest first; others and nobody nothing', async () => {
    const [somebody, other] = [await system.author(), await system.author()];
    const parent = await post(somebody, 'Parent');
    const cheep = await post(somebody, 'One', parent.id);
    // The same once more and back is told each time.
    for (const message of ['Two', 'One', 'Two']) await edit(somebody, cheep.id, message);
    const versions = (await cheepHistory(somebody, cheep.id))!.history!;

    expect(versions.nodes.map(({ event, schemaVersion, changes }) => ({ event, schemaVersion, changes }))).toEqual([
      { event: 'CheepEdited', schemaVersion: 1, changes: [{ field: 'message', from: 'One', to: 'Two' }] },
      { event: 'CheepEdited', schemaVersion: 1, changes: [{ field: 'message', from: 'Two', to: 'One' }] },
      { event: 'CheepEdited', schemaVersion: 1, changes: [{ field: 'message', from: 'One', to: 'Two' }] },
      {
        event: 'CheepPosted',
        schemaVersion: 2,
        changes: [
          { field: 'message', from: null, to: 'One' },
          { field: 'inReplyTo', from: null, to: parent.id },
        ],
      },
    ]);
    for (const client of [other.client, system.client()]) {
      client.consistencyToken = somebody.client.consistencyToken;
      expect(await cheepHistory({ client }, cheep.id)).toEqual({ id: cheep.id, history: null });
    }
  });

  it('is gone with the cheep: its text is in no projection', async () => {
    const somebody = await system.author();
    const secret = `swordfish${newId().replaceAll('-', '')}`;
    const cheep = await post(somebody, `${secret} one`);
    await edit(somebody, cheep.id, `${secret} two`);
    expect((await cheepHistory(somebody, cheep.id))!.history!.nodes).toHaveLength(2);
    expect(await findInRedis(secret)).not.toEqual([]);
    await remove(somebody, cheep.id);

    expect(await cheepHistory(somebody, cheep.id)).toBeNull();
    await eventually(async () => (await findInRedis(secret)).length === 0, 'the text is in no projection');
    const { author } = await somebody.client.request(AuthorListsDocument, { id: somebody.id });
    expect(author!.cheeps.nodes).toEqual([]);
    expect((await somebody.client.request(AuthorDocument, { id: somebody.id })).author!.cheepsCount).toBe(0);
  });
});

/** The keys of this system whose value holds the text. */
async function findInRedis(needle: string): Promise<string[]> {
  const found: string[] = [];
  for await (const keys of system.redis.scanStream({ match: `${system.namespace}:*`, count: 1_000 })) {
    for (const key of keys as string[]) {
      // DUMP compresses, so each type is read as what it is.
      const type = await system.redis.type(key);
      const readers: Record<string, () => Promise<unknown>> = {
        string: () => system.redis.get(key),
        hash: () => system.redis.hgetall(key),
        zset: () => system.redis.zrange(key, 0, -1),
        set: () => system.redis.smembers(key),
        stream: () => system.redis.xrange(key, '-', '+'),
      };
      // It may have gone meanwhile.
      const value = type === 'none' ? null : await readers[type]!();
      if (JSON.stringify(value).includes(needle)) found.push(key);
    }
  }

  return found;
}

describe('a cheep of schema version 1', () => {
  /** As a system of that time wrote it, in the transaction that posted it. */
  async function postAsOfOld(author: Somebody, message: string, inReplyTo: string | null): Promise<{ cheepId: string; at: string }> {
    const [cheepId, entryId, commandId] = [newId(), newId(), newId()];
    const at = '2025-01-01T12:00:00.000Z';
    const body = JSON.stringify({
      entryId,
      schemaVersion: 1,
      aggregate: { type: 'Cheep', id: cheepId, version: 1 },
      actorId: author.id,
      commandId,
      commandName: 'PostCheep',
      fingerprint: 'of-that-time',
      correlationId: newId(),
      causationId: commandId,
      traceparent: null,
      at,
      event: { type: 'CheepPosted', cheepId, authorId: author.id, message, inReplyTo },
    });
    const connection = await mysql.createConnection(system.env.MYSQL_URL);
    try {
      await connection.beginTransaction();
      // What Migration0002 has made of such a row.
      await connection.query(
        'INSERT INTO cheeps (id, version, author_id, message, in_reply_to, thread_id, posted_at, deleted) VALUES (?, 1, ?, ?, ?, ?, ?, 0)',
        [cheepId, author.id, message, inReplyTo, inReplyTo ?? cheepId, at],
      );
      await connection.query('UPDATE journal_head SET position = LAST_INSERT_ID(position + 1) WHERE id = 1');
      await connection.query(
        `INSERT INTO journal (position, entry_id, type, aggregate_type, aggregate_id, aggregate_version, body)
         VALUES (LAST_INSERT_ID(), ?, 'CheepPosted', 'Cheep', ?, 1, ?)`,
        [entryId, cheepId, body],
      );
      await connection.commit();
    } finally {
      await connection.end();
    }

    return { cheepId, at };
  }

  it('is served like any other, and its history tells the version that it was written in', async () => {
    const [somebody, reader] = [await system.author(), await system.author()];
    await reader.client.request(FollowAuthorReceiptDocument, { input: { authorId: somebody.id } });
    const { cheepId, at } = await postAsOfOld(somebody, `Hello @${reader.username}`, null);
    const answer = await postAsOfOld(somebody, 'Me again', cheepId);
    const seen = await eventually(
      async () =>
        (await reader.client.request(CheepDocument, { id: answer.cheepId })).cheep
          ? reader.client.request(CheepDocument, { id: cheepId })
          : null,
      'the cheep of old is published and served',
    );

    expect(seen.cheep).toMatchObject({
      message: `Hello @${reader.username}`,
      version: 1,
      postedAt: at,
      repliesCount: 1,
      replies: { nodes: [{ id: answer.cheepId }] },
    });
    expect((await reader.client.request(CheepDetailsDocument, { id: cheepId })).cheep).toMatchObject({
      message: `Hello @${reader.username}`,
      mentions: [],
      author: { id: somebody.id },
    });
    const timeline = await reader.client.request(TimelineDocument, {});
    expect(timeline.timeline.edges.map(({ node }) => node.id)).toEqual([answer.cheepId, cheepId]);

    const reply = await post(reader, 'Hello you', cheepId);
    expect((await reader.client.request(CheepDocument, { id: reply.id })).cheep!.inReplyTo).toMatchObject({ id: cheepId });
    await edit(somebody, cheepId, 'Hello all');
    expect((await cheepHistory(somebody, cheepId))!.history!.nodes).toMatchObject([
      { event: 'CheepEdited', schemaVersion: 1, changes: [{ field: 'message', from: `Hello @${reader.username}`, to: 'Hello all' }] },
      { event: 'CheepPosted', schemaVersion: 1, at, changes: [{ field: 'message', from: null, to: `Hello @${reader.username}` }] },
    ]);
    expect(await json('cheep', cheepId, '--as-of', '2025-06-01')).toMatchObject({
      last: { schemaVersion: 1 },
      state: { message: `Hello @${reader.username}`, threadId: cheepId },
    });
  });
});

/** The operator's command, as a process of its own. */
async function cheeperProcess(env: NodeJS.ProcessEnv, args: string[]) {
  const child = spawn(process.execPath, ['--enable-source-maps', 'cli/main.js', ...args], {
    cwd: process.env.TEST_BUILD,
    env: { ...process.env, NODE_OPTIONS: '', MYSQL_URL: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);

  return { code: await code, stdout, stderr };
}
/** The same in this process, which is faster: what it prints. */
async function cheeperHistory(...args: string[]): Promise<string> {
  process.env['MYSQL_URL'] = system.env.MYSQL_URL;
  const printed: string[] = [];
  await history.run(args, (line) => printed.push(line));

  return printed.join('\n');
}
const json = async (...args: string[]) => JSON.parse(await cheeperHistory(...args, '--json')) as Record<string, unknown>;

describe('cheeper history', () => {
  it('shows an author as it was after each of its changes, by position and by time, and as it is', async () => {
    const somebody = await changed();
    const { id, username } = somebody;
    const entries = await entriesOf(id);
    const begun = { id, version: 1, username, email: `${username}@example.org`, name: null, location: null, signedUpAt: entries[0]!.at };
    const states = [
      begun,
      { ...begun, version: 2, name: 'Some Body', location: 'Here' },
      { ...begun, version: 3, location: 'Here' },
      { ...begun, version: 4, location: 'Here', username: `${username}x` },
      { ...begun, version: 5, location: 'Here', username: `${username}x`, email: `${username}@example.com` },
    ];
    for (const [i, { position, at }] of entries.entries()) {
      expect(await json('author', id, '--as-of', String(position))).toMatchObject({
        type: 'author',
        id,
        last: { position, at },
        state: states[i],
      });
    }
    const [first, , third] = entries;
    expect(await json('author', id, '--as-of', String(first!.position - 1))).toMatchObject({ last: null, state: null });
    expect(await json('author', id, '--as-of', '2020-01-01')).toMatchObject({ last: null, state: null });
    // A time holds all that happened at it: entries may share a millisecond.
    const until = entries.findLastIndex(({ at }) => at <= third!.at);
    expect(await json('author', id, '--as-of', third!.at)).toMatchObject({ state: states[until] });
    expect(await json('author', id)).toMatchObject({ state: states[4] });
    const { code, stdout, stderr } = await cheeperProcess(system.env, ['history', 'author', id.toUpperCase()]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^author ${id}\n  as of +AuthorEmailChanged at position ${entries[4]!.position}, `));
    expect(stdout).toContain(`"${username}@example.com"`);
    expect(stdout).not.toContain('argon2');
  });

  it('shows what is different between two moments', async () => {
    const somebody = await changed();
    const { id, username } = somebody;
    const [first, , third] = await entriesOf(id);
    const changes = [
      { field: 'version', from: 1, to: 3 },
      { field: 'location', from: null, to: 'Here' },
    ];
    const moments = [String(first!.position), String(third!.position)] as const;
    expect(await json('author', id, '--diff', ...moments)).toMatchObject({ changes });
    expect(await json('--diff', ...moments, 'author', id)).toMatchObject({ changes });
    expect(await json('author', id, '--diff', moments[1], '2999-01-01T00:00:00+02:00')).toMatchObject({
      changes: [
        { field: 'version', from: 3, to: 5 },
        { field: 'username', from: username, to: `${username}x` },
        { field: 'email', from: `${username}@example.org`, to: `${username}@example.com` },
      ],
    });
    expect(await cheeperHistory('author', id, '--diff', ...moments)).toMatch(/location +null → "Here"$/);
    expect(await cheeperHistory('author', id, '--diff', moments[0], moments[0])).toContain('Nothing is different.');
  });

  it('shows the text of a deleted cheep, as of before', async () => {
    const somebody = await system.author();
    const cheep = await post(somebody, 'What I wrote');
    await edit(somebody, cheep.id, 'What I wrote then');
    await remove(somebody, cheep.id);
    const [posted, edited, deleted] = await entriesOf(cheep.id);

    expect(await json('cheep', cheep.id, '--as-of', String(posted!.position))).toMatchObject({
      state: { message: 'What I wrote', version: 1 },
    });
    expect(await json('cheep', cheep.id, '--as-of', String(deleted!.position - 1))).toMatchObject({
      state: { message: 'What I wrote then' },
    });
    expect(await json('cheep', cheep.id)).toMatchObject({ state: { message: '', deleted: true, version: 3 } });
    expect(await json('cheep', cheep.id, '--diff', String(edited!.position), String(deleted!.position))).toMatchObject({
      changes: expect.arrayContaining([{ field: 'message', from: 'What I wrote then', to: '' }]) as unknown,
    });
  });

  it('shows whether somebody followed somebody then', async () => {
    const [somebody, other] = [await system.author(), await system.author()];
    const input = { authorId: other.id };
    await somebody.client.request(FollowAuthorReceiptDocument, { input });
    await somebody.client.request(UnfollowAuthorDocument, { input });
    const id = `${somebody.id}:${other.id}`;
    const [followed] = await entriesOf(id);
    expect(await json('follow', id, '--as-of', String(followed!.position))).toMatchObject({ state: { active: true, version: 1 } });
    expect(await json('follow', id)).toMatchObject({ state: { active: false, version: 2 } });
  });

  it.each([
    [0, ['--help'], /^Usage: cheeper SUBCOMMAND/, /^$/],
    [0, ['history', 'author', '--help'], /--as-of/, /^$/],
    [1, ['history', 'author', newId()], /^$/, /^cheeper: Settings: MYSQL_URL is missing\n$/],
    [2, [], /^$/, /^cheeper: No subcommand was given[^\n]+\n$/],
    [2, ['toString'], /^$/, /^cheeper: There is no subcommand "toString"[^\n]+\n$/],
    [2, ['history', 'author'], /^$/, /^cheeper: Of which author[^\n]+\n$/],
  ])('exits with %d when it is called as %j', async (exitCode, args, stdout, stderr) => {
    const ended = await cheeperProcess({}, args);
    expect(ended).toEqual({
      code: exitCode,
      stdout: expect.stringMatching(stdout) as unknown,
      stderr: expect.stringMatching(stderr) as unknown,
    });
  });

  const ID = newId();
  it.each<[string[], RegExp]>([
    [[], /Of what/],
    [['mail', ID], /Of what/],
    [['author', 'bob'], /"bob" is no author’s id: a UUID/],
    [['follow', ID], /two UUIDs/],
    [['author', `${ID}:${ID}`], /a UUID/],
    [['author', ID, 'now'], /"now" is too much/],
    [['author', ID, '--as-of', 'yesterday'], /"yesterday" is not a moment/],
    [['author', ID, '--as-of', '2026-11-21T05:00'], /is not a moment/],
    [['author', ID, '--as-of', '2026-02-30'], /is not a moment/],
    [['author', ID, '--as-of'], /--as-of/],
    [['author', ID, '--diff', '1'], /two moments/],
    [['author', ID, '--diff', '1', '--json'], /two moments/],
    [['author', ID, '--diff', '1', '2', '--as-of', '3'], /do not go together/],
    [['author', ID, '--whatever'], /'--whatever'/],
  ])('called with %j says in a line what is wrong', async (args, what) => {
    const error = await history.run(args, () => undefined).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).message).toMatch(what);
    expect((error as UsageError).message).not.toContain('\n');
  });

  it('says in a line what cannot be done', async () => {
    await expect(cheeperHistory('cheep', ID)).rejects.toEqual(new OperatorError(`There never was a cheep ${ID}.`));
    process.env['MYSQL_URL'] = 'mysql://root@127.0.0.1:1/cheeper';
    const error = await history.run(['cheep', ID], () => undefined).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(OperatorError);
    expect((error as OperatorError).message).toMatch(/^MySQL cannot be asked: .+$/);
  });
});
