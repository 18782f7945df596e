/** A websocket without a client's manners: sends what it is told to, and shows what comes, in order. */
import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';

export interface Message {
  type: string;
  id?: string;
  payload?: unknown;
}

/** Of a `next`. */
export interface Result {
  data?: Record<string, unknown> | null;
  errors?: { message: string; extensions: Record<string, unknown> }[];
  extensions: { consistency: { token: string; position: string } };
}

export interface RawSocketOptions {
  protocols?: string[];
  headers?: Record<string, string>;
  /** The certificate of the server, in PEM, if nobody else vouches for it. */
  ca?: string | undefined;
}

const DEADLINE_MS = 60_000;

export class RawSocket {
  /** What came and was not yet asked for. */
  readonly unread: Message[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  private arrived: () => void = () => undefined;

  private constructor(readonly websocket: WebSocket) {
    websocket.on('message', (data: Buffer) => {
      this.unread.push(JSON.parse(data.toString()) as Message);
      this.arrived();
    });
    websocket.on('error', () => undefined); // Its close tells.
    this.closed = new Promise((resolve) => websocket.once('close', (code, reason) => resolve({ code, reason: reason.toString() })));
  }

  /** @throws the status code of an upgrade that is refused */
  static async open(url: string, { protocols = ['graphql-transport-ws'], headers = {}, ca }: RawSocketOptions = {}): Promise<RawSocket> {
    const websocket = new WebSocket(url.replace(/^http/, 'ws'), protocols, { headers, ...(ca ? { ca } : {}) });
    const socket = new RawSocket(websocket);
    await new Promise((resolve, reject) => {
      websocket.once('open', resolve);
      websocket.once('error', reject);
      websocket.once('unexpected-response', (_, response: IncomingMessage) => {
        response.resume();
        reject(new Error(String(response.statusCode)));
        websocket.terminate();
      });
    });

    return socket;
  }

  /** One that is acknowledged. */
  static async ready(url: string, payload?: Record<string, unknown>, options?: RawSocketOptions): Promise<RawSocket> {
    const socket = await RawSocket.open(url, options);
    socket.send({ type: 'connection_init', payload });
    const { type } = await socket.next();
    if (type !== 'connection_ack') throw new Error(`${type} came in place of connection_ack`);

    return socket;
  }

  send(message: object | string): void {
    this.websocket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  subscribe(id: string, query: string, variables?: Record<string, unknown>, extensions?: Record<string, unknown>): void {
    this.send({ id, type: 'subscribe', payload: { query, variables, extensions } });
  }

  complete(id: string): void {
    this.send({ id, type: 'complete' });
  }

  /** The next message that is not read. */
  async next(): Promise<Message> {
    const timeout = Promise.withResolvers<never>();
    const timer = setTimeout(() => timeout.reject(new Error(`no message within ${DEADLINE_MS} ms`)), DEADLINE_MS);
    try {
      while (this.unread.length === 0) {
        const arrived = new Promise<void>((resolve) => (this.arrived = resolve));
        const gone = this.closed.then(({ code, reason }) => {
          throw new Error(`closed: ${code} ${reason}`);
        });
        await Promise.race([arrived, gone, timeout.promise]);
      }
    } finally {
      clearTimeout(timer);
    }

    return this.unread.shift()!;
  }

  /** The next message, which is this operation's next result. */
  async result(id: string): Promise<Result> {
    const message = await this.next();
    if (message.type !== 'next' || message.id !== id) throw new Error(`not a result of ${id}: ${JSON.stringify(message)}`);

    return message.payload as Result;
  }

  /** The one result of an operation that has no more. */
  async only(id: string): Promise<Result> {
    const result = await this.result(id);
    const last = await this.next();
    if (last.type !== 'complete' || last.id !== id) throw new Error(`${id} is not complete: ${JSON.stringify(last)}`);

    return result;
  }

  /** What came before the answer to a ping that is sent now: all that the server had to say until then. */
  async untilNow(): Promise<Message[]> {
    const payload = { now: performance.now() };
    this.send({ type: 'ping', payload });
    const before: Message[] = [];
    for (;;) {
      const message = await this.next();
      if (message.type === 'pong' && (message.payload as typeof payload).now === payload.now) return before;
      before.push(message);
    }
  }

  close(): void {
    this.websocket.close(1000);
  }
}
