/**
 * Work that takes long, of which a little is done at once: passwords. Clients have their turns by address. Nobody waits who cannot have a turn
 * in time, or has left, and what is in the queue is bounded for all, for each address, and for each account there.
 */
import { FairLines } from './fair-lines.js';
import { Shares } from './shares.js';

/** Who asks for work. */
export interface WorkFor {
  address: string;
  /** Of whom one address has few places; null for nobody's. */
  account: string | null;
  /** For how long it waits for its turn at the most. */
  waitMs: number;
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

export class FairWork {
  private readonly queue = new FairLines<{ begin: () => void; refuse: () => void }>();
  private readonly places: Shares;
  private readonly ofAccounts = new Map<string, number>();
  private underWay = 0;
  private eachMs = FIRST_GUESS_MS;

  constructor(private readonly limits: { atOnce: number; places: number; placesOfAccount: number }) {
    this.places = new Shares(limits.places);
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

  private enter({ address, account, isGone }: WorkFor): () => void {
    if (isGone) throw new NoTurn('nobody waits for it');
    const key = account === null ? null : `${address} ${account}`;
    const ofAccount = key === null ? 0 : (this.ofAccounts.get(key) ?? 0);
    if (ofAccount >= this.limits.placesOfAccount) throw new NoTurn('too many wait for this account');
    let leave = this.places.take(address);
    if (!leave) {
      // Whoever has most in the queue makes room.
      this.queue.pop(address)?.refuse();
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
  private turn({ address, waitMs, whenGone }: WorkFor, leave: () => void): Promise<void> | void {
    const { atOnce } = this.limits;
    if (this.underWay < atOnce && this.queue.size === 0) {
      this.underWay += 1;
      return;
    }
    if (((this.queue.ahead(address) + 1) * this.eachMs) / atOnce > waitMs) throw new NoTurn('no turn in time');

    return new Promise((resolve, reject) => {
      // It may be told at once.
      let stopListening: () => void = () => undefined;
      const end = (settle: () => void) => () => {
        clearTimeout(timer);
        stopListening();
        place.leave();
        settle();
      };
      const refuse = () => {
        leave();
        end(() => reject(new NoTurn('others have fewer that wait')))();
      };
      const place = this.queue.push(address, {
        begin: () => {
          this.underWay += 1;
          begin();
        },
        refuse,
      });
      const begin = end(resolve);
      const timer = setTimeout(
        end(() => reject(new NoTurn('no turn in time'))),
        waitMs,
      );
      stopListening = whenGone?.(end(() => reject(new NoTurn('nobody waits for it')))) ?? stopListening;
    });
  }

  private next(): void {
    while (this.underWay < this.limits.atOnce) {
      const next = this.queue.shift();
      if (!next) return;
      next.begin();
    }
  }
}
