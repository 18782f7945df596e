/**
 * Who is that, whom do they follow, who follows them, and what did they post? Asked by author id, or by username.
 *
 * | key                  | what                                                                      |
 * |----------------------|---------------------------------------------------------------------------|
 * | author:ID            | hash; the fields of an `AuthorProfile`; what is null is absent            |
 * | username:NAME        | the id of the author with this username, in lower case                    |
 * | followers:ID         | sorted set of packed author ids, by the position of the follow            |
 * | following:ID         | likewise                                                                  |
 * | cheeps:ID            | sorted set of packed ids of live cheeps, by the position of the post      |
 */
import type { Redis } from 'ioredis';
import type { Profile } from '../../shared/messages/author.js';
import { askPage, decodePage, type ListedPages, type Page, type PageRequest } from '../list.js';
import { readRows, type Rows, type RowShape, type RowsRequest } from '../rows.js';
import { numberIn, packId, readShard, shardOf, textIn, unpackId, type Reply, type Shard, type Snapshot, type Space } from '../shard.js';

export const AUTHORS = { name: 'authors', version: 3 };

export const authorKey = (id: string) => `author:${id}`;
export const usernameKey = (username: string) => `username:${username.toLowerCase()}`;
export const followersKey = (id: string) => `followers:${id}`;
export const followingKey = (id: string) => `following:${id}`;
export const cheepsKey = (id: string) => `cheeps:${id}`;

export interface AuthorProfile extends Profile {
  id: string;
  version: number;
  username: string;
  email: string;
  signedUpAt: string;
}

/** In the order in which they are read. An event writes only those that it knows. */
const FIELDS = [
  ...(['version', 'username', 'email', 'signedUpAt'] as const),
  ...(['name', 'biography', 'location', 'website', 'birthDate'] as const satisfies (keyof Profile)[]),
];
export type AuthorField = (typeof FIELDS)[number];

/** What can be counted in the same read. */
export const AUTHOR_COUNTS = ['followersCount', 'followingCount', 'cheepsCount'] as const;
export type AuthorCount = (typeof AUTHOR_COUNTS)[number];

export interface AuthorRow extends AuthorProfile {
  followersCount?: number;
  followingCount?: number;
  cheepsCount?: number;
  pages?: ListedPages;
}

export const authorShard = (id: string, space: Space): Shard => shardOf(AUTHORS, id, space);
export const usernameShard = (username: string, space: Space): Shard => shardOf(AUTHORS, username.toLowerCase(), space);

/** Authors; the flag is whether the viewer follows them. */
const SHAPE: RowShape<AuthorRow, AuthorCount> = {
  row: ['HMGET', authorKey(''), ...FIELDS],
  decode: (id, reply) => decodeProfile(id, reply as Reply[]),
  counts: { followersCount: followersKey(''), followingCount: followingKey(''), cheepsCount: cheepsKey('') },
  flagged: followersKey(''),
  lists: { followers: followersKey, following: followingKey, cheeps: cheepsKey },
  order: 'newest first',
};
export const AUTHOR_LISTS = Object.keys(SHAPE.lists);

export const readAuthors = (
  redis: Redis,
  space: Space,
  shard: Shard,
  request: RowsRequest<AuthorCount>,
): Promise<Snapshot<Rows<AuthorRow>>> => readRows(redis, space, shard, SHAPE, request);

function decodeProfile(id: string, values: Reply[]): AuthorRow | null {
  const [version = null, username, email, signedUpAt, ...profile] = values.map(textIn);
  if (version === null) return null;
  const [name = null, biography = null, location = null, website = null, birthDate = null] = profile;

  return {
    ...{ id, version: Number(version), username: username!, email: email!, signedUpAt: signedUpAt! },
    ...{ name, biography, location, website, birthDate },
  };
}

/** The id of the author with this username, in any case; null when there is none. */
export function readAuthorIdByUsername(redis: Redis, space: Space, username: string): Promise<Snapshot<string | null>> {
  return readShard(
    redis,
    space,
    usernameShard(username, space),
    (read) => read('GET', usernameKey(username)),
    ([id]) => textIn(id),
  );
}

const readList =
  (keyOf: (id: string) => string) =>
  (redis: Redis, space: Space, authorId: string, request: PageRequest): Promise<Snapshot<Page>> =>
    readShard(
      redis,
      space,
      authorShard(authorId, space),
      (read) => askPage(read, keyOf(authorId), request, 'newest first'),
      (replies) => decodePage(replies, request),
    );

/** Where a follow stands in the lists of both; null when it does not hold. */
export function readFollowPosition(redis: Redis, space: Space, followerId: string, followedId: string): Promise<Snapshot<number | null>> {
  return readShard(
    redis,
    space,
    authorShard(followedId, space),
    (read) => read('ZSCORE', followersKey(followedId), packId(followerId)),
    ([score]) => (score === null ? null : numberIn(score)),
  );
}

/** Author ids, the newest follow first. */
export const readFollowers = readList(followersKey);
/** Author ids, the newest follow first. */
export const readFollowing = readList(followingKey);
/** Cheep ids, newest first. */
export const readCheepsOfAuthor = readList(cheepsKey);

/** What is told to those who watch an author: its profile, or one of its counts, is another. */
export interface AuthorChange {
  authorId: string;
}

/** Of the shard's log. */
export const decodeAuthorChange = (fields: Record<string, Buffer>): AuthorChange => ({ authorId: unpackId(fields.author!) });
