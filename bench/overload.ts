/**
 * Twice as much as a system can do, for a while: mutations, then reads, then frames to many sockets. What matters: as much is done as
 * without the overload, what is done is done soon, the rest is refused at once, and nobody's memory grows.
 *
 * A system of the bench's own, all services measured, beside the one that is there. `OVERLOAD_SECONDS` is how long each takes.
 */
import { randomBytes } from 'node:crypto';
import { CheepMessageDocument, FollowAuthorDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { print } from 'graphql';
import { freePort } from '../stack/stack.mjs';
import { migrate } from '../write-side/migrate.js';
import type { Arrivals, Arrived } from './arrivals.js';
import { percentile, required, table } from './figures.js';
import { MeasuredProcess } from './processes.js';
import { signUp } from './sign-up.js';

const AUTHORS = 32;
/** Clients who are enough to find out what can be done at most. */
const CLIENTS = 64;
const CAPACITY_SECONDS = 5;
/** Who all hear of every cheep. */
const LISTENERS = 300;
const SECONDS = Number(process.env['OVERLOAD_SECONDS'] ?? 20);
const SAMPLE_MS = 500;
const DEADLINE_MS = 60_000;
const LIVE = `subscription ($authorId: ID) { timeline(authorId: $authorId) {
  __typename cursor ... on CheepAdded { cheep { id message author { id username } } } ... on TimelineReset { reason } } }`;
const MIB = 1024 * 1024;

export async function overload(): Promise<void> {
  const database = `overload_${randomBytes(4).toString('hex')}`;
  const mysqlUrl = new URL(required('MYSQL_URL'));
  mysqlUrl.pathname = `/${database}`;
  await migrate(mysqlUrl.href);
  const env = {
    MYSQL_URL: mysqlUrl.href,
    NAMESPACE: database,
    HOST: '127.0.0.1',
    LOG_LEVEL: 'error',
    SIGNING_KEY: randomBytes(32).toString('hex'),
  };
  const ports = { gateway: await freePort(), 'write-side': await freePort(), 'read-side': await freePort() };
  const start = (name: keyof typeof ports) =>
    new MeasuredProcess(`${name}/main.ts`, { ...env, [name === 'gateway' ? 'PORT' : 'HEALTH_PORT']: String(ports[name]) });
  const services = { gateway: start('gateway'), 'write-side': start('write-side'), 'read-side': start('read-side') };
  const generator = new MeasuredProcess('bench/arrivals.ts');
  await Promise.all(Object.values(ports).map((port) => until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok)));
  const url = `http://127.0.0.1:${ports.gateway}/graphql`;
  const authors = [];
  for (let i = 0; i < AUTHORS; i++) authors.push(await signUp(url));
  const cheepId = newId();
  await authors[0]!.client.request(PostCheepReceiptDocument, { input: { message: 'read by many', cheepId } });

  const kinds: Record<string, Arrivals['requests']> = {
    mutations: authors.map(({ client }) => ({
      body: JSON.stringify({ query: print(PostCheepReceiptDocument), variables: { input: { message: 'as fast as it goes' } } }),
      authorization: `Bearer ${client.accessToken}`,
    })),
    reads: [{ body: JSON.stringify({ query: print(CheepMessageDocument), variables: { id: cheepId } }), authorization: '' }],
  };
  kinds[`mutations that ${LISTENERS} sockets hear of`] = kinds.mutations!;
  const listeners = new MeasuredProcess('bench/arrivals.ts');
  for (const [kind, requests] of Object.entries(kinds)) {
    const isLive = kind.includes('sockets');
    if (isLive) {
      const reader = await signUp(url);
      for (const { id } of authors) await reader.client.mutate(FollowAuthorDocument, { input: { authorId: id } });
      await listeners.ask('listen', { port: ports.gateway, sockets: LISTENERS, query: LIVE, variables: { authorId: reader.id } });
    }
    const generate = (how: Partial<Arrivals>) => generator.ask<Arrived>('run', { port: ports.gateway, requests, ...how });
    const resident = () => Promise.all(Object.values(services).map((service) => service.residentBytes()));
    await generate({ clients: CLIENTS, seconds: 2 }); // warm
    const most = await generate({ clients: CLIENTS, seconds: CAPACITY_SECONDS });
    const capacity = (most.counts.ok ?? 0) / most.seconds;
    const before = await resident();
    const highest = [...before];
    let isOver = false;
    const watching = (async () => {
      while (!isOver) {
        (await resident()).forEach((bytes, i) => (highest[i] = Math.max(highest[i]!, bytes)));
        await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
      }
    })();
    const cpuBefore = await services.gateway.cpuMs();
    await listeners.ask('heard');
    const over = await generate({ rate: 2 * capacity, seconds: SECONDS });
    isOver = true;
    await watching;
    const cpu = ((await services.gateway.cpuMs()) - cpuBefore) / (over.seconds * 1_000);
    const after = await resident();
    const p = (values: number[], share: number) => (values.length > 0 ? percentile(values, share) : '-');
    const row = (name: string, { counts, okMs, refusedMs, seconds }: Arrived): [string, ...(number | string)[]] => [
      name,
      (counts.ok ?? 0) / seconds,
      (counts.OVERLOADED ?? 0) / seconds,
      Object.entries(counts).reduce((sum, [what, n]) => sum + (what === 'ok' || what === 'OVERLOADED' ? 0 : n), 0),
      p(okMs, 0.5),
      p(okMs, 0.99),
      p(refusedMs, 0.5),
      p(refusedMs, 0.99),
    ];
    table(
      `Overload by ${kind}: arrivals at twice what ${CLIENTS} clients could have done (milliseconds)`,
      ['done /s', 'refused /s', 'else', 'done p50', 'p99', 'refused p50', 'p99'],
      [row('at capacity', most), row(`${(2 * capacity).toFixed(0)} a second for ${over.seconds.toFixed(0)} s`, over)],
      0,
    );
    if (isLive) console.log(`The ${LISTENERS} sockets heard ${JSON.stringify(await listeners.ask('heard'))}.`);
    console.log(`What else came of them: ${JSON.stringify(over.counts)}; the gateway used ${cpu.toFixed(2)} cores.`);
    table(
      'Memory of the services (MiB)',
      ['before', 'most', 'after'],
      Object.keys(services).map((name, i) => [name, before[i]! / MIB, highest[i]! / MIB, after[i]! / MIB]),
      0,
    );
  }
  await Promise.all([...Object.values(services), generator, listeners].map((child) => child.stop()));
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await isSo().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`not ready within ${DEADLINE_MS / 1_000} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
