import { describe, expect, it } from '@jest/globals';
import { MAX_WOKEN_IN_A_ROUND, Waits } from './waits.js';

const LONG_MS = 60_000;

/** Counts, in each round of the loop, how many went on; until so many have. */
async function rounds(all: Promise<void>[]): Promise<number[]> {
  let woken = 0;
  for (const one of all) void one.then(() => (woken += 1));
  const counts: number[] = [];
  while (woken < all.length) {
    const before = woken;
    await new Promise(setImmediate);
    if (woken > before) counts.push(woken - before);
  }

  return counts;
}

const many = (waits: Waits, count: number, position: number, ms = LONG_MS) =>
  Array.from({ length: count }, () => waits.wait('shard 1', position, ms));

describe('those who wait for a position of a shard', () => {
  it('go on when it is there, and not before, or for another shard', async () => {
    const waits = new Waits();
    let isOver = false;
    const waiting = waits.wait('shard 1', 5, LONG_MS).then(() => (isOver = true));
    waits.reached('shard 1', 4);
    waits.reached('shard 2', 5);
    await new Promise(setImmediate);
    expect(isOver).toBe(false);
    waits.reached('shard 1', 5);
    await waiting;
  });

  it('go on a few at a time, however many there are', async () => {
    const waits = new Waits();
    const all = many(waits, 200, 5);
    waits.reached('shard 1', 5);
    const counts = await rounds(all);
    expect(Math.max(...counts)).toBeLessThanOrEqual(2 * MAX_WOKEN_IN_A_ROUND);
    expect(counts.length).toBeGreaterThanOrEqual(4);
  });

  it('all go on, however often it is told, and who comes meanwhile too', async () => {
    const waits = new Waits();
    const [first, second] = [many(waits, 100, 5), many(waits, 100, 6)];
    waits.reached('shard 1', 5);
    const later = many(waits, 50, 5);
    for (let i = 0; i < 3; i++) waits.reached('shard 1', 6);
    await Promise.all([...first, ...second, ...later]);
  });

  it('go on in the same steps when their time is up', async () => {
    const waits = new Waits();
    const counts = await rounds(many(waits, 200, 5, 1));
    expect(counts.length).toBeGreaterThanOrEqual(4);
    // Who has gone on is not counted again.
    waits.reached('shard 1', 5);
    await waits.wait('shard 1', 7, 1);
  });

  it('go on when it will not come any more', async () => {
    const waits = new Waits();
    const all = many(waits, 40, 1_000);
    waits.reached('shard 1', Infinity);
    await Promise.all(all);
  });
});
