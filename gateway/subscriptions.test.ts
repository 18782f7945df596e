import { beforeEach, describe, expect, it } from '@jest/globals';
import { buildSchema, execute, GraphQLError, parse, type ExecutionArgs } from 'graphql';
import type { Logger } from '../shared/log.js';
import { Consistency } from './consistency.js';
import { Context, type Services } from './context.js';
import { fault, GoneMeanwhile } from './errors.js';
import { decodeToken, type Token } from '../shared/token.js';
import type { Frames } from './feed.js';
import { Work } from './work.js';
import { Subscriptions, type Answer, type Deliver, type Shown } from './subscriptions.js';

const NOBODYS = { network: '192.0.2.1', isLoopback: false };

const schema = buildSchema(`
  type Query { nothing: Boolean }
  type Subscription { ticks(of: ID, after: Int = 0): Tick! }
  type Tick { n: Int!, times(by: Int = 1): Int!, viewer: String, late: Boolean, gone: Boolean, wrong: Boolean, now: Int }
`);

interface Tick {
  epoch: string;
  at: { position: number; index: null };
  cursor: string;
  key: string;
}
const tick = (position: number, epoch = 'now'): Tick => ({
  epoch,
  at: { position, index: null },
  cursor: `c${position}`,
  key: `${epoch}/${position}`,
});

let executed: string[];
let isLate: boolean;
let epoch: string;
/** What changes by itself, and is read whenever something is executed. */
let now: number;
beforeEach(() => {
  executed = [];
  isLate = false;
  epoch = 'now';
  now = 1;
});

const log = { error: () => undefined } as unknown as Logger;
const services = {
  reads: {
    get space() {
      return { epoch };
    },
  },
  readDeadlineMs: 1_000,
  work: new Work(),
  log,
} as unknown as Services;

/** What subscribers of the same moment get of these frames. */
async function answersTo(
  query: string,
  {
    frames = [tick(5)],
    viewerId = null as string | null,
    floor = 0,
    variables = {},
    subscriptions,
    shown,
  }: {
    frames?: Tick[];
    viewerId?: string | null;
    floor?: number;
    variables?: object;
    subscriptions: Subscriptions;
    shown?: Shown | undefined;
  },
): Promise<Answer[]> {
  async function* source() {
    yield* frames;
  }
  const answers = await subscriptions.subscribe(argsOf(query, source, { viewerId, floor, variables }), shown);
  if (!(Symbol.asyncIterator in answers)) throw new Error(JSON.stringify(answers));
  const all: Answer[] = [];
  for await (const answer of answers) all.push(answer);

  return all;
}

function argsOf(
  query: string,
  source: () => AsyncIterable<Tick>,
  { viewerId = null as string | null, floor = 0, variables = {} } = {},
): ExecutionArgs {
  const viewer = viewerId === null ? null : { authorId: viewerId, expiresAtMs: Infinity };
  const contextValue = new Context(services, NOBODYS, viewer, new Consistency('now', floor, false, 1_000), 'test', null);

  return {
    schema,
    document: parse(query),
    variableValues: variables,
    contextValue,
    subscribeFieldResolver: source,
    fieldResolver: (frame: Tick & { n: number }, { by }: { by: number }, context: Context, { fieldName }) => {
      switch (fieldName) {
        case 'ticks':
          executed.push(`${query.length} ${frame.at.position}`);
          context.consistency.saw(frame.at.position, 0, true);
          return { n: frame.at.position };
        case 'times':
          return frame.n * by;
        case 'viewer':
          return context.viewerId;
        case 'late':
          if (isLate) throw fault('NOT_CAUGHT_UP', 'not yet');
          return true;
        case 'now':
          return now;
        case 'gone':
          throw new GoneMeanwhile();
        case 'wrong':
          throw new GraphQLError('wrong');
        default:
          return frame.n;
      }
    },
  };
}

/** As a feed's: gives each frame when it is asked for it, at once, until there is none any more. */
function feedOf(frames: Tick[]): Frames<Tick> & { left: Tick[] } {
  const left = [...frames].reverse();
  const feed: Frames<Tick> & { left: Tick[] } = {
    left,
    take: (taker) => taker(left.pop()),
    next: () => Promise.reject(new Error('it takes')),
    return: () => Promise.resolve({ value: undefined, done: true }),
    [Symbol.asyncIterator]: () => feed,
  };

  return feed;
}

const dataOf = (answers: Answer[]) => answers.map((answer) => answer.payload(answer.newest).data?.ticks);

describe('delivering', () => {
  async function begin(feed: Frames<Tick>, deliver: Deliver) {
    const args = argsOf('subscription { ticks { n } }', () => feed);
    const deliveries = await new Subscriptions(execute).subscribe(args, { at: 0 }, deliver);
    if (!(Symbol.asyncIterator in deliveries)) throw new Error(JSON.stringify(deliveries));

    return deliveries;
  }

  it('takes any number of frames that are there already', async () => {
    const ofAnotherJournal = Array.from({ length: 20_000 }, () => tick(5, 'then'));
    let delivered = 0;
    const deliveries = await begin(feedOf([...ofAnotherJournal, tick(6)]), () => void (delivered += 1));
    expect(await deliveries.next()).toEqual({ value: undefined, done: true });
    expect(delivered).toBe(1);
  });

  it('takes the next frame when the one before may be forgotten, and none after it was stopped', async () => {
    const feed = feedOf([tick(5), tick(6), tick(7)]);
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const taken = Promise.withResolvers<void>();
    const positions: number[] = [];
    const deliveries = await begin(feed, (answer) => {
      if (positions.push(answer.newest.position) === 1) return first.promise;
      taken.resolve();
      return second.promise;
    });
    const over = deliveries.next();
    // Nothing else can happen before the first is forgotten, so there is nothing to wait for but the loop's own turns.
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect([positions, feed.left.length]).toEqual([[5], 2]);
    first.resolve();
    await taken.promise;
    expect([positions, feed.left.length]).toEqual([[5, 6], 1]);
    await deliveries.return!();
    second.resolve();
    expect(await over).toEqual({ value: undefined, done: true });
    expect([positions, feed.left.length]).toEqual([[5, 6], 1]);
  });

  it('ends with what went wrong in it', async () => {
    const deliveries = await begin(feedOf([tick(5), tick(6)]), () => {
      throw new Error('no');
    });
    await expect(deliveries.next()).rejects.toThrow('no');
    expect(await deliveries.next()).toEqual({ value: undefined, done: true });
  });
});

describe('a frame', () => {
  it('is kept for others until those that are kept take too much memory; the oldest go, and never the newest', async () => {
    const maxBytes = 1_000_000;
    const subscriptions = new Subscriptions(execute, { sharedMs: 60_000, maxSharedBytes: maxBytes });
    const own = (n: number) => `subscription { ticks { ${'mine'.repeat(1_000)}${n}: n } }`;
    const ask = async (n: number, frames = [tick(5)]) => {
      executed = [];
      await answersTo(own(n), { subscriptions, frames });

      return executed.length;
    };
    const all = Array.from({ length: 100 }, (_, n) => n);
    for (const n of all) await ask(n);
    const again: number[] = [];
    for (const n of all) again.push(await ask(n));
    // All that is kept is of the newest frame: nothing is left out for it.
    const kept = again.filter((times) => times === 0).length;
    expect(kept).toBeGreaterThan(maxBytes / 40_000);
    expect(kept).toBeLessThan(maxBytes / 4_000);
    expect(again.slice(0, kept)).toEqual(Array(kept).fill(0));
    // The next frame has all the room.
    expect(await ask(99, [tick(6)])).toBe(1);
    expect(await ask(99, [tick(6)])).toBe(0);
    expect(await ask(0)).toBe(1);
  });

  it('is executed once, and written once, for all who ask for the same, whoever they are and wherever they began', async () => {
    const subscriptions = new Subscriptions(execute);
    const all = await Promise.all([
      answersTo('subscription { ticks { n } }', { subscriptions }),
      answersTo('subscription { ticks { n } }', { subscriptions, viewerId: 'alice' }),
      answersTo('subscription { ticks(of: "bob", after: 3) { n } }', { subscriptions, viewerId: 'bob' }),
      answersTo('subscription ($of: ID) { ticks(of: $of) { n } }', { subscriptions, variables: { of: 'carol' } }),
      answersTo('subscription($of: ID) {\n  # the same\n  ticks(of: $of) { n }\n}', { subscriptions, variables: { of: 'dave' } }),
    ]);
    expect(all.map(dataOf)).toEqual(Array(5).fill([{ n: 5 }]));
    expect(new Set(all.map(([answer]) => answer!.json(answer!.newest))).size).toBe(1);
    expect(new Set(all.flat()).size).toBe(1);
    expect(executed).toHaveLength(1);
  });

  it('is executed for each who asks for something else', async () => {
    const subscriptions = new Subscriptions(execute);
    const all = await Promise.all([
      answersTo('subscription { ticks { n } }', { subscriptions }),
      answersTo('subscription { ticks { m: n } }', { subscriptions }),
      answersTo('subscription ($by: Int) { ticks { times(by: $by) } }', { subscriptions, variables: { by: 2 } }),
      answersTo('subscription ($by: Int) { ticks { times(by: $by) } }', { subscriptions, variables: { by: 3 } }),
      answersTo('subscription ($by: Int = 4) { ticks { times(by: $by) } }', { subscriptions }),
      answersTo('subscription ($by: Int = 5) { ticks { times(by: $by) } }', { subscriptions }),
    ]);
    expect(all.map(dataOf)).toEqual([[{ n: 5 }], [{ m: 5 }], [{ times: 10 }], [{ times: 15 }], [{ times: 20 }], [{ times: 25 }]]);
  });

  it('that asks who is signed in is executed for each of those, and shown to nobody else', async () => {
    const subscriptions = new Subscriptions(execute);
    const viewers = ['alice', 'bob', null, 'alice', 'carol'];
    const all = await Promise.all(viewers.map((viewerId) => answersTo('subscription { ticks { n viewer } }', { subscriptions, viewerId })));
    expect(all.map(dataOf)).toEqual(viewers.map((viewer) => [{ n: 5, viewer }]));
    expect(executed).toHaveLength(4);
  });

  it('from before what a subscriber has seen is not taken from others', async () => {
    const subscriptions = new Subscriptions(execute);
    await answersTo('subscription { ticks { n } }', { subscriptions });
    await answersTo('subscription { ticks { n } }', { subscriptions, floor: 6 });
    expect(executed).toHaveLength(2);
    const [answer] = await answersTo('subscription { ticks { n } }', { subscriptions, floor: 6 });
    expect(answer!.newest).toEqual({ epoch: 'now', position: 6 });
  });

  it('whose rows are late is tried again, in its place', async () => {
    const subscriptions = new Subscriptions(execute);
    isLate = true;
    const answers = answersTo('subscription { ticks { n late } }', { subscriptions, frames: [tick(5), tick(6)] });
    const others = answersTo('subscription { ticks { n late } }', { subscriptions, frames: [tick(5), tick(6)] });
    setTimeout(() => (isLate = false), 250); // For how long they are late is the input.
    expect(dataOf(await answers)).toEqual([
      { n: 5, late: true },
      { n: 6, late: true },
    ]);
    expect(dataOf(await others)).toEqual([
      { n: 5, late: true },
      { n: 6, late: true },
    ]);
    expect(executed.length).toBeLessThan(8);
  });

  it('of a journal that is over is left out, also when its rows were waited for', async () => {
    const subscriptions = new Subscriptions(execute);
    isLate = true;
    const answers = answersTo('subscription { ticks { n late } }', { subscriptions, frames: [tick(5), tick(1, 'then')] });
    setTimeout(() => {
      epoch = 'then';
      isLate = false;
    }, 150); // As above.
    expect(dataOf(await answers)).toEqual([{ n: 1, late: true }]);
  });

  it('never shows less than the one before it, or than what the session was shown meanwhile, whatever others have been told', async () => {
    const subscriptions = new Subscriptions(execute);
    const ask = (frames: Tick[], shown?: Shown) => answersTo('subscription { ticks { n now } }', { subscriptions, frames, shown });
    expect(dataOf(await ask([tick(6)]))).toEqual([{ n: 6, now: 1 }]);
    now = 2;
    // The second of these was executed for somebody else, before the first was for this one.
    expect(dataOf(await ask([tick(5), tick(6)]))).toEqual([
      { n: 5, now: 2 },
      { n: 6, now: 2 },
    ]);
    now = 3;
    expect(dataOf(await ask([tick(6)]))).toEqual([{ n: 6, now: 2 }]);
    expect(dataOf(await ask([tick(6)], { at: performance.now() }))).toEqual([{ n: 6, now: 3 }]);
    expect(executed).toHaveLength(4);
  });

  it('comes with a token that says no less than what the session has seen', async () => {
    const [answer] = await answersTo('subscription { ticks { n } }', { subscriptions: new Subscriptions(execute) });
    const tokenOf = (newest: Token) => {
      const { extensions } = JSON.parse(answer!.json(newest)) as { extensions: { consistency: { token: string } } };
      expect(extensions).toEqual(answer!.payload(newest).extensions);

      return decodeToken(extensions.consistency.token);
    };
    expect(tokenOf({ epoch: 'now', position: 3 })).toEqual({ epoch: 'now', position: 5 });
    expect(tokenOf({ epoch: 'now', position: 9 })).toEqual({ epoch: 'now', position: 9 });
    expect(tokenOf({ epoch: 'then', position: 9 })).toEqual({ epoch: 'now', position: 5 });
  });

  it('about what has gone is left out, and what went wrong is told', async () => {
    const subscriptions = new Subscriptions(execute);
    expect(await answersTo('subscription { ticks { gone } }', { subscriptions })).toEqual([]);
    const [answer] = await answersTo('subscription { ticks { wrong } }', { subscriptions });
    expect(answer!.payload(answer!.newest)).toMatchObject({ data: { ticks: { wrong: null } }, errors: [{ message: 'wrong' }] });
  });
});
