/** Budgets that are counted in the process, as while Redis is away. Over Redis, and between gateways: tests/rates.test.ts. */
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { Budget, BudgetStore } from './budgets.js';

const AWAY = { status: 'reconnecting', defineCommand: () => undefined } as unknown as Redis;
const budgetOf = (points: number, refillSeconds: number) =>
  new Budget(new BudgetStore(AWAY, 'test'), { name: 'any', points, refillSeconds });

beforeEach(() => void jest.useFakeTimers({ now: 1_000_000 }));
afterEach(() => void jest.useRealTimers());

describe('a budget', () => {
  it('grants what it has, and refuses what it has not, without taking it', async () => {
    const budget = budgetOf(10, 10);
    expect(await budget.take('a', 6)).toEqual({ isGranted: true, left: 4, retryAfterMs: 0 });
    expect(await budget.take('a', 5)).toEqual({ isGranted: false, left: 4, retryAfterMs: 1_000 });
    expect(await budget.take('a', 4)).toEqual({ isGranted: true, left: 0, retryAfterMs: 0 });
    expect(await budget.take('b', 10)).toEqual({ isGranted: true, left: 0, retryAfterMs: 0 });
  });

  it('refills evenly, and no further than to what it is', async () => {
    const budget = budgetOf(10, 20);
    await budget.take('a', 10);
    jest.advanceTimersByTime(1_000);
    expect(await budget.take('a', 1)).toMatchObject({ isGranted: false, retryAfterMs: 1_000 });
    jest.advanceTimersByTime(1_000);
    expect(await budget.take('a', 1)).toMatchObject({ isGranted: true, left: 0 });
    jest.advanceTimersByTime(60_000);
    expect(await budget.take('a', 1)).toMatchObject({ isGranted: true, left: 9 });
  });

  it('grants no more in small parts than in large ones', async () => {
    // A point comes back in a hundredth of a millisecond.
    const budget = budgetOf(6_000_000, 60);
    await budget.take('a', 6_000_000 - 1_000);
    let granted = 0;
    for (let i = 0; i < 1_000; i++) if ((await budget.take('a', 10)).isGranted) granted += 1;
    expect(granted).toBe(10);
  });

  it('can be charged with more than there is, which then has to come back first', async () => {
    const budget = budgetOf(10, 10);
    expect(await budget.charge('a', 15)).toMatchObject({ left: -5 });
    expect(await budget.used('a')).toBe(15);
    expect(await budget.take('a', 1)).toMatchObject({ isGranted: false, left: -5, retryAfterMs: 6_000 });
    await budget.giveBack('a', 10);
    expect(await budget.take('a', 5)).toMatchObject({ isGranted: true, left: 0 });
    await budget.refill('a');
    expect(await budget.used('a')).toBe(0);
  });

  it('is charged with a bounded debt, whatever comes', async () => {
    const budget = budgetOf(10, 10);
    for (const points of [25, 1_000_000, 1]) await budget.charge('a', points);
    expect(await budget.used('a')).toBe(20);
    const free = new Budget(new BudgetStore(AWAY, 'test'), { name: 'any', points: 10, refillSeconds: 10, maxDebt: 0 });
    for (const points of [8, 1, 5]) await free.charge('a', points);
    expect(await free.used('a')).toBe(10);
  });

  it('refuses at once what it could never grant', async () => {
    await expect(budgetOf(10, 10).take('a', 11)).rejects.toThrow(RangeError);
  });

  it('grants all that it can hold after the time that it tells, which is bounded by its largest debt', async () => {
    const step = fc.record({ is: fc.constantFrom('take', 'charge', 'giveBack'), points: fc.integer({ min: 1, max: 100 }) });
    const sizes = {
      points: fc.integer({ min: 1, max: 100 }),
      refillSeconds: fc.integer({ min: 1, max: 100 }),
      maxDebt: fc.integer({ min: 0, max: 200 }),
    };
    await fc.assert(
      fc.asyncProperty(
        fc.record(sizes),
        fc.array(step, { maxLength: 20 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        async (size, steps, part) => {
          const { points, refillSeconds, maxDebt } = size;
          const budget = new Budget(new BudgetStore(AWAY, 'test'), { name: 'any', ...size });
          for (const { is, points: some } of steps) {
            if (is === 'take') await budget.take('a', Math.min(some, points));
            else if (is === 'charge') await budget.charge('a', some);
            else await budget.giveBack('a', some);
            jest.advanceTimersByTime(some);
          }
          const wanted = Math.ceil(points * part);
          const first = await budget.take('a', wanted);
          if (first.isGranted) return;
          expect(first.retryAfterMs).toBeLessThanOrEqual((refillSeconds * 1_000 * (points + maxDebt)) / points);
          jest.advanceTimersByTime(first.retryAfterMs - 1);
          expect(await budget.take('a', wanted)).toMatchObject({ isGranted: false, retryAfterMs: 1 });
          jest.advanceTimersByTime(1);
          expect(await budget.take('a', wanted)).toMatchObject({ isGranted: true });
        },
      ),
    );
  });

  it('is as good as new when more is given back than was taken', async () => {
    const budget = budgetOf(10, 10);
    await budget.take('a', 2);
    await budget.giveBack('a', 5);
    expect(await budget.take('a', 10)).toMatchObject({ isGranted: true, left: 0 });
  });
});

describe('budgets of many', () => {
  it('are kept for a bounded number of them', async () => {
    const store = new BudgetStore(AWAY, 'test');
    const budget = new Budget(store, { name: 'any', points: 10, refillSeconds: 10 });
    for (let i = 0; i < 60_000; i++) await budget.take(`client ${i}`, 1);
    expect(store.countedHere.size).toBe(50_000);
  });
});

describe('a Redis that fails', () => {
  it('is not asked again for a while, and the process counts for itself', async () => {
    let asked = 0;
    const failing = {
      status: 'ready',
      defineCommand: () => undefined,
      rlflxIncr: async () => {
        asked += 1;
        throw new Error('Command timed out');
      },
    } as unknown as Redis;
    const budget = new Budget(new BudgetStore(failing, 'test'), { name: 'any', points: 2, refillSeconds: 100 });
    const outcomes = [await budget.take('a', 1), await budget.take('a', 1), await budget.take('a', 1)];
    expect(outcomes.map(({ isGranted }) => isGranted)).toEqual([true, true, false]);
    expect(asked).toBe(1);
  });
});
