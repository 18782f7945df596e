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

  it('whose charges are measured counts all short turns of the last level alike', () => {
    const queue = new FairQueue<number>([0, 4], true);
    for (let key = 0; key < 5; key++) queue.push(key, ['all', key]);
    const order: number[] = [];
    for (let turn = 0; turn < 25; turn++) {
      const key = queue.shift()!;
      order.push(key);
      queue.charge(key === 0 ? 1.9 : 0.01, ['all', key]);
      queue.push(key, ['all', key]);
    }
    expect(order).toEqual(Array.from({ length: 25 }, (_, i) => i % 5));
  });

  it('whose charges are measured takes two turns for one long one, and more and more from who has them again and again', () => {
    const queue = new FairQueue<number>([0, 4], true);
    const turns = (count: number, long: (turn: number) => boolean) => {
      let had = 0;
      for (let turn = 0; turn < count; turn++) {
        const key = queue.shift()!;
        if (key === 0) had += 1;
        queue.charge(key === 0 && long(had) ? 100 : 0.1, ['all', key]);
        queue.push(key, ['all', key]);
      }

      return had;
    };
    for (const key of [0, 1]) queue.push(key, ['all', key]);
    turns(40, () => false);
    expect(turns(40, (had) => had === 1)).toBeGreaterThanOrEqual(18);
    expect(turns(400, () => true)).toBeLessThan(20);
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

  it('with a credit, gives the next turn to who comes after a pause, however many others come again as soon as they had theirs', () => {
    const queue = new FairQueue<string>([-1]);
    const shift = () => {
      const item = queue.shift()!;
      queue.charge(1, [item]);

      return item;
    };
    for (let n = 0; n < 16; n++) queue.push(`flood ${n}`, [`flood ${n}`]);
    for (let i = 0; i < 100; i++) {
      const served = shift();
      queue.push(served, [served]);
    }
    for (let i = 0; i < 10; i++) {
      expect(queue.ahead('somebody')).toBeLessThanOrEqual(1);
      queue.push('somebody', ['somebody']);
      expect(shift()).toBe('somebody');
      for (let n = 0; n < 20; n++) {
        const served = shift();
        queue.push(served, [served]);
      }
    }
  });

  it('can be left, from anywhere, and once', () => {
    const queue = new FairQueue<string>([0]);
    for (const item of ['a0', 'b1', 'a2', 'a3', 'b4']) queue.push(item, [item[0]!]);
    expect([queue.remove('a2', ['a']), queue.remove('b1', ['b']), queue.remove('b1', ['b']), queue.remove('c', ['c'])]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(queue.size).toBe(3);
    expect([queue.shift(), queue.remove('b4', ['b']), queue.shift(), queue.shift(), queue.size]).toEqual(['a0', true, 'a3', undefined, 0]);
    queue.push('b5', ['b']);
    expect([queue.shift(), queue.size]).toEqual(['b5', 0]);
  });

  it('knows how many have their turns before somebody, if each is charged 1', () => {
    const key = fc.integer({ min: 0, max: 5 });
    fc.assert(
      fc.property(fc.array(fc.option(key, { freq: 3 }), { maxLength: 80 }), key, fc.constantFrom(0, -1), (steps, somebody, deposit) => {
        const queue = new FairQueue<{ of: number; isLast?: boolean }>([deposit]);
        const shift = () => {
          const item = queue.shift();
          if (item) queue.charge(1, [item.of]);

          return item;
        };
        // A turn for each null.
        for (const of of steps) {
          if (of === null) shift();
          else queue.push({ of }, [of]);
        }
        const ahead = queue.ahead(somebody);
        queue.push({ of: somebody, isLast: true }, [somebody]);
        let before = 0;
        for (let item = shift(); item && !item.isLast; item = shift()) before += 1;
        // Of equals, those who came first are ahead; so it may be fewer, but for each of the others one turn at the most.
        expect(before).toBeLessThanOrEqual(ahead);
        expect(before).toBeGreaterThanOrEqual(ahead - 5);
      }),
    );
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
