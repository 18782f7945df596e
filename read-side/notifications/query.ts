/**
 * What was an author told of, and what of it has it not read yet? Asked by reader.
 *
 * The notifications of a at p are all that a was told of up to p, newest first, without those about cheeps that are deleted at
 * p. Of each reader the newest 10,000 are kept.
 *
 * | key          | what                                                                                     |
 * |--------------|------------------------------------------------------------------------------------------|
 * | list:READER  | sorted set of packed notification ids, by sequence: 1, 2, 3, … for each reader            |
 * | rows:READER  | hash of them: JSON of a `StoredNotification`                                             |
 * | read         | hash by reader: the sequence up to which all is read                                     |
 * | about:CHEEP  | set of READER and packed notification id, together: what goes when the cheep is deleted  |
 * | log          | stream of the shard's changes, ids are POSITION-INDEX; the newest 10,000                 |
 * | log-trimmed  | the newest id that the log no longer has                                                 |
 * | logged-after | up to this position nothing was ever logged                                              |
 */
import type { Redis } from 'ioredis';
import type { Notice } from '../../shared/messages/notification.js';
import type { PageRequest } from '../list.js';
import { numberIn, packId, readShard, readShardBy, shardOf, type Reply, type Shard, type Snapshot, type Space } from '../shard.js';

export const NOTIFICATIONS = { name: 'notifications', version: 2 };

/** Of each reader; older ones are forgotten, read or not. */
export const MAX_NOTIFICATIONS = 10_000;

export const notificationShard = (readerId: string, space: Space): Shard => shardOf(NOTIFICATIONS, readerId, space);

export interface StoredNotification {
  id: string;
  /** Its place in the list, and its cursor. */
  sequence: number;
  /** ISO 8601, UTC. */
  at: string;
  notice: Notice;
}

export interface NotificationRow extends StoredNotification {
  read: boolean;
}

export interface NotificationPage {
  items: NotificationRow[];
  /** Is there more after the last one? */
  hasNextPage: boolean;
  totalCount: number;
  unreadCount: number;
}

const PAGE = `
local reader, start, n = ARGV[1], ARGV[2], tonumber(ARGV[3])
local list = key('list:' .. reader)
local ids = redis.call('ZRANGE', list, start, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, n)
local rows = {}
if #ids > 0 then rows = redis.call('HMGET', key('rows:' .. reader), unpack(ids)) end
local readUpTo = redis.call('HGET', key('read'), reader) or '0'
return {rows, readUpTo, redis.call('ZCOUNT', list, '(' .. readUpTo, '+inf'), redis.call('ZCARD', list)}`;

/** Newest first; `request.after` is the sequence of the last that was seen. */
export function readNotifications(redis: Redis, space: Space, readerId: string, request: PageRequest): Promise<Snapshot<NotificationPage>> {
  const shard = notificationShard(readerId, space);
  const start = request.after === null ? '+inf' : `(${request.after}`;

  return readShardBy(
    redis,
    space,
    shard,
    PAGE,
    // One more than asked for tells whether there is a next page.
    [readerId, start, request.first + 1],
    (reply) => {
      const [rows, readUpTo, unreadCount, totalCount] = reply as [Buffer[], Buffer, number, number];
      const items = rows.map((json) => notificationRow(json, readUpTo));

      return { items: items.slice(0, request.first), hasNextPage: items.length > request.first, totalCount, unreadCount };
    },
  );
}

/** Those of the reader's notifications that have these ids, in any order. */
export function readNotificationsById(
  redis: Redis,
  space: Space,
  readerId: string,
  ids: string[],
): Promise<Snapshot<{ items: NotificationRow[] }>> {
  return readShard(
    redis,
    space,
    notificationShard(readerId, space),
    (read) => {
      read('HMGET', `rows:${readerId}`, ...ids.map(packId));
      read('HGET', 'read', readerId);
    },
    ([rows, readUpTo]) => ({ items: (rows as (Buffer | null)[]).flatMap((json) => (json ? [notificationRow(json, readUpTo!)] : [])) }),
  );
}

function notificationRow(json: Buffer, readUpTo: Reply): NotificationRow {
  const row = JSON.parse(json.toString()) as StoredNotification;

  return { ...row, read: row.sequence <= numberIn(readUpTo) };
}

/** `unreadCount` is what it became with the change. */
export type NotificationChange = { readerId: string; unreadCount: number } & (
  { type: 'added'; notification: StoredNotification } | { type: 'read' | 'removed' }
);

/** Of the shard's log. */
export function decodeNotificationChange(fields: Record<string, Buffer>): NotificationChange {
  const type = fields.type!.toString() as NotificationChange['type'];
  const change = { readerId: fields.reader!.toString(), unreadCount: Number(fields.unread!.toString()) };
  if (type === 'added') return { ...change, type, notification: JSON.parse(fields.row!.toString()) as StoredNotification };

  return { ...change, type };
}
