/**
 * Applying to a shard: one script that compares `applied`, writes, and moves `applied` last. Two workers that think they own
 * a shard cannot both write to it, and a script that fails in the middle is simply run again.
 */
import type { Redis } from 'ioredis';
import { writeTogether } from '../shared/redis.js';
import type { Argument, Make, Projection, Write } from './projection.js';
import {
  APPLIED,
  LOG,
  LOG_LENGTH,
  LOG_TRIMMED,
  LOGGED_AFTER,
  prefixOf,
  shardName,
  TARGET,
  UNMADE,
  type Shard,
  type Space,
} from './shard.js';

/** A script stops between two events after touching about this many keys (2 to 5 ms), and says how far it came. */
const MAX_KEYS = 2_000;
/**
 * Writes that are under way, at about the most, in however many scripts; of larger ones, two. Redis runs all that a client has sent
 * before it looks at another, and those who read would wait for it; with fewer it would have nothing to do between two answers.
 */
const MAX_UNDER_WAY = 2_000;
const LEAST_UNDER_WAY = 2;

const script = (lua: string, logLength: number) => `
local prefix, expected, upTo = ARGV[1], ARGV[2], ARGV[3]
local applied, target, loggedAfter = unpack(redis.call('MGET', KEYS[1], prefix .. '${TARGET}', prefix .. '${LOGGED_AFTER}'))
if applied ~= expected then return {'moved', applied} end

local function key(name) return prefix .. name end

-- Nobody reads a shard before it is at its target: what can be made once, at the end, need not be kept up to date until then.
target = tonumber(target or 0)
local isBuilding = tonumber(applied) < target
local function putOff(id) redis.call('SADD', key('${UNMADE}'), id) end

loggedAfter = tonumber(loggedAfter or 0)
local function isLogged(position) return tonumber(position) > loggedAfter end

local logIndex, logPosition, hasLogged = 0, nil, false
local function log(position, ...)
  if not isLogged(position) then return end
  if position ~= logPosition then logPosition, logIndex = position, 0 end
  local id = position .. '-' .. logIndex
  logIndex = logIndex + 1
  hasLogged = true
  local added = redis.pcall('XADD', key('${LOG}'), id, ...)
  -- It is there already when a script that failed in the middle is run again.
  if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller', 1, true) then
    error(added.err)
  end
end

-- Nobody sees a log that is too long: it is cut once, at the end.
local function trimLog()
  local over = redis.call('XLEN', key('${LOG}')) - ${logLength}
  if over <= 0 then return end
  local oldest = redis.call('XRANGE', key('${LOG}'), '-', '+', 'COUNT', over)
  redis.call('SET', key('${LOG_TRIMMED}'), oldest[#oldest][1])
  redis.call('XTRIM', key('${LOG}'), 'MAXLEN', '=', ${logLength})
end

local functions = {}
-- What functions do for several entries at once is done before the script ends.
local finish = function() end
${lua}

local touched = 0
-- What was put off is made before the target, by who runs this script.
local function isMade()
  finish()
  if redis.call('EXISTS', key('${UNMADE}')) == 1 then return false end
  isBuilding = false
  return true
end

local args = cmsgpack.unpack(ARGV[4])
local reachesTarget = isBuilding and tonumber(upTo) >= target
local last, i = nil, 1
while i <= #args do
  local position, n = args[i], tonumber(args[i + 1])
  if position ~= last then
    local isAtTarget = reachesTarget and isBuilding and tonumber(position) >= target
    if isAtTarget and not isMade() then break end
    if touched >= ${MAX_KEYS} then
      upTo = string.format('%d', tonumber(position) - 1)
      break
    end
  end
  last = position
  local command, first = args[i + 2], i + 3
  if functions[command] then
    touched = touched + functions[command](position, unpack(args, first, first + n - 1))
  else
    redis.call(command, key(args[first]), unpack(args, first + 1, first + n - 1))
    touched = touched + 1
  end
  i = first + n
end
finish()
-- It is at its target when all is made.
local isUnmade = isBuilding and tonumber(upTo) >= target and not isMade()
if isUnmade then upTo = string.format('%d', target - 1) end
if hasLogged then trimLog() end
redis.call('SET', KEYS[1], upTo)
return {'applied', upTo, isUnmade and 1 or 0}
`;

/** Writes what was made, if the shard still is where it was then. ARGV: its prefix, where that is, and the writes. */
const MADE = `
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return end
local args, i = cmsgpack.unpack(ARGV[3]), 1
while i <= #args do
  local last = i + tonumber(args[i])
  redis.call(args[i + 1], ARGV[1] .. args[i + 2], unpack(args, i + 3, last))
  i = last + 1
end
`;
/** Ids of a shard that are made at once, and of which the writes are sent together. */
const MAX_MADE = 256;
const MAX_MADE_IN_A_SCRIPT = 8;

/** KEYS are `applied` and the target of each shard, ARGV where it is expected and how far it goes. Says 1 for those that went, 0 for others. */
const MOVE = `
local moved = {}
for i = 1, #KEYS, 2 do
  local applied, target = unpack(redis.call('MGET', KEYS[i], KEYS[i + 1]))
  local goes = applied == ARGV[i] and tonumber(applied) >= tonumber(target or 0)
  if goes then redis.call('SET', KEYS[i], ARGV[i + 1]) end
  moved[(i + 1) / 2] = goes and 1 or 0
end
return moved
`;
/** Shards that are moved by one script, at the most. */
const MAX_MOVED = 500;

/**
 * How to move shards in which nothing is to be written, which is most of them, most of the time: all of a moment in one script. False where
 * that does not tell the whole: the shard builds itself, or is not where it was expected.
 */
function createMove(redis: Redis) {
  redis.defineCommand('apply_nothing', { lua: MOVE });
  const run = (redis as unknown as Record<string, (...args: Argument[]) => Promise<number[]>>)['apply_nothing']!.bind(redis);
  // In a cluster they would be in different slots.
  const most = redis.isCluster ? 1 : MAX_MOVED;
  let forming: { keys: string[]; positions: number[]; moved: Promise<number[]> } | null = null;

  return async (prefix: string, expected: number, upTo: number): Promise<boolean> => {
    if (!forming || forming.positions.length >= 2 * most) {
      const [keys, positions]: [string[], number[]] = [[], []];
      const ready = new Promise<void>((resolve) => process.nextTick(resolve));
      const moved = ready.then(() => {
        if (forming?.keys === keys) forming = null;

        return run(keys.length, ...keys, ...positions);
      });
      forming = { keys, positions, moved };
    }
    const { keys, positions, moved } = forming;
    const i = positions.length / 2;
    keys.push(prefix + APPLIED, prefix + TARGET);
    positions.push(expected, upTo);

    return (await moved)[i] === 1;
  };
}

export interface PositionedWrite {
  position: number;
  write: Write;
  /** Several shards have it in their plans: it is packed once. */
  isForMany?: boolean;
  packed?: Buffer;
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
  const commands = new Map<string, { apply: (...args: Argument[]) => Promise<[string, string | null, 0 | 1]>; make: Make | null }>();
  for (const { id, lua, make } of projections) {
    const name = `apply_${id.name}`;
    redis.defineCommand(name, { numberOfKeys: 1, lua: script(lua, logLength) });
    commands.set(id.name, { apply: (redis as unknown as Record<string, typeof redis.call>)[name]!.bind(redis) as never, make });
  }
  const move = createMove(redis);
  const makeSome = createMakeSome(redis);

  let [scripts, underWay] = [0, 0];
  const waiting: (() => void)[] = [];
  const enter = async (n: number) => {
    while (scripts >= LEAST_UNDER_WAY && underWay + n > MAX_UNDER_WAY) await new Promise<void>((resolve) => waiting.push(resolve));
    scripts += 1;
    underWay += n;
  };
  const leave = (n: number) => {
    scripts -= 1;
    underWay -= n;
    for (const resume of waiting.splice(0)) resume();
  };

  return async (shard, expected, upTo, writes) => {
    const command = commands.get(shard.projection.name);
    if (!command) throw new Error(`there is no projection for ${shardName(shard)}`);
    const prefix = prefixOf(space, shard);
    await enter(writes.length);
    let answer: [status: string, applied: string | null, isUnmade: 0 | 1];
    try {
      if (writes.length === 0 && (await move(prefix, expected, upTo))) return { status: 'applied', applied: upTo };
      // A batch is a script for each shard: they go out together.
      writeTogether(redis);
      answer = await command.apply(prefix + APPLIED, prefix, expected, upTo, packWrites(writes));
    } finally {
      leave(writes.length);
    }
    const [status, applied, isUnmade] = answer;
    if (status !== 'applied') return { status: 'moved', applied: applied === null ? null : Number(applied) };
    if (isUnmade) await makeSome(command.make, prefix, Number(applied));

    return { status, applied: Number(applied) };
  };
}

/** How to make some of what was put off in a shard, which stands right before its target. */
function createMakeSome(redis: Redis) {
  redis.defineCommand('write_made', { numberOfKeys: 1, lua: MADE });
  const write = (redis as unknown as Record<string, (...args: Argument[]) => Promise<unknown>>)['write_made']!.bind(redis);

  return async (make: Make | null, prefix: string, applied: number): Promise<void> => {
    if (!make) throw new Error(`something was put off in ${prefix}, and its projection does not say how it is made`);
    const ids = await redis.srandmember(prefix + UNMADE, MAX_MADE);
    const made = await make(redis, (name) => prefix + name, ids);
    for (let i = 0; i < made.length; i += MAX_MADE_IN_A_SCRIPT) {
      const end = Math.min(made.length, i + MAX_MADE_IN_A_SCRIPT);
      const args: Argument[] = [];
      for (const one of [...made.slice(i, end).flat(), ['SREM', UNMADE, ...ids.slice(i, end)]]) args.push(one.length, ...one);
      await write(prefix + APPLIED, prefix, applied, pack(args));
    }
  };
}

/** Of each: its position, how many arguments follow the command, the command and these. */
function packWrites(writes: PositionedWrite[]): Buffer {
  let count = 0;
  let most = 0;
  for (const one of writes) {
    count += 2 + one.write.length;
    if (one.isForMany) one.packed ??= packWrite(one);
    most += one.packed?.length ?? mostBytes(one.write);
  }
  const bytes = Buffer.allocUnsafe(HEADER + most);
  let end = packHeader(bytes, count);
  for (const one of writes) end = one.packed ? end + one.packed.copy(bytes, end) : packInto(bytes, end, one);

  return bytes.subarray(0, end);
}

function packWrite(one: PositionedWrite): Buffer {
  const bytes = Buffer.allocUnsafe(mostBytes(one.write));

  return bytes.subarray(0, packInto(bytes, 0, one));
}

function packInto(bytes: Buffer, start: number, { position, write }: PositionedWrite): number {
  let end = packString(bytes, packString(bytes, start, String(position)), String(write.length - 1));
  for (const arg of write) end = packString(bytes, end, arg);

  return end;
}

/**
 * An array of strings in MessagePack, as Redis's scripts unpack it: to them strings are bytes. As arguments of the script each would
 * be an object of Redis's before it is one of Lua's, and ioredis would measure each three times.
 * Source: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
function pack(args: readonly Argument[]): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER + mostBytes(args));
  let end = packHeader(bytes, args.length);
  for (const arg of args) end = packString(bytes, end, arg);

  return bytes.subarray(0, end);
}

/** Of an array, and of each string. */
const HEADER = 5;
const NUMBER_LENGTH = 24;

/** Room for these, and two numbers before them. */
function mostBytes(args: readonly Argument[]): number {
  let bytes = 2 * (HEADER + NUMBER_LENGTH);
  // In UTF-8, a string has three bytes for each of its units at the most.
  for (const arg of args)
    bytes += HEADER + (typeof arg === 'number' ? NUMBER_LENGTH : typeof arg === 'string' ? 3 * arg.length : arg.length);

  return bytes;
}

const packHeader = (bytes: Buffer, count: number): number => bytes.writeUInt32BE(count, bytes.writeUInt8(0xdd));

function packString(bytes: Buffer, start: number, arg: Argument): number {
  const text = typeof arg === 'number' ? String(arg) : arg;
  const length = typeof text === 'string' ? bytes.write(text, start + HEADER) : text.copy(bytes, start + HEADER);

  return bytes.writeUInt32BE(length, bytes.writeUInt8(0xdb, start)) + length;
}
