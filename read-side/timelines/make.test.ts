import { afterAll, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { newId } from '../../shared/ids.js';
import { packId } from '../shard.js';
import { makeTimelines } from './make.js';

const redis = new Redis(process.env.TEST_REDIS_URL!);
const prefix = `t${newId()}:`;
const key = (name: string) => prefix + name;
afterAll(async () => {
  await redis.unlink(await redis.keys(`${prefix}*`));
  redis.disconnect();
});

/** As a timeline has it. */
const entry = (position: number, cheepId: string) => {
  const bytes = Buffer.alloc(24);
  bytes.writeBigUInt64BE(BigInt(position));
  packId(cheepId).copy(bytes, 8);

  return bytes;
};

it('makes the newest of all whom a reader follows and does not merge, deleted or not, oldest first', async () => {
  const [ann, bob, cid, reader, nobody] = Array.from({ length: 5 }, () => newId());
  const cheeps = Array.from({ length: 6 }, () => newId());
  await redis.sadd(key(`following:${reader}`), ann!, bob!, cid!);
  await redis.sadd(key(`merges:${reader}`), cid!);
  // The third is deleted.
  await redis.zadd(key(`posts:${ann}`), 1, packId(cheeps[0]!), -3, packId(cheeps[2]!), 5, packId(cheeps[4]!));
  await redis.sadd(key('deleted'), packId(cheeps[2]!));
  await redis.zadd(key(`posts:${bob}`), 2, packId(cheeps[1]!), 4, packId(cheeps[3]!));
  await redis.zadd(key(`posts:${cid}`), 6, packId(cheeps[5]!));

  expect(await makeTimelines(4)(redis, key, [reader!, nobody!])).toEqual([
    [
      ['DEL', `timeline:${reader}`],
      ['RPUSH', `timeline:${reader}`, ...[2, 3, 4, 5].map((position) => entry(position, cheeps[position - 1]!))],
    ],
    [['DEL', `timeline:${nobody}`]],
  ]);
});

it('takes on no more readers than have some thousands of authors together, and one at least', async () => {
  const begin = async (readers: string[], authors: number) => {
    for (const reader of readers) await redis.sadd(key(`following:${reader}`), ...Array.from({ length: authors }, () => newId()));
    return (await makeTimelines(4)(redis, key, readers)).map(([first]) => first![1]);
  };
  const [many, few] = [Array.from({ length: 40 }, () => newId()), Array.from({ length: 2 }, () => newId())];
  expect(await begin(many, 100)).toEqual(many.slice(0, 20).map((reader) => `timeline:${reader}`));
  expect(await begin(few, 4_000)).toEqual([`timeline:${few[0]}`]);
});
