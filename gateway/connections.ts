/**
 * All connections of a gateway, whichever door they came through: how many there may be, in all and from one address, and which of them
 * are closed so that others get in. What a connection may keep waiting, or leave unread, has a bound here too, so that clients who are
 * slow, or pretend to be, cost a bounded amount of memory.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '../shared/log.js';
import { Crowd, Places } from './crowd.js';
import type { Origins } from './origins.js';

/** Of all kinds. If the process may not open so many files, there are fewer. */
const MAX_CONNECTIONS = 25_600;
/** Files that the process has open besides: its stores' connections, the doors. */
const OTHER_FILES = 256;
/** Of all connections, in percent, from one address. Proxies that are trusted may have all: addresses of theirs are many people's. */
const MAX_PERCENT_OF_ONE = 60;
/** Those on which no request has come yet, not even its header. Each costs some 25 KB, and who has something to ask does so at once. */
const MAX_SILENT = 2_000;
/** Those between two requests. Whoever comes back opens another. */
const MAX_IDLE = 10_000;
/** Of all connections, in percent, that may be websockets or event streams: the others are for who comes and asks. */
const MAX_PERCENT_LIVE = 80;
/** Closed at once when there is no place left: whoever fills all places goes on. */
const MAX_CLOSED_AT_ONCE = 64;
/** Requests on a connection that came before the one under way was answered. */
const MAX_PIPELINED = 16;
/** Of requests under way, as they say how long they are. A body of which that is not known counts as the longest that there may be. */
const MAX_BYTES_OF_BODIES = 32 * 1024 * 1024;
export const MAX_BODY_BYTES = 256 * 1024;
/** What has been answered, and is not taken: of all connections together. */
const MAX_BYTES_UNTAKEN = 32 * 1024 * 1024;
/** For an answer to be taken whole. Event streams are no answers that are whole. */
const ANSWER_DEADLINE_MS = 60_000;
const LOOK_MS = 250;
const ERROR_LOG_MS = 10_000;

interface Connection {
  socket: Socket;
  address: string;
  isProxy: boolean;
  /** The request under way: the first that is not answered. */
  underWay: { request: IncomingMessage; response: ServerResponse; bodyBytes: number } | null;
  /** What begins those after it, one after another. */
  waiting: (() => void)[];
  hasAsked: boolean;
  /** It has ended, or is about to. */
  isGone: boolean;
  /** On `performance.now`'s clock: when the answer was seen to be complete, and not taken. */
  answeredAt: number | null;
}

export class Connections {
  readonly max: number;
  /** Of websockets and event streams. */
  readonly live: Places;
  private readonly connections = new WeakMap<Socket, Connection>();
  private readonly counts = new Map<string, number>();
  private count = 0;
  /** All without a request under way may be closed at any time: first those without any so far, where a header that is not complete is none. */
  private readonly silent = new Crowd<Connection>();
  private readonly idle = new Crowd<Connection>();
  /** Those of proxies that are trusted are closed last. */
  private readonly idleOfProxies = new Crowd<Connection>();
  private readonly busy = new Set<Connection>();
  /** Those of them whose request has a body; it may have come long since. */
  private readonly withBody = new Set<Connection>();
  private bodyBytes = 0;
  private lastErrorAt = -Infinity;
  private readonly looking = setInterval(() => this.look(), LOOK_MS).unref();

  constructor(
    private readonly origins: Origins,
    private readonly log: Logger,
    max = Math.min(MAX_CONNECTIONS, filesOfProcess() - OTHER_FILES),
  ) {
    this.max = Math.max(1, max);
    this.live = new Places(Math.floor((this.max * MAX_PERCENT_LIVE) / 100));
  }

  /** Has the server's connections counted. Those of other listening sockets come by the event `connection` too. */
  of(server: Server): void {
    server.on('connection', (socket: Socket) => this.admit(socket));
    server.on('upgrade', ({ socket }: IncomingMessage) => {
      const connection = this.connections.get(socket);
      if (connection) this.idleOf(connection).delete(connection.address, connection);
    });
  }

  /** `handle`, but of each connection one request at a time: the next begins when the answer to the one before it has been taken. */
  inTurn(handle: RequestListener): RequestListener {
    return (request, response) => {
      const connection = this.connections.get(request.socket);
      if (!connection) return void request.socket.destroy();
      const begin = () => this.begin(connection, request, response, handle);
      if (!connection.underWay) begin();
      else if (connection.waiting.length < MAX_PIPELINED) connection.waiting.push(begin);
      else request.socket.destroy();
    };
  }

  /** The system could not take on a connection: it, or this process, has no file left to open, say. The next may be. */
  failed(error: Error): void {
    this.closeIdle();
    const now = performance.now();
    if (now - this.lastErrorAt < ERROR_LOG_MS) return;
    this.lastErrorAt = now;
    this.log.error({ err: error }, 'could not take on a connection');
  }

  stop(): void {
    clearInterval(this.looking);
  }

  private admit(socket: Socket): void {
    const { site: address, isProxy } = this.origins.peerOf(socket);
    const its = this.counts.get(address) ?? 0;
    if (!isProxy && its >= (this.max * MAX_PERCENT_OF_ONE) / 100) return void socket.destroy();
    if (this.silent.size >= MAX_SILENT) this.closeIdle();
    if (this.count >= this.max && !this.closeIdle() && !this.closeSlow()) return void socket.destroy();
    const connection: Connection = {
      socket,
      address,
      isProxy,
      underWay: null,
      waiting: [],
      hasAsked: false,
      isGone: false,
      answeredAt: null,
    };
    this.counts.set(address, its + 1);
    this.count += 1;
    this.connections.set(socket, connection);
    this.idleOf(connection).add(address, connection);
    socket.once('close', () => this.gone(connection));
  }

  private gone(connection: Connection): void {
    if (connection.isGone) return;
    connection.isGone = true;
    const { address } = connection;
    const left = this.counts.get(address)! - 1;
    if (left > 0) this.counts.set(address, left);
    else this.counts.delete(address);
    this.count -= 1;
    this.idleOf(connection).delete(address, connection);
    this.busy.delete(connection);
    if (this.withBody.delete(connection)) this.bodyBytes -= connection.underWay!.bodyBytes;
    connection.waiting = [];
  }

  private begin(connection: Connection, request: IncomingMessage, response: ServerResponse, handle: RequestListener): void {
    const bodyBytes = Math.min(MAX_BODY_BYTES, bytesSaid(request));
    connection.underWay = { request, response, bodyBytes };
    connection.answeredAt = null;
    this.idleOf(connection).delete(connection.address, connection);
    connection.hasAsked = true;
    this.busy.add(connection);
    if (bodyBytes > 0) {
      this.withBody.add(connection);
      this.bodyBytes += bodyBytes;
      if (this.bodyBytes > MAX_BYTES_OF_BODIES) this.closeIncomplete(connection);
    }
    response.once('close', () => this.answered(connection));
    handle(request, response);
  }

  private answered(connection: Connection): void {
    const { bodyBytes } = connection.underWay!;
    connection.underWay = null;
    this.busy.delete(connection);
    if (this.withBody.delete(connection)) this.bodyBytes -= bodyBytes;
    if (connection.isGone || connection.socket.destroyed) return;
    const next = connection.waiting.shift();
    if (next) return next();
    if (this.idle.size + this.idleOfProxies.size >= MAX_IDLE) this.closeIdle();
    this.idleOf(connection).add(connection.address, connection);
  }

  private idleOf({ isProxy, hasAsked }: Connection): Crowd<Connection> {
    if (!hasAsked) return this.silent;

    return isProxy ? this.idleOfProxies : this.idle;
  }

  /** Closes some that nobody uses, of those who have most of them. */
  private closeIdle(): boolean {
    const of = [this.silent, this.idle].find(({ size }) => size > 0) ?? this.idleOfProxies;
    let closed = 0;
    for (; closed < MAX_CLOSED_AT_ONCE; closed++) {
      const connection = of.oldestOfMost(closed === 0 ? 0 : 1);
      if (!connection) break;
      this.close(connection);
    }

    return closed > 0;
  }

  /** Closes one whose request is not complete, or else one whose answer is not taken: the one that has been at it for longest. */
  private closeSlow(): boolean {
    if (this.closeIncomplete()) return true;
    for (const connection of this.busy) {
      if (connection.answeredAt === null) continue;
      this.close(connection);
      return true;
    }

    return false;
  }

  private closeIncomplete(except?: Connection): boolean {
    for (const connection of this.withBody) {
      if (connection === except || connection.underWay?.request.complete !== false) continue;
      this.close(connection);
      return true;
    }

    return false;
  }

  /** It counts no more from now on: the system tells of its end only later, when many more may have come. */
  private close(connection: Connection): void {
    this.gone(connection);
    connection.socket.destroy();
  }

  private look(): void {
    const now = performance.now();
    const slow: Connection[] = [];
    let untaken = 0;
    for (const connection of this.busy) {
      const { socket, underWay } = connection;
      if (!underWay!.response.writableEnded) continue;
      connection.answeredAt ??= now;
      untaken += socket.writableLength;
      if (now - connection.answeredAt > ANSWER_DEADLINE_MS) this.close(connection);
      else slow.push(connection);
    }
    if (untaken <= MAX_BYTES_UNTAKEN) return;
    this.log.warn({ untaken }, 'too much of answers waits to be taken, closing those who take least');
    for (const connection of slow.sort((a, b) => b.socket.writableLength - a.socket.writableLength)) {
      if (untaken <= MAX_BYTES_UNTAKEN / 2) break;
      untaken -= connection.socket.writableLength;
      this.close(connection);
    }
  }
}

/** How long a body is, by its header; `Infinity` where that does not say. */
function bytesSaid({ headers }: IncomingMessage): number {
  if (headers['transfer-encoding'] !== undefined) return Infinity;

  return Number(headers['content-length'] ?? 0);
}

/** How many files this process may have open. */
function filesOfProcess(): number {
  try {
    const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];

    return Number(soft) || Infinity;
  } catch {
    // There is none but on Linux.
    return Infinity;
  }
}
