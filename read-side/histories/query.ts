/**
 * What has happened to that author or cheep? Asked by its id.
 *
 * | key         | what                                                                            |
 * |-------------|---------------------------------------------------------------------------------|
 * | history:ID  | sorted set of JSON of `HistoryRow`s, by position; of a deleted cheep there is none |
 */
import type { Redis } from 'ioredis';
import type { PageRequest } from '../list.js';
import { readShard, shardOf, type Shard, type Snapshot, type Space } from '../shard.js';

export const HISTORIES = { name: 'histories', version: 1 };

export const historyKey = (id: string) => `history:${id}`;

export interface FieldChange {
  field: string;
  from: string | null;
  to: string | null;
}

export interface HistoryRow {
  position: number;
  event: string;
  /** That of the form in which the event was written. */
  schemaVersion: number;
  at: string;
  changes: FieldChange[];
}

export interface HistoryPage {
  items: HistoryRow[];
  /** Is there more after the last one? */
  hasNextPage: boolean;
}

export const historyShard = (id: string, space: Space): Shard => shardOf(HISTORIES, id, space);

/** Newest first. Empty for what was never there, and for a deleted cheep. */
export function readHistory(redis: Redis, space: Space, id: string, { first, after }: PageRequest): Promise<Snapshot<HistoryPage>> {
  return readShard(
    redis,
    space,
    historyShard(id, space),
    // One more than asked for tells whether there is a next page.
    (read) => read('ZRANGE', historyKey(id), after === null ? '+inf' : `(${after}`, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, first + 1),
    ([rows]) => {
      const items = (rows as Buffer[]).map((row) => JSON.parse(row.toString()) as HistoryRow);

      return { items: items.slice(0, first), hasNextPage: items.length > first };
    },
  );
}
