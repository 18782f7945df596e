/**
 * What does that cheep say, who answered it, and who likes it? Asked by cheep id.
 *
 * | key          | what                                                                                          |
 * |--------------|-----------------------------------------------------------------------------------------------|
 * | cheep:ID     | hash; the fields of a `CheepRow`, `mentions` as JSON; of a deleted cheep only its `version`   |
 * | replies:ID   | sorted set of packed ids of live replies, by the position of the post; it outlives the cheep  |
 * | likes:ID     | sorted set of packed ids of those who like it, by the position of the like                    |
 * | log          | stream of the shard's changes: replies, edits, deletions; the newest 10,000                   |
 * | log-trimmed  | the newest id that the log no longer has                                                      |
 * | logged-after | up to this position nothing was ever logged                                                   |
 */
import type { Redis } from 'ioredis';
import type { Mention } from '../../shared/messages/cheep.js';
import { askPage, decodePage, type ListedPages, type Page, type PageRequest } from '../list.js';
import { readRows, type Rows, type RowShape, type RowsRequest } from '../rows.js';
import { numberIn, readShard, shardOf, textIn, unpackId, type Reply, type Shard, type Snapshot, type Space } from '../shard.js';

export const CHEEPS = { name: 'cheeps', version: 3 };

export const cheepKey = (id: string) => `cheep:${id}`;
export const repliesKey = (id: string) => `replies:${id}`;
export const likesKey = (id: string) => `likes:${id}`;

/** What can be counted in the same read. */
export const CHEEP_COUNTS = ['repliesCount', 'likesCount'] as const;
export type CheepCount = (typeof CHEEP_COUNTS)[number];

export interface CheepRow {
  id: string;
  version: number;
  authorId: string;
  message: string;
  mentions: Mention[];
  inReplyTo: string | null;
  /** The cheep that the thread began with. */
  threadId: string;
  postedAt: string;
  editedAt: string | null;
  repliesCount?: number;
  likesCount?: number;
  /** Of its replies. */
  pages?: ListedPages;
}

/** In the order in which they are read. An event writes only those that it knows; what is absent is null. */
const FIELDS = ['version', 'authorId', 'message', 'mentions', 'inReplyTo', 'threadId', 'postedAt', 'editedAt'] as const;
export type CheepField = (typeof FIELDS)[number];

export const cheepShard = (id: string, space: Space): Shard => shardOf(CHEEPS, id, space);

/** Live cheeps; the flag is whether the viewer likes it. */
const SHAPE: RowShape<CheepRow, CheepCount> = {
  row: ['HMGET', cheepKey(''), ...FIELDS],
  decode: (id, reply) => decodeCheep(id, reply as Reply[]),
  counts: { repliesCount: repliesKey(''), likesCount: likesKey('') },
  flagged: likesKey(''),
  lists: { replies: repliesKey },
  order: 'oldest first',
};
export const CHEEP_LISTS = Object.keys(SHAPE.lists);

export const readCheeps = (redis: Redis, space: Space, shard: Shard, request: RowsRequest<CheepCount>): Promise<Snapshot<Rows<CheepRow>>> =>
  readRows(redis, space, shard, SHAPE, request);

function decodeCheep(id: string, values: Reply[]): CheepRow | null {
  const [version, authorId, message, mentions, inReplyTo, threadId, postedAt, editedAt] = values.map(textIn);
  // There is none, or it was deleted.
  if (typeof authorId !== 'string') return null;

  return {
    id,
    version: Number(version),
    authorId,
    message: message!,
    mentions: JSON.parse(mentions!) as Mention[],
    inReplyTo: inReplyTo ?? null,
    threadId: threadId!,
    postedAt: postedAt!,
    editedAt: editedAt ?? null,
  };
}

interface CheepVersion {
  version: number;
  pages?: never;
}

const VERSION_SHAPE: RowShape<CheepVersion, never> = {
  row: ['HGET', cheepKey(''), 'version' satisfies CheepField],
  decode: (_, version) => (version === null ? null : { version: numberIn(version) }),
  counts: {},
  flagged: likesKey(''),
  lists: {},
  order: 'oldest first',
};

/** The versions of cheeps, of deleted ones too. */
export const readCheepVersions = (
  redis: Redis,
  space: Space,
  shard: Shard,
  request: RowsRequest<never>,
): Promise<Snapshot<Rows<CheepVersion>>> => readRows(redis, space, shard, VERSION_SHAPE, request);

/** Was there a cheep with this id, which was deleted? */
export function readIsDeleted(redis: Redis, space: Space, cheepId: string): Promise<Snapshot<boolean>> {
  return readShard(
    redis,
    space,
    cheepShard(cheepId, space),
    (read) => read('HMGET', cheepKey(cheepId), ...(['version', 'authorId'] satisfies CheepField[])),
    ([values]) => {
      const [version, authorId] = values as Reply[];

      return version !== null && authorId === null;
    },
  );
}

/** Ids of the live replies to a cheep, oldest first. */
export function readReplies(redis: Redis, space: Space, cheepId: string, request: PageRequest): Promise<Snapshot<Page>> {
  return readShard(
    redis,
    space,
    cheepShard(cheepId, space),
    (read) => askPage(read, repliesKey(cheepId), request, 'oldest first'),
    (replies) => decodePage(replies, request),
  );
}

/** What is told to those who watch a cheep: of itself, or of a reply to it. */
export interface ThreadChange {
  type: 'replied' | 'edited' | 'deleted';
  watchedId: string;
  cheepId: string;
}

/** Of the shard's log. */
export const decodeThreadChange = (fields: Record<string, Buffer>): ThreadChange => ({
  type: fields.type!.toString() as ThreadChange['type'],
  watchedId: unpackId(fields.watched!),
  cheepId: unpackId(fields.cheep!),
});
