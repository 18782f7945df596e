import { at, defineProjection, type PlacedWrite } from '../projection.js';
import { packId } from '../shard.js';
import { FUNNEL, SIGNED_UP, type FunnelStepName } from './query.js';

// The first time stands, whatever is run again: what follows compares with it, and changes nothing that is there. "First" is
// by position, which is the order in which it happened, whatever the clocks say.
const LUA = `
functions.signedUp = function(position, name, author, at)
  redis.call('ZADD', key(name), at, author)
  return 1
end

functions.reached = function(position, name, author, at)
  if not redis.call('HGET', key(name), author) then redis.call('HSET', key(name), author, at) end
  return 1
end

local DAY_MS = 86400000
functions.postedAgain = function(position, name, first, author, at)
  local firstAt = redis.call('HGET', key(first), author)
  if math.floor(tonumber(firstAt) / DAY_MS) ~= math.floor(tonumber(at) / DAY_MS) then
    functions.reached(position, name, author, at)
  end
  return 1
end
`;

const reached = (step: FunnelStepName, authorId: string, moment: string): PlacedWrite =>
  at(authorId, 'reached', step, packId(authorId), Date.parse(moment));

/** Nobody is taken out again: what was deleted or unfollowed was done all the same. */
export const funnel = defineProjection(
  FUNNEL,
  {
    AuthorSignedUp: ({ authorId }, entry) => [at(authorId, 'signedUp', SIGNED_UP, packId(authorId), Date.parse(entry.at))],
    AuthorFollowed: ({ followerId }, entry) => [reached('FOLLOWED_SOMEBODY', followerId, entry.at)],
    CheepPosted: ({ authorId }, entry) => [
      reached('POSTED', authorId, entry.at),
      at(authorId, 'postedAgain', 'POSTED_ON_ANOTHER_DAY', 'POSTED' satisfies FunnelStepName, packId(authorId), Date.parse(entry.at)),
    ],
  },
  LUA,
);
