/**
 * What did those post whom this author follows? Asked by reader.
 *
 * The timeline of a at p is every live cheep of those whom a follows at p, newest first; one's own are not in it.
 *
 * | key               | what                                                                                       |
 * |-------------------|--------------------------------------------------------------------------------------------|
 * | timeline:READER   | sorted set of packed cheep ids, by the position of the post; the newest 800                |
 * | posts:AUTHOR      | likewise: the newest of every author                                                       |
 * | floors            | hash of the above keys' names: the position above which a list that was trimmed is complete |
 * | followers:AUTHOR  | set of those readers of this shard who follow the author                                   |
 * | following:READER  | set of the authors whom the reader follows                                                 |
 * | log               | stream of the shard's changes, ids are POSITION-INDEX; the newest 10,000                   |
 * | log-trimmed       | the newest id that the log no longer has                                                   |
 */
import type { Redis } from 'ioredis';
import { decodePage, type Page, type PageRequest } from '../list.js';
import { LOG, LOG_TRIMMED, prefixOf, readShard, shardOf, unpackId, type Shard, type Snapshot, type Space } from '../shard.js';

export const TIMELINES = { name: 'timelines', version: 1 };

/** Cheeps that a timeline keeps ready. */
export const TIMELINE_LENGTH = 800;

export const timelineShard = (readerId: string, space: Space): Shard => shardOf(TIMELINES, readerId, space);

// Above its floor a timeline is complete by itself. Below, a page is merged from the lists of those whom the reader follows,
// down to where the shortest of these was trimmed. Each list is asked only for what can still get onto the page, so the work
// is bounded by the page and the 5,000 whom one may follow.
const PAGE = `
local prefix, reader, start, n = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local timeline = 'timeline:' .. reader
local function key(name) return prefix .. name end
local function floorOf(name) return tonumber(redis.call('HGET', key('floors'), name) or 0) end
local function newest(name, from, to, most)
  return redis.call('ZRANGE', key(name), from, to, 'BYSCORE', 'REV', 'LIMIT', 0, most, 'WITHSCORES')
end

local page = newest(timeline, start, '-inf', n)
local missing, floor = n - #page / 2, floorOf(timeline)
if missing == 0 or floor == 0 then return page end

local from = string.format('%d', floor)
if start ~= '+inf' and tonumber(string.sub(start, 2)) <= floor then from = start end
local best, bottom = {}, 0
for _, author in ipairs(redis.call('SMEMBERS', key('following:' .. reader))) do
  local posts = 'posts:' .. author
  bottom = math.max(bottom, floorOf(posts))
  local least = #best == missing and best[missing][1] or bottom
  local found = newest(posts, from, string.format('(%d', least), missing)
  for i = 1, #found, 2 do table.insert(best, {tonumber(found[i + 1]), found[i]}) end
  table.sort(best, function(a, b) return a[1] > b[1] end)
  for i = #best, missing + 1, -1 do best[i] = nil end
end
for _, item in ipairs(best) do
  if item[1] > bottom then
    table.insert(page, item[2])
    table.insert(page, string.format('%d', item[1]))
  end
end
return page`;

/** Cheep ids, newest first. */
export function readTimeline(redis: Redis, space: Space, readerId: string, request: PageRequest): Promise<Snapshot<Page>> {
  const shard = timelineShard(readerId, space);
  const prefix = prefixOf(space, shard);
  const start = request.after === null ? '+inf' : `(${request.after}`;

  return readShard(
    redis,
    space,
    shard,
    (multi, key) => {
      // One more than asked for tells whether there is a next page.
      multi.callBuffer('EVAL', PAGE, 1, key(`timeline:${readerId}`), prefix, readerId, start, request.first + 1);
      multi.zcard(key(`timeline:${readerId}`));
    },
    (replies) => decodePage(replies, request),
  );
}

/** Where a change is among all changes: its event's position, and its place among that event's changes in this shard. */
export interface ChangeId {
  position: number;
  index: number;
}

export type TimelineChange = { id: ChangeId } & (
  { type: 'posted'; authorId: string; cheepId: string } | { type: 'followed' | 'unfollowed'; readerId: string; authorId: string }
);

export interface Changes {
  /** In order. */
  changes: TimelineChange[];
  /** There may be changes between `after` and the first of these that the log no longer has. */
  isTorn: boolean;
}

const text = ({ position, index }: ChangeId) => `${position}-${index}`;
const parse = (id: string): ChangeId => {
  const [position, index] = id.split('-');

  return { position: Number(position), index: Number(index) };
};
export const compareChanges = (a: ChangeId, b: ChangeId): number => a.position - b.position || a.index - b.index;

/** The changes in a shard's log after one of them, up to `most`. */
export function readTimelineChanges(redis: Redis, space: Space, shard: Shard, after: ChangeId, most: number): Promise<Snapshot<Changes>> {
  return readShard(
    redis,
    space,
    shard,
    (multi, key) => {
      multi.get(key(LOG_TRIMMED));
      multi.callBuffer('XRANGE', key(LOG), `(${text(after)}`, '+', 'COUNT', most);
    },
    ([trimmed, entries]) => decodeChanges(trimmed, entries, after),
  );
}

export interface TimelineStart extends Changes {
  /** Whom the reader follows, as of the snapshot's position. */
  following: Set<string>;
}

/** All that a subscription needs to begin with, as of one moment; `after` is null when nothing is to be replayed. */
export function readTimelineStart(redis: Redis, space: Space, readerId: string, after: ChangeId | null): Promise<Snapshot<TimelineStart>> {
  return readShard(
    redis,
    space,
    timelineShard(readerId, space),
    (multi, key) => {
      multi.smembers(key(`following:${readerId}`));
      if (!after) return;
      multi.get(key(LOG_TRIMMED));
      multi.callBuffer('XRANGE', key(LOG), `(${text(after)}`, '+');
    },
    ([following, trimmed, entries]) => ({
      following: new Set(following as string[]),
      ...(after ? decodeChanges(trimmed, entries, after) : { changes: [], isTorn: false }),
    }),
  );
}

function decodeChanges(trimmed: unknown, entries: unknown, after: ChangeId): Changes {
  const changes = (entries as [Buffer, Buffer[]][]).map(([id, fields]): TimelineChange => {
    const field = Object.fromEntries(fields.flatMap((name, i) => (i % 2 === 0 ? [[name.toString(), fields[i + 1]!]] : [])));
    const type = field.type!.toString() as TimelineChange['type'];
    const authorId = field.author!.toString();
    if (type === 'posted') return { id: parse(id.toString()), type, authorId, cheepId: unpackId(field.cheep!) };

    return { id: parse(id.toString()), type, readerId: field.reader!.toString(), authorId };
  });

  return { changes, isTorn: typeof trimmed === 'string' && compareChanges(after, parse(trimmed)) < 0 };
}
