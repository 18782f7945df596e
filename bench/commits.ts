/**
 * How many cheeps a second are committed, for 256 clients who each post the next when they have the answer, over HTTP: beside the same
 * system with a transaction for each command, and beside bare inserts by as many clients with a connection each. The read side keeps
 * up meanwhile, on the same cores.
 */
import type { Arrived } from './arrivals.js';
import { isQuick, median, percentile, table, type Comparison } from './figures.js';
import { MeasuredProcess } from './processes.js';
import { signUp } from './sign-up.js';
import { System, type ServiceName, type Started } from './system.js';

const NAMES: ServiceName[] = ['gateway', 'write-side', 'read-side'];
const CLIENTS = 256;
const AUTHORS = 64;
const ROUNDS = isQuick ? 3 : 9;
const SECONDS = isQuick ? 2 : 5;
/** Sign-ups at once: each takes a core for a while. */
const AT_ONCE = 8;
const POST = 'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status consistencyToken userErrors { code } } }';

interface Contestant {
  name: string;
  run: () => Promise<Pick<Arrived, 'okMs' | 'seconds'> & { counts?: Arrived['counts'] }>;
  /** Of which the processor's time is told. */
  services: Started[];
  cpuUs: number[][];
  perSecond: number[];
  p50: number[];
  p99: number[];
}

export async function commits(): Promise<Comparison[]> {
  const generator = new MeasuredProcess('bench/arrivals.ts');
  const systems = [await System.create('commits'), await System.create('single', { COMMANDS_IN_A_BATCH: '1' })] as const;
  const contestants: Contestant[] = [];
  const add = (name: string, services: Started[], run: Contestant['run']) =>
    contestants.push({ name, services, run, cpuUs: [], perSecond: [], p50: [], p99: [] });
  for (const [i, system] of systems.entries()) {
    const all = await system.startAll();
    const { gateway } = all;
    const tokens: string[] = [];
    for (let n = 0; n < AUTHORS; n += AT_ONCE) {
      const authors = await Promise.all(Array.from({ length: AT_ONCE }, () => signUp(gateway.url)));
      tokens.push(...authors.map(({ client }) => client.accessToken!));
    }
    const body = JSON.stringify({ query: POST, variables: { input: { message: 'as many as there is room for' } } });
    const requests = tokens.map((token) => ({ body, authorization: `Bearer ${token}` }));
    add(
      i === 0 ? 'postCheep' : 'postCheep, a transaction for each',
      NAMES.map((name) => all[name]),
      async () => {
        const arrived = await generator.ask<Arrived>('run', { port: gateway.port, requests, clients: CLIENTS, seconds: SECONDS });

        return arrived;
      },
    );
  }
  const inserts = new MeasuredProcess('bench/inserts.ts');
  await inserts.ask('open', { url: await systems[0].database('inserts'), clients: CLIENTS });
  add('bare inserts', [], () => inserts.ask('run', { seconds: SECONDS }));

  for (let round = -1; round < ROUNDS; round++) {
    for (let i = 0; i < contestants.length; i++) {
      const contestant = contestants[(i + Math.max(0, round)) % contestants.length]!;
      const cpuMs = () => Promise.all(contestant.services.map(({ process }) => process.cpuMs()));
      const before = await cpuMs();
      const { okMs, seconds, counts = {} } = await contestant.run();
      // What follows from it is done before the next has its turn.
      await Promise.all(systems.map((system) => system.quiet()));
      const used = (await cpuMs()).map((ms, n) => ((ms - before[n]!) * 1_000) / okMs.length);
      // 256 at once are more than a gateway takes in its first second.
      if (round < 0) continue;
      const other = Object.keys(counts).filter((what) => what !== 'ok');
      if (other.length > 0) throw new Error(`${contestant.name}: ${JSON.stringify(counts)}`);
      contestant.cpuUs.push(used);
      contestant.perSecond.push(okMs.length / seconds);
      contestant.p50.push(percentile(okMs, 0.5));
      contestant.p99.push(percentile(okMs, 0.99));
    }
  }
  await Promise.all([generator.stop(), inserts.ask('close').then(() => inserts.stop())]);
  for (const system of systems) await system.remove();

  table(
    `Committed by ${CLIENTS} clients: medians of ${ROUNDS} turns of ${SECONDS} s each`,
    ['a second', 'p50 ms', 'p99 ms', ...NAMES.map((name) => `${name} µs`)],
    contestants.map(({ name, services, cpuUs, perSecond, p50, p99 }) => [
      name,
      ...[perSecond, p50, p99].map(median),
      ...services.map((_, n) => median(cpuUs.map((used) => used[n]!))),
    ]),
    1,
  );
  const [ours, single, bare] = contestants as [Contestant, Contestant, Contestant];
  const ratio = (key: 'perSecond' | 'p99', other: Contestant) => median(ours[key].map((figure, i) => figure / other[key][i]!));

  return [
    { name: 'commits a second, beside a transaction for each', ratio: ratio('perSecond', single), aim: 3, aimIs: 'at least', runs: ROUNDS },
    { name: 'commits: p99, beside a transaction for each', ratio: ratio('p99', single), aim: 1, aimIs: 'at most', runs: ROUNDS },
    { name: 'commits a second, beside bare inserts', ratio: ratio('perSecond', bare), aim: 0.5, aimIs: 'at least', runs: ROUNDS },
  ];
}
