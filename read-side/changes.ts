/**
 * What a shard's log of changes is to those who read it: a Redis stream that a projection's Lua appends to with `log` (see
 * apply.ts), in the step that makes the change. The newest 10,000 are kept, and it is known up to where older ones are gone.
 */
import type { Redis } from 'ioredis';
import {
  APPLIED,
  LOG,
  LOG_TRIMMED,
  LOGGED_AFTER,
  numberIn,
  readShard,
  textIn,
  type Read,
  type Reply,
  type Shard,
  type Snapshot,
  type Space,
} from './shard.js';

/** Where a change is among all changes: its event's position, and its place among that event's changes in this shard. */
export interface ChangeId {
  position: number;
  index: number;
}

/** After every change of a position. */
export const LAST_INDEX = Number.MAX_SAFE_INTEGER;

/** A change, as its projection's `query.ts` decodes it, and which one it is. */
export type Logged<Change> = Change & { id: ChangeId };

/** Makes a change from the fields that `log` was given. */
export type DecodeChange<Change> = (fields: Record<string, Buffer>) => Change;

export interface Changes<Change> {
  /** In order. */
  changes: Logged<Change>[];
  /** There may be changes between `after` and the first of these that the log no longer has, or never had. */
  isTorn: boolean;
}

export interface Start<Change> extends Changes<Change> {
  /** Of the set that was asked for. */
  members: string[];
}

const text = ({ position, index }: ChangeId) => `${position}-${index}`;
const parse = (id: string): ChangeId => {
  const [position, index] = id.split('-');

  return { position: Number(position), index: Number(index) };
};
export const compareChanges = (a: ChangeId, b: ChangeId): number => a.position - b.position || a.index - b.index;

/**
 * After which position another copy of a shard must log its changes, so that its log becomes the same: what this one's log has no
 * more, that one's would trim, too. Null when this one is not there.
 */
export async function loggedAfter(redis: Redis, prefix: string): Promise<number | null> {
  const [applied, after, trimmed] = await redis.mget([APPLIED, LOGGED_AFTER, LOG_TRIMMED].map((name) => prefix + name));
  if (typeof applied !== 'string') return null;
  const begun = Number(after ?? 0);
  const newest = trimmed ? parse(trimmed).position : 0;

  // Of the position that was trimmed last some changes may be left.
  return newest > begun ? newest - 1 : begun;
}

/** The changes in a shard's log after one of them, up to `most`. */
export function readChanges<Change>(
  redis: Redis,
  space: Space,
  shard: Shard,
  after: ChangeId,
  most: number,
  decode: DecodeChange<Change>,
): Promise<Snapshot<Changes<Change>>> {
  return readShard(
    redis,
    space,
    shard,
    (read) => askChanges(read, after, most),
    (replies) => decodeChanges(replies, after, decode),
  );
}

/**
 * What a subscription needs to begin with, as of one moment. If there are `most` changes, there may be more, for `readChanges`.
 * @param set the name of a set of the shard whose members are wanted too; null for none
 * @param after null when nothing is to be replayed
 */
export function readStart<Change>(
  redis: Redis,
  space: Space,
  shard: Shard,
  set: string | null,
  after: ChangeId | null,
  most: number,
  decode: DecodeChange<Change>,
): Promise<Snapshot<Start<Change>>> {
  return readShard(
    redis,
    space,
    shard,
    (read) => {
      if (set !== null) read('SMEMBERS', set);
      if (after) askChanges(read, after, most);
    },
    (replies) => ({
      members: set === null ? [] : (replies.shift() as Buffer[]).map((member) => member.toString()),
      ...(after ? decodeChanges(replies, after, decode) : { changes: [], isTorn: false }),
    }),
  );
}

function askChanges(read: Read, after: ChangeId, most: number): void {
  read('GET', LOG_TRIMMED);
  read('GET', LOGGED_AFTER);
  read('XRANGE', LOG, `(${text(after)}`, '+', 'COUNT', most);
}

function decodeChanges<Change>(
  [trimmedReply, unloggedReply, entries]: Reply[],
  after: ChangeId,
  decode: DecodeChange<Change>,
): Changes<Change> {
  const changes = (entries as [Buffer, Buffer[]][]).map(([id, flat]) => {
    const fields = Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name.toString(), flat[i + 1]!]] : [])));

    return { ...decode(fields), id: parse(id.toString()) };
  });

  const trimmed = textIn(trimmedReply);
  const unlogged = numberIn(unloggedReply);
  const isTrimmed = trimmed !== null && compareChanges(after, parse(trimmed)) < 0;
  // Whether anything happened there is not known.
  const isUnlogged = unlogged > 0 && compareChanges(after, { position: unlogged, index: LAST_INDEX }) < 0;

  return { changes, isTorn: isTrimmed || isUnlogged };
}
