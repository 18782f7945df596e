/**
 * How often the models are run, and how to run again what failed (with `-t` and the test's title, since all share these):
 * - MODEL_SEED: what fast-check named as `seed`
 * - MODEL_PATH: what it named as `path`, to begin with the smallest failure that it found
 * - MODEL_RUNS: how many runs of each property, in place of its own number
 */
import fc from 'fast-check';

const { MODEL_SEED, MODEL_PATH, MODEL_RUNS } = process.env;

export interface Runs {
  numRuns: number;
  seed: number;
  path?: string;
}

/** For `fc.assert`. */
export const runs = (numRuns: number): Runs => ({
  numRuns: MODEL_RUNS ? Number(MODEL_RUNS) : numRuns,
  seed: MODEL_SEED ? Number(MODEL_SEED) : Math.floor(Math.random() * 0x7fff_ffff),
  ...(MODEL_PATH ? { path: MODEL_PATH } : {}),
});

/** Properties under way at once: while one waits for Redis, others go on. */
const LANES = MODEL_SEED ? 1 : 16;

/**
 * As `fc.assert`, but many runs at once, each lane with a seed of its own. They must share nothing.
 * @throws for the first lane that fails; the others then end
 */
export async function assertAtOnce<T>(arbitrary: fc.Arbitrary<T>, numRuns: number, run: (value: T) => Promise<void>): Promise<void> {
  const all = runs(numRuns);
  let failing: number | null = null;
  const lane = async (number: number) => {
    const property = fc.asyncProperty(arbitrary, async (value) => {
      // Another one is looking for its smallest failure.
      if (failing !== null && failing !== number) return;
      try {
        await run(value);
      } catch (error) {
        failing ??= number;
        throw error;
      }
    });
    await fc.assert(property, { ...all, seed: all.seed + number, numRuns: Math.ceil(all.numRuns / LANES) });
  };
  const results = await Promise.allSettled(Array.from({ length: LANES }, (_, number) => lane(number)));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
