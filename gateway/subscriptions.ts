/**
 * Subscriptions: each frame of a live feed is executed with a context of its own, so that what was loaded for one is not shown
 * in another. What is the same for many subscribers is executed, and written as JSON, once for all of them.
 *
 * Two of them get the same when the frame says the same, the documents ask for the same, and nothing that was resolved asked who
 * is signed in. The arguments of the subscription itself (whose timeline, after which cursor) have done their work before there is
 * a frame, so they make no difference; resolvers of frames must not look at them.
 */
import { createHash } from 'node:crypto';
import {
  createSourceEventStream,
  execute as executeOnce,
  GraphQLError,
  Kind,
  print,
  visit,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  type FormattedExecutionResult,
  type GraphQLFormattedError,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import { pause } from '../shared/follow.js';
import { encodeToken, type Token } from '../shared/token.js';
import type { ConsistencyReport } from './consistency.js';
import type { Context, Services } from './context.js';
import { GoneMeanwhile, overloaded, type Authentication } from './errors.js';
import { isOfFeed, type Frames, type Taker } from './feed.js';
import { logBugs, presentable } from './http.js';

/** Between tries of a frame whose rows are not there yet; each try waits by itself, too. */
const RETRY_MS = 100;
/** A frame that was executed is there for others for so long: those who get it later see nothing older than that. */
const SHARED_MS = 1_000;
const MOST_SHARED = 1_000;
/** Subscriptions of a gateway, at the most: each takes some 20 KB. */
const MOST_SUBSCRIPTIONS = 20_000;

/** One result, as it goes out. */
export class Answer {
  private readonly start: string;
  private written: string | null = null;

  constructor(
    private readonly result: FormattedExecutionResult,
    private readonly consistency: ConsistencyReport,
    /** The newest that it has seen. */
    readonly newest: Token,
  ) {
    this.start = `${JSON.stringify(result).slice(0, -1)},"extensions":{"consistency":`;
  }

  /** @param newest of who gets it: it may have been told of more than this answer shows, and a token never goes back */
  payload(newest: Token): FormattedExecutionResult {
    return { ...this.result, extensions: { consistency: this.consistencyAs(newest) } };
  }

  /**
   * The same as JSON, written once for all who have seen no more than it shows.
   * @param authentication for one whose access token is no good, who is told so
   */
  json(newest: Token, authentication: Authentication | null = null): string {
    const told = authentication ? `,"authentication":${JSON.stringify(authentication)}` : '';
    const write = () => `${this.start}${JSON.stringify(this.consistencyAs(newest))}${told}}}`;
    if (authentication || newest.epoch !== this.newest.epoch || newest.position > this.newest.position) return write();

    return (this.written ??= write());
  }

  private consistencyAs(newest: Token): ConsistencyReport {
    return { ...this.consistency, token: encodeToken(newer(newest, this.newest)) };
  }
}

/** Of an operation that was executed with this context: errors as they are told, and consistency. Bugs are logged. */
export function answer({ data, errors }: ExecutionResult, { consistency, services, correlationId }: Context): Answer {
  logBugs(errors ?? [], services.log, correlationId);

  return new Answer({ ...(errors ? { errors: errors.map(present) } : {}), data: data ?? null }, consistency.report(), consistency.newest);
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

interface Shared {
  begunAt: number;
  /** Null before it is known; then some wait for it. */
  executed: Executed | null;
  waiting: Delivery[];
}

export class Subscriptions {
  /** By what a frame says, and then by what a document makes of it: the strings are the same for many, and not put together for each. */
  private readonly shared: LRUCache<string, Map<string, Shared>>;
  /** Of all frames. */
  private sharedCount = 0;
  private open = 0;

  /** @param sharedMs for how long what was executed is there for others */
  constructor(sharedMs = SHARED_MS) {
    this.shared = new LRUCache({
      max: MOST_SHARED,
      ttl: sharedMs,
      ttlAutopurge: true,
      dispose: (ofFrame) => void (this.sharedCount -= ofFrame.size),
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
    if (this.open >= MOST_SUBSCRIPTIONS) return { errors: [overloaded()] };
    // Before it has begun, which others may have to do first.
    this.open += 1;
    let isOpen = true;
    const left = () => {
      this.open -= isOpen ? 1 : 0;
      isOpen = false;
    };
    // graphql-js throws where the root field is left out by a directive.
    const source = await createSourceEventStream(args).catch((error: unknown) => ({ errors: [asGraphQLError(error)] }));
    if (!(Symbol.asyncIterator in source)) {
      left();
      return source;
    }
    const { services, viewerId, consistency } = args.contextValue as Context;
    const { epoch, floor } = consistency;
    const subscriber = { args, shape: shapeOf(args), viewerId, shown, services, epoch, floor };

    return new Delivery(this, subscriber, source[Symbol.asyncIterator](), left, deliver);
  }

  /**
   * Executes a frame for a subscriber, or has it from who did; and tells the delivery, at once if it is known already.
   * @param viewerId to whom alone it is to be shown, once it is known that it depends on that
   */
  execute(delivery: Delivery, frame: unknown, viewerId?: string | null): void {
    const { args, shape, services, epoch, floor } = delivery.subscriber;
    if (!isOfFeed(frame)) return tell(delivery, execute(args, frame, epoch));
    // Its journal is over, and a frame of the new one comes that says so.
    if (frame.epoch !== services.reads.space.epoch) return delivery.onExecuted({ is: 'gone', endedAt: 0 });
    // From before what this subscriber has asked for, and it may not be shown anything older than that.
    if (frame.epoch === epoch && frame.at.position < floor) return tell(delivery, execute(args, frame, frame.epoch));
    this.once(delivery, frame, viewerId === undefined ? shape : `${shape} ${viewerId}`);
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
      if (known.executed) delivery.onExecuted(known.executed);
      else known.waiting.push(delivery);
      return;
    }
    const shared: Shared = { begunAt: performance.now(), executed: null, waiting: [delivery] };
    if (known || this.makeRoom()) {
      this.sharedCount += known ? 0 : 1;
      ofFrame.set(shape, shared);
    }
    const forget = () => {
      if (ofFrame.get(shape) !== shared || this.shared.peek(frame.key) !== ofFrame) return;
      ofFrame.delete(shape);
      this.sharedCount -= 1;
    };
    execute(delivery.subscriber.args, frame, frame.epoch).then(
      (executed) => {
        if (executed.is === 'late') forget();
        shared.executed = executed;
        for (const one of shared.waiting.splice(0)) one.onExecuted(executed);
      },
      (error: unknown) => {
        forget();
        for (const one of shared.waiting.splice(0)) one.fail(error);
      },
    );
  }

  /** By leaving the oldest frames. @returns whether there is room: the newest, which is the one that is asked about, may have taken all of it */
  private makeRoom(): boolean {
    while (this.sharedCount >= MOST_SHARED && this.shared.size > 1) this.shared.pop();

    return this.sharedCount < MOST_SHARED;
  }
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
  args: ExecutionArgs;
  shape: string;
  viewerId: string | null;
  shown: Shown;
  services: Services;
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
  private isOver = false;
  private pausing: AbortController | null = null;

  constructor(
    private readonly subscriptions: Subscriptions,
    readonly subscriber: Subscriber,
    private readonly source: AsyncIterator<unknown, undefined> | Frames<unknown>,
    private readonly left: () => void,
    private readonly deliver: Deliver | undefined,
  ) {}

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

const tell = (delivery: Delivery, executed: Promise<Executed>) => void executed.then((one) => delivery.onExecuted(one), delivery.fail);

const asGraphQLError = (error: unknown) =>
  error instanceof GraphQLError ? error : new GraphQLError('The subscription could not begin.', { originalError: error as Error });

async function execute(args: ExecutionArgs, rootValue: unknown, epoch: string): Promise<Executed> {
  const contextValue = (args.contextValue as Context).ofFrame(epoch);
  const result = await executeOnce({ ...args, rootValue, contextValue });
  const endedAt = performance.now();
  const errors = result.errors ?? [];
  if (errors.some(({ originalError }) => originalError instanceof GoneMeanwhile)) return { is: 'gone', endedAt };
  if (errors.length > 0 && errors.every(({ extensions }) => extensions.retryable === true)) return { is: 'late', endedAt };
  const viewerId = contextValue.isForViewer ? contextValue.viewerId : undefined;

  return { is: 'told', answer: answer(result, contextValue), viewerId, endedAt };
}

/** The text of a document without its subscription's arguments, and the variables that are used elsewhere. */
const texts = new WeakMap<DocumentNode, { text: string; variables: string[] }>();

function textOf(document: DocumentNode) {
  const known = texts.get(document);
  if (known) return known;
  const names = new Set<string>();
  const bare = visit(document, {
    OperationDefinition: ({ selectionSet: { selections, ...set }, variableDefinitions: _, ...operation }) => ({
      ...operation,
      selectionSet: { ...set, selections: selections.map((one) => (one.kind === Kind.FIELD ? { ...one, arguments: [] } : one)) },
    }),
  });
  visit(bare, { Variable: ({ name }) => void names.add(name.value) });
  const variables = [...names].sort();
  // What they are when they are not given.
  const defaults: string[] = [];
  visit(document, {
    VariableDefinition: (definition) => void (names.has(definition.variable.name.value) && defaults.push(print(definition))),
  });
  const text = { text: [print(bare), ...defaults].join('\n'), variables };
  texts.set(document, text);

  return text;
}

/** The same for operations that make the same of the same frame. */
function shapeOf({ document, operationName, variableValues }: ExecutionArgs): string {
  const { text, variables } = textOf(document);
  const values = variables.map((name) => (variableValues && Object.hasOwn(variableValues, name) ? [variableValues[name]] : []));

  return createHash('sha256')
    .update(JSON.stringify([text, operationName ?? null, values]))
    .digest('base64url');
}
