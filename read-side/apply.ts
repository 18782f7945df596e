/**
 * Applying to a shard: one script that compares `applied`, writes, and moves `applied` last. Two workers that think they own
 * a shard cannot both write to it, and a script that fails in the middle is simply run again.
 */
import type { Redis } from 'ioredis';
import type { Projection, Write } from './projection.js';
import { APPLIED, LOG, LOG_LENGTH, LOG_TRIMMED, prefixOf, shardName, type Shard, type Space } from './shard.js';

/** A script stops between two events after touching about this many keys (about 2 ms), and says how far it came. */
const MOST_KEYS = 1_000;

const script = (lua: string, logLength: number) => `
local prefix, expected, upTo = ARGV[1], ARGV[2], ARGV[3]
local applied = redis.call('GET', KEYS[1])
if applied ~= expected then return {'moved', applied} end

local function key(name) return prefix .. name end

local logIndex, logPosition = 0, nil
local function log(position, ...)
  if position ~= logPosition then logPosition, logIndex = position, 0 end
  local id = position .. '-' .. logIndex
  logIndex = logIndex + 1
  if redis.call('XLEN', key('${LOG}')) >= ${logLength} then
    redis.call('SET', key('${LOG_TRIMMED}'), redis.call('XRANGE', key('${LOG}'), '-', '+', 'COUNT', 1)[1][1])
  end
  local added = redis.pcall('XADD', key('${LOG}'), 'MAXLEN', '=', ${logLength}, id, ...)
  -- It is there already when a script that failed in the middle is run again.
  if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller', 1, true) then
    error(added.err)
  end
end

local functions = {}
${lua}

local touched, last, i = 0, nil, 4
while i <= #ARGV do
  local position, n = ARGV[i], tonumber(ARGV[i + 1])
  if position ~= last and touched >= ${MOST_KEYS} then
    upTo = string.format('%d', tonumber(position) - 1)
    break
  end
  last = position
  local command, first = ARGV[i + 2], i + 3
  if functions[command] then
    touched = touched + functions[command](position, unpack(ARGV, first, first + n - 1))
  else
    redis.call(command, key(ARGV[first]), unpack(ARGV, first + 1, first + n - 1))
    touched = touched + 1
  end
  i = first + n
end
redis.call('SET', KEYS[1], upTo)
return {'applied', upTo}
`;

export interface PositionedWrite {
  position: number;
  write: Write;
}

export type Applied =
  /** How far it came: to `upTo`, or less when the writes were many. */
  | { status: 'applied'; applied: number }
  /** Somebody else moved it; null when the shard is gone. */
  | { status: 'moved'; applied: number | null };

export type Apply = (shard: Shard, expected: number, upTo: number, writes: PositionedWrite[]) => Promise<Applied>;

/**
 * How to apply writes to the shards of these projections. Rejects with Redis's error, `applied` left where it was.
 * @param logLength tests use small ones: what happens at it is the same
 */
export function createApply(redis: Redis, space: Space, projections: Projection[], logLength = LOG_LENGTH): Apply {
  const commands = new Map<string, (...args: (string | number | Buffer)[]) => Promise<[string, string | null]>>();
  for (const { id, lua } of projections) {
    const name = `apply_${id.name}`;
    redis.defineCommand(name, { numberOfKeys: 1, lua: script(lua, logLength) });
    commands.set(id.name, (redis as unknown as Record<string, typeof redis.call>)[name]!.bind(redis) as never);
  }

  return async (shard, expected, upTo, writes) => {
    const prefix = prefixOf(space, shard);
    const args = writes.flatMap(({ position, write: [command, ...rest] }) => [position, rest.length, command, ...rest]);
    const apply = commands.get(shard.projection.name);
    if (!apply) throw new Error(`there is no projection for ${shardName(shard)}`);
    const [status, applied] = await apply(prefix + APPLIED, prefix, expected, upTo, ...args);
    if (status === 'applied') return { status, applied: Number(applied) };

    return { status: 'moved', applied: applied === null ? null : Number(applied) };
  };
}
