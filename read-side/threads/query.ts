/**
 * What stands above that cheep? Asked by thread id: the id of the cheep that the thread began with.
 *
 * | key          | what                                                                                                  |
 * |--------------|-------------------------------------------------------------------------------------------------------|
 * | thread:ID    | hash of the thread's replies: packed id of each, and of what it answers; deleted ones stay            |
 *
 * Of replies from before threads were known (see shared/messages/upcast.ts), the thread is what they answer, and the way up ends
 * there.
 */
import type { Redis } from 'ioredis';
import { packId, readShardBy, shardOf, unpackId, type Shard, type Snapshot, type Space } from '../shard.js';

export const THREADS = { name: 'threads', version: 1 };

/** Cheeps above one that can be asked for: the nearest. */
export const MAX_ANCESTORS = 100;

export const threadKey = (threadId: string) => `thread:${threadId}`;

export const threadShard = (threadId: string, space: Space): Shard => shardOf(THREADS, threadId, space);

// The whole way up in one call, however long it is.
const WALK = `
local thread, way, cheep = key(ARGV[1]), {}, ARGV[2]
for i = 1, ${MAX_ANCESTORS} do
  cheep = redis.call('HGET', thread, cheep)
  if not cheep then break end
  way[i] = cheep
end
return way`;

/** Ids of the nearest cheeps above this one, from the oldest down; deleted ones too. */
export function readAncestors(redis: Redis, space: Space, threadId: string, cheepId: string): Promise<Snapshot<string[]>> {
  return readShardBy(redis, space, threadShard(threadId, space), WALK, [threadKey(threadId), packId(cheepId)], (way) =>
    (way as Buffer[]).map(unpackId).reverse(),
  );
}
