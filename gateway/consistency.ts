/**
 * Consistency, of one operation: what it must see (the token that it came with), what it saw, and how it waited. What it
 * saw becomes the token that it answers with.
 */
import { BadTokenError, decodeToken, encodeToken, mergeTokens } from '../shared/token.js';
import { fault } from './errors.js';

export const CONSISTENCY_HEADER = 'x-cheeper-consistency';
/** `stale-ok`: at the deadline, answer with what there is, and say so. */
export const READ_HEADER = 'x-cheeper-read';
/** The read deadline in milliseconds, to lower it. */
export const WAIT_HEADER = 'x-cheeper-wait-ms';
export const CONSISTENCY_COOKIE = 'cheeper_consistency';

export interface ConsistencyRequest {
  /** Tokens, several separated by commas. */
  header?: string | undefined;
  cookie?: string | undefined;
  read?: string | undefined;
  waitMs?: string | undefined;
}

/** What stands in `extensions.consistency`. */
export interface ConsistencyReport {
  token: string;
  position: string;
  waitedMs: number;
  satisfied: boolean;
  lagMs: number;
}

export class Consistency {
  waitedMs = 0;
  satisfied = true;
  private lowest: number | null = null;
  private highest: number;
  private seen: number;
  private committed: number | null = null;
  /** When the waiting of this operation ends, on `performance.now`'s clock; null while nothing has waited. */
  private deadline: number | null = null;
  private lagMs = 0;

  constructor(
    readonly epoch: string,
    /** Nothing older than this may be answered. */
    readonly floor: number,
    readonly staleOk: boolean,
    private readonly waitMs: number,
    /** What the cookie says. */
    kept = 0,
  ) {
    this.highest = floor;
    this.seen = kept;
  }

  /** What a request asks for. @throws BAD_TOKEN, BAD_USER_INPUT */
  static of(request: ConsistencyRequest, epoch: string, readDeadlineMs: number): Consistency {
    const tokens = (request.header ?? '')
      .split(',')
      .map((text) => text.trim())
      .filter(Boolean);
    if (tokens.length > 16) throw fault('BAD_TOKEN', 'At most 16 consistency tokens can be sent at once.', { http: 400 });
    const read = request.read?.trim() || 'strict';
    if (read !== 'strict' && read !== 'stale-ok') throw fault('BAD_USER_INPUT', `${READ_HEADER} is strict or stale-ok.`, { http: 400 });
    const wait = request.waitMs?.trim() ? Number(request.waitMs) : readDeadlineMs;
    if (!(wait >= 0)) throw fault('BAD_USER_INPUT', `${WAIT_HEADER} is a number of milliseconds.`, { http: 400 });
    try {
      const { position } = mergeTokens(tokens, epoch);
      const kept = ofCookie(request.cookie, epoch);

      return new Consistency(epoch, Math.max(position, kept), read === 'stale-ok', Math.min(wait, readDeadlineMs), kept);
    } catch (error) {
      if (error instanceof BadTokenError) throw fault('BAD_TOKEN', error.message, { http: 400 });
      throw error;
    }
  }

  /** For another execution of the same operation (a frame of a subscription): same demands, its own waiting. */
  fresh(): Consistency {
    return new Consistency(this.epoch, this.floor, this.staleOk, this.waitMs);
  }

  /** A read as of this position went into the answer. */
  saw(position: number, lagMs: number): void {
    this.lowest = Math.min(this.lowest ?? position, position);
    this.highest = Math.max(this.highest, position);
    this.seen = Math.max(this.seen, position);
    this.lagMs = Math.max(this.lagMs, lagMs);
  }

  /** A command of this operation was settled at this position. What waits from here on has its own deadline. */
  settled(position: number): void {
    this.committed = position;
    this.highest = Math.max(this.highest, position);
    this.seen = Math.max(this.seen, position);
    this.deadline = null;
  }

  /** When waiting that begins now must end. */
  deadlineFrom(now: number): number {
    return (this.deadline ??= now + this.waitMs);
  }

  /** For the cookie: what was really seen. A token that nobody gave out must not stay with a browser, where all would wait for it. */
  cookie(): string {
    return encodeToken({ epoch: this.epoch, position: this.seen });
  }

  report(): ConsistencyReport {
    return {
      token: encodeToken({ epoch: this.epoch, position: this.highest }),
      position: String(this.committed ?? this.lowest ?? this.floor),
      waitedMs: Math.round(this.waitedMs),
      satisfied: this.satisfied,
      lagMs: this.lagMs,
    };
  }
}

/** A browser keeps cookies that nobody chose: one that means nothing any more is as none, and replaced by the answer. */
function ofCookie(cookie: string | undefined, epoch: string): number {
  if (!cookie) return 0;
  try {
    const token = decodeToken(cookie);

    return token.epoch === epoch ? token.position : 0;
  } catch (error) {
    if (error instanceof BadTokenError) return 0;
    throw error;
  }
}
