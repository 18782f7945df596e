/**
 * Journals of a very small town, at random, and what is so after each of their entries: a plain fold that knows nothing of
 * shards, scripts or logs. Ids and moments are the same each time, so that a journal is its steps.
 */
import fc from 'fast-check';
import type { Profile } from '../../shared/messages/author.js';
import type { CheepPosted } from '../../shared/messages/cheep.js';
import type { Event, JournalEntry } from '../../shared/messages/event.js';
import type { AuthorNotified } from '../../shared/messages/notification.js';
import { schemaVersionOf } from '../../shared/messages/upcast.js';
import { SYSTEM } from '../../shared/ids.js';

const id = (kind: string, n: number): string => `${kind}0000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** Everybody: some of one shard, some of another, when there are two. */
export const TOWN = [1, 2, 3, 4].map((n) => id('a', n));

const KINDS = [
  ...(['post', 'reply', 'edit', 'delete', 'follow', 'unfollow', 'like', 'unlike'] as const),
  ...(['notify', 'read', 'rename', 'profile', 'refused'] as const),
];
export type Kind = (typeof KINDS)[number];

export interface Step {
  kind: Kind;
  who: number;
  which: number;
}

/** Of these kinds more than of the others. */
export const stepsOf = (often: Kind[], minLength: number, maxLength: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.record({
      kind: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...often) }, { weight: 1, arbitrary: fc.constantFrom(...KINDS) }),
      who: fc.nat(TOWN.length - 1),
      which: fc.nat(11),
    }),
    { minLength, maxLength },
  );

export interface CheepState extends CheepPosted {
  /** Of its post. */
  position: number;
  version: number;
  postedAt: string;
  editedAt: string | null;
  isDeleted: boolean;
  likers: Set<string>;
}

export interface AuthorState extends Profile {
  id: string;
  version: number;
  username: string;
  email: string;
  signedUpAt: string;
}

export interface Told extends AuthorNotified {
  at: string;
}

const NO_PROFILE: Profile = { name: null, biography: null, location: null, website: null, birthDate: null };

/** Of the cheeps that are posted in it. */
export const idsIn = (journal: JournalEntry[]): string[] =>
  journal.flatMap(({ event }) => (event.type === 'CheepPosted' ? [event.cheepId] : []));

/** What is so after some entries. */
export class Fold {
  readonly authors = new Map<string, AuthorState>();
  /** In the order of their posts. */
  readonly cheeps = new Map<string, CheepState>();
  /** In the order of the follows. */
  follows: { followerId: string; followedId: string; position: number }[] = [];
  readonly told: Told[] = [];
  readonly readUpTo = new Map<string, number>();
  readonly entries: JournalEntry[] = [];

  static of(entries: JournalEntry[]): Fold {
    const fold = new Fold();
    for (const entry of entries) fold.add(entry);

    return fold;
  }

  isFollowing(followerId: string, followedId: string): boolean {
    return this.follows.some((follow) => follow.followerId === followerId && follow.followedId === followedId);
  }

  get liveCheeps(): CheepState[] {
    return [...this.cheeps.values()].filter(({ isDeleted }) => !isDeleted);
  }

  /** Newest first. */
  timelineOf(readerId: string): CheepState[] {
    return this.liveCheeps.filter(({ authorId }) => this.isFollowing(readerId, authorId)).toReversed();
  }

  /** Newest first. */
  notificationsOf(readerId: string): Told[] {
    return this.told.filter(({ recipientId, notice }) => recipientId === readerId && !this.isGone(notice)).toReversed();
  }

  unreadOf(readerId: string): number {
    return this.notificationsOf(readerId).filter(({ sequence }) => sequence > (this.readUpTo.get(readerId) ?? 0)).length;
  }

  add(entry: JournalEntry): void {
    const { event, position, at } = entry;
    this.entries.push(entry);
    switch (event.type) {
      case 'AuthorSignedUp': {
        const { type: _, authorId, ...fields } = event;
        this.authors.set(authorId, { ...fields, id: authorId, version: 1, signedUpAt: at });
        break;
      }
      case 'AuthorProfileUpdated':
      case 'AuthorUsernameChanged':
      case 'AuthorEmailChanged': {
        const author = this.authors.get(event.authorId)!;
        const changed = Object.fromEntries(Object.entries(event.changes).map(([field, { to }]) => [field, to]));
        Object.assign(author, changed, { version: author.version + 1 });
        break;
      }
      case 'AuthorFollowed':
        this.follows.push({ followerId: event.followerId, followedId: event.followedId, position });
        break;
      case 'AuthorUnfollowed':
        this.follows = this.follows.filter((one) => one.followerId !== event.followerId || one.followedId !== event.followedId);
        break;
      case 'CheepPosted':
        this.cheeps.set(event.cheepId, {
          ...event,
          ...{ position, version: 1, postedAt: at, editedAt: null, isDeleted: false, likers: new Set<string>() },
        });
        break;
      case 'CheepEdited': {
        const cheep = this.cheeps.get(event.cheepId)!;
        Object.assign(cheep, { message: event.changes.message.to, mentions: event.mentions, editedAt: at, version: cheep.version + 1 });
        break;
      }
      case 'CheepDeleted': {
        const cheep = this.cheeps.get(event.cheepId)!;
        Object.assign(cheep, { isDeleted: true, version: cheep.version + 1 });
        break;
      }
      case 'CheepLiked':
        this.cheeps.get(event.cheepId)!.likers.add(event.likerId);
        break;
      case 'CheepUnliked':
        this.cheeps.get(event.cheepId)!.likers.delete(event.likerId);
        break;
      case 'AuthorNotified':
        this.told.push({ ...event, at });
        break;
      case 'NotificationsRead':
        this.readUpTo.set(event.authorId, event.upTo);
        break;
      case 'CommandRefused':
      case 'CommandHadNoEffect':
        break;
    }
  }

  private isGone = (notice: AuthorNotified['notice']): boolean => 'cheepId' in notice && this.cheeps.get(notice.cheepId)!.isDeleted;
}

const HOUR_MS = 3_600_000;
const MIDNIGHT = Date.parse('2026-01-01T00:00:00.000Z');

/** What is possible of these steps, as the write side would let it happen, as a journal from position 1. */
export function journalOf(steps: Step[]): JournalEntry[] {
  const fold = new Fold();
  const add = (actorId: string, { event, version }: Happening) => {
    const position = fold.entries.length + 1;
    fold.add({
      position,
      entryId: id('e', position),
      schemaVersion: schemaVersionOf(event.type),
      aggregate: { type: 'Cheep', id: actorId, version },
      actorId: event.type === 'AuthorNotified' ? SYSTEM : actorId,
      commandId: id('c', position),
      commandName: `Cause${event.type}`,
      fingerprint: position % 2 ? null : `f${position}`,
      correlationId: id('c', position),
      causationId: id('c', position),
      traceparent: null,
      // Some things happen on one day, and some on the next.
      at: new Date(MIDNIGHT + 5 * position * HOUR_MS).toISOString(),
      event,
    });
  };
  for (const step of steps) {
    const { who } = step;
    const actorId = TOWN[who]!;
    if (!fold.authors.has(actorId)) {
      const event = { authorId: actorId, username: `Name${who}`, email: `${who}@example.org`, ...NO_PROFILE };
      add(actorId, { event: { type: 'AuthorSignedUp', ...event }, version: 1 });
    }
    const happening = happens(fold, step, actorId);
    if (happening) add(actorId, happening);
  }

  return fold.entries;
}

interface Happening {
  event: Event;
  /** Of the aggregate, with it. */
  version: number;
}

function happens(fold: Fold, { kind, which }: Step, actorId: string): Happening | null {
  const next = fold.entries.length + 1;
  const author = fold.authors.get(actorId)!;
  const live = fold.liveCheeps;
  const cheep = live[which % Math.max(1, live.length)];
  const other = TOWN[which % TOWN.length]!;
  const post = (parent: CheepState | null): Happening => {
    const cheepId = id('d', next);
    const answers = { inReplyTo: parent?.cheepId ?? null, inReplyToAuthorId: parent?.authorId ?? null };
    const mentions = which % 2 ? [{ start: 0, end: 4, authorId: other }] : [];
    const threadId = parent?.threadId ?? cheepId;

    return { event: { type: 'CheepPosted', authorId: actorId, cheepId, message: `m${next}`, mentions, ...answers, threadId }, version: 1 };
  };

  switch (kind) {
    case 'post':
      return post(null);
    case 'reply':
      return post(cheep ?? null);
    case 'edit': {
      if (!cheep) return null;
      const { cheepId, authorId, inReplyTo, threadId, message, version } = cheep;
      const changes = { message: { from: message, to: `edited${next}` } };

      return { event: { type: 'CheepEdited', cheepId, authorId, inReplyTo, threadId, changes, mentions: [] }, version: version + 1 };
    }
    case 'delete': {
      if (!cheep) return null;
      const { cheepId, authorId, inReplyTo, threadId, version } = cheep;

      return { event: { type: 'CheepDeleted', cheepId, authorId, inReplyTo, threadId }, version: version + 1 };
    }
    case 'follow':
      if (other === actorId || fold.isFollowing(actorId, other)) return null;
      return { event: { type: 'AuthorFollowed', followerId: actorId, followedId: other }, version: 1 };
    case 'unfollow': {
      const mine = fold.follows.filter(({ followerId }) => followerId === actorId);
      const follow = mine[which % Math.max(1, mine.length)];

      return follow ? { event: { type: 'AuthorUnfollowed', followerId: actorId, followedId: follow.followedId }, version: 2 } : null;
    }
    case 'like':
      if (!cheep || cheep.likers.has(actorId)) return null;
      return { event: { type: 'CheepLiked', likerId: actorId, cheepId: cheep.cheepId, authorId: cheep.authorId }, version: 1 };
    case 'unlike': {
      const liked = live.find(({ likers }) => likers.has(actorId));

      return liked
        ? { event: { type: 'CheepUnliked', likerId: actorId, cheepId: liked.cheepId, authorId: liked.authorId }, version: 2 }
        : null;
    }
    case 'notify': {
      const sequence = fold.told.filter(({ recipientId }) => recipientId === actorId).length + 1;
      const notice: AuthorNotified['notice'] =
        cheep && which > 2 ? { kind: 'REPLY', cheepId: cheep.cheepId } : { kind: 'FOLLOW', followerId: other };

      return {
        event: { type: 'AuthorNotified', notificationId: id('f', next), recipientId: actorId, sequence, notice },
        version: sequence,
      };
    }
    case 'read': {
      const count = fold.told.filter(({ recipientId }) => recipientId === actorId).length;
      const upTo = Math.ceil((count * (1 + which)) / 12);
      // The write side does not let it go back.
      if (upTo <= (fold.readUpTo.get(actorId) ?? 0)) return null;

      return { event: { type: 'NotificationsRead', authorId: actorId, upTo }, version: 1 };
    }
    case 'rename': {
      // Another name, or the same letters in another case; a name that was given up may be taken by somebody else.
      const names = ['north', 'South', 'east', author.username.toUpperCase(), author.username.toLowerCase()];
      const to = names[which % names.length]!;
      const isTaken = [...fold.authors.values()].some(({ id, username }) => id !== actorId && username.toLowerCase() === to.toLowerCase());
      if (isTaken || to === author.username) return null;
      const changes = { username: { from: author.username, to } };

      return { event: { type: 'AuthorUsernameChanged', authorId: actorId, changes }, version: author.version + 1 };
    }
    case 'profile': {
      const to = which % 3 === 0 ? null : `name${which}`;
      if (to === author.name) return null;

      return {
        event: { type: 'AuthorProfileUpdated', authorId: actorId, changes: { name: { from: author.name, to } } },
        version: author.version + 1,
      };
    }
    case 'refused':
      return { event: { type: 'CommandRefused', code: 'AUTHOR_NOT_FOUND', field: ['authorId'] }, version: 1 };
  }
}
