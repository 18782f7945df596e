/**
 * Subscriptions: each frame of a live feed is executed with a context of its own, so that what was loaded for one is not shown
 * in another. What is the same for many subscribers is executed, and written as JSON, once for all of them.
 *
 * Two of them get the same when the frame says the same, the documents ask for the same, and nothing that was resolved asked who
 * is signed in. The arguments of the subscription itself (whose timeline, after which cursor) have done their work before there is
 * a frame, so they make no difference; resolvers of frames must not look at them.
 */
import {
  createSourceEventStream,
  GraphQLError,
  type ExecutionArgs,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLFormattedError,
} from 'graphql';
import type { PromiseOrValue } from 'graphql/jsutils/PromiseOrValue.js';
import { LRUCache } from 'lru-cache';
import { pause } from '../shared/follow.js';
import { encodeToken, type Token } from '../shared/token.js';
import { AnswerSize } from './answer-size.js';
import type { ConsistencyReport } from './consistency.js';
import type { Context } from './context.js';
import type { CostReport } from './rates.js';
import { GoneMeanwhile, type Authentication } from './errors.js';
import { isOfFeed, type Frames, type Taker } from './feed.js';
import { logBugs, presentable } from './http.js';
import type { ClientAddress } from './origins.js';
import type { Reads } from './reads.js';
import { Shapes, type OpenShape } from './shapes.js';
import { SubscriptionShares } from './subscription-shares.js';
import type { WaitingFrame } from './work.js';

/** Between tries of a frame whose rows are not there yet; each try waits by itself, too. */
const RETRY_MS = 100;
/** A frame that was executed is there for others for so long: those who get it later see nothing older than that. */
const SHARED_MS = 1_000;
/** Memory of these frames. */
const MAX_SHARED_BYTES = 32 * 1024 * 1024;
/** Of a frame, as JSON: it is kept for others, and for each that is slow to read. */
const MAX_FRAME_BYTES = 256 * 1024;
/** Measured: what a frame takes besides its answer; and an answer, as objects and as text, for each character of its text. */
const SHARED_BYTES = 1_000;
const BYTES_OF_A_CHARACTER = 5;

/** Of what is the same for many, in one turn: as much work as a frame of so many values. */
const MAX_DELIVERIES_IN_A_TURN = 100;
const MAX_DELIVERED_BYTES_IN_A_TURN = 256 * 1024;
const VALUES_OF_A_DELIVERY_TURN = 250;

/** One result, as it goes out. */
export class Answer {
  private begun: string | null = null;
  private written: string | null = null;
  private encoded: Buffer | null = null;

  constructor(
    private readonly result: FormattedExecutionResult,
    private readonly consistency: ConsistencyReport,
    /** The newest that it has seen. */
    readonly newest: Token,
    /** Of the operation; null for a frame, which is answered to many. */
    private readonly cost: CostReport | null = null,
  ) {}

  /** Not of an answer that is sent as a payload: whoever sends that writes it as JSON. */
  private get start(): string {
    return (this.begun ??= `${JSON.stringify(this.result).slice(0, -1)},"extensions":{"consistency":`);
  }

  /** Of its JSON, but for the end. */
  get characters(): number {
    return this.start.length;
  }

  /** About, with what `json` keeps. */
  get bytes(): number {
    return BYTES_OF_A_CHARACTER * this.start.length;
  }

  /** @param newest of who gets it: it may have been told of more than this answer shows, and a token never goes back */
  payload(newest: Token): FormattedExecutionResult {
    return { ...this.result, extensions: { consistency: this.consistencyAs(newest), ...(this.cost ? { cost: this.cost } : {}) } };
  }

  /**
   * The same as JSON, written once for all who have seen no more than it shows.
   * @param authentication for one whose access token is no good, who is told so
   */
  json(newest: Token, authentication: Authentication | null = null): string {
    if (!authentication && this.isForAll(newest)) return (this.written ??= this.write(newest, ''));
    const forOne = [...(authentication ? [['authentication', authentication]] : []), ...(this.cost ? [['cost', this.cost]] : [])];

    return this.write(newest, forOne.map(([name, value]) => `,"${name as string}":${JSON.stringify(value)}`).join(''));
  }

  /** As UTF-8, `json` as the last value in an object, with the bracket that closes it: made once for as many. */
  asLastValue(newest: Token): Buffer {
    if (!this.isForAll(newest)) return Buffer.from(`${this.json(newest)}}`);

    return (this.encoded ??= Buffer.from(`${this.write(newest, '')}}`));
  }

  private isForAll(newest: Token): boolean {
    return !this.cost && newest.epoch === this.newest.epoch && newest.position <= this.newest.position;
  }

  private write(newest: Token, forOne: string): string {
    return `${this.start}${JSON.stringify(this.consistencyAs(newest))}${forOne}}}`;
  }

  private consistencyAs(newest: Token): ConsistencyReport {
    return { ...this.consistency, token: encodeToken(newer(newest, this.newest)) };
  }
}

/** Of an operation that was executed with this context: errors as they are told, and consistency. Bugs are logged. */
export function answer({ data, errors }: ExecutionResult, { consistency, services, correlationId, cost }: Context): Answer {
  logBugs(errors ?? [], services.log, correlationId);

  const result = { ...(errors ? { errors: errors.map(present) } : {}), data: data ?? null };

  return new Answer(result, consistency.report(), consistency.newest, cost);
}

/** The one of two tokens that says more; of different epochs, the second. */
export const newer = (known: Token | null, token: Token): Token =>
  known?.epoch === token.epoch && known.position > token.position ? known : token;

/** As over HTTP, without what is meant for HTTP. */
export function present(error: GraphQLError): GraphQLFormattedError {
  const formatted = error.toJSON();
  const { http: _, ...extensions }: Record<string, unknown> = { code: 'INTERNAL_SERVER_ERROR', ...formatted.extensions };

  return presentable({ ...formatted, extensions }, error);
}

/** What came of a frame: nothing to tell, because what it is about has gone, or not yet, because rows are late. */
type Executed = ({ is: 'told'; answer: Answer; viewerId: string | null | undefined } | { is: 'gone' } | { is: 'late' }) & {
  endedAt: number;
};

/** A frame that one of those who wait for it has executed, or will. */
class Shared implements WaitingFrame {
  /** On `performance.now`'s clock: nothing that it shows was read before. */
  begunAt = Infinity;
  /** Null before it is known; then some wait for it. */
  executed: Executed | null = null;
  waiting: Delivery[] = [];
  /** In whose lines it waits. */
  readonly addresses = new Set<string>();
  bytes = 0;

  constructor(
    readonly values: number,
    private readonly execute: (first: Delivery) => Promise<Executed>,
    private readonly done: (executed: Executed | null) => void,
  ) {}

  get hasBegun(): boolean {
    return this.begunAt < Infinity;
  }

  begin(): void {
    this.begunAt = performance.now();
    const first = this.waiting.find(({ isOver }) => !isOver);
    if (!first) return this.done(null);
    this.execute(first).then(
      (executed) => {
        this.executed = executed;
        this.done(executed);
        deliver(this.waiting.splice(0), executed);
      },
      (error: unknown) => {
        this.done(null);
        for (const one of this.waiting.splice(0)) one.fail(error);
      },
    );
  }
}

export class Subscriptions {
  /** By what a frame says, and then by what a document makes of it: the strings are the same for many, and not put together for each. */
  private readonly shared: LRUCache<string, Map<string, Shared>>;
  private sharedBytes = 0;
  private readonly shapes = new Shapes();
  private readonly shares = new SubscriptionShares();

  private readonly maxSharedBytes: number;

  /**
   * @param executeFrame as graphql-js's `execute`
   * @param sharedMs for how long what was executed is there for others
   */
  constructor(
    private readonly executeFrame: (args: ExecutionArgs) => PromiseOrValue<ExecutionResult>,
    { sharedMs = SHARED_MS, maxSharedBytes = MAX_SHARED_BYTES } = {},
  ) {
    this.maxSharedBytes = maxSharedBytes;
    this.shared = new LRUCache({
      ttl: sharedMs,
      ttlAutopurge: true,
      dispose: (ofFrame) => {
        for (const { bytes } of ofFrame.values()) this.sharedBytes -= bytes;
      },
    });
  }

  /**
   * As graphql-js's `subscribe`.
   * @param shown of the session that it is part of: no frame shows anything older than what was shown there before
   * @param deliver is given each answer, in place of who asks for the next, and none while it has not settled
   * @returns what is wrong, or each frame's answer, until `return` is called
   */
  async subscribe(args: ExecutionArgs, shown?: Shown): Promise<AsyncIterableIterator<Answer, undefined> | ExecutionResult>;
  async subscribe(args: ExecutionArgs, shown: Shown, deliver: Deliver): Promise<AsyncIterableIterator<never, undefined> | ExecutionResult>;
  async subscribe(
    args: ExecutionArgs,
    shown: Shown = { at: 0 },
    deliver?: Deliver,
  ): Promise<AsyncIterableIterator<Answer, undefined> | ExecutionResult> {
    const context = args.contextValue as Context;
    let shape: OpenShape;
    let left: () => void;
    try {
      shape = this.shapes.of(args);
      // Before it has begun, which others may have to do first.
      left = this.enter(context.address.network, shown, shape);
    } catch (error) {
      return { errors: [asGraphQLError(error)] };
    }
    // graphql-js throws where the root field is left out by a directive.
    const source = await createSourceEventStream(args).catch((error: unknown) => ({ errors: [asGraphQLError(error)] }));
    if (!(Symbol.asyncIterator in source)) {
      left();
      return source;
    }
    const { viewerId, consistency } = context;
    const { epoch, floor } = consistency;

    return new Delivery(this, { context, shape, viewerId, shown, epoch, floor }, source[Symbol.asyncIterator](), left, deliver);
  }

  /** May another subscription be open that is like none of those that are? To know that it may not saves looking at what it selects. */
  hasRoom({ network }: ClientAddress, socket: object): boolean {
    return this.shares.hasRoom(network, socket);
  }

  /** @returns what to call when the subscription ends; again has no effect */
  private enter(address: string, socket: object, shape: OpenShape): () => void {
    const leave = this.shares.take(address, socket, shape);
    const forget = this.shapes.keep(shape);
    let isOpen = true;

    return () => {
      if (!isOpen) return;
      isOpen = false;
      leave();
      forget();
    };
  }

  /**
   * Executes a frame for a subscriber, or has it from who did; and tells the delivery, at once if it is known already.
   * @param viewerId to whom alone it is to be shown, once it is known that it depends on that
   */
  execute(delivery: Delivery, frame: unknown, viewerId?: string | null): void {
    const { shape, epoch, floor } = delivery.subscriber;
    if (!isOfFeed(frame)) return this.alone(delivery, frame, epoch);
    // Its journal is over, and a frame of the new one comes that says so.
    if (frame.epoch !== delivery.reads.space.epoch) return delivery.onExecuted({ is: 'gone', endedAt: 0 });
    // From before what this subscriber has asked for, and it may not be shown anything older than that.
    if (frame.epoch === epoch && frame.at.position < floor) return this.alone(delivery, frame, frame.epoch);
    this.once(delivery, frame, viewerId === undefined ? shape.id : `${shape.id} ${viewerId}`);
  }

  /** For one subscriber. */
  private alone(delivery: Delivery, frame: unknown, epoch: string): void {
    const ignore = () => undefined;
    const alone = new Shared(delivery.subscriber.shape.values, ({ subscriber }) => this.make(subscriber, frame, epoch), ignore);
    alone.waiting.push(delivery);
    inTurn(alone, delivery);
  }

  /**
   * Those who ask at the same time, or soon after, get the same, unless it was begun before something else was shown to them: that
   * may have been newer. What is late is tried again, by whoever does so first.
   */
  private once(delivery: Delivery, frame: { key: string; epoch: string }, shape: string): void {
    let ofFrame = this.shared.get(frame.key);
    if (!ofFrame) this.shared.set(frame.key, (ofFrame = new Map<string, Shared>()));
    const known = ofFrame.get(shape);
    if (known && known.begunAt >= delivery.subscriber.shown.at) {
      if (known.executed) return delivery.onExecuted(known.executed);
      known.waiting.push(delivery);
      if (!known.hasBegun) inTurn(known, delivery);
      return;
    }
    const all = ofFrame;
    const isKept = () => all.get(shape) === shared && this.shared.peek(frame.key) === all;
    const done = (executed: Executed | null) => {
      if (!isKept()) return;
      if (executed && executed.is !== 'late') this.keep(shared, executed);
      else all.delete(shape);
      if (isKept() && this.sharedBytes > this.maxSharedBytes) {
        // The newest frame, which is the one that is asked about, has taken all the room.
        all.delete(shape);
        this.sharedBytes -= shared.bytes;
      }
    };
    const shared = new Shared(delivery.subscriber.shape.values, ({ subscriber }) => this.make(subscriber, frame, frame.epoch), done);
    this.sharedBytes -= known?.bytes ?? 0;
    ofFrame.set(shape, shared);
    shared.waiting.push(delivery);
    inTurn(shared, delivery);
  }

  private async make({ context, shape }: Subscriber, rootValue: unknown, epoch: string): Promise<Executed> {
    const contextValue = context.ofFrame(epoch);
    contextValue.answerSize = new AnswerSize(MAX_FRAME_BYTES);
    const result = await this.executeFrame({ ...shape.args, rootValue, contextValue });
    const endedAt = performance.now();
    const errors = result.errors ?? [];
    if (errors.some(({ originalError }) => originalError instanceof GoneMeanwhile)) return { is: 'gone', endedAt };
    if (errors.length > 0 && errors.every(({ extensions }) => extensions.retryable === true)) return { is: 'late', endedAt };
    const viewerId = contextValue.isForViewer ? contextValue.viewerId : undefined;

    return { is: 'told', answer: answer(result, contextValue), viewerId, endedAt };
  }

  /** The oldest frames go, to make room. */
  private keep(shared: Shared, executed: Executed): void {
    shared.bytes = SHARED_BYTES + (executed.is === 'told' ? executed.answer.bytes : 0);
    this.sharedBytes += shared.bytes;
    while (this.sharedBytes > this.maxSharedBytes && this.shared.size > 1) this.shared.pop();
  }
}

/** To a few at once; to many in several turns, since each has its own bytes to be written. */
function deliver(waiting: Delivery[], executed: Executed): void {
  const bytes = executed.is === 'told' ? executed.answer.characters : 0;
  const most = Math.max(1, Math.min(MAX_DELIVERIES_IN_A_TURN, Math.floor(MAX_DELIVERED_BYTES_IN_A_TURN / (bytes + 1))));
  if (waiting.length <= most) return waiting.forEach((one) => one.onExecuted(executed));
  const { work } = waiting[0]!.subscriber.context.services;
  const byAddress = Map.groupBy(waiting, ({ network }) => network);
  for (const [network, all] of byAddress) {
    for (let from = 0; from < all.length; from += most)
      work.executeFrame(new DeliveryTurn(all.slice(from, from + most), executed), network);
  }
}

class DeliveryTurn implements WaitingFrame {
  readonly values = VALUES_OF_A_DELIVERY_TURN;
  hasBegun = false;

  constructor(
    private readonly waiting: Delivery[],
    private readonly executed: Executed,
  ) {}

  begin(): void {
    this.hasBegun = true;
    for (const one of this.waiting) one.onExecuted(this.executed);
  }
}

/** A frame waits in the line of each address that it is for: whichever comes first. */
function inTurn(shared: Shared, { network, subscriber: { context } }: Delivery): void {
  if (shared.addresses.has(network)) return;
  shared.addresses.add(network);
  context.services.work.executeFrame(shared, network);
}

/** When what was shown last in a session had been executed, on `performance.now`'s clock: what begins later sees no less. */
export interface Shown {
  at: number;
}

const isOfAnother = (executed: Executed, viewerId: string | null) =>
  executed.is === 'told' && executed.viewerId !== undefined && executed.viewerId !== viewerId;

/** @returns what settles when the next may be delivered; nothing if it may at once */
export type Deliver = (answer: Answer) => Promise<void> | undefined;

interface Subscriber {
  context: Context;
  shape: OpenShape;
  viewerId: string | null;
  shown: Shown;
  epoch: string;
  floor: number;
}

/**
 * A subscription's answers, one after another, each when the one before it was taken.
 *
 * Frames and what is made of them are handed on by calls, not by promises: each turn of the microtasks goes through all subscribers of a
 * frame, and what it touches of one is not in the processor's caches any more when the next turn comes to it.
 */
class Delivery implements AsyncIterableIterator<Answer, undefined> {
  /** Who asked for the next answer; with `deliver`, for the end. */
  private asked: PromiseWithResolvers<IteratorResult<Answer, undefined>> | null = null;
  /** The frame that it is about. */
  private frame: unknown = null;
  /** For a frame, for what is made of it, or until that was taken. */
  private isWaiting = false;
  private isRunning = false;
  isOver = false;
  private pausing: AbortController | null = null;
  /** Kept here, since thousands are looked at for one frame: what is further away is in no cache of the processor. */
  readonly network: string;
  readonly reads: Reads;

  constructor(
    private readonly subscriptions: Subscriptions,
    readonly subscriber: Subscriber,
    private readonly source: AsyncIterator<unknown, undefined> | Frames<unknown>,
    private readonly left: () => void,
    private readonly deliver: Deliver | undefined,
  ) {
    const { address, services } = subscriber.context;
    this.network = address.network;
    this.reads = services.reads;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  next(): Promise<IteratorResult<Answer, undefined>> {
    if (this.isOver) return Promise.resolve(OVER);
    const asked = Promise.withResolvers<IteratorResult<Answer, undefined>>();
    this.asked = asked;
    this.run();

    return asked.promise;
  }

  async return(): Promise<IteratorResult<Answer, undefined>> {
    this.end();
    await this.source.return?.();

    return OVER;
  }

  /** A loop, however many frames are there already: what is called from inside it only says that it goes on. */
  private run(): void {
    if (this.isRunning) return;
    this.isRunning = true;
    try {
      while (this.asked && !this.isWaiting) {
        this.isWaiting = true;
        this.takeNext();
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.isRunning = false;
    }
  }

  private takeNext(): void {
    const { source } = this;
    if ('take' in source) source.take(this.onFrame);
    else source.next().then(({ value, done }) => this.onFrame(done ? undefined : value), this.fail);
  }

  private readonly onFrame: Taker<unknown> = (frame) => {
    if (frame === undefined) return this.end();
    this.frame = frame;
    this.executeFrame();
  };

  /** What it throws ends this subscription alone: those who hand out frames go on to the others. */
  private executeFrame(viewerId?: string | null): void {
    if (this.isOver) return;
    try {
      this.subscriptions.execute(this, this.frame, viewerId);
    } catch (error) {
      this.fail(error);
    }
  }

  onExecuted(executed: Executed): void {
    if (this.isOver) return;
    const { viewerId, shown } = this.subscriber;
    if (isOfAnother(executed, viewerId)) return this.executeFrame(viewerId);
    // A frame that is lost is never told again, so it waits for the rows that it needs, and those behind it wait with it.
    if (executed.is === 'late') return this.again();
    shown.at = Math.max(shown.at, executed.endedAt);
    if (executed.is === 'gone') return this.goOn();
    if (!this.deliver) {
      this.asked?.resolve({ value: executed.answer, done: false });
      this.asked = null;
      return this.goOn();
    }
    try {
      const delivering = this.deliver(executed.answer);
      if (delivering) delivering.then(this.goOn, this.fail);
      else this.goOn();
    } catch (error) {
      this.fail(error);
    }
  }

  private again(): void {
    this.pausing ??= new AbortController();
    void pause(RETRY_MS, this.pausing.signal).then(() => this.executeFrame());
  }

  private readonly goOn = () => {
    this.isWaiting = false;
    this.run();
  };

  readonly fail = (error: unknown) => {
    this.asked?.reject(error);
    this.asked = null;
    // What went wrong first is what is told.
    this.return().catch(() => undefined);
  };

  private end(): void {
    this.isOver = true;
    this.left();
    this.pausing?.abort();
    this.asked?.resolve(OVER);
    this.asked = null;
  }
}

const OVER = { value: undefined, done: true } as const;

const asGraphQLError = (error: unknown) =>
  error instanceof GraphQLError ? error : new GraphQLError('The subscription could not begin.', { originalError: error as Error });
