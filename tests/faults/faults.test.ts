/**
 * Nothing is lost: every crash point, and faults at random, under load; then quiet, and all that `checks.ts` says must be true.
 *
 *     FAULTS_SEED=… npm run test:faults
 *
 * does the same again, as far as processes on a machine ever do.
 */
import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Random } from '../consistency/random.js';
import { expectAllIsWell, poisonCheeps } from './checks.js';
import { canShiftClocks, Cluster } from './cluster.js';
import { takeCrashPoints } from './crash-points.js';
import { allFaults, Planted } from './faults.js';
import { Load } from './load.js';
import { restoreMysql } from './restore.js';
import { Deck, playFaults, tableOf, type Recovery } from './schedule.js';
import { fillDisk, overload } from './soak.js';
import { sendHalfOfItTwice } from './twice.js';

const SEED = Number(process.env.FAULTS_SEED ?? randomInt(2 ** 31));
const HOURS = Number(process.env.FAULTS_HOURS ?? 0);
const PARTS_OF_A_ROUND = 5;
const OVERLOAD_MINUTES = 30;
/** What `npm run test:faults` says; with all other tests there are fewer. */
const COUNT = process.env.FAULTS_COUNT;
const FAULTS = Number(COUNT ?? 10);
const MUTATIONS = COUNT ? 10_000 : 3_000;

/** At once, and without jest's frame around it: it is watched for minutes. */
const tell = (line: string) => process.stderr.write(`${(performance.now() / 1_000).toFixed(1).padStart(7)}  ${line}\n`);

let cluster: Cluster;
let planted: Planted;
const begin = async () => {
  cluster = await Cluster.start({ env: { HOT_FOLLOWERS: '2' } });
  await poisonCheeps(cluster);
  planted = new Planted();
  planted.overhear(cluster);
};
beforeAll(async () => {
  tell(`FAULTS_SEED=${SEED}`);
  if (!canShiftClocks()) tell('no clock is shifted: Debian’s libfaketime is not installed');
  await begin();
});
afterAll(() => cluster?.stop());

/** When something goes wrong, all logs are kept, and others begin with a cluster that is whole. */
async function keepingLogs<T>(play: () => Promise<T>): Promise<T> {
  try {
    return await play();
  } catch (error) {
    tell(`it went wrong, with the seed ${SEED}; all logs are in ${cluster.keepLogs()}`);
    await cluster.stop();
    await begin();
    throw error;
  }
}

async function underLoad(name: string, play: (load: Load) => Promise<void>): Promise<void> {
  await keepingLogs(async () => {
    const load = await Load.start(cluster, SEED, name);
    const { recorder } = load.fleet;
    planted.now = () => recorder.now();
    planted.losses.length = 0;
    try {
      await load.during(() => play(load));
      tell(JSON.stringify(await expectAllIsWell(cluster, load, planted)));
    } finally {
      load.fleet.stop();
    }
  });
}

describe(`of ${MUTATIONS} mutations, half of them sent twice through different gateways while services are killed,`, () => {
  it('each has one effect, and all its senders one answer', async () => {
    const { sent, kills } = await keepingLogs(() => sendHalfOfItTwice(cluster, MUTATIONS, new Random(SEED, 'twice')));
    tell(`${sent.length} mutations, ${sent.filter(({ answers }) => answers.length === 2).length} of them sent twice; ${kills} kills`);
    const journal = await cluster.readJournal();
    const entries = Map.groupBy(journal, ({ actorId, commandId }) => `${actorId} ${commandId}`);
    const wrong = sent.filter(({ authorId, commandId, cheepId, answers }) => {
      const [entry, ...more] = entries.get(`${authorId} ${commandId}`) ?? [];
      const isOne = entry?.event.type === 'CheepPosted' && entry.event.cheepId === cheepId && more.length === 0;

      return !isOne || answers.some((answer) => answer !== `COMMITTED  at ${entry.position}`);
    });
    expect(wrong).toEqual([]);
    expect(kills).toBeGreaterThan(2);
  }, 300_000);
});

describe('nothing is lost', () => {
  it('when a process dies at any of the places between two effects', async () => {
    await underLoad('crash points', (load) => takeCrashPoints(cluster, load, planted, tell));
  }, 600_000);

  it(`by ${FAULTS} faults at random, one or two at a time, and all is well again in time`, async () => {
    await underLoad('schedule', async (load) => {
      const random = new Random(SEED, 'schedule');
      const deck = new Deck(allFaults(planted), random);
      const recoveries = await playFaults(cluster, load, deck, random, FAULTS, tell);
      tell(tableOf(recoveries));
      expect(recoveries.length).toBeGreaterThan(0);
    });
  }, 1_200_000);

  it('when MySQL is restored from an older backup, but what came after the backup', async () => {
    const recovery = await keepingLogs(() => restoreMysql(cluster, planted, SEED));
    tell(tableOf([recovery]));
  }, 300_000);
});

if (HOURS > 0) {
  describe(`for ${HOURS} hours`, () => {
    it(
      'everything, again and again, with full disks and more than there is room for',
      async () => {
        const end = performance.now() + HOURS * 3_600_000;
        const recoveries: Recovery[] = [];
        for (let n = 1; performance.now() < end; n++) {
          tell(`round ${n}`);
          const filled = await fillDisk(SEED, `disk ${n}`);
          if (filled) recoveries.push(filled);
          else tell('no disk was filled: this user may not mount one');
          // A journal of its own for each round, so that the checks take no longer and longer.
          await cluster.stop();
          await begin();
          for (let part = 1; part <= PARTS_OF_A_ROUND && performance.now() < end; part++) {
            const name = `round ${n}.${part}`;
            await underLoad(name, async (load) => {
              const random = new Random(SEED, name);
              recoveries.push(...(await playFaults(cluster, load, new Deck(allFaults(planted), random), random, FAULTS, tell)));
            });
          }
          await underLoad(`round ${n}, crash points`, (load) => takeCrashPoints(cluster, load, planted, tell));
          recoveries.push(await keepingLogs(() => restoreMysql(cluster, planted, SEED + n)));
          await keepingLogs(() => overload(cluster, planted, Math.min(OVERLOAD_MINUTES, HOURS * 10), tell));
          tell(tableOf(recoveries));
        }
      },
      (HOURS + 1) * 3_600_000,
    );
  });
}
