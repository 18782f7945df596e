/** What resolvers get: the gateway's services, and what is known about one operation. */
import type { Logger } from '../shared/log.js';
import type { CommandSender } from './command-sender.js';
import type { Consistency } from './consistency.js';
import { fault, unauthenticated } from './errors.js';
import { Loaders } from './loaders.js';
import type { AuthorFeed } from './authors/author-feed.js';
import type { Passwords } from './authors/passwords.js';
import type { ThreadFeed } from './cheeps/thread-feed.js';
import type { NotificationFeed } from './notifications/notification-feed.js';
import type { Progress } from './progress.js';
import type { Reads } from './reads.js';
import type { IssuedSession, Sessions, Viewer } from './sessions.js';
import type { TimelineFeed } from './timelines/timeline-feed.js';

/** Operations under way in this process, however they came. */
export class Work {
  private underWay = 0;

  constructor(private readonly most: number) {}

  /** @returns what to call when they are done, once @throws OVERLOADED */
  begin(operations: number): () => void {
    if (this.underWay + operations > this.most) {
      throw fault('OVERLOADED', 'This gateway has its hands full. Nothing was done; try again.', { http: 503 });
    }
    this.underWay += operations;

    return () => (this.underWay -= operations);
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
  /** For how long a read waits at the most. */
  readDeadlineMs: number;
  work: Work;
  log: Logger;
}

/** The cookies of the response; over a websocket there is none to set them on. */
export interface Transport {
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
    private viewer: Viewer | null,
    public consistency: Consistency,
    readonly correlationId: string,
    readonly traceparent: string | null,
    readonly transport: Transport | null = null,
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
    if (!viewerId) throw unauthenticated();

    return viewerId;
  }

  /** For one frame of a subscription: nothing that was loaded for another is shown again. */
  ofFrame(epoch: string): Context {
    const { services, viewer, consistency, correlationId, traceparent } = this;

    return new Context(services, viewer, consistency.ofFrame(epoch, services.readDeadlineMs), correlationId, traceparent);
  }

  /** Several operations may come in one request, and what one of them sees is not what another is as of. */
  onItsOwn(): void {
    this.consistency = this.consistency.sibling();
  }
}
