/**
 * What a cheep of somebody with 10,000 followers costs: from the first of many that are posted at once until all of them are in all
 * timelines. The floor, turn by turn in the same run: scripts of bare ZADDs into as many sorted sets. And what an entry of a timeline
 * takes of Redis's memory, beside the least that a sorted set of numbers does.
 */
import type { Redis } from 'ioredis';
import { shardsOf } from '../read-side/control.js';
import { prefixOf, shardOf } from '../read-side/shard.js';
import { TIMELINES } from '../read-side/timelines/query.js';
import { newId } from '../shared/ids.js';
import { PostCheepReceiptDocument } from '../client/operations.js';
import { CheeperClient } from '../client/client.js';
import { isQuick, median, table, type Comparison } from './figures.js';
import { System, until } from './system.js';
import { town } from './town.js';

const FOLLOWERS = isQuick ? 2_000 : 10_000;
/** Each follower's sign-up and follow, and what is told of them. */
const EVENTS = 2 + 4 * FOLLOWERS;
const CHEEPS = 200;
const ROUNDS = isQuick ? 3 : 5;
/** Of one script: as many as it has keys in our own. */
const KEYS = 1_000;
const DEADLINE_MS = 120_000;

export async function fanOut(): Promise<Comparison[]> {
  const system = await System.create('fanout', { HOT_FOLLOWERS: '5000' });
  const { redis } = system;
  const options = { fans: FOLLOWERS };
  await system.importTown(EVENTS, options);
  const { gateway } = await system.startAll();
  await system.built(EVENTS, DEADLINE_MS);
  const ids: string[] = [];
  for (const { event } of town(EVENTS, options)) if (event.type === 'AuthorSignedUp') ids.push(event.authorId);
  const [starId, ...followerIds] = ids;
  const star = new CheeperClient({ url: gateway.url });
  star.accessToken = (await system.accessTokens([starId!]))[0]!;
  const space = await system.space();
  const shards = shardsOf(space, TIMELINES, 1);

  const perSecond = { ours: [] as number[], bare: [] as number[] };
  for (let round = -1; round < ROUNDS; round++) {
    const before = await system.applied(shards);
    const begun = performance.now();
    await Promise.all(
      Array.from({ length: CHEEPS }, () =>
        star.request(PostCheepReceiptDocument, { input: { message: 'to all who follow', cheepId: newId() } }),
      ),
    );
    await until('all are applied', DEADLINE_MS, async () => (await system.applied(shards)) >= before + CHEEPS);
    const ended = performance.now();
    const bareMs = await zadds(redis, system.namespace, round + 1);
    if (round < 0) continue;
    perSecond.ours.push((1_000 * CHEEPS * FOLLOWERS) / (ended - begun));
    perSecond.bare.push((1_000 * CHEEPS * FOLLOWERS) / bareMs);
  }

  const shard = shardOf(TIMELINES, followerIds[0]!, space);
  const key = `${prefixOf(space, shard)}timeline:${followerIds[0]!}`;
  const entries = await redis.llen(key);
  const bytes = Number(await redis.memory('USAGE', key)) / entries;
  const floor = await numericBytes(redis, `${system.namespace}:floor`, entries);
  await system.remove();

  table(
    `Cheeps to ${FOLLOWERS} followers, ${CHEEPS} at once: medians of ${ROUNDS} turns`,
    ['entries/s'],
    [
      ['bare ZADDs', median(perSecond.bare)],
      ['timelines', median(perSecond.ours)],
    ],
    0,
  );
  table(
    `Redis's memory for an entry of a timeline of ${entries} (bytes)`,
    ['bytes'],
    [
      ['a sorted set of numbers', floor],
      ['timeline', bytes],
    ],
  );

  return [
    {
      name: 'fan-out of a cheep to many followers, beside scripts of bare ZADDs',
      ratio: median(perSecond.ours.map((ours, i) => ours / perSecond.bare[i]!)),
      aim: 0.8,
      aimIs: 'at least',
      runs: ROUNDS,
    },
    { name: 'memory of a timeline entry, beside a sorted set of numbers', ratio: bytes / floor, aim: 1.5, aimIs: 'at most', runs: 1 },
  ];
}

/** Milliseconds for as many entries in as many sorted sets, by scripts that get the keys. */
async function zadds(redis: Redis, namespace: string, round: number): Promise<number> {
  const sha = (await redis.script('LOAD', `for i = 1, #KEYS do redis.call('ZADD', KEYS[i], ARGV[1], ARGV[1]) end`)) as string;
  const keys = Array.from({ length: FOLLOWERS }, (_, i) => `${namespace}:bare:${i}`);
  const begun = performance.now();
  const sent: Promise<unknown>[] = [];
  for (let n = 0; n < CHEEPS; n++) {
    for (let i = 0; i < FOLLOWERS; i += KEYS) {
      const some = keys.slice(i, i + KEYS);
      sent.push(redis.evalsha(sha, some.length, ...some, String(round * CHEEPS + n)));
    }
  }
  await Promise.all(sent);

  return performance.now() - begun;
}

/** Bytes for each of that many numbers, in the compact shape of a sorted set (`zset-max-listpack-entries`). */
async function numericBytes(redis: Redis, key: string, entries: number): Promise<number> {
  const setting = 'zset-max-listpack-entries';
  const [, before] = (await redis.config('GET', setting)) as [string, string];
  await redis.config('SET', setting, '2048');
  try {
    // As ids that name a post anywhere: a time and a number of a machine, in 63 bits, which are their own scores.
    for (let i = 0; i < entries; i++)
      await redis.zadd(key, ...Array<string>(2).fill(String(1_150_000_000_000_000_000n + 7_000_000_007n * BigInt(i))));

    return Number(await redis.memory('USAGE', key)) / entries;
  } finally {
    await redis.config('SET', setting, before);
  }
}
