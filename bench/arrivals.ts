/**
 * An open model of clients, in a process of its own: requests arrive at a rate, whatever has become of the earlier ones. (Clients that wait
 * for their answers slow down with the server, and hide what happens to those who do not.) Bounded: who finds no free connection goes away.
 * Raw sockets, as the generator shares the machine with who is measured.
 */
import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { answer } from './processes.js';

export interface Arrivals {
  port: number;
  /** JSON of the body, and the value of `authorization`; without a body, a GET of the path. They are sent turn by turn. */
  requests: { body?: string; authorization: string; path?: string }[];
  seconds: number;
  /** Requests a second; or, in a closed model, how many clients there are who send the next when they have an answer. */
  rate?: number;
  clients?: number;
}

export interface Arrived {
  /** What came of them: `ok`, an error code, `lost`, or `no connection` (the generator's own bound). */
  counts: Record<string, number>;
  /** How long those took that were executed; those that were refused. */
  okMs: number[];
  refusedMs: number[];
  seconds: number;
}

const MAX_CONNECTIONS = 8_000;
const STEP_MS = 5;
const DRAIN_DEADLINE_MS = 15_000;

/** Of all sockets that listen, since they were last asked about. */
const heard = { frames: 0, resets: 0, closed: 0 };

answer({
  run,
  /** Sockets that subscribe, and only count what they hear; whoever was too slow goes on after the reset. */
  listen: async ({ port, sockets, query, variables }: { port: number; sockets: number; query: string; variables: object }) => {
    await Promise.all(
      Array.from(
        { length: sockets },
        () =>
          new Promise<void>((resolve) => {
            const socket = new WebSocket(`ws://127.0.0.1:${port}/graphql`, ['graphql-transport-ws'], { perMessageDeflate: false });
            socket.once('open', () => socket.send(JSON.stringify({ type: 'connection_init' })));
            socket.once('message', () => socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query, variables } })));
            socket.on('message', (data: Buffer) => {
              if (data.includes('TimelineLive')) resolve();
              heard.frames += 1;
              heard.resets += data.includes('TimelineReset') ? 1 : 0;
            });
            socket.on('error', () => undefined);
            socket.once('close', () => (heard.closed += 1));
          }),
      ),
    );
  },
  heard: () => {
    const since = { ...heard };
    Object.assign(heard, { frames: 0, resets: 0, closed: 0 });

    return since;
  },
});

async function run({ port, requests, seconds, rate, clients }: Arrivals): Promise<Arrived> {
  const texts = requests.map(({ body, authorization, path = '/graphql' }) =>
    [
      `${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1`,
      'host: 127.0.0.1',
      ...(authorization ? [`authorization: ${authorization}`] : []),
      ...(body === undefined ? [] : ['content-type: application/json', `content-length: ${Buffer.byteLength(body)}`]),
      '',
      body ?? '',
    ].join('\r\n'),
  );
  const arrived: Arrived = { counts: {}, okMs: [], refusedMs: [], seconds: 0 };
  const count = (what: string) => (arrived.counts[what] = (arrived.counts[what] ?? 0) + 1);
  const free: Connection[] = [];
  let open = 0;
  let underWay = 0;
  let sent = 0;
  let isOver = false;
  const begun = performance.now();
  const send = () => {
    let connection = free.pop();
    if (!connection) {
      if (open >= MAX_CONNECTIONS) return count('no connection');
      open += 1;
      connection = new Connection(port, () => (open -= 1));
    }
    const sentAt = performance.now();
    underWay += 1;
    const its = connection;
    its.ask(texts[sent++ % texts.length]!, (what) => {
      underWay -= 1;
      count(what);
      const tookMs = performance.now() - sentAt;
      if (what === 'ok') arrived.okMs.push(tookMs);
      else if (what === 'OVERLOADED') arrived.refusedMs.push(tookMs);
      if (what !== 'lost') free.push(its);
      if (clients && !isOver) send();
    });
  };
  if (clients) for (let i = 0; i < clients; i++) send();
  let came = 0;
  const timer = setInterval(() => {
    const due = rate ? Math.floor((rate * Math.min(performance.now() - begun, seconds * 1_000)) / 1_000) : 0;
    for (; came < due; came++) send();
  }, STEP_MS);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  clearInterval(timer);
  isOver = true;
  arrived.seconds = (performance.now() - begun) / 1_000;
  const deadline = performance.now() + DRAIN_DEADLINE_MS;
  while (underWay > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
  if (underWay > 0) arrived.counts['no answer'] = underWay;
  for (const connection of free) connection.close();

  return arrived;
}

/** One request at a time. */
class Connection {
  private readonly socket: Socket;
  private text = '';
  private done: ((what: string) => void) | null = null;

  constructor(port: number, onGone: () => void) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (data: string) => this.take(data));
    this.socket.on('error', () => undefined);
    this.socket.once('close', () => {
      onGone();
      this.settle('lost');
    });
  }

  ask(text: string, done: (what: string) => void): void {
    this.done = done;
    this.socket.write(text);
  }

  close(): void {
    this.socket.destroy();
  }

  private take(data: string): void {
    this.text += data;
    const end = this.text.indexOf('\r\n\r\n');
    if (end < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(this.text)?.[1]);
    if (this.text.length < end + 4 + length) return;
    const body = this.text.slice(end + 4);
    this.text = '';
    this.settle(/"code":"([A-Z_]+)"/.exec(body)?.[1] ?? (body.includes('"ACCEPTED"') ? 'ACCEPTED' : 'ok'));
  }

  private settle(what: string): void {
    const { done } = this;
    this.done = null;
    done?.(what);
  }
}
