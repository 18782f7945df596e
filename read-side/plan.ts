/** A plan: what each shard has to write for a batch of the journal's entries, and how far that brings it. */
import { partOf } from '../shared/ids.js';
import type { JournalEntry } from '../shared/messages/event.js';
import { decodeEntry } from '../shared/messages/upcast.js';
import type { PositionedWrite } from './apply.js';
import type { PlacedWrite, Projection, Write } from './projection.js';
import type { Shard } from './shard.js';

/** An entry that cannot be made sense of: every projection stops before it. */
export interface Unreadable {
  position: number;
  cause: Error;
}

export const isUnreadable = (entry: JournalEntry | Unreadable): entry is Unreadable => 'cause' in entry;

export function readEntry(body: string, position: number): JournalEntry | Unreadable {
  try {
    return Object.assign(decodeEntry(body), { position });
  } catch (error) {
    return { position, cause: error as Error };
  }
}

export interface PlannedShard {
  shard: Shard;
  /** How far it is, or less, while what was planned before this is still under way. */
  applied: number;
  /** The position beyond which it must not go; Infinity for none. */
  limit: number;
  /** Up to here nobody reads it, since it builds itself, and it logs nothing: it does not show in which order it was written. */
  unseenUpTo: number;
}

/** Of a command that a script calls: Lua's stack has room for 8,000. */
const MAX_ARGUMENTS = 6_000;

export interface Plan {
  upTo: number;
  /** In order. */
  writes: PositionedWrite[];
  /** Why it cannot go on after that. */
  failed: Error | null;
}

/** Is the shard to leave this entry out, by an operator's word? */
export type IsSkipped = (shard: Shard, position: number) => boolean;

/**
 * Whether nobody sees how a shard comes to the end of a batch. It must not have begun with it: what is joined has the place of the first, and
 * a shard that is beyond that would take all of it for done.
 */
export const isUnseenIn = ({ limit, unseenUpTo, applied }: PlannedShard, batch: { position: number }[]): boolean =>
  batch.at(-1)!.position <= Math.min(limit, unseenUpTo) && applied < batch[0]!.position;

/**
 * For each of a projection's shards, in their order: up to the batch's end, to the shard's limit, or before the first entry that the
 * projection fails at. Where none of them is seen (`unseenUpTo`), fewer writes do the same.
 * @param count how many shards the projection has; not all need be among these
 */
export function plan(
  projection: Projection,
  shards: PlannedShard[],
  count: number,
  batch: (JournalEntry | Unreadable)[],
  isSkipped: IsSkipped,
): Plan[] {
  const end = batch.at(-1)!.position;
  const isUnseen = shards.every((shard) => isUnseenIn(shard, batch));
  /** By shard, and key: what goes on being added to. */
  const joined = new Map<string, [...Write]>();
  const plans = shards.map(({ limit }): Plan => ({ upTo: Math.min(end, limit), writes: [], failed: null }));
  // A projection may have several generations, and so several shards of one number.
  const byNumber: number[][] = Array.from({ length: count }, () => []);
  shards.forEach(({ shard }, i) => byNumber[shard.number]!.push(i));
  const everyone = [...shards.keys()];
  for (const entry of batch) {
    const { position } = entry;
    let writes: PlacedWrite[] = [];
    let failed: Error | null = null;
    try {
      if (isUnreadable(entry)) throw entry.cause;
      writes = projection.writes(entry);
    } catch (error) {
      failed = new Error(`${projection.id.name} cannot apply the entry at position ${position}`, { cause: error });
    }
    for (const { id, write, unseen } of writes) {
      const number = id === null ? null : partOf(id, count);
      const its = number === null ? everyone : byNumber[number]!;
      const going = its.filter((i) => position <= plans[i]!.upTo && !isSkipped(shards[i]!.shard, position));
      const isForMany = going.length > 1;
      let one: PositionedWrite = { position, write, isForMany };
      if (isUnseen && unseen !== undefined) {
        if (unseen === null) continue;
        const [command, key, ...args] = unseen;
        const isForAll = going.length === its.length;
        const where = `${number ?? 'all'} ${key}`;
        const before = isForAll ? joined.get(where) : undefined;
        if (before?.[0] === command && before.length + args.length <= MAX_ARGUMENTS) {
          before.push(...args);
          continue;
        }
        const joining: [...Write] = [command, key, ...args];
        if (isForAll) joined.set(where, joining);
        one = { position, write: joining, isForMany };
      }
      for (const i of going) plans[i]!.writes.push(one);
    }
    if (failed === null) continue;
    joined.clear();
    plans.forEach((one, i) => {
      if (one.failed || one.upTo < position || isSkipped(shards[i]!.shard, position)) return;
      one.failed = failed;
      one.upTo = position - 1;
    });
    if (plans.every((one) => one.failed)) break;
  }

  return plans;
}
