/**
 * Live feeds, whatever is heard and when. Shards move on, gateways hear of it late, twice, of something older, or not at all; what
 * they ask Redis is answered late, in another order, or not; logs are short, and the journal gets a new epoch in the middle.
 * Subscribers come with any cursor, take much or little, leave, and go on elsewhere with the last cursor that they have. Each
 * gets every change after its cursor that concerns it, once and in order, hears once that it is live, and is told to read again
 * only with a cause; and what it had, with the frames, is what it would read now.
 */
import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { GraphQLError } from 'graphql';
import { Redis } from 'ioredis';
import { authorFeed } from '../../gateway/authors/author-feed.js';
import { threadFeed } from '../../gateway/cheeps/thread-feed.js';
import { Consistency } from '../../gateway/consistency.js';
import { Feed, type FeedDefinition, type Frame } from '../../gateway/feed.js';
import { notificationFeed } from '../../gateway/notifications/notification-feed.js';
import { Progress } from '../../gateway/progress.js';
import { Reads } from '../../gateway/reads.js';
import { parseResumeCursor, resumeCursor, type Resume } from '../../gateway/resume-cursor.js';
import { timelineFeed } from '../../gateway/timelines/timeline-feed.js';
import { createApply, type Apply } from '../../read-side/apply.js';
import type { ChangeId } from '../../read-side/changes.js';
import type { ProgressMessage } from '../../read-side/progress.js';
import type { Projection } from '../../read-side/projection.js';
import { APPLIED, LOG_LENGTH, prefixOf, shardName, TARGET, type Space } from '../../read-side/shard.js';
import { partOf } from '../../shared/ids.js';
import type { Nats } from '../../shared/jetstream.js';
import type { Logger } from '../../shared/log.js';
import type { JournalEntry } from '../../shared/messages/event.js';
import { natsNames } from '../../shared/names.js';
import { Fold, idsIn, journalOf, stepsOf, TOWN } from './journal.js';
import { SUBJECTS, type Subject } from './questions.js';
import { assertAtOnce } from './runs.js';

const DATABASE = 12;
/** So that what was missed is read in several pages. */
const MAX_IN_A_READ = 3;

let redis: Redis;
beforeAll(() => {
  redis = new Redis(process.env.TEST_REDIS_URL!, { db: DATABASE });
});
afterAll(() => redis?.disconnect());

interface News {
  type: string;
}
type AnyFrame = Frame<News>;
type AnyFeed = Feed<object, News>;

/** What a change of the shard's log is to whoever follows this id: news, a reset, or nothing. */
type Means = (change: Record<string, unknown>, id: string, before: () => Fold) => Record<string, unknown> | null;

interface Kind {
  subject: Subject;
  /** What a page shows, of feeds whose frames say all that is needed to keep it up to date. */
  page?(fold: Fold, id: string): string[];
  definition: FeedDefinition<object, News>;
  /** Who can be followed. */
  ids(journal: JournalEntry[]): string[];
  means: Means;
}

const reset = (reason: string) => ({ type: 'reset', reason });

const KINDS = {
  timelines: {
    subject: SUBJECTS.timelines,
    definition: timelineFeed,
    ids: () => TOWN,
    page: (fold, id) => fold.timelineOf(id).map(({ cheepId }) => cheepId),
    means({ type, readerId, authorId, cheepId }, id, before) {
      if (type === 'followed' || type === 'unfollowed') return readerId === id ? reset(type.toUpperCase()) : null;
      if (!before().isFollowing(id, authorId as string)) return null;

      return { type: { posted: 'added', edited: 'edited', deleted: 'removed' }[type as 'posted' | 'edited' | 'deleted'], cheepId };
    },
  },
  authors: {
    subject: SUBJECTS.authors,
    definition: authorFeed,
    ids: () => TOWN,
    means: ({ authorId }, id) => (authorId === id ? { type: 'changed', authorId } : null),
  },
  cheeps: {
    subject: SUBJECTS.cheeps,
    definition: threadFeed,
    ids: idsIn,
    means: ({ type, watchedId, cheepId }, id) => (watchedId === id ? { type, cheepId } : null),
  },
  notifications: {
    subject: SUBJECTS.notifications,
    definition: notificationFeed,
    ids: () => TOWN,
    means: ({ readerId, ...change }, id) => (readerId !== id ? null : change.type === 'removed' ? reset('CHEEP_DELETED') : change),
  },
} satisfies Record<string, Kind>;

/** How a question to Redis fares. */
const MANNERS = ['at once', 'at once', 'asked late', 'answered late', 'answered late', 'fails'] as const;
type Manner = (typeof MANNERS)[number];

const LAST_INDEX = Number.MAX_SAFE_INTEGER;
const compare = (a: Resume, b: Resume): number => a.position - b.position || (a.index ?? LAST_INDEX) - (b.index ?? LAST_INDEX);

/** How many of these, which are in order, are not after that place. */
function countUpTo(all: { at: ChangeId }[], place: Resume): number {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (compare(all[middle]!.at, place) <= 0) low = middle + 1;
    else high = middle;
  }

  return low;
}

/** A journal's life: what has happened in it, and what its shards have applied. */
class Epoch {
  readonly applied: number[];
  /** The furthest that each has been: Redis may lose it. */
  readonly reached: number[];
  /** Where the journal stood when each began to build itself. */
  readonly targets: number[];
  losses = 0;
  private readonly folds: Fold[] = [];
  private readonly changes = new Map<number, { at: ChangeId; change: Record<string, unknown> }[]>();
  private readonly news = new Map<string, { at: ChangeId; news: Record<string, unknown> }[]>();

  constructor(
    readonly space: Space,
    readonly journal: JournalEntry[],
    private readonly kind: Kind,
    isBuilt: boolean,
  ) {
    const ofEach = (position: number) => Array.from({ length: space.shards }, () => position);
    this.applied = ofEach(0);
    this.reached = ofEach(0);
    this.targets = ofEach(isBuilt ? 0 : Math.ceil(journal.length / 2));
  }

  get name(): string {
    return this.space.epoch;
  }

  fold = (position: number): Fold => (this.folds[position] ??= Fold.of(this.journal.slice(0, position)));

  shardOf = (id: string): number => partOf(id, this.space.shards);

  /** All that the shard's log may say, whoever it concerns. */
  changesIn(shard: number): { at: ChangeId; change: Record<string, unknown> }[] {
    const known = this.changes.get(shard);
    if (known) return known;
    const [before, after] = [new Fold(), new Fold()];
    const all = this.journal.flatMap((entry, i) => {
      after.add(entry);
      if (i > 0) before.add(this.journal[i - 1]!);
      const changes = this.kind.subject.changes(before, after, (id) => this.shardOf(id) === shard);

      return changes.map(({ change }, index) => ({ at: { position: entry.position, index }, change }));
    });
    this.changes.set(shard, all);

    return all;
  }

  /** What is told to who follows this id, after one place and up to another. */
  told(id: string, after: Resume, upTo: Resume): { at: ChangeId; news: Record<string, unknown> }[] {
    const all = this.toldTo(id);

    return all.slice(countUpTo(all, after), countUpTo(all, upTo));
  }

  private toldTo(id: string): { at: ChangeId; news: Record<string, unknown> }[] {
    const known = this.news.get(id);
    if (known) return known;
    const all = this.changesIn(this.shardOf(id)).flatMap(({ at, change }) => {
      const news = this.kind.means(change, id, () => this.fold(at.position - 1));

      return news ? [{ at, news }] : [];
    });
    this.news.set(id, all);

    return all;
  }
}

/** One gateway: its feed, what it hears, and how Redis answers it. */
class Gateway {
  readonly feed: AnyFeed;
  epoch: Epoch;
  listening = 0;
  /** Questions under way that wait to be asked or answered. */
  readonly waiting: (() => void)[] = [];
  isCalm = false;
  /** Questions that failed. */
  failures = 0;
  /** A tail could not read: it tries again when something is heard. */
  hasWarned = false;
  private asked = 0;
  private readonly hear: (message: ProgressMessage) => void;

  constructor(
    private readonly town: FedTown,
    kind: Kind,
    private readonly manners: Manner[],
  ) {
    this.epoch = town.epoch;
    const names = natsNames(this.epoch.space.namespace);
    let callback: (error: null, message: object) => void = () => undefined;
    const nats = {
      connection: {
        subscribe: (subject: string, options: { callback: typeof callback }) => {
          if (subject === names.progress) callback = options.callback;
        },
        request: async () => ({ json: () => ({ epoch: town.epoch.name, position: town.epoch.journal.length }) }),
      },
    } as unknown as Nats;
    const log = { warn: () => (this.hasWarned = true) } as unknown as Logger;
    const progress = new Progress(nats, this.epoch.space.namespace, log);
    progress.onEpoch = (name) => {
      const heard = town.epochs.findIndex((epoch) => epoch.name === name);
      // One that was left is over.
      if (heard < town.epochs.indexOf(this.epoch)) return false;
      this.epoch = town.epochs[heard]!;

      return true;
    };
    const listen = progress.listen.bind(progress);
    progress.listen = (shard, listener) => {
      this.listening += 1;
      const stop = listen(shard, listener);

      return () => {
        this.listening -= 1;
        stop();
      };
    };
    this.hear = (message) => callback(null, { json: () => message });
    this.feed = new Feed(kind.definition, new Reads(this.slow(redis), progress, () => this.epoch.space), progress, log, MAX_IN_A_READ);
  }

  /** @param back it is told of what was so many entries ago */
  tell(epoch: Epoch, shard: number, back: number): void {
    const name = shardName({ projection: this.town.projection.id, number: shard });
    this.hear({ epoch: epoch.name, applied: { [name]: Math.max(0, epoch.applied[shard]! - back) }, stopped: {}, live: {} });
  }

  letGo(which: number): void {
    this.waiting.splice(which % Math.max(1, this.waiting.length), 1)[0]?.();
  }

  calm(): void {
    this.isCalm = true;
    for (const go of this.waiting.splice(0)) go();
  }

  /** Redis, whose transactions fare as they must. */
  private slow(redis: Redis): Redis {
    const multi = () => {
      const transaction = redis.multi();
      const exec = transaction.exec.bind(transaction);
      transaction.exec = async () => {
        const manner = this.isCalm ? 'at once' : this.manners[this.asked++ % this.manners.length];
        const wait = () => new Promise<void>((go) => this.waiting.push(go));
        if (manner === 'asked late') await wait();
        if (manner === 'fails' && !this.isCalm) {
          this.failures += 1;
          throw new Error('Connection is closed.');
        }
        const replies = await exec();
        if (manner === 'answered late' && !this.isCalm) await wait();

        return replies;
      };

      return transaction;
    };

    return new Proxy(redis, { get: (target, name) => (name === 'multi' ? multi : (Reflect.get(target, name) as unknown)) });
  }
}

/** What somebody may begin with. */
type Beginning = { from: 'nothing' | 'now' | 'another journal' } | { from: 'before' | 'the future'; by: number; index: number | null };

/** One subscription, and all that it must be told. */
class Subscription {
  /** Where it stands; null before anything was seen. */
  private at: Resume | null = null;
  private epoch: Epoch | null = null;
  /** Its cursor was of another journal. */
  private isForeign = false;
  /** Of what comes after nothing, the position before which nothing comes. */
  private begunAt = 0;
  /** Of the last frame, or what it began with. */
  cursor: string | null;
  private isLive = false;
  private isReset = false;
  /** What a client has that reads a page at its cursor and at each reset, and then keeps to the frames. */
  private page: string[] = [];
  private frames: AsyncIterator<AnyFrame> | null = null;
  private outstanding: Promise<void> | null = null;
  private readonly received: AnyFrame[] = [];
  private isOver = false;
  private failure: unknown = null;
  private readonly begun: Promise<unknown>;
  private readonly mayFail: () => boolean;
  private readonly story: string[] = [];

  constructor(
    private readonly town: FedTown,
    readonly gateway: Gateway,
    readonly id: string,
    cursor: string | null,
  ) {
    this.cursor = cursor;
    const after = cursor === null ? null : parseResumeCursor(cursor);
    const { failures, epoch } = gateway;
    const { losses } = epoch;
    const applied = epoch.applied[epoch.shardOf(id)]!;
    const isFuture = after?.epoch === epoch.name && after.position > applied;
    this.mayFail = () =>
      isFuture ||
      epoch.losses > losses ||
      gateway.failures > failures ||
      applied < epoch.targets[epoch.shardOf(id)]! ||
      gateway.epoch !== epoch;
    this.begun = gateway.feed.follow(new Consistency(epoch.name, 0, false, 0), id, after, '192.0.2.1').then(
      (frames) => {
        this.frames = frames;
        // There may have been a new epoch in between.
        this.epoch = gateway.epoch;
        if (this.epoch === epoch) this.begunAt = applied;
        if (after?.epoch === this.epoch.name) {
          this.at = { position: after.position, index: after.index };
          this.readPage(after.position);
        } else this.isForeign = after !== null;
      },
      (error: unknown) => (this.failure = error),
    );
  }

  get isEnded(): boolean {
    return this.isOver || this.failure !== null;
  }

  /** Takes what is there, up to so many. */
  async take(most: number): Promise<AnyFrame[]> {
    const taken: AnyFrame[] = [];
    if (this.failure !== null) this.expectFailure();
    for (let n = 0; n < most && this.frames && !this.isOver; n++) {
      this.outstanding ??= this.frames.next().then(({ value, done }) => {
        this.outstanding = null;
        if (!done) this.received.push(value);
      });
      await turn();
      const frame = this.received.shift();
      if (!frame) break;
      taken.push(frame);
      this.see(frame);
    }

    return taken;
  }

  async leave(): Promise<void> {
    this.isOver = true;
    void this.begun.then(() => this.frames?.return?.());
  }

  /** Nothing is left to be told. */
  isComplete(): boolean {
    if (this.isEnded) return true;
    const { epoch } = this;
    if (!this.isLive || !this.at || !epoch || epoch !== this.town.epoch) return false;

    const applied = epoch.applied[epoch.shardOf(this.id)]!;
    if (epoch.told(this.id, this.at, { position: applied, index: null }).length > 0) return false;
    const kept = this.page;
    this.readPage(applied);
    if (!isDeepStrictEqual(kept, this.page)) throw new Error(`${this.say()}: kept ${kept.join()}, and it is ${this.page.join()}`);

    return true;
  }

  say(): string {
    return `${this.id} after ${this.cursor}: ${this.story.join(', ')}`;
  }

  private expectFailure(): void {
    if (this.isOver) return;
    this.isOver = true;
    const code = this.failure instanceof GraphQLError ? this.failure.extensions.code : null;
    const codes = ['NOT_CAUGHT_UP', 'UNAVAILABLE', 'BAD_USER_INPUT', 'BAD_TOKEN'];
    if (!codes.includes(code as string) || !this.mayFail()) throw new Error(`${this.say()}: it could not begin`, { cause: this.failure });
  }

  private wrong(why: string, frame: AnyFrame): never {
    throw new Error(`${why}: ${JSON.stringify(frame)}, ${this.say()}`);
  }

  private see(frame: AnyFrame): void {
    // Its journal is over: the gateway's subscriptions leave it out.
    if (frame.epoch !== this.gateway.epoch.name) return;
    const { epoch: name, at, cursor, key, ...told } = frame;
    this.story.push(`${told.type} at ${name}:${at.position}-${at.index}`);
    if (cursor !== resumeCursor(name, at)) this.wrong('another cursor', frame);
    this.town.expectOneObject(this.gateway, frame);

    if (name !== this.epoch!.name) {
      this.epoch = this.gateway.epoch;
      if (told.type !== 'reset') this.wrong('of a new journal, and no reset', frame);
      // It is told again that it is live: it may have dropped that with all else of the old journal.
      this.isLive = false;
      this.isReset = true;
      this.move(frame);
      return;
    }
    const epoch = this.epoch!;
    if (told.type === 'live') {
      if (this.isLive) this.wrong('live again', frame);
      this.isLive = true;
      if (this.isForeign && !this.isReset) this.wrong('no reset after a cursor of another journal', frame);
      if (this.at && epoch.told(this.id, this.at, at).length > 0) this.wrong('live, and something is missing', frame);
      this.move(frame);
      return;
    }
    if (told.type === 'reset' && !(this.at && isDeepStrictEqual(epoch.told(this.id, this.at, at), [{ at, news: told }]))) {
      if (!this.hasCause(frame)) this.wrong('a reset without a cause', frame);
      this.isReset = true;
      this.move(frame);
      return;
    }
    if (!this.at) this.wrong('news before live, after no cursor', frame);
    const [next, ...more] = epoch.told(this.id, this.at, at);
    if (!next || more.length > 0 || !isDeepStrictEqual(next, { at, news: told }))
      this.wrong(`not the next: ${JSON.stringify([next, ...more])}`, frame);
    this.move(frame);
  }

  private move({ at, cursor, ...told }: AnyFrame): void {
    const { cheepId } = told as { cheepId?: string };
    if (told.type === 'reset' || (told.type === 'live' && !this.at)) this.readPage(at.position);
    if (told.type === 'added') this.page = [cheepId!, ...this.page];
    if (told.type === 'removed') this.page = this.page.filter((id) => id !== cheepId);
    this.at = at;
    this.cursor = cursor;
  }

  private readPage(position: number): void {
    const { kind } = this.town;
    if (kind.page) this.page = kind.page(this.epoch!.fold(position), this.id);
  }

  /** Of a reset in place of others. */
  private hasCause(frame: AnyFrame): boolean {
    const { at } = this;
    const epoch = this.epoch!;
    const { reason } = frame as unknown as { reason: string };
    if (at && compare(frame.at, at) < 0) return false;
    // It stands for all up to a position; only that of a queue which is too long is in the place of a change.
    if (frame.at.index !== null && reason !== 'TOO_SLOW') return false;
    const since = at ?? { position: this.begunAt, index: null };
    const skipped = epoch.told(this.id, since, frame.at);
    const inLog = epoch.changesIn(epoch.shardOf(this.id)).filter((change) => change.at.position <= epoch.reached[epoch.shardOf(this.id)]!);
    const isTorn = inLog.filter((change) => compare(change.at, since) > 0).length >= this.town.logLength;
    switch (reason) {
      case 'CURSOR_TOO_OLD':
        // A tail of the journal before may not have come over yet, and then all who listen to it begin anew.
        return (!this.isLive && (this.isForeign || isTorn)) || epoch !== this.town.epochs[0];
      case 'TOO_SLOW':
        // When a tail has missed something, all who listen to it begin anew, whoever it was who was so far behind.
        return inLog.length >= this.town.logLength || skipped.length > MAX_WAITING;
      default:
        return !this.isLive && (skipped.findLast(({ news }) => news.type === 'reset')?.news.reason ?? null) === reason;
    }
  }
}

const MAX_IN_A_BATCH = 256;
/** The bound of feed.ts. */
const MAX_WAITING = 1_000;

interface TownOptions {
  kind: keyof typeof KINDS;
  /** One for each epoch. */
  journals: JournalEntry[][];
  shards: number;
  hotFollowers: number;
  logLength: number;
  manners: Manner[];
}

class FedTown {
  readonly kind: Kind;
  readonly projection: Projection;
  readonly logLength: number;
  readonly epochs: Epoch[] = [];
  readonly gateways: Gateway[];
  subscriptions: Subscription[] = [];
  private readonly namespace = `m${randomBytes(6).toString('hex')}`;
  private apply: Apply;
  private readonly objects = new Map<string, AnyFrame>();

  constructor(private readonly options: TownOptions) {
    this.kind = KINDS[options.kind];
    this.projection = this.kind.subject.projection(options);
    this.logLength = options.logLength;
    this.apply = this.begin();
    this.gateways = [0, 1].map((n) => new Gateway(this, this.kind, [...options.manners.slice(n), ...options.manners.slice(0, n)]));
  }

  get epoch(): Epoch {
    return this.epochs.at(-1)!;
  }

  /** The next journal, while there is one. */
  begin(): Apply {
    const { journals, shards, logLength } = this.options;
    const journal = journals[this.epochs.length];
    if (!journal) return this.apply;
    const space = { namespace: this.namespace, epoch: `e${this.epochs.length + 1}`, shards };
    this.epochs.push(new Epoch(space, journal, this.kind, this.epochs.length === 0));
    this.apply = createApply(redis, space, [this.projection], logLength);

    return this.apply;
  }

  /** Where a shard of the newest epoch stands before it has anything. */
  async found(number: number): Promise<void> {
    const { space, targets } = this.epoch;
    const prefix = prefixOf(space, { projection: this.projection.id, number });
    await redis
      .multi()
      .set(prefix + TARGET, targets[number]!)
      .set(prefix + APPLIED, 0)
      .exec();
  }

  foundAll = () => Promise.all(this.epoch.applied.map((_, number) => this.found(number)));

  /** Redis loses a shard, which builds itself again. */
  async lose(number: number): Promise<void> {
    const { space, applied, targets } = this.epoch;
    const keys = await redis.keys(`${prefixOf(space, { projection: this.projection.id, number })}*`);
    await redis.unlink(keys);
    targets[number] = Math.max(targets[number]!, applied[number]!);
    applied[number] = 0;
    this.epoch.losses += 1;
    await this.found(number);
  }

  /** A shard applies some more. */
  async happen(number: number, count: number): Promise<void> {
    const { epoch } = this;
    const shard = { projection: this.projection.id, number };
    const end = Math.min(epoch.applied[number]! + count, epoch.journal.length);
    while (epoch.applied[number]! < end) {
      const from = epoch.applied[number]!;
      const entries = epoch.journal.slice(from, Math.min(from + MAX_IN_A_BATCH, end));
      const writes = entries.flatMap((entry) =>
        this.projection
          .writes(entry)
          .filter(({ id }) => id === null || epoch.shardOf(id) === number)
          .map(({ write }) => ({ position: entry.position, write })),
      );
      const result = await this.apply(shard, from, from + entries.length, writes);
      if (result.status !== 'applied') throw new Error('nobody else writes here');
      epoch.applied[number] = result.applied;
      epoch.reached[number] = Math.max(epoch.reached[number]!, result.applied);
    }
  }

  subscribe(which: number, gatewayNumber: number, beginning: Beginning): void {
    const gateway = this.gateways[gatewayNumber]!;
    const { epoch } = gateway;
    const ids = this.kind.ids(epoch.journal);
    if (ids.length === 0) return;
    const id = ids[which % ids.length]!;
    const applied = epoch.applied[epoch.shardOf(id)]!;
    this.subscriptions.push(new Subscription(this, gateway, id, cursorOf(beginning, epoch.name, applied)));
  }

  /** Leaves, and goes on where it was, on that gateway. */
  resume(which: number, gatewayNumber: number): void {
    const subscription = this.subscriptions[which % Math.max(1, this.subscriptions.length)];
    if (!subscription) return;
    void subscription.leave();
    this.subscriptions = this.subscriptions.filter((one) => one !== subscription);
    this.subscriptions.push(new Subscription(this, this.gateways[gatewayNumber]!, subscription.id, subscription.cursor));
  }

  async leave(which: number): Promise<void> {
    const [subscription] = this.subscriptions.splice(which % Math.max(1, this.subscriptions.length), 1);
    await subscription?.leave();
  }

  async take(which: number, most: number): Promise<void> {
    await this.subscriptions[which % Math.max(1, this.subscriptions.length)]?.take(most);
  }

  /** Frames that say the same are one, so that they are written once for all. */
  expectOneObject(gateway: Gateway, frame: AnyFrame): void {
    const key = `${this.gateways.indexOf(gateway)} ${frame.key}`;
    const known = this.objects.get(key);
    if (known && !isDeepStrictEqual(known, frame)) throw new Error(`two frames with the key ${key}`);
    this.objects.set(key, frame);
  }

  /** All happens, all is heard, all is taken. */
  async catchUp(): Promise<void> {
    for (let number = 0; number < this.options.shards; number++) await this.happen(number, this.epoch.journal.length);
    for (const gateway of this.gateways) {
      gateway.calm();
      // It needs to be told but once.
      gateway.hasWarned = true;
    }
    for (let round = 0; ; round++) {
      for (const gateway of this.gateways.filter(({ hasWarned }) => hasWarned)) {
        gateway.hasWarned = false;
        this.epoch.applied.forEach((_, shard) => gateway.tell(this.epoch, shard, 0));
      }
      // Redis answers in order: what was asked before has been answered.
      for (let n = 0; n < 4; n++) {
        await redis.ping();
        await turn();
      }
      for (const subscription of this.subscriptions) await subscription.take(Infinity);
      const left = this.subscriptions.filter((subscription) => !subscription.isComplete());
      if (left.length === 0) break;
      if (round === 10) throw new Error(`not told all: ${left[0]!.say()}`);
    }
    await Promise.all(this.subscriptions.map((subscription) => subscription.leave()));
    await turn();
    const listening = this.gateways.map((gateway) => gateway.listening);
    if (listening.some((count) => count > 0)) throw new Error(`nobody is there, and tails listen: ${listening.join()}`);
  }

  async end(): Promise<void> {
    for (const gateway of this.gateways) gateway.calm();
    for (const subscription of this.subscriptions) await subscription.leave();
    const keys = await redis.keys(`${this.namespace}:*`);
    if (keys.length > 0) await redis.unlink(keys);
  }
}

function cursorOf(beginning: Beginning, epoch: string, applied: number): string | null {
  switch (beginning.from) {
    case 'nothing':
      return null;
    case 'now':
      return resumeCursor(epoch, { position: applied, index: null });
    case 'another journal':
      return resumeCursor('e0', { position: applied, index: null });
    case 'before':
      return resumeCursor(epoch, { position: Math.max(0, applied - beginning.by), index: beginning.index });
    case 'the future':
      return resumeCursor(epoch, { position: applied + 1 + beginning.by, index: beginning.index });
  }
}

const which = fc.nat(11);
const gateway = fc.nat(1);
const index = fc.option(fc.nat(2));
const by = fc.nat(12);
const beginning: fc.Arbitrary<Beginning> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ from: fc.constantFrom('nothing' as const, 'now' as const, 'another journal' as const) }) },
  { weight: 5, arbitrary: fc.record({ from: fc.constant('before' as const), by, index }) },
  { weight: 1, arbitrary: fc.record({ from: fc.constant('the future' as const), by, index }) },
);
const act = fc.oneof(
  { weight: 6, arbitrary: fc.record({ does: fc.constant('happen' as const), which, count: fc.integer({ min: 1, max: 6 }) }) },
  {
    weight: 6,
    arbitrary: fc.record({ does: fc.constant('tell' as const), which, gateway, back: fc.constantFrom(0, 0, 0, 1, 3), old: fc.nat(3) }),
  },
  { weight: 5, arbitrary: fc.record({ does: fc.constant('subscribe' as const), which, gateway, beginning }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('resume' as const), which, gateway }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('leave' as const), which }) },
  { weight: 6, arbitrary: fc.record({ does: fc.constant('take' as const), which, most: fc.constantFrom(1, 1, 2, 5) }) },
  { weight: 6, arbitrary: fc.record({ does: fc.constant('let go' as const), which, gateway }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('lose' as const), which }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('new epoch' as const) }) },
);

const kinds = Object.keys(KINDS) as (keyof typeof KINDS)[];
const lives = fc.constantFrom(...kinds, 'timelines' as const, 'timelines' as const).chain((kind) => {
  const journal = stepsOf(KINDS[kind].subject.kinds, 6, 24);

  return fc.record({
    kind: fc.constant(kind),
    journals: fc.array(journal, { minLength: 1, maxLength: 3 }),
    acts: fc.array(act, { minLength: 5, maxLength: 40 }),
    shards: fc.constantFrom(1, 1, 2),
    hotFollowers: fc.constantFrom(0, 1, 1_000),
    logLength: fc.constantFrom(2, 2, 6, LOG_LENGTH),
    manners: fc.array(fc.constantFrom(...MANNERS), { minLength: 1, maxLength: 6 }),
  });
});

const RUNS = 10_000;
const STALLED_RUNS = 32;

describe('feeds', () => {
  it(`tell each change after the cursor once and in order, and reset only with a cause, whatever is heard late, twice or never: ${RUNS} lives`, async () => {
    await assertAtOnce(lives, RUNS, async ({ journals, acts, ...options }) => {
      const town = new FedTown({ ...options, journals: journals.map(journalOf) });
      try {
        await town.foundAll();
        for (const act of acts) {
          if (act.does === 'happen') await town.happen(act.which % options.shards, act.count);
          if (act.does === 'tell') {
            // Of an epoch that is over, too.
            const epoch = town.epochs.at(act.old === 3 ? 0 : -1)!;
            town.gateways[act.gateway]!.tell(epoch, act.which % options.shards, act.back);
          }
          if (act.does === 'subscribe') town.subscribe(act.which, act.gateway, act.beginning);
          if (act.does === 'resume') town.resume(act.which, act.gateway);
          if (act.does === 'leave') await town.leave(act.which);
          if (act.does === 'take') await town.take(act.which, act.most);
          if (act.does === 'let go') town.gateways[act.gateway]!.letGo(act.which);
          if (act.does === 'lose') await town.lose(act.which % options.shards);
          if (act.does === 'new epoch' && town.epochs.length < journals.length) {
            town.begin();
            await town.foundAll();
          }
          // What follows from it has happened by then: Redis answers in order, and what must wait longer is held back here.
          await redis.ping();
          await turn();
        }
        await town.catchUp();
      } finally {
        await town.end();
      }
    });
  }, 300_000);

  it(`keep 1,000 frames for who takes nothing, then one reset in place of them, and go on: ${STALLED_RUNS} subscribers`, async () => {
    const bursts = fc.array(fc.record({ count: fc.integer({ min: 1, max: 1_300 }), most: fc.nat(300) }), { minLength: 1, maxLength: 3 });
    // Each changes what the one before has made.
    const journal = journalOf(Array.from({ length: 3_900 }, (_, i) => ({ kind: 'profile', who: 0, which: 1 + (i % 2) })));
    await assertAtOnce(bursts, STALLED_RUNS, async (bursts) => {
      const options = { kind: 'authors' as const, shards: 1, hotFollowers: 0, logLength: LOG_LENGTH, manners: ['at once' as const] };
      const length = bursts.reduce((sum, { count }) => sum + count, 10);
      const town = new FedTown({ ...options, journals: [journal.slice(0, length)] });
      const settle = async () => {
        // A tail reads some hundreds at a time.
        for (let n = 0; n < 12; n++) {
          await redis.ping();
          await turn();
        }
      };
      try {
        await town.foundAll();
        town.subscribe(0, 0, { from: 'now' });
        await settle();
        const [subscription] = town.subscriptions as [Subscription];
        await subscription.take(1);
        for (const { count, most } of bursts) {
          await town.happen(0, count);
          town.gateways[0]!.tell(town.epoch, 0, 0);
          await settle();
          await subscription.take(most);
        }
        const taken = await subscription.take(Infinity);
        const resets = taken.filter(({ type }) => type === 'reset');
        if (taken.length > MAX_WAITING || resets.length > 1) throw new Error(`${taken.length} frames waited, ${resets.length} resets`);
        await town.catchUp();
      } finally {
        await town.end();
      }
    });
  });
});
