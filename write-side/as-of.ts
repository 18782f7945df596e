/**
 * An aggregate as it was at any time: folded anew from its entries in the journal, by the methods that changed it when they
 * were written. Nothing is kept for that but the journal.
 */
import type { RowDataPacket } from 'mysql2';
import type { AggregateVersion, EntryBody, EventType, JournalEntry } from '../shared/messages/event.js';
import { decodeEntry } from '../shared/messages/upcast.js';
import { Author } from './authors/author.js';
import { Cheep } from './cheeps/cheep.js';
import type { Pool } from './database.js';
import { Follow } from './follows/follow.js';
import { Like } from './likes/like.js';

/** Aggregates that have a history to be asked for. */
export const AGGREGATES = { author: 'Author', cheep: 'Cheep', follow: 'Follow', like: 'Like' } as const satisfies Record<
  string,
  AggregateVersion['type']
>;
export type AggregateName = keyof typeof AGGREGATES;
export type Aggregate = Author | Cheep | Follow | Like;

/** A time in milliseconds since 1970, or a position; with all that happened then. */
export type Moment = { at: number } | { position: number };

/** Fields of an aggregate, by name. */
export type AggregateState = Record<string, string | number | boolean | null>;

/**
 * All entries of an aggregate, oldest first; none when there never was one with this id. An aggregate's history is as long as
 * its author makes it, and is read whole.
 */
export async function readAggregateEntries(pool: Pool, name: AggregateName, id: string): Promise<JournalEntry[]> {
  const [rows] = await pool.query<RowDataPacket[]>(
    'SELECT position, body FROM journal WHERE aggregate_type = ? AND aggregate_id = ? ORDER BY aggregate_version',
    [AGGREGATES[name], id],
  );

  return rows.map(({ position, body }) => ({ ...decodeEntry(body as string), position: Number(position) }));
}

/** Those that had happened by then: of a clock that went back between two entries, the first to be later ends it. */
export function until(entries: JournalEntry[], moment: Moment): JournalEntry[] {
  const later = entries.findIndex((entry) => ('at' in moment ? Date.parse(entry.at) > moment.at : entry.position > moment.position));

  return later < 0 ? entries : entries.slice(0, later);
}

/**
 * The aggregate after all these entries, its first one the first; null after none.
 * @throws when the entries are not the versions 1, 2, 3, … of one aggregate
 */
export function fold(entries: EntryBody[]): AggregateState | null {
  let aggregate: Aggregate | null = null;
  for (const entry of entries) {
    aggregate = apply(aggregate, entry);
    const { type, id, version } = entry.aggregate!;
    if (aggregate.id !== id || aggregate.version !== version) {
      throw new Error(`${type} ${id} is said to be at version ${version}, and its entries make it ${aggregate.version}`);
    }
  }

  return aggregate && { ...(aggregate as unknown as AggregateState) };
}

/** An aggregate after one more entry; null before its first. @throws when the entry cannot come there */
export function apply(before: Aggregate | null, { event, at }: EntryBody): Aggregate {
  switch (event.type) {
    case 'AuthorSignedUp':
      return Author.signedUp(event, at);
    case 'AuthorProfileUpdated':
    case 'AuthorUsernameChanged':
    case 'AuthorEmailChanged':
      return changed(before, Author, event.type, (author) => author.change(event));
    case 'CheepPosted':
      return Cheep.posted(event, at);
    case 'CheepEdited':
      return changed(before, Cheep, event.type, (cheep) => cheep.edit(event));
    case 'CheepDeleted':
      return changed(before, Cheep, event.type, (cheep) => cheep.delete());
    case 'AuthorFollowed':
    case 'AuthorUnfollowed':
      return changed(before ?? Follow.between(event.followerId, event.followedId), Follow, event.type, (follow) =>
        follow.become(event.type === 'AuthorFollowed'),
      );
    case 'CheepLiked':
    case 'CheepUnliked':
      return changed(before ?? Like.of(event.likerId, event.cheepId), Like, event.type, (like) => like.become(event.type === 'CheepLiked'));
    default:
      throw new Error(`${event.type} is no event of an aggregate with a history`);
  }
}

function changed<A extends Aggregate>(before: Aggregate | null, kind: new () => A, type: EventType, change: (aggregate: A) => void): A {
  if (!(before instanceof kind)) throw new Error(`${type} comes before there is a ${kind.name}`);
  change(before);

  return before;
}

/** What is not the same in two states, in the order of the fields. A state that is null has no fields. */
export function difference(from: AggregateState | null, to: AggregateState | null) {
  const fields = Object.keys({ ...from, ...to }).filter((field) => (from?.[field] ?? null) !== (to?.[field] ?? null));

  return fields.map((field) => ({ field, from: from?.[field] ?? null, to: to?.[field] ?? null }));
}
