/** What resolvers get: the gateway's services, and what is known about one operation. */
import type { Logger } from '../shared/log.js';
import type { CommandSender } from './command-sender.js';
import type { Consistency } from './consistency.js';
import { unauthenticated } from './errors.js';
import { Loaders } from './loaders.js';
import type { Passwords } from './authors/passwords.js';
import type { Reads } from './reads.js';
import type { IssuedSession, Sessions } from './sessions.js';
import type { TimelineFeed } from './timelines/timeline-feed.js';

export interface Services {
  reads: Reads;
  commands: CommandSender;
  sessions: Sessions;
  passwords: Passwords;
  timelineFeed: TimelineFeed;
  log: Logger;
}

/** The cookies of the response; over a websocket there is none to set them on. */
export interface Transport {
  /** Null clears it. */
  setSession(session: IssuedSession | null): void;
  setConsistency(token: string): void;
}

export class Context {
  readonly loaders: Loaders;

  constructor(
    readonly services: Services,
    /** Who is signed in; null for nobody. */
    public viewerId: string | null,
    readonly consistency: Consistency,
    readonly correlationId: string,
    readonly traceparent: string | null,
    readonly transport: Transport | null = null,
  ) {
    this.loaders = new Loaders(services.reads, consistency, () => this.viewerId);
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
