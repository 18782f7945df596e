import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from './system.js';

/** Between a client and a gateway, on one port; what it loses, both sides see as a broken connection. */
export class LossyProxy {
  /** The next so many requests get to the gateway, but their answers are lost. */
  answersToLose = 0;
  /** The next so many requests do not get to the gateway. The proxy answers 503, and that it wants to be left alone for a second. */
  toRefuse = 0;
  /** POSTs that came, and websockets. */
  asked = 0;
  upgrades = 0;
  /** The consistency tokens of each POST, in order; null for none. */
  readonly tokens: (string | null)[] = [];
  private static readonly open: LossyProxy[] = [];
  private held: { arrived: () => void; released: Promise<void> } | null = null;
  private readonly clients = new Map<Socket, { isWebsocket: boolean }>();

  private constructor(
    private readonly server: Server,
    private readonly target: number,
    readonly url: string,
  ) {}

  static async to(target: number): Promise<LossyProxy> {
    const port = await freePort();
    const server = createServer({ noDelay: true }).listen(port, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new LossyProxy(server, target, `http://127.0.0.1:${port}/graphql`);
    server.on('connection', (client) => proxy.serve(client));
    LossyProxy.open.push(proxy);

    return proxy;
  }

  static async closeAll(): Promise<void> {
    await Promise.all(LossyProxy.open.splice(0).map((proxy) => proxy.close()));
  }

  /** The next answer is kept until it is released. */
  holdAnswers() {
    const [arrived, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    this.held = { arrived: arrived.resolve, released: released.promise };

    return { arrived: arrived.promise, release: released.resolve };
  }

  cut(): void {
    for (const client of this.clients.keys()) client.destroy();
  }

  /** As the gateway would, between two frames: there must be nothing on its way. */
  closeSockets(code: number): void {
    for (const [client, { isWebsocket }] of this.clients) if (isWebsocket) client.write(Buffer.from([0x88, 2, code >> 8, code & 255]));
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private serve(client: Socket): void {
    const gateway = connect({ port: this.target, host: '127.0.0.1', noDelay: true });
    const about = { isWebsocket: false };
    this.clients.set(client, about);
    client.on('data', (data) => {
      const head = data.toString('latin1');
      if (head.startsWith('POST ')) {
        this.asked += 1;
        this.tokens.push(/^x-cheeper-consistency: *(.*)\r$/im.exec(head)?.[1] ?? null);
      }
      if (head.startsWith('GET ')) {
        this.upgrades += 1;
        about.isWebsocket = true;
      }
      if (this.toRefuse > 0) {
        this.toRefuse -= 1;
        client.end('HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
      } else gateway.write(data);
    });
    gateway.on('data', (data) => {
      const { held } = this;
      if (about.isWebsocket) client.write(data);
      else if (this.answersToLose > 0) {
        this.answersToLose -= 1;
        client.destroy();
      } else if (held) {
        this.held = null;
        held.arrived();
        void held.released.then(() => client.write(data));
      } else client.write(data);
    });
    for (const [socket, other] of [
      [client, gateway],
      [gateway, client],
    ] as const) {
      socket.on('error', () => undefined); // Its close tells.
      socket.once('close', () => {
        other.destroy();
        this.clients.delete(client);
      });
    }
  }
}
