/**
 * Are two copies of a projection the same? Key by key, by what is in a key and not by how Redis keeps it, while both may move: a
 * key is only ever compared with its like as of the same position.
 *
 * Which keys there are, and which members a large key has, is found out by scans, which see all that is there from their
 * beginning to their end. A scan is only a hint, though: what it names is then read from both copies, exactly. So what differs for
 * as long as this runs is found, and what does not differ is never said to.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { ChainableCommander, Redis } from 'ioredis';
import type { Findings } from '../shared/findings.js';
import { APPLIED, LOGGED_AFTER, prefixOf, shardName, TARGET, unpackId, type ProjectionId, type Shard, type Space } from './shard.js';

/** Where a copy of a projection is. */
export interface Copy {
  space: Space;
  /** 1 when none is named. */
  generation?: number;
}

/** Replies of both copies of a shard to the same commands, as of one position. */
export interface Both {
  position: number;
  /** By copy, by command; an error in the place of a reply. */
  replies: [unknown[], unknown[]];
}

export type Ask = (multi: ChainableCommander, key: (name: string) => Buffer) => void;
/** Reads both copies of a shard (its number is given) as of one position. */
export type ReadBoth = (shard: number, ask: Ask) => Promise<Both>;

/** A shard of a copy is not there, or does not come to where the other is. */
export class NotComparableError extends Error {
  override name = 'NotComparableError';
}

/** What a shard says of itself, and not of the journal. */
const OWN_KEYS: ReadonlySet<string> = new Set([APPLIED, TARGET, LOGGED_AFTER, 'lease']);
/** Keys that a SCAN looks at in one step. */
const SCAN_COUNT = 2_000;
/** Keys of a shard that are compared in one step: with what is in them, about a millisecond of Redis's time. */
const KEYS_AT_ONCE = 256;
/** Members of keys that are read in one step, at about the most. */
const MEMBERS_AT_ONCE = 2_000;
/** A key with more members is read in parts. */
const SMALL = 200;
/** When both copies move, they must stand at the same position for the moment of a read: it is tried so often. */
const MAX_TRIES = 1_000;
const RETRY_MS = 5;

// Names and members are bytes; here they are strings with a character for each byte.
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const textOf = (reply: unknown): string => (reply as Buffer).toString('latin1');

const READ = 'readKeys';
/** Type, size, and content of as many of the keys as go into one step: of a large one only the size. Lists are timelines, never large. */
const READ_LUA = `
local size = { string = 'STRLEN', hash = 'HLEN', set = 'SCARD', zset = 'ZCARD', stream = 'XLEN', list = 'LLEN' }
local out, members = {}, 0
for i, key in ipairs(KEYS) do
  if members > ${MEMBERS_AT_ONCE} then break end
  local type = redis.call('TYPE', key).ok
  local n = size[type] and redis.call(size[type], key) or 0
  local one = { type, n }
  if type == 'string' then one[3] = { redis.call('GET', key) }
  elseif type == 'list' then
    members = members + n
    one[3] = redis.call('LRANGE', key, 0, -1)
  elseif n <= ${SMALL} then
    members = members + n
    if type == 'hash' then one[3] = redis.call('HGETALL', key)
    elseif type == 'set' then one[3] = redis.call('SMEMBERS', key)
    elseif type == 'zset' then one[3] = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    elseif type == 'stream' then one[3] = redis.call('XRANGE', key, '-', '+')
    end
  end
  members = members + 1
  out[i] = one
end
return out`;

type Reader = Record<string, (...args: (string | number | Buffer)[]) => unknown>;

/** What is in a key: values by member (of a string, one without a name). */
type Content = Map<string, string>;

interface Reading {
  type: string;
  size: number;
  /** Null for a large key. */
  content: Content | null;
}

function decodeReading(reply: unknown): Reading {
  const [type, size, flat] = reply as [Buffer, number, unknown[] | undefined];

  return { type: textOf(type), size, content: flat ? decodeContent(textOf(type), flat) : null };
}

function decodeContent(type: string, flat: unknown[]): Content {
  if (type === 'set') return new Map(flat.map((member) => [textOf(member), '']));
  if (type === 'stream') return new Map((flat as [Buffer, Buffer[]][]).map(([id, fields]) => [textOf(id), fieldsText(fields)]));
  if (type === 'string' || type === 'list') return new Map(flat.map((value, i) => [type === 'string' ? '' : String(i), textOf(value)]));
  const content: Content = new Map();
  for (let i = 0; i < flat.length; i += 2) content.set(textOf(flat[i]), textOf(flat[i + 1]));

  return content;
}

const fieldsText = (fields: Buffer[]): string => fields.map((field) => printable(textOf(field))).join(' ');

/** Bytes as an operator can read them: text, an id, or else hexadecimal. */
export function printable(text: string): string {
  const utf8 = bytes(text).toString('utf8');
  // eslint-disable-next-line no-control-regex
  if (!/[\u0000-\u001f\u007f\ufffd]/.test(utf8)) return utf8;
  if (text.length === 16) return unpackId(bytes(text));
  // In a timeline: the position, and a packed id.
  if (text.length === 24) return `${bytes(text).readBigUInt64BE()} ${unpackId(bytes(text.slice(8)))}`;
  // A reader's id, and a packed one.
  if (/^[0-9a-f-]{36}$/.test(text.slice(0, 36)) && text.length === 52) return `${text.slice(0, 36)} ${unpackId(bytes(text.slice(36)))}`;

  return `0x${bytes(text).toString('hex')}`;
}

export interface ComparisonOptions {
  signal: AbortSignal;
  /** Of all keys in this Redis, how many have been looked at by the scans. */
  onProgress(scanned: number, compared: number): void;
}

/**
 * Compares all keys of a projection's two copies; what differs is found in the first one, which should be as the second. So is a
 * shard that cannot be compared.
 * @param read see `readMoving`, for two copies that are both kept up to date; may throw a NotComparableError
 */
export async function compareCopies(
  redis: Redis,
  projection: ProjectionId,
  copies: [Copy, Copy],
  read: ReadBoth,
  findings: Findings,
  options: ComparisonOptions,
): Promise<void> {
  redis.defineCommand(READ, { lua: READ_LUA });
  const shards = copies.map((copy) => shardsOf(copy, projection)) as [CopiedShard[], CopiedShard[]];
  const givenUp = new Set<number>();
  const compare = async (number: number, names: string[]) => {
    if (givenUp.has(number)) return;
    try {
      await new ShardComparison(redis, number, [shards[0][number]!, shards[1][number]!], read, findings).keys(names);
    } catch (error) {
      if (!(error instanceof NotComparableError)) throw error;
      givenUp.add(number);
      findings.differ(() => ({ what: error.message, is: null, shouldBe: null, position: null }));
    }
  };
  const waiting = shards[0].map((): string[] => []);
  let scanned = 0;
  const compareWaiting = async (isLast: boolean) => {
    if (!isLast && waiting.every((names) => names.length < KEYS_AT_ONCE)) return;
    await Promise.all(waiting.map((names, number) => compare(number, names.splice(0))));
    options.onProgress(scanned, findings.looked);
  };
  for await (const { keys, looked } of scanCopy(redis, shards[0], options.signal)) {
    scanned += looked;
    for (const { shard, name } of keys) waiting[shard]!.push(name);
    await compareWaiting(false);
  }
  // Of the other, only what the first has not.
  for await (const { keys, looked } of scanCopy(redis, shards[1], options.signal)) {
    scanned += looked;
    if (keys.length > 0) {
      const pipeline = redis.pipeline();
      for (const { shard, name } of keys) pipeline.exists(keyIn(shards[0][shard]!, name));
      const found = await pipeline.exec();
      keys.forEach(({ shard, name }, i) => {
        if (found?.[i]?.[1] === 0) waiting[shard]!.push(name);
      });
    }
    await compareWaiting(false);
  }
  await compareWaiting(true);
}

/** For two copies that are both kept up to date: read in one step, again and again until both stand at the same position. */
export function readMoving(redis: Redis, projection: ProjectionId, copies: [Copy, Copy]): ReadBoth {
  const shards = copies.map((copy) => shardsOf(copy, projection));

  return async (number, ask) => {
    const [one, other] = [shards[0]![number]!, shards[1]![number]!];
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const multi = redis.multi();
      const count = askCopy(multi, one, ask);
      askCopy(multi, other, ask);
      const replies = await run(multi);
      const [a, b] = [replies.slice(0, count), replies.slice(count)];
      const positions = [positionOf(one, a[0]), positionOf(other, b[0])];
      if (positions[0] === positions[1]) return { position: positions[0]!, replies: [a.slice(1), b.slice(1)] };
      await pause(RETRY_MS);
    }
    throw new NotComparableError(`${one.name} and ${other.name} are never at the same position.`);
  };
}

/** One copy's replies, and its position. @throws NotComparableError when it is not there */
export async function readCopy(redis: Redis, shard: CopiedShard, ask: Ask): Promise<{ position: number; replies: unknown[] }> {
  const multi = redis.multi();
  askCopy(multi, shard, ask);
  const [applied, ...replies] = await run(multi);

  return { position: positionOf(shard, applied), replies };
}

/** Returns how many commands that is. */
function askCopy(multi: ChainableCommander, shard: CopiedShard, ask: Ask): number {
  const before = multi.length;
  multi.mget(keyIn(shard, APPLIED), keyIn(shard, TARGET));
  ask(multi, (name) => keyIn(shard, name));

  return multi.length - before;
}

async function run(multi: ChainableCommander): Promise<unknown[]> {
  const results = await multi.exec();
  if (!results) throw new Error('a read without WATCH cannot be aborted');

  return results.map(([error, reply]) => error ?? reply);
}

function positionOf({ name }: CopiedShard, reply: unknown): number {
  if (reply instanceof Error) throw reply;
  const [applied, target] = reply as [string | null, string | null];
  if (applied === null) throw new NotComparableError(`${name} is not there.`);
  if (Number(applied) < Number(target ?? 0))
    throw new NotComparableError(`${name} is being built: it has applied ${applied} of ${target}.`);
  return Number(applied);
}

export interface CopiedShard {
  name: string;
  prefix: string;
}

export const copiedShard = (space: Space, shard: Shard): CopiedShard => ({ name: shardName(shard), prefix: prefixOf(space, shard) });

const shardsOf = ({ space, generation }: Copy, projection: ProjectionId): CopiedShard[] =>
  Array.from({ length: space.shards }, (_, number) =>
    copiedShard(space, { projection, number, ...(generation === undefined ? {} : { generation }) }),
  );

const keyIn = ({ prefix }: CopiedShard, name: string): Buffer => bytes(prefix + name);

/** Keys of a pattern, some at a time. */
export async function* scan(redis: Redis, pattern: string, signal: AbortSignal): AsyncGenerator<string[]> {
  let cursor = '0';
  do {
    signal.throwIfAborted();
    const [next, found] = await redis.scanBuffer(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT);
    cursor = next.toString();
    yield found.map(textOf);
  } while (cursor !== '0');
}

async function* scanCopy(redis: Redis, shards: CopiedShard[], signal: AbortSignal) {
  for await (const found of scan(redis, patternOf(shards), signal)) {
    const keys = found.flatMap((key) => {
      const shard = shards.findIndex(({ prefix }) => key.startsWith(prefix));
      const name = shard < 0 ? '' : key.slice(shards[shard]!.prefix.length);

      return shard < 0 || OWN_KEYS.has(name) ? [] : { shard, name };
    });
    yield { keys, looked: SCAN_COUNT };
  }
}

/** Of the keys of all these shards; they differ by their numbers, right before the brace. */
const patternOf = ([first]: CopiedShard[]): string => first!.prefix.replace(/\d+\}/, '*}') + '*';

/** The keys of one shard. */
class ShardComparison {
  constructor(
    private readonly redis: Redis,
    private readonly number: number,
    private readonly copies: [CopiedShard, CopiedShard],
    private readonly read: ReadBoth,
    private readonly findings: Findings,
  ) {}

  async keys(names: string[]): Promise<void> {
    for (let done = 0; done < names.length;) {
      const some = names.slice(done, done + KEYS_AT_ONCE);
      const { position, replies } = await this.read(this.number, (multi, key) => {
        (multi as unknown as Reader)[`${READ}Buffer`]!(some.length, ...some.map(key));
      });
      const [a, b] = replies.map(([reply]) => {
        if (reply instanceof Error) throw reply;
        return (reply as unknown[]).map(decodeReading);
      });
      const compared = Math.min(a!.length, b!.length);
      for (let i = 0; i < compared; i++) await this.key(some[i]!, a![i]!, b![i]!, position);
      done += compared;
    }
  }

  private async key(name: string, a: Reading, b: Reading, position: number): Promise<void> {
    this.findings.looked += 1;
    if (a.type !== b.type) {
      this.differ(name, '', describe(a), describe(b), position);
    } else if (a.content && b.content) {
      this.compareContents(name, a.type, a.content, b.content, position);
    } else if (a.type in LARGE) {
      await this.large(name, a.type as keyof typeof LARGE);
    } else {
      throw new Error(`${name} is a ${a.type}, which no projection has`);
    }
  }

  /** A difference for a key, however many members differ; the words are of the first. */
  private compareContents(name: string, type: string, a: Content, b: Content, position: number): boolean {
    const isOther = (member: string, value: string) => a.get(member) !== value;
    const members = [
      ...[...b].flatMap(([member, value]) => (isOther(member, value) ? member : [])),
      ...[...a.keys()].filter((member) => !b.has(member)),
    ];
    const [first] = members;
    if (first === undefined) return true;
    const more = members.length > 1 ? ` (and ${members.length - 1} more members)` : '';
    const text = (value: string | undefined) => (value === undefined ? null : type === 'set' ? 'a member' : printable(value));
    const member = type === 'string' ? '' : ` ${printable(first)}${more}`;
    this.differ(name, member, text(a.get(first)), text(b.get(first)), position);

    return false;
  }

  private differ(name: string, member: string, is: string | null, shouldBe: string | null, position: number): void {
    const what = `${this.copies[0].name} ${printable(name)}${member}`;
    this.findings.differ(() => ({ what, is, shouldBe, position }));
  }

  /** In parts: what a scan of one copy names is read from both. When they have not equally many, of the other copy too. */
  private async large(name: string, type: keyof typeof LARGE): Promise<void> {
    const kind = LARGE[type];
    let sizes: [number, number] = [0, 0];
    let last = 0;
    const compare = async (members: string[]): Promise<boolean> => {
      const { position, replies } = await this.read(this.number, (multi, key) => {
        (multi as unknown as Reader)[kind.size]!(key(name));
        kind.ask(multi, key(name), members);
      });
      for (const reply of replies.flat()) {
        if (!(reply instanceof Error)) continue;
        // It is of another type, or none, by now: who reads it whole finds that.
        await this.keys([name]);
        return false;
      }
      const [a, b] = replies.map(([, reply]) => kind.decode(members, reply));
      sizes = replies.map(([size]) => Number(size)) as [number, number];
      last = position;

      return this.compareContents(name, type, a!, b!, position);
    };
    for (const copy of this.copies) {
      for await (const members of kind.members(this.redis, keyIn(copy, name))) {
        if (!(await compare(members))) return;
      }
      if (sizes[0] === sizes[1]) return;
    }
    // What they do not both have was gone again before it was read.
    const [a, b] = sizes;
    if (a !== b) this.differ(name, '', `a ${type} of ${a}`, `a ${type} of ${b}`, last);
  }
}

const describe = ({ type, size }: Reading): string | null => (type === 'none' ? null : `a ${type} of ${size}`);

interface LargeKind {
  size: string;
  /** Members of one copy, some at a time; in a stream, ids. */
  members(redis: Redis, key: Buffer): AsyncGenerator<string[]>;
  /** One command. */
  ask(multi: ChainableCommander, key: Buffer, members: string[]): void;
  decode(members: string[], reply: unknown): Content;
}

const valuesOf = (members: string[], reply: unknown): Content =>
  new Map((reply as (Buffer | null)[]).flatMap((value, i) => (value === null ? [] : [[members[i]!, textOf(value)] as const])));

const scanned = (command: 'hscanBuffer' | 'sscanBuffer' | 'zscanBuffer', step: 1 | 2) =>
  async function* (redis: Redis, key: Buffer): AsyncGenerator<string[]> {
    let cursor = '0';
    do {
      const [next, flat] = await redis[command](key, cursor, 'COUNT', SMALL);
      cursor = next.toString();
      if (flat.length > 0) yield flat.filter((_, i) => i % step === 0).map(textOf);
    } while (cursor !== '0');
  };

const LARGE: Record<'hash' | 'set' | 'zset' | 'stream', LargeKind> = {
  hash: {
    size: 'hlen',
    members: scanned('hscanBuffer', 2),
    ask: (multi, key, members) => void multi.hmgetBuffer(key, ...members.map(bytes)),
    decode: valuesOf,
  },
  zset: {
    size: 'zcard',
    members: scanned('zscanBuffer', 2),
    ask: (multi, key, members) => void multi.callBuffer('ZMSCORE', key, ...members.map(bytes)),
    decode: valuesOf,
  },
  set: {
    size: 'scard',
    members: scanned('sscanBuffer', 1),
    ask: (multi, key, members) => void multi.callBuffer('SMISMEMBER', key, ...members.map(bytes)),
    decode: (members, reply) => new Map((reply as number[]).flatMap((isThere, i) => (isThere ? [[members[i]!, ''] as const] : []))),
  },
  stream: {
    size: 'xlen',
    async *members(redis, key) {
      for (let after = '-'; ;) {
        const entries = (await redis.callBuffer('XRANGE', key, after, '+', 'COUNT', SMALL)) as [Buffer, Buffer[]][];
        if (entries.length === 0) return;
        yield entries.map(([id]) => textOf(id));
        after = `(${textOf(entries.at(-1)![0])}`;
      }
    },
    // From the first to the last of them; there may be others between.
    ask: (multi, key, ids) => void multi.callBuffer('XRANGE', key, ids[0]!, ids.at(-1)!),
    decode: (_, reply) => decodeContent('stream', reply as unknown[]),
  },
};
