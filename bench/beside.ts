/**
 * The gateway of another checkout beside this one's, on the same servers and data: pages of a timeline, committed cheeps, and frames to
 * many sockets. `BESIDE=../before npm run bench -- beside-pages beside-commits beside-frames`; the other checkout (`git worktree add ../before <commit>`) needs its packages.
 * Both have turns, so that what else the machine does hits them alike; how much it does tells a checkout beside itself.
 */
import { resolve } from 'node:path';
import type { Arrivals, Arrived } from './arrivals.js';
import { Stage } from './audience.js';
import { isQuick, median, percentile, required, table } from './figures.js';
import { MeasuredProcess } from './processes.js';
import { signUp } from './sign-up.js';
import { System, type Started } from './system.js';
import { PAGE_BODY, viewersOf } from './timeline-page.js';

const ROUNDS = isQuick ? 9 : 27;
const SECONDS = 1;
const WARM_UP_SECONDS = 5;
const TOWN = { events: 10_000, options: { follow: 100 } };
const BUILD_DEADLINE_MS = 5 * 60_000;
const READERS = 64;
const POSTERS = { clients: 256, authors: 32, atOnce: 8 };
const POST = 'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status consistencyToken userErrors { code } } }';
const SOCKETS = 2_500;
const FRAME_ROUNDS = isQuick ? 5 : 15;
/** Before it is measured, and while it is. */
const FIRST_POSTS = 3;
const POSTS = 20;

type Figures = Record<'perSecond' | 'cpuUs' | 'p50' | 'p99', number[]>;

const otherCheckout = () => resolve(required('BESIDE'));

export async function besidePages(): Promise<void> {
  const system = await System.create('beside');
  await system.importTown(TOWN.events, TOWN.options);
  const [writeSide] = await Promise.all([system.start('write-side'), system.start('read-side')]);
  await system.built(TOWN.events, BUILD_DEADLINE_MS);
  const gateways = await both(system);
  await writeSide.process.stop();
  const viewers = await viewersOf(TOWN.events, system, gateways.ours.port);
  await inTurns('Pages of a timeline', gateways, async () => undefined, {
    requests: viewers.map((token) => ({ body: PAGE_BODY, authorization: `Bearer ${token}` })),
    clients: READERS,
  });
  await system.remove();
}

export async function besideCommits(): Promise<void> {
  const system = await System.create('beside');
  await Promise.all((['write-side', 'read-side'] as const).map((name) => system.start(name)));
  const gateways = await both(system);
  const tokens: string[] = [];
  while (tokens.length < POSTERS.authors) {
    const authors = await Promise.all(Array.from({ length: POSTERS.atOnce }, () => signUp(gateways.ours.url)));
    tokens.push(...authors.map(({ client }) => client.accessToken!));
  }
  const body = JSON.stringify({ query: POST, variables: { input: { message: 'as many as there is room for' } } });
  await inTurns('Committed cheeps', gateways, () => system.quiet(), {
    requests: tokens.map((token) => ({ body, authorization: `Bearer ${token}` })),
    clients: POSTERS.clients,
  });
  await system.remove();
}

async function both(system: System): Promise<{ ours: Started; others: Started }> {
  const ours = await system.start('gateway');
  const others = await system.start('gateway', {}, otherCheckout());
  await Promise.all([ours.ready(), others.ready()]);

  return { ours, others };
}

async function inTurns(
  what: string,
  { ours, others }: { ours: Started; others: Started },
  quiet: () => Promise<void>,
  asked: Pick<Arrivals, 'requests' | 'clients'>,
): Promise<void> {
  const generator = new MeasuredProcess('bench/arrivals.ts');
  const none = (): Figures => ({ perSecond: [], cpuUs: [], p50: [], p99: [] });
  const servers = [
    { ...ours, figures: none() },
    { ...others, figures: none() },
  ] as const;
  for (let round = -1; round < ROUNDS; round++) {
    for (const { process, port, figures } of round % 2 === 0 ? servers : servers.toReversed()) {
      const before = await process.cpuMs();
      const seconds = round < 0 ? WARM_UP_SECONDS : SECONDS;
      const { counts, okMs, seconds: took } = await generator.ask<Arrived>('run', { port, ...asked, seconds });
      const usedMs = (await process.cpuMs()) - before;
      await quiet();
      if (round < 0) continue;
      const wrong = Object.keys(counts).filter((name) => name !== 'ok');
      if (wrong.length > 0) throw new Error(`${what}: ${JSON.stringify(counts)}`);
      figures.perSecond.push(okMs.length / took);
      figures.cpuUs.push((usedMs * 1_000) / okMs.length);
      figures.p50.push(percentile(okMs, 0.5));
      figures.p99.push(percentile(okMs, 0.99));
    }
  }
  await generator.stop();
  const [{ figures: its }, { figures: theirs }] = servers;
  const names = ['perSecond', 'cpuUs', 'p50', 'p99'] as const;
  table(
    `${what}, ${asked.clients} clients: medians of ${ROUNDS} turns of ${SECONDS} s each`,
    ['a second', 'CPU µs', 'p50 ms', 'p99 ms'],
    [
      ['this checkout', ...names.map((name) => median(its[name]))],
      ['the other', ...names.map((name) => median(theirs[name]))],
      ['ratio (of each round, the median)', ...names.map((name) => median(its[name].map((figure, i) => figure / theirs[name][i]!)))],
    ],
  );
}

/** The gateways have turns with as many sockets: told is how much processor time a frame takes. */
export async function besideFrames(): Promise<void> {
  const stages = [await Stage.set(), await Stage.set(otherCheckout())] as const;
  const frameUs: [number[], number[]] = [[], []];
  for (let round = -1; round < FRAME_ROUNDS; round++) {
    for (const side of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const stage = stages[side];
      const audience = await stage.atGateway(SOCKETS);
      await audience.subscribe();
      const post = async () => audience.marked((await stage.post()).mark);
      for (let i = 0; i < FIRST_POSTS; i++) await post();
      const before = await stage.gateway.cpuMs();
      for (let i = 0; i < POSTS; i++) await post();
      const usedMs = (await stage.gateway.cpuMs()) - before;
      await audience.close();
      if (round >= 0) frameUs[side].push((1_000 * usedMs) / (POSTS * SOCKETS));
    }
  }
  await Promise.all(stages.map((stage) => stage.leave()));
  const [its, theirs] = frameUs;
  table(
    `A frame to each of ${SOCKETS} sockets, ${POSTS} posts: medians of ${FRAME_ROUNDS} turns`,
    ['CPU µs'],
    [
      ['this checkout', median(its)],
      ['the other', median(theirs)],
      ['ratio of frames for as much (the median)', median(its.map((us, i) => theirs[i]! / us))],
    ],
  );
}
