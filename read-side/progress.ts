/**
 * Progress: which shards have come how far, told on core NATS after each batch and once a second. It wakes those who wait
 * for a shard; what counts is the position that a read returns.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { EPOCH } from '../shared/token.js';
import { AUTHORS } from './authors/query.js';
import { CHEEPS } from './cheeps/query.js';
import { COMMANDS } from './commands/query.js';
import { FUNNEL } from './funnel/query.js';
import { HISTORIES } from './histories/query.js';
import { SEARCH } from './search/query.js';
import { NOTIFICATIONS } from './notifications/query.js';
import { liveShard, readShard, type ProjectionId, type Shard, type Snapshot, type Space } from './shard.js';
import { THREADS } from './threads/query.js';
import { TIMELINES } from './timelines/query.js';

export const progressMessage = z.object({
  epoch: z.string().regex(EPOCH),
  /** Position, by `shardName`. */
  applied: z.record(z.string(), z.number().int()),
  /** Those of them that do not go on before somebody sees to it, and why, for operators. */
  stopped: z.record(z.string(), z.string()).default({}),
  /** The generation that is to be read, by `projectionName`; 1 where none is named. */
  live: z.record(z.string(), z.number().int().min(1)).default({}),
});

/** Why a shard has stopped that an operator holds. */
export const HELD = 'held by an operator';

export type ProgressMessage = z.infer<typeof progressMessage>;

/** Of every projection. */
export const PROJECTIONS: readonly ProjectionId[] = [
  AUTHORS,
  CHEEPS,
  THREADS,
  TIMELINES,
  COMMANDS,
  FUNNEL,
  SEARCH,
  HISTORIES,
  NOTIFICATIONS,
];

/** Every shard of every projection, of the generations that are read. */
export const allShards = (space: Space): Shard[] =>
  PROJECTIONS.flatMap((projection) => Array.from({ length: space.shards }, (_, number) => liveShard(projection, number, space)));

/** How far a shard has come, and nothing else. */
export const readApplied = (redis: Redis, space: Space, shard: Shard): Promise<Snapshot<null>> =>
  readShard(
    redis,
    space,
    shard,
    () => undefined,
    () => null,
  );
