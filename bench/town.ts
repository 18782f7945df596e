/**
 * The journal of a town that never was, as a write side would have written it: people sign up, follow (most of them the same few),
 * post (a tenth of them four fifths of all cheeps), answer, like, edit, delete, are told of it, and are refused something now and
 * then. The same numbers make the same town.
 */
import { createHash } from 'node:crypto';
import { SYSTEM } from '../shared/ids.js';
import type { AggregateVersion, Event, JournalEntry } from '../shared/messages/event.js';
import type { Notice } from '../shared/messages/notification.js';
import { schemaVersionOf } from '../shared/messages/upcast.js';
import { followId } from '../write-side/follows/follow.js';
import { likeId } from '../write-side/likes/like.js';
import { notificationId } from '../write-side/notifications/notification.js';

/** How often people do what, of 100. */
const ACTS = { signUp: 4, follow: 22, unfollow: 1, post: 38, like: 28, unlike: 1, edit: 2, remove: 1, refused: 2, nothing: 1 };
type Act = keyof typeof ACTS;
/** Of the posts, those that answer another; and that mention somebody. */
const REPLIES = 0.3;
const MENTIONS = 0.1;
/** Only so many of the newest cheeps are still answered, liked, edited and deleted. */
const RECENT = 5_000;
const MAX_FOLLOWED = 5_000;
const BEGIN = Date.parse('2026-01-01T00:00:00.000Z');
const MS_BETWEEN = 250;

interface Author {
  id: string;
  following: number;
}

interface Cheep {
  id: string;
  authorId: string;
  threadId: string;
  inReplyTo: string | null;
  message: string;
  isDeleted: boolean;
}

/** Small, fast and the same everywhere: mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;

  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const uuid = (text: string): string => {
  const hex = createHash('md5').update(text).digest('hex');

  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
};

export interface TownOptions {
  /** Another number makes another town. */
  seed?: number;
  /** How often people follow, as in ACTS: it decides how many timelines a cheep goes to. */
  follow?: number;
  /** So many sign up first, and follow the one who was there before them. */
  fans?: number;
}

/** A journal of that many entries. */
export function* town(entries: number, { seed = 1, follow = ACTS.follow, fans = 0 }: TownOptions = {}): Generator<JournalEntry> {
  const random = randomOf(seed);
  const authors: Author[] = [];
  const cheeps: Cheep[] = [];
  const versions = new Map<string, number>();
  const active = new Set<string>();
  const told = new Map<string, number>();
  const toldOf = new Set<string>();
  const acts = Object.entries({ ...ACTS, follow }).flatMap(([act, share]) => Array.from({ length: share }, () => act as Act));
  let position = 0;

  const aggregateOf = (type: AggregateVersion['type'], id: string): AggregateVersion => {
    const version = (versions.get(`${type}/${id}`) ?? 0) + 1;
    versions.set(`${type}/${id}`, version);

    return { type, id, version };
  };
  const entry = (event: Event, actorId: string, commandName: string, aggregate: AggregateVersion | null): JournalEntry => {
    position += 1;
    const commandId = uuid(`command ${seed} ${position}`);

    return {
      entryId: uuid(`entry ${seed} ${position}`),
      schemaVersion: schemaVersionOf(event.type),
      aggregate,
      actorId,
      commandId,
      commandName,
      fingerprint: commandName === 'SignUp' ? null : commandId.replaceAll('-', ''),
      correlationId: commandId,
      causationId: commandId,
      traceparent: null,
      at: new Date(BEGIN + position * MS_BETWEEN).toISOString(),
      event,
      position,
    };
  };
  // The first are followed most, and post most: how much falls with the rank, as such things do (Zipf’s law, flattened at its top).
  const ranked = (flat: number) => authors[Math.floor(flat * ((authors.length / flat + 1) ** random() - 1))]!;
  const known = () => ranked(50);
  const busy = () => ranked(5);
  const anybody = () => authors[Math.floor(authors.length * random())]!;
  const recent = () => cheeps[cheeps.length - 1 - Math.floor(Math.min(cheeps.length, RECENT) * random() ** 2)];
  const words = (n: number) =>
    'What a day it was, and nobody has said so before, but then who would have thought so of that town? '.repeat(3).slice(0, n);
  const notified = (recipientId: string, notice: Notice): JournalEntry[] => {
    const id = notificationId(recipientId, notice);
    if (toldOf.has(id)) return [];
    toldOf.add(id);
    const sequence = (told.get(recipientId) ?? 0) + 1;
    told.set(recipientId, sequence);
    const event: Event = { type: 'AuthorNotified', notificationId: id, recipientId, sequence, notice };

    return [entry(event, SYSTEM, 'NotifyAuthor', aggregateOf('Notifications', recipientId))];
  };

  const follows = (follower: Author, followed: Author): JournalEntry[] => {
    const id = followId(follower.id, followed.id);
    if (follower === followed || active.has(id) || follower.following >= MAX_FOLLOWED) return [];
    active.add(id);
    follower.following += 1;
    const event: Event = { type: 'AuthorFollowed', followerId: follower.id, followedId: followed.id };

    return [
      entry(event, follower.id, 'FollowAuthor', aggregateOf('Follow', id)),
      ...notified(followed.id, { kind: 'FOLLOW', followerId: follower.id }),
    ];
  };

  const perform: Record<Act, () => JournalEntry[]> = {
    signUp() {
      const id = uuid(`author ${seed} ${authors.length}`);
      const username = `u${id.slice(0, 8)}${authors.length.toString(36)}`;
      authors.push({ id, following: 0 });
      const profile = { name: `Somebody ${authors.length}`, biography: null, location: null, website: null, birthDate: null };
      const event: Event = { type: 'AuthorSignedUp', authorId: id, username, email: `${username}@example.org`, ...profile };

      return [entry(event, id, 'SignUp', aggregateOf('Author', id)), ...notified(id, { kind: 'WELCOME' })];
    },
    follow: () => follows(anybody(), known()),
    unfollow() {
      const [follower, followed] = [anybody(), known()];
      const id = followId(follower.id, followed.id);
      if (!active.delete(id)) return perform.nothing();
      follower.following -= 1;
      const event: Event = { type: 'AuthorUnfollowed', followerId: follower.id, followedId: followed.id };

      return [entry(event, follower.id, 'UnfollowAuthor', aggregateOf('Follow', id))];
    },
    post() {
      const author = busy();
      const parent = random() < REPLIES ? recent() : undefined;
      const answered = parent && !parent.isDeleted ? parent : null;
      const mentioned = random() < MENTIONS ? known() : null;
      const id = uuid(`cheep ${seed} ${position}`);
      const message = words(20 + Math.floor(120 * random()));
      const cheep = {
        id,
        authorId: author.id,
        threadId: answered?.threadId ?? id,
        inReplyTo: answered?.id ?? null,
        message,
        isDeleted: false,
      };
      cheeps.push(cheep);
      const mentions = mentioned ? [{ start: 0, end: 4, authorId: mentioned.id }] : [];
      const { threadId, inReplyTo } = cheep;
      const event: Event = {
        type: 'CheepPosted',
        cheepId: id,
        authorId: author.id,
        message,
        mentions,
        inReplyTo,
        inReplyToAuthorId: answered?.authorId ?? null,
        threadId,
      };

      return [
        entry(event, author.id, 'PostCheep', aggregateOf('Cheep', id)),
        ...(answered && answered.authorId !== author.id ? notified(answered.authorId, { kind: 'REPLY', cheepId: id }) : []),
        ...(mentioned && mentioned !== author ? notified(mentioned.id, { kind: 'MENTION', cheepId: id }) : []),
      ];
    },
    like() {
      const [liker, cheep] = [anybody(), recent()];
      if (!cheep || cheep.isDeleted) return [];
      const id = likeId(liker.id, cheep.id);
      if (active.has(id)) return [];
      active.add(id);
      const event: Event = { type: 'CheepLiked', likerId: liker.id, cheepId: cheep.id, authorId: cheep.authorId };

      return [
        entry(event, liker.id, 'LikeCheep', aggregateOf('Like', id)),
        ...(cheep.authorId === liker.id ? [] : notified(cheep.authorId, { kind: 'LIKE', cheepId: cheep.id, likerId: liker.id })),
      ];
    },
    unlike() {
      const [liker, cheep] = [anybody(), recent()];
      const id = cheep && likeId(liker.id, cheep.id);
      if (!id || cheep.isDeleted || !active.delete(id)) return perform.nothing();
      const event: Event = { type: 'CheepUnliked', likerId: liker.id, cheepId: cheep.id, authorId: cheep.authorId };

      return [entry(event, liker.id, 'UnlikeCheep', aggregateOf('Like', id))];
    },
    edit() {
      const cheep = recent();
      if (!cheep || cheep.isDeleted) return [];
      const { id: cheepId, authorId, inReplyTo, threadId, message: from } = cheep;
      cheep.message = words(20 + Math.floor(120 * random()));
      if (cheep.message === from) return [];
      const changes = { message: { from, to: cheep.message } };
      const event: Event = { type: 'CheepEdited', cheepId, authorId, inReplyTo, threadId, changes, mentions: [] };

      return [entry(event, authorId, 'EditCheep', aggregateOf('Cheep', cheepId))];
    },
    remove() {
      const cheep = recent();
      if (!cheep || cheep.isDeleted) return [];
      cheep.isDeleted = true;
      const { id: cheepId, authorId, inReplyTo, threadId } = cheep;

      return [
        entry({ type: 'CheepDeleted', cheepId, authorId, inReplyTo, threadId }, authorId, 'DeleteCheep', aggregateOf('Cheep', cheepId)),
      ];
    },
    refused: () => [entry({ type: 'CommandRefused', code: 'AUTHOR_NOT_FOUND', field: ['authorId'] }, anybody().id, 'FollowAuthor', null)],
    nothing: () => [entry({ type: 'CommandHadNoEffect' }, anybody().id, 'FollowAuthor', null)],
  };

  const made = function* (some: JournalEntry[]) {
    for (const one of some) if (one.position <= entries) yield one;
  };
  if (fans > 0) for (let i = 0; i <= fans; i++) yield* made(perform.signUp());
  for (let i = 1; i <= fans; i++) yield* made(follows(authors[i]!, authors[0]!));
  while (position < entries) {
    const act = authors.length < 10 ? 'signUp' : acts[Math.floor(acts.length * random())]!;
    yield* made(perform[act]());
  }
}
