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
const MAX_LISTS = 64;
const MAX_SETS = 32;
/** With the posts of so many authors, each 800 at the most, no more readers are taken on. */
const ENOUGH_AUTHORS = 2_000;

export const makeTimelines =
  (timelineLength: number): Make =>
  async (redis, key, readers) => {
    const followed = new Map<string, string[]>();
    const authors = new Set<string>();
    for (let i = 0; i < readers.length && authors.size < ENOUGH_AUTHORS; i += MAX_SETS) {
      const some = readers.slice(i, i + MAX_SETS);
      writeTogether(redis);
      const theirs = await Promise.all(some.map((reader) => redis.sdiff(key(`following:${reader}`), key(`merges:${reader}`))));
      for (let n = 0; n < some.length && authors.size < ENOUGH_AUTHORS; n++) {
        followed.set(some[n]!, theirs[n]!);
        for (const author of theirs[n]!) authors.add(author);
      }
    }
    const posts = await readAll(redis, [...authors], (author) => key(`posts:${author}`), timelineLength, key('deleted'));

    return [...followed].map(([reader, its]): Write[] => {
      const timeline = `timeline:${reader}`;
      const entries = newestOf(
        its.map((author) => posts.get(author)!),
        timelineLength,
      );

      return [['DEL', timeline], ...(entries.length > 0 ? [['RPUSH', timeline, ...entries] as const] : [])];
    });
  };

async function readAll(
  redis: Redis,
  authors: string[],
  keyOf: (author: string) => string,
  most: number,
  deleted: string,
): Promise<Map<string, Posts>> {
  const hasDeleted = (await redis.exists(deleted)) === 1;
  const posts = new Map<string, Posts>();
  for (let i = 0; i < authors.length; i += MAX_LISTS) {
    const some = authors.slice(i, i + MAX_LISTS);
    writeTogether(redis);
    const theirs = await Promise.all(some.map((author) => readPosts(redis, keyOf(author), most, hasDeleted)));
    some.forEach((author, n) => posts.set(author, theirs[n]!));
  }

  return posts;
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
