/** The operator's command as a process of its own, on a system that runs: what it tells, what it mends, and what it refuses. */
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import mysql from 'mysql2/promise';
import { backup, restore } from '../cli/backup.js';
import { epoch } from '../cli/epoch.js';
import { journal } from '../cli/journal.js';
import { parked } from '../cli/parked.js';
import { lanes, pause, resume, step } from '../cli/pause.js';
import { ALARMS, status } from '../cli/status.js';
import { OperatorError, UsageError, type Subcommand } from '../cli/subcommand.js';
import {
  CheepDocument,
  EditCheepDocument,
  FollowAuthorReceiptDocument,
  PostCheepDocument,
  PostCheepReceiptDocument,
  SignUpDocument,
} from '../client/operations.js';
import { newId, partOf } from '../shared/ids.js';
import { connectNats } from '../shared/jetstream.js';
import { natsNames } from '../shared/names.js';
import { eventually, PASSWORD, startSystem, type System } from './system.js';

const LANES = 16;
/** What is paused answers soon. */
const COMMIT_DEADLINE_MS = '2000';

let system: System;
let folder: string;
const others: string[] = [];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cheeper-operator-'));
  system = await startSystem({ writeSides: 2, env: { COMMIT_DEADLINE_MS } });
});
afterAll(async () => {
  for (const name of others) await system.sql(`DROP DATABASE IF EXISTS ${name}`);
  await system?.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Somebody = Awaited<ReturnType<System['author']>>;

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The command, as a process of its own. */
async function cheeperProcess(args: string[], env: NodeJS.ProcessEnv = system.env): Promise<Ended> {
  const child = spawn(process.execPath, ['--enable-source-maps', 'cli/main.js', ...args], {
    cwd: process.env.TEST_BUILD,
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);

  return { code: await code, stdout, stderr };
}

const subcommands: Record<string, Subcommand> = { status, pause, resume, step, lanes, parked, journal, backup, restore, epoch };

/** The same in this process, which is faster. */
async function cheeper([name, ...args]: string[], env: NodeJS.ProcessEnv = system.env): Promise<Ended> {
  const before = { ...process.env };
  Object.assign(process.env, env);
  const printed: string[] = [];
  let stderr = '';
  let code: number;
  try {
    await subcommands[name!]!.run(args, (line) => printed.push(`${line}\n`));
    code = Number(process.exitCode ?? 0);
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof OperatorError)) throw error;
    stderr = `cheeper: ${error.message}\n`;
    code = error instanceof UsageError ? 2 : 1;
  } finally {
    process.exitCode = undefined;
    process.env = before;
  }

  return { code, stdout: printed.join(''), stderr };
}

/** Its answer, as programs get it. */
async function ask<T>(args: string[], exitCode = 0, env?: NodeJS.ProcessEnv): Promise<T> {
  const { code, stdout, stderr } = await cheeper([...args, '--json'], env);
  expect({ code, stderr }).toEqual({ code: exitCode, stderr: '' });

  return JSON.parse(stdout) as T;
}

/** It was refused, in one line. */
async function refused(args: string[], exitCode: 1 | 2, why: RegExp, env?: NodeJS.ProcessEnv): Promise<void> {
  const { code, stdout, stderr } = await cheeper(args, env);
  expect({ code, stdout, stderr }).toEqual({ code: exitCode, stdout: '', stderr: expect.stringMatching(/^cheeper: [^\n]+\n$/) as unknown });
  expect(stderr).toMatch(why);
}

const post = async ({ client }: Somebody, message: string, commandId = newId()) =>
  (await client.request(PostCheepReceiptDocument, { input: { message, commandId } })).postCheep;
const laneOf = ({ id }: Somebody) => partOf(id, LANES);
const countCheeps = async ({ id }: Somebody) =>
  Number((await system.sql<{ n: number }>('SELECT COUNT(*) AS n FROM cheeps WHERE author_id = ?', [id]))[0]!.n);

interface StatusAnswer {
  attention: { alarm: string; text: string }[];
  mysql: { is: { epoch: string; position: number; lanes: { lane: number; connection: number | null; steps: number | null }[] } | null };
  nats: { is: { commands: { lanes: { lane: number; waiting: number }[] } } | null };
  redis: { is: { projections: { name: string; shards: unknown[] }[] } | null };
}

describe('cheeper status', () => {
  it('says where everything stands, and that all is well', async () => {
    const somebody = await system.author();
    await post(somebody, 'Hello');
    const seen = await eventually(async () => {
      const ended = await cheeper(['status', '--json']);
      return ended.code === 0 ? (JSON.parse(ended.stdout) as StatusAnswer) : null;
    }, 'all is well');
    expect(seen.attention).toEqual([]);
    expect(seen.mysql.is!.lanes).toHaveLength(LANES);
    expect(seen.mysql.is!.lanes.every(({ connection, steps }) => connection !== null && steps === null)).toBe(true);
    expect(seen.redis.is!.projections).toHaveLength(9);
    const { code, stdout } = await cheeperProcess(['status']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/all is well/);
    expect(stdout).toContain(`epoch ${seen.mysql.is!.epoch}`);
    expect(stdout).toMatch(/timelines +v\d/);
  });

  it('says which servers it cannot ask, and what the others tell', async () => {
    const away = { MYSQL_URL: 'mysql://root@127.0.0.1:1/x', NATS_URL: 'nats://127.0.0.1:1', REDIS_URL: 'redis://127.0.0.1:1' };
    const all = await ask<StatusAnswer>(['status'], 1, { ...system.env, ...away });
    expect(all.attention.map(({ alarm }) => alarm)).toEqual(['MySQL away', 'NATS away', 'Redis away']);
    const redis = await ask<StatusAnswer>(['status'], 1, { ...system.env, REDIS_URL: away.REDIS_URL });
    expect(redis.attention.map(({ alarm }) => alarm)).toEqual(['Redis away']);
    expect(redis.mysql.is!.position).toBeGreaterThan(0);
  });

  it('names its alarms as the runbook does', () => {
    const runbook = readFileSync(join(import.meta.dirname, '../docs/runbook.md'), 'utf8');
    for (const alarm of ALARMS) expect(runbook).toContain(`## ${alarm}\n`);
  });
});

describe('lanes that are paused', () => {
  it('run nothing until they may, take exactly the steps they are given, and stay paused over kill -9 of their process', async () => {
    const [somebody, other] = [await system.author(), await system.author()];
    const lane = laneOf(somebody);
    expect(await ask(['pause', `lane:${lane}`])).toMatchObject({ lanes: [{ lane, steps: 0 }] });
    const statuses = await Promise.all(Array.from({ length: 5 }, (_, i) => post(somebody, `Cheep ${i}`)));
    expect(statuses.map((receipt) => receipt.status)).toEqual(Array.from({ length: 5 }, () => 'ACCEPTED'));
    if (laneOf(other) !== lane) expect((await post(other, 'Not held up')).status).toBe('COMMITTED');
    expect(await countCheeps(somebody)).toBe(0);
    const seen = await ask<StatusAnswer>(['status'], 1);
    expect(seen.attention).toEqual([{ alarm: 'Paused', text: `lanes ${lane}` }]);
    expect(seen.nats.is!.commands.lanes).toMatchObject([{ lane, waiting: 5 }]);

    const { stdout } = await cheeper(['step', '1', `lane:${lane}`]);
    expect(stdout).toMatch(/paused\n$/);
    expect(await countCheeps(somebody)).toBe(1);
    // Whoever takes the lane over knows.
    await system.writeSides[0]!.stop('SIGKILL');
    expect(await ask(['lanes', 'step', '2', String(lane)])).toMatchObject({ lanes: [{ lane, steps: 0 }] });
    await system.writeSides[1]!.stop('SIGKILL');
    for (const writeSide of system.writeSides) writeSide.start();
    for (const writeSide of system.writeSides) await writeSide.ready();
    await eventually(
      async () => (await ask<StatusAnswer>(['status'], 1)).mysql.is!.lanes.every((one) => one.connection),
      'all lanes are owned',
    );
    expect(await countCheeps(somebody)).toBe(3);
    await refused(['step', '1', 'lanes'], 1, /Lane \d+ is not paused/);
    expect(await ask(['lanes', 'resume', 'all'])).toMatchObject({ lanes: Array.from({ length: LANES }, () => ({ steps: null })) });
    await eventually(async () => (await countCheeps(somebody)) === 5, 'all are run');
    expect((await post(somebody, 'Goes on')).status).toBe('COMMITTED');
  });

  it('have nothing under way any more once they are paused, under load', async () => {
    const authors = await Promise.all(Array.from({ length: 8 }, () => system.author()));
    let isOver = false;
    const load = Promise.allSettled(
      authors.map(async (author) => {
        while (!isOver) await post(author, 'Load');
      }),
    );
    const head = async () => Number((await system.sql<{ position: number }>('SELECT position FROM journal_head'))[0]!.position);
    for (let i = 0; i < 2; i++) {
      const before = await head();
      await eventually(async () => (await head()) > before + 20, 'the load runs');
      // The statement is what counts; nobody need be told.
      if (i === 0) await system.sql('UPDATE lanes SET steps = 0');
      else expect((await cheeper(['pause', 'lanes'])).stdout).toBe('16 lanes: paused\n');
      const paused = await head();
      await post(authors[0]!, 'Waits');
      expect(await head()).toBe(paused);
      expect((await cheeper(['resume', 'lanes'])).stdout).toBe('16 lanes: runs\n');
    }
    isOver = true;
    await load;
  });

  it('pauses projections in the same way', async () => {
    const somebody = await system.author();
    expect(await ask(['pause', 'cheeps'])).toMatchObject({ projections: [{ name: 'cheeps', isDone: true }] });
    const { postCheep } = await somebody.client.request(PostCheepReceiptDocument, { input: { message: 'Later' } });
    expect(postCheep.status).toBe('COMMITTED');
    expect(await ask(['resume', 'projection:cheeps'])).toMatchObject({ projections: [{ name: 'cheeps', heldAt: null, isDone: true }] });
    const { postCheep: next } = await somebody.client.request(PostCheepDocument, { input: { message: 'Now' } });
    expect((await somebody.client.request(CheepDocument, { id: next.cheep!.id })).cheep).toMatchObject({ message: 'Now' });
  });
});

describe('cheeper parked', () => {
  it('lists, shows, retries and drops what could not be run, and shows no secret', async () => {
    const somebody = await system.author();
    await system.sql("ALTER TABLE cheeps ADD CONSTRAINT no_poison CHECK (message <> 'poison')");
    await system.sql("ALTER TABLE authors ADD CONSTRAINT nobody CHECK (username <> 'poisoned')");
    const nats = await connectNats(system.env.NATS_URL, 'test');
    const lane = laneOf(somebody);
    const names = natsNames(system.namespace);
    const commandId = newId();
    expect((await post(somebody, 'poison', commandId)).status).toBe('ACCEPTED');
    const { signUp } = await system
      .client()
      .mutate(SignUpDocument, { input: { username: 'poisoned', email: 'poisoned@example.org', password: PASSWORD } });
    expect(signUp.status).toBe('ACCEPTED');
    await nats.js.publish(names.command(lane, 'PostCheep'), 'garbage $argon2id$v=19$abc');
    await nats.close();
    const listed = await eventually(async () => {
      const all = await ask<{ id: number; name: string | null; cause: string }[]>(['parked']);
      return all.length === 3 ? all : null;
    }, 'all three are parked');
    const idOf = (name: string | null) => String(listed.find((one) => one.name === name)!.id);
    const [cheep, author, garbage] = [idOf('PostCheep'), idOf('SignUp'), idOf(null)];
    expect((await ask<StatusAnswer>(['status'], 1)).attention).toMatchObject([
      { alarm: 'Parked', text: expect.stringMatching(/^3 messages/) as unknown },
    ]);
    expect((await cheeper(['parked', 'list'])).stdout).toMatch(new RegExp(`${cheep} .*open +PostCheep +${somebody.id} .*no_poison`));

    expect(await ask(['parked', 'show', cheep])).toMatchObject({
      id: Number(cheep),
      state: 'open',
      attempts: 5,
      body: { commandId, payload: { message: 'poison' } },
    });
    for (const id of [author, garbage]) {
      const [json, people] = [await cheeper(['parked', 'show', id, '--json']), await cheeper(['parked', 'show', id])];
      expect(json.stdout + people.stdout).not.toContain('argon2');
      expect(people.stdout).toContain('not shown');
    }

    // Not mended yet: it fails again, and tells what it was before.
    const [again] = await ask<{ outcome: { status: string; id: number } }[]>(['parked', 'retry', cheep], 1);
    expect(again).toMatchObject({ id: Number(cheep), isGood: false, outcome: { status: 'PARKED' } });
    const anew = String(again!.outcome.id);
    expect(await ask(['parked', 'show', anew])).toMatchObject({ state: 'open', retryOf: Number(cheep), body: { commandId } });
    await refused(['parked', 'retry', cheep], 1, /was retried already/);
    const [broken] = await ask<{ text: string }[]>(['parked', 'retry', garbage], 1);
    expect(broken!.text).toMatch(/can only be dropped/);

    await system.sql('ALTER TABLE cheeps DROP CONSTRAINT no_poison');
    await system.sql('ALTER TABLE authors DROP CONSTRAINT nobody');
    await refused(['parked', 'drop', garbage], 2, /With --yes it is done/);
    expect(await ask(['parked', 'drop', garbage, '--yes'])).toEqual({ dropped: [Number(garbage)] });
    const results = await ask<{ id: number; outcome: unknown }[]>(['parked', 'retry', '--all']);
    expect(results.map(({ id, outcome }) => [String(id), outcome])).toMatchObject([
      [author, { status: 'COMMITTED', version: 1 }],
      [anew, { status: 'COMMITTED', version: 1 }],
    ]);
    expect((await cheeper(['parked'])).stdout).toBe('Nothing is parked.\n');
    expect(await ask(['parked', 'list', '--all'])).toHaveLength(4);
    expect(await countCheeps(somebody)).toBe(1);
    const again2 = await post(somebody, 'poison', commandId);
    expect(again2.status).toBe('COMMITTED');
    expect(await countCheeps(somebody)).toBe(1);
  });
});

/** All that the tables have, but for what a journal has not. */
async function contentsOf(database: string): Promise<Record<string, unknown[]>> {
  const orders: Record<string, string> = {
    authors: 'id',
    cheeps: 'id',
    follows: 'id',
    likes: 'id',
    notifications: 'id',
    notification_lists: 'author_id',
    journal: 'position',
    inbox: 'sender_id, command_id',
  };
  const contents: Record<string, unknown[]> = {};
  for (const [table, order] of Object.entries(orders)) {
    contents[table] = await system.sql(`SELECT * FROM ${database}.${table} ORDER BY ${order}`);
  }
  contents['inbox'] = (contents['inbox'] as { fingerprint: string; outcome: string }[]).map(({ fingerprint: _, ...row }) => row);

  return contents;
}

describe('cheeper journal', () => {
  const otherDatabase = () => {
    const name = `t${newId().replaceAll('-', '').slice(-12)}`;
    others.push(name);
    return { name, env: { ...system.env, MYSQL_URL: system.env.MYSQL_URL.replace(/\/\w+$/, `/${name}`), NAMESPACE: name } };
  };

  it('shows entries by position, type and aggregate', async () => {
    const somebody = await system.author();
    const cheep = (await somebody.client.request(PostCheepDocument, { input: { message: 'One' } })).postCheep.cheep!;
    await somebody.client.request(EditCheepDocument, { input: { cheepId: cheep.id, message: 'Two' } });
    const entries = await ask<{ position: number; event: { type: string } }[]>(['journal', 'show', '--aggregate', cheep.id]);
    expect(entries.map(({ event }) => event.type)).toEqual(['CheepPosted', 'CheepEdited']);
    const { position } = entries[0]!;
    expect(await ask(['journal', String(position)])).toEqual(entries[0]);
    expect((await cheeper(['journal', '--from', String(position), '--type', 'CheepEdited', '--limit', '1'])).stdout).toContain(cheep.id);
    await refused(['journal', '999999999'], 1, /no entry at position/);
  });

  it('is exported, and makes the same of an empty database, with a new epoch', async () => {
    const [somebody, other] = [await system.author(), await system.author()];
    await somebody.client.request(FollowAuthorReceiptDocument, { input: { authorId: other.id } });
    await somebody.client.request(FollowAuthorReceiptDocument, { input: { authorId: newId() } });
    const file = join(folder, 'journal');
    // Reactions may still come: it is compared with what it was exported from, once nothing happens any more.
    await eventually(async () => (await ask<StatusAnswer>(['status'])).attention.length === 0, 'it is quiet');
    const exported = await ask<{ epoch: string; position: number }>(['journal', 'export', file]);
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(exported.position + 1);
    expect(JSON.parse(lines[0]!)).toMatchObject({ cheeper: 'journal', format: 1, epoch: exported.epoch });
    expect((await cheeperProcess(['journal', 'export', '-'])).stdout.split('\n').slice(1)).toEqual([...lines.slice(1), '']);
    await refused(['journal', 'export', file], 2, /is there already/);

    await refused(['journal', 'import', file], 1, /The database is not empty/);
    const { name, env } = otherDatabase();
    const imported = await ask<{ epoch: string; position: number }>(['journal', 'import', file], 0, env);
    expect(imported.position).toBe(exported.position);
    expect(imported.epoch).not.toBe(exported.epoch);
    expect(await contentsOf(name)).toEqual(await contentsOf(system.namespace));
    await refused(['journal', 'import', file, '--yes'], 1, /not empty/, env);

    // As somebody else would have written it.
    const reordered = lines.map((line) => JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(line) as object).toReversed())));
    writeFileSync(file, reordered.join('\r\n'));
    const second = otherDatabase();
    await ask(['journal', 'import', file], 0, second.env);
    const { journal: itsJournal, ...rest } = await contentsOf(second.name);
    const { journal: ours, ...same } = await contentsOf(system.namespace);
    expect(rest).toEqual(same);
    expect(itsJournal).toHaveLength(ours!.length);
  });

  it('is refused with the number of the line that is wrong, and then the database is as empty as before', async () => {
    const file = join(folder, 'wrong');
    const { env, name } = otherDatabase();
    const { stdout } = await cheeperProcess(['journal', 'export', '-']);
    const lines = stdout.trimEnd().split('\n');
    type Line = Record<string, unknown> & { event: Record<string, unknown>; aggregate: Record<string, unknown> | null };
    const at = (type: string) => lines.findIndex((line) => line.includes(`"type":"${type}"`));
    const changed = (index: number, change: (entry: Line) => object) =>
      lines.map((line, i) => (i === index ? JSON.stringify(change(JSON.parse(line) as Line)) : line));
    const [edited, notified] = [at('CheepEdited'), at('AuthorNotified')];
    const authors = lines.flatMap((line, i) => (line.includes('"AuthorSignedUp"') ? [i] : []));
    const username = (JSON.parse(lines[authors[0]!]!) as Line).event['username'];
    const cases: [string[], RegExp][] = [
      [['{}', ...lines.slice(1)], /is no journal/],
      [lines.slice(0, -1), /was cut short/],
      [[...lines.slice(0, 3), ...lines.slice(4)], /^cheeper: Line 4 is wrong: its position is 4, and should be 3/],
      [
        changed(edited, (e) => ({ ...e, aggregate: { ...e.aggregate, version: 9 } })),
        new RegExp(`^cheeper: Line ${edited + 1} is wrong.*cannot come to 9`),
      ],
      [
        changed(notified, (e) => ({ ...e, event: { type: 'Invented' } })),
        new RegExp(`^cheeper: Line ${notified + 1} is wrong: there is no event Invented`),
      ],
      [changed(notified, (e) => ({ ...e, schemaVersion: 7 })), new RegExp(`^cheeper: Line ${notified + 1} is wrong: .*schema version 7`)],
      [changed(notified, (e) => ({ ...e, at: 'yesterday' })), new RegExp(`^cheeper: Line ${notified + 1} is wrong: at: `)],
      [
        changed(authors[1]!, (e) => ({ ...e, event: { ...e.event, username: String(username).toUpperCase() } })),
        new RegExp(`^cheeper: Line ${authors[1]! + 1} is wrong: Duplicate entry`),
      ],
      [[...lines.slice(0, 5), '{"position":', ...lines.slice(6)], /^cheeper: Line 6 is wrong: it is no JSON/],
    ];
    for (const [wrong, why] of cases) {
      writeFileSync(file, `${wrong.join('\n')}\n`);
      await refused(['journal', 'import', file], 1, why, env);
    }
    expect(await system.sql(`SELECT position FROM ${name}.journal`)).toEqual([]);
    expect(await ask(['epoch'], 0, env)).toMatchObject({ position: 0 });
    // One that was killed leaves no head.
    await system.sql(`DELETE FROM ${name}.journal_head`);
    writeFileSync(file, `${lines.join('\n')}\n`);
    await refused(['journal', 'import', file], 2, /was not finished here/, env);
    expect((await ask<StatusAnswer>(['status'], 1, env)).attention[0]).toMatchObject({ alarm: 'Not finished' });
    await ask(['journal', 'import', file, '--yes'], 0, env);
  }, 180_000);
});

describe('cheeper backup and restore', () => {
  it('give back the truth as of one moment, in a new epoch; one that was restored by other means is noticed, and waits for one', async () => {
    const somebody = await system.author();
    const before = await post(somebody, 'Before');
    expect(before.status).toBe('COMMITTED');
    const file = join(folder, 'backup');
    const { epoch: first, position } = await ask<{ epoch: string; position: number }>(['backup', file]);
    await refused(['backup', file], 2, /is there already/);
    expect((await post(somebody, 'After')).status).toBe('COMMITTED');
    await eventually(async () => (await ask<StatusAnswer>(['status'])).attention.length === 0, 'it is quiet');

    await refused(['restore', file, '--yes'], 1, /A write side is connected/);
    const damaged = join(folder, 'damaged');
    copyFileSync(file, damaged);
    truncateSync(damaged, readFileSync(file).length - 40);
    await refused(['restore', damaged, '--yes'], 1, /damaged|cut short/);
    const whole = gunzipSync(readFileSync(file)).toString();
    for (const [changed, why] of [
      [whole.replace('"Before"', '"before"').replace('Before', 'before'), /checksum is not right/],
      [whole.slice(0, whole.lastIndexOf('{"end"')), /cut short: its end is missing/],
      [whole.replace('"Migration0001"', '"Migration9999"'), /of a newer release \(Migration9999\)/],
    ] as const) {
      writeFileSync(damaged, gzipSync(changed));
      await refused(['restore', damaged, '--yes'], 1, why);
    }
    writeFileSync(damaged, 'nothing of the kind');
    await refused(['restore', damaged, '--yes'], 1, /no backup|damaged/);
    await refused(['restore', join(folder, 'nowhere'), '--yes'], 1, /cannot be read/);

    for (const writeSide of system.writeSides) await writeSide.stop();
    await refused(['restore', file], 2, /This replaces all.*With --yes/);
    expect(await countCheeps(somebody)).toBe(2);
    const restored = await ask<{ epoch: string; position: number }>(['restore', file, '--yes']);
    expect(restored).toMatchObject({ position, formerEpoch: first });
    expect(restored.epoch).not.toBe(first);
    expect(await countCheeps(somebody)).toBe(1);

    // As if it had been restored by other means: the epoch is that of before.
    await system.sql('UPDATE journal_head SET epoch = ?', [first]);
    for (const writeSide of system.writeSides) writeSide.start();
    const [writeSide] = system.writeSides;
    const readyz = async () => (await fetch(`http://127.0.0.1:${writeSide!.port}/readyz`).catch(() => null))?.text();
    await eventually(async () => (await readyz())?.includes('the lanes (The stream'), 'the lanes wait');
    await eventually(async () => (await readyz())?.includes('the relay (The stream'), 'the relay waits');
    expect((await post(somebody, 'Waits')).status).toBe('ACCEPTED');
    expect(await countCheeps(somebody)).toBe(1);
    const seen = await ask<StatusAnswer>(['status'], 1);
    expect(seen.attention.map(({ alarm }) => alarm)).toContain('Journal differs');

    await refused(['epoch', 'new'], 2, /With --yes it is done/);
    const { epoch: last } = await ask<{ epoch: string }>(['epoch', 'new', '--yes']);
    expect(await ask(['epoch', 'show'])).toMatchObject({ epoch: last });
    for (const one of system.writeSides) await one.ready();
    // What waited in the stream is run in the new life; it is that command's only effect.
    await eventually(async () => (await countCheeps(somebody)) === 2, 'what waited is run');
    const client = system.client({ accessToken: somebody.client.accessToken! });
    await eventually(async () => {
      const answer = await client.mutate(PostCheepReceiptDocument, { input: { message: 'Anew' } }).catch(() => null);
      return answer?.postCheep.status === 'COMMITTED';
    }, 'commands are committed again');
    await eventually(async () => (await cheeper(['status', '--json'])).code === 0, 'all is well again');

    // Of the first epoch there is all, of the restored one nothing: nobody ran in it.
    await refused(['epoch', 'clean'], 2, new RegExp(`This removes 2 streams \\(.*_${first}.*\\) and \\d+ keys`));
    expect(await ask<{ streams: string[] }>(['epoch', 'clean', '--yes'])).toMatchObject({ streams: expect.any(Array) as unknown });
    expect(await ask(['epoch', 'clean', '--yes'])).toMatchObject({ epoch: last, streams: [], keys: 0 });
    expect((await system.redis.keys(`${system.namespace}:${last}:*`)).length).toBeGreaterThan(0);
  }, 240_000);

  it('notices a journal that goes back while it is written to', async () => {
    const somebody = await system.author();
    await eventually(async () => (await cheeper(['status', '--json'])).code === 0, 'it is quiet');
    const [head] = await system.sql<{ position: number }>('SELECT position FROM journal_head');
    const connection = await mysql.createConnection({ uri: system.env.MYSQL_URL, multipleStatements: true });
    const change = (position: number) => connection.query('UPDATE journal_head SET position = ? WHERE id = 1', [position]);
    await connection.query('CREATE TABLE away AS SELECT * FROM journal WHERE position = ?', [head!.position]);
    await connection.query(
      'START TRANSACTION; DELETE FROM journal WHERE position = ?; UPDATE journal_head SET position = ? WHERE id = 1; COMMIT',
      [head!.position, Number(head!.position) - 1],
    );
    for (const { port } of system.writeSides) {
      const readyz = async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).text();
      await eventually(async () => (await readyz()).includes('the lanes (The stream'), 'the lanes wait');
    }
    expect((await post(somebody, 'Not now')).status).toBe('ACCEPTED');
    expect(await countCheeps(somebody)).toBe(0);
    await connection.query('INSERT INTO journal SELECT * FROM away; DROP TABLE away');
    await change(Number(head!.position));
    await connection.end();
    await eventually(async () => (await countCheeps(somebody)) === 1, 'it goes on');
  });
});

describe('what it is called in a wrong way', () => {
  const bad: [string[], RegExp][] = [
    [['status', 'now'], /too much/],
    [['status', '--what'], /'--what'/],
    [['pause'], /What\?/],
    [['pause', 'everything'], /no projection "everything"/],
    [['pause', 'lane:x'], /must be a number/],
    [['resume', 'lane:999'], /must be a number from 0 to 255/],
    [['step', 'lanes'], /How many steps/],
    [['step', '0', 'lanes'], /from 1/],
    [['step', '1'], /What\?/],
    [['lanes', 'stop', '1'], /There is no "stop"/],
    [['lanes', 'pause'], /Which lanes/],
    [['lanes', 'step', '1'], /Which lanes/],
    [['lanes', 'list', 'x'], /too much/],
    [['parked', 'mend'], /There is no "mend"/],
    [['parked', 'show'], /Which\?/],
    [['parked', 'show', '1', '2'], /too much/],
    [['parked', 'retry', 'x'], /must be a number/],
    [['parked', 'retry', '1', '--all'], /Either/],
    [['parked', 'drop'], /Which\?/],
    [['journal', 'delete'], /There is no "delete"/],
    [['journal', 'show', 'x'], /must be a number/],
    [['journal', '5', '--type', 'CheepPosted'], /Either/],
    [['journal', 'show', '--limit', '0'], /must be a number/],
    [['journal', 'export'], /which file/],
    [['journal', 'import'], /which file/],
    [['journal', 'import', 'a', 'b'], /too much/],
    [['backup'], /which file/],
    [['backup', 'a', 'b'], /too much/],
    [['restore'], /which file/],
    [['epoch', 'old'], /There is no "old"/],
  ];
  it.each(bad)('is said in a line: %j', (args, why) => refused(args, 2, why));

  it('is said by the process too, and there is help for every subcommand', async () => {
    const help = await cheeperProcess(['--help'], {});
    expect(help.code).toBe(0);
    for (const [name, { usage }] of Object.entries(subcommands)) {
      expect(help.stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
      expect(usage).toContain('--json');
    }
    expect(await cheeperProcess(['stats'], {})).toEqual({
      code: 2,
      stdout: '',
      stderr: 'cheeper: There is no subcommand "stats". cheeper --help lists them.\n',
    });
    const { code, stderr } = await cheeperProcess(['restore', 'nowhere', '--yes']);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/^cheeper: nowhere cannot be read: [^\n]+\n$/) as unknown });
  });
});
