/**
 * Networks fall silent: packets vanish, and nobody is told. One process of each service is cut off in that way from one of its servers,
 * for longer than every lease. The others take over within the lease, the silence is noticed, and once it is over all goes on by itself.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuthorDocument, CheepDocument, LogInDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { Proxy } from './faults/proxy.js';
import { eventually, freePort, PASSWORD, ServiceProcess, SIGNING_KEY, startSystem, type ServiceName, type System } from './system.js';

const AUTHORS = 16;
/** Longer than MySQL keeps a silent client's locks (10 s) and Redis a lease (5 s), and than any silence goes unnoticed (8 s). */
const BLACK_MS = 13_000;
/** MySQL closes a silent connection after 10 s, and lanes are looked for twice a second. NATS and Redis are noticed sooner. */
const TAKEN_OVER_MS = 11_000;
const RECOVERED_MS = 10_000;
/** For a busy machine. */
const SLACK_MS = 8_000;

type Server = 'mysql' | 'nats' | 'redis';
type Author = Awaited<ReturnType<System['author']>>;

/** One process of each service beside the system's own, each with a proxy on every link. */
interface Victim {
  process: ServiceProcess;
  links: Partial<Record<Server, Proxy>>;
}

let system: System;
let authors: Author[];
let folder: string;
const victims: Partial<Record<ServiceName, Victim>> = {};
const proxies: Proxy[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cheeper-links-'));
  system = await startSystem();
  victims['write-side'] = await startVictim('write-side', ['mysql', 'nats']);
  victims['read-side'] = await startVictim('read-side', ['nats', 'redis']);
  victims.gateway = await startVictim('gateway', ['nats', 'redis']);
  await Promise.all(Object.values(victims).map(({ process }) => process.ready()));
  authors = await Promise.all(Array.from({ length: AUTHORS }, () => system.author()));
});
afterAll(async () => {
  for (const proxy of proxies) proxy.heal();
  await Promise.all(Object.values(victims).map(({ process }) => process.stop()));
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await system?.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => proxies.forEach((proxy) => proxy.heal()));

async function startVictim(name: ServiceName, servers: Server[]): Promise<Victim> {
  const links: Victim['links'] = {};
  const env: NodeJS.ProcessEnv = { ...process.env, NODE_OPTIONS: '', ...system.env, SIGNING_KEY, MAIL_FOLDER: system.mailFolder };
  for (const server of servers) {
    const variable = { mysql: 'MYSQL_URL', nats: 'NATS_URL', redis: 'REDIS_URL' }[server];
    const url = new URL(env[variable]!);
    const proxy = await Proxy.start(Number(url.port));
    proxies.push(proxy);
    links[server] = proxy;
    url.port = String(proxy.port);
    env[variable] = url.href;
  }
  const port = await freePort();
  Object.assign(env, name === 'gateway' ? { PORT: String(port), HOST: '127.0.0.1' } : { HEALTH_PORT: String(port) });
  const process_ = new ServiceProcess(name, port, env, join(folder, `${name}.log`));
  process_.start();

  return { process: process_, links };
}

/** Each author posts one cheep after another, by the system's own gateway, until told to stop. */
function posting() {
  let isOver = false;
  const committed = authors.map(() => [] as { cheepId: string; at: number }[]);
  const done = Promise.allSettled(
    authors.map(async ({ client }, author) => {
      while (!isOver) {
        const input = { message: 'as long as anybody hears', commandId: newId(), cheepId: newId() };
        const { postCheep } = await client.mutate(PostCheepReceiptDocument, { input });
        if (postCheep.status === 'COMMITTED') committed[author]!.push({ cheepId: input.cheepId, at: performance.now() });
      }
    }),
  );

  return {
    /** How many of the authors had a cheep committed since then. */
    heard: (since: number) => committed.filter((cheeps) => (cheeps.at(-1)?.at ?? 0) > since).length,
    /** The last that was committed before then. */
    last: (before: number) => committed.map((cheeps) => cheeps.findLast(({ at }) => at < before)!.cheepId),
    stop: async () => {
      isOver = true;
      for (const result of await done) if (result.status === 'rejected') throw result.reason;
      return committed.flat();
    },
  };
}

const waitsFor = async ({ process }: Victim) => (await fetch(`http://127.0.0.1:${process.port}/readyz`)).text();
const errorCode = (answer: { errors: readonly { extensions?: Record<string, unknown> }[] }) => answer.errors[0]?.extensions?.code;

async function timed<T>(run: () => Promise<T>): Promise<[T, number]> {
  const begun = performance.now();
  return [await run(), performance.now() - begun];
}

describe('a link that is silent', () => {
  it.each([
    { write: 'mysql', read: 'redis' },
    { write: 'nats', read: 'nats' },
  ] as const)('($write of a write side, $read of a read side and of a gateway) is noticed, and its work is done by others', async (cut) => {
    const { 'write-side': writeSide, 'read-side': readSide, gateway } = victims as Record<ServiceName, Victim>;
    const black = [writeSide.links[cut.write]!, readSide.links[cut.read]!, gateway.links[cut.read]!];
    const { heard, last, stop } = posting();
    await eventually(() => heard(0) === AUTHORS, 'the load runs');
    const begun = performance.now();
    for (const proxy of black) proxy.hold(['up', 'down']);

    // Commands: each lane is somebody else's soon. Whatever was sent before is read: each shard, too.
    await eventually(
      () => heard(begun + 1_000) === AUTHORS,
      () => `commands of all authors are committed again (of ${heard(begun + 1_000)})`,
      TAKEN_OVER_MS + SLACK_MS,
    );
    const reader = system.client();
    const ids = last(Infinity);
    await eventually(
      async () => (await Promise.all(ids.map((id) => reader.ask(CheepDocument, { id })))).every(({ data }) => data?.cheep),
      'the cheeps of all authors are read',
      SLACK_MS,
    );
    const takenOverMs = performance.now() - begun;
    expect(takenOverMs).toBeLessThan(TAKEN_OVER_MS + SLACK_MS);

    // Those who are cut off say so, in bounded time.
    await eventually(
      async () => (await waitsFor(writeSide)).includes({ mysql: 'MySQL', nats: 'NATS' }[cut.write]),
      'the write side says so',
    );
    await eventually(async () => (await waitsFor(readSide)).includes({ redis: 'Redis', nats: 'NATS' }[cut.read]), 'the read side says so');
    await eventually(async () => (await waitsFor(gateway)).includes({ redis: 'Redis', nats: 'NATS' }[cut.read]), 'the gateway says so');
    const client = system.client({ url: system.urlOf(gateway.process), accessToken: authors[0]!.client.accessToken });
    const input = { message: 'does anybody hear?', commandId: newId() };
    const [read, readMs] = await timed(() => client.ask(AuthorDocument, { id: authors[0]!.id }));
    const [write, writeMs] = await timed(() => client.ask(PostCheepReceiptDocument, { input }));
    const [signIn, signInMs] = await timed(() =>
      client.ask(LogInDocument, { input: { usernameOrEmail: authors[0]!.username, password: PASSWORD } }),
    );
    for (const ms of [readMs, writeMs, signInMs]) expect(ms).toBeLessThan(8_000);
    if (cut.read === 'redis') {
      expect(errorCode(read)).toBe('UNAVAILABLE');
      expect(write.data?.postCheep.status).toBe('COMMITTED');
    } else {
      expect(read.errors).toEqual([]);
      expect([errorCode(write), errorCode(signIn)]).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
    }

    await eventually(() => performance.now() - begun > BLACK_MS, 'it was black for longer than every lease', BLACK_MS);
    for (const proxy of black) proxy.heal();
    const [, recoveredMs] = await timed(() => Promise.all([writeSide, readSide, gateway].map(({ process }) => process.ready(30_000))));
    console.log(`${cut.write}: taken over after ${takenOverMs.toFixed(0)} ms, recovered ${recoveredMs.toFixed(0)} ms after it was healed`);
    expect(recoveredMs).toBeLessThan(RECOVERED_MS + SLACK_MS);

    // All of it goes on, and whatever was committed is there, by the gateway that was cut off too.
    const then = performance.now();
    await eventually(() => heard(then) === AUTHORS, 'the load goes on');
    const committed = await stop();
    const rows = await system.sql<{ n: number; highest: number; posted: number }>(
      `SELECT COUNT(*) AS n, MAX(position) AS highest, COUNT(DISTINCT IF(type = 'CheepPosted', aggregate_id, NULL)) AS posted,
         SUM(type = 'CheepPosted') AS posts FROM journal`,
    );
    expect(rows[0]).toMatchObject({ n: Number(rows[0]!.highest) });
    client.consistencyToken = authors.map((author) => author.client.consistencyToken).join();
    for (const { cheepId } of committed.filter((_, i) => i % Math.ceil(committed.length / 50) === 0)) {
      expect((await client.query(CheepDocument, { id: cheepId })).cheep).not.toBeNull();
    }
  });
});
