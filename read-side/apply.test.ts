import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { newId } from '../shared/ids.js';
import { createApply, type Apply, type PositionedWrite } from './apply.js';
import { defineProjection } from './projection.js';
import { APPLIED, prefixOf, TARGET, UNMADE, type Shard, type Space } from './shard.js';

const redis = new Redis(process.env.TEST_REDIS_URL!);
afterAll(() => redis.disconnect());

const projection = defineProjection({ name: 'numbers', version: 1 }, {}, '', (_, __, ids) =>
  Promise.resolve(ids.map((id) => [['SET', 'made', id]])),
);
const write = (position: number): PositionedWrite => ({ position, write: ['SET', 'number', position] });

describe('shards in which nothing is written, moved at the same moment', () => {
  let space: Space;
  let apply: Apply;
  beforeEach(() => {
    space = { namespace: `t${newId()}`, epoch: 'e', shards: 4_000 };
    apply = createApply(redis, space, [projection]);
  });
  const shard = (number: number): Shard => ({ projection: projection.id, number });
  const key = (number: number, name: string) => prefixOf(space, shard(number)) + name;
  const stand = async (number: number) => Number(await redis.get(key(number, APPLIED)));

  it('go each by itself: one that is elsewhere, gone, being built, or no position keeps no other', async () => {
    for (const number of [0, 1, 2, 3]) await redis.set(key(number, APPLIED), 5);
    await redis.set(key(1, APPLIED), 6);
    await redis.set(key(2, TARGET), 9);
    await redis.sadd(key(2, UNMADE), 'put off');
    await redis.set(key(3, TARGET), 5);
    await redis.sadd(key(5, APPLIED), 'no position');
    const results = await Promise.all([0, 1, 2, 3, 4, 5].map((number) => apply(shard(number), 5, 9, [])));

    expect(results).toEqual([
      { status: 'applied', applied: 9 },
      { status: 'moved', applied: 6 },
      // Before its target, what was put off is made.
      { status: 'applied', applied: 8 },
      { status: 'applied', applied: 9 },
      { status: 'moved', applied: null },
      { status: 'moved', applied: null },
    ]);
    expect(await Promise.all([0, 1, 2, 3].map(stand))).toEqual([9, 6, 8, 9]);
    expect(await redis.get(key(2, 'made'))).toBe('put off');
    expect(await apply(shard(2), 8, 9, [])).toEqual({ status: 'applied', applied: 9 });
    expect(await redis.exists(key(4, APPLIED), key(2, UNMADE))).toBe(0);
  });

  it('may be more than one script moves, and others are written to meanwhile', async () => {
    const numbers = Array.from({ length: 1_200 }, (_, i) => i);
    await Promise.all(numbers.map((number) => redis.set(key(number, APPLIED), 5)));
    const results = await Promise.all(numbers.map((number) => apply(shard(number), 5, 6, number % 100 === 0 ? [write(6)] : [])));

    expect(new Set(results.map((result) => JSON.stringify(result)))).toEqual(new Set(['{"status":"applied","applied":6}']));
    expect(new Set(await Promise.all(numbers.map(stand)))).toEqual(new Set([6]));
    expect(await redis.get(key(100, 'number'))).toBe('6');
    expect(await redis.exists(key(101, 'number'))).toBe(0);
  });

  it('are moved once: who comes second finds them elsewhere', async () => {
    await redis.set(key(0, APPLIED), 5);
    const results = await Promise.all([apply(shard(0), 5, 7, []), apply(shard(0), 5, 8, [])]);
    expect(results).toEqual([
      { status: 'applied', applied: 7 },
      { status: 'moved', applied: 7 },
    ]);
  });
});
