/** What a gateway hears of the write side and the read side: where the journal stands, and how far each shard has come. */
import type { Nats } from '../shared/jetstream.js';
import type { Logger } from '../shared/log.js';
import { natsNames } from '../shared/names.js';
import { progressMessage } from '../read-side/progress.js';

interface Waiter {
  position: number;
  wake: () => void;
}

/** Commits remembered, to tell how long ago the first was that a read has not seen. */
const MOST_COMMITS = 1_024;

export class Progress {
  private readonly applied = new Map<string, number>();
  private readonly waiters = new Map<string, Set<Waiter>>();
  private readonly listeners = new Map<string, Set<() => void>>();
  private readonly commits: { position: number; at: number }[] = [];
  /** The epoch of the newest message; null when none has come. */
  epoch: string | null = null;
  /** Is told of an epoch, and says whether it is the one to listen to. */
  onEpoch: (epoch: string) => boolean = () => true;

  constructor(nats: Nats, namespace: string, log: Logger) {
    const names = natsNames(namespace);
    nats.connection.subscribe(names.progress, {
      callback: (error, message) => {
        const parsed = error ? null : progressMessage.safeParse(safely(() => message.json()));
        if (!parsed?.success) return log.warn({ err: error ?? parsed?.error }, 'not a progress message');
        this.hear(parsed.data.epoch, parsed.data.applied);
      },
    });
    nats.connection.subscribe(names.committed, {
      callback: (_, message) => {
        const position = Number(message.string());
        if (!(position > (this.commits.at(-1)?.position ?? 0))) return;
        this.commits.push({ position, at: Date.now() });
        if (this.commits.length > MOST_COMMITS) this.commits.shift();
      },
    });
  }

  /** The newest position that the shard is known to have applied; −1 when nothing was heard of it. */
  known(shard: string): number {
    return this.applied.get(shard) ?? -1;
  }

  /** How long ago something was committed that a read as of `position` does not show, in milliseconds; 0 when nothing is known. */
  lagMs(position: number): number {
    const newest = this.commits.at(-1);
    if (!newest || newest.position <= position) return 0;

    return Math.max(0, Date.now() - this.commits.find((commit) => commit.position > position)!.at);
  }

  /** Settles when the shard is heard to have applied `position`, or after `ms`. */
  wait(shard: string, position: number, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.waiters.get(shard) ?? new Set();
      this.waiters.set(shard, waiters);
      const waiter: Waiter = {
        position,
        wake: () => {
          clearTimeout(timer);
          waiters.delete(waiter);
          resolve();
        },
      };
      const timer = setTimeout(waiter.wake, ms);
      waiters.add(waiter);
    });
  }

  /** Calls back each time that something is heard of the shard, until the returned function is called. */
  listen(shard: string, listener: () => void): () => void {
    const listeners = this.listeners.get(shard) ?? new Set();
    this.listeners.set(shard, listeners.add(listener));

    return () => listeners.delete(listener);
  }

  private hear(epoch: string, applied: Record<string, number>): void {
    if (epoch !== this.epoch) {
      if (!this.onEpoch(epoch)) return;
      this.epoch = epoch;
      this.applied.clear();
    }
    for (const [shard, position] of Object.entries(applied)) {
      this.applied.set(shard, position);
      for (const waiter of this.waiters.get(shard) ?? []) if (waiter.position <= position) waiter.wake();
      for (const listener of this.listeners.get(shard) ?? []) listener();
    }
  }
}

const safely = (read: () => unknown): unknown => {
  try {
    return read();
  } catch {
    return undefined; // Not JSON: the schema says so.
  }
};
