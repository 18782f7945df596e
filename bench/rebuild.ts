/**
 * How fast the read side builds itself from the journal: all projections after Redis was wiped, and then each of them, beside the
 * live one, while all are read. The floor, in the same run: a program that only reads the same stream and decodes it; and as many
 * bare writes, sent to Redis a thousand at a time. REBUILD_EVENTS says how many events (100,000), REBUILD_FOLLOW how often people
 * follow, of about 100 things that they do (22): the fewer, the fewer timelines a cheep goes to.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { generationsOf, readControl, shardsOf } from '../read-side/control.js';
import { PROJECTIONS } from '../read-side/progress.js';
import { APPLIED, prefixOf, readShard, type Shard, type Space } from '../read-side/shard.js';
import { pause } from '../shared/follow.js';
import { connectNats, streamInfo } from '../shared/jetstream.js';
import { decodeEntry } from '../shared/messages/upcast.js';
import { natsNames } from '../shared/names.js';
import { freePort } from '../stack/stack.mjs';
import { percentile, required, table } from './figures.js';
import { MeasuredProcess } from './processes.js';
import { town } from './town.js';

const EVENTS = Number(process.env['REBUILD_EVENTS'] ?? 100_000);
const FOLLOW = Number(process.env['REBUILD_FOLLOW'] ?? 22);
const SHARDS = 8;
/** Bare writes that are sent at once. */
const AT_ONCE = 1_000;
const LOOK_MS = 10;
const DEADLINE_MS = 30 * 60_000;

export async function rebuild(): Promise<void> {
  const name = `rebuild_${randomBytes(4).toString('hex')}`;
  const mysqlUrl = new URL(required('MYSQL_URL'));
  mysqlUrl.pathname = `/${name}`;
  const env = { MYSQL_URL: mysqlUrl.href, NAMESPACE: name, SHARDS: String(SHARDS), LOG_LEVEL: 'error' };
  await importTown(join(tmpdir(), `${name}.ndjson`), env);
  const start = async (service: string) => new MeasuredProcess(`${service}/main.ts`, { ...env, HEALTH_PORT: String(await freePort()) });
  const writeSide = await start('write-side');
  const nats = await connectNats(required('NATS_URL'), 'bench');
  const redis = new Redis(required('REDIS_URL'));
  const stream = await until('the relay has published all', async () => {
    const names: string[] = [];
    for await (const one of nats.jsm.streams.names(natsNames(name).allEvents('*'))) names.push(one);
    const info = names[0] ? await streamInfo(nats.jsm, names[0]) : null;
    return info && info.state.last_seq >= EVENTS ? names[0]! : null;
  });
  const space: Space = { namespace: name, epoch: stream.split('_').at(-1)!, shards: SHARDS };

  const floorSeconds = await seconds(async () => {
    let decoded = 0;
    const messages = await (await nats.js.consumers.get(stream)).consume({ max_messages: AT_ONCE });
    for await (const message of messages) {
      decodeEntry(message.string());
      if (++decoded === EVENTS) break;
    }
  });
  const writesSeconds = await seconds(async () => {
    for (let i = 0; i < EVENTS; i += AT_ONCE) {
      const writes = redis.pipeline();
      for (let j = 0; j < AT_ONCE; j++) writes.zadd(`${name}:bare:${j}`, i, 'sixteen bytes...');
      await writes.exec();
    }
  });

  const readSide = await start('read-side');
  const rows: Parameters<typeof table>[2] = [];
  /** How shards build themselves from when they have begun, while all are read. */
  const measure = async (what: string, shards: Shard[]) => {
    await until('the shards are begun', async () => (await least(redis, space, shards)) >= 0);
    const [redisBefore, nodeBefore] = [await redisCpuSeconds(redis), await readSide.cpuMs()];
    const { seconds, readsMs } = await watched(redis, space, shards, all);
    const [redisSeconds, nodeMs] = [(await redisCpuSeconds(redis)) - redisBefore, (await readSide.cpuMs()) - nodeBefore];
    const reads = [percentile(readsMs, 0.5), percentile(readsMs, 0.99)];
    rows.push([what, EVENTS / seconds, (nodeMs * 1e3) / EVENTS, (redisSeconds * 1e6) / EVENTS, ...reads]);
  };
  const all = PROJECTIONS.flatMap((projection) => shardsOf(space, projection, 1));
  await measure(`all ${PROJECTIONS.length} projections`, all);
  const quiet = await readsFor(redis, space, all, 2_000);
  for (const projection of PROJECTIONS) {
    const operator = (...args: string[]) =>
      promisify(execFile)(process.execPath, ['--import', '@swc-node/register/esm-register', 'cli/main.ts', 'projections', ...args], {
        env: { ...process.env, ...env },
      });
    const begun = operator('rebuild', projection.name, '--no-wait');
    const generation = await until(
      'a generation is begun',
      async () => generationsOf(await readControl(redis, space), projection).building,
    );
    await measure(`${projection.name}, beside the live ones`, shardsOf(space, projection, generation));
    await begun;
    await operator('drop', projection.name, '--yes');
  }

  const unmeasured = ['', ''];
  table(
    `Building from ${EVENTS} events (events a second; processor time in microseconds an event; reads of live shards in milliseconds)`,
    ['events/s', 'node µs', 'redis µs', 'read p50', 'read p99'],
    [
      ['floor: read and decoded', EVENTS / floorSeconds, ...unmeasured, ...unmeasured],
      ['floor: a bare write each', EVENTS / writesSeconds, ...unmeasured, ...unmeasured],
      ['reads alone', '', ...unmeasured, percentile(quiet, 0.5), percentile(quiet, 0.99)],
      ...rows,
    ],
  );
  await Promise.all([readSide.stop(), writeSide.stop()]);
  await nats.close();
  redis.disconnect();
}

async function importTown(file: string, env: NodeJS.ProcessEnv): Promise<void> {
  function* lines() {
    yield `${JSON.stringify({ cheeper: 'journal', format: 1, epoch: 'town', reactions: EVENTS })}\n`;
    for (const entry of town(EVENTS, { follow: FOLLOW })) yield `${JSON.stringify(entry)}\n`;
  }
  await pipeline(Readable.from(lines()), createWriteStream(file));
  const args = ['--import', '@swc-node/register/esm-register', 'cli/main.ts', 'journal', 'import', file];
  await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } });
  rmSync(file);
}

async function until<T>(what: string, look: () => Promise<T | null | false>): Promise<T> {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const seen = await look();
    if (seen !== null && seen !== false) return seen;
    if (performance.now() > deadline) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
    await pause(LOOK_MS);
  }
}

async function seconds(run: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await run();

  return (performance.now() - startedAt) / 1_000;
}

async function least(redis: Redis, space: Space, shards: Shard[]): Promise<number> {
  const applied = await redis.mget(shards.map((shard) => prefixOf(space, shard) + APPLIED));

  return Math.min(...applied.map((position) => Number(position ?? -1)));
}

/** How long it takes until these shards have all events, and how long reads of others take meanwhile. */
async function watched(redis: Redis, space: Space, shards: Shard[], read: Shard[]) {
  const startedAt = performance.now();
  const readsMs: number[] = [];
  await until('all is built', async () => {
    readsMs.push(...(await readsFor(redis, space, read, 100)));
    return (await least(redis, space, shards)) >= EVENTS;
  });

  return { seconds: (performance.now() - startedAt) / 1_000, readsMs };
}

/** Milliseconds of each read, one after another with a little time between, for so long. */
async function readsFor(redis: Redis, space: Space, shards: Shard[], ms: number): Promise<number[]> {
  const readsMs: number[] = [];
  for (const startedAt = performance.now(); performance.now() - startedAt < ms;) {
    const shard = shards[readsMs.length % shards.length]!;
    const before = performance.now();
    await readShard(redis, space, shard, (multi, key) => multi.zrange(key('posts:nobody'), 0, 10), (replies) => replies); // prettier-ignore
    readsMs.push(performance.now() - before);
    await pause(LOOK_MS);
  }

  return readsMs;
}

async function redisCpuSeconds(redis: Redis): Promise<number> {
  const info = await redis.info('cpu');

  return ['user', 'sys'].reduce((sum, kind) => sum + Number(info.match(new RegExp(`used_cpu_${kind}:([\\d.]+)`))![1]), 0);
}
