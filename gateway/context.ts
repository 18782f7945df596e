/** What resolvers get: the gateway's services, and what is known about one operation. */
import type { ExecutionResult } from 'graphql';
import type { Logger } from '../shared/log.js';
import type { Shares } from '../shared/shares.js';
import { AnswerSize } from './answer-size.js';
import type { CommandSender } from './command-sender.js';
import type { Consistency } from './consistency.js';
import { unauthenticated, type Authentication } from './errors.js';
import { Loaders } from './loaders.js';
import type { ClientAddress, Origins } from './origins.js';
import type { AuthorFeed } from './authors/author-feed.js';
import type { LogInTries } from './authors/log-in-tries.js';
import type { Passwords } from './authors/passwords.js';
import type { ThreadFeed } from './cheeps/thread-feed.js';
import type { NotificationFeed } from './notifications/notification-feed.js';
import { ALWAYS_THERE, type Presence } from './presence.js';
import type { AwaitedCommands } from './commands/awaited-commands.js';
import type { Progress } from './progress.js';
import type { Client, CostReport, Rates } from './rates.js';
import type { Reads } from './reads.js';
import type { IssuedSession, Sessions, Viewer } from './sessions.js';
import type { TimelineFeed } from './timelines/timeline-feed.js';
import type { Work } from './work.js';

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
  awaitedCommands: AwaitedCommands;
  origins: Origins;
  rates: Rates;
  logInTries: LogInTries;
  /** For how long a read waits at the most. */
  readDeadlineMs: number;
  work: Work;
  /** Places of those who wait for a projection. */
  waiting: Shares;
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

export class Context implements Client {
  private made: { viewer: Viewer | null; loaders: Loaders } | null = null;
  /** Did anything ask who is signed in? If not, the answer would be the same for everybody. */
  isForViewer = false;
  /** The values that all operations of its request can ask for, if there are several. */
  valuesTogether: number | undefined;
  /** Of all operations of its request: Apollo gives each of them a copy of the context. */
  answerSize = new AnswerSize();
  cost: CostReport | null = null;
  /** What came of it, if that has errors: Apollo says how they are told. */
  resultWithErrors: ExecutionResult | null = null;

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
    /** Who waits for the answer. */
    readonly presence: Presence = ALWAYS_THERE,
  ) {}

  /** Who is signed in; null for nobody. */
  get viewerId(): string | null {
    this.isForViewer = true;

    return this.viewer?.authorId ?? null;
  }

  /** Whose account it counts for; null for nobody's. The answer need not be for them alone. */
  get accountId(): string | null {
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
    const { services, address, viewer, consistency, correlationId, traceparent, authentication, presence } = this;
    const ofFrame = consistency.ofFrame(epoch, services.readDeadlineMs);

    return new Context(services, address, viewer, ofFrame, correlationId, traceparent, null, authentication, presence);
  }

  /** Several operations may come in one request, and what one of them sees is not what another is as of. */
  onItsOwn(): void {
    this.consistency = this.consistency.sibling();
    this.transport = this.transport?.ofNextOperation() ?? null;
  }
}
