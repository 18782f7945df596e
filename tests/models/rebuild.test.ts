/**
 * A shard that builds itself, and one that was there from the beginning: the same, key by key, though the one writes less while nobody sees it,
 * makes some of it at its target only, and may fail in the middle.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { createApply } from '../../read-side/apply.js';
import { compareCopies, readMoving, type Copy } from '../../read-side/differences.js';
import { plan, type PlannedShard } from '../../read-side/plan.js';
import type { Projection } from '../../read-side/projection.js';
import { APPLIED, LOGGED_AFTER, prefixOf, TARGET, type Shard, type Space } from '../../read-side/shard.js';
import { Findings } from '../../shared/findings.js';
import type { JournalEntry } from '../../shared/messages/event.js';
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
  /** Entries that are planned together. */
  batch: number;
  /** 0 for a shard that is read from the beginning. */
  target: number;
  loggedAfter: number;
  /** In each batch, after so many of a shard's writes; null for never. */
  failsAfter: number | null;
}

/** Builds all shards of a projection to the journal's end. */
async function build(projection: Projection, space: Space, { journal, batch, target, loggedAfter, failsAfter }: Building): Promise<void> {
  const apply = createApply(redis, space, [projection]);
  const applied = Array.from({ length: space.shards }, () => 0);
  const shards = applied.map((_, number): PlannedShard => {
    return { shard: { projection: projection.id, number }, limit: Infinity, unseenUpTo: Math.min(loggedAfter, target - 1) };
  });
  for (const { shard } of shards) {
    const prefix = prefixOf(space, shard);
    await redis.mset(prefix + APPLIED, 0, prefix + TARGET, target, prefix + LOGGED_AFTER, loggedAfter);
  }
  const run = async (shard: Shard, upTo: number, writes: Parameters<typeof apply>[3]) => {
    while (applied[shard.number]! < upTo) {
      const before = applied[shard.number]!;
      const left = writes.filter(({ position }) => position > before);
      const result = await apply(shard, before, upTo, left);
      expect(result.status).toBe('applied');
      applied[shard.number] = result.applied!;
    }
  };
  for (let i = 0; i < journal.length; i += batch) {
    const plans = plan(projection, shards, space.shards, journal.slice(i, i + batch), () => false);
    for (const [number, { upTo, writes, failed }] of plans.entries()) {
      expect(failed).toBeNull();
      const { shard } = shards[number]!;
      if (failsAfter !== null) {
        const some = writes.slice(0, failsAfter % (writes.length + 1));
        // `applied` is no set.
        const broken = { position: some.at(-1)?.position ?? applied[number]! + 1, write: ['SADD', APPLIED, 'x'] as const };
        await expect(run(shard, upTo, [...some, broken])).rejects.toThrow('WRONGTYPE');
      }
      await run(shard, upTo, writes);
    }
  }
}

/** The same few people and cheeps again and again. */
const among = (few: number, steps: Step[]) => steps.map(({ kind, who, which }) => ({ kind, who: who % few, which: which % few }));
/** Or as far as this, so that much is not seen. */
const mostly = (far: number) => fc.oneof(fc.constant(far), fc.nat(far));

const names = Object.keys(SUBJECTS) as (keyof typeof SUBJECTS)[];
const histories = fc.constantFrom(...names).chain((name) =>
  fc.record({
    name: fc.constant(name),
    steps: fc.tuple(stepsOf(SUBJECTS[name].kinds, 40, 60), fc.constantFrom(2, 12)).map(([steps, few]) => among(few, steps)),
    shards: fc.integer({ min: 1, max: 3 }),
    hotFollowers: fc.constantFrom(0, 1, 2, 1_000),
    batches: fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 2, max: 20 })),
    target: mostly(60),
    loggedAfter: mostly(50),
    failsAfter: fc.option(fc.nat(40)),
  }),
);

describe('a shard that builds itself', () => {
  it(`comes to what one is that was always read: ${RUNS} journals`, async () => {
    let looked = 0;
    await assertAtOnce(histories, RUNS, async ({ name, steps, shards, hotFollowers, batches, target, loggedAfter, failsAfter }) => {
      const journal = journalOf(steps);
      const projection = SUBJECTS[name].projection({ hotFollowers });
      const spaces = ['read', 'built'].map((what) => ({ namespace: `${what}${randomBytes(6).toString('hex')}`, epoch: 'e', shards }));
      const [read, built] = spaces as [Space, Space];
      try {
        await build(projection, read, { journal, batch: batches[0], target: 0, loggedAfter, failsAfter: null });
        await build(projection, built, { journal, batch: batches[1], target: Math.min(target, journal.length), loggedAfter, failsAfter });
        const findings = new Findings();
        const copies: [Copy, Copy] = [{ space: read }, { space: built }];
        const options = { signal: new AbortController().signal, onProgress: () => undefined };
        await compareCopies(redis, projection.id, copies, readMoving(redis, projection.id, copies), findings, options);
        expect(findings.first).toEqual([]);
        looked += findings.looked;
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
