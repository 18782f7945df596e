/**
 * Many sockets in a process of their own, so that reading does not take the time of whoever is measured. They speak
 * graphql-transport-ws by hand, or nothing at all to the bare server. A text with `mark N.` in it is noted: when, and by how many.
 */
import { WebSocket } from 'ws';
import { answer, clockMs } from './processes.js';

/** Sockets that are opened at once. */
const AT_ONCE = 100;

export interface OpenRequest {
  url: string;
  /** One socket each: what it subscribes with. */
  subscriptions: { query: string; variables: object }[];
  /** Of the bare server: nothing is said. */
  isBare?: boolean;
}

class Group {
  readonly sockets: WebSocket[] = [];
  readonly arrivals = new Map<number, number[]>();
  /** Resolvers of those who wait for a mark. */
  readonly waiting = new Map<number, (arrivals: number[]) => void>();
  lastText = '';
  private isClosing = false;

  constructor(readonly request: OpenRequest) {}

  async open(): Promise<void> {
    const { subscriptions } = this.request;
    for (let from = 0; from < subscriptions.length; from += AT_ONCE) {
      await Promise.all(subscriptions.slice(from, from + AT_ONCE).map(() => this.openOne()));
    }
  }

  /** Begins all subscriptions; settles when all are live. */
  async subscribe(): Promise<void> {
    const { subscriptions } = this.request;
    for (let from = 0; from < subscriptions.length; from += AT_ONCE) {
      await Promise.all(
        subscriptions.slice(from, from + AT_ONCE).map(
          (payload, i) =>
            new Promise<void>((resolve) => {
              const socket = this.sockets[from + i]!;
              const isLive = (data: Buffer) => {
                if (!data.includes('TimelineLive')) return;
                socket.off('message', isLive);
                resolve();
              };
              socket.on('message', isLive);
              socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload }));
            }),
        ),
      );
    }
  }

  async marked(mark: number): Promise<number[]> {
    const arrivals = this.arrivals.get(mark) ?? [];
    if (arrivals.length === this.sockets.length) return arrivals;

    return new Promise((resolve) => this.waiting.set(mark, resolve));
  }

  async close(): Promise<void> {
    this.isClosing = true;
    const closed = Promise.all(this.sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve))));
    for (const socket of this.sockets) socket.close();
    await closed;
  }

  private async openOne(): Promise<void> {
    const { url, isBare } = this.request;
    const socket = new WebSocket(url, isBare ? [] : ['graphql-transport-ws'], { perMessageDeflate: false });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('open', () => {
        if (isBare) return resolve();
        socket.once('message', () => resolve());
        socket.send(JSON.stringify({ type: 'connection_init', payload: {} }));
      });
    });
    socket.once('close', (code, reason) => {
      if (!this.isClosing) throw new Error(`${url} closed a socket: ${code} ${reason.toString()}`);
    });
    socket.on('message', (data: Buffer) => this.arrived(data));
    this.sockets.push(socket);
  }

  private arrived(data: Buffer): void {
    const now = clockMs();
    const at = data.indexOf('mark ');
    if (at < 0) {
      // It would wait for a mark in vain.
      if (data.includes('TimelineReset') || data.includes('"errors"') || data.includes('"type":"error"')) throw new Error(data.toString());

      return;
    }
    const mark = Number.parseInt(data.toString('latin1', at + 5, at + 15), 10);
    const arrivals = this.arrivals.get(mark) ?? [];
    if (arrivals.length === 0) {
      this.arrivals.set(mark, arrivals);
      this.lastText = data.toString();
    }
    arrivals.push(now);
    if (arrivals.length === this.sockets.length) this.waiting.get(mark)?.(arrivals);
  }
}

const groups = new Map<string, Group>();

answer({
  open: async ({ group, ...request }: OpenRequest & { group: string }) => {
    const opened = new Group(request);
    groups.set(group, opened);
    await opened.open();
  },
  subscribe: ({ group }: { group: string }) => groups.get(group)!.subscribe(),
  /** Settles with when the text arrived at each of the group's sockets, once it has at all. */
  marked: ({ group, mark }: { group: string; mark: number }) => groups.get(group)!.marked(mark),
  lastText: ({ group }: { group: string }) => groups.get(group)!.lastText,
  close: async ({ group }: { group: string }) => {
    await groups.get(group)?.close();
    groups.delete(group);
  },
});
