/**
 * What did those post whom this author follows? Asked by reader.
 *
 * The timeline of a at p is every live cheep of those whom a follows at p, newest first; one's own are not in it.
 *
 * | key               | what                                                                                       |
 * |-------------------|--------------------------------------------------------------------------------------------|
 * | timeline:READER   | sorted set of packed cheep ids, by the position of the post; the newest 800                |
 * | posts:AUTHOR      | likewise: the newest of every author                                                       |
 * | floors            | hash of the above keys' names: the position above which a list that was trimmed is complete |
 * | followers:AUTHOR  | set of those readers of this shard who follow the author                                   |
 * | following:READER  | set of the authors whom the reader follows                                                 |
 * | log               | stream of the shard's changes, ids are POSITION-INDEX; the newest 10,000                   |
 * | log-trimmed       | the newest id that the log no longer has                                                   |
 */
import type { Redis } from 'ioredis';
import { askPage, decodePage, type Page, type PageRequest } from '../list.js';
import { LOG, LOG_TRIMMED, readShard, shardOf, unpackId, type Shard, type Snapshot, type Space } from '../shard.js';

export const TIMELINES = { name: 'timelines', version: 1 };

/** Cheeps that a timeline keeps ready. */
export const TIMELINE_LENGTH = 800;

export const timelineShard = (readerId: string, space: Space): Shard => shardOf(TIMELINES, readerId, space);

/** Cheep ids, newest first. */
export function readTimeline(redis: Redis, space: Space, readerId: string, request: PageRequest): Promise<Snapshot<Page>> {
  return readShard(
    redis,
    space,
    timelineShard(readerId, space),
    (multi, key) => askPage(multi, key(`timeline:${readerId}`), request, 'newest first'),
    (replies) => decodePage(replies, request),
  );
}

/** Where a change is among all changes: its event's position, and its place among that event's changes in this shard. */
export interface ChangeId {
  position: number;
  index: number;
}

export type TimelineChange = { id: ChangeId } & (
  { type: 'posted'; authorId: string; cheepId: string } | { type: 'followed' | 'unfollowed'; readerId: string; authorId: string }
);

export interface Changes {
  /** In order. */
  changes: TimelineChange[];
  /** There may be changes between `after` and the first of these that the log no longer has. */
  isTorn: boolean;
}

const text = ({ position, index }: ChangeId) => `${position}-${index}`;
const parse = (id: string): ChangeId => {
  const [position, index] = id.split('-');

  return { position: Number(position), index: Number(index) };
};
export const compareChanges = (a: ChangeId, b: ChangeId): number => a.position - b.position || a.index - b.index;

/** The changes in a shard's log after one of them, up to `most`. */
export function readTimelineChanges(redis: Redis, space: Space, shard: Shard, after: ChangeId, most: number): Promise<Snapshot<Changes>> {
  return readShard(
    redis,
    space,
    shard,
    (multi, key) => {
      multi.get(key(LOG_TRIMMED));
      multi.callBuffer('XRANGE', key(LOG), `(${text(after)}`, '+', 'COUNT', most);
    },
    ([trimmed, entries]) => decodeChanges(trimmed, entries, after),
  );
}

export interface TimelineStart extends Changes {
  /** Whom the reader follows, as of the snapshot's position. */
  following: Set<string>;
}

/** All that a subscription needs to begin with, as of one moment; `after` is null when nothing is to be replayed. */
export function readTimelineStart(redis: Redis, space: Space, readerId: string, after: ChangeId | null): Promise<Snapshot<TimelineStart>> {
  return readShard(
    redis,
    space,
    timelineShard(readerId, space),
    (multi, key) => {
      multi.smembers(key(`following:${readerId}`));
      if (!after) return;
      multi.get(key(LOG_TRIMMED));
      multi.callBuffer('XRANGE', key(LOG), `(${text(after)}`, '+');
    },
    ([following, trimmed, entries]) => ({
      following: new Set(following as string[]),
      ...(after ? decodeChanges(trimmed, entries, after) : { changes: [], isTorn: false }),
    }),
  );
}

function decodeChanges(trimmed: unknown, entries: unknown, after: ChangeId): Changes {
  const changes = (entries as [Buffer, Buffer[]][]).map(([id, fields]): TimelineChange => {
    const field = Object.fromEntries(fields.flatMap((name, i) => (i % 2 === 0 ? [[name.toString(), fields[i + 1]!]] : [])));
    const type = field.type!.toString() as TimelineChange['type'];
    const authorId = field.author!.toString();
    if (type === 'posted') return { id: parse(id.toString()), type, authorId, cheepId: unpackId(field.cheep!) };

    return { id: parse(id.toString()), type, readerId: field.reader!.toString(), authorId };
  });

  return { changes, isTorn: typeof trimmed === 'string' && compareChanges(after, parse(trimmed)) < 0 };
}
