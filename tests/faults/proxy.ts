/**
 * A TCP proxy that stands for the network between two processes, and does to it what networks do: it cuts connections, loses all that
 * is sent (in both directions or in one), or delays it.
 *
 * What is lost is lost as it is for TCP: nobody hears of it, not even that the other side has gone, and when the network is healed it
 * is sent again.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** `up`: from those who connect to the server. */
export type Direction = 'up' | 'down';

export class Proxy {
  private readonly links = new Set<Link>();
  private isCut = false;
  private readonly held = new Set<Direction>();
  private delayMs = 0;

  private constructor(
    private readonly server: Server,
    private readonly targetPort: number,
  ) {
    server.on('connection', (client) => this.accept(client));
  }

  /** On a port of its own of 127.0.0.1, to a port of 127.0.0.1. */
  static async start(targetPort: number, port = 0): Promise<Proxy> {
    // Who has said all that it has to say may still be answered; what is not to come yet is not read.
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });

    return new Proxy(server, targetPort);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Resets all connections, and each new one. */
  cut(): void {
    this.isCut = true;
    for (const link of this.links) link.reset();
  }

  /** Loses what is sent, until healed. New connections are taken, and come to nothing. */
  hold(directions: Direction[]): void {
    for (const direction of directions) this.held.add(direction);
    this.update();
  }

  /** Everything comes later by so much. */
  delay(ms: number): void {
    this.delayMs = ms;
    this.update();
  }

  heal(): void {
    this.isCut = false;
    this.held.clear();
    this.delayMs = 0;
    this.update();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private update(): void {
    for (const link of this.links) link.set(this.held, this.delayMs);
  }

  private accept(client: Socket): void {
    if (this.isCut) {
      client.on('error', () => undefined);
      client.resetAndDestroy();
      return;
    }
    const link = new Link(client, this.targetPort, () => this.links.delete(link));
    this.links.add(link);
    link.set(this.held, this.delayMs);
  }
}

/** One connection. */
class Link {
  private readonly server: Socket;
  private readonly up: Flow;
  private readonly down: Flow;

  constructor(
    private readonly client: Socket,
    port: number,
    private readonly onGone: () => void,
  ) {
    this.server = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
    this.up = new Flow(client, this.server, () => this.reset());
    this.down = new Flow(this.server, client, () => this.reset());
    const onClose = () => {
      if (client.destroyed && this.server.destroyed) onGone();
    };
    client.on('close', onClose);
    this.server.on('close', onClose);
  }

  set(held: ReadonlySet<Direction>, delayMs: number): void {
    this.up.set(held.has('up'), delayMs);
    this.down.set(held.has('down'), delayMs);
  }

  reset(): void {
    this.up.end();
    this.down.end();
    for (const socket of [this.client, this.server]) {
      // Node does not survive its own end with a socket that is reset while it is being shut down.
      if (socket.writableEnded) socket.destroy();
      else if (!socket.destroyed) socket.resetAndDestroy();
    }
    this.onGone();
  }
}

/** `end`: it has said all that it has to say. `reset`: it is gone. */
type Item = Buffer | 'end' | 'reset';

/** One direction of a connection. */
class Flow {
  /** What has come, and when it is to go on. */
  private items: { item: Item; due: number }[] = [];
  private isHeld = false;
  private isFull = false;
  private delayMs = 0;
  private timer: NodeJS.Timeout | null = null;
  private isOver = false;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly reset: () => void,
  ) {
    from.on('data', (data) => this.take(data));
    from.on('end', () => this.take('end'));
    from.on('error', () => this.take('reset'));
    to.on('drain', () => {
      this.isFull = false;
      this.flush();
    });
  }

  set(isHeld: boolean, delayMs: number): void {
    this.isHeld = isHeld;
    this.delayMs = delayMs;
    this.flush();
  }

  end(): void {
    this.isOver = true;
    this.items = [];
    if (this.timer) clearTimeout(this.timer);
  }

  private take(item: Item): void {
    if (this.isOver) return;
    this.items.push({ item, due: performance.now() + this.delayMs });
    this.flush();
  }

  /** Sends on what is due, and reads no more than there is room for. */
  private flush(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    while (!this.isHeld && !this.isFull && !this.isOver && this.items.length > 0) {
      const { item, due } = this.items[0]!;
      const waitMs = due - performance.now();
      if (this.delayMs > 0 && waitMs > 0) {
        this.timer = setTimeout(() => this.flush(), waitMs);
        break;
      }
      this.items.shift();
      if (item === 'reset') return this.reset();
      if (item === 'end') this.to.end();
      else this.isFull = !this.to.write(item);
    }
    if (this.isOver) return;
    if (this.isHeld || this.isFull) this.from.pause();
    else this.from.resume();
  }
}
