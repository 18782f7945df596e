/**
 * How fast the read side builds itself from the journal: all projections after Redis was wiped, and then each of them, beside the
 * live one, while all are read. The floors, in the same run: a program that only reads the same stream and decodes it; and the very
 * commands that all of that came to in Redis, sent bare, a thousand at a time (see written-commands.ts). REBUILD_EVENTS says how many
 * events, REBUILD_FOLLOW how often people follow, of about 100 things that they do (22): the fewer, the fewer timelines a cheep goes to.
 */
import type { Redis } from 'ioredis';
import { generationsOf, readControl, shardsOf } from '../read-side/control.js';
import { PROJECTIONS } from '../read-side/progress.js';
import { readShard, type Shard, type Space } from '../read-side/shard.js';
import { pause } from '../shared/follow.js';
import { connectNats, streamInfo } from '../shared/jetstream.js';
import { decodeEntry } from '../shared/messages/upcast.js';
import { natsNames } from '../shared/names.js';
import { isQuick, percentile, required, table, type Comparison } from './figures.js';
import { System, until } from './system.js';
import { WrittenCommands } from './written-commands.js';

const EVENTS = Number(process.env['REBUILD_EVENTS'] ?? (isQuick ? 20_000 : 1_000_000));
const FOLLOW = Number(process.env['REBUILD_FOLLOW'] ?? 22);
/** Bare commands that are sent at once, and messages that are read. */
const AT_ONCE = 1_000;
const READ_EVERY_MS = 10;
const DEADLINE_MS = 30 * 60_000;

export async function rebuild(): Promise<Comparison[]> {
  const system = await System.create('rebuild');
  const { redis } = system;
  await system.importTown(EVENTS, { follow: FOLLOW });
  await system.start('write-side');
  const nats = await connectNats(required('NATS_URL'), 'bench');
  const stream = await until('the relay has published all', DEADLINE_MS, async () => {
    const names: string[] = [];
    for await (const one of nats.jsm.streams.names(natsNames(system.namespace).allEvents('*'))) names.push(one);
    const info = names[0] ? await streamInfo(nats.jsm, names[0]) : null;
    return info && info.state.last_seq >= EVENTS ? names[0]! : null;
  });

  const floorSeconds = await seconds(async () => {
    let decoded = 0;
    const messages = await (await nats.js.consumers.get(stream)).consume({ max_messages: AT_ONCE });
    for await (const message of messages) {
      decodeEntry(message.string());
      if (++decoded === EVENTS) break;
    }
  });
  let readSide = (await system.start('read-side')).process;
  const space = await system.space();
  const rows: Parameters<typeof table>[2] = [];
  /** How shards build themselves from when they have begun, while all are read. */
  const measure = async (what: string, shards: Shard[]) => {
    await until('the shards are begun', DEADLINE_MS, async () => (await system.applied(shards)) >= 0);
    const [redisBefore, nodeBefore] = [await redisCpuSeconds(redis), await readSide.cpuMs()];
    const { seconds, readsMs } = await watched(system, space, shards, all);
    const [redisSeconds, nodeMs] = [(await redisCpuSeconds(redis)) - redisBefore, (await readSide.cpuMs()) - nodeBefore];
    const reads = [percentile(readsMs, 0.5), percentile(readsMs, 0.99)];
    rows.push([what, EVENTS / seconds, (nodeMs * 1e3) / EVENTS, (redisSeconds * 1e6) / EVENTS, ...reads]);

    return EVENTS / seconds;
  };
  const all = PROJECTIONS.flatMap((projection) => shardsOf(space, projection, 1));
  const perSecond = await measure(`all ${PROJECTIONS.length} projections`, all);
  const quiet = await readsFor(redis, space, all, 2_000);
  for (const projection of isQuick ? [] : PROJECTIONS) {
    const begun = system.operator('projections', 'rebuild', projection.name, '--no-wait');
    const generation = await until(
      'a generation is begun',
      DEADLINE_MS,
      async () => generationsOf(await readControl(redis, space), projection).building,
    );
    await measure(`${projection.name}, beside the live ones`, shardsOf(space, projection, generation));
    await begun;
    await system.operator('projections', 'drop', projection.name, '--yes');
  }

  // They are recorded from another build: while that goes on, Redis must not rewrite its file.
  const begin = async () => {
    await readSide.stop();
    await system.removeKeys();
  };
  await begin();
  const commands = await WrittenCommands.record(redis, async () => {
    readSide = (await system.start('read-side')).process;
    await until('all is built again', DEADLINE_MS, async () => (await system.applied(all)) >= EVENTS);
  });
  await begin();
  const writesSeconds = await commands.replay(AT_ONCE);

  const unmeasured = ['', ''];
  table(
    `Building from ${EVENTS} events (events a second; processor time in microseconds an event; reads of live shards in milliseconds)`,
    ['events/s', 'node µs', 'redis µs', 'read p50', 'read p99'],
    [
      ['floor: read and decoded', EVENTS / floorSeconds, ...unmeasured, ...unmeasured],
      ['floor: the same writes, bare', EVENTS / writesSeconds, ...unmeasured, ...unmeasured],
      ['reads alone', '', ...unmeasured, percentile(quiet, 0.5), percentile(quiet, 0.99)],
      ...rows,
    ],
  );
  await nats.close();
  await system.remove();

  return [
    {
      name: 'rebuild of all projections: events a second, beside the same writes, bare',
      ratio: (perSecond * writesSeconds) / EVENTS,
      aim: 0.5,
      aimIs: 'at least',
      runs: 1,
    },
    { name: 'rebuild of all projections: thousands of events a second', ratio: perSecond / 1_000, aim: 20, aimIs: 'at least', runs: 1 },
  ];
}

async function seconds(run: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await run();

  return (performance.now() - startedAt) / 1_000;
}

/** How long it takes until these shards have all events, and how long reads of others take meanwhile. */
async function watched(system: System, space: Space, shards: Shard[], read: Shard[]) {
  const startedAt = performance.now();
  const readsMs: number[] = [];
  await until('all is built', DEADLINE_MS, async () => {
    readsMs.push(...(await readsFor(system.redis, space, read, 100)));
    return (await system.applied(shards)) >= EVENTS;
  });

  return { seconds: (performance.now() - startedAt) / 1_000, readsMs };
}

/** Milliseconds of each read, one after another with a little time between, for so long. */
async function readsFor(redis: Redis, space: Space, shards: Shard[], ms: number): Promise<number[]> {
  const readsMs: number[] = [];
  for (const startedAt = performance.now(); performance.now() - startedAt < ms;) {
    const shard = shards[readsMs.length % shards.length]!;
    const before = performance.now();
    await readShard(
      redis,
      space,
      shard,
      (read) => read('ZRANGE', 'posts:nobody', 0, 10),
      (replies) => replies,
    );
    readsMs.push(performance.now() - before);
    await pause(READ_EVERY_MS);
  }

  return readsMs;
}

async function redisCpuSeconds(redis: Redis): Promise<number> {
  const info = await redis.info('cpu');

  return ['user', 'sys'].reduce((sum, kind) => sum + Number(info.match(new RegExp(`used_cpu_${kind}:([\\d.]+)`))![1]), 0);
}
