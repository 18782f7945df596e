import { siteOf } from './origins.js';

/** Things that addresses have, such as connections. It tells at once which address has most of them, however many addresses there are. */
export class Crowd<T> {
  /** By address, in the order in which they came. */
  private readonly things = new Map<string, Set<T>>();
  /** By how many things they have: those who have one, those who have two, … */
  private readonly addresses: Set<string>[] = [];
  private most = 0;
  private total = 0;

  get size(): number {
    return this.total;
  }

  sizeOf(address: string): number {
    return this.things.get(address)?.size ?? 0;
  }

  add(address: string, thing: T): void {
    let its = this.things.get(address);
    if (!its) this.things.set(address, (its = new Set()));
    if (its.has(thing)) return;
    this.move(address, its.size, its.size + 1);
    its.add(thing);
    this.total += 1;
  }

  delete(address: string, thing: T): void {
    const its = this.things.get(address);
    if (!its?.delete(thing)) return;
    this.move(address, its.size + 1, its.size);
    if (its.size === 0) this.things.delete(address);
    this.total -= 1;
  }

  /** The oldest thing of the address that has most of them, if that has more than `than`. */
  oldestOfMost(than = 0): T | undefined {
    if (this.most <= than) return undefined;
    const [address] = this.addresses[this.most]!;
    const [oldest] = this.things.get(address!)!;

    return oldest;
  }

  private move(address: string, from: number, to: number): void {
    // Counts change by one, each time a request begins or ends: none of the sets is made twice.
    while (this.addresses.length <= to) this.addresses.push(new Set());
    this.addresses[from]?.delete(address);
    if (to > 0) this.addresses[to]!.add(address);
    if (to > this.most || (from === this.most && this.addresses[from]!.size === 0)) this.most = to;
  }
}

/**
 * Places that last for long, such as those of websockets. While some are free, an address may have any number of them. Then a newcomer from
 * an address that has few takes the place of the oldest of the address that has most: nobody can keep the others out.
 */
export class Places {
  private readonly crowd = new Crowd<() => void>();

  constructor(private readonly max: number) {}

  /**
   * @param network of the address: those of one site have one share
   * @param displaced is called when the place goes to somebody else
   * @returns what gives the place back, any number of times; null if there is none to be had
   */
  take(network: string, displaced: () => void): (() => void) | null {
    const address = siteOf(network);
    if (this.crowd.size >= this.max) {
      // After the exchange the other address still has as many as this one, or more.
      const oldest = this.crowd.oldestOfMost(this.crowd.sizeOf(address) + 1);
      if (!oldest) return null;
      oldest();
    }
    const leave = () => {
      giveBack();
      displaced();
    };
    const giveBack = () => this.crowd.delete(address, leave);
    this.crowd.add(address, leave);

    return giveBack;
  }
}
