/** How passwords are hashed, and how many at once. */
import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism, setPriority } from 'node:os';
import type { Algorithm } from '@node-rs/argon2';

/** OWASP's recommendation for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. */
export const ARGON2ID = { algorithm: 2 satisfies Algorithm.Argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** Each takes a thread of libuv, of which there are so many. */
const MAX_HASHED_AT_ONCE = 4;
/** One core is left to those who do not sign in. */
export const HASHED_AT_ONCE = Math.max(1, Math.min(MAX_HASHED_AT_ONCE, availableParallelism() - 1));

/**
 * As `nice` counts, from 0 to 19. With 5, a thread has a third of what others have of a core for which they compete. With 10 it would have a tenth,
 * and a log-in could take seconds where others keep all cores busy.
 */
export const HASHING_PRIORITY = 5;
/** What Node calls the threads of libuv. */
const POOL_THREAD = 'libuv-worker';

/**
 * Lowers the priority of the threads on which this process hashes, below that of everything else: a hash takes a core for 20 ms or more, and
 * would keep event loops, MySQL and Redis waiting for it. On Linux a thread has a priority of its own; elsewhere nothing changes.
 */
export async function lowerPriorityOfHashing(): Promise<void> {
  // Reading the folder starts the threads, all of them at once.
  const threads = await readdir('/proc/self/task').catch(() => []);
  for (const thread of threads) {
    const name = await readFile(`/proc/self/task/${thread}/comm`, 'utf8').catch(() => '');
    if (name.trim() !== POOL_THREAD) continue;
    try {
      setPriority(Number(thread), HASHING_PRIORITY);
    } catch {
      // A container may forbid it; hashing works all the same.
    }
  }
}
