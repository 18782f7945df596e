/**
 * An event: what has happened, in the past tense. It is journalled in the transaction that made it so, and read from the
 * stream `EVENTS` by everything that follows.
 */
import type { AuthorEvent } from './author.js';
import type { CheepEvent } from './cheep.js';
import type { FollowEvent } from './follow.js';
import type { LikeEvent } from './like.js';
import type { NotificationEvent } from './notification.js';
import type { ErrorCode } from '../refused.js';

/** The domain said no. */
export interface CommandRefused {
  type: 'CommandRefused';
  code: ErrorCode;
  field: string[] | null;
}

/** It was so already. */
export interface CommandHadNoEffect {
  type: 'CommandHadNoEffect';
}

/** What a field was, and what it became. */
export interface Change<Value> {
  from: Value;
  to: Value;
}

/** What happened in the domain. */
export type DomainEvent = AuthorEvent | CheepEvent | LikeEvent | FollowEvent | NotificationEvent;
/** Every kind of journal entry: each command leaves one at least, also one that changed nothing. */
export type Event = DomainEvent | CommandRefused | CommandHadNoEffect;
export type EventType = Event['type'];
export type EventOf<Type extends EventType> = Extract<Event, { type: Type }>;

export interface AggregateVersion {
  type: 'Author' | 'Cheep' | 'Follow' | 'Like' | 'Notifications';
  id: string;
  /** 1 for its first event. */
  version: number;
}

/** What is stored and published: an event and all that is known about it, but for its position, which only the commit tells. */
export interface EntryBody<E extends Event = Event> {
  entryId: string;
  schemaVersion: number;
  aggregate: AggregateVersion | null;
  /** Who did it: the command's sender, or the author that a sign-up made. */
  actorId: string;
  commandId: string;
  commandName: string;
  /** The command's, to tell a retry by; null when its input has a secret. */
  fingerprint: string | null;
  correlationId: string;
  causationId: string;
  traceparent: string | null;
  /** ISO 8601, UTC, milliseconds. */
  at: string;
  event: E;
}

export type JournalEntry<E extends Event = Event> = EntryBody<E> & {
  /** 1, 2, 3, … without a gap, in commit order. */
  position: number;
};
