/**
 * Of those who signed up in some time, how many got how far, and how long did they take? Asked of all shards at once; an
 * author is in the shard of its id. Moments are the entries' own, in milliseconds since 1970.
 *
 * | key                   | what                                                                          |
 * |-----------------------|-------------------------------------------------------------------------------|
 * | signed-up             | sorted set of packed author ids, by the moment of the sign-up                 |
 * | FOLLOWED_SOMEBODY     | hash of packed author ids: the moment of the first follow                     |
 * | POSTED                | likewise: of the first post                                                   |
 * | POSTED_ON_ANOTHER_DAY | likewise: of the first post on another day (UTC) than that of the first post  |
 */
import type { Redis } from 'ioredis';
import { liveShard, numberIn, readShardBy, unpackId, type Reply, type Shard, type Snapshot, type Space } from '../shard.js';

export const FUNNEL = { name: 'funnel', version: 1 };

export const SIGNED_UP = 'signed-up';
/** What an author may have done, each for itself; also the names of the keys. */
export const FUNNEL_STEPS = ['FOLLOWED_SOMEBODY', 'POSTED', 'POSTED_ON_ANOTHER_DAY'] as const;
export type FunnelStepName = (typeof FUNNEL_STEPS)[number];

export const funnelShards = (space: Space): Shard[] =>
  Array.from({ length: space.shards }, (_, number) => liveShard(FUNNEL, number, space));

/** From `from` to before `to`, in milliseconds since 1970. */
export interface Period {
  from: number;
  to: number;
}

export interface SignUp {
  authorId: string;
  at: number;
  /** When each step was first done; null for not yet. */
  steps: { [Name in FunnelStepName]: number | null };
}

/** Sign-ups that one script reads, at the most: about 2 ms of Redis's time. */
export const MAX_IN_A_CHUNK = 1_000;

/** Where the next chunk begins: at this moment, after so many of it. */
export interface ChunkStart {
  at: number;
  skip: number;
}

export interface Chunk {
  /** By the moment of the sign-up. */
  signUps: SignUp[];
  /** Of the whole period, in this shard. */
  count: number;
  /** Null when this is the last chunk. */
  next: ChunkStart | null;
}

// How many there are in the period, a list of ids with their moments, then one list of moments a step.
const CHUNK = `
local from, start, to = ARGV[1], ARGV[2], '(' .. ARGV[3]
local found = redis.call('ZRANGE', key('${SIGNED_UP}'), start, to, 'BYSCORE', 'LIMIT', ARGV[4], ${MAX_IN_A_CHUNK}, 'WITHSCORES')
local ids = {}
for i = 1, #found, 2 do table.insert(ids, found[i]) end
local reply = {redis.call('ZCOUNT', key('${SIGNED_UP}'), from, to), found}
for _, step in ipairs({${FUNNEL_STEPS.map((name) => `'${name}'`).join(', ')}}) do
  table.insert(reply, #ids == 0 and {} or redis.call('HMGET', key(step), unpack(ids)))
end
return reply`;

/** Some of those of one shard who signed up in a period. Who signs up meanwhile may be read twice, and nobody is left out. */
export function readFunnelChunk(redis: Redis, space: Space, shard: Shard, period: Period, start: ChunkStart): Promise<Snapshot<Chunk>> {
  return readShardBy(redis, space, shard, CHUNK, [period.from, start.at, period.to, start.skip], (reply) => {
    const [count, found, ...steps] = reply as [number, Buffer[], ...Reply[][]];
    const signUps: SignUp[] = [];
    for (let i = 0; i < found.length; i += 2) {
      const moments = steps.map((moments) => moments[i / 2]);
      signUps.push({
        authorId: unpackId(found[i]!),
        at: numberIn(found[i + 1]),
        steps: Object.fromEntries(FUNNEL_STEPS.map((name, n) => [name, moments[n] ? numberIn(moments[n]) : null])) as SignUp['steps'],
      });
    }

    return { signUps, count, next: nextChunk(signUps, start) };
  });
}

function nextChunk(signUps: SignUp[], start: ChunkStart): ChunkStart | null {
  if (signUps.length < MAX_IN_A_CHUNK) return null;
  const { at } = signUps.at(-1)!;
  const seen = signUps.filter((signUp) => signUp.at === at).length;

  return { at, skip: at === start.at ? start.skip + seen : seen };
}

export interface FunnelStep {
  name: FunnelStepName;
  reached: number;
  /** The shortest time in which half of those who got there did, in seconds; null when nobody did. */
  medianSeconds: number | null;
  /** Nine tenths. */
  p90Seconds: number | null;
}

/** How far these got. Times are never below 0: two processes' clocks may differ. */
export function funnelSteps(signUps: SignUp[]): FunnelStep[] {
  return FUNNEL_STEPS.map((name) => {
    const tookMs = signUps.flatMap(({ at, steps }) => (steps[name] === null ? [] : [Math.max(0, steps[name] - at)])).sort((a, b) => a - b);
    const seconds = (percent: number) => {
      const ms = nearestRank(tookMs, percent);

      return ms === null ? null : ms / 1_000;
    };

    return { name, reached: tookMs.length, medianSeconds: seconds(50), p90Seconds: seconds(90) };
  });
}

/** The least of the values that at least `percent` (1 to 100) of them do not exceed; null for none. @param sorted ascending */
export function nearestRank(sorted: number[], percent: number): number | null {
  return sorted[Math.ceil((percent * sorted.length) / 100) - 1] ?? null;
}
