/**
 * The live side of a projection: one tail of each shard's log of changes for all subscribers of this gateway who are in it.
 *
 * A tail reads on when the shard is heard to have moved, and hands each change to those who listen to its topic. A
 * subscriber takes each change once and in order, because it drops whatever is not after the last one it took; so a tail may
 * go back, and does when a subscriber begins at an older moment than the tail is at.
 *
 * The law of every feed: what was read as of a cursor, and the frames after that cursor in order, are what would be read now.
 *
 * To add a feed: let the projection's Lua `log` its changes; decode them in its `query.ts`; say in a `FeedDefinition` whom a
 * change concerns and what it is to them; put a `Feed` of it into the gateway's services; and make a subscription whose
 * `subscribe` is `feed.follow` and whose resolver makes GraphQL objects of the frames. `timelines/` has all of it, once.
 */
import pLimit from 'p-limit';
import { registerEnumType } from 'type-graphql';
import { compareChanges, LAST_INDEX, readChanges, readStart, type ChangeId, type DecodeChange, type Logged } from '../read-side/changes.js';
import { liveShard, shardName, shardOf, type ProjectionId, type Shard, type Space } from '../read-side/shard.js';
import { FairWork } from '../shared/fair-work.js';
import type { Logger } from '../shared/log.js';
import type { Consistency } from './consistency.js';
import { siteOf } from './origins.js';
import { fault, overloaded } from './errors.js';
import type { Progress } from './progress.js';
import type { Reads } from './reads.js';
import { resumeCursor, type Resume } from './resume-cursor.js';

/** Why what was read must be read again. */
export const ResetReason = {
  FOLLOWED: 'FOLLOWED',
  UNFOLLOWED: 'UNFOLLOWED',
  CURSOR_TOO_OLD: 'CURSOR_TOO_OLD',
  TOO_SLOW: 'TOO_SLOW',
  CHEEP_DELETED: 'CHEEP_DELETED',
} as const;
export type ResetReason = keyof typeof ResetReason;
registerEnumType(ResetReason, {
  name: 'ResetReason',
  description: 'Why what was read must be read again.',
  valuesConfig: {
    FOLLOWED: { description: 'The reader follows somebody: that author’s cheeps came in, old ones too.' },
    UNFOLLOWED: { description: 'The reader does not follow somebody any more.' },
    CURSOR_TOO_OLD: { description: 'The changes since the cursor are not known any more.' },
    TOO_SLOW: { description: 'More waited for this subscriber than is kept.' },
    CHEEP_DELETED: { description: 'Notifications went with the cheep that they were about.' },
  },
});

/** What a feed tells of itself; each kind has a `type` of its own. */
interface Told {
  type: string;
}

export interface Reset {
  type: 'reset';
  reason: ResetReason;
}

/** What a subscriber gets. `live` says that all that was missed has been told. */
export type Frame<News extends Told> = Place & (News | Reset | { type: 'live' });

interface Place {
  /** The journal that it is of. */
  epoch: string;
  /** Which change: what is read for the frame is as of this one or later. */
  at: Resume;
  /** To go on from after it. */
  cursor: string;
  /** The same for frames that say the same, whoever gets them. */
  key: string;
}

function frame<News extends Told>(epoch: string, at: Resume, told: News | Reset | { type: 'live' }): Frame<News> {
  const cursor = resumeCursor(epoch, at);

  return { ...told, epoch, at, cursor, key: cursor + JSON.stringify(told) };
}

/** (A subscription may bring what is not of a feed: what came of a command, say.) */
export const isOfFeed = (value: unknown): value is Place =>
  typeof value === 'object' && value !== null && 'cursor' in value && 'key' in value;

/** Is given a frame, once; undefined when there will be none any more. */
export type Taker<Frame> = (frame: Frame | undefined) => void;

/** Frames can be had without a promise for each, which many subscribers at once are better off with. */
export interface Frames<Frame> extends AsyncIterableIterator<Frame, undefined> {
  /** In place of `next`: calls back with the next frame, now or when there is one. One at a time. */
  take(taker: Taker<Frame>): void;
}

/** Whom a change concerns, and what it is to them. Topics are any strings; `id` is what the shard is asked about. */
export interface FeedDefinition<Change, News extends Told> {
  projection: ProjectionId;
  decode: DecodeChange<Change>;
  /** What a subscriber listens to: its own topic, and the members of a set of the shard (its name; null for none). */
  topics(id: string): { own: string; set: string | null };
  topicOf(change: Change): string;
  /** What is told to all who listen to the topic; null for nothing. */
  tell(change: Change): News | Reset | null;
  /** The topic that they begin, or cease, to listen to with this change. `tell` then says a reset. */
  move?(change: Change): { topic: string; isOn: boolean } | null;
}

/** Frames that wait for one subscriber, at the most; then it gets a reset instead. */
const MAX_WAITING = 1_000;
/** Of a gateway, that wait for all subscribers: beyond that, those for whom more than a few wait get resets. */
const MAX_WAITING_IN_ALL = 2_000_000;
const MAX_FEW_WAITING = 50;
const MAX_IN_A_READ = 500;
/** Of what a subscription has missed: it is read a little at a time, and others have their turns between. */
const MAX_MISSED_IN_A_READ = 100;
/** Of a gateway: reads at once with which subscriptions begin (the others wait, fairly by address); and those of what was missed. */
const MAX_BEGINNING = 16;
const MAX_REPLAYING = 4;
/** Of a gateway: frames that were missed and wait to be taken; and of these, of subscriptions from one address. */
const MAX_REPLAYED = 200_000;
const MAX_REPLAYED_OF_ADDRESS = 100_000;

const beginnings = new FairWork({ atOnce: MAX_BEGINNING });
const replaying = new FairWork({ atOnce: MAX_REPLAYING });
const restarts = pLimit(MAX_BEGINNING);
/** Frames that wait, but for those that were missed. */
let waitingInAll = 0;

const changeId = ({ position, index }: Resume): ChangeId => ({ position, index: index ?? LAST_INDEX });

/** What a frame is made of; not made before it is taken. */
interface Missed<News extends Told> {
  at: Resume;
  told: News | Reset | { type: 'live' };
}

const replayed = { all: 0, byAddress: new Map<string, number>() };

/** What a subscriber has missed, in order. */
class Replay<News extends Told> {
  private missed: Missed<News>[] = [];
  private next = 0;

  constructor(private readonly address: string) {}

  get size(): number {
    return this.missed.length - this.next;
  }

  get isLiveToCome(): boolean {
    return this.missed.at(-1)?.told.type === 'live' && this.size > 0;
  }

  /** @throws OVERLOADED, and has nothing any more */
  add(missed: Missed<News>[]): void {
    const ofAddress = replayed.byAddress.get(this.address) ?? 0;
    if (replayed.all + missed.length > MAX_REPLAYED || ofAddress + missed.length > MAX_REPLAYED_OF_ADDRESS) {
      this.clear();
      throw overloaded();
    }
    this.count(missed.length);
    this.missed.push(...missed);
  }

  shift(): Missed<News> | undefined {
    const missed = this.missed[this.next];
    if (!missed) return undefined;
    this.next += 1;
    this.count(-1);
    if (this.size === 0) this.clear();

    return missed;
  }

  /** The last reset in place of all, if there is one. */
  reduceToReset(at: Resume): void {
    const last = this.missed.findLast(({ told }) => isReset(told));
    if (last) this.set([{ at, told: last.told }]);
  }

  /** In place of all. */
  set(missed: Missed<News>[]): void {
    this.clear();
    this.count(missed.length);
    this.missed = missed;
  }

  clear(): void {
    this.count(-this.size);
    this.missed = [];
    this.next = 0;
  }

  private count(difference: number): void {
    replayed.all += difference;
    const ofAddress = (replayed.byAddress.get(this.address) ?? 0) + difference;
    if (ofAddress > 0) replayed.byAddress.set(this.address, ofAddress);
    else replayed.byAddress.delete(this.address);
  }
}

class Subscriber<News extends Told> {
  private frames: Frame<News>[] = [];
  isOver = false;
  /** Who waits for a frame: there is none then. */
  private taker: Taker<Frame<News>> | null = null;

  constructor(
    private epoch: string,
    /** The last change of which it is told, or that it knows. */
    public last: ChangeId,
    /** As long as the log at most, and never thrown away. */
    private readonly replay: Replay<News>,
  ) {}

  take(taker: Taker<Frame<News>>): void {
    this.taker = taker;
    this.settle();
  }

  push(news: Frame<News>): void {
    if (this.taker) return this.give(news);
    const isTooSlow = this.frames.length >= MAX_WAITING || (waitingInAll >= MAX_WAITING_IN_ALL && this.frames.length >= MAX_FEW_WAITING);
    if (isTooSlow) {
      this.forget();
      this.frames.push(frame<News>(news.epoch, news.at, { type: 'reset', reason: 'TOO_SLOW' }));
    } else {
      this.frames.push(news);
    }
    waitingInAll += 1;
  }

  /** It gets no more frames. */
  end(): void {
    this.isOver = true;
    this.replay.clear();
    this.forget();
    this.settle();
  }

  private forget(): void {
    waitingInAll -= this.frames.length;
    this.frames = [];
  }

  private settle(): void {
    if (!this.taker) return;
    const first = this.first();
    if (first || this.isOver) this.give(first);
  }

  /** It may ask for the next one at once. */
  private give(news: Frame<News> | undefined): void {
    const taker = this.taker!;
    this.taker = null;
    taker(news);
  }

  private first(): Frame<News> | undefined {
    const missed = this.replay.shift();
    if (missed) return frame<News>(this.epoch, missed.at, missed.told);
    if (this.frames.length === 0) return undefined;
    waitingInAll -= 1;

    return this.frames.shift();
  }

  /** In place of all that it has not taken yet. What it has taken of another epoch it may have dropped, that it is live too. */
  reset(epoch: string, at: Resume, reason: ResetReason): void {
    const isLive = epoch === this.epoch && !this.replay.isLiveToCome;
    this.epoch = epoch;
    this.forget();
    this.replay.set([{ at, told: { type: 'reset', reason } }, ...(isLive ? [] : [{ at, told: { type: 'live' as const } }])]);
    this.settle();
  }
}

/**
 * All subscribers with the same id: they listen to the same topics, of which there may be thousands. One that begins at an older moment than what
 * the others have been told of has a listener of its own, whose topics are as of then.
 */
class Listener<News extends Told> {
  readonly subscribers = new Set<Subscriber<News>>();

  constructor(
    readonly id: string,
    public topics: Set<string>,
    /** The last change that concerned it: its topics are as of this one, or later. */
    public last: ChangeId,
  ) {}
}

class Tail<Change, News extends Told> {
  private readonly listeners = new Set<Listener<News>>();
  /** Whom others with the same id join. */
  private readonly byId = new Map<string, Listener<News>>();
  private readonly byTopic = new Map<string, Set<Listener<News>>>();
  private last: ChangeId | null = null;
  private epoch: string;
  private reading = false;
  private isBehind = false;
  /** Another generation is read than before. */
  private isElsewhere = false;
  readonly stopListening: () => void;

  constructor(
    private readonly definition: FeedDefinition<Change, News>,
    private shard: Shard,
    private readonly reads: Reads,
    progress: Progress,
    private readonly log: Logger,
  ) {
    this.epoch = reads.space.epoch;
    this.stopListening = progress.listen(shard, () => void this.read());
  }

  /** After a switch the same changes are in another generation's log, under the same ids; but who listens to what may be another. */
  private lookWhere(space: Space): void {
    const live = liveShard(this.definition.projection, this.shard.number, space);
    if (live.generation === this.shard.generation) return;
    this.shard = live;
    this.isElsewhere = true;
  }

  get isEmpty(): boolean {
    return this.listeners.size === 0;
  }

  /**
   * From the subscriber's `last` on.
   * @param topics as of then
   * @returns what to call when it leaves
   */
  add(id: string, subscriber: Subscriber<News>, topics: ReadonlySet<string>): () => void {
    const known = this.byId.get(id);
    const listener =
      known && compareChanges(subscriber.last, known.last) >= 0 ? known : new Listener<News>(id, new Set(topics), subscriber.last);
    if (listener !== known) this.enter(listener);
    if (!known) this.byId.set(id, listener);
    listener.subscribers.add(subscriber);
    if (this.last === null || compareChanges(subscriber.last, this.last) < 0) this.last = subscriber.last;
    void this.read();

    return () => {
      listener.subscribers.delete(subscriber);
      if (listener.subscribers.size === 0) this.leave(listener);
    };
  }

  private enter(listener: Listener<News>): void {
    this.listeners.add(listener);
    for (const topic of listener.topics) this.listen(topic, listener);
  }

  private leave(listener: Listener<News>): void {
    this.listeners.delete(listener);
    if (this.byId.get(listener.id) === listener) this.byId.delete(listener.id);
    for (const topic of listener.topics) this.cease(topic, listener);
  }

  private listen(topic: string, listener: Listener<News>): void {
    listener.topics.add(topic);
    const listeners = this.byTopic.get(topic) ?? new Set();
    this.byTopic.set(topic, listeners.add(listener));
  }

  private cease(topic: string, listener: Listener<News>): void {
    listener.topics.delete(topic);
    const listeners = this.byTopic.get(topic);
    listeners?.delete(listener);
    if (listeners?.size === 0) this.byTopic.delete(topic);
  }

  private async read(): Promise<void> {
    this.isBehind = true;
    if (this.reading) return;
    this.reading = true;
    try {
      while (this.isBehind && this.last) {
        this.isBehind = false;
        const { redis, space } = this.reads;
        this.lookWhere(space);
        if (space.epoch !== this.epoch || this.isElsewhere) {
          await this.restart('CURSOR_TOO_OLD');
          this.epoch = space.epoch;
          this.isElsewhere = false;
          continue;
        }
        const from = this.last;
        const { value } = await readChanges(redis, space, this.shard, from, MAX_IN_A_READ, this.definition.decode);
        // It went back meanwhile, for somebody who began earlier.
        if (this.last !== from) {
          this.isBehind = true;
          continue;
        }
        if (value.isTorn) await this.restart('TOO_SLOW');
        else for (const change of value.changes) this.dispatch(change);
        if (value.changes.length > 0 && !value.isTorn) this.last = value.changes.at(-1)!.id;
        if (value.changes.length === MAX_IN_A_READ) this.isBehind = true;
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
    const { topics, decode } = this.definition;
    const before = [...this.listeners];
    const starts = await Promise.all(
      before.map(({ id }) => restarts(() => readStart(redis, space, this.shard, topics(id).set, null, 0, decode))),
    );
    if (starts.some(({ applied, target }) => applied < Math.max(0, target))) throw new Error('the shard is being built');
    before.forEach((listener, i) => {
      // They may have left meanwhile.
      if (!this.listeners.has(listener)) return;
      const { applied: position, value } = starts[i]!;
      const { subscribers, id } = listener;
      this.leave(listener);
      listener.topics = new Set([topics(id).own, ...value.members]);
      listener.last = { position, index: LAST_INDEX };
      this.enter(listener);
      const known = this.byId.get(id);
      if (!known || compareChanges(known.last, listener.last) > 0) this.byId.set(id, listener);
      for (const subscriber of [...subscribers]) {
        subscriber.last = listener.last;
        subscriber.reset(space.epoch, { position, index: null }, reason);
      }
    });
    // Others may have come meanwhile.
    const all = [...this.listeners].flatMap(({ subscribers }) => [...subscribers].map(({ last }) => last));
    this.last = all.length > 0 ? all.reduce((a, b) => (compareChanges(a, b) < 0 ? a : b)) : null;
    this.isBehind = true;
  }

  private dispatch(change: Logged<Change>): void {
    const told = this.definition.tell(change);
    const news = told && frame<News>(this.epoch, change.id, told);
    const move = this.definition.move?.(change);
    for (const listener of [...(this.byTopic.get(this.definition.topicOf(change)) ?? [])]) {
      // Each change once, for each of them too.
      if (compareChanges(change.id, listener.last) <= 0) continue;
      listener.last = change.id;
      if (move?.isOn) this.listen(move.topic, listener);
      else if (move) this.cease(move.topic, listener);
      // Not in a copy: one that leaves meanwhile, because of the frame of another, is told nothing.
      for (const subscriber of listener.subscribers) {
        if (compareChanges(change.id, subscriber.last) <= 0) continue;
        subscriber.last = change.id;
        if (news) subscriber.push(news);
      }
    }
  }
}

export class Feed<Change, News extends Told> {
  private readonly tails = new Map<number, Tail<Change, News>>();

  constructor(
    private readonly definition: FeedDefinition<Change, News>,
    private readonly reads: Reads,
    private readonly progress: Progress,
    private readonly log: Logger,
    private readonly mostMissedInARead = MAX_MISSED_IN_A_READ,
  ) {}

  /**
   * What happens to what is asked about `id`: first what has happened since `after` (or a reset, when that cannot be told),
   * then a `live` frame, then what happens from now on.
   * @param network of the address: of its site's share is what is read and kept at the beginning
   * @throws as any read
   */
  async follow(
    consistency: Consistency,
    id: string,
    after: (Resume & { epoch: string }) | null,
    network: string,
  ): Promise<Frames<Frame<News>>> {
    const address = siteOf(network);
    const { reads, definition } = this;
    const { epoch } = reads.space;
    const shard = shardOf(definition.projection, id, reads.space);
    const isAsBefore = () => reads.space.epoch === epoch && shardOf(definition.projection, id, reads.space).generation === shard.generation;
    const { own, set } = definition.topics(id);
    const isOfThisEpoch = after !== null && after.epoch === epoch;
    if (isOfThisEpoch && !this.progress.isPossible(after.position)) throw fromTheFuture();
    const begun = isOfThisEpoch ? changeId(after) : null;
    const { value, applied } = await reads.read(
      consistency,
      shard,
      (redis, space) =>
        (begun ? replaying : beginnings).run({ address }, () =>
          readStart(redis, space, shard, set, begun, this.mostMissedInARead, definition.decode),
        ),
      { floor: isOfThisEpoch ? after.position : 0, fromTheFuture },
    );
    // It was of a journal that is over by now, or of a generation that is not the one that is read any more.
    if (!isAsBefore()) return this.follow(consistency, id, after, network);
    const topics = new Set([own, ...value.members]);
    const now: Resume = { position: applied, index: null };
    const replay = new Replay<News>(address);
    try {
      let { changes, isTorn } = value;
      for (;;) {
        replay.add(this.missed(changes, topics, applied));
        const last = changes.at(-1)?.id;
        if (isTorn || changes.length < this.mostMissedInARead || last!.position > applied) break;
        // Others begin meanwhile, and what comes of this moment or before is read in any case.
        const page = await reads.read(
          consistency,
          shard,
          (redis, space) =>
            replaying.run({ address }, () => readChanges(redis, space, shard, last!, this.mostMissedInARead, definition.decode)),
          { floor: applied, isBase: false },
        );
        ({ changes, isTorn } = page.value);
        if (!isAsBefore()) break;
      }
      if (!isAsBefore()) {
        replay.clear();
        return await this.follow(consistency, id, after, network);
      }
      const isTooOld = after !== null && (!isOfThisEpoch || isTorn);
      if (isTooOld) replay.set([{ at: now, told: { type: 'reset', reason: 'CURSOR_TOO_OLD' } }]);
      // One reset in place of all, as of now.
      else replay.reduceToReset(now);
      replay.add([{ at: now, told: { type: 'live' } }]);
    } catch (error) {
      replay.clear();
      throw error;
    }
    const subscriber = new Subscriber<News>(epoch, { position: applied, index: LAST_INDEX }, replay);
    const tail = this.tails.get(shard.number) ?? new Tail(definition, shard, reads, this.progress, this.log);
    this.tails.set(shard.number, tail);
    const remove = tail.add(id, subscriber, topics);
    const leave = () => {
      if (subscriber.isOver) return;
      subscriber.end();
      remove();
      if (!tail.isEmpty) return;
      tail.stopListening();
      this.tails.delete(shard.number);
    };

    // Not a generator: one that waits for its next frame cannot be told to return.
    const frames: Frames<Frame<News>> = {
      take: (taker) => subscriber.take(taker),
      next: () =>
        new Promise((resolve) => subscriber.take((value) => resolve(value ? { value, done: false } : { value: undefined, done: true }))),
      return: async () => {
        leave();

        return { value: undefined, done: true };
      },
      [Symbol.asyncIterator]: () => frames,
    };

    return frames;
  }

  /** Each change that concerns the subscriber. Topics are as of now; if they were others meanwhile, there is a reset. */
  private missed(changes: Logged<Change>[], topics: ReadonlySet<string>, applied: number): Missed<News>[] {
    return changes.flatMap((change) => {
      const isMissed = change.id.position <= applied && topics.has(this.definition.topicOf(change));
      const told = isMissed ? this.definition.tell(change) : null;
      return told ? [{ at: change.id, told }] : [];
    });
  }
}

const fromTheFuture = () =>
  fault('BAD_USER_INPUT', 'This cursor is from the future: the journal has not come so far.', { argument: 'after' });

const isReset = <T extends Told>(told: T): told is T & Reset => told.type === 'reset';
