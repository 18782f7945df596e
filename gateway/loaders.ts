/**
 * Loaders of rows, one set an operation: what the resolvers of one level ask for goes out together, as one read a shard (and with what
 * other operations ask for at that moment, see row-reads.ts), all of them in one round trip, and only what is selected is asked for.
 *
 * A row is at least as new as its `floor` demands (the position of the list that it stands in), so rows are loaded under
 * (id, floor, what is selected), and never taken from what was loaded for an older list.
 */
import DataLoader from 'dataloader';
import { AUTHOR_COUNTS, authorShard, readAuthors, type AuthorCount, type AuthorRow } from '../read-side/authors/query.js';
import { CHEEP_COUNTS, cheepShard, readCheeps, type CheepCount, type CheepRow } from '../read-side/cheeps/query.js';
import { partOf } from '../shared/ids.js';
import { listKey, type ListRequest } from '../read-side/list.js';
import type { Redis } from 'ioredis';
import type { Shard, Space } from '../read-side/shard.js';
import type { Consistency } from './consistency.js';
import type { Reads } from './reads.js';
import type { ReadRows, RowReads } from './row-reads.js';

/** A row, the position from which on what is read for it must be, and the one that it was read at itself. */
type Loaded<Row> = Row & { floor: number; applied: number };

/** What a look for a row has found. */
export interface Found<Row> {
  /** Null when it is not there, or no longer. */
  row: Loaded<Row> | null;
  /** As of which position that is. */
  applied: number;
}

/** As the viewer sees it: null when nobody is signed in, or nobody asked. */
type ShownAuthor = AuthorRow & { isFollowedByViewer: boolean | null };
type ShownCheep = CheepRow & { likedByViewer: boolean | null };
export type LoadedAuthor = Loaded<ShownAuthor>;
export type LoadedCheep = Loaded<ShownCheep>;

interface Key<Count extends string> {
  id: string;
  floor: number;
  selected: Selected<Count>;
  lists: ListRequest[];
}

/** What is read beside the row itself; `text` tells the same again. */
interface Selected<Count> {
  counts: ReadonlySet<Count>;
  hasFlag: boolean;
  text: string;
}

/** Found once for all items of a list, whose selections are one set. */
function selectedOf<Count extends string>(all: readonly Count[], flag: string): (names: ReadonlySet<string>) => Selected<Count> {
  const known = new WeakMap<ReadonlySet<string>, Selected<Count>>();

  return (names) => {
    const selected = known.get(names);
    if (selected) return selected;
    const counts = all.filter((count) => names.has(count));
    const hasFlag = names.has(flag);
    const made = { counts: new Set(counts), hasFlag, text: [...counts, ...(hasFlag ? [flag] : [])].join() };
    known.set(names, made);

    return made;
  };
}

const IS_FOLLOWED = 'isFollowedByViewer';
const IS_LIKED = 'likedByViewer';
const authorSelected = selectedOf(AUTHOR_COUNTS, IS_FOLLOWED);
const cheepSelected = selectedOf(CHEEP_COUNTS, IS_LIKED);

export class Loaders {
  private readonly authors;
  private readonly cheeps;

  constructor(reads: Reads, consistency: Consistency, viewerId: () => string | null) {
    this.authors = rowLoader<AuthorRow, AuthorCount, ShownAuthor>(reads, consistency, viewerId, {
      shardOf: authorShard,
      read: readAuthors,
      together: reads.authors,
      show: (row, isFollowedByViewer) => ({ ...row, isFollowedByViewer }),
    });
    this.cheeps = rowLoader<CheepRow, CheepCount, ShownCheep>(reads, consistency, viewerId, {
      shardOf: cheepShard,
      read: readCheeps,
      together: reads.cheeps,
      show: (row, likedByViewer) => ({ ...row, likedByViewer }),
    });
  }

  /** The author with this id, as of `floor` or later. */
  findAuthor(id: string, floor: number, names: ReadonlySet<string>, lists: ListRequest[] = []): Promise<Found<ShownAuthor>> {
    return this.authors.load({ id, floor, selected: authorSelected(names), lists });
  }

  /** The live cheep with this id, as of `floor` or later. */
  findCheep(id: string, floor: number, names: ReadonlySet<string>, lists: ListRequest[] = []): Promise<Found<ShownCheep>> {
    return this.cheeps.load({ id, floor, selected: cheepSelected(names), lists });
  }
}

interface Kind<Row, Count extends string, Shown> {
  shardOf: (id: string, space: Space) => Shard;
  read: ReadRows<Row, Count>;
  together: RowReads<Row, Count>;
  show: (row: Row, isFlagged: boolean | null) => Shown;
}

function rowLoader<Row, Count extends string, Shown>(
  reads: Reads,
  consistency: Consistency,
  viewerId: () => string | null,
  { shardOf, read, together, show }: Kind<Row, Count, Shown>,
) {
  return new DataLoader<Key<Count>, Found<Shown>, string>(
    async (keys) => {
      const { space } = reads;
      const byShard = Map.groupBy(keys, ({ id }) => partOf(id, space.shards));
      const results = new Map<Key<Count>, Found<Shown> | Error>();
      await Promise.all(
        [...byShard.values()].map(async (group) => {
          const ids = [...new Set(group.map(({ id }) => id))];
          const [{ selected: first }] = group as [Key<Count>];
          const isSame = group.every(({ selected }) => selected === first);
          const counts = isSame ? first.counts : new Set(group.flatMap(({ selected }) => [...selected.counts]));
          const viewer = group.some(({ selected }) => selected.hasFlag) ? viewerId() : null;
          const lists = new Map<string, ListRequest[]>();
          for (const key of group) if (key.lists.length > 0) lists.set(key.id, [...(lists.get(key.id) ?? []), ...key.lists]);
          const floor = Math.max(...group.map((key) => key.floor));
          const shard = shardOf(ids[0]!, space);
          try {
            const isBase = group.some((key) => key.floor === 0);
            const run = (redis: Redis, at: Space) =>
              lists.size === 0
                ? together.read(redis, at, shard, { ids, counts, viewerId: viewer })
                : read(redis, at, shard, { ids, counts, viewers: new Map(viewer === null ? [] : [[viewer, ids]]), lists });
            const { value, applied } = await reads.read(consistency, shard, run, { floor, isBase });
            for (const key of group) {
              const row = value.rows.get(key.id);
              const isFlagged = viewer === null ? null : value.isFlagged(viewer, key.id);
              results.set(key, { row: row ? { ...show(row, isFlagged), floor: key.floor, applied } : null, applied });
            }
          } catch (error) {
            // One shard's trouble is the trouble of those who asked it; the others have their rows.
            for (const key of group) results.set(key, error as Error);
          }
        }),
      );

      return keys.map((key) => results.get(key)!);
    },
    {
      cacheKeyFn: ({ id, floor, selected, lists }) => `${id}/${floor}/${selected.text}${lists.map((list) => `/${listKey(list)}`).join('')}`,
    },
  );
}
