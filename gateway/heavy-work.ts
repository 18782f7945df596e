/**
 * Work that takes the process for many milliseconds at a time: operations with large answers, and documents that come for the first time. It is done
 * nearly one after another, and with pauses: some of it at once would keep the process from everybody else, and be in its memory together. What
 * waits has its turns by address, so that one client's many are no more than another's one.
 */
import { performance } from 'node:perf_hooks';
import { FairQueue } from '../shared/fair-queue.js';
import { overloaded } from './errors.js';
import { siteOf } from './origins.js';

/** An operation that can ask for no more values does not wait here. */
const MAX_LIGHT_VALUES = 3_000;
/** Of heavy operations under way together; one alone may be as large as any. */
const MAX_HEAVY_VALUES = 20_000;
/** Beyond that, whoever has most that wait has one refused. */
const MAX_HEAVY_WAITING = 400;
const MAX_HEAVY_WAIT_MS = 5_000;
/** One that waits for something itself, such as a write of its own, keeps its place for so long. */
const MAX_HEAVY_MS = 100;
/** After it, others have the process for so many times as long as it was busy meanwhile, or until they do not need it. */
const PAUSES = 2;
const MAX_PAUSE_MS = 100;
const LOOK_MS = 10;
/** The part of the time, from 0 to 1, in which a process is busy that others do not need. */
const IDLE = 0.5;

export type End = () => void;

interface Waiting {
  network: string;
  values: number;
  since: number;
  begin: (end: End) => void;
  refuse: (error: Error) => void;
}

export class HeavyWork {
  private values = 0;
  private readonly waiting = new FairQueue<Waiting>([0]);

  /** @param onBusy told how long this work has kept the process busy, for whoever had it done, by the network of its address */
  constructor(
    private readonly maxWaiting = MAX_HEAVY_WAITING,
    private readonly onBusy: (network: string, ms: number) => void = () => undefined,
  ) {}

  /**
   * @param values that an operation can ask for
   * @param network of its client's address
   * @param together the values of its whole request
   * @returns what to call when it is over; null if it is light @throws OVERLOADED
   */
  begin(values: number, network: string, together = values): Promise<End> | null {
    return together <= MAX_LIGHT_VALUES ? null : this.turn(network, values);
  }

  /** Rejects with OVERLOADED when it has waited for too long, or somebody else needs its place more. @param values as many as may be under way together, for what is done alone */
  turn(network: string, values = MAX_HEAVY_VALUES): Promise<End> {
    const { waiting } = this;
    const site = siteOf(network);

    return new Promise((begin, refuse) => {
      waiting.push({ network, values, since: performance.now(), begin, refuse }, [site]);
      if (waiting.size > this.maxWaiting) waiting.pop()!.refuse(overloaded());
      this.next();
      waiting.charge(values, [site]);
    });
  }

  private next(): void {
    for (let next = this.waiting.first; next; next = this.waiting.first) {
      const { network, values, since, begin, refuse } = next;
      if (performance.now() - since > MAX_HEAVY_WAIT_MS) {
        this.waiting.shift();
        refuse(overloaded());
        continue;
      }
      if (this.values > 0 && this.values + values > MAX_HEAVY_VALUES) return;
      this.values += values;
      this.waiting.shift();
      begin(this.underWay(network, values));
    }
  }

  private underWay(network: string, values: number): End {
    const before = performance.eventLoopUtilization();
    let isOver = false;
    const end: End = () => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      // What follows at once is part of it: an answer is written as JSON when it is complete.
      setImmediate(() => {
        const { active } = performance.eventLoopUtilization(before);
        this.onBusy(network, active);
        this.pauseFor(values, Math.min(MAX_PAUSE_MS, PAUSES * active));
      });
    };
    const timer = setTimeout(end, MAX_HEAVY_MS);

    return end;
  }

  private pauseFor(values: number, leftMs: number): void {
    const before = performance.eventLoopUtilization();
    const ms = Math.min(LOOK_MS, leftMs);
    setTimeout(() => {
      const isNeeded = performance.eventLoopUtilization(before).utilization > IDLE;
      if (isNeeded && leftMs > ms) return this.pauseFor(values, leftMs - ms);
      this.values -= values;
      this.next();
    }, ms);
  }
}
