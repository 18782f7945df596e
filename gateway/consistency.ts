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

/** Where an operation waits for a projection. */
export interface WaitingRoom {
  /** @returns what to call when it does not wait any more; null when there is no place for it */
  enter(): (() => void) | null;
  /** Has the client left, who would get the answer? */
  readonly isLeft: boolean;
}

/** For frames of subscriptions, which have bounds of their own. */
const OPEN: WaitingRoom = { enter: () => () => undefined, isLeft: false };

export class Consistency {
  /** For how long something of this operation waited; what waited at the same time is counted once. */
  waitedMs = 0;
  satisfied = true;
  /** Of the reads that are not as of another one already: the oldest of them is what the answer is as of. */
  private lowest: number | null = null;
  private highest = 0;
  private committed: number | null = null;
  private waiting = 0;
  private waitingSince = 0;
  /** Null while nothing waits, or if there is no place to wait. */
  private leaveRoom: (() => void) | null = null;
  private lagMs = 0;

  constructor(
    readonly epoch: string,
    /** The position that the client asked for. */
    private readonly asked: number,
    readonly staleOk: boolean,
    private readonly waitMs: number,
    /** Of all operations of the request together: what they have seen, and what the client's cookie says that it has. */
    private readonly request = { seen: 0, kept: 0 },
    private readonly room = OPEN,
  ) {}

  /** Nothing older than this may be answered. */
  get floor(): number {
    return Math.max(this.asked, this.request.kept);
  }

  /**
   * What a request asks for.
   * @param isPossible can the journal have come to a position?
   * @throws BAD_TOKEN, BAD_USER_INPUT
   */
  static of(
    request: ConsistencyRequest,
    epoch: string,
    readDeadlineMs: number,
    isPossible: (position: number) => boolean = () => true,
    room = OPEN,
  ): Consistency {
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
      if (!isPossible(position)) throw new BadTokenError('This consistency token is from the future: the journal has not come so far.');
      const ofItsCookie = ofCookie(request.cookie, epoch);
      const kept = isPossible(ofItsCookie) ? ofItsCookie : 0;
      const waitMs = Math.min(readDeadlineMs, ...waits.map(Number));

      return new Consistency(epoch, position, read === 'stale-ok', waitMs, { seen: kept, kept }, room);
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
    return new Consistency(this.epoch, this.asked, this.staleOk, this.waitMs, this.request, this.room);
  }

  /** Is it a cookie that demands the most? */
  get isOfCookie(): boolean {
    return this.request.kept > this.asked;
  }

  /** The journal has not come to what the cookie says: nobody can have been given it, and a browser's user did not choose it. */
  forgetCookie(): void {
    const { request } = this;
    if (request.seen === request.kept) request.seen = 0;
    request.kept = 0;
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
    this.request.seen = Math.max(this.request.seen, position);
  }

  /**
   * Something begins to wait. All waiting of an operation together has one deadline, however many fields wait for however many
   * reads, at once or one after another.
   * @param now on `performance.now`'s clock, as what is returned: when it must end. That is at once if there is no place to wait
   */
  beginWaiting(now: number): number {
    if (this.waiting === 0) {
      this.waitingSince = now;
      this.leaveRoom = this.room.enter();
    }
    this.waiting += 1;

    return this.hasNoPlace ? this.waitingSince : this.waitingSince + this.waitMs - this.waitedMs;
  }

  endWaiting(now: number): void {
    this.waiting -= 1;
    if (this.waiting > 0) return;
    this.waitedMs += now - this.waitingSince;
    this.leaveRoom?.();
    this.leaveRoom = null;
  }

  /** It would wait, and may not: too many do. */
  get hasNoPlace(): boolean {
    return this.waiting > 0 && this.leaveRoom === null;
  }

  /** Nobody is there any more to wait for. */
  get isLeft(): boolean {
    return this.room.isLeft;
  }

  /** For the cookie: what was really seen. A token that nobody gave out must not stay with a browser, where all would wait for it. */
  cookie(): string {
    return encodeToken({ epoch: this.epoch, position: this.request.seen });
  }

  /** For the header, which the operations of a request have in common. */
  header(): string {
    return encodeToken({ epoch: this.epoch, position: Math.max(this.floor, this.request.seen) });
  }

  /** The newest that was seen, or asked for. */
  get newest(): Token {
    return { epoch: this.epoch, position: Math.max(this.floor, this.highest) };
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
