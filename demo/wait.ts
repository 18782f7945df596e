/** Waiting for a condition, never for a time. */
import { setTimeout as sleep } from 'node:timers/promises';

const DEADLINE_MS = 10_000;
const LOOK_AGAIN_MS = 10;

/** Looks again and again until it is so. @returns what was seen last: at the deadline it is not so */
export async function eventually<T>(look: () => Promise<T>, isSo: (seen: T) => boolean): Promise<T> {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const seen = await look();
    if (isSo(seen) || performance.now() > deadline) return seen;
    await sleep(LOOK_AGAIN_MS);
  }
}

/** @returns what comes, or null when nothing has come at the deadline */
export async function within<T>(coming: Promise<T>): Promise<T | null> {
  const over = new AbortController();
  try {
    return await Promise.race([coming, sleep(DEADLINE_MS, null, { signal: over.signal })]);
  } finally {
    over.abort();
  }
}
