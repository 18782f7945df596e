/** Comparing two copies of a projection, with keys of every type that are small, and too large to be read at once. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { Findings } from '../shared/findings.js';
import { compareCopies, readMoving, type Copy } from './differences.js';
import { APPLIED, prefixOf, type Space } from './shard.js';

const PROJECTION = { name: 'things', version: 3 };
const SHARDS = 2;

let redis: Redis;
let space: Space;
beforeAll(() => {
  redis = new Redis(process.env.TEST_REDIS_URL!);
});
afterAll(() => redis?.disconnect());

const key = (generation: number, shard: number, name: string) =>
  prefixOf(space, { projection: PROJECTION, number: shard, generation }) + name;

const SIZES = { small: 3, large: 600 };
const member = (n: number) => `member ${n}`;
const KINDS: Record<
  string,
  {
    fill(key: string, n: number): Promise<unknown>;
    change(key: string): Promise<unknown>;
    lose(key: string): Promise<unknown>;
    add(key: string): Promise<unknown>;
  }
> = {
  hash: {
    fill: (key, n) => redis.hset(key, member(n), n),
    change: (key) => redis.hset(key, member(1), 'other'),
    lose: (key) => redis.hdel(key, member(1)),
    add: (key) => redis.hset(key, 'more', 1),
  },
  zset: {
    fill: (key, n) => redis.zadd(key, n, member(n)),
    change: (key) => redis.zadd(key, 1.5, member(1)),
    lose: (key) => redis.zrem(key, member(1)),
    add: (key) => redis.zadd(key, 1, 'more'),
  },
  set: {
    fill: (key, n) => redis.sadd(key, member(n)),
    change: (key) => redis.multi().srem(key, member(1)).sadd(key, 'other').exec(),
    lose: (key) => redis.srem(key, member(1)),
    add: (key) => redis.sadd(key, 'more'),
  },
  stream: {
    fill: (key, n) => redis.xadd(key, `${n + 1}-0`, 'n', n),
    change: (key) => redis.multi().xdel(key, `${SIZES.small}-0`).exec(),
    lose: (key) => redis.xdel(key, '2-0'),
    add: (key) => redis.xadd(key, '9999-0', 'n', 1),
  },
};

/** Two copies that are the same: 1 and 2, at the same position. */
beforeEach(async () => {
  space = { namespace: `t${randomBytes(6).toString('hex')}`, epoch: 'e', shards: SHARDS };
  for (const generation of [1, 2]) {
    const filled: Promise<unknown>[] = [];
    for (let shard = 0; shard < SHARDS; shard++) {
      filled.push(redis.set(key(generation, shard, APPLIED), 7), redis.set(key(generation, shard, 'target'), generation));
    }
    for (const [type, { fill }] of Object.entries(KINDS)) {
      for (const [size, count] of Object.entries(SIZES)) {
        // In another order, and what goes again: that Redis keeps it otherwise does not matter.
        const order = Array.from({ length: count }, (_, n) => (generation === 1 || type === 'stream' ? n : count - 1 - n));
        for (const n of order) filled.push(fill(key(generation, 1, `${size} ${type}`), n));
      }
    }
    filled.push(redis.set(key(generation, 0, 'string'), 'text'));
    await Promise.all(filled);
  }
});

async function compared(): Promise<Findings> {
  const findings = new Findings();
  const copies: [Copy, Copy] = [
    { space, generation: 1 },
    { space, generation: 2 },
  ];
  await compareCopies(redis, PROJECTION, copies, readMoving(redis, PROJECTION, copies), findings, {
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });

  return findings;
}

describe('two copies', () => {
  it('are equal when the same is in them, however it is kept', async () => {
    expect(await compared()).toMatchObject({ looked: 9, differing: 0, first: [] });
  });

  const cases = Object.keys(KINDS).flatMap((type) => Object.keys(SIZES).flatMap((size) => (['change', 'lose', 'add'] as const).map((how) => [`${size} ${type}`, type, how] as const))); // prettier-ignore
  it.each(cases)('differ in a %s (a %s) that something happened to: %s', async (name, type, how) => {
    for (const generation of [1, 2]) {
      await KINDS[type]![how](key(generation, 1, name));
      const { differing, first } = await compared();
      // Then it has happened to both.
      expect({ differing, what: first.map(({ what }) => what) }).toEqual(
        generation === 1 ? { differing: 1, what: [expect.stringContaining(`things.3:1 ${name} `)] } : { differing: 0, what: [] },
      );
    }
  });

  it('differ in keys that only one of them has, of each', async () => {
    await redis.set(key(1, 0, 'only here'), 'text');
    await redis.set(key(2, 1, 'only there'), 'text');
    await redis.rename(key(1, 0, 'string'), key(1, 0, 'strings'));
    const { looked, differing, first } = await compared();
    expect({ looked, differing }).toEqual({ looked: 12, differing: 4 });
    expect(first.map(({ what, is }) => [what, is]).toSorted()).toEqual([
      ['things.3:0 only here', 'a string of 4'],
      ['things.3:0 string', null],
      ['things.3:0 strings', 'a string of 4'],
      ['things.3:1 only there', null],
    ]);
  });

  it('are compared as of the same position only', async () => {
    await redis.set(key(2, 1, APPLIED), 8);
    setTimeout(() => void redis.set(key(1, 1, APPLIED), 8), 200);
    expect(await compared()).toMatchObject({ looked: 9, differing: 0 });
    await redis.del(key(2, 1, APPLIED));
    expect(await compared()).toMatchObject({ differing: 1, first: [{ what: 'things.3~2:1 is not there.' }] });
  });
});
