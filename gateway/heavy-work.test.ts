import { describe, expect, it } from '@jest/globals';
import { HeavyWork } from './heavy-work.js';

const turn = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
const until = async (holds: () => boolean) => {
  while (!holds()) await turn();
};

describe('heavy work', () => {
  let refused: string[] = [];
  const world = () => {
    refused = [];
    const work = new HeavyWork();
    const begun: string[] = [];
    const ends = new Map<string, () => void>();
    const begin = (name: string, address: string, values = 50_000) => {
      void work.begin(values, address)?.then(
        (end) => {
          begun.push(name);
          ends.set(name, end);
        },
        () => refused.push(name),
      );
    };

    return { work, begun, begin, end: (name: string) => ends.get(name)!() };
  };

  it('is done one after another, by turns of those who ask for it', async () => {
    const { begun, begin, end } = world();
    for (const name of ['a1', 'a2', 'a3']) begin(name, 'a');
    begin('b1', 'b');
    await turn();
    expect(begun).toEqual(['a1']);
    for (const [i, next] of ['b1', 'a2', 'a3'].entries()) {
      end(begun[i]!);
      await until(() => begun.length > i + 1);
      expect(begun[i + 1]).toBe(next);
      expect(begun).toHaveLength(i + 2);
    }
  });

  it('is done together as far as it is no more than one may be', async () => {
    const { begun, begin, end } = world();
    for (const name of ['a', 'b', 'c']) begin(name, name, 9_000);
    await turn();
    expect(begun).toEqual(['a', 'b']);
    end('a');
    end('a');
    await until(() => begun.length > 2);
    expect(begun).toEqual(['a', 'b', 'c']);
  });

  it('is charged to whoever has it done, with what follows in the same step', async () => {
    const charged: [string, number][] = [];
    const work = new HeavyWork(10, (network, ms) => charged.push([network, ms]));
    const end = await work.turn('a');
    end();
    const busyUntil = performance.now() + 20;
    while (performance.now() < busyUntil);
    await until(() => charged.length > 0);
    expect(charged).toEqual([['a', expect.any(Number)]]);
    expect(charged[0]![1]).toBeGreaterThanOrEqual(15);
  });

  it('does not wait for who waits itself', async () => {
    const { begun, begin } = world();
    begin('a', 'a');
    begin('b', 'b');
    await until(() => begun.length > 1);
    expect(begun).toEqual(['a', 'b']);
  });

  it('that is light begins at once', () => {
    expect(world().work.begin(3_000, 'a')).toBeNull();
    expect(world().work.begin(3_000, 'a', 3_001)).not.toBeNull();
  });

  it('of whoever has most that waits is refused when too much waits', async () => {
    const { work, begin, begun } = world();
    for (let i = 0; i < 401; i++) begin(`a${i}`, 'a');
    const another = work.begin(50_000, 'another')!;
    let isRefused = false;
    another.catch(() => (isRefused = true));
    await turn();
    expect({ isRefused, refused, begun }).toEqual({ isRefused: false, refused: ['a400'], begun: ['a0'] });
  });
});
