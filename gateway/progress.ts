/** What a gateway hears of the write side and the read side: where the journal stands, and how far each shard has come. */
import type { Nats } from '../shared/jetstream.js';
import type { Logger } from '../shared/log.js';
import { natsNames } from '../shared/names.js';
import { askJournalHead } from '../shared/journal-requests.js';
import { progressMessage, type ProgressMessage } from '../read-side/progress.js';
import { anyGeneration, shardName, type Shard } from '../read-side/shard.js';
import { Waits } from './waits.js';

type Head = Awaited<ReturnType<typeof askJournalHead>>;

/**
 * Between two hearings the journal cannot grow by more: at this rate, which is far above what MySQL can commit, since the last hearing and
 * for as long as a hearing may take. What is further ahead is a position that no journal entry can have.
 */
const MAX_COMMITS_PER_SECOND = 50_000;
const MAX_UNHEARD_MS = 10_000;
/** Progress of each shard is told once a second, and after each batch. */
const SILENT_MS = 1_500;
/** Commits remembered, to tell how long ago the first was that a read has not seen. */
const MAX_COMMITS = 1_024;

export class Progress {
  private readonly applied = new Map<string, number>();
  /** When each shard was heard of last, on `performance.now`'s clock. */
  private readonly toldAt = new Map<string, number>();
  private readonly stopped = new Set<string>();
  private live: string | null = null;
  private readonly waits = new Waits();
  private readonly listeners = new Map<string, Set<() => void>>();
  private readonly commits: { position: number; at: number }[] = [];
  /** That any shard has applied. */
  private furthest = 0;
  /** Where the journal stands, as the write side told last; null when it has not told. */
  private head: number | null = null;
  /** When anything was heard last, on `performance.now`'s clock. */
  private heardAt = 0;
  /** The epoch of the newest message; null when none has come. */
  epoch: string | null = null;
  /** Is told of an epoch, and says whether it is the one to listen to. */
  onEpoch: (epoch: string) => boolean = () => true;
  /** Is told which generations are to be read, by `projectionName`, when these have changed. */
  onLive: (live: ReadonlyMap<string, number>) => void = () => undefined;

  private readonly names;
  private asking: Promise<Head | null> | null = null;
  private askingNext: Promise<Head | null> | null = null;

  constructor(
    private readonly nats: Nats,
    namespace: string,
    log: Logger,
  ) {
    const names = (this.names = natsNames(namespace));
    nats.connection.subscribe(names.progress, {
      callback: (error, message) => {
        const parsed = error ? null : progressMessage.safeParse(safely(() => message.json()));
        if (!parsed?.success) return log.warn({ err: error ?? parsed?.error }, 'not a progress message');
        this.hear(parsed.data);
      },
    });
    nats.connection.subscribe(names.committed, {
      callback: (_, message) => {
        const position = Number(message.string());
        this.heardAt = performance.now();
        if (!(position > (this.commits.at(-1)?.position ?? 0))) return;
        this.commits.push({ position, at: Date.now() });
        if (this.commits.length > MAX_COMMITS) this.commits.shift();
      },
    });
  }

  /** The newest position that the shard is known to have applied; −1 when nothing was heard of it. */
  known(shard: string): number {
    return this.applied.get(shard) ?? -1;
  }

  /** Is it heard of as often as it should be? Then what it does is heard of too, and need not be looked for. */
  isFollowed(shard: string): boolean {
    const toldAt = this.toldAt.get(shard);

    return toldAt !== undefined && performance.now() - toldAt < SILENT_MS;
  }

  /** Has it met an event that it cannot apply, or does an operator hold it? Then it does not move until somebody sees to that. */
  isStopped(shard: string): boolean {
    return this.stopped.has(shard);
  }

  /**
   * Can the journal have come to this position (or to a version: each has a position)? What is committed may be heard of late, so what is
   * not too far ahead is possible; and everything is as long as nobody has told where the journal stands.
   */
  isPossible(position: number): boolean {
    if (this.head === null) return true;
    const unheardMs = MAX_UNHEARD_MS + performance.now() - this.heardAt;

    return position <= this.heardOf + (MAX_COMMITS_PER_SECOND * unheardMs) / 1_000;
  }

  /** The furthest position of the journal that was heard of. */
  private get heardOf(): number {
    return Math.max(this.head ?? 0, this.furthest, this.commits.at(-1)?.position ?? 0);
  }

  /**
   * Is that position further than the journal has ever been? Asked of the write side when nothing was heard of it yet; while
   * that does not answer, nobody can say, and it may be.
   */
  async isFuture(position: number, epoch: string): Promise<boolean> {
    if (position <= this.heardOf) return false;
    const head = await this.askHead();

    return head !== null && head.epoch === epoch && head.position < position;
  }

  /** How long ago something was committed that a read as of `position` does not show, in milliseconds; 0 when nothing is known. */
  lagMs(position: number): number {
    const newest = this.commits.at(-1);
    if (!newest || newest.position <= position) return 0;

    return Math.max(0, Date.now() - this.commits.find((commit) => commit.position > position)!.at);
  }

  /** Settles when the shard is heard to have applied `position`, or after `ms`. */
  wait(shard: string, position: number, ms: number): Promise<void> {
    return this.waits.wait(shard, position, ms);
  }

  /**
   * Calls back each time that something is heard of the shard, of whichever generation, until the returned function is called: which
   * one is read may change at any time.
   */
  listen(shard: Shard, listener: () => void): () => void {
    const name = anyGeneration(shardName(shard));
    const listeners = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, listeners.add(listener));

    return () => listeners.delete(listener);
  }

  /** Where the journal stands, asked after this call: an answer to an earlier question may be older than what the caller knows. */
  private askHead(): Promise<Head | null> {
    if (!this.asking) {
      this.asking = askJournalHead(this.nats, this.names)
        .then((head) => {
          if (head.epoch === this.epoch) [this.head, this.heardAt] = [head.position, performance.now()];
          return head;
        })
        .catch(() => null) // It may be away.
        .finally(() => (this.asking = null));
      return this.asking;
    }

    return (this.askingNext ??= this.asking.then(() => {
      this.askingNext = null;
      return this.askHead();
    }));
  }

  private hear({ epoch, applied, stopped, live }: ProgressMessage): void {
    this.heardAt = performance.now();
    if (epoch !== this.epoch) {
      if (!this.onEpoch(epoch)) return;
      this.epoch = epoch;
      this.applied.clear();
      this.toldAt.clear();
      this.stopped.clear();
      this.furthest = 0;
      // A restored journal may be behind what was committed in the old one.
      this.commits.length = 0;
      this.head = null;
      this.live = null;
    }
    // Progress is told every second, so it is asked until there is an answer.
    if (this.head === null && !this.asking) void this.askHead();
    const liveNow = JSON.stringify(live);
    if (liveNow !== this.live) {
      this.live = liveNow;
      this.onLive(new Map(Object.entries(live)));
    }
    for (const [shard, position] of Object.entries(applied)) {
      const isStopped = Object.hasOwn(stopped, shard);
      if (isStopped) this.stopped.add(shard);
      else this.stopped.delete(shard);
      this.applied.set(shard, position);
      this.toldAt.set(shard, this.heardAt);
      this.furthest = Math.max(this.furthest, position);
      this.waits.reached(shard, isStopped ? Infinity : position);
      for (const listener of this.listeners.get(anyGeneration(shard)) ?? []) listener();
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
