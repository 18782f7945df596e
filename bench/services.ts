/** How long each service takes until it is ready, and the memory that it has: when nothing happens, and while people post and read. */
import { CheepMessageDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { print } from 'graphql';
import type { Arrived } from './arrivals.js';
import { isQuick, median, table } from './figures.js';
import { MeasuredProcess } from './processes.js';
import { signUp } from './sign-up.js';
import { System, type ServiceName } from './system.js';

const STARTS = isQuick ? 1 : 7;
const CLIENTS = 64;
const SECONDS = isQuick ? 3 : 20;
const SAMPLE_MS = 500;
const MIB = 1024 * 1024;
const NAMES: ServiceName[] = ['write-side', 'read-side', 'gateway'];

export async function services(): Promise<void> {
  const system = await System.create('services');
  const started = {
    'write-side': await system.start('write-side'),
    'read-side': await system.start('read-side'),
    gateway: await system.start('gateway'),
  };
  await Promise.all(Object.values(started).map(({ ready }) => ready()));
  const startMs: Record<ServiceName, number[]> = { gateway: [], 'write-side': [], 'read-side': [] };
  for (let round = 0; round < STARTS; round++) {
    for (const name of NAMES) {
      const begun = performance.now();
      // A second one, beside the first: what it needs is there.
      const second = await system.start(name);
      await second.ready();
      startMs[name].push(performance.now() - begun);
      await second.process.stop();
    }
  }

  const { client } = await signUp(started.gateway.url);
  const cheepId = newId();
  await client.request(PostCheepReceiptDocument, { input: { message: 'read by many', cheepId } });
  const residents = async () =>
    Object.fromEntries(await Promise.all(NAMES.map(async (name) => [name, await started[name].process.residentBytes()] as const)));
  const idle = Object.fromEntries(
    await Promise.all(NAMES.map(async (name) => [name, (await started[name].process.memory()).residentBytes] as const)),
  );
  const generator = new MeasuredProcess('bench/arrivals.ts');
  const authorization = `Bearer ${client.accessToken}`;
  const post = {
    body: JSON.stringify({ query: print(PostCheepReceiptDocument), variables: { input: { message: 'one of many' } } }),
    authorization,
  };
  const read = { body: JSON.stringify({ query: print(CheepMessageDocument), variables: { id: cheepId } }), authorization };
  const highest = { ...idle };
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      for (const [name, bytes] of Object.entries(await residents())) highest[name] = Math.max(highest[name]!, bytes);
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    }
  })();
  const arrived = await generator.ask<Arrived>('run', {
    port: started.gateway.port,
    requests: [post, read],
    clients: CLIENTS,
    seconds: SECONDS,
  });
  isOver = true;
  await watching;
  await generator.stop();
  await system.remove();

  table(
    `Each service: its start until it is ready (median of ${STARTS}), and memory; under load ${CLIENTS} clients post and read, ${Math.round(arrived.okMs.length / arrived.seconds)} requests a second`,
    ['start ms', 'idle MiB', 'loaded MiB'],
    NAMES.map((name) => [name, median(startMs[name]), idle[name]! / MIB, highest[name]! / MIB]),
    0,
  );
}
