/**
 * A pump follows the stream of events from where its shards stand, decodes each entry once, and applies it to all of them,
 * a batch at a time. Batches form by themselves: while one is being applied, the next one gathers.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crashPoint } from '../shared/crash-point.js';
import { follow, type Following } from '../shared/follow.js';
import { askJournal } from '../shared/journal-requests.js';
import type { Nats } from '../shared/jetstream.js';
import type { Logger } from '../shared/log.js';
import type { JournalEntry } from '../shared/messages/event.js';
import { HEADERS, natsNames } from '../shared/names.js';
import type { Apply } from './apply.js';
import { isUnreadable, isUnseenIn, plan, readEntry, type IsSkipped, type Plan, type PlannedShard, type Unreadable } from './plan.js';
import type { Projection } from './projection.js';
import { shardName, type Space } from './shard.js';

export interface PumpedShard extends PlannedShard {
  projection: Projection;
}

export interface PumpOptions {
  nats: Nats;
  space: Space;
  apply: Apply;
  log: Logger;
  /** After a batch: these shards have moved. */
  onApplied(shards: PumpedShard[]): void;
  isSkipped: IsSkipped;
  /** A shard has left this pump: it is at its limit, somebody else moved it, or an entry cannot be applied. */
  onLeft(shard: PumpedShard, cause: 'held' | 'moved' | Error): void;
  /** After each batch, when no shard is being written to. */
  onBatch(pump: Pump): void;
}

/** Entries in one batch, at the most; as many again may wait. A script can hand a command 8,000 arguments, and needs two for each. */
const MAX_IN_A_BATCH = 2_048;

/**
 * Planning lets others have their turn after so many milliseconds, and receiving after so many entries: while this thread is busy,
 * Redis comes to the end of what it was sent, and has nothing to do.
 */
const SLICE_MS = 1;
const MAX_IN_A_ROW = 64;

export class Pump {
  readonly shards = new Map<string, PumpedShard>();
  /** Everything up to here is applied by all shards, or on its way: a shard that joins must have it. */
  taken: number;
  /** The id of the newest entry that was taken; null before the first. */
  takenEntryId: string | null = null;
  private waiting: (JournalEntry | Unreadable)[] = [];
  private received: number;
  private resume: (() => void) | null = null;
  private working: Promise<void> | null = null;
  /** What was begun last for each shard. */
  private readonly underWay = new WeakMap<PumpedShard, Promise<unknown>>();
  private stopped = false;
  private readonly following: Following;

  constructor(
    private readonly options: PumpOptions,
    shards: PumpedShard[],
  ) {
    for (const shard of shards) this.shards.set(shardName(shard.shard), shard);
    this.taken = this.received = Math.min(...shards.map((shard) => shard.applied));
    const { nats, log, space } = options;
    const names = natsNames(space.namespace);
    this.following = follow(nats, {
      stream: names.events(space.epoch),
      buffer: MAX_IN_A_BATCH,
      log,
      // Sequences are never behind positions, so this is never too late.
      from: () => this.received + 1,
      handle: async (message) => {
        const position = Number(message.headers?.get(HEADERS.position));
        if (position <= this.received) return;
        if (!position) return log.warn({ sequence: message.seq }, 'skipped a message that is no entry of the journal');
        while (this.received + 1 < position && !this.stopped) {
          // A gap: the stream has lost what the journal has.
          const missing = await askJournal(nats, names, this.received);
          if (missing.length === 0) {
            // What is published was in the journal before.
            return log.warn({ sequence: message.seq, position }, 'skipped a message with a position that the journal has not');
          }
          for (const { body, position: at } of missing) await this.receive(readEntry(body, at));
        }
        const entry = readEntry(message.string(), position);
        if (!isUnreadable(entry)) return this.receive(entry);
        // It may be the stream's copy alone.
        const [original] = await askJournal(nats, names, position - 1);
        await this.receive(original?.position === position ? readEntry(original.body, position) : entry);
      },
    });
  }

  isOpen(): boolean {
    return this.following.isOpen();
  }

  /** Nothing is being applied, and nothing waits to be. */
  isIdle(): boolean {
    return this.working === null && this.waiting.length === 0;
  }

  /** Takes on a shard that has applied everything that this pump has taken. */
  join(shard: PumpedShard): void {
    this.shards.set(shardName(shard.shard), shard);
  }

  leave(name: string): void {
    this.shards.delete(name);
  }

  /** Stops after the batch under way. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.resume?.();
    await this.following.stop();
    await this.working;
  }

  private receive(entry: JournalEntry | Unreadable): void | Promise<void> {
    if (entry.position !== this.received + 1 || this.stopped) return;
    this.received = entry.position;
    this.waiting.push(entry);
    this.working ??= this.work().finally(() => (this.working = null));
    if (this.waiting.length >= MAX_IN_A_BATCH) return new Promise((resolve) => (this.resume = resolve));
    if (entry.position % MAX_IN_A_ROW === 0) return nextTurn();
  }

  private async work(): Promise<void> {
    let underWay = Promise.resolve();
    while (this.waiting.length > 0 && !this.stopped) {
      const batch = this.waiting.splice(0, MAX_IN_A_BATCH);
      this.resume?.();
      this.resume = null;
      const last = batch.at(-1)!;
      this.taken = last.position;
      this.takenEntryId = isUnreadable(last) ? null : last.entryId;
      // While one batch is being applied, the next is planned, and each shard goes on with it when it is ready.
      const before = underWay;
      underWay = this.applyAll(await this.plan(batch));
      await before;
      const isBehind = batch.length === MAX_IN_A_BATCH && this.waiting.length > 0;
      if (isBehind) continue;
      await underWay;
      this.options.onBatch(this);
    }
    await underWay;
  }

  /** First where something is written, and that is told at once: it is what those ask for who have just done it. */
  private async applyAll(plans: Map<PumpedShard, Plan>): Promise<void> {
    const isWritten = ([, { writes }]: [PumpedShard, Plan]) => writes.length > 0;
    const written = this.applySome([...plans].filter(isWritten), Promise.resolve());
    await this.applySome(
      [...plans].filter((one) => !isWritten(one)),
      written,
    );
    await written;
  }

  private async applySome(plans: [PumpedShard, Plan][], after: Promise<unknown>): Promise<void> {
    const moved = await Promise.all(
      plans.map(([shard, part]) => {
        const done = Promise.all([this.underWay.get(shard), after]).then(() => this.applyOne(shard, part));
        this.underWay.set(shard, done);

        return done;
      }),
    );
    this.options.onApplied(moved.filter((shard) => shard !== null));
  }

  private async plan(batch: (JournalEntry | Unreadable)[]): Promise<Map<PumpedShard, Plan>> {
    const { space, isSkipped } = this.options;
    const plans = new Map<PumpedShard, Plan>();
    let since = performance.now();
    // Who joins from here on has all of this batch.
    for (const [projection, all] of Map.groupBy([...this.shards.values()], (shard) => shard.projection)) {
      // Those that can have the same writes.
      for (const shards of Map.groupBy(all, (shard) => isUnseenIn(shard, batch)).values()) {
        if (performance.now() - since > SLICE_MS) {
          await nextTurn();
          since = performance.now();
        }
        plan(projection, shards, space.shards, batch, isSkipped).forEach((part, i) => plans.set(shards[i]!, part));
      }
    }

    return plans;
  }

  /** Applies until all of it is done (one script does a bounded part). Null when the shard has not moved. */
  private async applyOne(shard: PumpedShard, { upTo, writes, failed }: Plan): Promise<PumpedShard | null> {
    // It may have left at the batch before.
    if (this.shards.get(shardName(shard.shard)) !== shard) return null;
    const before = shard.applied;
    const leave = (cause: 'held' | 'moved' | Error) => {
      this.leave(shardName(shard.shard));
      this.options.onLeft(shard, cause);
    };
    try {
      while (shard.applied < upTo) {
        const left = writes.filter(({ position }) => position > shard.applied);
        crashPoint('read side: before apply');
        const result = await this.options.apply(shard.shard, shard.applied, upTo, left);
        crashPoint('read side: after apply');
        if (result.status === 'moved' && (result.applied === null || result.applied !== upTo)) {
          leave('moved');
          return shard.applied > before ? shard : null;
        }
        shard.applied = result.applied!;
      }
      if (failed && shard.applied === upTo) leave(failed);
      else if (shard.applied >= shard.limit) leave('held');
    } catch (error) {
      leave(error as Error);
    }

    return shard.applied > before ? shard : null;
  }
}
