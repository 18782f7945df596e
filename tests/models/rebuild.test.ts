/**
 * A shard that builds itself, and one that was there from the beginning: the same, key by key, though the one writes less while nobody sees it,
 * makes some of it at its target only, and may fail in the middle, and then goes on with other batches.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { createApply, type PositionedWrite } from '../../read-side/apply.js';
import { compareCopies, readMoving, type Copy } from '../../read-side/differences.js';
import { plan, type PlannedShard } from '../../read-side/plan.js';
import type { Projection } from '../../read-side/projection.js';
import { APPLIED, LOGGED_AFTER, prefixOf, TARGET, type Space } from '../../read-side/shard.js';
import { Findings } from '../../shared/findings.js';
import type { JournalEntry } from '../../shared/messages/event.js';
import { costly } from './costly.js';
import { journalOf, stepsOf, type Step } from './journal.js';
import { SUBJECTS } from './questions.js';
import { assertAtOnce } from './runs.js';

/** Of its own: comparing looks at all keys that there are. */
const DATABASE = 12;
const RUNS = 1_500;

let redis: Redis;
beforeAll(() => {
  redis = new Redis(process.env.TEST_REDIS_URL!, { db: DATABASE });
});
afterAll(() => redis?.disconnect());

interface Building {
  journal: JournalEntry[];
  generations: readonly number[];
  /** Shards leave out what an operator has named. */
  skips: { number: number; position: number }[];
  /** 0 for a shard that is read from the beginning. */
  target: number;
  loggedAfter: number;
  /** Entries that are planned together. */
  batch: number;
  /** Before each batch another one of `batch` entries fails, in each shard after `after` of its writes; null for never. */
  fails: { batch: number; after: number } | null;
}

/** Builds all shards of a projection to the journal's end. */
async function build(projection: Projection, space: Space, { journal, skips, generations, target, loggedAfter, batch, fails }: Building) {
  const apply = createApply(redis, space, [projection]);
  const shards = generations.flatMap((generation) =>
    Array.from({ length: space.shards }, (_, number): PlannedShard => {
      const shard = { projection: projection.id, number, generation };

      return { shard, applied: 0, limit: Infinity, unseenUpTo: Math.min(loggedAfter, target - 1) };
    }),
  );
  for (const { shard } of shards) {
    const prefix = prefixOf(space, shard);
    await redis.mset(prefix + APPLIED, 0, prefix + TARGET, target, prefix + LOGGED_AFTER, loggedAfter);
  }
  const run = async (one: PlannedShard, upTo: number, writes: PositionedWrite[]) => {
    while (one.applied < upTo) {
      const left = writes.filter(({ position }) => position > one.applied);
      const result = await apply(one.shard, one.applied, upTo, left);
      expect(result.status).toBe('applied');
      one.applied = result.applied!;
    }
  };
  const planned = (at: number, entries: number) =>
    plan(projection, shards, space.shards, journal.slice(at, at + entries), ({ number }, position) =>
      skips.some((skip) => skip.number === number && skip.position === position),
    );
  for (let at = 0; at < journal.length; at += batch) {
    for (const [i, { upTo, writes }] of fails ? planned(at, fails.batch).entries() : []) {
      const one = shards[i]!;
      const some = writes.slice(0, fails!.after % (writes.length + 1));
      // `applied` is no set. (It may have come further than that before it failed.)
      const broken = { position: Math.max(some.at(-1)?.position ?? 0, one.applied + 1), write: ['SADD', APPLIED, 'x'] as const };
      if (one.applied < upTo) await expect(run(one, upTo, [...some, broken])).rejects.toThrow('WRONGTYPE');
    }
    for (const [i, { upTo, writes, failed }] of planned(at, batch).entries()) {
      expect(failed).toBeNull();
      await run(shards[i]!, upTo, writes);
    }
  }
}

/** The same few people and cheeps again and again. */
const among = (few: number, steps: Step[]) => steps.map(({ kind, who, which }) => ({ kind, who: who % few, which: which % few }));
/** Or as far as this, so that much is not seen. */
const mostly = (far: number) => fc.oneof(fc.constant(far), fc.nat(far));
const batch = fc.integer({ min: 2, max: 20 });

const names = Object.keys(SUBJECTS) as (keyof typeof SUBJECTS)[];
const histories = fc.constantFrom(...names).chain((name) =>
  fc.record({
    name: fc.constant(name),
    steps: fc.tuple(stepsOf(SUBJECTS[name].kinds, 40, 60), fc.constantFrom(2, 12)).map(([steps, few]) => among(few, steps)),
    shards: fc.integer({ min: 1, max: 3 }),
    hotFollowers: fc.constantFrom(0, 1, 2, 1_000),
    isCostly: fc.boolean(),
    generations: fc.constantFrom([1], [1, 2]),
    skips: fc.array(fc.record({ number: fc.nat(2), position: fc.integer({ min: 1, max: 40 }) }), { maxLength: 2 }),
    readBatch: fc.integer({ min: 1, max: 5 }),
    batch,
    target: mostly(60),
    loggedAfter: mostly(60),
    fails: fc.option(fc.record({ batch, after: fc.nat(40) })),
  }),
);

describe('a shard that builds itself', () => {
  it(`comes to what one is that was always read: ${RUNS} journals`, async () => {
    let looked = 0;
    await assertAtOnce(histories, RUNS, async ({ name, steps, shards, hotFollowers, isCostly, readBatch, target, ...building }) => {
      const journal = journalOf(steps);
      const projection = SUBJECTS[name].projection({ hotFollowers });
      const spaces = ['read', 'built'].map((what) => ({ namespace: `${what}${randomBytes(6).toString('hex')}`, epoch: 'e', shards }));
      const [read, built] = spaces as [Space, Space];
      try {
        await build(projection, read, { ...building, journal, generations: [1], target: 0, batch: readBatch, fails: null });
        await build(isCostly ? costly(projection) : projection, built, { ...building, journal, target: Math.min(target, journal.length) });
        for (const generation of building.generations) {
          const findings = new Findings();
          const copies: [Copy, Copy] = [{ space: read }, { space: built, generation }];
          const options = { signal: new AbortController().signal, onProgress: () => undefined };
          await compareCopies(redis, projection.id, copies, readMoving(redis, projection.id, copies), findings, options);
          expect(findings.first).toEqual([]);
          looked += findings.looked;
        }
      } finally {
        for (const { namespace } of spaces) {
          const keys = await redis.keys(`${namespace}:*`);
          if (keys.length > 0) await redis.unlink(keys);
        }
      }
    });
    expect(looked).toBeGreaterThan(0);
  }, 300_000);
});
