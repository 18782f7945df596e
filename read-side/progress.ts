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
import { readShard, type Shard, type Snapshot, type Space } from './shard.js';
import { THREADS } from './threads/query.js';
import { TIMELINES } from './timelines/query.js';

export const progressMessage = z.object({
  epoch: z.string().regex(EPOCH),
  /** Position, by `shardName`. */
  applied: z.record(z.string(), z.number().int()),
  /** Those of them that have met an event which they cannot apply. */
  stopped: z.array(z.string()).default([]),
});

export type ProgressMessage = z.infer<typeof progressMessage>;

const PROJECTIONS = [AUTHORS, CHEEPS, THREADS, TIMELINES, COMMANDS, FUNNEL, SEARCH, HISTORIES, NOTIFICATIONS];

/** Every shard of every projection. */
export const allShards = (space: Space): Shard[] =>
  PROJECTIONS.flatMap((projection) => Array.from({ length: space.shards }, (_, number) => ({ projection, number })));

/** How far a shard has come, and nothing else. */
export const readApplied = (redis: Redis, space: Space, shard: Shard): Promise<Snapshot<null>> =>
  readShard(
    redis,
    space,
    shard,
    () => undefined,
    () => null,
  );
