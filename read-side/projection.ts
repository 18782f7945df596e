/**
 * A projection says which events change which keys, as Redis commands; nothing here reads, but for Lua that reads its own shard. The shard runs them in order,
 * in one script with the position, so they need only be harmless when run again after a failure in the middle. (While nobody sees the shard,
 * some of them may come earlier than in their order: see `unseen`.)
 */
import type { Redis } from 'ioredis';
import type { EventOf, EventType, JournalEntry } from '../shared/messages/event.js';
import type { ProjectionId } from './shard.js';

export type Argument = string | number | Buffer;

/** A Redis command on one key of a shard (named without the shard's prefix), or a function of the projection's `lua`. */
export type Write = readonly [command: string, key: string, ...args: Argument[]];

export interface PlacedWrite {
  /** The id whose shard it goes to; null for all shards. */
  id: string | null;
  write: Write;
  /**
   * What is written in its place while nobody reads the shard and it logs nothing, as one that builds itself does; null for nothing.
   * Those of a batch that have the same command and key become one, at the place of the first, with the arguments of all.
   */
  unseen?: Write | null;
}

/** In the shard that is asked about `id`. */
export const at = (id: string, ...write: Write): PlacedWrite => ({ id, write });
/** In every shard. */
export const everywhere = (...write: Write): PlacedWrite => ({ id: null, write });

/** As `at`, adding to a key what is only taken out again after that, and never added again: it does not matter how early. */
export const adds = (id: string, ...write: Write): PlacedWrite => ({ id, write, unseen: write });
/** As `at`, of what is only logged. */
export const tells = (id: string, ...write: Write): PlacedWrite => ({ id, write, unseen: null });

/** Of the aggregate, by this event. Every event of the domain is of a version of one. */
export const versionOf = ({ aggregate }: JournalEntry): number => aggregate!.version;

/** Lua with one function: `tells(id, 'tell', …)` appends fields to the shard's log of changes, and changes nothing else. */
export const TELL = `
functions.tell = function(position, ...)
  log(position, ...)
  return 1
end
`;

/**
 * Makes what was put off under these ids while a shard built itself.
 * @param key makes a key of the shard; nothing is written there meanwhile
 * @returns for each id what is to be written; for the first of them, if all would be too much
 */
export type Make = (redis: Redis, key: (name: string) => string, ids: string[]) => Promise<Write[][]>;

type Handlers = { [Type in EventType]?: (event: EventOf<Type>, entry: JournalEntry) => PlacedWrite[] };

export interface Projection {
  id: ProjectionId;
  /** Lua functions that writes can name besides Redis's commands, as fields of the table `functions`. */
  lua: string;
  writes(entry: JournalEntry): PlacedWrite[];
  /** Of a projection whose `lua` puts something off. */
  make: Make | null;
}

/**
 * @param handlers what each type of event changes; types that are not named change nothing
 * @param lua see `Projection.lua`: `functions.NAME = function(position, key, …) … return KEYS_TOUCHED end`, where `key(name)`
 *   makes a key of the shard and `log(position, …)` appends to the shard's log of changes. `finish = function() … end` is run before a
 *   script ends. While `isBuilding`, `putOff(id)` leaves something to `make`, before the target.
 */
export function defineProjection(id: ProjectionId, handlers: Handlers, lua = '', make: Make | null = null): Projection {
  return {
    id,
    lua,
    make,
    writes(entry) {
      const handler = handlers[entry.event.type] as ((event: unknown, entry: JournalEntry) => PlacedWrite[]) | undefined;

      return handler?.(entry.event, entry) ?? [];
    },
  };
}
