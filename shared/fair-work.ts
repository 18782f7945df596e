/**
 * Work of which a little is done at once: passwords, say. Clients have their turns by address, and whoever comes seldom is next. Nobody waits who
 * cannot have a turn in time, or has left. What waits can be bounded for all, for each address, and for each account there.
 */
import { FairQueue } from './fair-queue.js';
import { Shares } from './shares.js';

/** Who asks for work. */
export interface WorkFor {
  address: string;
  /** Of whom one address has few places; null for nobody's. */
  account?: string | null;
  /** For how long it waits for its turn at the most; without it, for as long as that takes. */
  waitMs?: number;
  /** Known work has every other turn, however many addresses the other work comes from. */
  isKnown?: boolean;
  /** Before it asks. */
  isGone?: boolean;
  /** @returns what to call when it does not matter any more */
  whenGone?(listener: () => void): () => void;
}

/** There is no place, or no turn in time, or nobody waits for it any more. */
export class NoTurn extends Error {
  override name = 'NoTurn';
}

/** Of the last pieces of work, the newest counts for so much in what is known of how long each takes. */
const WEIGHT = 0.2;
const FIRST_GUESS_MS = 50;
/** A turn costs 1: whoever comes after a pause is a turn ahead of those who have theirs then. */
const TURN = 1;

interface Waiting {
  begin: () => void;
  refuse: () => void;
}

export class FairWork {
  private readonly known = new FairQueue<Waiting>([-TURN]);
  private readonly others = new FairQueue<Waiting>([-TURN]);
  private wasKnown = false;
  private readonly places: Shares;
  private readonly ofAccounts = new Map<string, number>();
  private underWay = 0;
  private eachMs = FIRST_GUESS_MS;

  private readonly atOnce: number;
  private readonly placesOfAccount: number;

  /** @param limits those of places are of work that waits or is under way */
  constructor({ atOnce, places = Infinity, placesOfAccount = Infinity }: { atOnce: number; places?: number; placesOfAccount?: number }) {
    this.atOnce = atOnce;
    this.placesOfAccount = placesOfAccount;
    this.places = new Shares(places);
  }

  /** @throws NoTurn, at once if there is no place, or if it would have no turn in time; and as `work` */
  async run<T>(who: WorkFor, work: () => Promise<T>): Promise<T> {
    const leave = this.enter(who);
    try {
      await this.turn(who, leave);
      const begun = performance.now();
      try {
        return await work();
      } finally {
        this.eachMs += WEIGHT * (performance.now() - begun - this.eachMs);
        this.underWay -= 1;
        this.next();
      }
    } finally {
      leave();
    }
  }

  private enter({ address, account = null, isKnown = false, isGone }: WorkFor): () => void {
    if (isGone) throw new NoTurn('nobody waits for it');
    const key = account === null ? null : `${address} ${account}`;
    const ofAccount = key === null ? 0 : (this.ofAccounts.get(key) ?? 0);
    if (ofAccount >= this.placesOfAccount) throw new NoTurn('too many wait for this account');
    let leave = this.places.take(address);
    if (!leave) {
      // Whoever has most in the queue makes room.
      this.makeRoom(address, isKnown);
      leave = this.places.take(address);
    }
    if (!leave) throw new NoTurn('too many wait');
    if (key !== null) this.ofAccounts.set(key, ofAccount + 1);

    let isHeld = true;

    return () => {
      if (!isHeld) return;
      isHeld = false;
      leave();
      if (key === null) return;
      const left = this.ofAccounts.get(key)! - 1;
      if (left > 0) this.ofAccounts.set(key, left);
      else this.ofAccounts.delete(key);
    };
  }

  /** Settles when it may begin, and then counts as under way. */
  private turn({ address, waitMs, isKnown = false, whenGone }: WorkFor, leave: () => void): Promise<void> | void {
    const keys = [address];
    const [queue, besides] = isKnown ? [this.known, this.others] : [this.others, this.known];
    if (this.underWay < this.atOnce && queue.size + besides.size === 0) {
      // Nobody waits for it: it takes no turn from anybody.
      this.underWay += 1;
      return;
    }
    if (waitMs !== undefined) {
      const ahead = queue.ahead(address);
      const turns = ahead + Math.min(besides.size, ahead + 1) + 1;
      if ((turns * this.eachMs) / this.atOnce > waitMs) throw new NoTurn('no turn in time');
    }

    return new Promise((resolve, reject) => {
      // It may be told at once.
      let stopListening: () => void = () => undefined;
      const end = (settle: () => void) => () => {
        clearTimeout(timer);
        stopListening();
        queue.remove(waiting, keys);
        settle();
      };
      const refuse = () => {
        leave();
        end(() => reject(new NoTurn('others have fewer that wait')))();
      };
      const begin = end(resolve);
      const waiting: Waiting = {
        begin: () => {
          this.underWay += 1;
          queue.charge(TURN, keys);
          begin();
        },
        refuse,
      };
      queue.push(waiting, keys);
      const tooLate = end(() => reject(new NoTurn('no turn in time')));
      const timer = waitMs === undefined ? undefined : setTimeout(tooLate, waitMs);
      stopListening = whenGone?.(end(() => reject(new NoTurn('nobody waits for it')))) ?? stopListening;
    });
  }

  /** Of whoever has most that wait, the last is refused, unless this address would have as many. What is known has the place of any other. */
  private makeRoom(address: string, isKnown: boolean): void {
    const { others } = this;
    const { greediest } = others;
    const most = greediest === undefined ? 0 : others.of(greediest).size;
    if (isKnown || most > others.of(address).size + 1) others.pop()?.refuse();
  }

  private next(): void {
    while (this.underWay < this.atOnce) {
      const inTurn = this.wasKnown ? [this.others, this.known] : [this.known, this.others];
      const queue = inTurn.find(({ size }) => size > 0);
      if (!queue) return;
      this.wasKnown = queue === this.known;
      queue.shift()!.begin();
    }
  }
}
