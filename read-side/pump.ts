/**
 * A pump follows the stream of events from where its shards stand, decodes each entry once, and applies it to all of them,
 * a batch at a time. Batches form by themselves: while one is being applied, the next one gathers.
 */
import { follow, type Following } from '../shared/follow.js';
import { askJournal } from '../shared/journal-requests.js';
import type { Nats } from '../shared/jetstream.js';
import type { Logger } from '../shared/log.js';
import type { EntryBody, JournalEntry } from '../shared/messages/event.js';
import { decodeEntry } from '../shared/messages/upcast.js';
import { HEADERS, natsNames } from '../shared/names.js';
import { partOf } from '../shared/ids.js';
import type { Apply, PositionedWrite } from './apply.js';
import type { Projection } from './projection.js';
import { shardName, type Shard, type Space } from './shard.js';

export interface PumpedShard {
  shard: Shard;
  projection: Projection;
  applied: number;
}

export interface PumpOptions {
  nats: Nats;
  space: Space;
  apply: Apply;
  log: Logger;
  /** After a batch: these shards have moved. */
  onApplied(shards: PumpedShard[]): void;
  /** A shard that this pump could not go on with has left it: somebody else moved it, or an entry cannot be applied. */
  onLeft(shard: PumpedShard, cause: 'moved' | Error): void;
  /** After each batch, when no shard is being written to. */
  onBatch(pump: Pump): void;
}

/** Entries in one batch, at the most; as many again may wait. */
const MOST_IN_A_BATCH = 256;

export class Pump {
  readonly shards = new Map<string, PumpedShard>();
  /** Everything up to here is applied by all shards, or on its way: a shard that joins must have it. */
  taken: number;
  private waiting: JournalEntry[] = [];
  private received: number;
  private resume: (() => void) | null = null;
  private working: Promise<void> | null = null;
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
      buffer: MOST_IN_A_BATCH,
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
          if (missing.length === 0) throw new Error(`the journal has nothing after position ${this.received}`);
          for (const { body, position: at } of missing) await this.receive(decodeEntry(body), at);
        }
        await this.receive(decodeEntry(message.string()), position);
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

  private receive(body: EntryBody, position: number): void | Promise<void> {
    if (position !== this.received + 1 || this.stopped) return;
    this.received = position;
    this.waiting.push({ ...body, position });
    this.working ??= this.work().finally(() => (this.working = null));
    if (this.waiting.length >= MOST_IN_A_BATCH) return new Promise((resolve) => (this.resume = resolve));
  }

  private async work(): Promise<void> {
    while (this.waiting.length > 0 && !this.stopped) {
      const batch = this.waiting.splice(0, MOST_IN_A_BATCH);
      this.resume?.();
      this.resume = null;
      this.taken = batch.at(-1)!.position;
      await this.applyAll(batch);
      this.options.onBatch(this);
    }
  }

  private async applyAll(batch: JournalEntry[]): Promise<void> {
    const plan = this.plan(batch);
    const moved = await Promise.all([...plan].map(([shard, part]) => this.applyOne(shard, part)));
    this.options.onApplied(moved.filter((shard) => shard !== null));
  }

  /** What each shard has to write, and up to where: to the end, or before the first entry that its projection fails at. */
  private plan(batch: JournalEntry[]): Map<PumpedShard, Plan> {
    const plan = new Map<PumpedShard, Plan>();
    const byProjection = Map.groupBy(this.shards.values(), (shard) => shard.projection);
    for (const [projection, shards] of byProjection) {
      const parts = new Map(
        shards.map((s) => [
          s.shard.number,
          { upTo: batch.at(-1)!.position, writes: [] as PositionedWrite[], failed: null as Error | null },
        ]),
      );
      for (const entry of batch) {
        try {
          for (const { id, write } of projection.writes(entry)) {
            const number = id === null ? null : partOf(id, this.options.space.shards);
            const to = number === null ? [...parts.values()] : [parts.get(number)];
            for (const part of to) part?.writes.push({ position: entry.position, write });
          }
        } catch (error) {
          const failed = new Error(`${projection.id.name} cannot apply the entry at position ${entry.position}`, { cause: error });
          for (const part of parts.values()) {
            part.failed = failed;
            part.upTo = entry.position - 1;
            part.writes = part.writes.filter(({ position }) => position <= part.upTo);
          }
          break;
        }
      }
      for (const shard of shards) plan.set(shard, parts.get(shard.shard.number)!);
    }

    return plan;
  }

  /** Applies until all of it is done (one script does a bounded part). Null when the shard has not moved. */
  private async applyOne(shard: PumpedShard, { upTo, writes, failed }: Plan): Promise<PumpedShard | null> {
    const before = shard.applied;
    const leave = (cause: 'moved' | Error) => {
      this.leave(shardName(shard.shard));
      this.options.onLeft(shard, cause);
    };
    try {
      while (shard.applied < upTo) {
        const left = writes.filter(({ position }) => position > shard.applied);
        const result = await this.options.apply(shard.shard, shard.applied, upTo, left);
        if (result.status === 'moved' && (result.applied === null || result.applied !== upTo)) {
          leave('moved');
          break;
        }
        shard.applied = result.applied!;
      }
      if (failed && shard.applied === upTo) leave(failed);
    } catch (error) {
      leave(error as Error);
    }

    return shard.applied > before ? shard : null;
  }
}

interface Plan {
  upTo: number;
  writes: PositionedWrite[];
  failed: Error | null;
}
