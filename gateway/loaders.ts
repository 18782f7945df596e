/**
 * Loaders of rows, one set an operation: what the resolvers of one level ask for goes out together, as one read a shard (and with what
 * other operations ask for at that moment, see row-reads.ts), all of them in one round trip, and only what is selected is asked for.
 * A list knows all its ids at once, and asks for them without a promise for each.
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

/** What a look for a row has found. */
export interface Found<Row> {
  /** Null when it is not there, or no longer. It may be another operation's too. */
  row: Row | null;
  /** Whether the viewer likes it, or follows them: null when nobody is signed in, or nobody asked. */
  isFlagged: boolean | null;
  /** The position from which on what is read for it must be. */
  floor: number;
  /** As of which position it was read itself. */
  applied: number;
}

/** One that is there. */
export type Loaded<Row> = Found<Row> & { row: Row };
export const isThere = <Row>(found: Found<Row>): found is Loaded<Row> => found.row !== null;
export type LoadedAuthor = Loaded<AuthorRow>;
export type LoadedCheep = Loaded<CheepRow>;

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
  private readonly authors: RowLoader<AuthorRow, AuthorCount>;
  private readonly cheeps: RowLoader<CheepRow, CheepCount>;

  constructor(reads: Reads, consistency: Consistency, viewerId: () => string | null) {
    const of = { reads, consistency, viewerId };
    this.authors = new RowLoader({ ...of, shardOf: authorShard, read: readAuthors, together: reads.authors });
    this.cheeps = new RowLoader({ ...of, shardOf: cheepShard, read: readCheeps, together: reads.cheeps });
  }

  /** The author with this id, as of `floor` or later. */
  findAuthor(id: string, floor: number, names: ReadonlySet<string>, lists: ListRequest[] = []): Promise<Found<AuthorRow>> {
    return this.authors.find({ id, floor, selected: authorSelected(names), lists });
  }

  /** The live cheep with this id, as of `floor` or later. */
  findCheep(id: string, floor: number, names: ReadonlySet<string>, lists: ListRequest[] = []): Promise<Found<CheepRow>> {
    return this.cheeps.find({ id, floor, selected: cheepSelected(names), lists });
  }

  /** As `findAuthor`, of all authors of a list. */
  findAuthors(ids: readonly string[], floor: number, names: ReadonlySet<string>): Promise<FoundById<AuthorRow>> {
    return this.authors.findAll(ids, floor, authorSelected(names));
  }

  /** As `findCheep`, of all cheeps of a list. */
  findCheeps(ids: readonly string[], floor: number, names: ReadonlySet<string>): Promise<FoundById<CheepRow>> {
    return this.cheeps.findAll(ids, floor, cheepSelected(names));
  }
}

/** What was found, or what kept it from being found. */
export type FoundById<Row> = ReadonlyMap<string, Found<Row> | Error>;

interface Kind<Row, Count extends string> {
  reads: Reads;
  consistency: Consistency;
  viewerId: () => string | null;
  shardOf: (id: string, space: Space) => Shard;
  read: ReadRows<Row, Count>;
  together: RowReads<Row, Count>;
}

class RowLoader<Row, Count extends string> {
  private readonly ones = new DataLoader<Key<Count>, Found<Row>, string>((keys) => this.load(keys), {
    cacheKeyFn: ({ id, floor, selected, lists }) => `${id}/${floor}/${selected.text}${lists.map((list) => `/${listKey(list)}`).join('')}`,
  });

  constructor(private readonly kind: Kind<Row, Count>) {}

  find(key: Key<Count>): Promise<Found<Row>> {
    return this.ones.load(key);
  }

  async findAll(ids: readonly string[], floor: number, { counts, hasFlag }: Selected<Count>): Promise<FoundById<Row>> {
    const asked = { counts, hasFlag, floor, isBase: floor === 0 };
    const found = new Map<string, Found<Row> | Error>();
    await this.eachShard(
      ids,
      (id) => id,
      async (group) => {
        const foundOf = await this.look(group, asked);
        for (const id of group) found.set(id, foundOf(id, floor));
      },
    );

    return found;
  }

  private async load(keys: readonly Key<Count>[]): Promise<(Found<Row> | Error)[]> {
    const results = new Map<Key<Count>, Found<Row> | Error>();
    await this.eachShard(
      keys,
      ({ id }) => id,
      async (group) => {
        const [{ selected: first }] = group as [Key<Count>];
        const isSame = group.every(({ selected }) => selected === first);
        const lists = new Map<string, ListRequest[]>();
        for (const key of group) if (key.lists.length > 0) lists.set(key.id, [...(lists.get(key.id) ?? []), ...key.lists]);
        const foundOf = await this.look([...new Set(group.map(({ id }) => id))], {
          counts: isSame ? first.counts : new Set(group.flatMap(({ selected }) => [...selected.counts])),
          hasFlag: group.some(({ selected }) => selected.hasFlag),
          lists,
          floor: Math.max(...group.map((key) => key.floor)),
          isBase: group.some((key) => key.floor === 0),
        });
        for (const key of group) results.set(key, foundOf(key.id, key.floor));
      },
    );

    return keys.map((key) => results.get(key)!);
  }

  private async eachShard<Item>(items: readonly Item[], idOf: (item: Item) => string, run: (group: Item[]) => Promise<void>) {
    const { shards } = this.kind.reads.space;
    await Promise.all([...Map.groupBy(items, (item) => partOf(idOf(item), shards)).values()].map(run));
  }

  /** Rows of one shard. Its trouble is the trouble of those who asked it; the others have theirs. */
  private async look(
    ids: string[],
    {
      counts,
      hasFlag,
      lists,
      floor,
      isBase,
    }: Omit<Selected<Count>, 'text'> & {
      lists?: ReadonlyMap<string, ListRequest[]>;
      floor: number;
      isBase: boolean;
    },
  ): Promise<(id: string, floor: number) => Found<Row> | Error> {
    const { reads, consistency, viewerId, shardOf, read, together } = this.kind;
    const { space } = reads;
    const viewer = hasFlag ? viewerId() : null;
    const shard = shardOf(ids[0]!, space);
    const run = (redis: Redis, at: Space) =>
      lists && lists.size > 0
        ? read(redis, at, shard, { ids, counts, viewers: new Map(viewer === null ? [] : [[viewer, ids]]), lists })
        : together.read(redis, at, shard, { ids, counts, viewerId: viewer });
    try {
      const { value, applied } = await reads.read(consistency, shard, run, { floor, isBase });

      return (id, its) => ({
        row: value.rows.get(id) ?? null,
        isFlagged: viewer === null ? null : value.isFlagged(viewer, id),
        floor: its,
        applied,
      });
    } catch (error) {
      return () => error as Error;
    }
  }
}
