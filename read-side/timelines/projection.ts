import { at, defineProjection, everywhere, type Projection } from '../projection.js';
import { packId } from '../shard.js';
import { makeTimelines } from './make.js';
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
-- Newest entries, and out with the oldest beyond the length.
local function append(timeline, entries)
  if redis.call('RPUSH', timeline, unpack(entries)) > ${timelineLength} then redis.call('LTRIM', timeline, ${-timelineLength}, -1) end
end

-- Writes the end of a timeline anew: what comes after so many entries.
local function replaceAfter(timeline, count, entries)
  if count == 0 then redis.call('DEL', timeline) else redis.call('LTRIM', timeline, 0, count - 1) end
  if #entries > 0 then append(timeline, entries) end
end

-- The end of a timeline, from a position on; and how many entries come before that.
local function endFrom(timeline, position)
  local before = countUpTo(timeline, position - 1)
  return redis.call('LRANGE', timeline, before, -1), before
end

-- Puts entries, which are in order, between the others. Says how many were written.
local function insert(timeline, entries)
  local others, before = endFrom(timeline, positionOf(entries[1]))
  local all, n, i = {}, 0, 1
  for j = 1, #others + 1 do
    local position = others[j] and positionOf(others[j]) or math.huge
    while entries[i] and positionOf(entries[i]) <= position do
      -- It is there already when a script that failed in the middle is run again.
      if positionOf(entries[i]) < position then
        n = n + 1
        all[n] = entries[i]
      end
      i = i + 1
    end
    if others[j] then
      n = n + 1
      all[n] = others[j]
    end
  end
  replaceAfter(timeline, before, all)
  return n
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
  -- When a script that failed in the middle is run again, some are there already, and some that come after them.
  if newest and positionOf(entries[1]) <= positionOf(newest) then insert(timeline, entries) else append(timeline, entries) end
end

finish = function()
  for author in pairs(postponed.posts) do completePosts(author) end
  for reader in pairs(postponed.timelines) do completeTimeline(reader) end
end

-- What is known of authors is kept for the whole script, until somebody follows or unfollows them.
local known, followed = {}, {}
local function followersOf(author)
  known[author] = known[author] or redis.call('SMEMBERS', key('followers:' .. author))
  return known[author]
end

local function noteNewest(author)
  completePosts(author)
  local newest = redis.call('ZRANGE', key('posts:' .. author), '+inf', '(0', 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')[2]
  redis.call('HSET', key('hot'), author, newest or 0)
  hotAuthors = nil
end

-- To those who follow the author, if there may be any.
local function tellFollowers(position, type, author, cheep)
  if followed[author] == nil then followed[author] = redis.call('EXISTS', key('followers:' .. author)) == 1 end
  if followed[author] or isHot(author) then log(position, 'type', type, 'author', author, 'cheep', cheep) end
end

functions.post = function(position, author, cheep)
  local touched = 1 + postpone(postponed.posts, author, position, cheep)
  if not isBuilding then
    local followers, entry = followersOf(author), entryOf(position, cheep)
    for _, reader in ipairs(followers) do touched = touched + postpone(postponed.timelines, reader, entry) end
  end
  if isHot(author) then noteNewest(author) end
  tellFollowers(position, 'posted', author, cheep)
  return touched
end

-- Many of one author's, while nobody sees the shard: their positions and ids.
functions.posts = function(position, author, ...)
  redis.call('ZADD', key('posts:' .. author), ...)
  if isHot(author) then noteNewest(author) end
  return 1 + select('#', ...) / 20
end

functions.edit = function(position, author, cheep)
  tellFollowers(position, 'edited', author, cheep)
  return 1
end

-- In timelines, which are many, it stays where it is.
local hasDeleted = nil
functions.delete = function(position, author, cheep)
  completePosts(author)
  local posts = key('posts:' .. author)
  local posted = redis.call('ZSCORE', posts, cheep)
  if posted and tonumber(posted) > 0 then redis.call('ZADD', posts, '-' .. posted, cheep) end
  redis.call('SADD', key('deleted'), cheep)
  hasDeleted = true
  if isHot(author) then noteNewest(author) end
  tellFollowers(position, 'deleted', author, cheep)
  return 4
end

-- Whether the reader's timeline gets the author's cheeps is decided here, and kept until the unfollow.
local function isFannedOut(reader, author)
  if redis.call('SISMEMBER', key('merges:' .. reader), author) == 1 then return false end
  local followers = key('followers:' .. author)
  return redis.call('SISMEMBER', followers, reader) == 1 or redis.call('SCARD', followers) < ${hotFollowers}
end

-- Posts of an author's, deleted or not, above one position and below another: the newest, as many as may matter of each kind.
-- Returns the position from which on nothing is missing.
local function collect(found, author, above, below, most)
  completePosts(author)
  if hasDeleted == nil then hasDeleted = redis.call('EXISTS', key('deleted')) == 1 end
  local posts = key('posts:' .. author)
  local from, to = below and string.format('%d', below) or 'inf', string.format('%d', above)
  local reached = above
  local function take(cheeps, sign)
    local positions, ids, n = found.positions, found.ids, #found.positions
    for i = 1, #cheeps, 2 do
      local position = sign * cheeps[i + 1]
      if not ids[position] then
        n = n + 1
        positions[n] = position
        ids[position] = cheeps[i]
      end
    end
    if #cheeps == 2 * most then reached = math.max(reached, sign * cheeps[#cheeps]) end
  end
  take(redis.call('ZRANGE', posts, '(' .. from, '(' .. to, 'BYSCORE', 'REV', 'LIMIT', 0, most, 'WITHSCORES'), 1)
  if hasDeleted then take(redis.call('ZRANGE', posts, '(-' .. from, '(-' .. to, 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES'), -1) end
  return reached
end

-- What the author posted above the timeline's floor.
local function collectFor(timeline, author)
  local found = { positions = {}, ids = {} }
  collect(found, author, floorOf(timeline, ${timelineLength}), nil, ${timelineLength})
  table.sort(found.positions)
  return found
end

-- Puts the author's posts between the others. Says how many entries were written.
local function merge(timeline, author)
  local found = collectFor(timeline, author)
  if #found.positions == 0 then return 0 end
  local entries = {}
  for i, position in ipairs(found.positions) do entries[i] = entryOf(position, found.ids[position]) end
  return insert(timeline, entries)
end

-- The newest of all whom the reader follows and does not merge. First as many of each as there would be if all had posted as much,
-- and then, of those who have more above the oldest that can be needed, these.
local function make(reader)
  local timeline = key('timeline:' .. reader)
  local authors = redis.call('SDIFF', key('following:' .. reader), key('merges:' .. reader))
  local found, reached, above = { positions = {}, ids = {} }, {}, 0
  local share = math.ceil(2 * ${timelineLength} / #authors)
  for i, author in ipairs(authors) do reached[i] = collect(found, author, 0, nil, share) end
  local positions = found.positions
  if #positions >= ${timelineLength} then
    table.sort(positions)
    above = positions[#positions - ${timelineLength - 1}] - 1
  end
  for i, author in ipairs(authors) do
    if reached[i] > above + 1 then collect(found, author, above, reached[i], ${timelineLength}) end
  end
  table.sort(positions)
  local newest, first = {}, math.max(1, #positions - ${timelineLength - 1})
  for i = first, #positions do newest[i - first + 1] = entryOf(positions[i], found.ids[positions[i]]) end
  replaceAfter(timeline, 0, newest)
  return #positions + 4 * #authors
end

-- Takes the author's posts out. Says how many entries were written.
local function remove(reader, author)
  local timeline = key('timeline:' .. reader)
  local found = collectFor(timeline, author)
  if #found.positions == 0 then return 0 end
  -- There is room for what is older.
  if redis.call('LLEN', timeline) >= ${timelineLength} then return make(reader) end
  local entries, before = endFrom(timeline, found.positions[1])
  local left = {}
  for _, entry in ipairs(entries) do
    if not found.ids[positionOf(entry)] then table.insert(left, entry) end
  end
  replaceAfter(timeline, before, left)
  return #entries
end

functions.follow = function(position, reader, author)
  completeTimeline(reader)
  known[author], followed[author] = nil, nil
  redis.call('SADD', key('following:' .. reader), author)
  local written = 0
  if isFannedOut(reader, author) then
    redis.call('SADD', key('followers:' .. author), reader)
    if isBuilding then putOff(reader) else written = merge(key('timeline:' .. reader), author) end
  else
    -- Counted where the set changes, so that what is applied again is not counted again.
    if redis.call('SADD', key('merges:' .. reader), author) == 1 then redis.call('HINCRBY', key('mergers'), author, 1) end
    noteNewest(author)
  end
  log(position, 'type', 'followed', 'reader', reader, 'author', author)
  return 5 + written
end

functions.unfollow = function(position, reader, author)
  completeTimeline(reader)
  known[author], followed[author] = nil, nil
  redis.call('SREM', key('following:' .. reader), author)
  local written = 0
  if redis.call('SREM', key('merges:' .. reader), author) == 1 then
    if redis.call('HINCRBY', key('mergers'), author, -1) == 0 then
      redis.call('HDEL', key('mergers'), author)
      redis.call('HDEL', key('hot'), author)
      hotAuthors = nil
    end
  else
    redis.call('SREM', key('followers:' .. author), reader)
    if not isBuilding then written = remove(reader, author) end
  end
  log(position, 'type', 'unfollowed', 'reader', reader, 'author', author)
  return 5 + written
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
      CheepPosted: ({ authorId, cheepId }, { position }) => {
        const id = packId(cheepId);

        return [{ ...everywhere('post', authorId, id), unseen: ['posts', authorId, position, id] }];
      },
      CheepEdited: ({ authorId, cheepId }) => [{ ...everywhere('edit', authorId, packId(cheepId)), unseen: null }],
      CheepDeleted: ({ authorId, cheepId }) => [everywhere('delete', authorId, packId(cheepId))],
    },
    lua({ hotFollowers, timelineLength }),
    makeTimelines(timelineLength),
  );
