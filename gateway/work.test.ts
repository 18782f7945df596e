import { describe, expect, it } from '@jest/globals';
import { Work, type Asker, type WaitingFrame } from './work.js';

const blockMs = (ms: number) => {
  for (const until = performance.now() + ms; performance.now() < until;);
};

const ONE: Asker = ['192.0.2.1', 1];
const ANOTHER: Asker = ['192.0.2.2', 2];

describe('work', () => {
  it('begins operations and subscriptions in turns', async () => {
    const work = new Work();
    const begun: string[] = [];
    const all = Array.from({ length: 3 }, () => [
      work.turn(ONE).then(() => begun.push('operation')),
      work.turnToSubscribe(ONE).then(() => begun.push('subscription')),
    ]);
    expect(begun).toEqual([]);
    await Promise.all(all.flat());
    expect(begun).toEqual(Array.from({ length: 3 }, () => ['operation', 'subscription']).flat());
  });

  it('begins something in each round, however long the rounds are with other things', async () => {
    const work = new Work();
    let rounds = 0;
    let isOver = false;
    const busy = () => {
      blockMs(8);
      rounds += 1;
      if (!isOver && rounds < 100) setImmediate(busy);
    };
    setImmediate(busy);
    await Promise.all(Array.from({ length: 10 }, () => work.turn(ONE)));
    isOver = true;
    expect(rounds).toBeLessThan(50);
  });

  it.each([
    ['before anything else begins, in each round', [ONE], 6],
    ['more often while several addresses wait', [ONE, ANOTHER], 3],
  ])('lets what is under way go on %s', async (_, askers, ms) => {
    // Before each that begins; there may be rounds in which nobody does.
    const wentOn: boolean[] = [];
    let goesOn = false;
    const work = new Work(100, () => void (goesOn = true));
    await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        work.turn(askers[i % askers.length]!).then(() => {
          wentOn.push(goesOn);
          goesOn = false;
          blockMs(ms);
        }),
      ),
    );
    // Of the last ones, only those of one address may be left.
    expect(wentOn.slice(0, 4)).toEqual([true, true, true, true]);
  });

  it('gives an address that asks for little its turn before all those of one that asks for much', async () => {
    const work = new Work();
    const begun: string[] = [];
    const heavy = Array.from({ length: 30 }, (_, i) =>
      work.turn(['192.0.2.1', i]).then(() => {
        begun.push('much');
        blockMs(6);
      }),
    );
    for (let i = 0; i < 3; i++) {
      await work.turn(ANOTHER);
      begun.push('little');
    }
    await Promise.all(heavy);
    // Each little one waits for what is under way, and no more.
    expect(begun.lastIndexOf('little')).toBeLessThan(12);
  });

  it('gives a connection that asks for little its turn before others of its address', async () => {
    const work = new Work();
    const begun: string[] = [];
    const ask = async (connection: number) => {
      await work.turn(['192.0.2.1', connection]);
      begun.push(String(connection));
      blockMs(connection === 0 ? 0 : 6);
    };
    await ask(0);
    const heavy = [1, 2, 3, 4, 5].map(async (connection) => {
      for (let i = 0; i < 5; i++) await ask(connection);
    });
    for (let i = 0; i < 5; i++) await ask(0);
    await Promise.all(heavy);
    expect(begun.lastIndexOf('0')).toBeLessThan(16);
  });

  it('knows what a turn has begun from what comes later', async () => {
    const work = new Work();
    await work.turn(ONE);
    expect([work.isTurnOf(ONE), work.isTurnOf(ANOTHER)]).toEqual([true, false]);
    await Promise.resolve();
    expect(work.isTurnOf(ONE)).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(work.isTurnOf(ONE)).toBe(false);
  });

  it('refuses operations when as many wait as may be, and lets subscriptions wait', () => {
    const work = new Work(2);
    void work.turn(ONE);
    void work.turn(ONE);
    expect(() => work.turn(ONE)).toThrow('hands full');
    expect(work.turnToSubscribe(ONE)).toBeInstanceOf(Promise);
  });

  it('refuses one of those who wait most, when as many wait as may be and somebody else comes', async () => {
    const work = new Work(3);
    const flood = [1, 2, 3].map((connection) =>
      work.turn(['192.0.2.1', connection]).then(
        () => 'begun',
        (error: Error) => error.message,
      ),
    );
    await work.turn(ANOTHER);
    const ends = await Promise.all(flood);
    expect(ends.filter((end) => end === 'begun')).toHaveLength(2);
    expect(ends.find((end) => end !== 'begun')).toContain('hands full');
  });
});

class Frame implements WaitingFrame {
  hasBegun = false;
  private readonly begun = Promise.withResolvers<void>();

  constructor(
    readonly values: number,
    private readonly onBegun: () => void = () => undefined,
  ) {}

  get whenBegun(): Promise<void> {
    return this.begun.promise;
  }

  begin(): void {
    this.hasBegun = true;
    this.onBegun();
    this.begun.resolve();
  }
}

describe('frames', () => {
  const many = (work: Work, count: number, values: number, network: string, onBegun?: () => void) => {
    const all = Array.from({ length: count }, () => new Frame(values, onBegun));
    for (const frame of all) work.executeFrame(frame, network);

    return Promise.all(all.map(({ whenBegun }) => whenBegun));
  };

  it('begin at once when nothing waits, and else a few in a round', async () => {
    const work = new Work();
    let begun = 0;
    const all = many(work, 20, 500, '192.0.2.1', () => (begun += 1));
    expect(begun).toBe(1);
    let rounds = 0;
    const count = () => {
      rounds += 1;
      if (begun < 20) setImmediate(count);
    };
    setImmediate(count);
    await all;
    expect(rounds).toBeGreaterThanOrEqual(19);
  });

  it('of an address that has few wait no longer because another has many, or large ones', async () => {
    const work = new Work();
    const begun: string[] = [];
    const all = [
      many(work, 100, 500, '192.0.2.1', () => void begun.push('large')),
      many(work, 10, 20, '192.0.2.2', () => void begun.push('small')),
    ];
    await Promise.all(all);
    expect(begun.lastIndexOf('small')).toBeLessThan(15);
  });

  it('that several addresses wait for begin with the first of their turns, once', async () => {
    const work = new Work();
    let begun = 0;
    let before = 0;
    const all = many(work, 100, 500, '192.0.2.1', () => (before += 1));
    const shared = new Frame(500, () => (begun += 1));
    for (const network of ['192.0.2.1', '192.0.2.2', '192.0.2.3']) work.executeFrame(shared, network);
    await shared.whenBegun;
    expect(before).toBeLessThan(10);
    await all;
    expect(begun).toBe(1);
  });

  it('keep no operation from beginning, however many wait', async () => {
    const work = new Work();
    let begun = 0;
    const all = many(work, 200, 500, '192.0.2.1', () => {
      begun += 1;
      blockMs(2);
    });
    for (let i = 0; i < 5; i++) {
      await work.turn(ANOTHER);
      work.ended(ANOTHER);
    }
    expect(begun).toBeLessThan(30);
    await all;
  });
});
