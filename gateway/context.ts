/** What resolvers get: the gateway's services, and what is known about one operation. */
import type { Logger } from '../shared/log.js';
import type { CommandSender } from './command-sender.js';
import type { Consistency } from './consistency.js';
import { overloaded, unauthenticated, type Authentication } from './errors.js';
import { Loaders } from './loaders.js';
import type { ClientAddress, Origins } from './origins.js';
import type { AuthorFeed } from './authors/author-feed.js';
import type { Passwords } from './authors/passwords.js';
import type { ThreadFeed } from './cheeps/thread-feed.js';
import type { NotificationFeed } from './notifications/notification-feed.js';
import type { Progress } from './progress.js';
import type { Reads } from './reads.js';
import type { IssuedSession, Sessions, Viewer } from './sessions.js';
import type { TimelineFeed } from './timelines/timeline-feed.js';

/** Operations under way in a gateway, at the most, whatever they wait for, with those that wait to begin. */
export const MOST_OPERATIONS = 2_000;
/** While somebody has waited for this long to begin, who comes is refused: it would wait for longer, and so would all after it. */
const MOST_WAIT_MS = 1_000;
/** With fewer who wait it is something else that keeps this process from its work, and refusing would not help. */
const FEW_WAITING = 100;
/** Subscriptions that wait to begin, at the most: as many as there may be. */
const MOST_SUBSCRIPTIONS_WAITING = 20_000;
/** In a round of the process's loop, operations begin for so long, and so many at the most. */
const BEGIN_MS = 5;
const MOST_IN_A_ROUND = 64;

/**
 * The work of a gateway: how much there is, and who begins next.
 *
 * In each round of the process's loop only a few operations begin. Else all that has come would begin in one long round, and what is
 * under way would wait for that, as would those who knock at the port; and nobody could say for how long, since they would wait in their
 * sockets. This way they wait here, where they are counted, and whoever would wait for too long is told at once.
 *
 * Subscriptions stand in a line of their own: all of a gateway that has ended come to the others at once, and most clients take a
 * refusal for their end. They begin in turns with the operations.
 */
export class Work {
  private underWay = 0;
  private readonly operations = new Queue<{ since: number; begin: () => void }>();
  private readonly subscriptions = new Queue<{ begin: () => void }>();
  /** Something has begun in this round. */
  private isTaken = false;
  /** Null before the first of a round. */
  private beginUntil: number | null = null;
  private isForSubscription = false;

  constructor(private readonly most = MOST_OPERATIONS) {}

  /** @returns null when it may begin in this round; else a promise of when it may @throws OVERLOADED */
  turn(): Promise<void> | null {
    if (this.isFirst()) return null;
    const now = performance.now();
    const { first, size } = this.operations;
    const isLate = size >= FEW_WAITING && now - first!.since > MOST_WAIT_MS;
    if (isLate || this.underWay + size >= this.most) throw overloaded();

    return new Promise((resolve) => this.operations.push({ since: now, begin: resolve }));
  }

  /** As `turn`, of a subscription: it waits for as long as it takes, and is refused only when very many do. @throws OVERLOADED */
  turnToSubscribe(): Promise<void> | null {
    if (this.isFirst()) return null;
    if (this.subscriptions.size >= MOST_SUBSCRIPTIONS_WAITING) throw overloaded();

    return new Promise((resolve) => this.subscriptions.push({ begin: resolve }));
  }

  private isFirst(): boolean {
    if (this.isTaken) return false;
    this.isTaken = true;
    setImmediate(this.nextRound);

    return true;
  }

  private readonly nextRound = () => {
    const waiting = this.operations.size + this.subscriptions.size;
    this.isTaken = waiting > 0;
    if (!this.isTaken) return;
    this.beginUntil = null;
    // Each in a step of its own: what it does at once is over before it is known whether there is time for another.
    for (let i = Math.min(waiting, MOST_IN_A_ROUND); i > 0; i--) setImmediate(this.beginNext);
    setImmediate(this.nextRound);
  };

  private readonly beginNext = () => {
    const now = performance.now();
    // Counted from the first, which begins whatever else the round was long with.
    this.beginUntil ??= now + BEGIN_MS;
    if (now >= this.beginUntil) return;
    const [line, other] = this.isForSubscription ? [this.subscriptions, this.operations] : [this.operations, this.subscriptions];
    this.isForSubscription = !this.isForSubscription;
    (line.shift() ?? other.shift())?.begin();
  };

  /** @returns what to call when they are done, once @throws OVERLOADED */
  begin(operations: number): () => void {
    if (this.underWay + operations > this.most) throw overloaded();
    this.underWay += operations;

    return () => (this.underWay -= operations);
  }
}

/** Taken ones are let go of in one go, this many: taking the first out of a long array moves all others. */
const MOST_TAKEN = 1_024;

/** First in, first out. */
class Queue<T> {
  private items: T[] = [];
  private begin = 0;

  get size(): number {
    return this.items.length - this.begin;
  }

  get first(): T | undefined {
    return this.items[this.begin];
  }

  push(item: T): void {
    this.items.push(item);
  }

  shift(): T | undefined {
    const item = this.items[this.begin];
    if (item === undefined) return undefined;
    this.begin += 1;
    if (this.begin === MOST_TAKEN || this.begin === this.items.length) [this.items, this.begin] = [this.items.slice(this.begin), 0];

    return item;
  }
}

export interface Services {
  reads: Reads;
  progress: Progress;
  commands: CommandSender;
  sessions: Sessions;
  passwords: Passwords;
  timelineFeed: TimelineFeed;
  authorFeed: AuthorFeed;
  threadFeed: ThreadFeed;
  notificationFeed: NotificationFeed;
  origins: Origins;
  /** For how long a read waits at the most. */
  readDeadlineMs: number;
  work: Work;
  log: Logger;
}

/** The cookies of the response; over a websocket there is none to set them on. */
export interface Transport {
  /** The header `Accept`. */
  readonly accept: string | undefined;
  /** Did several operations come in one request? They have one status. */
  readonly isBatch: boolean;
  /** For the next operation of the request, in the order in which they came: of several that set the same cookie, the last one counts. */
  ofNextOperation(): Transport;
  /** Null clears it. */
  setSession(session: IssuedSession | null): void;
  setConsistency(token: string): void;
}

export class Context {
  private made: { viewer: Viewer | null; loaders: Loaders } | null = null;
  /** Did anything ask who is signed in? If not, the answer would be the same for everybody. */
  isForViewer = false;

  constructor(
    readonly services: Services,
    /** Where the operation comes from. */
    readonly address: ClientAddress,
    private viewer: Viewer | null,
    public consistency: Consistency,
    readonly correlationId: string,
    readonly traceparent: string | null,
    public transport: Transport | null = null,
    /** What is wrong with the access token that came; null if none came, or if it is good. */
    readonly authentication: Authentication | null = null,
  ) {}

  /** Who is signed in; null for nobody. */
  get viewerId(): string | null {
    this.isForViewer = true;

    return this.viewer?.authorId ?? null;
  }

  /** When the access token that came with the operation runs out, in milliseconds since 1970; null for nobody's. */
  get expiresAtMs(): number | null {
    return this.viewer?.expiresAtMs ?? null;
  }

  /** Somebody signs in, or out, in the middle of an operation. */
  signIn(viewer: Viewer | null): void {
    this.viewer = viewer;
  }

  /**
   * For who is signed in now, which a mutation may change. Made when they are needed: Apollo executes on a copy of the
   * context, and what was made before would go on asking the original who that is.
   */
  get loaders(): Loaders {
    const { viewer } = this;
    if (this.made?.viewer !== viewer) {
      const viewerId = () => {
        this.isForViewer = true;
        return viewer?.authorId ?? null;
      };
      this.made = { viewer, loaders: new Loaders(this.services.reads, this.consistency, viewerId) };
    }

    return this.made.loaders;
  }

  /** @throws UNAUTHENTICATED */
  signedIn(): string {
    const { viewerId } = this;
    if (!viewerId) throw unauthenticated(this.authentication);

    return viewerId;
  }

  /**
   * Who is signed in; null for nobody. For what is answered to nobody by null, too: to somebody whose access token has expired that would be a
   * lie. @throws UNAUTHENTICATED if the access token is no good
   */
  signedInOrNobody(): string | null {
    return this.authentication ? this.signedIn() : this.viewerId;
  }

  /** For one frame of a subscription: nothing that was loaded for another is shown again. */
  ofFrame(epoch: string): Context {
    const { services, address, viewer, consistency, correlationId, traceparent, authentication } = this;
    const ofFrame = consistency.ofFrame(epoch, services.readDeadlineMs);

    return new Context(services, address, viewer, ofFrame, correlationId, traceparent, null, authentication);
  }

  /** Several operations may come in one request, and what one of them sees is not what another is as of. */
  onItsOwn(): void {
    this.consistency = this.consistency.sibling();
    this.transport = this.transport?.ofNextOperation() ?? null;
  }
}
