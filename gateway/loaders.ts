/**
 * Loaders of rows, one set an operation: what the resolvers of one level ask for goes out together, as one read a shard, all
 * of them in one round trip, and only what is selected is asked for.
 *
 * A row is at least as new as its `floor` demands (the position of the list that it stands in), so rows are loaded under
 * (id, floor, parts), and never taken from what was loaded for an older list.
 */
import DataLoader from 'dataloader';
import { AUTHOR_PARTS, authorShard, readAuthors, type AuthorPart, type AuthorRow } from '../read-side/authors/query.js';
import { CHEEP_PARTS, cheepShard, readCheeps, type CheepPart, type CheepRow } from '../read-side/cheeps/query.js';
import { listKey, type ListRequest } from '../read-side/list.js';
import { type Shard, type Snapshot, type Space } from '../read-side/shard.js';
import type { Redis } from 'ioredis';
import type { Consistency } from './consistency.js';
import type { Reads } from './reads.js';

/** A row, the position from which on what is read for it must be, and the one that it was read at itself. */
export type Loaded<Row> = Row & { floor: number; applied: number };

/** What a look for a row has found. */
export interface Found<Row> {
  /** Null when it is not there, or no longer. */
  row: Loaded<Row> | null;
  /** As of which position that is. */
  applied: number;
}

interface Key<Part extends string> {
  id: string;
  floor: number;
  parts: Parts<Part>;
  lists: ListRequest[];
}

/** What is read beside the row itself; `text` tells the same ones again. */
interface Parts<Part> {
  all: ReadonlySet<Part>;
  text: string;
}

/** Found once for all items of a list, whose selections are one set. */
function partsOf<Part extends string>(names: readonly Part[]): (selected: ReadonlySet<string>) => Parts<Part> {
  const known = new WeakMap<ReadonlySet<string>, Parts<Part>>();

  return (selected) => {
    const parts = known.get(selected);
    if (parts) return parts;
    const all = names.filter((name) => selected.has(name));
    const made = { all: new Set(all), text: all.join() };
    known.set(selected, made);

    return made;
  };
}

const authorParts = partsOf(AUTHOR_PARTS);
const cheepParts = partsOf(CHEEP_PARTS);

export class Loaders {
  private readonly authors;
  private readonly cheeps;

  constructor(reads: Reads, consistency: Consistency, viewerId: () => string | null) {
    this.authors = rowLoader<AuthorRow, AuthorPart>(reads, consistency, authorShard, (redis, space, shard, ids, parts, lists) =>
      readAuthors(redis, space, shard, ids, parts, parts.has('isFollowedByViewer') ? viewerId() : null, lists),
    );
    this.cheeps = rowLoader<CheepRow, CheepPart>(reads, consistency, cheepShard, (redis, space, shard, ids, parts, lists) =>
      readCheeps(redis, space, shard, ids, parts, parts.has('likedByViewer') ? viewerId() : null, lists),
    );
  }

  /** The author with this id, as of `floor` or later. */
  findAuthor(id: string, floor: number, selected: ReadonlySet<string>, lists: ListRequest[] = []): Promise<Found<AuthorRow>> {
    return this.authors.load({ id, floor, parts: authorParts(selected), lists });
  }

  /** The live cheep with this id, as of `floor` or later. */
  findCheep(id: string, floor: number, selected: ReadonlySet<string>, lists: ListRequest[] = []): Promise<Found<CheepRow>> {
    return this.cheeps.load({ id, floor, parts: cheepParts(selected), lists });
  }

  /** Null when there is no such author at `floor` or later. */
  async author(id: string, floor: number, selected: ReadonlySet<string>, lists?: ListRequest[]): Promise<Loaded<AuthorRow> | null> {
    return (await this.findAuthor(id, floor, selected, lists)).row;
  }

  /** Null when there is no such cheep, or it is deleted, at `floor` or later. */
  async cheep(id: string, floor: number, selected: ReadonlySet<string>, lists?: ListRequest[]): Promise<Loaded<CheepRow> | null> {
    return (await this.findCheep(id, floor, selected, lists)).row;
  }
}

function rowLoader<Row, Part extends string>(
  reads: Reads,
  consistency: Consistency,
  shardOf: (id: string, space: Space) => Shard,
  read: (
    redis: Redis,
    space: Space,
    shard: Shard,
    ids: string[],
    parts: ReadonlySet<Part>,
    lists: ReadonlyMap<string, ListRequest[]>,
  ) => Promise<Snapshot<(Row | null)[]>>,
) {
  return new DataLoader<Key<Part>, Found<Row>, string>(
    async (keys) => {
      const { space } = reads;
      const byShard = Map.groupBy(keys, ({ id }) => shardOf(id, space).number);
      const results = new Map<Key<Part>, Found<Row> | Error>();
      await Promise.all(
        [...byShard.values()].map(async (group) => {
          const ids = [...new Set(group.map(({ id }) => id))];
          const [{ parts: first }] = group as [Key<Part>];
          const isSame = group.every(({ parts }) => parts === first);
          const parts = isSame ? first.all : new Set(group.flatMap((key) => [...key.parts.all]));
          const lists = new Map<string, ListRequest[]>();
          for (const key of group) if (key.lists.length > 0) lists.set(key.id, [...(lists.get(key.id) ?? []), ...key.lists]);
          const floor = Math.max(...group.map((key) => key.floor));
          const shard = shardOf(ids[0]!, space);
          try {
            const isBase = group.some((key) => key.floor === 0);
            const run = (redis: Redis, at: Space) => read(redis, at, shard, ids, parts, lists);
            const { value, applied } = await reads.read(consistency, shard, run, { floor, isBase });
            const rows = new Map(ids.map((id, i) => [id, value[i]!]));
            for (const key of group) {
              const row = rows.get(key.id);
              results.set(key, { row: row ? { ...row, floor: key.floor, applied } : null, applied });
            }
          } catch (error) {
            // One shard's trouble is the trouble of those who asked it; the others have their rows.
            for (const key of group) results.set(key, error as Error);
          }
        }),
      );

      return keys.map((key) => results.get(key)!);
    },
    { cacheKeyFn: ({ id, floor, parts, lists }) => `${id}/${floor}/${parts.text}${lists.map((list) => `/${listKey(list)}`).join('')}` },
  );
}
