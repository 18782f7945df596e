/**
 * What a socket costs a gateway: connected and let in, and subscribed to a timeline. The floor is the same number of sockets on a bare
 * websocket server. Memory is taken after full collections: that of the whole process, and what is alive in it.
 */
import { Stage, type Audience } from './audience.js';
import { table, type Comparison } from './figures.js';
import type { Memory } from './probe.js';
import type { MeasuredProcess } from './processes.js';

const SOCKETS = 5_000;
const WARM_UP = 500;
const POSTS = 3;

type Figures = [residentKb: number, aliveKb: number, cpuMs?: number];

export async function sockets(): Promise<Comparison[]> {
  const stage = await Stage.set();
  // What is needed once, however many there are (code, pools, caches), is there before.
  const first = { gateway: await stage.atGateway(WARM_UP), bare: await stage.atBareServer(WARM_UP) };
  await first.gateway.subscribe();
  await first.gateway.marked((await stage.post()).mark);
  await Promise.all([first.gateway.close(), first.bare.close()]);

  const bare = await meter(stage.bare);
  const bareAudience = await stage.atBareServer(SOCKETS);
  const bareFigures = await bare();
  await bareAudience.close();

  const gateway = await meter(stage.gateway);
  const audience = await stage.atGateway(SOCKETS);
  const idle = await gateway();
  await audience.subscribe();
  const subscribed = await gateway();
  await posts(stage, audience);
  const [residentKb, aliveKb] = await gateway();
  await audience.close();
  const [leftResidentKb, leftAliveKb] = await gateway();
  await stage.leave();

  table(`A gateway’s memory per socket (KB), and its CPU time to open each (ms), ${SOCKETS} sockets`, ['resident', 'alive', 'CPU'], [
    ['bare server', ...bareFigures],
    ['idle', ...idle],
    ['subscribed', ...subscribed],
    [`  after ${POSTS} frames each (aim: at most 25)`, residentKb, aliveKb],
    ['  ratio to the bare server', residentKb / bareFigures[0], aliveKb / bareFigures[1]],
    ['when all have gone', leftResidentKb, leftAliveKb],
  ] as [string, ...number[]][]);

  return [{ name: 'KB of memory for each subscribed socket', ratio: residentKb, aim: 25, aimIs: 'at most', runs: SOCKETS }];
}

async function posts(stage: Stage, audience: Audience): Promise<void> {
  for (let i = 0; i < POSTS; i++) await audience.marked((await stage.post()).mark);
}

/** Of a process, for each socket: memory since now, and CPU time since the last reading. */
async function meter(process: MeasuredProcess): Promise<() => Promise<Figures>> {
  const before = await process.memory();
  let usedMs = await process.cpuMs();
  const perSocket = (kind: keyof Memory, now: Memory) => (now[kind] - before[kind]) / SOCKETS / 1_024;

  return async () => {
    const used = (await process.cpuMs()) - usedMs;
    const now = await process.memory();
    // The collection is not the sockets' doing.
    usedMs = await process.cpuMs();

    return [perSocket('residentBytes', now), perSocket('aliveBytes', now), used / SOCKETS];
  };
}
