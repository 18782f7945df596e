import { expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { HASHING_PRIORITY, lowerPriorityOfHashing } from './hashing.js';

const onLinux = process.platform === 'linux' ? it : it.skip;

onLinux('lowers the priority of the threads that hash, and of no others', async () => {
  const before = getPriority(process.pid);
  await lowerPriorityOfHashing();
  const threads = readdirSync('/proc/self/task').map((thread) => ({
    name: readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim(),
    priority: getPriority(Number(thread)),
  }));
  const ofPool = threads.filter(({ name }) => name === 'libuv-worker').map(({ priority }) => priority);
  expect(ofPool.length).toBeGreaterThan(0);
  expect(new Set(ofPool)).toEqual(new Set([HASHING_PRIORITY]));
  expect(getPriority(process.pid)).toBe(before);
  expect(threads.some(({ name, priority }) => name !== 'libuv-worker' && priority === HASHING_PRIORITY)).toBe(false);
});
