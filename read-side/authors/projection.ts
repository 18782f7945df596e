import { at, defineProjection } from '../projection.js';
import { packId } from '../shard.js';
import { AUTHORS, authorKey, cheepsKey, followersKey, followingKey, usernameKey } from './query.js';

/** Counts are the sizes of these sets, never increments, so nothing is ever counted twice. */
export const authors = defineProjection(AUTHORS, {
  AuthorSignedUp: ({ type: _, authorId, ...fields }, { at: signedUpAt }) => [
    at(authorId, 'HSET', authorKey(authorId), 'profile', JSON.stringify({ ...fields, version: 1, signedUpAt })),
    at(fields.username.toLowerCase(), 'SET', usernameKey(fields.username), authorId),
  ],
  AuthorFollowed: ({ followerId, followedId }, { position }) => [
    at(followedId, 'ZADD', followersKey(followedId), position, packId(followerId)),
    at(followerId, 'ZADD', followingKey(followerId), position, packId(followedId)),
  ],
  AuthorUnfollowed: ({ followerId, followedId }) => [
    at(followedId, 'ZREM', followersKey(followedId), packId(followerId)),
    at(followerId, 'ZREM', followingKey(followerId), packId(followedId)),
  ],
  CheepPosted: ({ authorId, cheepId }, { position }) => [at(authorId, 'ZADD', cheepsKey(authorId), position, packId(cheepId))],
});
