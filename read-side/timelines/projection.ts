import { at, defineProjection, everywhere, type Projection } from '../projection.js';
import { packId } from '../shard.js';
import { TIMELINES, TIMELINE_LENGTH } from './query.js';

export interface TimelineLimits {
  /** Readers of a shard who get one author's cheeps into their timelines, at the most: the setting HOT_FOLLOWERS. */
  hotFollowers: number;
  /** Cheeps that a timeline keeps ready, at the most. */
  timelineLength?: number;
}

// Names of keys here and in query.ts are the same; see the table there.
const lua = ({ hotFollowers, timelineLength }: Required<TimelineLimits>) => `
local function setFloor(timeline, floor) redis.call('HSET', key('floors'), timeline, string.format('%d', floor)) end

-- Forgets the oldest beyond the length, and notes above which position the list is still complete.
local function trim(timeline)
  local over = redis.call('ZCARD', key(timeline)) - ${timelineLength}
  if over <= 0 then return end
  redis.call('ZREMRANGEBYRANK', key(timeline), 0, over - 1)
  setFloor(timeline, tonumber(redis.call('ZRANGE', key(timeline), 0, 0, 'WITHSCORES')[2]) - 1)
end

local function isHot(author) return redis.call('HEXISTS', key('hot'), author) == 1 end

local function noteNewest(author)
  local newest = redis.call('ZRANGE', key('posts:' .. author), 0, 0, 'REV', 'WITHSCORES')[2]
  redis.call('HSET', key('hot'), author, newest or 0)
end

-- To those who follow the author, if there may be any.
local function tell(position, type, author, cheep, followers)
  if followers > 0 or isHot(author) then log(position, 'type', type, 'author', author, 'cheep', cheep) end
end

functions.post = function(position, author, cheep)
  redis.call('ZADD', key('posts:' .. author), position, cheep)
  local followers = redis.call('SMEMBERS', key('followers:' .. author))
  for _, reader in ipairs(followers) do
    redis.call('ZADD', key('timeline:' .. reader), position, cheep)
    trim('timeline:' .. reader)
  end
  if isHot(author) then noteNewest(author) end
  tell(position, 'posted', author, cheep, #followers)
  return 2 + #followers
end

functions.edit = function(position, author, cheep)
  tell(position, 'edited', author, cheep, redis.call('SCARD', key('followers:' .. author)))
  return 1
end

functions.delete = function(position, author, cheep)
  redis.call('ZREM', key('posts:' .. author), cheep)
  local followers = redis.call('SMEMBERS', key('followers:' .. author))
  for _, reader in ipairs(followers) do redis.call('ZREM', key('timeline:' .. reader), cheep) end
  if isHot(author) then noteNewest(author) end
  tell(position, 'deleted', author, cheep, #followers)
  return 2 + #followers
end

-- Whether the reader's timeline gets the author's cheeps is decided here, and kept until the unfollow.
local function isFannedOut(reader, author)
  if redis.call('SISMEMBER', key('merges:' .. reader), author) == 1 then return false end
  local followers = key('followers:' .. author)
  return redis.call('SISMEMBER', followers, reader) == 1 or redis.call('SCARD', followers) < ${hotFollowers}
end

-- The author's newest above the timeline's floor, into the key \`part\`: as many as can matter.
local function part(timeline, author, most)
  local floor = redis.call('HGET', key('floors'), timeline)
  redis.call('ZRANGESTORE', key('part'), key('posts:' .. author), '+inf', '(' .. (floor or 0), 'BYSCORE', 'REV', 'LIMIT', 0, most)
end

functions.follow = function(position, reader, author)
  redis.call('SADD', key('following:' .. reader), author)
  local n = 0
  if isFannedOut(reader, author) then
    redis.call('SADD', key('followers:' .. author), reader)
    local timeline = 'timeline:' .. reader
    -- One more than stays tells whether something does not.
    part(timeline, author, ${timelineLength + 1})
    n = redis.call('ZUNIONSTORE', key('part'), 2, key(timeline), key('part'), 'AGGREGATE', 'MAX')
    -- A copy of just what stays is stored compactly; a trimmed union would not be.
    redis.call('ZRANGESTORE', key(timeline), key('part'), 0, ${timelineLength - 1}, 'REV')
    redis.call('DEL', key('part'))
    if n > ${timelineLength} then setFloor(timeline, tonumber(redis.call('ZRANGE', key(timeline), 0, 0, 'WITHSCORES')[2]) - 1) end
  else
    redis.call('SADD', key('merges:' .. reader), author)
    noteNewest(author)
  end
  log(position, 'type', 'followed', 'reader', reader, 'author', author)
  return 10 + math.ceil(n / 10)
end

functions.unfollow = function(position, reader, author)
  redis.call('SREM', key('following:' .. reader), author)
  local n = 0
  if redis.call('SREM', key('merges:' .. reader), author) == 0 then
    redis.call('SREM', key('followers:' .. author), reader)
    local timeline = 'timeline:' .. reader
    -- The timeline has all that the author posted above its floor, so that is no more than the timeline is long.
    part(timeline, author, ${timelineLength})
    n = redis.call('ZDIFFSTORE', key(timeline), 2, key(timeline), key('part'))
    redis.call('DEL', key('part'))
  end
  log(position, 'type', 'unfollowed', 'reader', reader, 'author', author)
  return 10 + math.ceil(n / 10)
end
`;

/** Tests use small limits: what happens at them is the same. */
export const createTimelines = ({ hotFollowers, timelineLength = TIMELINE_LENGTH }: TimelineLimits): Projection =>
  defineProjection(
    TIMELINES,
    {
      AuthorFollowed: ({ followerId, followedId }) => [at(followerId, 'follow', followerId, followedId)],
      AuthorUnfollowed: ({ followerId, followedId }) => [at(followerId, 'unfollow', followerId, followedId)],
      // Every shard keeps every author's cheeps, because any of its readers may follow any author next.
      CheepPosted: ({ authorId, cheepId }) => [everywhere('post', authorId, packId(cheepId))],
      CheepEdited: ({ authorId, cheepId }) => [everywhere('edit', authorId, packId(cheepId))],
      CheepDeleted: ({ authorId, cheepId }) => [everywhere('delete', authorId, packId(cheepId))],
    },
    lua({ hotFollowers, timelineLength }),
  );
