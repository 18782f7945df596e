/** What takes too long, or a disk of its own, for every day: `npm run test:faults -- --hours N`. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { allShards } from '../../read-side/progress.js';
import { epochKey, prefixOf, shardsKey } from '../../read-side/shard.js';
import { newId } from '../../shared/ids.js';
import { isAlive, temporaryFolder } from '../../stack/stack.mjs';
import { expectAllIsWell, expectNothingWaits, expectStreamIsJournal, expectVerified } from './checks.js';
import { Cluster } from './cluster.js';
import { Planted } from './faults.js';
import { Load } from './load.js';
import { SLACK_MS, type Recovery } from './schedule.js';

type Tell = (line: string) => void;

// ---- Disk full

const DISK_MIB = 512;
const FULL_MS = 8_000;
/** MariaDB looks once a minute whether there is room again. */
const DISK_BOUND_MS = 75_000;

/** All three servers share a disk that is full for a while. Null where this user may not mount one. */
export async function fillDisk(seed: number, name: string): Promise<Recovery | null> {
  const folder = await temporaryFolder();
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'tmpfs', disk], { stdio: 'ignore' });
  } catch {
    return null;
  }
  let cluster: Cluster | undefined;
  let load: Load | undefined;
  try {
    cluster = await Cluster.start({ dataDir: disk });
    const { stack } = cluster;
    const planted = new Planted();
    const playing = (load = await Load.start(cluster, seed, name));
    planted.now = () => playing.fleet.recorder.now();
    let ms = 0;
    await playing.during(async () => {
      fill(join(disk, 'rubbish'));
      await pause(FULL_MS);
      rmSync(join(disk, 'rubbish'));
      // It turns JetStream off for good when it cannot write: that is what the runbook says to do.
      await stack.restart('nats');
      // MariaDB may end by itself when it cannot write what it must: then it is started again, as by any who keep it running.
      for (const server of ['mysql', 'redis'] as const) if (!isAlive(stack.pid(server))) await stack.restart(server);
      planted.losses.push(planted.now());
      ms = await playing.untilWell(DISK_BOUND_MS + SLACK_MS);
    });
    await expectAllIsWell(cluster, playing, planted);

    return { kinds: ['the disk is full'], ms };
  } finally {
    load?.fleet.stop();
    await cluster?.stop();
    execFileSync('umount', ['-l', disk]);
    rmSync(folder, { recursive: true, force: true });
  }
}

function fill(path: string): void {
  const file = openSync(path, 'w');
  const block = Buffer.alloc(64 * 1024);
  try {
    for (;;) writeSync(file, block);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}

// ---- Overload

const CAPACITY_MS = 10_000;
const CAPACITY_CLIENTS = 256;
const TIMES_CAPACITY = 2;
/** Who has more than this under way sends no more: it would only measure itself. */
const MAX_UNDER_WAY = 6_000;
const ANSWER_DEADLINE_MS = 10_000;
const TICK_MS = 10;
const SAMPLE_MS = 2_000;
/** Of a service's memory in the last third of the time, above that in the second. */
const MAX_GROWTH = 1.2;
const NOISE_MIB = 48;
/** For 99 of 100 refusals: a gateway lets nobody wait for more than a second, and who asks here shares the cores with it. */
const REFUSED_WITHIN_MS = 1_500;
const CAUGHT_UP_MS = 60_000;
/** Of a journal of millions. */
const VERIFIED_MS = 60 * 60_000;

/** Twice as many commands as there is room for, for so long: memory stays what it is, who is refused hears so at once, and it ends. */
export async function overload(cluster: Cluster, planted: Planted, minutes: number, tell: Tell): Promise<void> {
  const viewers = await cluster.authors(16);
  const counts = new Map<string, number>();
  const refusals: number[] = [];
  let underWay = 0;
  let n = 0;
  const post = async (): Promise<void> => {
    const { accessToken } = viewers[n++ % viewers.length]!;
    const { port } = cluster.gateways[n % cluster.gateways.length]!;
    const input = { message: `one of many, ${n}`, commandId: newId() };
    const start = performance.now();
    underWay += 1;
    const what = await fetch(`http://127.0.0.1:${port}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
      body: JSON.stringify({ query: 'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status } }', variables: { input } }),
      signal: AbortSignal.timeout(ANSWER_DEADLINE_MS),
    })
      .then((response) => response.json() as Promise<Answer>)
      .then(
        ({ data, errors }) => data?.postCheep?.status ?? errors?.[0]?.extensions?.code ?? 'something else',
        () => 'no answer',
      );
    underWay -= 1;
    if (what === 'OVERLOADED') refusals.push(performance.now() - start);
    counts.set(what, (counts.get(what) ?? 0) + 1);
  };

  const over = performance.now() + CAPACITY_MS;
  await Promise.all(
    Array.from({ length: CAPACITY_CLIENTS }, async () => {
      while (performance.now() < over) await post();
    }),
  );
  const capacity = ((counts.get('COMMITTED') ?? 0) * 1_000) / CAPACITY_MS;
  tell(`capacity: ${Math.round(capacity)} commands a second`);
  counts.clear();

  const start = performance.now();
  const lastsMs = minutes * 60_000;
  const samples: Map<string, number>[] = [];
  const leases = new Map<string, string | null>();
  let moves = 0;
  const sampling = (async () => {
    while (performance.now() - start < lastsMs) {
      samples.push(memory(cluster));
      for (const [shard, owner] of await leasesOf(cluster)) {
        if (leases.has(shard) && leases.get(shard) !== owner) moves += 1;
        leases.set(shard, owner);
      }
      await pause(SAMPLE_MS);
    }
  })();
  let sent = 0;
  const posts = new Set<Promise<void>>();
  while (performance.now() - start < lastsMs) {
    const due = ((performance.now() - start) / 1_000) * capacity * TIMES_CAPACITY;
    for (; sent < due; sent++) {
      if (underWay >= MAX_UNDER_WAY) {
        counts.set('not sent', (counts.get('not sent') ?? 0) + 1);
        continue;
      }
      const one = post().finally(() => posts.delete(one));
      posts.add(one);
    }
    await pause(TICK_MS);
  }
  await Promise.all(posts);
  await sampling;
  const p99 = refusals.toSorted((a, b) => a - b)[Math.floor(refusals.length * 0.99)] ?? 0;
  tell(
    `${minutes} minutes of ${TIMES_CAPACITY} times that: ${JSON.stringify(Object.fromEntries(counts))}; OVERLOADED p99 ${Math.round(p99)} ms`,
  );
  const third = Math.floor(samples.length / 3);
  // All of it is told, whatever comes first.
  const wrong: string[] = [];
  for (const name of samples[0]!.keys()) {
    const most = (from: number, to: number) => Math.max(...samples.slice(from, to).map((sample) => sample.get(name) ?? 0));
    const [first, second, last] = [most(0, third), most(third, 2 * third), most(2 * third, samples.length)];
    tell(`  ${name.padEnd(16)} ${first} MiB, ${second} MiB, ${last} MiB at the most in each third`);
    // The servers' memory is data, which grows as it should.
    const isService = cluster.services.some(({ label }) => label === name);
    if (isService && last > second * MAX_GROWTH + NOISE_MIB) wrong.push(`the memory of ${name} has grown from ${second} to ${last} MiB`);
  }
  // Nobody has gone, so whoever loses a shard is only late, and others do then what it was about to do.
  if (moves > 0) wrong.push(`shards have changed hands ${moves} times`);
  if (p99 > REFUSED_WITHIN_MS) wrong.push(`refusals took ${Math.round(p99)} ms`);
  if (counts.has('something else')) wrong.push('there was an answer that is none');
  const endedAt = performance.now();
  await expectNothingWaits(cluster, CAUGHT_UP_MS);
  tell(`caught up after ${Math.round(performance.now() - endedAt)} ms`);
  await expectStreamIsJournal(cluster, await cluster.readJournal(), planted);
  await expectVerified(cluster, planted, VERIFIED_MS);
  if (wrong.length > 0) throw new Error(wrong.join('; '));
}

interface Answer {
  data?: { postCheep?: { status: string } | null } | null;
  errors?: { extensions?: { code?: string } }[];
}

/** Which read side has which shard. */
async function leasesOf({ redis, namespace }: Cluster): Promise<[shard: string, owner: string | null][]> {
  const epoch = (await redis.get(epochKey(namespace)))!;
  const shards = Number(await redis.get(shardsKey({ namespace, epoch, shards: 0 })));
  const space = { namespace, epoch, shards };
  const keys = allShards(space).map((shard) => `${prefixOf(space, shard)}lease`);
  const owners = await redis.mget(keys);

  return keys.map((key, i) => [key, owners[i]!]);
}

/** MiB that each process has in memory. */
function memory(cluster: Cluster): Map<string, number> {
  const pids = [
    ...cluster.services.map(({ label, pid }) => [label, pid] as const),
    ...(['mysql', 'nats', 'redis'] as const).map((server) => [server, cluster.stack.pid(server)] as const),
  ];

  return new Map(
    pids.map(([name, pid]) => {
      const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];

      return [name, Math.round(Number(kib ?? 0) / 1_024)];
    }),
  );
}
