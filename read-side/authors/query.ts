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
import { askPage, decodePage, takePages, type ListedPages, type ListRequest, type Page, type PageRequest } from '../list.js';
import {
  numberIn,
  packId,
  readShard,
  shardOf,
  textIn,
  unpackId,
  type ReadCommand,
  type Reply,
  type Snapshot,
  type Shard,
  type Space,
} from '../shard.js';

export const AUTHORS = { name: 'authors', version: 2 };

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

/** What else can be asked about an author in the same read. */
export const AUTHOR_PARTS = ['followersCount', 'followingCount', 'cheepsCount', 'isFollowedByViewer'] as const;
export type AuthorPart = (typeof AUTHOR_PARTS)[number];

export interface AuthorRow extends AuthorProfile {
  followersCount?: number;
  followingCount?: number;
  cheepsCount?: number;
  isFollowedByViewer?: boolean | null;
  pages?: ListedPages;
}

/** The lists of an author, newest first, and where each is. */
const LISTS: Record<string, (id: string) => string> = { followers: followersKey, following: followingKey, cheeps: cheepsKey };
export const AUTHOR_LISTS = Object.keys(LISTS);

export const authorShard = (id: string, space: Space): Shard => shardOf(AUTHORS, id, space);
export const usernameShard = (username: string, space: Space): Shard => shardOf(AUTHORS, username.toLowerCase(), space);

/**
 * Authors of one shard, in the order of `ids`; null where there is none.
 * @param viewerId whose `isFollowedByViewer` is asked
 * @param lists pages to be read with them, by author
 */
export function readAuthors(
  redis: Redis,
  space: Space,
  shard: Shard,
  ids: string[],
  parts: ReadonlySet<AuthorPart>,
  viewerId: string | null,
  lists: ReadonlyMap<string, ListRequest[]> = new Map(),
): Promise<Snapshot<(AuthorRow | null)[]>> {
  const asked = AUTHOR_PARTS.filter((part) => parts.has(part) && (part !== 'isFollowedByViewer' || viewerId));

  return readShard(
    redis,
    space,
    shard,
    (read) => {
      const parts: Record<AuthorPart, () => ReadCommand> = {
        followersCount: () => ['ZCARD', followersKey('')],
        followingCount: () => ['ZCARD', followingKey('')],
        cheepsCount: () => ['ZCARD', cheepsKey('')],
        isFollowedByViewer: () => ['ZSCORE', followersKey(''), packId(viewerId!)],
      };
      read.each(ids, [['HMGET', authorKey(''), ...FIELDS], ...asked.map((part) => parts[part]())]);
      for (const [id, requests] of lists)
        for (const { list, request } of requests) askPage(read, LISTS[list]!(id), request, 'newest first');
    },
    (replies) => {
      const width = 1 + asked.length;
      const pages = takePages(replies.slice(ids.length * width), lists);

      return ids.map((id, i) => {
        const [fields, ...values] = replies.slice(i * width, (i + 1) * width);
        const row = decodeProfile(id, fields as Reply[]);
        if (row === null) return null;
        if (pages.has(id)) row.pages = pages.get(id)!;
        asked.forEach((part, j) => {
          if (part === 'isFollowedByViewer') row[part] = values[j] !== null;
          else row[part] = numberIn(values[j]);
        });

        return row;
      });
    },
  );
}

function decodeProfile(id: string, values: Reply[]): AuthorRow | null {
  const [version = null, username, email, signedUpAt, ...profile] = values.map(textIn);
  if (version === null) return null;
  const [name = null, biography = null, location = null, website = null, birthDate = null] = profile;

  return {
    ...{ id, version: Number(version), username: username!, email: email!, signedUpAt: signedUpAt! },
    ...{ name, biography, location, website, birthDate, isFollowedByViewer: null },
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
