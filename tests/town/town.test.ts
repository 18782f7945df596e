/**
 * A small town on a real system: people sign up, follow, write, like, change their names and their minds, one after another
 * and all at once, through two gateways, two write sides and two read sides. Whatever can be asked is compared with a plain
 * model of the rules (model.ts).
 *
 * What is played is chosen at random; a failure says how to play it again:
 * - TOWN_SEED: of the first town; the next has the next number
 * - TOWN_RUNS: how many towns, however long it takes; without it, as many as begin within 45 seconds
 * - TOWN_SHRINK: any value; look for a shorter life that fails too
 * - TOWN_PATH and TOWN_STEPS: what fast-check names as `path` and `replayPath` of a shorter one
 */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { startSystem, type System } from '../system.js';
import { close, found, lives } from './steps.js';

const { TOWN_SEED, TOWN_RUNS, TOWN_SHRINK, TOWN_PATH, TOWN_STEPS } = process.env;
const BEGIN_WITHIN_MS = 45_000;
/** Of a life that failed: how many of its steps are told. */
const LAST_STEPS = 5;
const MAX_MS_WITH_RUNS = 8 * 3_600_000;

let system: System;
beforeAll(async () => {
  // A slow machine is no fault: only what is wrong is.
  system = await startSystem({ gateways: 2, writeSides: 2, readSides: 2, env: { READ_DEADLINE_MS: '15000', COMMIT_DEADLINE_MS: '20000' } });
});
afterAll(() => system?.stop());

it(
  'a town lives as the model of its rules says',
  async () => {
    const begun = Date.now();
    const first = TOWN_SEED === undefined ? Math.floor(Math.random() * 1_000_000_000) : Number(TOWN_SEED);
    const runs = TOWN_PATH !== undefined ? 1 : TOWN_RUNS === undefined ? Infinity : Number(TOWN_RUNS);
    for (let n = 0; n < runs && (TOWN_RUNS !== undefined || Date.now() - begun < BEGIN_WITHIN_MS); n++) {
      const seed = first + n;
      let played: string[] = [];
      const property = fc.asyncProperty(lives(TOWN_STEPS), async (steps) => {
        const world = await found(system);
        played = world.played;
        await fc.asyncModelRun(() => ({ model: world.town, real: world }), steps);
        await close(world);
      });
      const details = await fc.check(property, {
        seed,
        numRuns: 1,
        endOnFailure: TOWN_SHRINK === undefined,
        ...(TOWN_PATH === undefined ? {} : { path: TOWN_PATH }),
      });
      if (details.failed) {
        const [life] = details.counterexample ?? [];
        throw failure(seed, details.counterexamplePath, fc.stringify(life), played, details.errorInstance);
      }
    }
    expect(Date.now()).toBeGreaterThan(begun);
  },
  TOWN_RUNS === undefined ? 240_000 : MAX_MS_WITH_RUNS,
);

/** After which steps it went wrong, and how to see it again; what was wrong is its cause. */
function failure(seed: number, path: string | null, life: string, played: string[], cause: unknown): Error {
  const again = `TOWN_SEED=${seed} TOWN_RUNS=1 npm test -- tests/town/town.test.ts`;
  const shorter = TOWN_SHRINK === undefined ? '' : ` (with TOWN_PATH=${path} and TOWN_STEPS=${/replayPath="(.*)"/.exec(life)?.[1]})`;

  return new Error(
    `Not as the rules say, after ${played.length} steps:\n${played.slice(-LAST_STEPS).join('\n')}\nAgain: ${again}${shorter}`,
    { cause },
  );
}
