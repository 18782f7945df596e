import { at, defineProjection, everywhere } from '../projection.js';
import { packId } from '../shard.js';
import { TIMELINES, TIMELINE_LENGTH } from './query.js';

// Names of keys here and in query.ts are the same; see the table there.
const lua = `
local function floorOf(name) return tonumber(redis.call('HGET', key('floors'), name) or 0) end

-- Forgets the oldest beyond the length, and notes above which position the list is still complete.
local function trim(name)
  local over = redis.call('ZCARD', key(name)) - ${TIMELINE_LENGTH}
  if over <= 0 then return end
  redis.call('ZREMRANGEBYRANK', key(name), 0, over - 1)
  local oldest = redis.call('ZRANGE', key(name), 0, 0, 'WITHSCORES')[2]
  redis.call('HSET', key('floors'), name, string.format('%d', tonumber(oldest) - 1))
end

functions.post = function(position, author, cheep)
  local posts = 'posts:' .. author
  redis.call('ZADD', key(posts), position, cheep)
  trim(posts)
  local followers = redis.call('SMEMBERS', key('followers:' .. author))
  for _, reader in ipairs(followers) do
    local timeline = 'timeline:' .. reader
    redis.call('ZADD', key(timeline), position, cheep)
    trim(timeline)
  end
  if #followers > 0 then log(position, 'type', 'posted', 'author', author, 'cheep', cheep) end
  return 1 + #followers
end

functions.follow = function(position, reader, author)
  local timeline, posts, both = 'timeline:' .. reader, 'posts:' .. author, key('both')
  redis.call('SADD', key('followers:' .. author), reader)
  redis.call('SADD', key('following:' .. reader), author)
  local floor = math.max(floorOf(timeline), floorOf(posts))
  local n = redis.call('ZUNIONSTORE', both, 2, key(timeline), key(posts), 'AGGREGATE', 'MAX')
  -- A copy of just what stays is stored compactly; a trimmed union would not be.
  redis.call('ZRANGESTORE', key(timeline), both, 0, ${TIMELINE_LENGTH - 1}, 'REV')
  redis.call('DEL', both)
  if n > ${TIMELINE_LENGTH} then
    floor = math.max(floor, tonumber(redis.call('ZRANGE', key(timeline), 0, 0, 'WITHSCORES')[2]) - 1)
  end
  if floor > 0 then
    local text = string.format('%d', floor)
    redis.call('ZREMRANGEBYSCORE', key(timeline), '-inf', text)
    redis.call('HSET', key('floors'), timeline, text)
  end
  log(position, 'type', 'followed', 'reader', reader, 'author', author)
  return 10 + math.ceil(n / 10)
end

functions.unfollow = function(position, reader, author)
  local timeline, posts = key('timeline:' .. reader), key('posts:' .. author)
  redis.call('SREM', key('followers:' .. author), reader)
  redis.call('SREM', key('following:' .. reader), author)
  -- All that the timeline has of the author is among the author's newest: both are trimmed to the same length.
  local n = redis.call('ZDIFFSTORE', timeline, 2, timeline, posts)
  log(position, 'type', 'unfollowed', 'reader', reader, 'author', author)
  return 10 + math.ceil(n / 10)
end
`;

export const timelines = defineProjection(
  TIMELINES,
  {
    AuthorFollowed: ({ followerId, followedId }) => [at(followerId, 'follow', followerId, followedId)],
    AuthorUnfollowed: ({ followerId, followedId }) => [at(followerId, 'unfollow', followerId, followedId)],
    // Every shard keeps every author's newest, because any of its readers may follow any author next.
    CheepPosted: ({ authorId, cheepId }) => [everywhere('post', authorId, packId(cheepId))],
  },
  lua,
);
