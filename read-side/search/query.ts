/**
 * Who has a name that begins like that? Sharded by the first character of the name, in lower case, so that one shard knows it.
 *
 * | key        | what                                                                                          |
 * |------------|-----------------------------------------------------------------------------------------------|
 * | usernames  | sorted set, all scores 0: usernames in lower case, each with a space and its author's packed id |
 */
import type { Redis } from 'ioredis';
import { liveShard, numberIn, packId, readShard, shardOf, unpackId, type Shard, type Snapshot, type Space } from '../shard.js';

export const SEARCH = { name: 'search', version: 1 };

export const USERNAMES = 'usernames';

/** What usernames with one first character are asked for by. */
export const initialOf = (username: string): string => username.slice(0, 1).toLowerCase();

// Members of one score are in the order of their bytes. The space is below all that a username has, so `bob` comes before
// `bob_`; what comes after it only says whose the name is.
const SEPARATOR = ' ';
const AFTER_SEPARATOR = '!';
/** Above all that a username has. */
const HIGHEST = '\x7f';

export const usernameMember = (username: string, authorId: string): Buffer =>
  Buffer.concat([Buffer.from(username.toLowerCase() + SEPARATOR), packId(authorId)]);

export interface UsernameRequest {
  /** In lower case; empty for all usernames. */
  prefix: string;
  /** How many, at the most. */
  first: number;
  /** Only usernames after this one, in lower case; null for the beginning. */
  after: string | null;
}

export interface UsernameItem {
  authorId: string;
  /** In lower case. */
  username: string;
}

export interface UsernamePage {
  items: UsernameItem[];
  hasNextPage: boolean;
  totalCount: number;
}

/** Where usernames with this prefix are: one shard, or for the empty prefix all. */
export const searchShards = (prefix: string, space: Space): Shard[] =>
  prefix === ''
    ? Array.from({ length: space.shards }, (_, number) => liveShard(SEARCH, number, space))
    : [shardOf(SEARCH, initialOf(prefix), space)];

/** Of one shard: the authors whose usernames begin with `prefix`, in alphabetical order of these. */
export function readUsernames(redis: Redis, space: Space, shard: Shard, request: UsernameRequest): Promise<Snapshot<UsernamePage>> {
  const { prefix, first, after } = request;
  const [least, end] = [`[${prefix}`, `(${prefix}${HIGHEST}`];
  const start = after !== null && after >= prefix ? `(${after}${AFTER_SEPARATOR}` : least;

  return readShard(
    redis,
    space,
    shard,
    (read) => {
      // One more than asked for tells whether there is a next page.
      read('ZRANGE', USERNAMES, start, end, 'BYLEX', 'LIMIT', 0, first + 1);
      read('ZLEXCOUNT', USERNAMES, least, end);
    },
    ([members, count]) => {
      const items = (members as Buffer[]).map(decodeMember);

      return { items: items.slice(0, first), hasNextPage: items.length > first, totalCount: numberIn(count) };
    },
  );
}

function decodeMember(member: Buffer): UsernameItem {
  const separator = member.indexOf(SEPARATOR);

  return { username: member.toString('latin1', 0, separator), authorId: unpackId(member.subarray(separator + 1)) };
}
