import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { GraphQLError } from 'graphql';
import type { Redis } from 'ioredis';
import type { Logger } from '../shared/log.js';
import { BudgetStore } from './budgets.js';
import { rateLimitHeaders, Rates, SocketRate, type Client, type Demand } from './rates.js';

const warnings: unknown[] = [];
const log = { warn: (said: unknown) => void warnings.push(said) } as unknown as Logger;
const AWAY = { status: 'reconnecting', defineCommand: () => undefined } as unknown as Redis;
const address = (network: string, isLoopback = false) => ({ network, isLoopback });
const nobodyAt = (network: string): Client => ({ address: address(network), accountId: null, cost: null });
const somebodyAt = (network: string, accountId: string): Client => ({ address: address(network), accountId, cost: null });
/** An operation of so many points. */
const demand = (points: number, fields: string[] = []): Demand => ({
  cost: { objects: points - 10, values: 0 },
  fields,
  isSubscription: false,
});

let rates: Rates;
beforeEach(() => {
  // No time passes, unless a test lets it: budgets would refill.
  jest.useFakeTimers();
  rates = new Rates(new BudgetStore(AWAY, 'test'), 'remote', log);
});

afterEach(() => void jest.useRealTimers());

async function refusalOf(work: () => unknown): Promise<Record<string, unknown> | null> {
  try {
    await work();

    return null;
  } catch (error) {
    if (error instanceof GraphQLError) return { ...error.extensions };
    throw error;
  }
}

/** Admits until it is refused. @returns how many were admitted, and the refusal */
async function exhaust(client: Client, of: Demand, most = 10_000) {
  for (let admitted = 0; admitted < most; admitted++) {
    const refusal = await refusalOf(() => rates.admit(client, of));
    if (refusal) return { admitted, refusal };
  }
  throw new Error(`${most} operations were admitted`);
}

describe('rates', () => {
  it('are for remote clients, or for all of them', () => {
    const all = new Rates(new BudgetStore(AWAY, 'test'), 'on', log);
    expect([rates.areFor(address('127.0.0.1', true)), rates.areFor(address('192.0.2.1'))]).toEqual([false, true]);
    expect([all.areFor(address('127.0.0.1', true)), all.areFor(address('192.0.2.1'))]).toEqual([true, true]);
  });

  it('admit what the budget of an address has, and say when to come again', async () => {
    const client = nobodyAt('192.0.2.1');
    const { admitted, refusal } = await exhaust(client, demand(19_000));
    expect(admitted).toBe(3);
    expect(refusal).toMatchObject({ code: 'RATE_LIMITED', retryable: true, budget: 'cost-of-address', http: { status: 429 } });
    // 3,000 of 60,000 are left, and 3,000 come back in a second.
    expect(refusal.retryAfterMs).toBeGreaterThan(5_330);
    expect(refusal.retryAfterMs).toBeLessThanOrEqual(5_340);
    jest.advanceTimersByTime(5_340);
    expect(await refusalOf(() => rates.admit(client, demand(19_000)))).toBeNull();
    expect(client.cost).toMatchObject({ requestedQueryCost: 19_000, throttleStatus: { maximumAvailable: 60_000, restoreRate: 3_000 } });
  });

  it('of nobody are not those of somebody at the same address, nor of another address', async () => {
    await exhaust(nobodyAt('192.0.2.1'), demand(20_000));
    expect(await refusalOf(() => rates.admit(somebodyAt('192.0.2.1', 'alice'), demand(20_000)))).toBeNull();
    expect(await refusalOf(() => rates.admit(nobodyAt('192.0.2.2'), demand(20_000)))).toBeNull();
  });

  it('go with an account wherever it is', async () => {
    const { admitted } = await exhaust(somebodyAt('192.0.2.1', 'alice'), demand(20_000));
    expect(admitted).toBe(60);
    expect(await refusalOf(() => rates.admit(somebodyAt('198.51.100.1', 'alice'), demand(20_000)))).toMatchObject({ budget: 'cost' });
    expect(await refusalOf(() => rates.admit(somebodyAt('192.0.2.1', 'bob'), demand(20_000)))).toBeNull();
  });

  it('hold for all networks of an IPv6 site together', async () => {
    const admitted = Array.from({ length: 200 }, (_, i) => nobodyAt(`2001:db8:1:${i.toString(16)}::/64`));
    let refused = 0;
    for (const client of admitted)
      for (let i = 0; i < 3; i++) if ((await refusalOf(() => rates.admit(client, demand(19_000))))?.budget === 'cost-of-site') refused += 1;
    expect(refused).toBe(285);
    expect(await refusalOf(() => rates.admit(nobodyAt('2001:db8:2:0::/64'), demand(19_000)))).toBeNull();
  });

  it('count commands, and some kinds of them besides', async () => {
    const alice = somebodyAt('192.0.2.1', 'alice');
    expect(await exhaust(alice, demand(10, ['changeEmail']))).toMatchObject({ admitted: 5, refusal: { budget: 'email-changes' } });
    expect(await exhaust(alice, demand(10, ['followAuthor']))).toMatchObject({ admitted: 60, refusal: { budget: 'follows' } });
    const { admitted, refusal } = await exhaust(alice, demand(10, ['likeCheep', 'likeCheep']));
    expect(refusal).toMatchObject({ budget: 'commands' });
    expect(admitted).toBe(27);
    // What is no command goes on.
    expect(await refusalOf(() => rates.admit(alice, demand(10, ['logOut'])))).toBeNull();
  });

  it('take nothing for what they refuse', async () => {
    const alice = somebodyAt('192.0.2.1', 'alice');
    await exhaust(alice, demand(10, ['changeEmail']));
    for (let i = 0; i < 200; i++) await refusalOf(() => rates.admit(alice, demand(1_000, ['changeEmail'])));
    expect(await exhaust(alice, demand(10, ['likeCheep']))).toMatchObject({ admitted: 115 });
  });

  it('never let through what no budget could hold', async () => {
    const fields = Array.from({ length: 61 }, () => 'postCheep');
    expect(await refusalOf(() => rates.admit(somebodyAt('192.0.2.1', 'alice'), demand(10, fields)))).toMatchObject({
      code: 'BAD_USER_INPUT',
    });
  });

  it('of many operations at once are the same as of one after another', async () => {
    const client = nobodyAt('192.0.2.1');
    const outcomes = await Promise.all(Array.from({ length: 1_000 }, () => refusalOf(() => rates.admit(client, demand(100)))));
    expect(outcomes.filter((one) => one === null)).toHaveLength(600);
  });

  it('of many small operations are not less than of a few large ones', async () => {
    const { admitted } = await exhaust(nobodyAt('192.0.2.1'), demand(30), 100_000);
    expect(admitted).toBe(2_000);
    // Nearly used up, a budget is taken from in its smallest parts.
    let more = 0;
    for (const ms of Array.from({ length: 100 }, () => 10)) {
      jest.advanceTimersByTime(ms);
      if ((await refusalOf(() => rates.admit(nobodyAt('192.0.2.1'), demand(29)))) === null) more += 1;
    }
    expect(more).toBe(100);
    expect((await exhaust(nobodyAt('192.0.2.1'), demand(29))).admitted).toBeLessThanOrEqual(10);
  });

  it('count documents that are not executed, and then refuse before anything is done', async () => {
    const client = nobodyAt('192.0.2.1');
    for (let i = 0; i < 30; i++) rates.chargeForDocument(client, 250_000);
    expect(rates.refusalOfUsedUp(client)).toBeNull();
    expect(await refusalOf(() => rates.admit(client, demand(10)))).toMatchObject({ budget: 'cost-of-address' });
    expect(rates.refusalOfUsedUp(client)?.extensions).toMatchObject({ code: 'RATE_LIMITED' });
    expect(rates.refusalOfUsedUp(nobodyAt('192.0.2.2'))).toBeNull();
  });

  it('of what was charged in a moment are back after two refills, for the largest operation as well', async () => {
    const client = nobodyAt('192.0.2.1');
    for (let i = 0; i < 1_000; i++) rates.chargeForDocument(client, 250_000);
    const refusal = await refusalOf(() => rates.admit(client, demand(60_000)));
    expect(refusal).toMatchObject({ code: 'RATE_LIMITED', budget: 'cost-of-address', retryAfterMs: 40_002 });
    expect(client.cost?.throttleStatus.currentlyAvailable).toBe(-60_000);
    expect(rateLimitHeaders(client.cost!).map(([, value]) => value)).toEqual(['60000', '0', '40', '60000;w=20']);
    // Points of the first come back sooner.
    expect(rates.refusalOfUsedUp(client)?.extensions.retryAfterMs).toBe(20_006);
    jest.advanceTimersByTime(40_002);
    expect(await refusalOf(() => rates.admit(client, demand(60_000)))).toBeNull();
  });

  it('with a small debt that nobody has settled yet grant the largest operation as soon as they say', async () => {
    const client = nobodyAt('192.0.2.1');
    rates.chargeForDocument(client, 100_000);
    const refusal = await refusalOf(() => rates.admit(client, demand(60_000)));
    expect(refusal).toMatchObject({ code: 'RATE_LIMITED', retryAfterMs: 339 });
    jest.advanceTimersByTime(339);
    expect(await refusalOf(() => rates.admit(client, demand(60_000)))).toBeNull();
  });

  it('grant whatever they can hold after the time that they tell, however often somebody was charged', async () => {
    const step = fc.record({ isCharged: fc.boolean(), size: fc.integer({ min: 1, max: 60_000 }), ms: fc.integer({ min: 0, max: 3_000 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), fc.integer({ min: 10, max: 60_000 }), async (steps, points) => {
        rates = new Rates(new BudgetStore(AWAY, 'test'), 'remote', log);
        const client = nobodyAt('192.0.2.1');
        for (const { isCharged, size, ms } of steps) {
          if (isCharged) rates.chargeForDocument(client, size * 50);
          else await refusalOf(() => rates.admit(client, demand(Math.max(10, size))));
          await jest.advanceTimersByTimeAsync(ms);
        }
        const refusal = await refusalOf(() => rates.admit(client, demand(points)));
        if (!refusal) return;
        // What is charged here, and not settled yet, is a twentieth of the budget at the most.
        expect(refusal.retryAfterMs).toBeLessThanOrEqual(41_000);
        await jest.advanceTimersByTimeAsync(refusal.retryAfterMs as number);
        expect(await refusalOf(() => rates.admit(client, demand(points)))).toBeNull();
      }),
    );
  });

  it('count sign-ups of an address, and sockets of a site', async () => {
    const outcomes = await Promise.all(Array.from({ length: 25 }, () => refusalOf(() => rates.signUp(address('192.0.2.1')))));
    expect(outcomes.filter((one) => one === null)).toHaveLength(20);
    const sockets = await Promise.all(Array.from({ length: 700 }, () => refusalOf(() => rates.openSocket(address('192.0.2.1')))));
    expect(sockets.filter((one) => one === null)).toHaveLength(600);
    expect(sockets.at(-1)).toMatchObject({ budget: 'sockets' });
  });

  it('of a socket refuse what comes too fast on it', () => {
    const socket = new SocketRate();
    for (let i = 0; i < 1_000; i++) socket.takeOperation();
    expect(() => socket.takeOperation()).toThrow('Too much was asked for on this socket');
  });

  it('warn once of what may be a proxy that is not trusted', () => {
    rates.suspectProxy(address('127.0.0.1', true));
    expect(warnings).toEqual([]);
    rates.suspectProxy(address('10.0.0.1'));
    rates.suspectProxy(address('10.0.0.1'));
    expect(warnings).toEqual([{ address: '10.0.0.1' }]);
  });
});

describe('the headers of an answer', () => {
  it('say how much there is, how much is left, and when all of it is back', () => {
    const throttleStatus = { maximumAvailable: 60_000, currentlyAvailable: 59_000, restoreRate: 3_000 };
    expect(rateLimitHeaders({ requestedQueryCost: 1_000, throttleStatus })).toEqual([
      ['ratelimit-limit', '60000'],
      ['ratelimit-remaining', '59000'],
      ['ratelimit-reset', '1'],
      ['ratelimit-policy', '60000;w=20'],
    ]);
  });
});
