import type { AuthorProfileUpdated, AuthorUsernameChanged, AuthorEmailChanged } from '../../shared/messages/author.js';
import type { JournalEntry } from '../../shared/messages/event.js';
import { adds, at, defineProjection, TELL, tells, versionOf, type PlacedWrite } from '../projection.js';
import { packId } from '../shard.js';
import { authorKey, AUTHORS, cheepsKey, followersKey, followingKey, usernameKey, type AuthorField } from './query.js';

/** Counts are the sizes of these sets, never increments, so nothing is ever counted twice. */
export const authors = defineProjection(
  AUTHORS,
  {
    AuthorSignedUp: ({ type: _, authorId, ...fields }, entry) => [
      ...write(authorId, { ...fields, version: versionOf(entry), signedUpAt: entry.at }),
      at(fields.username.toLowerCase(), 'SET', usernameKey(fields.username), authorId),
      // Somebody may be waiting: ids are the caller's choice.
      tell(authorId),
    ],
    AuthorProfileUpdated: (event, entry) => change(event, entry),
    AuthorUsernameChanged: (event, entry) => [...change(event, entry), ...rename(event)],
    AuthorEmailChanged: (event, entry) => change(event, entry),
    AuthorFollowed: ({ followerId, followedId }, { position }) => [
      at(followedId, 'ZADD', followersKey(followedId), position, packId(followerId)),
      at(followerId, 'ZADD', followingKey(followerId), position, packId(followedId)),
      tell(followedId),
      tell(followerId),
    ],
    AuthorUnfollowed: ({ followerId, followedId }) => [
      at(followedId, 'ZREM', followersKey(followedId), packId(followerId)),
      at(followerId, 'ZREM', followingKey(followerId), packId(followedId)),
      tell(followedId),
      tell(followerId),
    ],
    CheepPosted: ({ authorId, cheepId }, { position }) => [
      adds(authorId, 'ZADD', cheepsKey(authorId), position, packId(cheepId)),
      tell(authorId),
    ],
    CheepDeleted: ({ authorId, cheepId }) => [at(authorId, 'ZREM', cheepsKey(authorId), packId(cheepId)), tell(authorId)],
  },
  TELL,
);

/** Those who watch an author hear that its profile, or one of its counts, is another. */
const tell = (authorId: string): PlacedWrite => tells(authorId, 'tell', 'author', packId(authorId));

type Fields = { [Field in AuthorField]?: string | number | null };

/** An event writes only the fields that it knows; null is an absent field. */
function write(authorId: string, fields: Fields): PlacedWrite[] {
  const values = Object.entries(fields);
  const there = values.filter((field): field is [string, string | number] => field[1] !== null);
  const cleared = values.filter(([, value]) => value === null).map(([name]) => name);

  return [
    at(authorId, 'HSET', authorKey(authorId), ...there.flat()),
    ...(cleared.length > 0 ? [at(authorId, 'HDEL', authorKey(authorId), ...cleared)] : []),
  ];
}

function change({ authorId, changes }: AuthorProfileUpdated | AuthorUsernameChanged | AuthorEmailChanged, entry: JournalEntry) {
  const fields: Fields = Object.fromEntries(Object.entries(changes).map(([field, { to }]) => [field, to]));

  return [...write(authorId, { ...fields, version: versionOf(entry) }), tell(authorId)];
}

/** The old name is nobody's at once. In the same letters in another case it is the same key, and stays. */
function rename({ authorId, changes: { username } }: AuthorUsernameChanged): PlacedWrite[] {
  const [from, to] = [username.from.toLowerCase(), username.to.toLowerCase()];

  return from === to ? [] : [at(from, 'DEL', usernameKey(from)), at(to, 'SET', usernameKey(to), authorId)];
}
