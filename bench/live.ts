/**
 * From a mutation's answer to the frame on a subscriber's socket, with one subscriber and with thousands on one gateway. The floor,
 * turn by turn in the same run: the bare hops that lie between (a publish, a Redis script, a read of what has changed and one of
 * its rows), and a bare websocket server that sends the same bytes to as many sockets of the same processes.
 */
import { Stage, type Audience } from './audience.js';
import { bareHops } from './bare-hops.js';
import { median, percentile, table } from './figures.js';
import { clockMs } from './processes.js';

const CASES = [
  { sockets: 1, rounds: 100 },
  { sockets: 5_000, rounds: 20 },
];
const WARM_UP = 5;

export async function live(): Promise<void> {
  const stage = await Stage.set();
  const hops = await bareHops();
  for (const { sockets, rounds } of CASES) {
    const audience = await stage.atGateway(sockets);
    await audience.subscribe();
    const bareAudience = await stage.atBareServer(sockets);
    const delaysMs = { gateway: [] as number[][], bare: [] as number[][], hops: [] as number[][] };
    for (let round = -WARM_UP; round < rounds; round++) {
      const { mark, answeredMs } = await stage.post();
      const gateway = await delaysOf(audience, mark, answeredMs);
      const start = clockMs();
      for (const hop of [hops.publish, hops.script, hops.read, hops.read]) await hop();
      const between = clockMs() - start;
      const { mark: bareMark, begunMs } = await stage.broadcast(await audience.lastText());
      const bare = await delaysOf(bareAudience, bareMark, begunMs);
      if (round < 0) continue;
      delaysMs.gateway.push(gateway);
      delaysMs.bare.push(bare);
      delaysMs.hops.push([between]);
    }
    await Promise.all([audience.close(), bareAudience.close()]);

    const of = (delays: number[][]) => [
      percentile(delays.flat(), 0.5),
      percentile(delays.flat(), 0.99),
      median(delays.map((ofOnePost) => Math.max(...ofOnePost))),
    ];
    const [between, bare, figures] = [of(delaysMs.hops), of(delaysMs.bare), of(delaysMs.gateway)];
    const floor = between.map((ms, i) => ms + bare[i]!);
    table(
      `From a mutation’s answer to the frame, ${sockets === 1 ? '1 subscriber' : `${sockets} subscribers`} (milliseconds)`,
      ['p50', 'p99', 'last *'],
      [
        ['  bare hops', ...between],
        ['  bare broadcast', ...bare],
        ['sum of both', ...floor],
        ['answer to frame', ...figures],
        ['ratio', ...figures.map((ms, i) => ms / floor[i]!)],
      ],
    );
  }
  console.log('* The last socket that a post got to: the median of the posts.\n');
  await hops.close();
  await stage.leave();
}

const delaysOf = async (audience: Audience, mark: number, sinceMs: number) =>
  (await audience.marked(mark)).map((arrivedMs) => arrivedMs - sinceMs);
