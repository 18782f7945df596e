/**
 * A missing or contradictory setting stops the start of a service with one clear line, and exit code 1; so does a server that is set up
 * in such a way that the promises would not hold. A server that comes to be so later is named by `readyz`, and not written to.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DiscardPolicy, jetstreamManager, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import mysql, { type Connection } from 'mysql2/promise';
import { PostCheepReceiptDocument } from '../client/operations.js';
import { natsServers } from '../shared/config.js';
import { newId } from '../shared/ids.js';
import { findProgram, launch } from '../stack/children.mjs';
import { startStack, temporaryFolder, type Stack } from '../stack/stack.mjs';
import { migrate } from '../write-side/migrate.js';
import { eventually, freePort, SIGNING_KEY, startSystem, type ServiceName, type System } from './system.js';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

async function run(name: ServiceName, settings: Record<string, string>): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, ['--enable-source-maps', `${name}/main.js`], {
    cwd: process.env.TEST_BUILD,
    env: { PATH: process.env.PATH, ...settings },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (data) => (said += data));
  const [code] = (await once(child, 'close')) as [number | null];

  return { code, said };
}

describe('a service', () => {
  it.each([
    ['write-side', {}, ['NATS_URL is missing', 'MYSQL_URL is missing', 'HEALTH_PORT is missing']],
    ['read-side', { NATS_URL: 'localhost:4222', SHARDS: '0' }, ['NATS_URL must be a URL', 'SHARDS is not right', 'REDIS_URL is missing']],
    ['gateway', { SIGNING_KEY: 'short', PORT: 'http' }, ['SIGNING_KEY must have at least 32 characters', 'PORT is not right']],
    ['gateway', { ALLOWED_ORIGINS: 'example.org' }, ['ALLOWED_ORIGINS must be origins']],
    ['gateway', { TRUSTED_DOCUMENTS: 'on' }, ['TRUSTED_DOCUMENTS is not right']],
  ] as const)('(%s) with %j names every fault in one line', async (name, settings, faults) => {
    const { code, said } = await run(name, settings);
    expect(code).toBe(1);
    expect(said.trimEnd().split('\n')).toHaveLength(1);
    for (const fault of faults) expect(said).toContain(fault);
  });

  it.each([
    ['write-side', { LANES: '8' }, 'LANES=16'],
    ['read-side', { SHARDS: '4' }, 'SHARDS=8'],
    ['gateway', { LANES: '8' }, 'lanes=16'],
    ['gateway', { SHARDS: '4' }, 'SHARDS=8'],
    ['gateway', { SHARDS: '4', GATEWAY_PROCESSES: '3' }, 'SHARDS=8'],
  ] as const)('(%s) with %j, where the others have more, says so in one line', async (name, settings, fault) => {
    const port = String(await freePort());
    const all = {
      ...system.env,
      SIGNING_KEY: 'a key for tests that is long enough',
      PORT: port,
      HEALTH_PORT: port,
      LOG_LEVEL: 'silent',
      ...settings,
    };
    const { code, said } = await run(name, all);
    expect(code).toBe(1);
    expect(said.trimEnd().split('\n')).toHaveLength(1);
    expect(said).toContain(fault);
  });

  it.each([
    [{ TRUSTED_DOCUMENTS: 'enforce' }, 'TRUSTED_DOCUMENTS_FOLDER must name the manifests'],
    [{ TRUSTED_DOCUMENTS_FOLDER: '/nowhere' }, 'TRUSTED_DOCUMENTS_FOLDER is /nowhere: it cannot be read (ENOENT)'],
    [{ TRUSTED_DOCUMENTS_FOLDER: 'shared', GATEWAY_PROCESSES: '2', TRUSTED_DOCUMENTS: 'enforce' }, 'there is no document in it'],
  ])('(gateway) with %j says so in one line', async (settings, fault) => {
    const port = String(await freePort());
    const { code, said } = await run('gateway', { ...system.env, SIGNING_KEY, PORT: port, LOG_LEVEL: 'silent', ...settings });
    expect({ code, said }).toEqual({ code: 1, said: expect.stringMatching(/^.*\n$/) });
    expect(said).toContain(fault);
  });

  it.each(['1', '3'])('whose port is taken says so in one line (of %s processes)', async (GATEWAY_PROCESSES) => {
    const taken = {
      GATEWAY_PROCESSES,
      ...system.env,
      SIGNING_KEY: 'a key for tests that is long enough',
      PORT: String(system.gateways[0]!.port),
      HOST: '127.0.0.1',
    };
    const { code, said } = await run('gateway', taken);
    expect(code).toBe(1);
    expect(said.trim()).toBe(`gateway: port ${system.gateways[0]!.port} is in use`);
  });
});

describe('a server that is not set up right', () => {
  let dataDir: string;
  let stack: Stack;
  let sql: Connection;
  let redis: Redis;
  let own: System;
  beforeAll(async () => {
    dataDir = await temporaryFolder();
    stack = await startStack({ dataDir });
    own = await startSystem({ servers: stack });
    sql = await mysql.createConnection(stack.mysqlUrl);
    redis = new Redis(stack.redisUrl);
  });
  afterAll(async () => {
    redis?.disconnect();
    await sql?.end();
    await own?.stop();
    await stack?.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  /** What it says last, in one line. */
  async function refusal(name: ServiceName, settings: Record<string, string> = {}): Promise<string> {
    const port = String(await freePort());
    const { code, said } = await run(name, { ...own.env, SIGNING_KEY, PORT: port, HEALTH_PORT: port, LOG_LEVEL: 'silent', ...settings });
    expect({ code, lines: said.trimEnd().split('\n').length, said }).toMatchObject({ code: 1, lines: 1 });

    return said;
  }
  const waitsFor = async (port: number) => (await fetch(`http://127.0.0.1:${port}/readyz`)).text();

  it('(MySQL) keeps the write side from starting', async () => {
    const settings = [
      ['sync_binlog', '0', '1', 'is 0, and must be 1'],
      ['innodb_flush_log_at_trx_commit', '2', '1', 'is 2, and must be 1'],
      ['read_only', 'ON', 'OFF', 'is ON, and must be OFF'],
      ['max_allowed_packet', '1048576', '16777216', 'is 1048576, and must be 16777216 or more'],
    ] as const;
    try {
      for (const [name, wrong] of settings) await sql.query(`SET GLOBAL ${name} = ${wrong}`);
      const line = await refusal('write-side');
      for (const [name, , , fault] of settings) expect(line).toContain(`${name} ${fault}`);
    } finally {
      for (const [name, , right] of settings) await sql.query(`SET GLOBAL ${name} = ${right}`);
    }
  });

  it('(MySQL) without tables, or with those of another release, keeps the write side from starting', async () => {
    await sql.query('CREATE DATABASE other');
    const MYSQL_URL = `${stack.mysqlUrl}/other`;
    expect(await refusal('write-side', { MYSQL_URL })).toContain('there are no tables: run the migrations');
    await migrate(MYSQL_URL);
    await sql.query(`INSERT INTO other.mikro_orm_migrations (name) VALUES ('Migration9999')`);
    await sql.query(`DELETE FROM other.mikro_orm_migrations WHERE name = 'Migration0002'`);
    await sql.query('CREATE TABLE other.strays (id INT) ENGINE = MyISAM');
    const line = await refusal('write-side', { MYSQL_URL });
    expect(line).toContain('older than this release (without Migration0002): run the migrations');
    expect(line).toContain('the tables are of a newer release (Migration9999)');
    expect(line).toContain('tables must be InnoDB, and these are not: strays (MyISAM)');
    await sql.query('DROP DATABASE other');
  });

  it('(Redis) keeps the services that use it from starting', async () => {
    try {
      await redis.config('SET', 'maxmemory-policy', 'allkeys-lru', 'appendonly', 'no');
      await redis.replicaof('127.0.0.1', '1');
      for (const line of await Promise.all([refusal('read-side'), refusal('gateway')])) {
        expect(line).toContain('Redis: role is slave');
        expect(line).toContain('maxmemory-policy is allkeys-lru, and must be noeviction');
        expect(line).toContain('appendonly is no, and must be yes');
      }
    } finally {
      await redis.replicaof('NO', 'ONE');
      await redis.config('SET', 'maxmemory-policy', 'noeviction', 'appendonly', 'yes');
    }
  });

  it('(NATS) without JetStream, or for small messages only, keeps services from starting', async () => {
    const [plain, small] = [await freePort(), await freePort()];
    const program = findProgram('nats-server')!;
    const configuration = join(dataDir, 'small.conf');
    await writeFile(configuration, `port: ${small}\nhost: 127.0.0.1\nmax_payload: 65536\njetstream { store_dir: "${dataDir}/small" }\n`);
    const servers = [
      launch('nats', program, ['-a', '127.0.0.1', '-p', String(plain)], { logFile: join(dataDir, 'plain.log') }),
      launch('nats', program, ['-c', configuration], { logFile: join(dataDir, 'small.log') }),
    ];
    try {
      const lines = await Promise.all([
        refusal('gateway', { NATS_URL: `nats://127.0.0.1:${plain}` }),
        refusal('read-side', { NATS_URL: `nats://127.0.0.1:${small}` }),
      ]);
      expect(lines[0]).toContain('NATS: the server has no JetStream');
      expect(lines[1]).toContain('NATS: max_payload is 65536, and must be 1048576 or more');
    } finally {
      await Promise.all(servers.map((server) => server.kill()));
    }
  });

  it('(NATS) with a stream of commands that would lose some keeps the gateway from starting', async () => {
    const nats = await connect(natsServers(stack.natsUrl));
    const NAMESPACE = `s${newId().slice(-8)}`;
    const { streams } = await jetstreamManager(nats);
    await streams.add({
      name: `${NAMESPACE}_COMMANDS`,
      subjects: [`${NAMESPACE}.commands.>`],
      description: 'lanes=16',
      retention: RetentionPolicy.Workqueue,
      storage: StorageType.Memory,
      discard: DiscardPolicy.Old,
      max_age: 3_600_000_000_000,
      max_bytes: 1_000_000,
    });
    const line = await refusal('gateway', { NAMESPACE });
    for (const setting of ['retention', 'storage', 'discard', 'max_age', 'max_bytes', 'max_msgs', 'max_msg_size']) {
      expect(line).toContain(`${setting} `);
    }
    await streams.delete(`${NAMESPACE}_COMMANDS`);
    await nats.close();
  });

  it('(MySQL) later on is named by readyz, and nothing is written until it is right again', async () => {
    const [writeSide] = own.writeSides;
    const author = await own.author();
    const drop = async () => {
      const [rows] = await sql.query<mysql.RowDataPacket[]>(
        `SELECT id AS id FROM information_schema.processlist WHERE db = '${own.namespace}'`,
      );
      await Promise.allSettled(rows.map(({ id }) => sql.query(`KILL ${id}`)));
    };
    await sql.query('SET GLOBAL sync_binlog = 0');
    try {
      await drop();
      await eventually(async () => (await waitsFor(writeSide!.port)).includes('sync_binlog is 0'), 'readyz says so');
      const { postCheep } = await author.client.request(PostCheepReceiptDocument, { input: { message: 'not yet' } });
      expect(postCheep.status).toBe('ACCEPTED');
    } finally {
      await sql.query('SET GLOBAL sync_binlog = 1');
    }
    await writeSide!.ready();
    const { postCheep } = await author.client.request(PostCheepReceiptDocument, { input: { message: 'now' } });
    expect(postCheep.status).toBe('COMMITTED');
  });

  it('(Redis) later on is named by readyz', async () => {
    const services = [...own.readSides, ...own.gateways];
    const drop = () => redis.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    try {
      await drop();
      for (const { port } of services) {
        await eventually(async () => (await waitsFor(port)).includes('maxmemory-policy is allkeys-lru'), 'readyz says so');
      }
    } finally {
      await redis.config('SET', 'maxmemory-policy', 'noeviction');
    }
    await drop();
    for (const service of services) await service.ready();
  });
});
