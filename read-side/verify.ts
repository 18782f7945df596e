/**
 * Does a projection equal the journal? A copy of it is built from the journal itself, by the code that builds the live one, under
 * keys that nobody reads; then both are compared, key by key. The live one moves meanwhile, and the copy does not unless it is told
 * to: so whenever something was read from the live one, the copy is brought to exactly that position, and the same is read there.
 */
import type { Redis } from 'ioredis';
import { Findings } from '../shared/findings.js';
import type { JournalEntry } from '../shared/messages/event.js';
import { createApply, type Apply } from './apply.js';
import { loggedAfter } from './changes.js';
import {
  compareCopies,
  copiedShard,
  NotComparableError,
  readCopy,
  scan,
  type CopiedShard,
  type Copy,
  type ReadBoth,
} from './differences.js';
import { plan, readEntry, type IsSkipped, type Plan, type Unreadable } from './plan.js';
import { readApplied } from './progress.js';
import type { Projection } from './projection.js';
import { APPLIED, liveShard, LOGGED_AFTER, projectionName, TARGET, type Shard, type Space } from './shard.js';

/** Entries of the journal after a position, in order; none only at its end. */
export type ReadJournal = (after: number, most: number) => Promise<{ position: number; body: string }[]>;

export interface VerifyOptions {
  redis: Redis;
  space: Space;
  projection: Projection;
  journal: Journal;
  /** Where the journal stood when this began. */
  head: number;
  isSkipped: IsSkipped;
  signal: AbortSignal;
  onProgress(phase: string, done: number, all: number): void;
}

/** Entries read at once. */
const MAX_READ = 1_000;
/** Entries in one batch of writes. */
const MAX_IN_A_BATCH = 256;
/** Entries that are kept for the shards that are yet to be brought to where they are. */
const MAX_KEPT = 4_096;
/** Of Redis's memory, where it has a limit. Beyond that the live projections could not be written any more. */
const MAX_MEMORY = 0.9;
/** Keys that are removed in one step. */
const MAX_REMOVED = 500;

/** The journal, decoded; what was read last is at hand. */
export class Journal {
  private readonly kept = new Map<number, JournalEntry | Unreadable>();

  constructor(private readonly read: ReadJournal) {}

  /** Entries after a position up to another, `MAX_READ` at the most. @throws when they are not there */
  async entries(after: number, upTo: number): Promise<(JournalEntry | Unreadable)[]> {
    const entries: (JournalEntry | Unreadable)[] = [];
    for (let entry; entries.length < MAX_READ && (entry = this.kept.get(after + entries.length + 1));) {
      if (entry.position > upTo) break;
      entries.push(entry);
    }
    if (entries.length > 0) return entries;
    for (const { position, body } of await this.read(after, Math.min(MAX_READ, upTo - after))) {
      if (position !== after + entries.length + 1) break;
      const entry = readEntry(body, position);
      this.kept.set(position, entry);
      entries.push(entry);
    }
    for (const position of this.kept.keys()) {
      if (this.kept.size <= MAX_KEPT) break;
      this.kept.delete(position);
    }
    if (entries.length === 0) throw new NotComparableError(`The journal has nothing at position ${after + 1}.`);

    return entries;
  }
}

/** What all keys of copies begin with: whoever finds such keys, and verifies nothing, may remove them. */
const copyNamespace = (namespace: string): string => `${namespace}:verify`;
const lockKey = (namespace: string): string => `${namespace}:verify`;
const LOCK_MS = 30_000;
const RENEW_MS = 5_000;

const RENEW = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`;
const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

/** One verifies at a time. Null when somebody else does; `onLost` when somebody else took it for dead. */
export async function lockVerify(redis: Redis, namespace: string, onLost: () => void): Promise<{ release(): Promise<void> } | null> {
  const owner = `${process.pid}.${Date.now()}`;
  if ((await redis.set(lockKey(namespace), owner, 'PX', LOCK_MS, 'NX')) === null) return null;
  const timer = setInterval(() => {
    redis.eval(RENEW, 1, lockKey(namespace), owner, LOCK_MS).then(
      (renewed) => {
        if (renewed === 0) onLost();
      },
      () => onLost(),
    );
  }, RENEW_MS);

  return {
    release: async () => {
      clearInterval(timer);
      await redis.eval(RELEASE, 1, lockKey(namespace), owner);
    },
  };
}

/** Removes what is left of copies, also of a verify that was killed. Returns how many keys that was. */
export async function removeCopies(redis: Redis, namespace: string): Promise<number> {
  let removed = 0;
  for await (const keys of scan(redis, `${copyNamespace(namespace)}:*`, new AbortController().signal)) {
    for (let i = 0; i < keys.length; i += MAX_REMOVED) {
      const some = keys.slice(i, i + MAX_REMOVED).map((key) => Buffer.from(key, 'latin1'));
      await Promise.all(some.map((key) => redis.unlink(key)));
      removed += some.length;
    }
  }

  return removed;
}

/** Compares a live projection with a copy that is built for that. */
export async function verifyProjection(options: VerifyOptions): Promise<Findings> {
  const { redis, space, projection, head, signal, onProgress } = options;
  const findings = new Findings();
  const shards = Array.from({ length: space.shards }, (_, number) => liveShard(projection.id, number, space));
  const live = shards.map((shard) => copiedShard(space, shard));
  const copy = new Rebuilt(options, live);
  // Those that are not there at all are found when their keys are.
  const standing = await Promise.all(shards.map((shard) => readApplied(redis, space, shard)));
  const target = Math.max(0, Math.min(head, ...standing.map(({ applied }) => applied)));
  await copy.begin(target);
  try {
    await copy.build(target);
  } catch (error) {
    if (!(error instanceof NotComparableError)) throw error;
    findings.differ(() => ({
      what: `${projectionName(projection.id)} cannot be built: ${error.message}`,
      is: null,
      shouldBe: null,
      position: null,
    }));
    return findings;
  }
  const read: ReadBoth = async (number, ask) => {
    const { position, replies } = await readCopy(redis, live[number]!, ask);
    await copy.advance(number, position);
    const rebuilt = await readCopy(redis, copy.shards[number]!, ask);
    if (rebuilt.position !== position) throw new NotComparableError(`The copy of ${live[number]!.name} was lost.`);

    return { position, replies: [replies, rebuilt.replies] };
  };
  const size = await redis.dbsize();
  const copies: [Copy, Copy] = [{ space, generation: shards[0]!.generation ?? 1 }, { space: copy.space }];
  await compareCopies(redis, projection.id, copies, read, findings, {
    signal,
    // Each copy's scan looks at all keys.
    onProgress: (scanned) => onProgress('keys', Math.min(scanned, 2 * size), 2 * size),
  });

  return findings;
}

/** A copy of a projection, as far as it was told to come. */
class Rebuilt {
  readonly space: Space;
  readonly shards: CopiedShard[];
  private readonly apply: Apply;
  /** By shard number. */
  private readonly applied: number[];
  /** By shard number: why it cannot go on. */
  private readonly failed: (Error | null)[];
  private batches = 0;

  constructor(
    private readonly options: VerifyOptions,
    private readonly live: CopiedShard[],
  ) {
    const { redis, projection } = options;
    const { namespace, epoch, shards } = options.space;
    this.space = { namespace: copyNamespace(namespace), epoch, shards };
    this.shards = Array.from({ length: shards }, (_, number) => copiedShard(this.space, { projection: projection.id, number }));
    this.apply = createApply(redis, this.space, [projection]);
    this.applied = Array.from({ length: shards }, () => 0);
    this.failed = Array.from({ length: shards }, () => null);
  }

  /** @param target nothing is read before it is there */
  async begin(target: number): Promise<void> {
    const { redis } = this.options;
    await Promise.all(
      this.shards.map(async ({ prefix }, number) => {
        const after = (await loggedAfter(redis, this.live[number]!.prefix)) ?? 0;
        await redis.mset(prefix + APPLIED, 0, prefix + TARGET, target, prefix + LOGGED_AFTER, after);
      }),
    );
  }

  /** Brings all shards to a position, as far as they can be. */
  async build(head: number): Promise<void> {
    const { journal, signal, onProgress } = this.options;
    const all = [...this.applied.keys()];
    let next = head > 0 ? journal.entries(0, head) : Promise.resolve([]);
    for (let done = 0; done < head && this.failed.some((failed) => !failed);) {
      signal.throwIfAborted();
      const entries = await next;
      done = entries.at(-1)!.position;
      // Read while these are applied.
      next = done < head ? journal.entries(done, head) : Promise.resolve([]);
      next.catch(() => undefined);
      await this.applyTo(all, entries);
      onProgress('entries', done, head);
    }
    await next;
  }

  /** Brings one shard to a position. @throws NotComparableError when it is beyond that, or cannot come so far */
  async advance(number: number, position: number): Promise<void> {
    const { name } = this.live[number]!;
    if (position < this.applied[number]!) {
      throw new NotComparableError(`${name} was at ${this.applied[number]} before, and is at ${position} now: Redis has lost what it had.`);
    }
    while (this.applied[number]! < position) {
      this.options.signal.throwIfAborted();
      const failed = this.failed[number];
      if (failed)
        throw new NotComparableError(
          `${name} is at ${position}, and cannot be built so far: ${failed.message}${failed.cause instanceof Error ? `: ${failed.cause.message}` : ''}`,
        );
      await this.applyTo([number], await this.options.journal.entries(this.applied[number]!, position));
    }
  }

  private async applyTo(numbers: number[], entries: (JournalEntry | Unreadable)[]): Promise<void> {
    const { projection, space, isSkipped } = this.options;
    for (let i = 0; i < entries.length; i += MAX_IN_A_BATCH) {
      if (this.batches++ % 100 === 0) await this.expectMemory();
      const batch = entries.slice(i, i + MAX_IN_A_BATCH);
      const going = numbers.filter((number) => !this.failed[number]);
      const shards = going.map((number) => ({
        shard: { projection: projection.id, number },
        applied: this.applied[number]!,
        limit: Infinity,
        unseenUpTo: 0,
      }));
      const plans = plan(projection, shards, space.shards, batch, isSkipped);
      await Promise.all(going.map((number, n) => this.applyBatch(number, plans[n]!)));
    }
  }

  private async applyBatch(number: number, { upTo, writes, failed }: Plan): Promise<void> {
    const shard: Shard = { projection: this.options.projection.id, number };
    while (this.applied[number]! < upTo) {
      const applied = this.applied[number]!;
      const left = writes.filter(({ position }) => position > applied);
      const result = await this.apply(shard, applied, upTo, left).catch((error: Error) => {
        if (error.name !== 'ReplyError') throw error;
        return error;
      });
      if (result instanceof Error) {
        this.failed[number] = result;
        return;
      }
      if (result.status === 'moved') throw new NotComparableError(`The copy of ${this.live[number]!.name} was lost.`);
      this.applied[number] = result.applied;
    }
    this.failed[number] = failed;
  }

  private async expectMemory(): Promise<void> {
    const memory = await this.options.redis.info('memory');
    const [used, most] = ['used_memory', 'maxmemory'].map((name) => Number(memory.match(new RegExp(`^${name}:(\\d+)`, 'm'))?.[1] ?? 0));
    if (most! > 0 && used! > MAX_MEMORY * most!) {
      throw new NotComparableError(`Redis has no room for a copy: ${used} of ${most} bytes are used.`);
    }
  }
}
