/** Those who wait until a shard has come to a position. */
import { Queue } from '../shared/queue.js';

/** So many go on in a round of the process's loop: with all at once, what they do next would be one long step. */
export const MAX_WOKEN_IN_A_ROUND = 32;

interface Waiter {
  position: number;
  timer: NodeJS.Timeout;
  goOn: () => void;
}

export class Waits {
  private readonly waiters = new Map<string, Set<Waiter>>();
  /** Their waits are over, and they go on in turn. */
  private readonly over = new Queue<Waiter>();
  /** So many more may go on in this round. */
  private room = MAX_WOKEN_IN_A_ROUND;
  private isRoundCounted = false;

  /** Settles when the shard has come to `position`, or after `ms`; in either case a few rounds later when many do. */
  wait(shard: string, position: number, ms: number): Promise<void> {
    return new Promise((goOn) => {
      const waiters = this.waiters.get(shard) ?? new Set();
      this.waiters.set(shard, waiters);
      const waiter: Waiter = { position, goOn, timer: setTimeout(() => this.end(waiters, waiter), ms) };
      waiters.add(waiter);
    });
  }

  /** @param position Infinity when it is not going to move */
  reached(shard: string, position: number): void {
    const waiters = this.waiters.get(shard);
    if (waiters) for (const waiter of waiters) if (waiter.position <= position) this.end(waiters, waiter);
  }

  private end(waiters: Set<Waiter>, waiter: Waiter): void {
    clearTimeout(waiter.timer);
    waiters.delete(waiter);
    this.over.push(waiter);
    this.wakeSome();
  }

  private wakeSome(): void {
    for (; this.room > 0 && this.over.size > 0; this.room--) this.over.shift()!.goOn();
    if (this.isRoundCounted || this.room === MAX_WOKEN_IN_A_ROUND) return;
    this.isRoundCounted = true;
    setImmediate(() => {
      this.isRoundCounted = false;
      this.room = MAX_WOKEN_IN_A_ROUND;
      this.wakeSome();
    });
  }
}
