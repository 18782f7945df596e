/** Tries that are counted in the process, as while Redis is away: no address is known then. Over Redis: tests/rates.test.ts. */
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { GraphQLError } from 'graphql';
import type { Redis } from 'ioredis';
import { BudgetStore } from '../budgets.js';
import { Sessions } from '../sessions.js';
import { LogInTries } from './log-in-tries.js';

const AWAY = { status: 'reconnecting', defineCommand: () => undefined } as unknown as Redis;
const SIGNING_KEY = 'a key for tests that is long enough';
const at = (network: string) => ({ network, isLoopback: false });
const HOME = at('192.0.2.1');

let tries: LogInTries;
beforeEach(() => {
  jest.useFakeTimers();
  tries = new LogInTries(new BudgetStore(AWAY, 'test'), new Sessions(SIGNING_KEY, 'test', 1));
});
afterEach(() => void jest.useRealTimers());

/** For how long it must wait; 0 if it was let through, and was wrong. */
async function wrong(account: string, address = HOME): Promise<number> {
  try {
    await (await tries.begin(account, address)).wrong();

    return 0;
  } catch (error) {
    if (error instanceof GraphQLError && error.extensions.code === 'RATE_LIMITED') return error.extensions.retryAfterMs as number;
    throw error;
  }
}

/** Tries as soon as it may. @returns the delays before each, in seconds */
async function delays(account: string, count: number, address = HOME): Promise<number[]> {
  const seconds: number[] = [];
  for (let i = 0; i < count; i++) {
    const waitMs = await wrong(account, address);
    seconds.push(Math.round(waitMs / 1_000));
    if (waitMs === 0) continue;
    jest.advanceTimersByTime(waitMs);
    expect(await wrong(account, address)).toBe(0);
  }

  return seconds;
}

describe('wrong log-ins', () => {
  it('at an account from one address have growing delays after the first five', async () => {
    expect(await delays('alice', 16)).toEqual([0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]);
  });

  it('that come at once, and after many others, are waited for no longer than the longest delay', async () => {
    await delays('alice', 60);
    jest.advanceTimersByTime(905_000);
    const begun = await Promise.all(Array.from({ length: 5 }, () => tries.begin('alice', HOME)));
    for (const one of begun) await one.wrong();
    expect(await wrong('alice')).toBeLessThanOrEqual(901_000);
    // A day later all is forgotten, however many they were.
    jest.advanceTimersByTime(86_400_000 + 905_000);
    expect(await delays('alice', 5)).toEqual([0, 0, 0, 0, 0]);
  });

  it('are counted for what finds the same account', async () => {
    await delays('Alice@Example.org', 5);
    expect(await wrong('alice@EXAMPLE.org')).toBeGreaterThan(0);
    await delays('Bob', 5);
    expect(await wrong('bob')).toBeGreaterThan(0);
    expect(await wrong('bobby')).toBe(0);
  });

  it('that come at once are as many as one after another', async () => {
    const waits = await Promise.all(Array.from({ length: 100 }, () => wrong('alice')));
    expect(waits.filter((one) => one === 0)).toHaveLength(5);
  });

  it('are forgotten with a right one', async () => {
    await delays('alice', 7);
    jest.advanceTimersByTime(60_000);
    await (await tries.begin('alice', HOME)).right();
    expect(await delays('alice', 6)).toEqual([0, 0, 0, 0, 0, 1]);
  });

  it('are not counted when nobody could say whether they are right', async () => {
    for (let i = 0; i < 50; i++) await (await tries.begin('alice', HOME)).unknown();
    expect(await delays('alice', 6)).toEqual([0, 0, 0, 0, 0, 1]);
  });

  it('from one address at many accounts have a bound', async () => {
    let letThrough = 0;
    for (let i = 0; i < 200; i++) if ((await wrong(`account${i}`)) === 0) letThrough += 1;
    expect(letThrough).toBe(100);
    expect(await wrong('another')).toBeLessThanOrEqual(36_000);
    expect(await wrong('another', at('192.0.2.2'))).toBe(0);
  });

  it('from the networks of one IPv6 site have a bound', async () => {
    let letThrough = 0;
    for (let i = 0; i < 1_000; i++) if ((await wrong(`account${i}`, at(`2001:db8:1:${i.toString(16)}::/64`))) === 0) letThrough += 1;
    expect(letThrough).toBe(400);
    expect(await wrong('another', at('2001:db8:2:0::/64'))).toBe(0);
  });

  it('at an account from everywhere keep nobody out who comes from elsewhere, and leave strangers one try at a time', async () => {
    for (let i = 0; i < 10_000; i++) await wrong('alice', at(`10.0.${i >> 8}.${i & 255}`));
    // Somebody new, with a slip of the finger: the next try is after a minute.
    const elsewhere = at('198.51.100.1');
    expect(await wrong('alice', elsewhere)).toBe(0);
    const waitMs = await wrong('alice', elsewhere);
    expect(waitMs).toBeGreaterThan(60_000);
    expect(waitMs).toBeLessThanOrEqual(64_000);
    jest.advanceTimersByTime(waitMs);
    await (await tries.begin('alice', elsewhere)).right();
    // Another account has nothing to do with it.
    expect(await delays('bob', 6, elsewhere)).toEqual([0, 0, 0, 0, 0, 1]);
  });

  it('say the same of an account that nobody has', async () => {
    const refusalOf = async (account: string) => {
      await delays(account, 5);
      try {
        await tries.begin(account, HOME);
      } catch (error) {
        return error;
      }
    };
    const [one, other] = [await refusalOf('alice'), await refusalOf('nobody')];
    expect(one).toBeInstanceOf(GraphQLError);
    expect(other).toEqual(one);
  });
});
