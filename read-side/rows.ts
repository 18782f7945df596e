/**
 * Rows: what is known about each of many ids of a shard, read in one step. What is the same for everybody is read once, whoever and
 * however many ask for it; what differs is a flag, which tells of a viewer and an id whether the one is in a set of the other.
 */
import type { Redis } from 'ioredis';
import { askPage, decodePage, listKey, type ListedPages, type ListRequest } from './list.js';
import { numberIn, packId, readShard, type ReadCommand, type Reply, type Shard, type Snapshot, type Space } from './shard.js';

/** Where the rows of a kind are, and how they are told. */
export interface RowShape<Row, Count extends string> {
  /** The command that reads a row; its key's name ends with the id. */
  row: ReadCommand;
  /** Null where there is none. @param reply to that command */
  decode(id: string, reply: Reply): Row | null;
  /** What is counted beside a row, by the beginning of the name of a sorted set that ends with the id. */
  counts: Record<Count, string>;
  /** The beginning of the name of a sorted set of packed ids, which ends with the id of a row: those for whom the flag is set. */
  flagged: string;
  /** A row's lists, by their names: where each is. */
  lists: Record<string, (id: string) => string>;
  order: 'newest first' | 'oldest first';
}

export interface RowsRequest<Count extends string> {
  ids: Iterable<string>;
  counts?: ReadonlySet<Count>;
  /** By viewer, the rows whose flag is asked. */
  viewers?: ReadonlyMap<string, Iterable<string>>;
  /** Pages to be read with the rows, by id. */
  lists?: ReadonlyMap<string, ListRequest[]>;
}

export interface Rows<Row> {
  /** By id; only those that are there. */
  rows: ReadonlyMap<string, Row>;
  /** Of a viewer and a row that were asked. */
  isFlagged(viewerId: string, id: string): boolean;
}

export function readRows<Row extends { pages?: ListedPages }, Count extends string>(
  redis: Redis,
  space: Space,
  shard: Shard,
  shape: RowShape<Row & Partial<Record<Count, number>>, Count>,
  { ids: asked, counts = new Set(), viewers = new Map(), lists = new Map() }: RowsRequest<Count>,
): Promise<Snapshot<Rows<Row>>> {
  const ids = [...asked];
  const flags = [...viewers].map(([viewerId, of]) => ({ viewerId, ids: [...of] }));
  const counted = [...counts];

  return readShard(
    redis,
    space,
    shard,
    (read) => {
      read.each(ids, [shape.row, ...counted.map((count): ReadCommand => ['ZCARD', shape.counts[count]])]);
      for (const { viewerId, ids } of flags) read.each(ids, [['ZSCORE', shape.flagged, packId(viewerId)]]);
      for (const [id, requests] of lists)
        for (const { list, request } of requests) askPage(read, shape.lists[list]!(id), request, shape.order);
    },
    (replies) => {
      let at = 0;
      const rows = new Map<string, Row>();
      for (const id of ids) {
        const row = shape.decode(id, replies[at++]!);
        for (const count of counted) {
          const reply = replies[at++];
          if (row) (row as Record<Count, number>)[count] = numberIn(reply);
        }
        if (row) rows.set(id, row);
      }
      const flagged = new Map(flags.map(({ viewerId, ids }) => [viewerId, new Set(ids.filter(() => replies[at++] !== null))]));
      for (const [id, requests] of lists) {
        const pages = new Map(requests.map((one) => [listKey(one), decodePage(replies.slice(at, (at += 2)), one.request)]));
        const row = rows.get(id);
        if (row) row.pages = pages;
      }

      return { rows, isFlagged: (viewerId, id) => flagged.get(viewerId)?.has(id) ?? false };
    },
  );
}
