/**
 * Timelines of a shard that builds itself, for many readers at once: the newest of all whom each follows and does not merge.
 *
 * (`make` in projection.ts does the same in Redis, for one reader who unfollows. Of a million events that took 54 s of 142, with this thread
 * idle meanwhile.)
 */
import type { Redis } from 'ioredis';
import { writeTogether } from '../../shared/redis.js';
import type { Make, Write } from '../projection.js';

/** An author's posts, newest first. */
interface Posts {
  positions: Float64Array;
  /** As a timeline has them, one after another. */
  entries: Buffer;
}

/** A position in eight bytes, and a packed cheep id. */
const ENTRY_LENGTH = 24;
/** Lists that are asked for at once, and sets: Redis does nothing else meanwhile. */
const MOST_LISTS = 64;
const MOST_SETS = 256;

export const makeTimelines =
  (timelineLength: number): Make =>
  async (redis, key, readers) => {
    const followed = await inParts(redis, readers, MOST_SETS, (reader) => redis.sdiff(key(`following:${reader}`), key(`merges:${reader}`)));
    const authors = [...new Set(followed.flat())];
    const hasDeleted = (await redis.exists(key('deleted'))) === 1;
    const read = (author: string) => readPosts(redis, key(`posts:${author}`), timelineLength, hasDeleted);
    const posts = new Map((await inParts(redis, authors, MOST_LISTS, read)).map((its, i) => [authors[i]!, its] as const));

    return readers.map((reader, i): Write[] => {
      const timeline = `timeline:${reader}`;
      const entries = newestOf(
        followed[i]!.map((author) => posts.get(author)!),
        timelineLength,
      );

      return [['DEL', timeline], ...(entries.length > 0 ? [['RPUSH', timeline, ...entries] as const] : [])];
    });
  };

async function inParts<Item, Result>(
  redis: Redis,
  items: readonly Item[],
  most: number,
  ask: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let i = 0; i < items.length; i += most) {
    writeTogether(redis);
    results.push(...(await Promise.all(items.slice(i, i + most).map(ask))));
  }

  return results;
}

/** The newest, deleted or not: positions of the deleted are negative there. */
async function readPosts(redis: Redis, posts: string, most: number, hasDeleted: boolean): Promise<Posts> {
  const [live, deleted] = await Promise.all([
    redis.zrangeBuffer(posts, '+inf', '(0', 'BYSCORE', 'REV', 'LIMIT', 0, most, 'WITHSCORES'),
    hasDeleted ? redis.zrangeBuffer(posts, '-inf', '(0', 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES') : [],
  ]);
  const found: { position: number; id: Buffer }[] = [];
  for (const replies of [live, deleted]) {
    for (let i = 0; i < replies.length; i += 2) found.push({ position: Math.abs(Number(replies[i + 1]!.toString())), id: replies[i]! });
  }
  if (deleted.length > 0) found.sort((a, b) => b.position - a.position);
  const its = { positions: new Float64Array(found.length), entries: Buffer.allocUnsafe(found.length * ENTRY_LENGTH) };
  found.forEach(({ position, id }, i) => {
    its.positions[i] = position;
    its.entries.writeBigUInt64BE(BigInt(position), i * ENTRY_LENGTH);
    id.copy(its.entries, i * ENTRY_LENGTH + 8);
  });

  return its;
}

/** Entries, oldest first. */
function newestOf(all: Posts[], most: number): Buffer[] {
  const next = new Uint32Array(all.length);
  const newest: Buffer[] = [];
  while (newest.length < most) {
    let [best, highest] = [-1, -1];
    for (let i = 0; i < all.length; i++) {
      const position = all[i]!.positions[next[i]!];
      if (position !== undefined && position > highest) [best, highest] = [i, position];
    }
    if (best === -1) break;
    const at = next[best]!++ * ENTRY_LENGTH;
    newest.push(all[best]!.entries.subarray(at, at + ENTRY_LENGTH));
  }

  return newest.reverse();
}
