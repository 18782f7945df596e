import { describe, expect, it } from '@jest/globals';
import { FairWork, NoTurn, type WorkFor } from './fair-work.js';

const LIMITS = { atOnce: 1, places: 100, placesOfAccount: 4 };
const from = (address: string, more: Partial<WorkFor> = {}): WorkFor => ({ address, account: null, waitMs: 60_000, ...more });

/** Work that ends when it is told to. */
function works(work: FairWork) {
  const begun: { name: string; end: () => void }[] = [];
  const run = (who: WorkFor, name = who.address) =>
    work.run(who, () => new Promise<string>((resolve) => begun.push({ name, end: () => resolve(name) })));

  return { begun, run };
}

async function endAll(begun: { end: () => void }[], all: Promise<unknown>[]): Promise<void> {
  let isOver = false;
  void Promise.all(all).then(() => (isOver = true));
  while (!isOver) {
    for (const { end } of begun) end();
    await turns();
  }
}

const turns = () => new Promise((resolve) => setImmediate(resolve));

describe('work that takes long', () => {
  it('is not begun for who has left before it asks, or leaves while it asks', async () => {
    const { begun, run } = works(new FairWork(LIMITS));
    await expect(run(from('gone', { isGone: true }))).rejects.toThrow(NoTurn);
    const first = run(from('first'));
    const leavesAtOnce = from('leaving', {
      whenGone: (listener) => {
        listener();
        return () => undefined;
      },
    });
    await expect(run(leavesAtOnce)).rejects.toThrow(NoTurn);
    begun[0]!.end();
    expect([await first, begun.length]).toEqual(['first', 1]);
  });

  it('of somebody else comes after one piece at the most of a flood, however many of it wait', async () => {
    const { begun, run } = works(new FairWork(LIMITS));
    const flood = Array.from({ length: 40 }, () => run(from('flood')));
    await turns();
    begun[0]!.end();
    await flood[0];
    await turns();
    const other = run(from('other'));
    for (let i = 1; i < 3 && begun.at(-1)!.name !== 'other'; i++) {
      begun[i]!.end();
      await turns();
    }
    expect(begun.at(-1)!.name).toBe('other');
    expect(begun.length).toBeLessThan(5);
    begun.at(-1)!.end();
    expect(await other).toBe('other');
    await endAll(begun, flood);
  });

  it('is never begun for whoever has left', async () => {
    const { begun, run } = works(new FairWork(LIMITS));
    const first = run(from('a'));
    let leave = () => undefined as void;
    const left = run(from('b', { whenGone: (listener) => ((leave = listener), () => undefined) }), 'left');
    const after = run(from('b'), 'after');
    leave();
    await expect(left).rejects.toBeInstanceOf(NoTurn);
    await turns();
    begun[0]!.end();
    await first;
    await turns();
    expect(begun.map(({ name }) => name)).toEqual(['a', 'after']);
    begun[1]!.end();
    await after;
  });

  it('is refused at once to whoever would wait for longer than it waits, and later to who has waited so long', async () => {
    const { begun, run } = works(new FairWork(LIMITS));
    const all = [run(from('a')), run(from('a'))];
    await turns();
    await expect(run(from('a', { waitMs: 20 }))).rejects.toThrow('no turn in time');
    await expect(run(from('b', { waitMs: 120 }))).rejects.toThrow('no turn in time');
    expect(begun).toHaveLength(1);
    await endAll(begun, all);
  });

  it('has few places for one account from one address, and others for the same account from elsewhere', async () => {
    const { begun, run } = works(new FairWork(LIMITS));
    const wrong = Array.from({ length: 10 }, () => run(from('stranger', { account: 'alice' })).catch((error: Error) => error.name));
    const owner = run(from('home', { account: 'alice' }), 'owner');
    for (let i = 0; i < 2 && begun.at(-1)?.name !== 'owner'; i++) {
      await turns();
      begun[i]!.end();
      await turns();
    }
    expect(begun.at(-1)!.name).toBe('owner');
    begun.at(-1)!.end();
    expect(await owner).toBe('owner');
    expect(await Promise.all(wrong.slice(4))).toEqual(Array(6).fill('NoTurn'));
    await endAll(begun, wrong);
  });

  it('has room for whoever comes next, when others have taken all places one after another', async () => {
    const { begun, run } = works(new FairWork(LIMITS));
    const flood = Array.from({ length: 20 }, (_, n) =>
      Array.from({ length: 50 }, () => run(from(`flood ${n}`)).catch(() => 'refused')),
    ).flat();
    await turns();
    const other = run(from('other'));
    await turns();
    begun[0]!.end();
    await turns();
    await turns();
    for (let i = 1; i < 4 && begun.at(-1)!.name !== 'other'; i++) {
      begun[i]!.end();
      await turns();
    }
    await endAll(begun, [...flood, other]);
    expect(await other).toBe('other');
  });

  it('that is known comes after one piece of others at the most, however many addresses those come from, and has the place of one of them', async () => {
    const { begun, run } = works(new FairWork({ ...LIMITS, places: 50 }));
    const flood = Array.from({ length: 60 }, (_, n) => run(from(`flood ${n}`)).catch((error: Error) => error.name));
    await turns();
    const owner = run(from('home', { isKnown: true }));
    begun[0]!.end();
    await turns();
    await turns();
    expect(begun.map(({ name }) => name)).toEqual(['flood 0', 'home']);
    begun[1]!.end();
    expect(await owner).toBe('home');
    await endAll(begun, flood);
  });

  it('goes on with the next when one fails', async () => {
    const work = new FairWork(LIMITS);
    const failing = work.run(from('a'), () => Promise.reject(new Error('it failed')));
    const next = work.run(from('a'), () => Promise.resolve('done'));
    await expect(failing).rejects.toThrow('it failed');
    expect(await next).toBe('done');
  });
});
