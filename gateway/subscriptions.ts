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
import { GoneMeanwhile, overloaded } from './errors.js';
import { isOfFeed } from './feed.js';
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

  /** The same as JSON, written once for all who have seen no more than it shows. */
  json(newest: Token): string {
    const write = () => `${this.start}${JSON.stringify(this.consistencyAs(newest))}}}`;
    if (newest.epoch !== this.newest.epoch || newest.position > this.newest.position) return write();

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
  executed: Promise<Executed>;
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
    const frames = source[Symbol.asyncIterator]();
    const { services, viewerId, consistency } = args.contextValue as Context;
    const { epoch, floor } = consistency;
    const subscriber = { args, shape: shapeOf(args), shown, services, epoch, floor };
    const stop = new AbortController();
    let isStopped = false;
    const answers: AsyncIterableIterator<Answer, undefined> = {
      next: async () => {
        for (;;) {
          const frame = await frames.next();
          if (frame.done) {
            left();
            return { value: undefined, done: true };
          }
          let executed = await this.execute(subscriber, frame.value);
          while (!isStopped) {
            if (isOfAnother(executed, viewerId)) executed = await this.execute(subscriber, frame.value, viewerId);
            if (executed.is !== 'late') break;
            // A frame that is lost is never told again, so it waits for the rows that it needs, and those behind it wait with it.
            await pause(RETRY_MS, stop.signal);
            executed = await this.execute(subscriber, frame.value);
          }
          shown.at = Math.max(shown.at, executed.endedAt);
          if (isStopped) return { value: undefined, done: true };
          if (executed.is !== 'told') continue;
          if (!deliver) return { value: executed.answer, done: false };
          // Not a turn more than it takes (see `execute`).
          const delivering = deliver(executed.answer);
          if (delivering) await delivering;
        }
      },
      return: async () => {
        left();
        isStopped = true;
        stop.abort();
        await frames.return?.();

        return { value: undefined, done: true };
      },
      [Symbol.asyncIterator]: () => answers,
    };

    return answers;
  }

  /**
   * (Not async, nor `once`: each turn of the microtasks goes through all subscribers of a frame, and what it touches of one is not
   * in the processor's caches any more when the next turn comes to it.)
   * @param viewerId to whom alone it is to be shown, once it is known that it depends on that
   */
  private execute({ args, shape, shown, services, epoch, floor }: Subscriber, frame: unknown, viewerId?: string | null): Promise<Executed> {
    if (!isOfFeed(frame)) return execute(args, frame, epoch);
    // Its journal is over, and a frame of the new one comes that says so.
    if (frame.epoch !== services.reads.space.epoch) return Promise.resolve({ is: 'gone', endedAt: 0 });
    const run = () => execute(args, frame, frame.epoch);
    // From before what this subscriber has asked for, and it may not be shown anything older than that.
    if (frame.epoch === epoch && frame.at.position < floor) return run();

    return this.once(frame.key, viewerId === undefined ? shape : `${shape} ${viewerId}`, shown, run);
  }

  /**
   * Those who ask at the same time, or soon after, get the same, unless it was begun before something else was shown to them: that
   * may have been newer. What is late is tried again, by whoever does so first.
   */
  private once(frame: string, shape: string, shown: Shown, run: () => Promise<Executed>): Promise<Executed> {
    let ofFrame = this.shared.get(frame);
    if (!ofFrame) this.shared.set(frame, (ofFrame = new Map<string, Shared>()));
    const known = ofFrame.get(shape);
    if (known && known.begunAt >= shown.at) return known.executed;
    const begunAt = performance.now();
    const executed = run();
    if (!known && !this.makeRoom()) return executed;
    this.sharedCount += known ? 0 : 1;
    ofFrame.set(shape, { begunAt, executed });
    const forget = () => {
      if (ofFrame.get(shape)?.executed !== executed || this.shared.peek(frame) !== ofFrame) return;
      ofFrame.delete(shape);
      this.sharedCount -= 1;
    };
    executed.then(({ is }) => {
      if (is === 'late') forget();
    }, forget);

    return executed;
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

export type Deliver = (answer: Answer) => Promise<void> | undefined;

interface Subscriber {
  args: ExecutionArgs;
  shape: string;
  shown: Shown;
  services: Services;
  epoch: string;
  floor: number;
}

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
