import { at, defineProjection, everywhere, type Projection } from '../projection.js';
import { packId } from '../shard.js';
import { ENTRIES_LUA, TIMELINES, TIMELINE_LENGTH } from './query.js';

export interface TimelineLimits {
  /** Readers of a shard who get one author's cheeps into their timelines, at the most: the setting HOT_FOLLOWERS. */
  hotFollowers: number;
  /** Cheeps that a timeline keeps ready, at the most. */
  timelineLength?: number;
}

// Names of keys here and in query.ts are the same; see the table there.
const lua = ({ hotFollowers, timelineLength }: Required<TimelineLimits>) => `
${ENTRIES_LUA}
local function floorOf(reader) return fullFloor(key('timeline:' .. reader), ${timelineLength}) end

-- Newest entries, and out with the oldest beyond the length.
local function append(timeline, entries)
  if redis.call('RPUSH', timeline, unpack(entries)) > ${timelineLength} then redis.call('LTRIM', timeline, ${-timelineLength}, -1) end
end

-- Writes the end of a timeline anew: what comes after so many entries.
local function replaceAfter(timeline, count, entries)
  if count == 0 then redis.call('DEL', timeline) else redis.call('LTRIM', timeline, 0, count - 1) end
  if #entries > 0 then append(timeline, entries) end
end

-- Before it gets shorter, since that cannot be told any more after that.
local function noteFloor(reader)
  local floor = floorOf(reader)
  if floor then redis.call('HSET', key('floors'), reader, string.format('%d', floor)) end
end

-- Mostly nobody is, which one question tells for the whole script.
local hotAuthors = nil
local function isHot(author)
  hotAuthors = hotAuthors or redis.call('HLEN', key('hot'))
  return hotAuthors > 0 and redis.call('HEXISTS', key('hot'), author) == 1
end

-- What is posted is put into a list when that is needed for something else, or at the end: all of it at once.
local postponed = { posts = {}, timelines = {} }

-- Says how much that is, in keys that are touched: one more costs little.
local function postpone(lists, id, one, other)
  local some = lists[id]
  if some then
    local n = #some
    some[n + 1], some[n + 2] = one, other
    return 0.1
  end
  lists[id] = { one, other }
  return 1
end

local function completePosts(author)
  local cheeps = postponed.posts[author]
  if not cheeps then return end
  postponed.posts[author] = nil
  redis.call('ZADD', key('posts:' .. author), unpack(cheeps))
end

local function completeTimeline(reader)
  local entries = postponed.timelines[reader]
  if not entries then return end
  postponed.timelines[reader] = nil
  local timeline = key('timeline:' .. reader)
  local newest = redis.call('LINDEX', timeline, -1)
  -- They are there already when a script that failed in the middle is run again.
  while newest and entries[1] and positionOf(entries[1]) <= positionOf(newest) do table.remove(entries, 1) end
  if #entries > 0 then append(timeline, entries) end
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
  local followers, entry = followersOf(author), entryOf(position, cheep)
  for _, reader in ipairs(followers) do touched = touched + postpone(postponed.timelines, reader, entry) end
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
  local followers = followersOf(author)
  local posted = redis.call('ZSCORE', key('posts:' .. author), cheep)
  for _, reader in ipairs(followers) do
    completeTimeline(reader)
    local timeline = key('timeline:' .. reader)
    local oldest = posted and redis.call('LINDEX', timeline, 0)
    if oldest and positionOf(oldest) <= tonumber(posted) then
      noteFloor(reader)
      redis.call('LREM', timeline, -1, entryOf(posted, cheep))
    end
  end
  -- At the end: with it goes where it was posted.
  redis.call('ZREM', key('posts:' .. author), cheep)
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
  local floor = floorOf(reader) or redis.call('HGET', key('floors'), reader) or 0
  return redis.call(
    'ZRANGE', key('posts:' .. author), '+inf', string.format('(%d', floor), 'BYSCORE', 'REV', 'LIMIT', 0, most, 'WITHSCORES'
  )
end

-- The end of a timeline, from the oldest of these cheeps on; and how many entries come before that.
local function endFrom(timeline, cheeps)
  local before = countUpTo(timeline, tonumber(cheeps[#cheeps]) - 1)
  return redis.call('LRANGE', timeline, before, -1), before
end

-- Puts cheeps between the others. Says how many entries were written. Most of what a follow costs is this loop.
local function merge(reader, cheeps)
  if #cheeps == 0 then return 0 end
  local timeline, merged, n, i = key('timeline:' .. reader), {}, 0, #cheeps - 1
  local entries, before = endFrom(timeline, cheeps)
  local nextPosition = tonumber(cheeps[i + 1])
  for j = 1, #entries + 1 do
    local entry = entries[j]
    local position = nextPosition and (entry and positionOf(entry) or math.huge)
    while nextPosition and nextPosition <= position do
      -- It is there already when a script that failed in the middle is run again.
      if nextPosition < position then
        n = n + 1
        merged[n] = entryOf(nextPosition, cheeps[i])
      end
      i = i - 2
      nextPosition = tonumber(cheeps[i + 1])
    end
    if entry then
      n = n + 1
      merged[n] = entry
    end
  end
  replaceAfter(timeline, before, merged)
  return n
end

-- Takes cheeps out. Says how many entries were written.
local function remove(reader, cheeps)
  if #cheeps == 0 then return 0 end
  noteFloor(reader)
  local timeline, gone, left = key('timeline:' .. reader), {}, {}
  for i = 2, #cheeps, 2 do gone[tonumber(cheeps[i])] = true end
  local entries, before = endFrom(timeline, cheeps)
  for _, entry in ipairs(entries) do
    if not gone[positionOf(entry)] then table.insert(left, entry) end
  end
  replaceAfter(timeline, before, left)
  return #left
end

functions.follow = function(position, reader, author)
  completeTimeline(reader)
  completePosts(author)
  known[author] = nil
  redis.call('SADD', key('following:' .. reader), author)
  local written = 0
  if isFannedOut(reader, author) then
    redis.call('SADD', key('followers:' .. author), reader)
    written = merge(reader, part(reader, author, ${timelineLength}))
  else
    redis.call('SADD', key('merges:' .. reader), author)
    noteNewest(author)
  end
  log(position, 'type', 'followed', 'reader', reader, 'author', author)
  return 5 + written / 16
end

functions.unfollow = function(position, reader, author)
  completeTimeline(reader)
  completePosts(author)
  known[author] = nil
  redis.call('SREM', key('following:' .. reader), author)
  local written = 0
  if redis.call('SREM', key('merges:' .. reader), author) == 0 then
    redis.call('SREM', key('followers:' .. author), reader)
    -- The timeline has all that the author posted above its floor, so that is no more than the timeline is long.
    written = remove(reader, part(reader, author, ${timelineLength}))
  end
  log(position, 'type', 'unfollowed', 'reader', reader, 'author', author)
  return 5 + written / 16
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
