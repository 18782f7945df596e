/**
 * Consistency, of one operation: what it must see (the token that it came with), what it saw, and how it waited. What it
 * saw becomes the token that it answers with.
 */
import { BadTokenError, decodeToken, encodeToken, mergeTokens, type Token } from '../shared/token.js';
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
  /** For how long something of this operation waited; what waited at the same time is counted once. */
  waitedMs = 0;
  satisfied = true;
  /** Of the reads that are not as of another one already: the oldest of them is what the answer is as of. */
  private lowest: number | null = null;
  private highest: number;
  private committed: number | null = null;
  private waiting = 0;
  private waitingSince = 0;
  private lagMs = 0;

  constructor(
    readonly epoch: string,
    /** Nothing older than this may be answered. */
    readonly floor: number,
    readonly staleOk: boolean,
    private readonly waitMs: number,
    /** What all operations of the request together have seen, and what the client's cookie says that it has. */
    private readonly request = { highest: floor, seen: 0 },
  ) {
    this.highest = floor;
  }

  /** What a request asks for. @throws BAD_TOKEN, BAD_USER_INPUT */
  static of(request: ConsistencyRequest, epoch: string, readDeadlineMs: number): Consistency {
    const tokens = listOf(request.header);
    if (tokens.length > 16) throw fault('BAD_TOKEN', 'At most 16 consistency tokens can be sent at once.', { http: 400 });
    // A header that a proxy repeats comes as a list.
    const [read = 'strict', another] = new Set(listOf(request.read?.toLowerCase()));
    if ((read !== 'strict' && read !== 'stale-ok') || another !== undefined)
      throw fault('BAD_USER_INPUT', `${READ_HEADER} is strict or stale-ok.`, { http: 400 });
    const waits = listOf(request.waitMs);
    if (!waits.every((text) => MILLISECONDS.test(text)))
      throw fault('BAD_USER_INPUT', `${WAIT_HEADER} is a number of milliseconds.`, { http: 400 });
    try {
      const { position } = mergeTokens(tokens, epoch);
      const kept = ofCookie(request.cookie, epoch);

      const floor = Math.max(position, kept);

      return new Consistency(epoch, floor, read === 'stale-ok', Math.min(readDeadlineMs, ...waits.map(Number)), {
        highest: floor,
        seen: kept,
      });
    } catch (error) {
      if (error instanceof BadTokenError) throw fault('BAD_TOKEN', error.message, { http: 400 });
      throw error;
    }
  }

  /**
   * For one frame of a subscription that this operation began: as new as it was asked for, or as the frame, and never stale. A
   * frame of another epoch has nothing to do with what was seen in this one.
   */
  ofFrame(epoch: string, waitMs: number): Consistency {
    return new Consistency(epoch, epoch === this.epoch ? this.floor : 0, false, waitMs);
  }

  /** For another operation of the same request, at the same time as this one: the same demands. */
  sibling(): Consistency {
    return new Consistency(this.epoch, this.floor, this.staleOk, this.waitMs, this.request);
  }

  /**
   * A read as of this position went into the answer.
   * @param isBase it is not demanded to be as of another read that went into it
   */
  saw(position: number, lagMs: number, isBase: boolean): void {
    if (isBase) this.lowest = Math.min(this.lowest ?? position, position);
    this.lagMs = Math.max(this.lagMs, lagMs);
    this.reached(position);
  }

  /** A command of this operation was settled at this position. */
  settled(position: number): void {
    this.committed = position;
    this.reached(position);
  }

  private reached(position: number): void {
    this.highest = Math.max(this.highest, position);
    this.request.highest = Math.max(this.request.highest, position);
    this.request.seen = Math.max(this.request.seen, position);
  }

  /**
   * Something begins to wait. All waiting of an operation together has one deadline, however many fields wait for however many
   * reads, at once or one after another.
   * @param now on `performance.now`'s clock, as what is returned: when it must end
   */
  beginWaiting(now: number): number {
    if (this.waiting === 0) this.waitingSince = now;
    this.waiting += 1;

    return this.waitingSince + this.waitMs - this.waitedMs;
  }

  endWaiting(now: number): void {
    this.waiting -= 1;
    if (this.waiting === 0) this.waitedMs += now - this.waitingSince;
  }

  /** For the cookie: what was really seen. A token that nobody gave out must not stay with a browser, where all would wait for it. */
  cookie(): string {
    return encodeToken({ epoch: this.epoch, position: this.request.seen });
  }

  /** For the header, which the operations of a request have in common. */
  header(): string {
    return encodeToken({ epoch: this.epoch, position: this.request.highest });
  }

  /** The newest that was seen, or asked for. */
  get newest(): Token {
    return { epoch: this.epoch, position: this.highest };
  }

  report(): ConsistencyReport {
    return {
      token: encodeToken(this.newest),
      position: String(this.committed ?? this.lowest ?? this.floor),
      waitedMs: Math.round(this.waitedMs),
      satisfied: this.satisfied,
      lagMs: this.lagMs,
    };
  }
}

const MILLISECONDS = /^\d+(\.\d+)?$/;

const listOf = (header: string | undefined) =>
  (header ?? '')
    .split(',')
    .map((text) => text.trim())
    .filter(Boolean);

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
