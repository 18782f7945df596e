/** Faults at random, one or two at a time, each undone after a while; and then all must be well again, in time. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../consistency/random.js';
import type { Cluster } from './cluster.js';
import type { Fault } from './faults.js';
import type { Load } from './load.js';

/** For a machine that has other things to do. */
export const SLACK_MS = 10_000;
const CHANCE_OF_TWO = 0.4;
const MAX_APART_MS = 1_500;
const MAX_BETWEEN_MS = 300;

export interface Recovery {
  kinds: string[];
  ms: number;
}

interface Made {
  fault: Fault;
  target: string;
  lastsMs: number;
  afterMs: number;
}

/** Deals faults so that each kind comes once before any comes again. */
export class Deck {
  private left: Fault[] = [];

  constructor(
    private readonly faults: Fault[],
    private readonly random: Random,
  ) {}

  /** One or two that do not meddle with each other. */
  deal(cluster: Cluster, most: number): Made[] {
    const { random } = this;
    const made: Made[] = [];
    const wanted = most > 1 && random.chance(CHANCE_OF_TWO) ? 2 : 1;
    while (made.length < wanted) {
      if (this.left.length === 0) this.left = random.shuffled(this.faults);
      const fault = this.left.pop()!;
      const targets = fault.targets(cluster).filter((target) => made.every((other) => !meddle(target, other.target)));
      if (targets.length === 0) {
        // Its turn comes: the first is another one next time.
        this.left.unshift(fault);
        break;
      }
      const afterMs = made.length === 0 ? 0 : random.integer(0, MAX_APART_MS);
      made.push({ fault, target: random.pick(targets), lastsMs: random.integer(...fault.lastsMs), afterMs });
    }

    return made;
  }
}

/** A service and its own links are one. */
const meddle = (one: string, other: string): boolean => one === other || one.startsWith(other) || other.startsWith(one);

/** @param tell hears of each step. @throws when all is not well in time */
export async function playFaults(
  cluster: Cluster,
  load: Load,
  deck: Deck,
  random: Random,
  count: number,
  tell: (line: string) => void,
): Promise<Recovery[]> {
  const recoveries: Recovery[] = [];
  for (let n = 0; n < count && !load.fleet.isOver;) {
    const step = deck.deal(cluster, count - n);
    n += step.length;
    const what = step.map(({ fault, target, lastsMs }) => `${fault.kind} (${target}, ${lastsMs} ms)`).join(' + ');
    tell(`${String(n).padStart(3)} ${what}`);
    const results = await Promise.allSettled(
      step.map(async ({ fault, target, lastsMs, afterMs }) => {
        await pause(afterMs);
        const undo = await fault.make(cluster, target, random);
        await pause(lastsMs);
        await undo();
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    const boundMs = Math.max(...step.map(({ fault }) => fault.boundMs)) + SLACK_MS;
    const ms = await load.untilWell(boundMs).catch((error: unknown) => {
      throw new Error(`after ${what}: ${(error as Error).message}`, { cause: error });
    });
    tell(`    all is well after ${Math.round(ms)} ms`);
    recoveries.push({ kinds: step.map(({ fault }) => fault.kind), ms });
    if (ms > boundMs) throw new Error(`after ${what} it took ${Math.round(ms)} ms until all was well, and ${boundMs} is the most`);
    await pause(random.integer(0, MAX_BETWEEN_MS));
  }

  return recoveries;
}

/** How long it took at the most after each kind of fault; where there were two at a time, it counts for both. */
export function tableOf(recoveries: Recovery[]): string {
  const byKind = new Map<string, number[]>();
  for (const { kinds, ms } of recoveries) for (const kind of kinds) byKind.set(kind, [...(byKind.get(kind) ?? []), ms]);
  const rows = [...byKind].sort(([a], [b]) => (a < b ? -1 : 1));

  return [
    'seconds until all was well, after what was undone (times, median, most):',
    ...rows.map(([kind, all]) => {
      const sorted = all.toSorted((a, b) => a - b);
      const seconds = (ms: number) => (ms / 1_000).toFixed(1).padStart(6);

      return `  ${kind.padEnd(64)} ${String(all.length).padStart(3)} ${seconds(sorted[sorted.length >> 1]!)} ${seconds(sorted.at(-1)!)}`;
    }),
  ].join('\n');
}
