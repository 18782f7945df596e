/**
 * A shard: the part of a projection that holds what is asked about some ids. All its keys carry one hash tag, so it is one
 * slot of a Redis Cluster, and everything in it is read or changed in one atomic step, together with the position that it
 * has `applied`.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { partOf } from '../shared/ids.js';

/** Which journal's projections, and where. */
export interface Space {
  namespace: string;
  epoch: string;
  /** Shards in each projection. */
  shards: number;
  /** Which generation of a projection is read, by `projectionName`; 1 where none is named. */
  live?: ReadonlyMap<string, number>;
}

/** A projection's name, and the version of its keys' shapes: a new version builds itself beside the old one. */
export interface ProjectionId {
  name: string;
  version: number;
}

export interface Shard {
  projection: ProjectionId;
  number: number;
  /** Counts the times that the projection was built anew beside the live one; the first is 1, and is meant when none is named. */
  generation?: number;
}

/** `timelines.3`: while versions are changed, there are both. */
export const projectionName = ({ name, version }: ProjectionId): string => `${name}.${version}`;

const generationText = (generation: number | undefined) => (generation === undefined || generation === 1 ? '' : `~${generation}`);

/** `timelines.3:3`, or `timelines.3~5:3` for a later generation than the first. */
export const shardName = ({ projection, number, generation }: Shard): string =>
  `${projectionName(projection)}${generationText(generation)}:${number}`;

/** A shard's name without its generation. */
export const anyGeneration = (name: string): string => name.replace(/~\d+:/, ':');

/** A shard of the generation that is read. */
export const liveShard = (projection: ProjectionId, number: number, { live }: Space): Shard => {
  const generation = live?.get(projectionName(projection));

  return generation === undefined ? { projection, number } : { projection, number, generation };
};

/** The shard that is asked about this id. */
export const shardOf = (projection: ProjectionId, id: string, space: Space): Shard =>
  liveShard(projection, partOf(id, space.shards), space);

/** What all keys of a shard begin with; the braces are Redis Cluster's hash tag. */
export const prefixOf = (space: Space, { projection, number, generation }: Shard): string =>
  `${space.namespace}:${space.epoch}:{${projection.name}:${number}}:${projection.version}${generationText(generation)}:`;

/** The position up to which everything in the shard is applied. */
export const APPLIED = 'applied';
/** Where the journal stood when the shard began to build itself: below that, what it holds is not yet the whole. */
export const TARGET = 'target';

/** Set of the ids for which a shard that builds itself has something left to make when it comes to its target. */
export const UNMADE = 'unmade';

/** The shard's log of changes, a Redis stream with ids POSITION-INDEX, for those who follow it live. */
export const LOG = 'log';
export const LOG_LENGTH = 10_000;
/** Changes up to this position are not in the log, and cursors up to there too old: that was long ago when the shard began to build itself. */
export const LOGGED_AFTER = 'logged-after';
/** Positions before its target whose changes a shard logs: what is older would mostly be trimmed again. */
export const MAX_LOGGED_BEFORE_TARGET = 100_000;
/** The id of the newest change that was trimmed from the log: cursors below it are too old. */
export const LOG_TRIMMED = 'log-trimmed';

/** How many shards the projections of this epoch were begun with: it decides where everything is. */
export const shardsKey = ({ namespace, epoch }: Space): string => `${namespace}:${epoch}:shards`;

/** The newest entry that was applied, POSITION ENTRY_ID: if the journal has another there, it is not what the projections are of. */
export const newestKey = ({ namespace, epoch }: Space): string => `${namespace}:${epoch}:newest`;

/** What HOT_FOLLOWERS was in the read sides of this epoch, a blank before each, the newest last: it decides how timelines are kept. */
export const hotFollowersKey = ({ namespace, epoch }: Space): string => `${namespace}:${epoch}:hot-followers`;

/** Where the newest epoch is found by those who only read. */
export const epochKey = (namespace: string): string => `${namespace}:epoch`;

/** What was read, all at one moment, and as of which position. */
export interface Snapshot<T> {
  /** −1: the shard is not there, so `value` means nothing. */
  applied: number;
  target: number;
  value: T;
}

/** What a command, or a script, answers with: texts and packed ids are bytes. */
export type Reply = Buffer | number | null | Reply[];

/** A command of a read: its name, the name of its key in the shard, and what else it takes. */
export type ReadCommand = [command: string, name: string, ...args: (string | number | Buffer)[]];

/** Adds commands to a read. */
export interface Read {
  (...command: ReadCommand): void;
  /** The same commands for each of these ids, which their keys' names end with: replies come id by id. */
  each(ids: readonly string[], commands: ReadCommand[]): void;
}

/** As text; ids are told as one word, which costs a third of a word for each. */
const ID_LENGTH = 36;

/** Runs commands: what is told is how many ids, those, how many commands, and of each how many words and those. */
const COMMANDS = `
local replies, at = {}, 1
while at <= #ARGV do
  local ids, all, count = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2])
  local commands = {}
  at = at + 3
  for i = 1, count do
    local last = at + tonumber(ARGV[at])
    commands[i] = {ARGV[at + 1], key(ARGV[at + 2]), unpack(ARGV, at + 3, last)}
    at = last + 1
  end
  for i = 1, ids do
    local id = string.sub(all, (i - 1) * ${ID_LENGTH} + 1, i * ${ID_LENGTH})
    for _, command in ipairs(commands) do
      replies[#replies + 1] = redis.call(command[1], command[2] .. id, unpack(command, 3))
    end
  end
end
return replies`;

/**
 * Reads a shard by commands that are run in one step, so that what is read and `applied` belong together (in a plain pipeline they
 * may not).
 * @param ask tells the commands
 * @param decode makes the value from their replies, in order
 * @throws the first error that a command answered with
 */
export function readShard<T>(
  redis: Redis,
  space: Space,
  shard: Shard,
  ask: (read: Read) => void,
  decode: (replies: Reply[]) => T,
): Promise<Snapshot<T>> {
  const words: (string | number | Buffer)[] = [];
  const add = (times: number, ids: string, commands: ReadCommand[]) => {
    words.push(times, ids, commands.length);
    for (const command of commands) words.push(command.length, ...command);
  };
  const each: Read['each'] = (ids, commands) => {
    const all = ids.join('');
    if (all.length !== ids.length * ID_LENGTH) throw new Error(`of these ids some are none: ${ids.join(' ')}`);
    add(ids.length, all, commands);
  };
  ask(Object.assign((...command: ReadCommand) => add(1, '', [command]), { each }));

  return readShardBy(redis, space, shard, COMMANDS, words, (replies) => decode(replies as Reply[]));
}

const scripts = new Map<string, { lua: string; sha: string }>();

/** A read's Lua, with where the shard stands before what it returns. One script, not a MULTI: that costs its client four times as much. */
function scriptOf(lua: string): { lua: string; sha: string } {
  const known = scripts.get(lua);
  if (known) return known;
  const whole = `
local function key(name) return KEYS[1] .. name end
local function read()
${lua}
end
local stand = redis.call('MGET', key('${APPLIED}'), key('${TARGET}'))
return {stand[1], stand[2], read()}`;
  const script = { lua: whole, sha: createHash('sha1').update(whole).digest('hex') };
  scripts.set(lua, script);

  return script;
}

/**
 * As `readShard`, by a script of the query's own: it makes keys by `key(name)`, finds `args` in ARGV, and changes nothing.
 * @param decode makes the value from what the script returns
 */
export async function readShardBy<T>(
  redis: Redis,
  space: Space,
  shard: Shard,
  lua: string,
  args: (string | number | Buffer)[],
  decode: (reply: Reply) => T,
): Promise<Snapshot<T>> {
  const script = scriptOf(lua);
  const prefix = prefixOf(space, shard);
  const run = (command: string, text: string) => redis.callBuffer(command, text, 1, prefix, ...args);
  const reply = await run('EVALSHA_RO', script.sha).catch((error: Error) => {
    // A Redis that has begun anew knows no scripts.
    if (error.message.startsWith('NOSCRIPT')) return run('EVAL_RO', script.lua);
    throw error;
  });
  const [applied, target, value] = reply as [Buffer | null, Buffer | null, Reply];

  return { applied: applied === null ? -1 : numberIn(applied), target: numberIn(target), value: decode(value) };
}

/** What Redis says as text. */
export const textIn = (reply: Reply | undefined): string | null =>
  reply === null || reply === undefined ? null : (reply as Buffer).toString();

/** A number, said as one or as text; 0 for none. */
export const numberIn = (reply: Reply | undefined): number => (typeof reply === 'number' ? reply : Number(textIn(reply) ?? 0));

/** A UUID as 16 bytes, as members of large collections are kept: a third of the memory. */
export const packId = (id: string): Buffer => Buffer.from(id.replaceAll('-', ''), 'hex');

export const unpackId = (bytes: Buffer): string => {
  const hex = bytes.toString('hex');

  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};
