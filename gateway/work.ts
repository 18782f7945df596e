/**
 * The work of a gateway: how much there is, and who begins next.
 *
 * In each round of the process's loop only a few operations begin. Else all that has come would begin in one long round, and what is
 * under way would wait for that, as would those who knock at the port; and nobody could say for how long, since they would wait in their
 * sockets. This way they wait here, where they are counted, and whoever would wait for too long is told at once.
 *
 * Turns are shared fairly among addresses, and of each address among its connections, by the time that what they began has kept the loop
 * busy. So a client that asks for little has the next turn, however many others ask for much; and between its turn and its answer, while it
 * waits for Redis, nobody begins who has used more.
 *
 * Subscriptions stand in a line of their own: all of a gateway that has ended come to the others at once, and most clients take a
 * refusal for their end. They begin in turns with the operations, and so do the frames of subscriptions, which are executed like those.
 */
import { FairQueue } from '../shared/fair-queue.js';
import { Shares } from '../shared/shares.js';
import { overloaded } from './errors.js';
import { HeavyWork, type End } from './heavy-work.js';
import { siteOf, type ClientAddress } from './origins.js';

/** Operations under way in a gateway, at the most, whatever they wait for, with those that wait to begin. */
export const MAX_OPERATIONS = 2_000;
/** Of these, those that wait for a projection: a read that finds no place among them does not wait. */
export const MAX_WAITING = 1_000;
/** While the next of an address has waited for this long to begin, who else comes from there is refused: it would wait for longer. */
const MAX_WAIT_MS = 1_000;
/** With fewer who wait it is something else that keeps this process from its work, and refusing would not help. */
const FEW_WAITING = 100;
/** Subscriptions that wait to begin, at the most: as many as there may be. */
const MAX_SUBSCRIPTIONS_WAITING = 20_000;
/** Large requests, and messages of sockets, that wait to be read. */
const MAX_LARGE_WAITING = 1_000;
/** In a round of the process's loop, operations begin for so long, and so many at the most. */
const BEGIN_MS = 5;
/**
 * And for so long while those of several addresses wait. Each read of Redis takes an operation a round, so for somebody who has asked for little, long rounds
 * are long waits; but short ones are more of them, which takes a tenth of what could be committed in them.
 */
const BEGIN_SHARED_MS = 2;
const MAX_IN_A_ROUND = 64;
/** There are steps for twice as many as began in the round before, and for so many besides: more would mostly be for nothing. */
const FEW_IN_A_ROUND = 8;
/** Of frames, so many values at the most, or one frame: what has been read for a frame is made into an answer later, all of it at once. */
const MAX_FRAME_VALUES_IN_A_ROUND = 500;
/** What is charged for each, to their address: so frames wait like operations while one of somebody else is young who has used less. */
const FRAME_VALUE_MS = 0.004;
/** A connection that is new at its address stands behind those of it that have used less: else it would pay to open another for each operation. */
const NEW_CONNECTION_MS = 4;
/** While an operation is so young, those who have used so much more than who asked for it do not begin. */
const YOUNG_MS = 30;
const MUCH_MORE_MS = 5;
/** Until they look again, should none of the young ones end. */
const LOOK_MS = 2;
/** Then one begins all the same: those who have used little could come without end. */
const MAX_HELD_MS = 30;
/** Those who are held, each of whose time is known. */
const MAX_HELD = 1_000;
/** Who asks for a turn: the site of its address, and one of the connections from there. */
export type Asker = readonly [site: string, connection: number];

/** Frames are of an address, whichever of its connections they are for. */
const NO_CONNECTION = 0;
const connections = new WeakMap<object, number>();
let connectionsSeen = 0;

/** @param connection a socket, or whatever else stands for one connection */
export function askerAt({ network }: ClientAddress, connection: object): Asker {
  let number = connections.get(connection);
  if (number === undefined) connections.set(connection, (number = ++connectionsSeen));

  return [siteOf(network), number];
}

/** A frame that waits in the lines of all addresses that it is for, and begins with the first of these turns. */
export interface WaitingFrame {
  /** That may be in it. */
  readonly values: number;
  /** After `begin`, once it was called. */
  readonly hasBegun: boolean;
  begin(): void;
}

interface Waiting {
  asker: Asker;
  since: number;
  begin: () => void;
  refuse: (error: Error) => void;
}

interface Young {
  site: string;
  since: number;
  /** What who asked for it had used by then. */
  ofSite: number;
  ofConnection: number;
}

export class Work {
  /** Of operations under way. */
  private readonly places: Shares;
  private readonly operations = new FairQueue<Waiting>([0, NEW_CONNECTION_MS], true);
  private readonly subscriptions = new FairQueue<Waiting>([0, 0]);
  /** Rounds go on for as long as somebody waits. */
  private isGoing = false;
  /** Null before the first of a round. */
  private beginUntil: number | null = null;
  private begunInRound = 0;
  private isForSubscription = false;
  private readonly frames = new FairQueue<{ frame: WaitingFrame; site: string }>([0]);
  private isForFrame = false;
  /** That may still begin in this round. */
  private frameValues = 0;
  /** By connection, operations that have begun a short time ago and have not ended, in the order in which they began. */
  private readonly young = new Map<number, Young>();
  /** When all who wait have used too much more than those whose operations are young, they look again then. */
  private looking: NodeJS.Timeout | null = null;
  private readonly heldSince = new Map<string, number>();
  private begun: { asker: Asker; since: number } | null = null;
  private readonly large = new HeavyWork(MAX_LARGE_WAITING, (network, ms) => this.chargeAddress(network, ms));

  /** @param goOn is called in each round before operations begin: to ask for what those under way need next, so that it comes meanwhile */
  constructor(
    most = MAX_OPERATIONS,
    private readonly goOn: () => void = () => undefined,
  ) {
    this.places = new Shares(most);
  }

  /** Settles when an operation may begin; rejects with OVERLOADED when somebody else needs its place more. @throws OVERLOADED */
  turn(asker: Asker): Promise<void> {
    const { operations } = this;
    const next = operations.of(asker[0]).first;
    if (next && operations.size >= FEW_WAITING && performance.now() - next.since > MAX_WAIT_MS) throw overloaded();
    if (operations.size >= this.places.free) this.makeRoom(operations, asker);

    return this.wait(operations, asker);
  }

  /**
   * As `turn`, of what is long: to parse it, and to say what is wrong with it, takes several milliseconds. They begin one after another, with
   * pauses. @param turn to wait for besides @returns what to call when it is read
   */
  async turnOfLarge({ network }: ClientAddress, turn: () => Promise<void>): Promise<End> {
    await turn();

    return this.large.turn(network);
  }

  /** As `turn`, of a subscription: it waits for as long as it takes, and is refused only when very many do. @throws OVERLOADED */
  turnToSubscribe(asker: Asker): Promise<void> {
    if (this.subscriptions.size >= MAX_SUBSCRIPTIONS_WAITING) this.makeRoom(this.subscriptions, asker);

    return this.wait(this.subscriptions, asker);
  }

  /** A frame is executed when it is its turn, which may be at once. It is never refused: it would be lost. */
  executeFrame(frame: WaitingFrame, network: string): void {
    const isFirst = !this.isGoing;
    if (isFirst || this.looking) this.go();
    const site = siteOf(network);
    if (isFirst) this.beginFrame(frame, site);
    else this.frames.push({ frame, site }, [site]);
  }

  /**
   * Does the loop do now what a turn of this connection began? What comes later than that (because a body was not there yet, say) is another
   * turn's.
   */
  isTurnOf([, connection]: Asker): boolean {
    return this.begun?.asker[1] === connection;
  }

  /** An operation of this connection has its answer. */
  ended([, connection]: Asker): void {
    if (this.young.delete(connection) && this.looking) this.go();
  }

  /** Whoever has most that wait has one of them refused, unless that is who asks. */
  private makeRoom(line: FairQueue<Waiting>, [site]: Asker): void {
    const greediest = line.greediest;
    if (greediest === undefined || greediest === site) throw overloaded();
    line.pop()!.refuse(overloaded());
  }

  private wait(line: FairQueue<Waiting>, asker: Asker): Promise<void> {
    if (!this.isGoing || this.looking) this.go();

    return new Promise((begin, refuse) => line.push({ asker, since: performance.now(), begin, refuse }, asker));
  }

  private go(): void {
    if (this.looking) clearTimeout(this.looking);
    this.looking = null;
    this.isGoing = true;
    setImmediate(this.nextRound);
  }

  private readonly nextRound = () => {
    this.settle(performance.now());
    const waiting = this.operations.size + this.subscriptions.size + this.frames.size;
    this.isGoing = waiting > 0;
    if (!this.isGoing) return;
    const steps = Math.min(waiting, MAX_IN_A_ROUND, FEW_IN_A_ROUND + 2 * this.begunInRound);
    this.begunInRound = 0;
    this.beginUntil = null;
    this.frameValues = MAX_FRAME_VALUES_IN_A_ROUND;
    setImmediate(this.goOn);
    // Each in a step of its own: what it does at once is over before it is known whether there is time for another.
    for (let i = steps; i > 0; i--) setImmediate(this.beginNext);
    setImmediate(this.endRound);
  };

  private readonly endRound = () => {
    if (this.beginUntil === null) this.looking = setTimeout(() => this.go(), LOOK_MS);
    else this.nextRound();
  };

  private readonly beginNext = () => {
    const now = performance.now();
    this.settle(now);
    if (now >= (this.beginUntil ?? Infinity)) return;
    this.isForFrame = !this.isForFrame;
    if (this.isForFrame && this.beginNextFrame(now)) return;
    const lines = [this.operations, this.subscriptions];
    if (this.isForSubscription) lines.reverse();
    const { beginMs } = this;
    const line = lines.find(({ first }) => first && !this.isHeld(first.asker, now));
    const next = line?.shift();
    if (!next) {
      if (!this.isForFrame) this.beginNextFrame(now);
      return;
    }
    this.isForSubscription = !this.isForSubscription;
    // Counted from the first, which begins whatever else the round was long with.
    this.beginUntil ??= now + beginMs;
    const [site, connection] = next.asker;
    const ofSite = this.operations.usedBy(next.asker, 0);
    const ofConnection = this.operations.usedBy(next.asker, 1);
    this.young.set(connection, { site, since: now, ofSite, ofConnection });
    this.begunInRound += 1;
    this.begun = { asker: next.asker, since: now };
    next.begin();
  };

  private get beginMs(): number {
    return [this.operations, this.subscriptions, this.frames].some(({ asking }) => asking > 1) ? BEGIN_SHARED_MS : BEGIN_MS;
  }

  /** Is something under way for somebody who has used much less? Nobody is held for longer than a bounded time in a row. */
  private isHeld(asker: Asker, now: number): boolean {
    const [site] = asker;
    const since = this.heldSince.get(site) ?? now;
    if (now - since > MAX_HELD_MS || !this.mustWait(asker, now)) {
      this.heldSince.delete(site);
      return false;
    }
    if (this.heldSince.size >= MAX_HELD) this.heldSince.clear();
    this.heldSince.set(site, since);

    return true;
  }

  private mustWait(asker: Asker, now: number): boolean {
    if (this.young.size === 0 || this.operations.isLevel(asker)) return false;
    const [site, connection] = asker;
    const ofSite = this.operations.usedBy(asker, 0);
    const ofConnection = this.operations.usedBy(asker, 1);
    for (const [other, young] of this.young) {
      if (now - young.since > YOUNG_MS) this.young.delete(other);
      else if (other === connection) continue;
      else if (young.site === site ? ofConnection - young.ofConnection > MUCH_MORE_MS : ofSite - young.ofSite > MUCH_MORE_MS) return true;
    }

    return false;
  }

  private beginNextFrame(now: number): boolean {
    if (this.frameValues <= 0) return false;
    // It has begun in the turn of another address.
    while (this.frames.first?.frame.hasBegun) this.frames.shift();
    const { first } = this.frames;
    if (!first) return false;
    if (this.isHeld([first.site, NO_CONNECTION], now)) return false;
    this.beginUntil ??= now + this.beginMs;
    this.frames.shift();
    this.begunInRound += 1;
    this.frameValues -= first.frame.values;
    this.beginFrame(first.frame, first.site);

    return true;
  }

  private beginFrame(frame: WaitingFrame, site: string): void {
    this.frames.charge(frame.values, [site]);
    this.charge([site, NO_CONNECTION], frame.values * FRAME_VALUE_MS);
    frame.begin();
  }

  /** Between two steps there is nothing but what the first began. */
  private settle(now: number): void {
    if (!this.begun) return;
    const { asker, since } = this.begun;
    this.begun = null;
    this.charge(asker, now - since);
  }

  /** As `charge`, when it is not known for which connection. */
  chargeAddress(network: string, ms: number): void {
    this.charge([siteOf(network), NO_CONNECTION], ms);
  }

  /** Somebody has kept this process busy. */
  charge(asker: Asker, ms: number): void {
    this.operations.charge(ms, asker);
    // While nobody waits there, all who come are level anyway.
    if (this.subscriptions.size > 0) this.subscriptions.charge(ms, asker);
  }

  /** @returns what to call when they are done @throws OVERLOADED when this address, or this connection, has its share of the places */
  begin(operations: number, [site, connection]: Asker): () => void {
    const done = this.places.take(site, connection, operations);
    if (!done) throw overloaded();

    return done;
  }
}
