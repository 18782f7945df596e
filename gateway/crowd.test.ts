import { describe, expect, it } from '@jest/globals';
import { Crowd, Places } from './crowd.js';

describe('a crowd', () => {
  it('knows the oldest thing of the address that has most, whatever comes and goes', () => {
    const crowd = new Crowd<number>();
    const things: { address: string; thing: number }[] = [];
    // A random walk, the same each time.
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    for (let thing = 0; thing < 5_000; thing++) {
      if (random(100) < 52 || things.length === 0) {
        const address = `a${random(20)}`;
        crowd.add(address, thing);
        things.push({ address, thing });
      } else {
        const [gone] = things.splice(random(things.length), 1);
        crowd.delete(gone!.address, gone!.thing);
        crowd.delete(gone!.address, gone!.thing);
      }
      const counts = Map.groupBy(things, ({ address }) => address);
      const most = Math.max(0, ...[...counts.values()].map((its) => its.length));
      const oldest = crowd.oldestOfMost();
      const its = things.find((one) => one.thing === oldest);
      expect(crowd.size).toBe(things.length);
      expect(its === undefined ? 0 : counts.get(its.address)!.length).toBe(most);
      if (its) expect(counts.get(its.address)![0]!.thing).toBe(oldest);
      expect(crowd.oldestOfMost(most)).toBeUndefined();
    }
  });
});

describe('places', () => {
  it('are had by one address alone until somebody else comes, who gets that of its oldest', () => {
    const places = new Places(3);
    const displaced: string[] = [];
    const take = (address: string, name: string) => places.take(address, () => displaced.push(name));
    for (const name of ['one', 'two', 'three']) expect(take('a', name)).not.toBeNull();

    expect(take('a', 'four')).toBeNull();
    expect(take('b', 'five')).not.toBeNull();
    expect(displaced).toEqual(['one']);
    // Both would have as many as the other has now.
    expect(take('b', 'six')).toBeNull();
    expect(take('c', 'seven')).not.toBeNull();
    expect(displaced).toEqual(['one', 'two']);
    expect(take('d', 'eight')).toBeNull();
  });

  it('are free again once, however often they are given back', () => {
    const places = new Places(1);
    const giveBack = places.take('a', () => undefined)!;
    giveBack();
    giveBack();
    expect(places.take('b', () => undefined)).not.toBeNull();
    expect(places.take('c', () => undefined)).toBeNull();
  });
});
