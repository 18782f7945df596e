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
-- Forgets the oldest beyond the length.
local function trim(timeline) redis.call('ZREMRANGEBYRANK', timeline, 0, ${-timelineLength - 1}) end

-- A full timeline is complete from its oldest on.
local function fullFloor(timeline)
  if redis.call('ZCARD', timeline) < ${timelineLength} then return nil end
  return string.format('%d', tonumber(redis.call('ZRANGE', timeline, 0, 0, 'WITHSCORES')[2]) - 1)
end

-- Before it gets shorter, since that cannot be told any more after that.
local function noteFloor(reader)
  local floor = fullFloor(key('timeline:' .. reader))
  if floor then redis.call('HSET', key('floors'), reader, floor) end
end

-- Mostly nobody is, which one question tells for the whole script.
local hotAuthors = nil
local function isHot(author)
  hotAuthors = hotAuthors or redis.call('HLEN', key('hot'))
  return hotAuthors > 0 and redis.call('HEXISTS', key('hot'), author) == 1
end

-- What is posted is put into a list when that is needed for something else, or at the end: all of it at once.
local postponed = { posts = {}, timelines = {} }

-- Says how much that is, in keys that are touched: one more member costs little.
local function postpone(lists, id, position, cheep)
  local cheeps = lists[id]
  if cheeps then
    local n = #cheeps
    cheeps[n + 1], cheeps[n + 2] = position, cheep
    return 0.1
  end
  lists[id] = { position, cheep }
  return 1
end

local function completePosts(author)
  local cheeps = postponed.posts[author]
  if not cheeps then return end
  postponed.posts[author] = nil
  redis.call('ZADD', key('posts:' .. author), unpack(cheeps))
end

local function completeTimeline(reader)
  local cheeps = postponed.timelines[reader]
  if not cheeps then return end
  postponed.timelines[reader] = nil
  local timeline = key('timeline:' .. reader)
  redis.call('ZADD', timeline, unpack(cheeps))
  trim(timeline)
end

finish = function()
  for author in pairs(postponed.posts) do completePosts(author) end
  for reader in pairs(postponed.timelines) do completeTimeline(reader) end
end

-- Kept for the whole script, until somebody follows or unfollows.
local known = {}
local function followersOf(author)
  known[author] = known[author] or redis.call('SMEMBERS', key('followers:' .. author))
  return known[author]
end

local function noteNewest(author)
  completePosts(author)
  local newest = redis.call('ZRANGE', key('posts:' .. author), 0, 0, 'REV', 'WITHSCORES')[2]
  redis.call('HSET', key('hot'), author, newest or 0)
  hotAuthors = nil
end

functions.post = function(position, author, cheep)
  local touched = 1 + postpone(postponed.posts, author, position, cheep)
  local followers = followersOf(author)
  for _, reader in ipairs(followers) do touched = touched + postpone(postponed.timelines, reader, position, cheep) end
  local hot = isHot(author)
  if hot then noteNewest(author) end
  -- To those who follow the author, if there may be any.
  if hot or #followers > 0 then log(position, 'type', 'posted', 'author', author, 'cheep', cheep) end
  return touched
end

functions.edit = function(position, author, cheep)
  if isHot(author) or redis.call('EXISTS', key('followers:' .. author)) == 1 then
    log(position, 'type', 'edited', 'author', author, 'cheep', cheep)
  end
  return 1
end

functions.delete = function(position, author, cheep)
  completePosts(author)
  redis.call('ZREM', key('posts:' .. author), cheep)
  local followers = followersOf(author)
  for _, reader in ipairs(followers) do
    completeTimeline(reader)
    noteFloor(reader)
    redis.call('ZREM', key('timeline:' .. reader), cheep)
  end
  local hot = isHot(author)
  if hot then noteNewest(author) end
  if hot or #followers > 0 then log(position, 'type', 'deleted', 'author', author, 'cheep', cheep) end
  return 2 + #followers
end

-- Whether the reader's timeline gets the author's cheeps is decided here, and kept until the unfollow.
local function isFannedOut(reader, author)
  if redis.call('SISMEMBER', key('merges:' .. reader), author) == 1 then return false end
  local followers = key('followers:' .. author)
  return redis.call('SISMEMBER', followers, reader) == 1 or redis.call('SCARD', followers) < ${hotFollowers}
end

-- The author's newest above the timeline's floor, with their positions: as many as can matter.
local function part(reader, author, most)
  local floor = fullFloor(key('timeline:' .. reader)) or redis.call('HGET', key('floors'), reader) or 0
  return redis.call('ZRANGE', key('posts:' .. author), '+inf', '(' .. floor, 'BYSCORE', 'REV', 'LIMIT', 0, most, 'WITHSCORES')
end

local function merge(reader, cheeps)
  if #cheeps == 0 then return end
  local timeline, arguments = key('timeline:' .. reader), {}
  for i = 1, #cheeps, 2 do
    arguments[i], arguments[i + 1] = cheeps[i + 1], cheeps[i]
  end
  redis.call('ZADD', timeline, unpack(arguments))
  trim(timeline)
end

functions.follow = function(position, reader, author)
  completeTimeline(reader)
  completePosts(author)
  known[author] = nil
  redis.call('SADD', key('following:' .. reader), author)
  local cheeps = {}
  if isFannedOut(reader, author) then
    redis.call('SADD', key('followers:' .. author), reader)
    cheeps = part(reader, author, ${timelineLength})
    merge(reader, cheeps)
  else
    redis.call('SADD', key('merges:' .. reader), author)
    noteNewest(author)
  end
  log(position, 'type', 'followed', 'reader', reader, 'author', author)
  return 5 + #cheeps / 4
end

functions.unfollow = function(position, reader, author)
  completeTimeline(reader)
  completePosts(author)
  known[author] = nil
  redis.call('SREM', key('following:' .. reader), author)
  local cheeps = {}
  if redis.call('SREM', key('merges:' .. reader), author) == 0 then
    redis.call('SREM', key('followers:' .. author), reader)
    -- The timeline has all that the author posted above its floor, so that is no more than the timeline is long.
    cheeps = part(reader, author, ${timelineLength})
    if #cheeps > 0 then noteFloor(reader) end
    local members = {}
    for i = 1, #cheeps, 2 do table.insert(members, cheeps[i]) end
    if #members > 0 then redis.call('ZREM', key('timeline:' .. reader), unpack(members)) end
  end
  log(position, 'type', 'unfollowed', 'reader', reader, 'author', author)
  return 5 + #cheeps / 4
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
