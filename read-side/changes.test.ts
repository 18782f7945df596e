/** The log of a shard and that of a copy which is built later: the same, whatever was trimmed, or never logged. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { createApply, type PositionedWrite } from './apply.js';
import { LAST_INDEX, loggedAfter, readChanges } from './changes.js';
import { defineProjection, TELL } from './projection.js';
import { APPLIED, LOG, LOG_TRIMMED, LOGGED_AFTER, prefixOf, type Shard, type Space } from './shard.js';

let redis: Redis;
beforeAll(() => {
  redis = new Redis(process.env.TEST_REDIS_URL!);
});
afterAll(() => redis?.disconnect());

const projection = defineProjection({ name: 'told', version: 1 }, {}, TELL);
const newSpace = (): Space => ({ namespace: `t${randomBytes(6).toString('hex')}`, epoch: 'e', shards: 1 });
const shard = (generation: number): Shard => ({ projection: projection.id, number: 0, generation });

describe('a log', () => {
  it('is the same in a copy that is built beside, and says that it is torn where something is missing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(3), { minLength: 1, maxLength: 30 }), // how many changes each position makes
        fc.integer({ min: 1, max: 6 }),
        fc.oneof(fc.constant(0), fc.nat(30)),
        fc.nat(30),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        async (counts, logLength, after, beginsAt, steps) => {
          const space = newSpace();
          const apply = createApply(redis, space, [projection], logLength);
          const key = (generation: number, name: string) => prefixOf(space, shard(generation)) + name;
          const applied = [0, 0, 0];
          const build = async (generation: number, upTo: number, most: number) => {
            while (applied[generation]! < upTo) {
              const from = applied[generation]!;
              const to = Math.min(upTo, from + most);
              const writes = counts
                .flatMap((count, i) =>
                  Array.from({ length: count }, (_, n): PositionedWrite => ({ position: i + 1, write: ['tell', 'n', n] })),
                )
                .filter(({ position }) => position > from && position <= to);
              expect(await apply(shard(generation), from, to, writes)).toEqual({ status: 'applied', applied: to });
              applied[generation] = to;
            }
          };
          const head = counts.length;
          await redis.mset(key(1, APPLIED), 0, key(1, LOGGED_AFTER), after);
          await build(1, Math.min(beginsAt, head), steps[0]!);
          await redis.mset(key(2, APPLIED), 0, key(2, LOGGED_AFTER), (await loggedAfter(redis, prefixOf(space, shard(1))))!);
          await build(1, head, steps.at(-1)!);
          await build(2, head, steps[steps.length >> 1]!);

          const [live, copy] = await Promise.all([1, 2].map((generation) => redis.xrange(key(generation, LOG), '-', '+')));
          expect(copy).toEqual(live);
          expect(await redis.get(key(2, LOG_TRIMMED))).toBe(await redis.get(key(1, LOG_TRIMMED)));

          const all = counts.flatMap((count, i) => Array.from({ length: count }, (_, index) => ({ position: i + 1, index })));
          const logged = all.filter(({ position }) => position > after);
          const kept = logged.slice(-logLength);
          const trimmed = logged.slice(0, logged.length - kept.length).at(-1);
          expect(live!.map(([id]) => id)).toEqual(kept.map(({ position, index }) => `${position}-${index}`));
          for (const [i, id] of all.entries()) {
            const { value } = await readChanges(redis, space, shard(1), id, 100, () => ({}));
            expect(value.isTorn).toBe(id.position <= after || i + 1 < all.length - kept.length);
            // As a page that is as of this position goes on.
            const { value: ofPage } = await readChanges(redis, space, shard(1), { ...id, index: LAST_INDEX }, 100, () => ({}));
            expect(ofPage.isTorn).toBe(id.position < after || id.position < (trimmed?.position ?? 0));
          }
          await redis.unlink(
            ...[1, 2].flatMap((generation) => [APPLIED, LOGGED_AFTER, LOG, LOG_TRIMMED].map((name) => key(generation, name))),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  it('of a shard that is not there says nothing to a copy', async () => {
    expect(await loggedAfter(redis, prefixOf(newSpace(), shard(1)))).toBeNull();
  });
});
