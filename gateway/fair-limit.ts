/** Bounds how many things run at the same time. Those that wait have their turns fairly by address. */
import { FairQueue } from './fair-queue.js';

export class FairLimit {
  private running = 0;
  private readonly waiting = new FairQueue<() => void>([0]);

  constructor(private readonly most: number) {}

  /** Of one address, things run in the order in which they came. */
  async run<T>(network: string, start: () => Promise<T>): Promise<T> {
    // Whoever is done leaves its place to the next.
    if (this.running >= this.most) await new Promise<void>((begin) => this.waiting.push(begin, [network]));
    else this.running += 1;
    this.waiting.charge(1, [network]);
    try {
      return await start();
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.running -= 1;
    }
  }
}
