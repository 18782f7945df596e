/**
 * What did those post whom this author follows? Asked by reader.
 *
 * The timeline of a at p is every live cheep of those whom a follows at p, newest first; one's own are not in it.
 *
 * | key               | what                                                                                       |
 * |-------------------|--------------------------------------------------------------------------------------------|
 * | posts:AUTHOR      | sorted set of packed cheep ids, by the position of the post, which is negative for the deleted |
 * | following:READER  | set of the authors whom the reader follows                                                 |
 * | followers:AUTHOR  | set of those followers in this shard whose timelines get the author's cheeps; 1,000 at most |
 * | merges:READER     | set of the other authors whom the reader follows: their cheeps are merged in by each read  |
 * | hot               | hash of the authors whom somebody merges: the newest position in their posts, or 0         |
 * | mergers           | hash of the same authors: how many merge them                                              |
 * | timeline:READER   | list, oldest first: the 800 newest posts, deleted or not, of those whom the reader follows and does not merge |
 * | deleted           | set of packed cheep ids: who reads a timeline leaves these out                             |
 * | unmade            | while the shard builds itself: set of the readers whose timeline is to be made at the end   |
 * | log               | stream of the shard's changes, ids are POSITION-INDEX; the newest 10,000                   |
 * | log-trimmed       | the newest id that the log no longer has                                                   |
 * | logged-after      | up to this position nothing was ever logged                                                |
 *
 * What a timeline holds is the position of the post, in eight bytes, and the packed cheep id. A post goes to the end of many
 * timelines, which a list does at half the cost of a sorted set, in a quarter of the memory.
 */
import type { Redis } from 'ioredis';
import { decodePage, type Page, type PageRequest } from '../list.js';
import { readShardBy, shardOf, unpackId, type Reply, type Shard, type Snapshot, type Space } from '../shard.js';

export const TIMELINES = { name: 'timelines', version: 5 };

/** Cheeps that a timeline keeps ready. */
export const TIMELINE_LENGTH = 800;

export const timelineShard = (readerId: string, space: Space): Shard => shardOf(TIMELINES, readerId, space);

/** What scripts know of a timeline's entries; those are ordered by position, and no two cheeps have the same. */
export const ENTRIES_LUA = `
local packStruct, unpackStruct = struct.pack, struct.unpack
local function entryOf(position, cheep) return packStruct('>I8c16', position, cheep) end
local function positionOf(entry)
  local position = unpackStruct('>I8', entry)
  return position
end
local function cheepOf(entry) return string.sub(entry, 9) end

-- How many entries of a timeline are not above a position.
local function countUpTo(timeline, position)
  local from, to = 0, redis.call('LLEN', timeline)
  while from < to do
    local middle = math.floor((from + to) / 2)
    if positionOf(redis.call('LINDEX', timeline, middle)) > position then to = middle else from = middle + 1 end
  end
  return from
end

-- The position above which a timeline is complete: of one that is full, right below its oldest.
local function floorOf(timeline, length)
  if redis.call('LLEN', timeline) < length then return 0 end
  return positionOf(redis.call('LINDEX', timeline, 0)) - 1
end`;

// A page is the newest of three kinds that have nothing in common: what is in the timeline, which is all above its floor; the
// cheeps of those whom the reader merges; and, when the page reaches below the floor, the cheeps of all others there.
// Of each list, first only the newest on the page is looked at. The n-th newest of these, if there are so many, is the least
// that can be on the page, and only the n lists above it can have something there: so this is bounded by the page and the
// 5,000 whom one may follow.
const PAGE = `
local reader, start, n, length = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
${ENTRIES_LUA}
local timeline = key('timeline:' .. reader)
local cursor = start == '+inf' and math.huge or tonumber(string.sub(start, 2))
local function newest(name, from, to, most)
  return redis.call('ZRANGE', key(name), from, to, 'BYSCORE', 'REV', 'LIMIT', 0, most, 'WITHSCORES')
end

local page, total = {}, redis.call('LLEN', timeline)
local ready = start == '+inf' and total or countUpTo(timeline, cursor - 1)
while ready > 0 and #page < 2 * n do
  local entries, cheeps = redis.call('LRANGE', timeline, math.max(0, ready - n), ready - 1), {}
  for i, entry in ipairs(entries) do cheeps[i] = cheepOf(entry) end
  local deleted = redis.call('SMISMEMBER', key('deleted'), unpack(cheeps))
  for i = #entries, 1, -1 do
    if deleted[i] == 0 and #page < 2 * n then
      table.insert(page, cheeps[i])
      table.insert(page, string.format('%d', positionOf(entries[i])))
    end
  end
  ready = ready - #entries
end
local isFull = #page == 2 * n
local floor = isFull and 0 or floorOf(timeline, length)
local merges = redis.call('SMEMBERS', key('merges:' .. reader))
if #merges == 0 and floor == 0 then return {page, total} end

local positions, cheeps = {}, {}
local function take(found)
  for i = 1, #found, 2 do
    local position = tonumber(found[i + 1])
    table.insert(positions, position)
    cheeps[position] = found[i]
  end
end
take(page)

local least = isFull and positions[n] + 1 or 1
local to = string.format('%d', least)
local tops, authors = {}, {}
local function note(author, top)
  if top < least then return end
  table.insert(tops, top)
  authors[top] = author
end
local function look(author, from) note(author, tonumber(newest('posts:' .. author, from, to, 1)[2] or 0)) end
if #merges > 0 then
  local known = redis.call('HMGET', key('hot'), unpack(merges))
  for i, author in ipairs(merges) do
    local top = tonumber(known[i])
    if top < cursor then note(author, top) else look(author, start) end
  end
end
if floor > 0 then
  local from = cursor <= floor and start or string.format('%d', floor)
  for _, author in ipairs(redis.call('SDIFF', key('following:' .. reader), key('merges:' .. reader))) do look(author, from) end
end

table.sort(tops)
if #tops >= n then to = string.format('%d', tops[#tops - n + 1]) end
for i = 1, math.min(#tops, n) do
  local top = tops[#tops - i + 1]
  take(newest('posts:' .. authors[top], string.format('%d', top), to, n - i + 1))
end

table.sort(positions)
local merged = {}
for i = #positions, math.max(#positions - n + 1, 1), -1 do
  table.insert(merged, cheeps[positions[i]])
  table.insert(merged, string.format('%d', positions[i]))
end
return {merged, total}`;

/**
 * Cheep ids, newest first, to the true end. `totalCount` is of what is kept ready alone: nothing shows it.
 * @param timelineLength as the projection was made with: tests use small ones
 */
export function readTimeline(
  redis: Redis,
  space: Space,
  readerId: string,
  request: PageRequest,
  timelineLength = TIMELINE_LENGTH,
): Promise<Snapshot<Page>> {
  const shard = timelineShard(readerId, space);
  const start = request.after === null ? '+inf' : `(${request.after}`;

  // One more than asked for tells whether there is a next page.
  return readShardBy(redis, space, shard, PAGE, [readerId, start, request.first + 1, timelineLength], (replies) =>
    decodePage(replies as Reply[], request),
  );
}

export type TimelineChange =
  | { type: 'posted' | 'edited' | 'deleted'; authorId: string; cheepId: string }
  | { type: 'followed' | 'unfollowed'; readerId: string; authorId: string };

/** Of the shard's log; a cheep is told only where somebody follows its author. */
export function decodeTimelineChange(fields: Record<string, Buffer>): TimelineChange {
  const type = fields.type!.toString() as TimelineChange['type'];
  const authorId = fields.author!.toString();
  if (type === 'followed' || type === 'unfollowed') return { type, readerId: fields.reader!.toString(), authorId };

  return { type, authorId, cheepId: unpackId(fields.cheep!) };
}

/** The name of the set of those whom the reader follows. */
export const followingKey = (readerId: string) => `following:${readerId}`;
