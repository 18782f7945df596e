/** `cheeper verify` on a real system: nothing is found while all is well, under load too; and whatever is damaged is found, by name. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { headers } from '@nats-io/transport-node';
import {
  ChangeUsernameDocument,
  DeleteCheepDocument,
  EditCheepDocument,
  FollowAuthorReceiptDocument,
  LikeCheepDocument,
  PostCheepDocument,
  UnfollowAuthorDocument,
} from '../client/operations.js';
import { OperatorError, UsageError } from '../cli/subcommand.js';
import { verify } from '../cli/verify.js';
import { AUTHORS } from '../read-side/authors/query.js';
import { CHEEPS } from '../read-side/cheeps/query.js';
import { COMMANDS } from '../read-side/commands/query.js';
import { HISTORIES } from '../read-side/histories/query.js';
import { packId, prefixOf, projectionName, unpackId, type ProjectionId } from '../read-side/shard.js';
import { TIMELINES } from '../read-side/timelines/query.js';
import { partOf } from '../shared/ids.js';
import { connectNats, ensureStream, eventsStream, type Nats } from '../shared/jetstream.js';
import { HEADERS, natsNames } from '../shared/names.js';
import type { Difference } from '../shared/findings.js';
import { load, type Author } from './load.js';
import { eventually, startSystem, type System } from './system.js';

const PROJECTIONS = ['authors', 'cheeps', 'threads', 'timelines', 'commands', 'funnel', 'search', 'histories', 'notifications'];
const SHARDS = 8;
/** More than this, and a key is compared in parts. */
const MANY = 200;

let system: System;
let nats: Nats;
let authors: Author[];
let epoch: string;
let cheepIds: string[];
beforeAll(async () => {
  system = await startSystem();
  Object.assign(process.env, system.env);
  nats = await connectNats(system.env.NATS_URL, 'test');
  authors = await Promise.all(Array.from({ length: 4 }, () => system.author()));
  cheepIds = await live();
  epoch = (await system.sql<{ epoch: string }>('SELECT epoch FROM journal_head'))[0]!.epoch;
});
afterAll(async () => {
  await nats?.close();
  await system?.stop();
});

/** Some of everything; returns cheeps that are there. */
async function live(): Promise<string[]> {
  const posted: string[] = [];
  for (const [n, { client, username }] of authors.entries()) {
    const { id, username: other } = authors[(n + 1) % authors.length]!;
    for (const followed of authors) {
      if (followed !== authors[n]) await client.request(FollowAuthorReceiptDocument, { input: { authorId: followed.id } });
    }
    const post = async (message: string, inReplyTo?: string) =>
      (await client.request(PostCheepDocument, { input: { message, inReplyTo } })).postCheep.cheep!.id;
    const [first, second, third] = [await post('Hello'), await post(`Hello @${other}`), await post('Wrong')];
    posted.push(first, second, await post('And again', posted[0] ?? first));
    await client.request(EditCheepDocument, { input: { cheepId: first, message: 'Hello, everybody' } });
    await client.request(DeleteCheepDocument, { input: { cheepId: third } });
    await client.request(LikeCheepDocument, { input: { cheepId: posted[0]! } });
    // Refused, and without effect.
    await client.request(FollowAuthorReceiptDocument, { input: { authorId: first } });
    await client.request(FollowAuthorReceiptDocument, { input: { authorId: id } });
    await client.request(ChangeUsernameDocument, { input: { username: `${username}x` } });
  }
  await authors[0]!.client.request(UnfollowAuthorDocument, { input: { authorId: authors[1]!.id } });

  return posted;
}

interface Answer {
  equal: boolean;
  position: number;
  checks: { name: string; equal: boolean; looked: number; differing: number; first: Difference[]; notes: string[] }[];
}

/** In this process, which is faster: what it says, and the line with which it ends. */
async function verified(...args: string[]): Promise<Answer & { line: string | null }> {
  const printed: string[] = [];
  const line = await verify
    .run([...args, '--json'], (out) => printed.push(out))
    .then(
      () => null,
      (error: unknown) => {
        expect(error).toBeInstanceOf(OperatorError);
        return (error as Error).message;
      },
    );
  expect(printed).toHaveLength(1);

  return { ...(JSON.parse(printed[0]!) as Answer), line };
}

/** All that is not equal, by the name of its check; each is one thing. */
const found = ({ checks }: Answer): Record<string, Difference> =>
  Object.fromEntries(checks.filter(({ equal }) => !equal).map(({ name, first: [first] }) => [name, first!]));

/** Everything has come to where the journal stands, and nothing more follows from it. */
const quiet = () =>
  eventually(async () => {
    const [before, after] = [await verified(), await verified('--projection', 'search')];
    return before.equal && before.position === after.position;
  }, 'nothing happens any more');

const keyOf = (projection: ProjectionId, id: string, name: string) =>
  prefixOf({ namespace: system.namespace, epoch, shards: SHARDS }, { projection, number: partOf(id, SHARDS) }) + name;

async function cheeperProcess(args: string[]) {
  const child = spawn(process.execPath, ['--enable-source-maps', 'cli/main.js', 'verify', ...args], {
    cwd: process.env.TEST_BUILD,
    env: { ...process.env, NODE_OPTIONS: '', ...system.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close').then(async ([code]) => ({ code: code as number | null, ...(await said) }));
  const said = Promise.all([text(child.stdout), text(child.stderr)]).then(([stdout, stderr]) => ({ stdout, stderr }));

  return { child, ended };
}

const keysOfVerify = () => system.redis.keys(`${system.namespace}:verify*`);

describe('cheeper verify', () => {
  it('finds everything equal while it is written to, and leaves nothing behind', async () => {
    const load_ = load(system, authors);
    try {
      const { ended } = await cheeperProcess([]);
      const { code, stdout, stderr } = await ended;
      expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: '', stdout: expect.anything() as unknown });
      const names = stdout.split('\n').filter((line) => / {2,}equal /.test(line)).map((line) => line.split(/ {2,}/)[0]); // prettier-ignore
      expect(names).toEqual([
        'journal',
        'inbox',
        ...['authors', 'cheeps', 'follows', 'likes', 'notification_lists'].map((table) => `state ${table}`),
        'stream',
        'shards',
        ...PROJECTIONS.map((name) => expect.stringMatching(new RegExp(`^${name}\\.\\d+$`)) as unknown),
        'others',
      ]);
      expect(stdout.trimEnd().split('\n').at(-1)).toMatch(
        new RegExp(`^All ${names.length} are equal to the journal, which was at position \\d+ of epoch ${epoch}\\.$`),
      );
      const during = await verified();
      expect(during).toMatchObject({ equal: true, line: null });
      for (const { name, looked } of during.checks) expect([name, looked]).toEqual([name, expect.any(Number)]);
      expect(during.checks.filter(({ looked }) => looked === 0)).toEqual([]);
      await eventually(() => load_.committed() > MANY, 'many cheeps are posted');
    } finally {
      await load_.stop();
    }
    expect(load_.committed()).toBeGreaterThan(0);
    expect(await keysOfVerify()).toEqual([]);
  });

  it('removes what a killed one has left', async () => {
    await system.redis.set(`${system.namespace}:verify:${epoch}:{search:0}:1:usernames`, 'left');
    expect(await verified('--projection', 'search')).toMatchObject({ equal: true });
    expect(await keysOfVerify()).toEqual([]);
  });

  it.each([
    [['--projection', 'nothing'], /There is no projection "nothing": there are authors, cheeps, /],
    [['--whatever'], /'--whatever'/],
    [['timelines'], /timelines/],
  ])('called with %j says in a line what is wrong', async (args, what) => {
    const error = await verify.run(args, () => undefined).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).message).toMatch(what);
    expect((error as UsageError).message).not.toContain('\n');
  });
});

describe('cheeper verify finds', () => {
  beforeAll(async () => {
    await quiet();
  });

  const damages: { title: string; projection: ProjectionId; damage(): Promise<[key: string, what: object]> }[] = [
    {
      title: 'a member that is missing in a set',
      projection: TIMELINES,
      async damage() {
        const [reader, author] = [authors[2]!.id, authors[3]!.id];
        const key = keyOf(TIMELINES, reader, `following:${reader}`);
        expect(await system.redis.srem(key, author)).toBe(1);
        return [key, { what: expect.stringContaining(`following:${reader} ${author}`), is: null, shouldBe: 'a member' }];
      },
    },
    {
      title: 'a timeline without its newest cheep',
      projection: TIMELINES,
      async damage() {
        const key = keyOf(TIMELINES, authors[2]!.id, `timeline:${authors[2]!.id}`);
        const count = await system.redis.llen(key);
        expect(count).toBeGreaterThan(0);
        const entry = (await system.redis.rpopBuffer(key))!;
        const cheep = `${entry.readBigUInt64BE()} ${unpackId(entry.subarray(8))}`;
        return [key, { what: expect.stringContaining(`timeline:${authors[2]!.id} ${count - 1}`), is: null, shouldBe: cheep }];
      },
    },
    {
      title: 'a wrong score',
      projection: CHEEPS,
      async damage() {
        const key = keyOf(CHEEPS, cheepIds[0]!, `likes:${cheepIds[0]!}`);
        const score = Number(await system.redis.zscore(key, packId(authors[0]!.id)));
        await system.redis.zadd(key, score + 1, packId(authors[0]!.id));
        return [
          key,
          { what: expect.stringContaining(`likes:${cheepIds[0]!} ${authors[0]!.id}`), is: String(score + 1), shouldBe: String(score) },
        ];
      },
    },
    {
      title: 'a key too many',
      projection: HISTORIES,
      async damage() {
        const key = keyOf(HISTORIES, 'x', 'history:x');
        await system.redis.zadd(key, 1, 'something');
        return [key, { what: expect.stringContaining('history:x'), is: 'a zset of 1', shouldBe: null }];
      },
    },
    {
      title: 'a key that is missing',
      projection: AUTHORS,
      async damage() {
        const key = keyOf(AUTHORS, authors[1]!.id, `author:${authors[1]!.id}`);
        await system.redis.del(key);
        return [
          key,
          { what: expect.stringContaining(`author:${authors[1]!.id}`), is: null, shouldBe: expect.stringContaining('a hash of') },
        ];
      },
    },
    {
      title: 'a key of another type',
      projection: AUTHORS,
      async damage() {
        const key = keyOf(AUTHORS, authors[1]!.id, `cheeps:${authors[1]!.id}`);
        await system.redis.set(key, 'nothing');
        return [key, { is: 'a string of 7', shouldBe: expect.stringContaining('a zset of') }];
      },
    },
    {
      title: 'a wrong string',
      projection: COMMANDS,
      async damage() {
        const [row] = await system.sql<{ commandId: string; actorId: string }>(
          `SELECT JSON_VALUE(body, '$.commandId') AS commandId, JSON_VALUE(body, '$.actorId') AS actorId FROM journal WHERE type = 'CheepLiked' LIMIT 1`,
        );
        const [key] = await system.redis.keys(`${system.namespace}:${epoch}:{commands:*}:1:*${row!.commandId}`);
        await system.redis.append(key!, ' ');
        return [
          key!,
          { what: expect.stringContaining(row!.commandId), is: expect.stringMatching(/ $/), shouldBe: expect.stringMatching(/\}$/) },
        ];
      },
    },
    {
      title: 'a log without one of its entries, though it is too long to be read at once',
      projection: TIMELINES,
      async damage() {
        const key = keyOf(TIMELINES, authors[2]!.id, 'log');
        expect(await system.redis.xlen(key)).toBeGreaterThan(MANY);
        const ids = (await system.redis.xrange(key, '-', '+')).map(([id]) => id);
        const id = ids[Math.floor(ids.length * 0.9)]!;
        await system.redis.xdel(key, id);
        return [key, { what: expect.stringContaining(`log ${id}`), is: null, shouldBe: expect.stringContaining('author') }];
      },
    },
  ];
  it.each(damages)('$title', async ({ projection, damage }) => {
    // What the damage will be done to is known only to the damage: all of the projection is kept.
    const keys = await system.redis.keys(`${system.namespace}:${epoch}:{${projection.name}:*`);
    const kept = await Promise.all(keys.map((key) => system.redis.dumpBuffer(key)));
    const [key, what] = await damage();
    const answer = await verified('--projection', projection.name);
    const i = keys.indexOf(key);
    if (i < 0) await system.redis.del(key);
    else await system.redis.restore(key, 0, kept[i]!, 'REPLACE');

    expect(answer.line).toBe(`Not equal to the journal: ${projectionName(projection)}.`);
    expect(found(answer)).toMatchObject({ [projectionName(projection)]: what });
    expect(answer.checks.find(({ equal }) => !equal)!.differing).toBe(1);
    expect(await verified('--projection', projection.name)).toMatchObject({ equal: true });
  });

  /** A row is another for as long as it is looked at. */
  async function withRow<T>(table: string, where: string, change: string, look: () => Promise<T>): Promise<T> {
    await system.sql(`CREATE TABLE kept AS SELECT * FROM ${table} WHERE ${where}`);
    await system.sql(change);
    try {
      return await look();
    } finally {
      await system.sql(`REPLACE INTO ${table} SELECT * FROM kept`);
      await system.sql('DROP TABLE kept');
    }
  }

  const entryOf = async (type: string, aggregateId: string) =>
    Number(
      (await system.sql<{ position: number }>('SELECT position FROM journal WHERE type = ? AND aggregate_id = ?', [type, aggregateId]))[0]!
        .position,
    );

  it('an entry of the journal that is missing, and all that hangs on it', async () => {
    const position = await entryOf('CheepEdited', cheepIds[0]!);
    const where = `position = ${position}`;
    const answer = await withRow('journal', where, `DELETE FROM journal WHERE ${where}`, verified);

    expect(found(answer)).toMatchObject({
      journal: { what: `position ${position}`, is: null, shouldBe: 'an entry' },
      inbox: { what: expect.stringMatching(/^command /), is: `a row for position ${position}`, shouldBe: null },
      'state cheeps': { what: expect.stringContaining(cheepIds[0]!) },
      stream: { what: expect.stringContaining(`position ${position}`), shouldBe: null },
      [projectionName(CHEEPS)]: { what: expect.stringContaining(`The journal has nothing at position ${position}`) },
    });
  });

  it('an entry of the journal that was altered', async () => {
    const position = await entryOf('CheepEdited', cheepIds[0]!);
    const where = `position = ${position}`;
    const change = `UPDATE journal SET body = REPLACE(body, 'everybody', 'anybody') WHERE ${where}`;
    const answer = await withRow('journal', where, change, verified);

    expect(found(answer)).toEqual({
      'state cheeps': {
        what: `cheeps ${cheepIds[0]!} (message)`,
        is: '"Hello, everybody"',
        shouldBe: '"Hello, anybody"',
        position,
      },
      stream: expect.objectContaining({ position }) as unknown,
      [projectionName(CHEEPS)]: {
        what: expect.stringContaining(`cheep:${cheepIds[0]!} message`),
        is: 'Hello, everybody',
        shouldBe: 'Hello, anybody',
        position: expect.any(Number),
      },
      'histories.1': expect.objectContaining({ what: expect.stringContaining(cheepIds[0]!) }) as unknown,
    });
  });

  it('an entry whose columns are not what its body says', async () => {
    const position = await entryOf('CheepEdited', cheepIds[0]!);
    const where = `position = ${position}`;
    const answer = await withRow('journal', where, `UPDATE journal SET type = 'CheepPosted' WHERE ${where}`, verified);
    expect(found(answer)).toMatchObject({ journal: { what: `position ${position}`, is: expect.stringContaining('CheepPosted') } });
  });

  it.each([
    ['a row of the inbox that is missing', 'DELETE FROM inbox', null],
    ['a row of the inbox with another position', 'UPDATE inbox SET position = position + 1', '"position":'],
    [
      'a row of the inbox with another outcome',
      `UPDATE inbox SET outcome = '{"status":"REJECTED","code":"TAKEN","field":null}'`,
      'REJECTED',
    ],
  ])('%s', async (_, change, is) => {
    const position = await entryOf('CheepEdited', cheepIds[0]!);
    const where = `position = ${position}`;
    const answer = await withRow('inbox', where, `${change} WHERE ${where}`, verified);
    const what = { what: expect.stringMatching(/^command .* of /), is: is && expect.stringContaining(is), position };
    expect(found(answer)).toMatchObject({ inbox: what });
    expect(Object.keys(found(answer))).toEqual(['inbox']);
  });

  it.each([
    ['authors', () => `id = '${authors[0]!.id}'`, `UPDATE authors SET biography = 'Other'`, 'biography'],
    ['cheeps', () => `id = '${cheepIds[0]!}'`, `UPDATE cheeps SET deleted = 1`, 'deleted'],
    ['follows', () => `follower_id = '${authors[2]!.id}'`, `UPDATE follows SET active = 0`, 'active'],
    ['likes', () => `liker_id = '${authors[0]!.id}'`, `DELETE FROM likes`, ''],
    ['notification_lists', () => `author_id = '${authors[1]!.id}'`, `UPDATE notification_lists SET newest = newest + 1`, 'newest'],
    ['notifications', () => `recipient_id = '${authors[1]!.id}' AND sequence = 1`, `DELETE FROM notifications`, ''],
  ])('a wrong row in %s', async (table, where, change, field) => {
    const answer = await withRow(table, where(), `${change} WHERE ${where()}`, verified);
    const check = table === 'notifications' ? 'state notification_lists' : `state ${table}`;
    expect(Object.keys(found(answer))).toEqual([check]);
    expect(found(answer)[check]!.what).toMatch(new RegExp(`^${table} \\S+${field && ` \\(${field}\\)`}$`));
  });

  it('a row that no entry made', async () => {
    await system.sql(`INSERT INTO likes SELECT REPLACE(id, '-', '+'), version, liker_id, cheep_id, active FROM likes LIMIT 1`);
    const answer = await verified();
    await system.sql(`DELETE FROM likes WHERE id LIKE '%+%'`);
    expect(found(answer)).toMatchObject({ 'state likes': { what: expect.stringMatching(/^likes .*\+/), is: 'a row', shouldBe: null } });
  });
});

describe('without a read side, cheeper verify', () => {
  beforeAll(async () => {
    await system.readSides[0]!.stop();
    await authors[0]!.client.ask(PostCheepDocument, { input: { message: 'Nobody reads this' } });
  });

  it('says what is missing in each shard, can be interrupted, and leaves nothing behind', async () => {
    const { child, ended } = await cheeperProcess(['--projection', 'search']);
    await eventually(async () => (await keysOfVerify()).length > 0, 'it has begun');
    child.kill('SIGINT');
    expect(await ended).toEqual({ code: 1, stdout: '', stderr: 'cheeper: Stopped by SIGINT: nothing more was looked at.\n' });
    expect(await keysOfVerify()).toEqual([]);

    const answer = await verified('--projection', 'timelines');
    expect(found(answer)).toMatchObject({
      shards: {
        what: `${projectionName(TIMELINES)}:0`,
        is: expect.stringMatching(/^at \d+, without \d+ entries: it does not move: does a read side run\?$/),
        shouldBe: `at ${answer.position}`,
      },
    });
    expect(answer.checks.find(({ name }) => name === 'shards')!.differing).toBe(SHARDS);
    // As of where they stand they are what they should be.
    expect(answer.checks.find(({ name }) => name === projectionName(TIMELINES))!.equal).toBe(true);
  });
});

describe('without a write side, cheeper verify finds', () => {
  it('what was altered in the stream, and what is missing there', async () => {
    await system.writeSides[0]!.stop();
    const names = natsNames(system.namespace);
    await nats.jsm.streams.delete(names.events(epoch));
    await ensureStream(nats, eventsStream(names, epoch));
    const journal = await system.sql<{ position: number; entry_id: string; type: string; body: string }>(
      'SELECT * FROM journal ORDER BY position',
    );
    const [altered, missing] = [3, 5];
    for (const { position, entry_id: entryId, type, body } of journal) {
      if (Number(position) === missing) continue;
      const h = headers();
      h.set(HEADERS.position, String(position));
      h.set(HEADERS.entryId, entryId);
      await nats.js.publish(names.event(epoch, type), Number(position) === altered ? `${body} ` : body, { headers: h });
    }
    const { checks } = await verified();
    const stream = checks.find(({ name }) => name === 'stream')!;
    expect(stream.first).toEqual([
      {
        what: `stream ${names.events(epoch)} position ${altered}`,
        is: expect.any(String),
        shouldBe: expect.any(String),
        position: altered,
      },
      { what: `stream ${names.events(epoch)} position ${missing}`, is: null, shouldBe: 'an entry', position: missing },
    ]);
  });
});
