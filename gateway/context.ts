/** What resolvers get: the gateway's services, and what is known about one operation. */
import type { Logger } from '../shared/log.js';
import type { CommandSender } from './command-sender.js';
import type { Consistency } from './consistency.js';
import { unauthenticated } from './errors.js';
import { Loaders } from './loaders.js';
import type { AuthorFeed } from './authors/author-feed.js';
import type { Passwords } from './authors/passwords.js';
import type { ThreadFeed } from './cheeps/thread-feed.js';
import type { NotificationFeed } from './notifications/notification-feed.js';
import type { Progress } from './progress.js';
import type { Reads } from './reads.js';
import type { IssuedSession, Sessions } from './sessions.js';
import type { TimelineFeed } from './timelines/timeline-feed.js';

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
  log: Logger;
}

/** The cookies of the response; over a websocket there is none to set them on. */
export interface Transport {
  /** Null clears it. */
  setSession(session: IssuedSession | null): void;
  setConsistency(token: string): void;
}

export class Context {
  private made: { viewerId: string | null; loaders: Loaders } | null = null;

  constructor(
    readonly services: Services,
    /** Who is signed in; null for nobody. */
    public viewerId: string | null,
    readonly consistency: Consistency,
    readonly correlationId: string,
    readonly traceparent: string | null,
    readonly transport: Transport | null = null,
  ) {}

  /**
   * For who is signed in now, which a mutation may change. Made when they are needed: Apollo executes on a copy of the
   * context, and what was made before would go on asking the original who that is.
   */
  get loaders(): Loaders {
    const { viewerId } = this;
    if (this.made?.viewerId !== viewerId) {
      this.made = { viewerId, loaders: new Loaders(this.services.reads, this.consistency, () => viewerId) };
    }

    return this.made.loaders;
  }

  /** @throws UNAUTHENTICATED */
  signedIn(): string {
    if (!this.viewerId) throw unauthenticated();

    return this.viewerId;
  }

  /** For one frame of a subscription: nothing that was loaded for another is shown again. */
  fresh(): Context {
    return new Context(this.services, this.viewerId, this.consistency.fresh(), this.correlationId, this.traceparent);
  }
}
