/**
 * What operators say to the projections of an epoch: which generation of each is read and which others are kept up to date, and
 * up to where they may go. It stands in Redis, beside what it is about: whoever loses the one has lost the other.
 *
 * A generation is a whole copy of a projection under keys of its own. A new one is built beside the live one, which everybody
 * goes on reading; both are kept up to date from then on, so a switch is a change of a name, and can be taken back.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { projectionName, type ProjectionId, type Shard, type Space } from './shard.js';

const generations = z.object({
  /** The one that is read. */
  live: z.number().int().min(1),
  /** Is built, or waits to be switched to. */
  building: z.number().int().nullable(),
  /** Was read before the last switch. */
  previous: z.number().int().nullable(),
  /** That there ever was: numbers are not used twice. */
  newest: z.number().int(),
});

export type Generations = z.infer<typeof generations>;

export const FIRST_GENERATION: Generations = { live: 1, building: null, previous: null, newest: 1 };

const generationsKey = ({ namespace, epoch }: Space): string => `${namespace}:${epoch}:generations`;
const holdsKey = ({ namespace, epoch }: Space): string => `${namespace}:${epoch}:holds`;

export interface Control {
  /** By `projectionName`; those that are not named have their first generation only. */
  generations: ReadonlyMap<string, Generations>;
  /** The position beyond which a projection must not go, by `projectionName`. */
  holds: ReadonlyMap<string, number>;
}

export async function readControl(redis: Redis, space: Space): Promise<Control> {
  const [generationRows, holdRows] = await Promise.all([redis.hgetall(generationsKey(space)), redis.hgetall(holdsKey(space))]);

  return {
    generations: new Map(Object.entries(generationRows).map(([name, json]) => [name, generations.parse(JSON.parse(json))])),
    holds: new Map(Object.entries(holdRows).map(([name, position]) => [name, Number(position)])),
  };
}

export const generationsOf = ({ generations: all }: Control, projection: ProjectionId): Generations =>
  all.get(projectionName(projection)) ?? FIRST_GENERATION;

/** All that are kept up to date, the live one first. */
export const keptGenerations = ({ live, building, previous }: Generations): number[] =>
  [live, building, previous].filter((generation) => generation !== null);

/** What `Space.live` is to be. */
export const liveGenerations = ({ generations: all }: Control): Map<string, number> =>
  new Map([...all].flatMap(([name, { live }]) => (live === 1 ? [] : [[name, live] as const])));

/** Every shard of a generation of a projection. */
export const shardsOf = (space: Space, projection: ProjectionId, generation: number): Shard[] =>
  Array.from({ length: space.shards }, (_, number) => ({ projection, number, generation }));

// Two operators may do the same at the same time: what is written must follow from what was read.
const CHANGE = `
local now = redis.call('HGET', KEYS[1], ARGV[1])
if (now or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1`;

/**
 * Changes the generations of a projection.
 * @param change gives what they are to be, or throws
 */
export async function changeGenerations(
  redis: Redis,
  space: Space,
  projection: ProjectionId,
  change: (now: Generations) => Generations,
): Promise<Generations> {
  const name = projectionName(projection);
  for (;;) {
    const before = await redis.hget(generationsKey(space), name);
    const wanted = change(before === null ? FIRST_GENERATION : generations.parse(JSON.parse(before)));
    const isDone = await redis.eval(CHANGE, 1, generationsKey(space), name, before ?? '', JSON.stringify(wanted));
    if (isDone === 1) return wanted;
  }
}

/** Lets a projection go no further than a position; null lets it go on. What has gone further already stays where it is. */
export async function holdProjection(redis: Redis, space: Space, projection: ProjectionId, position: number | null): Promise<void> {
  if (position === null) await redis.hdel(holdsKey(space), projectionName(projection));
  else await redis.hset(holdsKey(space), projectionName(projection), position);
}
