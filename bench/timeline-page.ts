/**
 * A page of a timeline, 20 cheeps with authors, counts and the viewer's flags, over HTTP, asked for by 64 clients all the time, warm:
 * beside other servers over the same reads, and beside joins over tables, in towns of one, ten and a hundred times the size.
 *
 * All servers are there at the same time and are asked turn by turn, so that what else the machine does hits them alike; each is one
 * process, as is the one that asks. What they answer is compared before.
 */

import { isQuick, median, percentile, table, type Comparison } from './figures.js';
import type { Arrivals, Arrived } from './arrivals.js';
import { PAGE_QUERY, PAGE_SIZE } from './peers/peer.js';
import { fillTables } from './peers/tables.js';
import { MeasuredProcess } from './processes.js';
import { System } from './system.js';
import { town } from './town.js';

const CLIENTS = 64;
/** Who asks, by turns. */
const VIEWERS = 200;
/** Of the smallest town, in events; it is also how many of 100 acts are follows, so that people follow some 25 others. */
const SMALLEST = isQuick ? 1_000 : 10_000;
const FOLLOW = 100;
const TIMES = isQuick ? [1, 100] : [1, 10, 100];
/** The town in which the servers are compared: not a small one, where many ask for the same. */
const COMPARED = 1;
/** Short turns, and many: what else a machine does takes longer than that, and hits all alike. */
const ROUNDS = isQuick ? 12 : 27;
const SECONDS = isQuick ? 0.5 : 1;
/** Before the first turn of each: what is compiled while it runs is, by then. */
const WARM_UP_SECONDS = isQuick ? 4 : 6;
/** JSON of the body that asks for a page. */
export const PAGE_BODY = JSON.stringify({ query: PAGE_QUERY, variables: { first: PAGE_SIZE } });
const BUILD_DEADLINE_MS = 30 * 60_000;

interface Server {
  name: string;
  times: number;
  process: MeasuredProcess;
  port: number;
  requests: Arrivals['requests'];
  /** One of each round. */
  perSecond: number[];
  cpuUs: number[];
  p50: number[];
  p99: number[];
}

export async function timelinePage(): Promise<Comparison[]> {
  const generator = new MeasuredProcess('bench/arrivals.ts');
  const systems: System[] = [];
  const servers: Server[] = [];
  for (const [i, times] of TIMES.entries()) {
    const { system, started } = await begin(times * SMALLEST, i === COMPARED);
    systems.push(system);
    servers.push(...started.map((server) => ({ ...server, times })));
  }
  await compareAnswers(servers);

  for (let round = -1; round < ROUNDS; round++) {
    for (let i = 0; i < servers.length; i++) {
      // Another one comes first each time.
      const server = servers[(i + Math.max(0, round)) % servers.length]!;
      const { port, requests, process } = server;
      const before = await process.cpuMs();
      const duration = round < 0 ? WARM_UP_SECONDS : SECONDS;
      const arrived = await generator.ask<Arrived>('run', { port, requests, clients: CLIENTS, seconds: duration });
      const used = (await process.cpuMs()) - before;
      const { counts, okMs, seconds } = arrived;
      const other = Object.keys(counts).filter((what) => what !== 'ok');
      if (other.length > 0) throw new Error(`${server.name} answered ${other.join(', ')}`);
      if (round < 0) continue;
      server.perSecond.push(okMs.length / seconds);
      server.cpuUs.push((used * 1_000) / okMs.length);
      server.p50.push(percentile(okMs, 0.5));
      server.p99.push(percentile(okMs, 0.99));
    }
  }
  await generator.stop();
  await Promise.all(systems.map((system) => system.remove()));

  const named = (name: string, times = TIMES[COMPARED]) => servers.find((server) => server.name === name && server.times === times)!;
  const ratios = (a: Server, b: Server) => a.perSecond.map((perSecond, i) => perSecond / b.perSecond[i]!);
  table(
    `A page of ${PAGE_SIZE} cheeps over HTTP, ${CLIENTS} clients: medians of ${ROUNDS} turns of ${SECONDS} s each`,
    ['events', 'pages/s', 'CPU µs', 'p50 ms', 'p99 ms'],
    servers.map(({ name, times, perSecond, cpuUs, p50, p99 }) => [
      name,
      String(times * SMALLEST),
      ...[perSecond, cpuUs, p50, p99].map(median),
    ]),
    1,
  );
  const gateway = named('gateway');
  const compare = (name: string, peer: Server, aim: number): Comparison => ({
    name: `timeline page: pages a second, beside ${name}`,
    ratio: median(ratios(gateway, peer)),
    aim,
    aimIs: 'at least',
    runs: ROUNDS,
  });
  const slower = (name: string) => median(ratios(named(name, TIMES[0]), named(name, TIMES.at(-1))));

  return [
    compare('mercurius with jit', named('mercurius'), 1),
    compare('GraphQL Yoga with jit', named('yoga'), 2),
    compare('a Fastify route', named('fastify'), 0.7),
    { name: 'timeline page: times slower at 100 times the data', ratio: slower('gateway'), aim: 1.2, aimIs: 'at most', runs: ROUNDS },
    {
      name: 'timeline page: times slower at 100 times the data, by joins',
      ratio: slower('joins'),
      aim: null,
      aimIs: 'at least',
      runs: ROUNDS,
    },
    {
      ...compare('joins in MySQL, at 100 times the data', named('joins', TIMES.at(-1)), 1),
      ratio: median(ratios(named('gateway', TIMES.at(-1)), named('joins', TIMES.at(-1)))),
    },
  ];
}

/** A town of that many events, and who serves its timelines: the gateway, the joins, and all others if they are wanted. */
async function begin(events: number, withPeers: boolean) {
  const begun = performance.now();
  const system = await System.create('page');
  await system.importTown(events, { follow: FOLLOW });
  const writeSide = await system.start('write-side');
  await system.start('read-side');
  await system.built(events, BUILD_DEADLINE_MS);
  const gateway = await system.start('gateway');
  await gateway.ready();
  // They would only tell that nothing happens.
  await writeSide.process.stop();
  const joinsUrl = await system.database('joins');
  await fillTables(joinsUrl, events, { follow: FOLLOW });
  const { epoch } = await system.space();
  const env = { ...system.env, EPOCH: epoch, JOINS_URL: joinsUrl };
  const names = ['joins', ...(withPeers ? ['mercurius', 'yoga', 'fastify'] : [])];
  const peers = await Promise.all(
    names.map(async (name) => {
      const process = new MeasuredProcess(`bench/peers/${name}.ts`, env);
      system.onRemove(() => process.stop());

      return { name, process, port: await process.ask<number>('port') };
    }),
  );
  const viewers = await viewersOf(events, system, gateway.port);
  const requests = (name: string) =>
    viewers.map((accessToken) => ({
      ...(name === 'fastify' ? { path: `/timeline?first=${PAGE_SIZE}` } : { body: PAGE_BODY }),
      authorization: `Bearer ${accessToken}`,
    }));
  const none = () => ({ perSecond: [], cpuUs: [], p50: [], p99: [] });
  const started = [{ name: 'gateway', process: gateway.process, port: gateway.port }, ...peers].map((server) => ({
    ...server,
    requests: requests(server.name),
    ...none(),
  }));
  console.log(`(A town of ${events} events took ${((performance.now() - begun) / 1_000).toFixed(0)} s.)`);

  return { system, started };
}

/** Access tokens of people whose page is full. */
export async function viewersOf(events: number, system: System, port: number): Promise<string[]> {
  const ids: string[] = [];
  for (const { event } of town(events, { follow: FOLLOW })) if (event.type === 'AuthorSignedUp') ids.push(event.authorId);
  const step = Math.max(1, Math.floor(ids.length / (VIEWERS * 2)));
  const candidates = await system.accessTokens(ids.filter((_, i) => i % step === 0));
  const viewers: string[] = [];
  for (const accessToken of candidates) {
    if (viewers.length === VIEWERS) break;
    const { data } = await ask(port, accessToken);
    if (data.timeline.nodes.length === PAGE_SIZE) viewers.push(accessToken);
  }
  if (viewers.length < 10) throw new Error(`only ${viewers.length} have a full page`);

  return viewers;
}

interface PageAnswer {
  data: { timeline: { nodes: unknown[]; pageInfo: unknown } };
}

async function ask(port: number, accessToken: string): Promise<PageAnswer> {
  const response = await fetch(`http://127.0.0.1:${port}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
    body: PAGE_BODY,
  });

  return (await response.json()) as PageAnswer;
}

/** Whoever answers something else does other work. */
async function compareAnswers(servers: Server[]): Promise<void> {
  for (const { name, times, port, requests } of servers) {
    const gateway = servers.find((server) => server.times === times)!;
    for (let i = 0; i < 10; i++) {
      const { authorization, path } = requests[i]!;
      const expected = await ask(gateway.port, authorization.slice('Bearer '.length));
      const answer = path
        ? ((await (await fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization } })).json()) as PageAnswer)
        : await ask(port, authorization.slice('Bearer '.length));
      const [theirs, ours] = [answer, expected].map(({ data }) => JSON.stringify(data, Object.keys(flat(data)).toSorted()));
      if (theirs !== ours) throw new Error(`${name} answers something else:\n${theirs}\n${ours}`);
    }
  }
}

/** Every name in it, so that JSON can be written in one order. */
function flat(value: unknown, names: Record<string, true> = {}): Record<string, true> {
  if (Array.isArray(value)) for (const item of value) flat(item, names);
  else if (value && typeof value === 'object') {
    for (const [name, item] of Object.entries(value)) {
      names[name] = true;
      flat(item, names);
    }
  }

  return names;
}
