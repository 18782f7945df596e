import { at, defineProjection } from '../projection.js';
import { initialOf, SEARCH, usernameMember, USERNAMES } from './query.js';

export const search = defineProjection(SEARCH, {
  AuthorSignedUp: ({ authorId, username }) => [at(initialOf(username), 'ZADD', USERNAMES, 0, usernameMember(username, authorId))],
  // In another case only, it is taken out and put in again.
  AuthorUsernameChanged: ({ authorId, changes: { username } }) => [
    at(initialOf(username.from), 'ZREM', USERNAMES, usernameMember(username.from, authorId)),
    at(initialOf(username.to), 'ZADD', USERNAMES, 0, usernameMember(username.to, authorId)),
  ],
});
