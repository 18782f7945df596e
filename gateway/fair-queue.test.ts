import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FairQueue } from './fair-queue.js';

describe('a fair queue', () => {
  it('gives who has used least the next turn, and among equals who has waited for longest', () => {
    const queue = new FairQueue<string>([0]);
    queue.push('g1', ['greedy']);
    queue.push('g2', ['greedy']);
    queue.push('g3', ['greedy']);
    queue.push('m1', ['modest']);
    expect(queue.shift()).toBe('g1');
    queue.charge(10, ['greedy']);
    queue.push('l1', ['late']);
    expect([queue.shift(), queue.shift()]).toEqual(['m1', 'l1']);
    queue.push('m2', ['modest']);
    expect([queue.shift(), queue.shift(), queue.shift(), queue.shift()]).toEqual(['m2', 'g2', 'g3', undefined]);
  });

  it('saves nothing up for who was away', () => {
    const queue = new FairQueue<string>([0]);
    queue.push('a0', ['away']);
    queue.shift();
    for (let i = 0; i < 100; i++) {
      queue.push(`b${i}`, ['busy']);
      queue.shift();
      queue.charge(1, ['busy']);
    }
    for (const i of [1, 2, 3]) {
      queue.push(`a${i}`, ['away']);
      queue.push(`c${i}`, ['busy']);
    }
    const order: string[] = [];
    for (let i = 0; i < 6; i++) {
      const item = queue.shift()!;
      order.push(item);
      queue.charge(1, [item.startsWith('a') ? 'away' : 'busy']);
    }
    expect(order.map((item) => item[0]).join('')).toMatch(/^(acacac|aacacc)$/);
  });

  it('lets nobody gain by being somebody else each time', () => {
    const queue = new FairQueue<string>([5]);
    queue.push('first', ['known']);
    queue.shift();
    queue.charge(1, ['known']);
    for (let i = 0; i < 20; i++) queue.push(`n${i}`, [`new ${i}`]);
    queue.push('second', ['known']);
    expect(queue.shift()).toBe('second');
  });

  it('remembers a bounded number of those who have used something', () => {
    const queue = new FairQueue<number>([0]);
    for (let i = 0; i < 50_000; i++) queue.charge(1, [i]);
    queue.push(1, [-1]);
    expect(queue.shift()).toBe(1);
    expect((queue as unknown as { members: Map<number, unknown> }).members.size).toBeLessThanOrEqual(1_001);
  });

  it('gives up the last item of who has most of them', () => {
    const queue = new FairQueue<string>([0]);
    queue.push('o1', ['one']);
    for (const item of ['m1', 'm2', 'm3']) queue.push(item, ['many']);
    expect([queue.pop(), queue.pop(), queue.size]).toEqual(['m3', 'm2', 2]);
    expect([queue.shift(), queue.shift(), queue.shift(), queue.pop()]).toEqual(['o1', 'm1', undefined, undefined]);
    queue.push('o2', ['one']);
    expect([queue.pop(), queue.first, queue.shift(), queue.size]).toEqual(['o2', undefined, undefined, 0]);
    queue.push('o3', ['one']);
    expect(queue.shift()).toBe('o3');
  });

  it('shares among addresses first, and among the connections of each', () => {
    const queue = new FairQueue<string>([0, 0]);
    for (let i = 0; i < 50; i++) queue.push(`many ${i}`, ['many', i]);
    queue.push('one 0', ['one', 0]);
    const order: string[] = [];
    for (let i = 0; i < 4; i++) {
      const item = queue.shift()!;
      order.push(item);
      const [network, connection] = item.split(' ');
      queue.charge(10, [network!, Number(connection)]);
      if (network === 'one') queue.push('one 0', ['one', 0]);
    }
    expect(order).toEqual(['many 0', 'one 0', 'many 1', 'one 0']);
    expect([queue.of('many').size, queue.of('many').first, queue.of('nobody').size, queue.greediest]).toEqual([48, 'many 2', 0, 'many']);
    queue.push('many again', ['many', 0]);
    expect(queue.of('many').first).toBe('many 2');
    expect(queue.pop()).toBe('many again');
  });

  it('loses nothing, keeps the order of each, and shares alike among all who always wait', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 8 }),
        (costs) => {
          const queue = new FairQueue<{ of: number; n: number }>([0]);
          costs.forEach((ofOne, of) => ofOne.forEach((_, n) => queue.push({ of, n }, [of])));
          const used = costs.map(() => 0);
          const seen = costs.map(() => 0);
          for (let item = queue.shift(); item; item = queue.shift()) {
            expect(item.n).toBe(seen[item.of]);
            // Whoever waits has used no more than one item above the least of those who wait.
            const waiting = costs.map((_, i) => i).filter((i) => seen[i]! < costs[i]!.length);
            expect(used[item.of]).toBe(Math.min(...waiting.map((i) => used[i]!)));
            seen[item.of]! += 1;
            used[item.of]! += costs[item.of]![item.n]!;
            queue.charge(costs[item.of]![item.n]!, [item.of]);
          }
          expect(seen).toEqual(costs.map(({ length }) => length));
          expect(queue.size).toBe(0);
        },
      ),
    );
  });
});
