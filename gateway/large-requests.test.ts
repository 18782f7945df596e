import { describe, expect, it } from '@jest/globals';
import { LargeRequests } from './large-requests.js';

const at = (network: string) => ({ network, isLoopback: false });
const LARGE = 256 * 1024;

describe('large requests', () => {
  it('of one address leave room for those of another, and give theirs back once', () => {
    const large = new LargeRequests();
    const held: (() => void)[] = [];
    for (let one = large.take(at('192.0.2.1'), LARGE); one; one = large.take(at('192.0.2.1'), LARGE)) held.push(one);
    expect(held.length).toBe(64);
    expect(large.take(at('192.0.2.2'), LARGE)).not.toBeNull();
    held[0]!();
    held[0]!();
    expect([large.take(at('192.0.2.1'), LARGE), large.take(at('192.0.2.1'), LARGE)]).toEqual([expect.any(Function), null]);
  });

  it('do not keep short ones waiting', () => {
    const large = new LargeRequests();
    for (let i = 0; i < 10_000; i++) expect(large.take(at('192.0.2.1'), 16 * 1024)).not.toBeNull();
  });
});
