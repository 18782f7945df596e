/**
 * MySQL and MariaDB have hundreds of settings that a session begins with. Whatever they are, either all works, or migrations and the write
 * side say in one line what is wrong. A server that becomes read-only is left, and nothing is lost or parked.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { AuthorDocument, CheepDocument, EditCheepDocument, PostCheepReceiptDocument, UpdateProfileDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { startStack, temporaryFolder, type Stack } from '../stack/stack.mjs';
import { cheeper, eventually, freePort, startSystem, type System } from './system.js';

const USER = 'operator@example.org';
const PASSWORD = `a/b#c%d@e:f?g'h"i\\j k`;
const LOW = { COMMIT_DEADLINE_MS: '2000' };
/** All that means something in SQL in one mode or another. */
const ODD = String.raw`it's "C:\new\" \' OR 1=1; -- ||%_ 😀`;

let dataDir: string;
let stack: Stack;
let admin: Connection;
let isMariadb: boolean;
let serverUrl: string;
beforeAll(async () => {
  dataDir = await temporaryFolder();
  stack = await startStack({ dataDir, servers: ['mysql'], args: { mysql: ['--explicit-defaults-for-timestamp=OFF'] } });
  admin = await mysql.createConnection({ uri: stack.mysqlUrl, supportBigNumbers: true, bigNumberStrings: true });
  const [[row]] = await admin.query<RowDataPacket[]>('SELECT VERSION() AS version');
  isMariadb = String(row!.version).includes('MariaDB');
  // Not an administrator, for whom a server makes exceptions.
  await admin.query(`CREATE USER ? IDENTIFIED BY ?`, [USER, PASSWORD]);
  await admin.query('GRANT ALL ON `t%`.* TO ?', [USER]);
  serverUrl = stack.mysqlUrl.replace(/root:\w+@/, `${encodeURIComponent(USER)}:${encodeURIComponent(PASSWORD)}@`);
});
afterAll(async () => {
  await admin?.end();
  await stack?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

const start = (mysqlUrl: string) =>
  startSystem({
    servers: { mysqlUrl, natsUrl: process.env.TEST_NATS_URL!, redisUrl: process.env.TEST_REDIS_URL! },
    env: LOW,
  });

/** Sets them for all sessions that begin while `work` runs. */
async function withSettings<T>(settings: Record<string, string | number>, work: () => Promise<T>): Promise<T> {
  const before = new Map<string, unknown>();
  for (const name of Object.keys(settings)) {
    const [[row]] = await admin.query<RowDataPacket[]>(`SELECT @@GLOBAL.${name} AS value`);
    before.set(name, row!.value);
  }
  try {
    for (const [name, value] of Object.entries(settings)) await admin.query(`SET GLOBAL ${name} = ?`, [value]);
    return await work();
  } finally {
    for (const [name, value] of [...before].toReversed()) {
      const literal = /^\d+$/.test(String(value)) ? mysql.raw(String(value)) : value;
      await admin.query(`SET GLOBAL ${name} = ?`, [literal]);
    }
  }
}

const HOSTILE = {
  autocommit: 0,
  completion_type: 2,
  sql_safe_updates: 1,
  sql_select_limit: 1,
  sql_auto_is_null: 1,
  sql_mode: 'ANSI,PIPES_AS_CONCAT,IGNORE_SPACE,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH',
  binlog_format: 'MIXED',
  time_zone: '+05:30',
  init_connect: 'SET autocommit = 0, sql_safe_updates = 1',
  max_join_size: 1,
  unique_checks: 0,
  foreign_key_checks: 0,
  group_concat_max_len: 4,
  tmp_table_size: 1024,
  max_heap_table_size: 16384,
  default_week_format: 7,
  sql_quote_show_create: 0,
  default_storage_engine: 'MyISAM',
  character_set_server: 'latin1',
  collation_server: 'latin1_swedish_ci',
  innodb_default_row_format: 'compact',
  wait_timeout: 2,
  interactive_timeout: 1,
  lock_wait_timeout: 1,
  innodb_lock_wait_timeout: 1,
  net_read_timeout: 1,
  net_write_timeout: 1,
};
const HOSTILE_MYSQL = {
  max_execution_time: 1,
  sql_require_primary_key: 1,
  transaction_isolation: 'SERIALIZABLE',
  transaction_read_only: 1,
};
const HOSTILE_MARIADB = { max_statement_time: 0.001, innodb_force_primary_key: 1, tx_isolation: 'SERIALIZABLE', tx_read_only: 1 };

describe('a server with other defaults', () => {
  it('has migrations, commands, reads, backups and restores as any other, and is left when it becomes read-only', async () => {
    const settings = { ...HOSTILE, ...(isMariadb ? HOSTILE_MARIADB : HOSTILE_MYSQL) };
    let system: System | null = null;
    let elsewhere = '';
    try {
      await withSettings(settings, async () => {
        system = await start(serverUrl);
        const { client, id } = await system.author();
        const cheepId = newId();
        const post = await client.mutate(PostCheepReceiptDocument, { input: { cheepId, message: ODD } });
        expect(post.postCheep).toMatchObject({ status: 'COMMITTED', userErrors: [] });
        const edit = await client.mutate(EditCheepDocument, { input: { cheepId, message: `${ODD} edited` } });
        expect(edit.editCheep.userErrors).toEqual([]);
        const profile = await client.mutate(UpdateProfileDocument, { input: { biography: ODD } });
        expect(profile.updateProfile.userErrors).toEqual([]);
        expect((await client.query(CheepDocument, { id: cheepId })).cheep).toMatchObject({ message: `${ODD} edited` });
        expect((await client.query(AuthorDocument, { id })).author).toMatchObject({ version: 2 });

        // The same password, not encoded, from a setting of its own.
        elsewhere = `t${newId().slice(-8)}`;
        const own = { ...system.env, MYSQL_URL: system.env.MYSQL_URL.replace(/:[^/@]*@/, '@'), MYSQL_PASSWORD: PASSWORD };
        const file = join(dataDir, 'backup');
        expect(await cheeper(own, 'backup', file)).toMatchObject({ code: 0, err: '' });
        const there = { ...own, NAMESPACE: elsewhere, MYSQL_URL: own.MYSQL_URL.replace(/\/\w+$/, `/${elsewhere}`) };
        expect(await cheeper(there, 'restore', file)).toMatchObject({ code: 0 });
        const journals = await Promise.all([own, there].map((env) => cheeper(env, 'journal', '--json')));
        expect(journals[1]).toEqual(journals[0]);
        expect(journals[0]!.out).toContain('CheepEdited');
        expect(await cheeper(own, 'verify')).toMatchObject({ code: 0 });
        expect((await cheeper(own, 'parked', 'list', '--json')).out.trim()).toBe('[]');
      });
      await surviveReadOnly(system!);
    } finally {
      await (system as System | null)?.stop();
      if (elsewhere) await admin.query('DROP DATABASE IF EXISTS ??', [elsewhere]);
    }
  });
});

describe('a server that cannot be worked with', () => {
  /** What a process says, and how it ends; it is killed when it does not. */
  async function run(program: string, MYSQL_URL: string) {
    const env = {
      PATH: process.env.PATH,
      NATS_URL: process.env.TEST_NATS_URL,
      HEALTH_PORT: String(await freePort()),
      LOG_LEVEL: 'silent',
      MYSQL_URL,
    };
    const child = spawn(process.execPath, [`write-side/${program}.js`], {
      cwd: process.env.TEST_BUILD,
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 20_000,
    });
    let said = '';
    child.stderr.on('data', (data) => (said += data));
    const [code] = (await once(child, 'close')) as [number | null];

    return { code, lines: said.trimEnd().split('\n') };
  }

  const WRONG: [string, Record<string, string | number>, (url: URL) => void, RegExp][] = [
    ['that logs statements', { binlog_format: 'STATEMENT' }, () => undefined, /binlog_format is STATEMENT, and must be ROW or MIXED/],
    ['that is read-only', { read_only: 1 }, () => undefined, /read_only is \w+, and must be OFF/],
    ['with another password', {}, (url) => (url.password = 'wrong'), /Access denied for user/],
    ['with a database that one may not use', {}, (url) => (url.pathname = '/mysql'), /[Aa]ccess.* denied (for|to) user/],
  ];

  it.each(WRONG)('%s is told in one line', async (_, settings, change, line) => {
    const name = `t${newId().slice(-8)}`;
    const url = new URL(`${serverUrl}/${name}`);
    await admin.query('CREATE DATABASE ??', [name]);
    change(url);
    await withSettings(settings, async () => {
      for (const program of ['migrate', 'main']) {
        const { code, lines } = await run(program, url.href);
        expect({ program, code, lines }).toEqual({ program, code: 1, lines: [expect.stringMatching(line)] });
      }
    });
    await admin.query('DROP DATABASE ??', [name]);
  });

  it('that encrypts nothing, or only encrypts, is told in one line, unless the URL says the same', async () => {
    const url = new URL(`${serverUrl}/t${newId().slice(-8)}`);
    const encrypted = new URL(`${url.href}?ssl={"rejectUnauthorized":false}`).href;
    const canEncrypt = await mysql.createConnection(`${serverUrl}?ssl={"rejectUnauthorized":false}`).then(
      (connection) => connection.end().then(() => true),
      () => false,
    );
    const [wrong, right] = canEncrypt ? [url.href, encrypted] : [encrypted, url.href];
    await withSettings(canEncrypt ? { require_secure_transport: 1 } : {}, async () => {
      expect(await run('migrate', right)).toEqual({ code: 0, lines: [''] });
      for (const program of ['migrate', 'main']) {
        const { code, lines } = await run(program, wrong);
        expect({ program, code, lines }).toEqual({
          program,
          code: 1,
          lines: [expect.stringMatching(/insecure transport|secure connection/)],
        });
      }
    });
    await admin.query('DROP DATABASE ??', [url.pathname.slice(1)]);
  });

  it('without the database, it is told that migrations are to be run', async () => {
    const { code, lines } = await run('main', `${serverUrl}/tnowhere`);
    expect({ code, lines }).toEqual({ code: 1, lines: [expect.stringMatching(/Unknown database.*run the migrations/)] });
  });
});

/** Commands wait, none is parked, and all of them run when there is a server that can be written. */
async function surviveReadOnly(system: System): Promise<void> {
  const { client, id } = await system.author();
  const readyz = async () => (await fetch(`http://127.0.0.1:${system.writeSides[0]!.port}/readyz`)).text();
  await withSettings({ read_only: 1 }, async () => {
    for (const message of ['one', 'two']) {
      expect((await client.request(PostCheepReceiptDocument, { input: { message } })).postCheep.status).toBe('ACCEPTED');
    }
    await eventually(async () => /read.only/.test(await readyz()), 'readyz says so');
  });
  await eventually(async () => (await client.request(AuthorDocument, { id })).author!.cheepsCount === 2, 'both cheeps are there');
  expect((await cheeper(system.env, 'parked', 'list', '--json')).out.trim()).toBe('[]');
}

describe('a server that becomes read-only', () => {
  it('is left, also by an administrator, whom it would let write', async () => {
    const system = await start(stack.mysqlUrl);
    try {
      await surviveReadOnly(system);
    } finally {
      await system.stop();
    }
  });
});
