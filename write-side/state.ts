/**
 * The aggregates that a batch of commands is about: loaded with one query a type, shared by all handlers of the batch (so
 * that each sees what those before it did), and changed by events only.
 */
import type { EntityManager } from '@mikro-orm/mysql';
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

export class State {
  readonly authors = new Map<string, Author>();
  readonly cheeps = new Map<string, Cheep>();
  private readonly byUsername = new Map<string, Author>();
  private readonly byEmail = new Map<string, Author>();
  private readonly follows = new Map<string, Follow>();
  private readonly followingCounts = new Map<string, number>();

  private constructor(private readonly em: EntityManager) {}

  static async load(em: EntityManager, needs: Needs[]): Promise<State> {
    const state = new State(em);
    const all = <T>(pick: (n: Needs) => readonly (T | null)[] | undefined): T[] =>
      [...new Set(needs.flatMap((n) => pick(n) ?? []))].filter((value) => value !== null);

    const ids = all((n) => n.authors);
    const usernames = all((n) => n.usernames);
    const emails = all((n) => n.emails);
    const anyOf = [
      ...(ids.length ? [{ id: { $in: ids } }] : []),
      ...(usernames.length ? [{ username: { $in: usernames } }] : []),
      ...(emails.length ? [{ email: { $in: emails } }] : []),
    ];
    if (anyOf.length) for (const author of await em.find(Author, { $or: anyOf })) state.addAuthor(author);

    const cheepIds = all((n) => n.cheeps);
    if (cheepIds.length) {
      for (const cheep of await em.find(Cheep, { id: { $in: cheepIds } })) state.cheeps.set(cheep.id, cheep);
    }

    const followIds = all((n) => n.follows?.map((f) => followId(f.followerId, f.followedId)));
    if (followIds.length) {
      for (const follow of await em.find(Follow, { id: { $in: followIds } })) state.follows.set(follow.id, follow);
    }

    const followers = all((n) => n.followingCounts);
    if (followers.length) {
      // At most 5,000 index entries for each: the limit that this count is for.
      const rows = await em.execute<{ followerId: string; count: number | string }[]>(
        `SELECT follower_id AS followerId, COUNT(*) AS count FROM follows
         WHERE follower_id IN (${followers.map(() => '?').join(', ')}) AND active = 1 GROUP BY follower_id`,
        followers,
      );
      for (const row of rows) state.followingCounts.set(row.followerId, Number(row.count));
    }

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
