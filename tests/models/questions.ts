/** All that shards can be asked, through the queries that the gateway uses, each with what the fold of a journal says. */
import type { Redis } from 'ioredis';
import { authors } from '../../read-side/authors/projection.js';
import {
  AUTHOR_COUNTS,
  authorShard,
  decodeAuthorChange,
  readAuthorIdByUsername,
  readAuthors,
  readCheepsOfAuthor,
  readFollowers,
  readFollowing,
  usernameShard,
} from '../../read-side/authors/query.js';
import type { DecodeChange } from '../../read-side/changes.js';
import { cheeps } from '../../read-side/cheeps/projection.js';
import { CHEEP_COUNTS, cheepShard, decodeThreadChange, readCheeps, readCheepVersions, readReplies } from '../../read-side/cheeps/query.js';
import { commands } from '../../read-side/commands/projection.js';
import { commandShard, readCommand } from '../../read-side/commands/query.js';
import { funnel } from '../../read-side/funnel/projection.js';
import { readFunnelChunk } from '../../read-side/funnel/query.js';
import { histories } from '../../read-side/histories/projection.js';
import { historyShard, readHistory } from '../../read-side/histories/query.js';
import type { Page } from '../../read-side/list.js';
import { notifications } from '../../read-side/notifications/projection.js';
import { decodeNotificationChange, notificationShard, readNotifications } from '../../read-side/notifications/query.js';
import type { Projection } from '../../read-side/projection.js';
import { search } from '../../read-side/search/projection.js';
import { readUsernames } from '../../read-side/search/query.js';
import type { Shard, Snapshot, Space } from '../../read-side/shard.js';
import { threads } from '../../read-side/threads/projection.js';
import { readAncestors, threadShard } from '../../read-side/threads/query.js';
import { createTimelines } from '../../read-side/timelines/projection.js';
import { decodeTimelineChange, readTimeline, timelineShard } from '../../read-side/timelines/query.js';
import { partOf, SYSTEM } from '../../shared/ids.js';
import type { JournalEntry } from '../../shared/messages/event.js';
import { idsIn, TOWN, type CheepState, type Fold, type Kind } from './journal.js';

/** Something that one shard can be asked, and what it must answer when it has applied what the fold has. */
export interface Question {
  about: string;
  shard: Shard;
  ask(redis: Redis, space: Space): Promise<Snapshot<unknown>>;
  expected(fold: Fold): unknown;
}

/** A change that an event makes in a shard, as its log tells it. */
export interface ExpectedChange {
  change: Record<string, unknown>;
  /** Somebody in the shard must hear of it; else the log may leave it out. */
  isRequired: boolean;
}

export interface Subject {
  projection(limits: { hotFollowers: number }): Projection;
  /** What it is about. */
  kinds: Kind[];
  /** @param size of pages */
  questions(space: Space, journal: JournalEntry[], size: number): Question[];
  decodeChange: DecodeChange<object> | null;
  /** What the entry that `after` has and `before` has not changes in this shard, in the order of the log. */
  changes(before: Fold, after: Fold, isHere: (id: string) => boolean): ExpectedChange[];
}

const page = async (reading: Promise<Snapshot<Page>>): Promise<Snapshot<unknown>> => {
  const { value, ...rest } = await reading;
  // What a timeline keeps ready is nobody's business.
  const { totalCount: _, ...shown } = value;

  return { ...rest, value: shown };
};
const shown = (list: { id: string; position: number }[], size: number) => ({ items: list.slice(0, size), hasNextPage: list.length > size });

const NO_CHANGES = { decodeChange: null, changes: () => [] };
const required = (changes: object[]): ExpectedChange[] => changes.map((change) => ({ change: { ...change }, isRequired: true }));
/** Those of an arbitrary order that are of this shard. */
const here = (isHere: (id: string) => boolean, changes: [id: string, change: object][]): ExpectedChange[] =>
  required(changes.filter(([id]) => isHere(id)).map(([, change]) => change));

const numbers = (space: Space): number[] => Array.from({ length: space.shards }, (_, number) => number);

const timelines: Subject = {
  projection: createTimelines,
  kinds: ['post', 'delete', 'edit', 'follow', 'follow', 'unfollow'],
  questions: (space, _, size) =>
    TOWN.map((reader) => ({
      about: `timeline of ${reader}`,
      shard: timelineShard(reader, space),
      ask: (redis) => page(readTimeline(redis, space, reader, { first: size, after: null })),
      expected: (fold) =>
        shown(
          fold.timelineOf(reader).map(({ cheepId, position }) => ({ id: cheepId, position })),
          size,
        ),
    })),
  decodeChange: decodeTimelineChange,
  changes(before, after, isHere) {
    const { event } = after.entries.at(-1)!;
    switch (event.type) {
      case 'CheepPosted':
      case 'CheepEdited':
      case 'CheepDeleted': {
        const type = ({ CheepPosted: 'posted', CheepEdited: 'edited', CheepDeleted: 'deleted' } as const)[event.type];
        const isRequired = before.follows.some(({ followerId, followedId }) => followedId === event.authorId && isHere(followerId));

        return [{ change: { type, authorId: event.authorId, cheepId: event.cheepId }, isRequired }];
      }
      case 'AuthorFollowed':
      case 'AuthorUnfollowed': {
        const type = event.type === 'AuthorFollowed' ? 'followed' : 'unfollowed';

        return here(isHere, [[event.followerId, { type, readerId: event.followerId, authorId: event.followedId }]]);
      }
      default:
        return [];
    }
  },
};

const authorsSubject: Subject = {
  projection: () => authors,
  kinds: ['post', 'delete', 'follow', 'unfollow', 'rename', 'profile'],
  questions: (space, _, size) => {
    const [viewer] = TOWN as [string];
    const list = (
      what: string,
      read: typeof readFollowers,
      of: (fold: Fold, id: string) => { id: string; position: number }[],
    ): Question[] =>
      TOWN.map((id) => ({
        about: `${what} of ${id}`,
        shard: authorShard(id, space),
        ask: (redis) => read(redis, space, id, { first: size, after: null }),
        expected: (fold) => ({ ...shown(of(fold, id).toReversed(), size), totalCount: of(fold, id).length }),
      }));
    const followers = (fold: Fold, id: string) =>
      fold.follows.filter(({ followedId }) => followedId === id).map(({ followerId, position }) => ({ id: followerId, position }));
    const following = (fold: Fold, id: string) =>
      fold.follows.filter(({ followerId }) => followerId === id).map(({ followedId, position }) => ({ id: followedId, position }));
    const cheepsOf = (fold: Fold, id: string) =>
      fold.liveCheeps.filter(({ authorId }) => authorId === id).map(({ cheepId, position }) => ({ id: cheepId, position }));

    return [
      ...TOWN.map((id) => ({
        about: `author ${id}`,
        shard: authorShard(id, space),
        ask: async (redis: Redis) => {
          const request = { ids: [id], counts: new Set(AUTHOR_COUNTS), viewers: new Map([[viewer, [id]]]) };
          const { value, ...stand } = await readAuthors(redis, space, authorShard(id, space), request);
          const row = value.rows.get(id);

          return { ...stand, value: row ? { ...row, isFollowedByViewer: value.isFlagged(viewer, id) } : null };
        },
        expected(fold: Fold) {
          const author = fold.authors.get(id);
          const counts = {
            followersCount: followers(fold, id).length,
            followingCount: following(fold, id).length,
            cheepsCount: cheepsOf(fold, id).length,
          };

          return author ? { ...author, ...counts, isFollowedByViewer: fold.isFollowing(viewer, id) } : null;
        },
      })),
      ...list('followers', readFollowers, followers),
      ...list('following', readFollowing, following),
      ...list('cheeps', readCheepsOfAuthor, cheepsOf),
      ...['name0', 'Name1', 'NAME2', 'north', 'south', 'east'].map((username) => ({
        about: `who is called ${username}`,
        shard: usernameShard(username, space),
        ask: (redis: Redis) => readAuthorIdByUsername(redis, space, username),
        expected: (fold: Fold) =>
          [...fold.authors.values()].find((author) => author.username.toLowerCase() === username.toLowerCase())?.id ?? null,
      })),
    ];
  },
  decodeChange: decodeAuthorChange,
  changes(_, after, isHere) {
    const { event } = after.entries.at(-1)!;
    const of = (...ids: string[]) =>
      here(
        isHere,
        ids.map((authorId) => [authorId, { authorId }]),
      );
    switch (event.type) {
      case 'AuthorSignedUp':
      case 'AuthorProfileUpdated':
      case 'AuthorUsernameChanged':
      case 'CheepPosted':
      case 'CheepDeleted':
        return of(event.authorId);
      case 'AuthorFollowed':
      case 'AuthorUnfollowed':
        return of(event.followedId, event.followerId);
      default:
        return [];
    }
  },
};

const live = (fold: Fold, parent: string): CheepState[] => fold.liveCheeps.filter(({ inReplyTo }) => inReplyTo === parent);

const cheepsSubject: Subject = {
  projection: () => cheeps,
  kinds: ['post', 'reply', 'reply', 'edit', 'delete', 'like', 'unlike'],
  questions: (space, journal, size) => {
    const [viewer] = TOWN as [string];

    return idsIn(journal).flatMap((id): Question[] => [
      {
        about: `cheep ${id}`,
        shard: cheepShard(id, space),
        ask: async (redis) => {
          const request = { ids: [id], counts: new Set(CHEEP_COUNTS), viewers: new Map([[viewer, [id]]]) };
          const { value, ...stand } = await readCheeps(redis, space, cheepShard(id, space), request);
          const row = value.rows.get(id);

          return { ...stand, value: row ? { ...row, likedByViewer: value.isFlagged(viewer, id) } : null };
        },
        expected(fold) {
          const cheep = fold.cheeps.get(id);
          if (!cheep || cheep.isDeleted) return null;
          const { type: _, cheepId, inReplyToAuthorId: __, position: ___, isDeleted: ____, likers, ...row } = cheep;

          return { ...row, id: cheepId, repliesCount: live(fold, id).length, likesCount: likers.size, likedByViewer: likers.has(viewer) };
        },
      },
      {
        about: `version of cheep ${id}`,
        shard: cheepShard(id, space),
        ask: async (redis) => {
          const { value, ...asOf } = await readCheepVersions(redis, space, cheepShard(id, space), { ids: [id] });

          return { ...asOf, value: value.rows.get(id)?.version ?? 0 };
        },
        expected: (fold) => fold.cheeps.get(id)?.version ?? 0,
      },
      {
        about: `replies to ${id}`,
        shard: cheepShard(id, space),
        ask: (redis) => readReplies(redis, space, id, { first: size, after: null }),
        expected: (fold) => ({
          ...shown(
            live(fold, id).map(({ cheepId, position }) => ({ id: cheepId, position })),
            size,
          ),
          totalCount: live(fold, id).length,
        }),
      },
    ]);
  },
  decodeChange: decodeThreadChange,
  changes(_, after, isHere) {
    const { event } = after.entries.at(-1)!;
    if (event.type !== 'CheepPosted' && event.type !== 'CheepEdited' && event.type !== 'CheepDeleted') return [];
    const { cheepId, inReplyTo: parent } = event;
    const [own, above] = (
      { CheepPosted: ['edited', 'replied'], CheepEdited: ['edited', 'edited'], CheepDeleted: ['deleted', 'deleted'] } as const
    )[event.type];

    return here(isHere, [
      [cheepId, { type: own, watchedId: cheepId, cheepId }],
      ...(parent ? [[parent, { type: above, watchedId: parent, cheepId }] as [string, object]] : []),
    ]);
  },
};

const threadsSubject: Subject = {
  projection: () => threads,
  kinds: ['post', 'reply', 'reply', 'reply', 'delete'],
  questions: (space, journal) =>
    journal.flatMap(({ event }): Question[] => {
      if (event.type !== 'CheepPosted') return [];
      const { threadId, cheepId } = event;

      return [
        {
          about: `what stands above ${cheepId}`,
          shard: threadShard(threadId, space),
          ask: (redis) => readAncestors(redis, space, threadId, cheepId),
          expected(fold) {
            const above: string[] = [];
            for (let at = fold.cheeps.get(cheepId)?.inReplyTo; at; at = fold.cheeps.get(at)!.inReplyTo) above.unshift(at);

            return above;
          },
        },
      ];
    }),
  ...NO_CHANGES,
};

const notificationsSubject: Subject = {
  projection: () => notifications,
  kinds: ['post', 'notify', 'notify', 'notify', 'read', 'delete'],
  questions: (space, _, size) =>
    TOWN.map((reader) => ({
      about: `notifications of ${reader}`,
      shard: notificationShard(reader, space),
      ask: (redis) => readNotifications(redis, space, reader, { first: size, after: null }),
      expected(fold) {
        const all = fold.notificationsOf(reader).map(({ notificationId: id, sequence, at, notice }) => ({
          ...{ id, sequence, at, notice },
          read: sequence <= (fold.readUpTo.get(reader) ?? 0),
        }));

        return {
          items: all.slice(0, size),
          hasNextPage: all.length > size,
          totalCount: all.length,
          unreadCount: fold.unreadOf(reader),
        };
      },
    })),
  decodeChange: decodeNotificationChange,
  changes(before, after, isHere) {
    const { event, at } = after.entries.at(-1)!;
    const change = (readerId: string, more: object): [string, object] => [
      readerId,
      { readerId, unreadCount: after.unreadOf(readerId), ...more },
    ];
    switch (event.type) {
      case 'AuthorNotified': {
        const { recipientId, notificationId: id, sequence, notice } = event;

        return here(isHere, [change(recipientId, { type: 'added', notification: { id, sequence, at, notice } })]);
      }
      case 'NotificationsRead':
        return here(isHere, [change(event.authorId, { type: 'read' })]);
      case 'CheepDeleted': {
        const losers = TOWN.filter((reader) => after.notificationsOf(reader).length < before.notificationsOf(reader).length);

        return here(
          isHere,
          losers.toSorted().map((reader) => change(reader, { type: 'removed' })),
        );
      }
      default:
        return [];
    }
  },
};

const commandsSubject: Subject = {
  projection: () => commands,
  kinds: ['refused', 'follow', 'post', 'notify'],
  questions: (space, journal) =>
    journal.map(({ actorId, commandId, position, event, ...entry }) => ({
      about: `command ${commandId}`,
      shard: commandShard(actorId, space),
      ask: (redis) => readCommand(redis, space, actorId, commandId),
      expected: (fold) =>
        fold.entries.length < position || actorId === SYSTEM
          ? null
          : {
              id: commandId,
              name: entry.commandName,
              fingerprint: entry.fingerprint,
              position,
              settledAt: entry.at,
              refusal: event.type === 'CommandRefused' ? { code: event.code, field: event.field } : null,
            },
    })),
  ...NO_CHANGES,
};

const historiesSubject: Subject = {
  projection: () => histories,
  kinds: ['post', 'edit', 'edit', 'delete', 'rename', 'profile'],
  questions: (space, journal, size) =>
    [...TOWN, ...idsIn(journal)].map((id) => ({
      about: `history of ${id}`,
      shard: historyShard(id, space),
      ask: (redis) => readHistory(redis, space, id, { first: size, after: null }),
      expected(fold) {
        const rows = fold.cheeps.get(id)?.isDeleted ? [] : fold.entries.flatMap((entry) => rowsOf(entry, id)).toReversed();

        return { items: rows.slice(0, size), hasNextPage: rows.length > size };
      },
    })),
  ...NO_CHANGES,
};

function rowsOf({ event, position, schemaVersion, at }: JournalEntry, id: string): object[] {
  const row = (changes: object) => [{ position, event: event.type, schemaVersion, at, changes }];
  const begun = (fields: Record<string, string | null>) =>
    Object.entries(fields).flatMap(([field, to]) => (to === null ? [] : [{ field, from: null, to }]));
  switch (event.type) {
    case 'AuthorSignedUp':
      return event.authorId === id ? row(begun({ username: event.username, email: event.email })) : [];
    case 'CheepPosted':
      return event.cheepId === id ? row(begun({ message: event.message, inReplyTo: event.inReplyTo })) : [];
    case 'AuthorProfileUpdated':
    case 'AuthorUsernameChanged':
    case 'CheepEdited': {
      const subject = event.type === 'CheepEdited' ? event.cheepId : event.authorId;

      return subject === id ? row(Object.entries(event.changes).map(([field, change]) => ({ field, ...change }))) : [];
    }
    default:
      return [];
  }
}

const searchSubject: Subject = {
  projection: () => search,
  kinds: ['rename', 'rename', 'profile'],
  questions: (space, _, size) =>
    numbers(space).flatMap((number) =>
      ['', 'n', 'name', 's'].map((prefix): Question => {
        const shard = { projection: search.id, number };

        return {
          about: `who begins with "${prefix}"`,
          shard,
          ask: (redis) => readUsernames(redis, space, shard, { prefix, first: size, after: null }),
          expected(fold) {
            const found = [...fold.authors.values()]
              .map(({ id: authorId, username }) => ({ username: username.toLowerCase(), authorId }))
              .filter(({ username }) => username.startsWith(prefix) && partOf(username.slice(0, 1), space.shards) === number)
              .toSorted((a, b) => (a.username < b.username ? -1 : 1));

            return { items: found.slice(0, size), hasNextPage: found.length > size, totalCount: found.length };
          },
        };
      }),
    ),
  ...NO_CHANGES,
};

const funnelSubject: Subject = {
  projection: () => funnel,
  kinds: ['follow', 'post', 'post', 'unfollow', 'delete'],
  questions: (space) =>
    numbers(space).map((number): Question => {
      const shard = { projection: funnel.id, number };

      return {
        about: 'who came how far',
        shard,
        ask: (redis) => readFunnelChunk(redis, space, shard, { from: 0, to: Date.parse('2030-01-01') }, { at: 0, skip: 0 }),
        expected(fold) {
          const first = (authorId: string, has: (entry: JournalEntry) => boolean): number | null => {
            const entry = fold.entries.find((entry) => entry.actorId === authorId && has(entry));

            return entry ? Date.parse(entry.at) : null;
          };
          const day = (moment: string) => moment.slice(0, 'yyyy-mm-dd'.length);
          const signUps = [...fold.authors.values()]
            .filter(({ id }) => partOf(id, space.shards) === number)
            .map(({ id, signedUpAt }) => {
              const firstPost = fold.entries.find(({ actorId, event }) => actorId === id && event.type === 'CheepPosted');

              return {
                authorId: id,
                at: Date.parse(signedUpAt),
                steps: {
                  FOLLOWED_SOMEBODY: first(id, ({ event }) => event.type === 'AuthorFollowed'),
                  POSTED: first(id, ({ event }) => event.type === 'CheepPosted'),
                  POSTED_ON_ANOTHER_DAY: first(id, ({ event, at }) => event.type === 'CheepPosted' && day(at) !== day(firstPost!.at)),
                },
              };
            });

          return { signUps, count: signUps.length, next: null };
        },
      };
    }),
  ...NO_CHANGES,
};

/** By the projection's name. */
export const SUBJECTS = {
  timelines,
  authors: authorsSubject,
  cheeps: cheepsSubject,
  threads: threadsSubject,
  notifications: notificationsSubject,
  commands: commandsSubject,
  histories: historiesSubject,
  search: searchSubject,
  funnel: funnelSubject,
} satisfies Record<string, Subject>;
