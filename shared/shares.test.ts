import { describe, expect, it } from '@jest/globals';
import { Shares } from './shares.js';

/** Takes one place after another, as many as there are for this address (and client). */
function takeAll(shares: Shares, address: string, client: unknown = null): (() => void)[] {
  const taken: (() => void)[] = [];
  for (;;) {
    const leave = shares.take(address, client);
    if (!leave) return taken;
    taken.push(leave);
  }
}

describe('places that clients share', () => {
  it('are half for one address alone, and always some for who comes next', () => {
    const shares = new Shares(1_000);
    expect(takeAll(shares, 'a')).toHaveLength(500);
    expect(takeAll(shares, 'b')).toHaveLength(250);
    for (let i = 0; i < 30; i++) {
      takeAll(shares, `more-${i}`);
      if (i < 6) expect(shares.take(`next-${i}`)).not.toBeNull();
    }
  });

  it('are the same for all of many addresses that take whatever they can get, one after another', () => {
    const shares = new Shares(2_000);
    const held = new Map<string, number>();
    for (let i = 0; i < 2_000; i++) {
      for (let n = 0; n < 20; n++) if (shares.take(`a${n}`)) held.set(`a${n}`, (held.get(`a${n}`) ?? 0) + 1);
    }
    expect(new Set(held.values())).toEqual(new Set([95, 96]));
    expect(takeAll(shares, 'somebody').length).toBeGreaterThan(40);
  });

  it('are shared among the clients of an address, too', () => {
    const shares = new Shares(1_000);
    const [flood, other] = [{}, {}];
    expect(takeAll(shares, 'a', flood)).toHaveLength(334);
    expect(takeAll(shares, 'a', other).length).toBeGreaterThan(100);
  });

  it('come all or none, and are free again once, however often that is said', () => {
    const shares = new Shares(20);
    const leave = shares.take('a', null, 10)!;
    expect(shares.take('b', null, 11)).toBeNull();
    expect(shares.free).toBe(10);
    leave();
    leave();
    expect(shares.free).toBe(20);
    expect(takeAll(shares, 'a')).toHaveLength(10);
  });
});
