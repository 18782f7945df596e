/** Takes each of the product's named crash points once, under load: the process dies there, and is started again. */
import { CRASH_POINTS, type CrashPoint } from '../../shared/crash-point.js';
import { newId } from '../../shared/ids.js';
import { PostCheepReceiptDocument } from '../../client/operations.js';
import { eventually } from '../system.js';
import { POISON } from './checks.js';
import type { Cluster, Service } from './cluster.js';
import type { Planted } from './faults.js';
import type { Load } from './load.js';

/** However busy the machine is; a point that nobody passes in this time is not where it should be. */
const REACHED_MS = 45_000;
/** When the process has not died by then, it is brought about what leads there. */
const PROVOKED_EVERY_MS = 2_500;

type Provocation = (cluster: Cluster, victim: Service, other: Service, planted: Planted) => Promise<void>;

/** It may hold what only one process has at a time. */
const killTheOther: Provocation = async (_, __, other) => {
  await other.kill();
  other.start();
};

/** All shards are begun anew. */
const flush: Provocation = async ({ redis }) => {
  await redis.flushall();
};

/** To every lane that has an author. */
const poison: Provocation = async (cluster, _, __, planted) => {
  const viewers = await cluster.authors(8);
  await Promise.all(
    viewers.map(async ({ accessToken }) => {
      planted.poison += 1;
      const input = { message: POISON, commandId: newId(), waitFor: 'ACCEPTED' as const };
      await cluster
        .client({ accessToken, url: cluster.urls[1]! })
        .ask(PostCheepReceiptDocument, { input })
        .catch(() => null);
    }),
  );
};

const ROOMS: [prefix: RegExp, services: (cluster: Cluster) => Service[]][] = [
  [/^gateway:/, ({ gateways }) => gateways],
  [/^read side:/, ({ readSides }) => readSides],
  [/^(lanes|relay|process manager|reactions|mailer|public events):/, ({ writeSides }) => writeSides],
];
const PROVOCATIONS: [RegExp, Provocation][] = [
  [/beginning$/, flush],
  [/parking$/, poison],
  [/^(relay|process manager|reactions|mailer|public events):/, killTheOther],
];

/** Those of different services at the same time, those of one service one after another. @param tell hears of each */
export async function takeCrashPoints(cluster: Cluster, { fleet }: Load, planted: Planted, tell: (line: string) => void): Promise<void> {
  const unknown = CRASH_POINTS.filter((point) => !ROOMS.some(([prefix]) => prefix.test(point)));
  if (unknown.length > 0) throw new Error(`nobody knows which service passes ${unknown.join(', ')}`);
  const results = await Promise.allSettled(
    ROOMS.map(async ([prefix, services]) => {
      for (const [i, point] of CRASH_POINTS.filter((name) => prefix.test(name)).entries()) {
        // Without a load nobody passes there.
        if (fleet.isOver) return;
        const [victim, other] = i % 2 === 0 ? services(cluster) : services(cluster).toReversed();
        const start = performance.now();
        await take(cluster, point, victim!, other!, planted);
        tell(`${point}: ${victim!.label} died there, ${Math.round(performance.now() - start)} ms after it was started`);
      }
    }),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  await cluster.ready();
}

async function take(cluster: Cluster, point: CrashPoint, victim: Service, other: Service, planted: Planted): Promise<void> {
  await victim.kill();
  victim.start({ CRASH_AT: point });
  const provoke = PROVOCATIONS.find(([pattern]) => pattern.test(point))?.[1];
  // It may meet its end while it starts.
  await victim.ready().catch((error: unknown) => {
    if (victim.isRunning) throw error;
  });
  let provokeAt = performance.now();
  await eventually(
    async () => {
      if (!victim.isRunning) return true;
      if (provoke && performance.now() > provokeAt) {
        await provoke(cluster, victim, other, planted);
        provokeAt = performance.now() + PROVOKED_EVERY_MS;
      }
      return false;
    },
    () => `${victim.label} dies at '${point}'\n${victim.log()}`,
    REACHED_MS,
  );
  const how = await victim.ended();
  if (how !== 'SIGKILL') throw new Error(`${victim.label} was to die at '${point}', and ended by itself (${how}):\n${victim.log()}`);
  // The next one is the other's: it need not wait for this one to be back.
  victim.start();
}
