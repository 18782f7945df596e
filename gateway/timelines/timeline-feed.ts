/**
 * The live side of timelines: one tail of each shard's log of changes for all subscribers of this gateway who are in it.
 *
 * A tail reads on when the shard is heard to have moved, and hands each change to those readers whom it concerns. Who
 * follows whom is kept here for the subscribed readers, by the same changes. A subscriber takes each change once and in
 * order, because it drops whatever is not after the last one it took; so a tail may go back, and does when a subscriber
 * begins at an older moment than the tail is at.
 */
import type { Logger } from '../../shared/log.js';
import { shardName, type Shard } from '../../read-side/shard.js';
import {
  compareChanges,
  readTimelineChanges,
  readTimelineStart,
  timelineShard,
  type ChangeId,
  type TimelineChange,
} from '../../read-side/timelines/query.js';
import type { Consistency } from '../consistency.js';
import type { Progress } from '../progress.js';
import type { Reads } from '../reads.js';
import type { Resume } from './resume-cursor.js';

export type ResetReason = 'FOLLOWED' | 'UNFOLLOWED' | 'CURSOR_TOO_OLD' | 'TOO_SLOW';

export type Frame = { at: Resume } & ({ type: 'live' } | { type: 'added'; cheepId: string } | { type: 'reset'; reason: ResetReason });

/** Frames that wait for one subscriber, at the most; then it gets a reset instead. */
const MOST_WAITING = 1_000;
const MOST_IN_A_READ = 500;
/** After every change of a position. */
const LAST_INDEX = Number.MAX_SAFE_INTEGER;

const changeId = ({ position, index }: Resume): ChangeId => ({ position, index: index ?? LAST_INDEX });

class Subscriber {
  /** What was missed, then `live`: as long as the log at most, and never thrown away. */
  replay: Frame[] = [];
  readonly frames: Frame[] = [];
  following = new Set<string>();
  last: ChangeId = { position: 0, index: 0 };
  wake: () => void = () => undefined;
  isOver = false;

  constructor(readonly readerId: string) {}

  push(frame: Frame): void {
    if (this.frames.length >= MOST_WAITING) {
      this.frames.length = 0;
      this.frames.push({ at: frame.at, type: 'reset', reason: 'TOO_SLOW' });
    } else {
      this.frames.push(frame);
    }
    this.wake();
  }
}

class Tail {
  private readonly byReader = new Map<string, Set<Subscriber>>();
  private readonly byAuthor = new Map<string, Set<Subscriber>>();
  private last: ChangeId | null = null;
  private epoch: string;
  private reading = false;
  private isBehind = false;
  readonly stopListening: () => void;

  constructor(
    private readonly shard: Shard,
    private readonly reads: Reads,
    progress: Progress,
    private readonly log: Logger,
  ) {
    this.epoch = reads.space.epoch;
    this.stopListening = progress.listen(shardName(shard), () => void this.read());
  }

  get isEmpty(): boolean {
    return this.byReader.size === 0;
  }

  /** From the subscriber's `last` on; it must know whom its reader follows as of then. */
  add(subscriber: Subscriber): void {
    this.enter(subscriber);
    if (this.last === null || compareChanges(subscriber.last, this.last) < 0) this.last = subscriber.last;
    void this.read();
  }

  remove(subscriber: Subscriber): void {
    take(this.byReader, subscriber.readerId, subscriber);
    for (const author of subscriber.following) take(this.byAuthor, author, subscriber);
  }

  private async read(): Promise<void> {
    this.isBehind = true;
    if (this.reading) return;
    this.reading = true;
    try {
      while (this.isBehind && this.last) {
        this.isBehind = false;
        const { epoch } = this.reads.space;
        if (epoch !== this.epoch) {
          await this.restart('CURSOR_TOO_OLD');
          this.epoch = epoch;
          continue;
        }
        const from = this.last;
        const { value } = await readTimelineChanges(this.reads.redis, this.reads.space, this.shard, from, MOST_IN_A_READ);
        // It went back meanwhile, for somebody who began earlier.
        if (this.last !== from) {
          this.isBehind = true;
          continue;
        }
        if (value.isTorn) await this.restart('TOO_SLOW');
        else for (const change of value.changes) this.dispatch(change);
        if (value.changes.length > 0 && !value.isTorn) this.last = value.changes.at(-1)!.id;
        if (value.changes.length === MOST_IN_A_READ) this.isBehind = true;
      }
    } catch (error) {
      // Progress is told again every second, and with it this is.
      this.log.warn({ err: error, shard: shardName(this.shard) }, 'could not read the changes of a shard');
    } finally {
      this.reading = false;
    }
  }

  /** The log is shorter than what was missed, or another one: everybody begins anew. @throws when that cannot be read yet */
  private async restart(reason: ResetReason): Promise<void> {
    const { redis, space } = this.reads;
    const before = this.subscribers();
    const starts = await Promise.all(before.map(({ readerId }) => readTimelineStart(redis, space, readerId, null)));
    if (starts.some(({ applied, target }) => applied < Math.max(0, target))) throw new Error('the shard is being built');
    before.forEach((subscriber, i) => {
      if (subscriber.isOver) return;
      const { applied: position, value } = starts[i]!;
      this.remove(subscriber);
      subscriber.following = value.following;
      subscriber.last = { position, index: LAST_INDEX };
      this.enter(subscriber);
      subscriber.push({ at: { position, index: null }, type: 'reset', reason });
    });
    // Others may have come meanwhile.
    const all = this.subscribers().map(({ last }) => last);
    this.last = all.length > 0 ? all.reduce((a, b) => (compareChanges(a, b) < 0 ? a : b)) : null;
    this.isBehind = true;
  }

  private subscribers(): Subscriber[] {
    return [...this.byReader.values()].flatMap((set) => [...set]);
  }

  private enter(subscriber: Subscriber): void {
    put(this.byReader, subscriber.readerId, subscriber);
    for (const author of subscriber.following) put(this.byAuthor, author, subscriber);
  }

  private dispatch(change: TimelineChange): void {
    if (change.type === 'posted') {
      for (const subscriber of this.byAuthor.get(change.authorId) ?? []) {
        if (!isNew(change, subscriber)) continue;
        subscriber.push({ at: change.id, type: 'added', cheepId: change.cheepId });
      }
      return;
    }
    for (const subscriber of this.byReader.get(change.readerId) ?? []) {
      if (!isNew(change, subscriber)) continue;
      const isFollowing = change.type === 'followed';
      if (isFollowing) {
        subscriber.following.add(change.authorId);
        put(this.byAuthor, change.authorId, subscriber);
      } else {
        subscriber.following.delete(change.authorId);
        take(this.byAuthor, change.authorId, subscriber);
      }
      subscriber.push({ at: change.id, type: 'reset', reason: isFollowing ? 'FOLLOWED' : 'UNFOLLOWED' });
    }
  }
}

/** Each change once: what is not after the last is dropped. */
function isNew(change: TimelineChange, subscriber: Subscriber): boolean {
  if (compareChanges(change.id, subscriber.last) <= 0) return false;
  subscriber.last = change.id;

  return true;
}

function put<K>(map: Map<K, Set<Subscriber>>, key: K, subscriber: Subscriber): void {
  const set = map.get(key);
  if (set) set.add(subscriber);
  else map.set(key, new Set([subscriber]));
}

function take<K>(map: Map<K, Set<Subscriber>>, key: K, subscriber: Subscriber): void {
  const set = map.get(key);
  set?.delete(subscriber);
  if (set?.size === 0) map.delete(key);
}

export class TimelineFeed {
  private readonly tails = new Map<number, Tail>();

  constructor(
    private readonly reads: Reads,
    private readonly progress: Progress,
    private readonly log: Logger,
  ) {}

  /**
   * What happens in a reader's timeline: first what has happened since `after` (or a reset, when that cannot be told), then
   * a `live` frame, then what happens from now on.
   */
  async follow(
    consistency: Consistency,
    readerId: string,
    after: (Resume & { epoch: string }) | null,
  ): Promise<AsyncIterableIterator<Frame>> {
    const { reads } = this;
    const shard = timelineShard(readerId, reads.space);
    const isOfThisEpoch = after !== null && after.epoch === reads.space.epoch;
    const { value, applied } = await reads.read(
      consistency,
      shard,
      (redis, space) => readTimelineStart(redis, space, readerId, isOfThisEpoch ? changeId(after) : null),
      { floor: isOfThisEpoch ? after.position : 0 },
    );
    const subscriber = new Subscriber(readerId);
    subscriber.following = value.following;
    subscriber.last = { position: applied, index: LAST_INDEX };
    const missed = replay(readerId, value, applied, after !== null && (!isOfThisEpoch || value.isTorn));
    subscriber.replay = [...missed, { at: { position: applied, index: null }, type: 'live' }];
    const tail = this.tails.get(shard.number) ?? new Tail(shard, reads, this.progress, this.log);
    this.tails.set(shard.number, tail);
    tail.add(subscriber);
    const leave = () => {
      if (subscriber.isOver) return;
      subscriber.isOver = true;
      tail.remove(subscriber);
      subscriber.wake();
      if (!tail.isEmpty) return;
      tail.stopListening();
      this.tails.delete(shard.number);
    };

    // Not a generator: one that waits for its next frame cannot be told to return.
    const frames: AsyncIterableIterator<Frame> = {
      next: async () => {
        while (subscriber.replay.length + subscriber.frames.length === 0 && !subscriber.isOver) {
          await new Promise<void>((resolve) => (subscriber.wake = resolve));
        }

        return subscriber.isOver
          ? { value: undefined, done: true }
          : { value: (subscriber.replay.shift() ?? subscriber.frames.shift())!, done: false };
      },
      return: async () => {
        leave();

        return { value: undefined, done: true };
      },
      [Symbol.asyncIterator]: () => frames,
    };

    return frames;
  }
}

/** What was missed: the cheeps, or one reset in place of all when the list changed in bulk. */
function replay(
  readerId: string,
  { changes, following }: { changes: TimelineChange[]; following: Set<string> },
  applied: number,
  isTooOld: boolean,
): Frame[] {
  const reset = (reason: ResetReason): Frame[] => [{ at: { position: applied, index: null }, type: 'reset', reason }];
  if (isTooOld) return reset('CURSOR_TOO_OLD');
  const bulk = changes.findLast((change) => change.type !== 'posted' && change.readerId === readerId);
  if (bulk) return reset(bulk.type === 'followed' ? 'FOLLOWED' : 'UNFOLLOWED');

  // Whom one follows did not change, so it was the same all along.
  return changes.flatMap((change): Frame[] =>
    change.type === 'posted' && following.has(change.authorId) ? [{ at: change.id, type: 'added', cheepId: change.cheepId }] : [],
  );
}
