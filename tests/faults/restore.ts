/**
 * MySQL is restored from an older backup, behind everybody's back. From then on the truth is what MySQL has: nobody may go on with
 * the journal's old life, and with a new epoch everything is built from what is there.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { CommandDocument, PostCheepReceiptDocument } from '../../client/operations.js';
import { newId } from '../../shared/ids.js';
import { eventually } from '../system.js';
import { expectAllIsWell } from './checks.js';
import type { Cluster } from './cluster.js';
import type { Planted } from './faults.js';
import { Load } from './load.js';
import { REFILL_BOUND_MS } from './faults.js';
import { SLACK_MS, type Recovery } from './schedule.js';

const BETWEEN_MS = 2_000;
const NOTICED_MS = 20_000;

export async function restoreMysql(cluster: Cluster, planted: Planted, seed: number): Promise<Recovery> {
  const first = await Load.start(cluster, seed, 'before the restore');
  let copy = '';
  try {
    await first.during(async () => {
      await pause(BETWEEN_MS);
      copy = await cluster.copy('mysql');
      await pause(BETWEEN_MS);
    });
    planted.losses.length = 0;
    await expectAllIsWell(cluster, first, planted);
  } finally {
    first.fleet.stop();
  }
  const before = await cluster.readJournal();

  await cluster.rollBack('mysql', copy);
  const restored = await cluster.readJournal();
  expect(restored.length).toBeLessThan(before.length);
  expect(restored).toEqual(before.slice(0, restored.length));

  // Whatever is sent now waits: nothing of the old epoch may be committed where the streams have something else.
  const [viewer] = await cluster.authors(1);
  const client = cluster.client({ accessToken: viewer!.accessToken });
  const commandId = newId();
  const { data, errors } = await client.ask(PostCheepReceiptDocument, { input: { message: 'in the meantime', commandId } });
  expect(data?.postCheep.status ?? errors[0]?.extensions?.code).toBe('ACCEPTED');
  let waitsFor: string[][] = [];
  await eventually(
    async () => {
      waitsFor = await Promise.all(cluster.writeSides.map((service) => service.waitsFor()));
      return waitsFor.every((lines) => lines.some((line) => line.includes('epoch')));
    },
    () => `every write side says that a new epoch is needed (${JSON.stringify(waitsFor)})`,
    NOTICED_MS,
  );
  expect((await cluster.readJournal()).length).toBe(restored.length);

  const { code, stderr } = await cluster.cheeper(['epoch', 'new', '--yes']);
  if (code !== 0) throw new Error(`cheeper epoch new ended with ${code}: ${stderr}`);
  const renewedAt = performance.now();
  await cluster.readEpoch();
  planted.strangers = 0;
  await cluster.ready(REFILL_BOUND_MS + SLACK_MS);
  const old = client.consistencyToken;
  let answer: unknown;
  await eventually(
    async () => {
      // A gateway that has not heard of the new epoch gives out tokens of the old one.
      client.consistencyToken = null;
      const { data, errors } = await client.ask(CommandDocument, { id: commandId });
      answer = errors[0] ?? data;
      return data?.command;
    },
    () => `what was accepted in the meantime has an outcome (${JSON.stringify(answer)})`,
    REFILL_BOUND_MS,
  );
  if (old !== null) {
    client.consistencyToken = old;
    expect((await client.ask(CommandDocument, { id: commandId })).errors[0]?.extensions?.code).toBe('BAD_TOKEN');
  }
  const second = await Load.start(cluster, seed, 'after the restore');
  try {
    let ms = 0;
    await second.during(async () => {
      await second.untilWell(REFILL_BOUND_MS);
      ms = performance.now() - renewedAt;
      await pause(BETWEEN_MS);
    });
    await expectAllIsWell(cluster, second, planted);

    return { kinds: ['MySQL is restored, and the journal has a new epoch'], ms };
  } finally {
    second.fleet.stop();
  }
}
