/**
 * How many frames a gateway sends for each second of a core: when all sockets subscribe with the same document (what is the same
 * for many is executed and encoded once), and when each has a document of its own. The floor is a bare websocket server that
 * sends the same bytes to as many sockets.
 */
import { OWN_DOCUMENT, SAME_DOCUMENT, Stage, type Audience } from './audience.js';
import { isQuick, table, type Comparison } from './figures.js';
import type { MeasuredProcess } from './processes.js';

const SOCKETS = 5_000;
/** Frames that are not shared cost so much more that fewer must do. */
const SOCKETS_WITH_OWN_DOCUMENTS = 1_000;
const POSTS = isQuick ? 15 : 30;
const WARM_UP = 5;
/** Between posts: a steady rate, whether or not the gateway keeps up. */
const INTERVAL_MS = 100;

export async function frames(): Promise<Comparison[]> {
  const stage = await Stage.set();
  const atGateway = async (sockets: number, document: (socket: number) => string) => {
    const audience = await stage.atGateway(sockets, document);
    await audience.subscribe();
    const figures = await measure(stage.gateway, audience, sockets, () => stage.post());
    const frame = await audience.lastText();
    await audience.close();

    return { ...figures, frame };
  };
  const atBareServer = async (frame: string) => {
    const audience = await stage.atBareServer(SOCKETS);
    const figures = await measure(stage.bare, audience, SOCKETS, () => stage.broadcast(frame));
    await audience.close();

    return figures;
  };
  const own = await atGateway(SOCKETS_WITH_OWN_DOCUMENTS, OWN_DOCUMENT);
  const same = await atGateway(SOCKETS, SAME_DOCUMENT);
  const bare = await atBareServer(same.frame);
  await stage.leave();

  const ratio = (floor: { perCpuSecond: number }) => (same.perCpuSecond / floor.perCpuSecond).toFixed(2);
  table(
    `Frames of ${same.frame.length} bytes that a gateway sends, ${1_000 / INTERVAL_MS} posts a second`,
    ['a core’s s', 'a second'],
    [
      [`bare server, ${SOCKETS} sockets`, bare.perCpuSecond, bare.perSecond],
      [`all the same document, ${SOCKETS} sockets`, same.perCpuSecond, same.perSecond],
      ['  ratio to the bare server', ratio(bare)],
      [`each socket its own, ${SOCKETS_WITH_OWN_DOCUMENTS} sockets`, own.perCpuSecond, own.perSecond],
      ['  ratio of the same to its own', ratio(own)],
    ],
    0,
  );

  return [
    {
      name: `frames a second of a core to ${SOCKETS} subscribers, beside a bare broadcast`,
      ratio: same.perCpuSecond / bare.perCpuSecond,
      aim: 0.5,
      aimIs: 'at least',
      runs: POSTS,
    },
  ];
}

async function measure(process: MeasuredProcess, audience: Audience, sockets: number, send: () => Promise<{ mark: number }>) {
  const sendAndArrive = async () => {
    await audience.marked((await send()).mark);
  };
  for (let i = 0; i < WARM_UP; i++) await sendAndArrive();
  const usedBeforeMs = await process.cpuMs();
  const begun = performance.now();
  const sent: Promise<void>[] = [];
  for (let i = 0; i < POSTS; i++) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, begun + i * INTERVAL_MS - performance.now())));
    sent.push(sendAndArrive());
  }
  await Promise.all(sent);
  const tookMs = performance.now() - begun;
  const usedMs = (await process.cpuMs()) - usedBeforeMs;

  return { perCpuSecond: (1_000 * sockets * POSTS) / usedMs, perSecond: (1_000 * sockets * POSTS) / tookMs };
}
