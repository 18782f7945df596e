/**
 * Servers and services start wherever they are put: in folders with any name, at any address of the machine, over what a bad disk has
 * left. (Whole starts are in tests/run.test.ts.)
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from '@nats-io/transport-node';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';
import { reachable } from '../stack/address.mjs';
import { dataFolder } from '../stack/folders.mjs';
import { startStack, temporaryFolder } from '../stack/stack.mjs';
import { AuthorDocument } from '../client/operations.js';
import { natsServers } from '../shared/config.js';
import { cheeper, startSystem } from './system.js';

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the servers', () => {
  const deep = () => join(folder, 'd'.repeat(100), 'e'.repeat(100), 'f'.repeat(350 - folder.length - 203));

  it.each([
    ['everything', () => join(folder, ` a b:c"d'e$HOME%41#ü☃\\f&g;h*[i](j)\n`)],
    ['a dash', () => join(folder, '-rf')],
    ['350 bytes', deep],
  ])('start in a folder whose name has %s', async (_, name) => {
    const dataDir = dataFolder('CHEEPER_DATA', name());
    const stack = await startStack({ dataDir });
    try {
      expect(readdirSync(dataDir).sort()).toEqual(['logs', 'mysql', 'nats', 'redis']);
      const sql = await mysql.createConnection(stack.mysqlUrl);
      const [[row]] = await sql.query<mysql.RowDataPacket[]>('SELECT @@tmpdir AS tmpdir');
      await sql.end();
      expect(row).toEqual({ tmpdir: '.tmp' });
    } finally {
      await stack.stop();
    }
  });

  it('and the services find them at an IPv6 address', async () => {
    const dataDir = dataFolder('CHEEPER_DATA', join(folder, 'ipv6'));
    const stack = await startStack({ dataDir, host: '::1' });
    expect(stack.mysqlUrl).toMatch(/^mysql:\/\/root:\w+@\[::1\]:\d+$/);
    const { mysqlUrl, natsUrl, redisUrl } = stack;
    const system = await startSystem({ servers: { mysqlUrl, natsUrl, redisUrl } });
    try {
      const author = await system.author();
      expect((await author.client.request(AuthorDocument, { id: author.id })).author?.username).toBe(author.username);
      expect((await cheeper(system.env, 'status')).out).toContain('up to date');
    } finally {
      await system.stop();
      await stack.stop();
    }
  });
});

describe('a data folder', () => {
  it.each([
    ['where the system makes none', () => '/proc/nosuch'],
    ['below a file', () => '/dev/null/data'],
    ['that is a file', () => '/dev/null'],
    ['with a name that is too long', () => join(folder, 'x'.repeat(300))],
    ['that is too deep for MySQL', () => join(folder, 'x'.repeat(200), 'x'.repeat(200), 'x'.repeat(200))],
    ['behind a link to itself', () => (symlinkSync('loop', join(folder, 'loop')), join(folder, 'loop'))],
  ])('%s is refused in a line, at once', (_, name) => {
    expect(() => dataFolder('CHEEPER_DATA', name())).toThrow(/^CHEEPER_DATA, [^\n]+, can't be the data folder: [^\n]+\.$/);
  });

  it('may be behind a link, relative, or end with a slash', () => {
    mkdirSync(join(folder, 'real'));
    symlinkSync('real', join(folder, 'link'));
    expect(dataFolder('CHEEPER_DATA', `${join(folder, 'link')}/`)).toBe(join(folder, 'real'));
    expect(dataFolder('CHEEPER_DATA', 'tests/')).toBe(import.meta.dirname);
  });
});

describe('a service that listens on', () => {
  it.each([
    ['0.0.0.0', ['127.0.0.1'], '127.0.0.1', 'localhost'],
    ['0.0.0.0', ['::1', '127.0.0.1'], '127.0.0.1', 'localhost'],
    ['0.0.0.0', ['::1'], '127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', [], '127.0.0.1', '127.0.0.1'],
    ['127.0.0.1', ['::1', '127.0.0.1'], '127.0.0.1', 'localhost'],
    ['127.0.0.1', ['::1'], '127.0.0.1', '127.0.0.1'],
    ['::', ['::1'], '::1', 'localhost'],
    ['[::]', ['127.0.0.1'], '::1', 'localhost'],
    ['0:0:0:0:0:0:0:0', [], '::1', '[::1]'],
    ['::1', ['127.0.0.1'], '::1', '[::1]'],
    ['[fd00::2]', [], 'fd00::2', '[fd00::2]'],
    ['fe80::1%eth0', [], 'fe80::1%eth0', '[fe80::1%25eth0]'],
    ['192.0.2.7', [], '192.0.2.7', '192.0.2.7'],
    ['box.lan', ['::1'], 'box.lan', 'box.lan'],
  ])('%s, where localhost is %j, is asked at %s and shown as %s', (host, localhost, asked, shown) => {
    expect(reachable(host, localhost)).toEqual({ host: asked, inUrl: shown });
  });
});

describe('data of a server that are damaged', () => {
  /** The report of a start on them, if there was one, and what Redis then has. */
  async function startRedis(dataDir: string) {
    const said: string[] = [];
    const keepRunning = { report: (line: string) => said.push(line), giveUp: (error: Error) => said.push(error.message) };
    const stack = await startStack({ dataDir, servers: ['redis'], keepRunning });
    const redis = new Redis(stack.redisUrl);
    const keys = await redis.dbsize();
    redis.disconnect();
    await stack.stop();

    return { said, keys, aside: readdirSync(dataDir).filter((name) => name.startsWith('redis-damaged-')) };
  }

  let whole: string;
  const files = (dataDir: string) => join(dataDir, 'redis/appendonlydir');
  const file = (dataDir: string, end: string) =>
    join(
      files(dataDir),
      readdirSync(files(dataDir)).find((name) => name.endsWith(end))!,
    );
  const overwrite = (path: string, bytes: Buffer) => {
    const fd = openSync(path, 'r+');
    writeSync(fd, bytes, 0, bytes.length, Math.floor(statSync(path).size / 2));
    closeSync(fd);
  };

  beforeAll(async () => {
    whole = join(folder, 'whole');
    mkdirSync(whole);
    const stack = await startStack({ dataDir: whole, servers: ['redis'] });
    const redis = new Redis(stack.redisUrl);
    await redis.mset(Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`base-${i}`, 'x'.repeat(100)])));
    await redis.bgrewriteaof();
    while (/aof_rewrite_(in_progress|scheduled):1/.test(await redis.info('persistence'))) await new Promise(setImmediate);
    for (let i = 0; i < 1_000; i += 1) await redis.set(`later-${i}`, 'x'.repeat(100));
    redis.disconnect();
    await stack.stop();
  });

  it.each<[string, (dataDir: string) => void]>([
    ['zeros at the end', (dataDir) => appendFileSync(file(dataDir, '.incr.aof'), Buffer.alloc(4_096))],
    ['zeros in the middle', (dataDir) => overwrite(file(dataDir, '.incr.aof'), Buffer.alloc(4_096))],
    ['garbage', (dataDir) => writeFileSync(file(dataDir, '.incr.aof'), 'garbage')],
    ['no manifest', (dataDir) => rmSync(file(dataDir, '.manifest'))],
    ['a manifest of nothing', (dataDir) => truncateSync(file(dataDir, '.manifest'))],
    ['a manifest that names what is not there', (dataDir) => rmSync(file(dataDir, '.incr.aof'))],
    ['a base with other bytes', (dataDir) => overwrite(file(dataDir, '.base.rdb'), Buffer.alloc(4_096, 255))],
    ['half a base', (dataDir) => truncateSync(file(dataDir, '.base.rdb'), 10_000)],
    ['an empty base', (dataDir) => truncateSync(file(dataDir, '.base.rdb'))],
    ['a newer format', (dataDir) => writeFileSync(file(dataDir, '.base.rdb'), 'REDIS0099', { flag: 'r+' })],
    ['a file in place of the folder', (dataDir) => (rmSync(files(dataDir), { recursive: true }), writeFileSync(files(dataDir), ''))],
  ])('(Redis: %s) are set aside, in a line, and it begins with none', async (name, harm) => {
    const dataDir = join(folder, name);
    cpSync(whole, dataDir, { recursive: true });
    harm(dataDir);

    const { said, keys, aside } = await startRedis(dataDir);
    expect(keys).toBe(0);
    expect(aside).toHaveLength(1);
    expect(said).toEqual([expect.stringMatching(new RegExp(`^redis could not read its data \\([^\\n]+\\)[^\\n]*${aside[0]}[^\\n]*$`))]);
    expect(await startRedis(dataDir)).toEqual({ said: [], keys: 0, aside });
  });

  it('(Redis) stay where they are when it only lacks the end that was being written', async () => {
    const dataDir = join(folder, 'torn');
    cpSync(whole, dataDir, { recursive: true });
    const log = file(dataDir, '.incr.aof');
    truncateSync(log, statSync(log).size - 7);
    expect(await startRedis(dataDir)).toEqual({ said: [], keys: 1_999, aside: [] });
  });

  it('(Redis) stay where they are when it fails for another reason, and are the last two that were set aside', async () => {
    const dataDir = join(folder, 'other');
    cpSync(whole, dataDir, { recursive: true });
    const stack = await startStack({ dataDir: join(folder, 'torn'), servers: ['redis'] });
    const keepRunning = { report: () => undefined, giveUp: () => undefined };
    const taken = startStack({ dataDir, servers: ['redis'], ports: { redis: stack.port('redis') }, keepRunning });
    await expect(taken).rejects.toThrow(/address already in use/);
    await stack.stop();
    expect(await startRedis(dataDir)).toEqual({ said: [], keys: 2_000, aside: [] });

    for (let i = 0; i < 3; i += 1) {
      mkdirSync(files(dataDir), { recursive: true });
      writeFileSync(join(files(dataDir), 'appendonly.aof.manifest'), 'garbage');
      await startRedis(dataDir);
    }
    expect(readdirSync(dataDir).filter((name) => name.startsWith('redis-damaged-'))).toHaveLength(2);
  });

  it('(NATS) are set aside when a copy of the journal has lost messages', async () => {
    const dataDir = join(folder, 'nats');
    mkdirSync(dataDir);
    const said: string[] = [];
    const keepRunning = { report: (line: string) => said.push(line), giveUp: (error: Error) => said.push(error.message) };
    const withJetstream = async (work: (connection: Awaited<ReturnType<typeof connect>>) => Promise<unknown>) => {
      const stack = await startStack({ dataDir, servers: ['nats'], keepRunning });
      const connection = await connect(natsServers(stack.natsUrl));
      await work(connection);
      await connection.close();
      await stack.stop();
    };
    await withJetstream(async (connection) => {
      await (await jetstreamManager(connection)).streams.add({ name: 'cheeper_EVENTS_1', subjects: ['events'] });
      for (let i = 0; i < 100; i += 1) await jetstream(connection).publish('events', 'x'.repeat(1_000));
    });
    const names = async (connection: Awaited<ReturnType<typeof connect>>) =>
      expect((await (await jetstreamManager(connection)).streams.list().next()).map(({ state }) => state.messages)).toEqual(
        said.length === 0 ? [100] : [],
      );
    await withJetstream(names);
    expect(said).toEqual([]);

    overwrite(join(dataDir, 'nats/jetstream/$G/streams/cheeper_EVENTS_1/msgs/1.blk'), Buffer.alloc(4_096));
    await withJetstream(names);
    expect(said).toEqual([expect.stringMatching(/^nats could not read its data \(the stream cheeper_EVENTS_1 has lost messages/)]);
  });

  it('(MySQL) are left as they are, and said so', async () => {
    const dataDir = join(folder, 'mysql');
    mkdirSync(dataDir);
    await (await startStack({ dataDir, servers: ['mysql'] })).stop();
    const system = join(dataDir, 'mysql/ibdata1');
    writeFileSync(system, 'garbage');
    const keepRunning = { report: () => undefined, giveUp: () => undefined };
    await expect(startStack({ dataDir, servers: ['mysql'], keepRunning })).rejects.toThrow(/^mysql ended .*mysql are left as they are:\n/);
    expect(readdirSync(dataDir).sort()).toEqual(['logs', 'mysql']);
    expect(readFileSync(system, 'utf8')).toBe('garbage');
  });
});

describe('the operator’s command', () => {
  const env = () => ({
    ...process.env,
    NODE_OPTIONS: '',
    MYSQL_URL: nowhere('mysql'),
    NATS_URL: nowhere('nats'),
    REDIS_URL: nowhere('redis'),
  });
  const nowhere = (protocol: string) => `${protocol}://127.0.0.1:1${protocol === 'mysql' ? '/cheeper' : ''}`;
  const command = `"${process.execPath}" cli/main.js`;
  async function shell(script: string, more: NodeJS.ProcessEnv = {}) {
    const child = spawn('bash', ['-c', script], {
      cwd: process.env['TEST_BUILD'],
      env: { ...env(), ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
    const [code] = (await once(child, 'close')) as [number | null];

    return { code, output };
  }

  it('status --watch ends when nobody reads any more', async () => {
    const { code, output } = await shell(`${command} status --watch --json | head -1; echo "ended with \${PIPESTATUS[0]}"`);
    expect(code).toBe(0);
    expect(output).toMatch(/^\{"at":[^\n]*\}\nended with 1\n$/);
  });

  it.each(['--help', 'status', 'verify', 'journal export -'])(
    '%s says nothing more when nobody reads, nor hears its complaints',
    async (args) => {
      const { output } = await shell(`{ ${command} ${args} 2>&1 | true; } ; ${command} ${args} >&- 2>&-; true`);
      expect(output).toBe('');
    },
  );

  it('says so in a line when its answer can’t be written', async () => {
    expect(await shell(`${command} --help > /dev/full`)).toEqual({
      code: 1,
      output: expect.stringMatching(/^cheeper: Standard output cannot be written: ENOSPC[^\n]*\n$/),
    });
  });

  it.each([
    ['MYSQL_URL', 'mysql://root:s%ecret@127.0.0.1/cheeper'],
    ['NATS_URL', 'nats://me:s%ecret@127.0.0.1'],
    ['REDIS_URL', 'redis://:s%ecret@127.0.0.1'],
  ])('says in a line what is wrong with %s=%s, without the secret', async (name, value) => {
    const { code, output } = await shell(`${command} status`, { [name]: value });
    expect(code).toBe(1);
    expect(output).toMatch(new RegExp(`^cheeper: Settings: ${name} must be percent-encoded[^\n]*\n$`));
    expect(output).not.toMatch(/s%ecret/);
  });
});
