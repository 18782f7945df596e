/**
 * The aggregates that a batch of commands is about: loaded with one query a type, all in one round trip; shared by all
 * handlers of the batch (so that each sees what those before it did), and changed by events only.
 */
import type { EntityManager } from '@mikro-orm/mysql';
import type { RowDataPacket } from 'mysql2';
import type { AggregateVersion, DomainEvent, Event } from '../shared/messages/event.js';
import { Author } from './authors/author.js';
import { Cheep } from './cheeps/cheep.js';
import { Follow, followId } from './follows/follow.js';
import { Like, likeId } from './likes/like.js';
import { Notification, NotificationList, storedIds } from './notifications/notification.js';

export interface Needs {
  /** Ids of new things: `isTaken` says whether something has them already, and a commit with one that something has fails. */
  newIds?: string[];
  authors?: string[];
  usernames?: string[];
  /** Usernames whose authors must not be renamed before this is committed. */
  heldUsernames?: string[];
  emails?: string[];
  cheeps?: (string | null)[];
  /** Cheeps of others, which must not be deleted before this is committed. */
  heldCheeps?: (string | null)[];
  likes?: { likerId: string; cheepId: string }[];
  notifications?: string[];
  /** Of these authors. */
  notificationLists?: string[];
  follows?: { followerId: string; followedId: string }[];
  /** Of these authors: how many they follow. */
  followingCounts?: string[];
}

/** A statement of a packet of several; lists among the values are expanded by the driver. */
export interface Query {
  sql: string;
  values: unknown[];
  take(rows: RowDataPacket[]): void;
}

/** The tables of what has an id that anybody can see. No two of them have the same one. */
const WITH_IDS = ['authors', 'cheeps', 'notifications'] as const;

/** The ids that an event gives away, and the tables that have them from then on. */
function newIdsOf(event: Event): { id: string; table: (typeof WITH_IDS)[number] }[] {
  switch (event.type) {
    case 'AuthorSignedUp':
      return [{ id: event.authorId, table: 'authors' }];
    case 'CheepPosted':
      return [{ id: event.cheepId, table: 'cheeps' }];
    case 'AuthorNotified':
      return [{ id: event.notificationId, table: 'notifications' }];
    default:
      return [];
  }
}

/**
 * A statement that fails when one of the ids that these events give away is in another table already; null when they give none away. Run
 * with the journal's head locked, it sees whatever was committed at a lower position: of two transactions that give one id to two things,
 * the later fails, and is run again. (Within a table, its primary key does that.)
 */
export function failIfTaken(events: Event[]): Pick<Query, 'sql' | 'values'> | null {
  const made = events.flatMap(newIdsOf);
  const others = WITH_IDS.flatMap((table) => {
    const ids = made.filter((one) => one.table !== table).map(({ id }) => id);

    return ids.length > 0 ? [{ table, ids }] : [];
  });
  if (others.length === 0) return null;
  const rows = ['SELECT 1', ...others.map(({ table }) => `SELECT 1 FROM ${table} WHERE id IN (?)`)];

  // With a second row it is no scalar: error 1242.
  return { sql: `SELECT (${rows.join(' UNION ALL ')})`, values: others.map(({ ids }) => ids) };
}

/** A share lock: nobody changes the row before this transaction is over. (MySQL and MariaDB both know this form.) */
export const HOLD = 'LOCK IN SHARE MODE';

export class State {
  readonly authors = new Map<string, Author>();
  readonly cheeps = new Map<string, Cheep>();
  readonly notifications = new Map<string, Notification>();
  readonly notificationLists = new Map<string, NotificationList>();
  private readonly takenIds = new Set<string>();
  private readonly byUsername = new Map<string, Author>();
  private readonly byEmail = new Map<string, Author>();
  private readonly likes = new Map<string, Like>();
  private readonly follows = new Map<string, Follow>();
  private readonly followingCounts = new Map<string, number>();

  private constructor(private readonly em: EntityManager) {}

  /** A state, and the queries that fill it: only those that something is asked of, each costs the database a tenth of a millisecond. */
  static loading(em: EntityManager, needs: Needs[]): { state: State; queries: Query[] } {
    const state = new State(em);
    const queries: Query[] = [];
    const ask = <T>(sql: string, pick: (n: Needs) => readonly (T | null)[] | undefined, take: (row: RowDataPacket) => void) => {
      // In order: whoever holds rows holds them in the same one.
      const values = [...new Set(needs.flatMap((n) => pick(n) ?? []))].filter((value) => value !== null).toSorted();
      if (values.length > 0) queries.push({ sql, values: [values], take: (rows) => rows.forEach(take) });
    };
    const newIds = [...new Set(needs.flatMap((n) => n.newIds ?? []))];
    if (newIds.length > 0) {
      queries.push({
        sql: WITH_IDS.map((table) => `SELECT id FROM ${table} WHERE id IN (?)`).join(' UNION ALL '),
        values: WITH_IDS.map(() => newIds),
        take: (rows) => rows.forEach(({ id }) => state.takenIds.add(id as string)),
      });
    }
    const author = (row: RowDataPacket) => state.addAuthor(em.map(Author, row));
    // Not one query with OR: for many of each, that reads the whole table.
    ask('SELECT * FROM authors WHERE id IN (?)', (n) => n.authors, author);
    ask('SELECT * FROM authors WHERE username IN (?)', (n) => n.usernames, author);
    ask('SELECT * FROM authors WHERE email IN (?)', (n) => n.emails, author);
    ask(`SELECT * FROM authors WHERE username IN (?) ${HOLD}`, (n) => n.heldUsernames, author);
    const cheep = (row: RowDataPacket) => state.cheeps.set(row.id as string, em.map(Cheep, row));
    ask('SELECT * FROM cheeps WHERE id IN (?)', (n) => n.cheeps, cheep);
    ask(`SELECT * FROM cheeps WHERE id IN (?) ${HOLD}`, (n) => n.heldCheeps, cheep);
    ask(
      'SELECT * FROM likes WHERE id IN (?)',
      (n) => n.likes?.map((l) => likeId(l.likerId, l.cheepId)),
      (row) => state.likes.set(row.id as string, em.map(Like, row)),
    );
    ask(
      'SELECT * FROM notifications WHERE id IN (?)',
      (n) => n.notifications,
      (row) => state.notifications.set(row.id as string, em.map(Notification, row)),
    );
    ask(
      'SELECT * FROM notification_lists WHERE author_id IN (?)',
      (n) => n.notificationLists,
      (row) => state.notificationLists.set(row.author_id as string, em.map(NotificationList, row)),
    );
    ask(
      'SELECT * FROM follows WHERE id IN (?)',
      (n) => n.follows?.map((f) => followId(f.followerId, f.followedId)),
      (row) => state.follows.set(row.id as string, em.map(Follow, row)),
    );
    ask(
      // At most 5,000 index entries for each: the limit that this count is for.
      'SELECT follower_id AS followerId, COUNT(*) AS count FROM follows WHERE follower_id IN (?) AND active = 1 GROUP BY follower_id',
      (n) => n.followingCounts,
      (row) => state.followingCounts.set(row.followerId as string, Number(row.count)),
    );

    return { state, queries };
  }

  /** Has something this id already, of whatever type? Of the `newIds` that were needed. */
  isTaken(id: string): boolean {
    return this.takenIds.has(id);
  }

  /** The author with this username, in any case. */
  authorByUsername(username: string): Author | undefined {
    return this.byUsername.get(username.toLowerCase());
  }

  authorByEmail(email: string): Author | undefined {
    return this.byEmail.get(email);
  }

  isFollowing(followerId: string, followedId: string): boolean {
    return this.follows.get(followId(followerId, followedId))?.active ?? false;
  }

  isLiking(likerId: string, cheepId: string): boolean {
    return this.likes.get(likeId(likerId, cheepId))?.active ?? false;
  }

  followingCount(authorId: string): number {
    return this.followingCounts.get(authorId) ?? 0;
  }

  /** Makes it so, and says which version of which aggregate that is. */
  apply(event: DomainEvent, at: string): AggregateVersion {
    for (const { id } of newIdsOf(event)) this.takenIds.add(id);
    switch (event.type) {
      case 'AuthorSignedUp': {
        const author = Author.signedUp(event, at);
        this.em.persist(author);
        this.addAuthor(author);
        return { type: 'Author', id: author.id, version: author.version };
      }
      case 'AuthorProfileUpdated':
      case 'AuthorUsernameChanged':
      case 'AuthorEmailChanged': {
        const author = this.authors.get(event.authorId)!;
        this.removeHandles(author);
        author.change(event);
        this.addAuthor(author);
        return { type: 'Author', id: author.id, version: author.version };
      }
      case 'CheepPosted': {
        const cheep = Cheep.posted(event, at);
        this.em.persist(cheep);
        this.cheeps.set(cheep.id, cheep);
        return { type: 'Cheep', id: cheep.id, version: cheep.version };
      }
      case 'CheepEdited':
      case 'CheepDeleted': {
        const cheep = this.cheeps.get(event.cheepId)!;
        if (event.type === 'CheepEdited') cheep.edit(event);
        else cheep.delete();
        return { type: 'Cheep', id: cheep.id, version: cheep.version };
      }
      case 'CheepLiked':
      case 'CheepUnliked': {
        const id = likeId(event.likerId, event.cheepId);
        const like = this.likes.get(id) ?? Like.of(event.likerId, event.cheepId);
        like.become(event.type === 'CheepLiked');
        this.em.persist(like);
        this.likes.set(id, like);
        return { type: 'Like', id, version: like.version };
      }
      case 'AuthorNotified': {
        const notifications = storedIds(event).map((id) => Notification.of(event, id));
        const list = this.notificationLists.get(event.recipientId) ?? NotificationList.empty(event.recipientId);
        list.add(event);
        this.em.persist([...notifications, list]);
        for (const notification of notifications) this.notifications.set(notification.id, notification);
        this.notificationLists.set(list.authorId, list);
        return { type: 'Notifications', id: list.authorId, version: list.version };
      }
      case 'NotificationsRead': {
        const list = this.notificationLists.get(event.authorId)!;
        list.read(event);
        return { type: 'Notifications', id: list.authorId, version: list.version };
      }
      case 'AuthorFollowed':
      case 'AuthorUnfollowed': {
        const id = followId(event.followerId, event.followedId);
        const follow = this.follows.get(id) ?? Follow.between(event.followerId, event.followedId);
        const active = event.type === 'AuthorFollowed';
        follow.become(active);
        this.em.persist(follow);
        this.follows.set(id, follow);
        this.followingCounts.set(event.followerId, this.followingCount(event.followerId) + (active ? 1 : -1));
        return { type: 'Follow', id, version: follow.version };
      }
    }
  }

  private removeHandles(author: Author): void {
    this.byUsername.delete(author.username.toLowerCase());
    this.byEmail.delete(author.email);
  }

  private addAuthor(author: Author): void {
    this.authors.set(author.id, author);
    this.byUsername.set(author.username.toLowerCase(), author);
    this.byEmail.set(author.email, author);
  }
}
