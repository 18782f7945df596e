import { describe, expect, it } from '@jest/globals';
import { SubscriptionShares } from './subscription-shares.js';

const ADDRESS = '192.0.2.1';
const shape = (id: string, values = 20, bytes = 5_000) => ({ id, values, bytes });

/** How many of these may be open. */
function opened(take: (i: number) => () => void): (() => void)[] {
  const left: (() => void)[] = [];
  try {
    for (let i = 0; i < 30_000; i++) left.push(take(i));
  } catch {
    return left;
  }

  return left;
}

describe('a share of the subscriptions', () => {
  it('of one socket are few shapes, and any number of subscriptions of these', () => {
    const shares = new SubscriptionShares();
    const socket = {};
    const own = opened((i) => shares.take(ADDRESS, socket, shape(`own ${i}`)));
    expect(own).toHaveLength(20);
    for (let i = 0; i < 100; i++) shares.take(ADDRESS, socket, shape('own 0'));
    expect(() => shares.take(ADDRESS, socket, shape('another'))).toThrow('on one socket 20 are the most');
    expect(shares.take(ADDRESS, {}, shape('another'))).toBeInstanceOf(Function);
    expect([shares.hasRoom(ADDRESS, socket), shares.hasRoom(ADDRESS, {})]).toEqual([false, true]);
    own[1]!();
    expect(shares.hasRoom(ADDRESS, socket)).toBe(true);
    expect(shares.take(ADDRESS, socket, shape('another'))).toBeInstanceOf(Function);
  });

  it('of one address is half of what the frames of all shapes may hold, each shape once; of each of many, less', () => {
    const shares = new SubscriptionShares();
    const of = (address: string) => opened((i) => shares.take(address, {}, shape(`${address} ${i}`, 500)));
    const left = of(ADDRESS);
    expect(left).toHaveLength(20);
    expect(() => shares.take(ADDRESS, {}, shape('another', 1))).toThrow('Too many subscriptions');
    for (let i = 0; i < 1_000; i++) shares.take(ADDRESS, {}, shape(`${ADDRESS} 7`, 500));
    expect(of('192.0.2.2')).toHaveLength(10);
    left[0]!();
    expect(shares.take('192.0.2.3', {}, shape('another', 500))).toBeInstanceOf(Function);
  });

  it('of all networks of an IPv6 site is that of one address', () => {
    const shares = new SubscriptionShares();
    const left = opened((i) => shares.take(`2001:db8:1:${i.toString(16)}::/64`, {}, shape(`own ${i}`, 500)));
    expect(left).toHaveLength(20);
    expect(shares.hasRoom('2001:db8:1:ffff::/64', {})).toBe(false);
    expect(shares.hasRoom('2001:db8:2:0::/64', {})).toBe(true);
  });

  it('of one address is bounded by the memory of its shapes, but for those that others have', () => {
    const shares = new SubscriptionShares();
    const left = opened((i) => shares.take(ADDRESS, {}, shape(String(i), 1, 1_000_000)));
    expect(left.length).toBeLessThan(20);
    expect(opened((i) => shares.take('192.0.2.2', {}, shape(String(i % left.length), 1, 1_000_000))).length).toBeGreaterThan(9_000);
  });

  it('of one address is a half of all subscriptions, of others less, until some have ended', () => {
    const shares = new SubscriptionShares();
    const of = (address: string) => opened(() => shares.take(address, {}, shape('the same')));
    const ends = of(ADDRESS);
    expect(ends).toHaveLength(10_000);
    expect(of('192.0.2.2')).toHaveLength(5_000);
    expect(of('192.0.2.3')).toHaveLength(2_500);
    for (const end of ends) end();
    expect(of('192.0.2.4').length).toBeGreaterThan(5_000);
  });

  it('has no room for a frame that may be large', () => {
    expect(() => new SubscriptionShares().take(ADDRESS, {}, shape('large', 501))).toThrow('could have 501 values, and 500 is the most');
  });
});
