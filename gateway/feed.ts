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
import type { Logger } from '../shared/log.js';
import type { Consistency } from './consistency.js';
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
const MOST_WAITING = 1_000;
const MOST_IN_A_READ = 500;
/** Of a gateway: subscriptions that read at once what they have missed (the others wait), and frames of it that wait to be taken. */
const MOST_BEGINNING = 200;
const MOST_REPLAYED = 200_000;
const replays = { limit: pLimit(MOST_BEGINNING), frames: 0 };

const changeId = ({ position, index }: Resume): ChangeId => ({ position, index: index ?? LAST_INDEX });

class Subscriber<News extends Told> {
  /** What was missed, then `live`: as long as the log at most, and never thrown away. */
  private replay: Frame<News>[] = [];
  private readonly frames: Frame<News>[] = [];
  topics = new Set<string>();
  last: ChangeId = { position: 0, index: 0 };
  isOver = false;
  /** Who waits for a frame: there is none then. */
  private taker: Taker<Frame<News>> | null = null;

  constructor(
    readonly id: string,
    private epoch: string,
  ) {}

  /** In place of what is still to be replayed. */
  begin(replay: Frame<News>[]): void {
    replays.frames += replay.length - this.replay.length;
    this.replay = replay;
  }

  take(taker: Taker<Frame<News>>): void {
    this.taker = taker;
    this.settle();
  }

  push(news: Frame<News>): void {
    if (this.taker) {
      this.give(news);
    } else if (this.frames.length >= MOST_WAITING) {
      this.frames.length = 0;
      this.frames.push(frame<News>(news.epoch, news.at, { type: 'reset', reason: 'TOO_SLOW' }));
    } else {
      this.frames.push(news);
    }
  }

  /** It gets no more frames. */
  end(): void {
    this.isOver = true;
    this.begin([]);
    this.frames.length = 0;
    this.settle();
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
    if (this.replay.length === 0) return this.frames.length > 0 ? this.frames.shift() : undefined;
    replays.frames -= 1;

    return this.replay.shift();
  }

  /** In place of all that it has not taken yet. What it has taken of another epoch it may have dropped, that it is live too. */
  reset(epoch: string, at: Resume, reason: ResetReason): void {
    const isLive = epoch === this.epoch && !this.replay.some(({ type }) => type === 'live');
    this.epoch = epoch;
    this.frames.length = 0;
    this.begin([frame<News>(epoch, at, { type: 'reset', reason }), ...(isLive ? [] : [frame<News>(epoch, at, { type: 'live' })])]);
    this.settle();
  }
}

class Tail<Change, News extends Told> {
  private readonly subscribers = new Set<Subscriber<News>>();
  private readonly byTopic = new Map<string, Set<Subscriber<News>>>();
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
    return this.subscribers.size === 0;
  }

  /** From the subscriber's `last` on; it must know its topics as of then. */
  add(subscriber: Subscriber<News>): void {
    this.enter(subscriber);
    if (this.last === null || compareChanges(subscriber.last, this.last) < 0) this.last = subscriber.last;
    void this.read();
  }

  remove(subscriber: Subscriber<News>): void {
    this.subscribers.delete(subscriber);
    for (const topic of subscriber.topics) this.cease(topic, subscriber);
  }

  private enter(subscriber: Subscriber<News>): void {
    this.subscribers.add(subscriber);
    for (const topic of subscriber.topics) this.listen(topic, subscriber);
  }

  private listen(topic: string, subscriber: Subscriber<News>): void {
    subscriber.topics.add(topic);
    const listeners = this.byTopic.get(topic) ?? new Set();
    this.byTopic.set(topic, listeners.add(subscriber));
  }

  private cease(topic: string, subscriber: Subscriber<News>): void {
    subscriber.topics.delete(topic);
    const listeners = this.byTopic.get(topic);
    listeners?.delete(subscriber);
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
        const { value } = await readChanges(redis, space, this.shard, from, MOST_IN_A_READ, this.definition.decode);
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
    const { topics, decode } = this.definition;
    const before = [...this.subscribers];
    const starts = await Promise.all(before.map(({ id }) => readStart(redis, space, this.shard, topics(id).set, null, decode)));
    if (starts.some(({ applied, target }) => applied < Math.max(0, target))) throw new Error('the shard is being built');
    before.forEach((subscriber, i) => {
      if (subscriber.isOver) return;
      const { applied: position, value } = starts[i]!;
      this.remove(subscriber);
      subscriber.topics = new Set([topics(subscriber.id).own, ...value.members]);
      subscriber.last = { position, index: LAST_INDEX };
      this.enter(subscriber);
      subscriber.reset(space.epoch, { position, index: null }, reason);
    });
    // Others may have come meanwhile.
    const all = [...this.subscribers].map(({ last }) => last);
    this.last = all.length > 0 ? all.reduce((a, b) => (compareChanges(a, b) < 0 ? a : b)) : null;
    this.isBehind = true;
  }

  private dispatch(change: Logged<Change>): void {
    const told = this.definition.tell(change);
    const news = told && frame<News>(this.epoch, change.id, told);
    const move = this.definition.move?.(change);
    for (const subscriber of [...(this.byTopic.get(this.definition.topicOf(change)) ?? [])]) {
      // Each change once.
      if (compareChanges(change.id, subscriber.last) <= 0) continue;
      subscriber.last = change.id;
      if (move?.isOn) this.listen(move.topic, subscriber);
      else if (move) this.cease(move.topic, subscriber);
      if (news) subscriber.push(news);
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
  ) {}

  /**
   * What happens to what is asked about `id`: first what has happened since `after` (or a reset, when that cannot be told),
   * then a `live` frame, then what happens from now on.
   * @throws as any read
   */
  async follow(consistency: Consistency, id: string, after: (Resume & { epoch: string }) | null): Promise<Frames<Frame<News>>> {
    const { reads, definition } = this;
    const { epoch } = reads.space;
    const shard = shardOf(definition.projection, id, reads.space);
    const { own, set } = definition.topics(id);
    const isOfThisEpoch = after !== null && after.epoch === epoch;
    const begin = () =>
      reads.read(
        consistency,
        shard,
        (redis, space) => readStart(redis, space, shard, set, isOfThisEpoch ? changeId(after) : null, definition.decode),
        { floor: isOfThisEpoch ? after.position : 0, fromTheFuture },
      );
    const { value, applied } = await (isOfThisEpoch ? replays.limit(begin) : begin());
    // It was of a journal that is over by now, or of a generation that is not the one that is read any more.
    const { generation } = shardOf(definition.projection, id, reads.space);
    if (reads.space.epoch !== epoch || generation !== shard.generation) return this.follow(consistency, id, after);
    const subscriber = new Subscriber<News>(id, epoch);
    subscriber.topics = new Set([own, ...value.members]);
    subscriber.last = { position: applied, index: LAST_INDEX };
    const now: Resume = { position: applied, index: null };
    const missed = this.missed(epoch, value.changes, subscriber.topics, now, after !== null && (!isOfThisEpoch || value.isTorn));
    if (replays.frames + missed.length > MOST_REPLAYED) throw overloaded();
    subscriber.begin([...missed, frame<News>(epoch, now, { type: 'live' })]);
    const tail = this.tails.get(shard.number) ?? new Tail(definition, shard, reads, this.progress, this.log);
    this.tails.set(shard.number, tail);
    tail.add(subscriber);
    const leave = () => {
      if (subscriber.isOver) return;
      subscriber.end();
      tail.remove(subscriber);
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

  /** Each change that concerns the subscriber, or one reset in place of all, as of now. */
  private missed(epoch: string, changes: Logged<Change>[], topics: ReadonlySet<string>, now: Resume, isTooOld: boolean): Frame<News>[] {
    if (isTooOld) return [frame<News>(epoch, now, { type: 'reset', reason: 'CURSOR_TOO_OLD' })];
    // Topics as of now; if they were others meanwhile, there is a reset.
    const told = changes.flatMap((change) => {
      const news = topics.has(this.definition.topicOf(change)) ? this.definition.tell(change) : null;
      return news ? [{ at: change.id, news }] : [];
    });
    const last = told.findLast(({ news }) => isReset(news));
    if (last && isReset(last.news)) return [frame<News>(epoch, now, last.news)];

    return told.map(({ at, news }) => frame<News>(epoch, at, news));
  }
}

const fromTheFuture = () =>
  fault('BAD_USER_INPUT', 'This cursor is from the future: the journal has not come so far.', { argument: 'after' });

const isReset = <T extends Told>(told: T): told is T & Reset => told.type === 'reset';
