import { expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Shard, Snapshot } from '../read-side/shard.js';
import { Consistency } from './consistency.js';
import { lackOfVersion, Reads } from './reads.js';

const shard: Shard = { projection: { name: 'cheeps', version: 1 }, number: 0, generation: 1 };
const space = { epoch: 'e', namespace: 'n', shards: 1 };

/** A shard of which is heard what a test says; it is an error to wait for that. */
function startReads() {
  let known = 5;
  const reads = new Reads(
    new Redis({ lazyConnect: true }),
    {
      known: () => known,
      wait: () => Promise.reject(new Error('it waits')),
      isFollowed: () => true,
      isStopped: () => false,
      isFuture: () => new Promise(() => undefined),
      lagMs: () => 0,
    },
    () => space,
  );

  return { reads, hear: (position: number) => (known = position) };
}

it('what is heard while a read is under way, and may be the version that it missed, is not waited for', async () => {
  const { reads, hear } = startReads();
  // The second has what came during the first.
  const snapshots: Snapshot<number>[] = [
    { applied: 5, target: 0, value: 1 },
    { applied: 6, target: 0, value: 2 },
  ];
  const run = () => {
    hear(6);
    return Promise.resolve(snapshots.shift()!);
  };
  const lacking = (version: number) => lackOfVersion('it', version, 2);
  expect(await reads.read(Consistency.of({}, 'e', 1_000), shard, run, { lacking })).toEqual({ value: 2, applied: 6 });
});
