/**
 * The aggregates that a batch of commands is about: loaded with one query a type, all in one round trip; shared by all
 * handlers of the batch (so that each sees what those before it did), and changed by events only.
 */
import type { EntityManager } from '@mikro-orm/mysql';
import type { RowDataPacket } from 'mysql2';
import type { AggregateVersion, DomainEvent } from '../shared/messages/event.js';
import { Author } from './authors/author.js';
import { Cheep } from './cheeps/cheep.js';
import { Follow, followId } from './follows/follow.js';

export interface Needs {
  authors?: string[];
  usernames?: string[];
  emails?: string[];
  cheeps?: (string | null)[];
  follows?: { followerId: string; followedId: string }[];
  /** Of these authors: how many they follow. */
  followingCounts?: string[];
}

/** A statement of a packet of several; lists among the values are expanded by the driver. */
export interface Query {
  sql: string;
  values: unknown[];
}

export class State {
  readonly authors = new Map<string, Author>();
  readonly cheeps = new Map<string, Cheep>();
  private readonly byUsername = new Map<string, Author>();
  private readonly byEmail = new Map<string, Author>();
  private readonly follows = new Map<string, Follow>();
  private readonly followingCounts = new Map<string, number>();

  private constructor(private readonly em: EntityManager) {}

  /** What to ask the database for: always the same queries, in the same order, whatever is needed. */
  static queries(needs: Needs[]): Query[] {
    const all = <T>(pick: (n: Needs) => readonly (T | null)[] | undefined): [(T | '')[]] => {
      const values = [...new Set(needs.flatMap((n) => pick(n) ?? []))].filter((value) => value !== null);

      // An empty list is no SQL; nothing has an empty id.
      return [values.length > 0 ? values : ['']];
    };

    return [
      {
        // Not with OR: for many of each, that reads the whole table.
        sql: ['id', 'username', 'email'].map((column) => `SELECT * FROM authors WHERE ${column} IN (?)`).join(' UNION '),
        values: [...all((n) => n.authors), ...all((n) => n.usernames), ...all((n) => n.emails)],
      },
      { sql: 'SELECT * FROM cheeps WHERE id IN (?)', values: all((n) => n.cheeps) },
      {
        sql: 'SELECT * FROM follows WHERE id IN (?)',
        values: all((n) => n.follows?.map((f) => followId(f.followerId, f.followedId))),
      },
      {
        // At most 5,000 index entries for each: the limit that this count is for.
        sql: 'SELECT follower_id AS followerId, COUNT(*) AS count FROM follows WHERE follower_id IN (?) AND active = 1 GROUP BY follower_id',
        values: all((n) => n.followingCounts),
      },
    ];
  }

  /** The state from the rows of `queries`. */
  static of(em: EntityManager, [authors, cheeps, follows, counts]: RowDataPacket[][]): State {
    const state = new State(em);
    for (const row of authors!) state.addAuthor(em.map(Author, row));
    for (const row of cheeps!) state.cheeps.set(row.id as string, em.map(Cheep, row));
    for (const row of follows!) state.follows.set(row.id as string, em.map(Follow, row));
    for (const row of counts!) state.followingCounts.set(row.followerId as string, Number(row.count));

    return state;
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

  followingCount(authorId: string): number {
    return this.followingCounts.get(authorId) ?? 0;
  }

  /** Makes it so, and says which version of which aggregate that is. */
  apply(event: DomainEvent, at: string): AggregateVersion {
    switch (event.type) {
      case 'AuthorSignedUp': {
        const author = Author.signedUp(event, at);
        this.em.persist(author);
        this.addAuthor(author);
        return { type: 'Author', id: author.id, version: author.version };
      }
      case 'CheepPosted': {
        const cheep = Cheep.posted(event, at);
        this.em.persist(cheep);
        this.cheeps.set(cheep.id, cheep);
        return { type: 'Cheep', id: cheep.id, version: cheep.version };
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

  private addAuthor(author: Author): void {
    this.authors.set(author.id, author);
    this.byUsername.set(author.username.toLowerCase(), author);
    this.byEmail.set(author.email, author);
  }
}
