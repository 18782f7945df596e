import { describe, expect, it } from '@jest/globals';
import { Work } from './context.js';

const blockMs = (ms: number) => {
  for (const until = performance.now() + ms; performance.now() < until;);
};

describe('work', () => {
  it('begins operations and subscriptions in turns, a few in a round of the loop', async () => {
    const work = new Work();
    expect(work.turn()).toBeNull();
    const begun: string[] = [];
    const all = Array.from({ length: 3 }, () => [
      work.turn()!.then(() => begun.push('operation')),
      work.turnToSubscribe()!.then(() => begun.push('subscription')),
    ]);
    expect(begun).toEqual([]);
    await Promise.all(all.flat());
    expect(begun).toEqual(Array.from({ length: 3 }, () => ['operation', 'subscription']).flat());
  });

  it('begins something in each round, however long the rounds are with other things', async () => {
    const work = new Work();
    void work.turn();
    let rounds = 0;
    let isOver = false;
    const busy = () => {
      blockMs(8);
      rounds += 1;
      if (!isOver && rounds < 100) setImmediate(busy);
    };
    setImmediate(busy);
    const waiting = Array.from({ length: 10 }, () => work.turn()!);
    await Promise.all(waiting);
    isOver = true;
    expect(rounds).toBeLessThan(50);
  });

  it('refuses operations when as many wait as may be, and lets subscriptions wait', () => {
    const work = new Work(2);
    void work.turn();
    void work.turn();
    void work.turn();
    expect(() => work.turn()).toThrow('hands full');
    expect(work.turnToSubscribe()).toBeInstanceOf(Promise);
  });
});
