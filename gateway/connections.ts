/**
 * All connections of a gateway, whichever door they came through: how many there may be, in all and from one address, and which of them
 * are closed so that others get in. What a connection may keep waiting, or leave unread, has a bound here too, so that clients who are
 * slow, or pretend to be, cost a bounded amount of memory.
 */
import { readFileSync } from 'node:fs';
import { IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '../shared/log.js';
import { Crowd, Places } from './crowd.js';
import { Intake } from './intake.js';
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
/**
 * Of bodies that are on their way, as they say how long they are. One of which that is not known counts as the longest that there may be. (What is read
 * takes up to twice that in memory.)
 */
const MAX_BYTES_OF_BODIES = 16 * 1024 * 1024;
export const MAX_BODY_BYTES = 256 * 1024;
/** Of a body that comes whole with its header, or nearly: its connection need not be read in turns. */
const MAX_BYTES_UNWATCHED = 16 * 1024;
/**
 * Pieces in which a body comes: so many, and one more for so many bytes. Each is kept until the last has come, in a few hundred bytes, however short it is, so a
 * body in chunks of one byte took 300 times its length. (The smallest packets that are usual carry 500 bytes, and reading in turns cuts what comes every 4 KiB.)
 */
const MAX_PIECES_OF_ANY_BODY = 128;
const BYTES_OF_A_PIECE = 512;
const IN_TOO_MANY_PIECES = 'in too many pieces';
/** What was sent, and not read: of all connections together, whatever it was. One client's is bounded by what it may ask for. */
const MAX_BYTES_UNREAD = 64 * 1024 * 1024;
/** What is added between two looks may be many times the bound, so after so many bytes there is another look. */
const MAX_BYTES_BETWEEN_LOOKS = 16 * 1024 * 1024;
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

/** A request of which the pieces are counted. (Node's HTTP server makes each that comes, and pushes its body into it.) */
export class CountedMessage extends IncomingMessage {
  private pieces = 0;

  override push(piece: unknown, encoding?: BufferEncoding): boolean {
    this.pieces += 1;
    if (piece === null || this.pieces <= MAX_PIECES_OF_ANY_BODY || this.pieces <= maxPiecesOf(this)) return super.push(piece, encoding);
    skipRest(this.socket);
    this.socket.emit(IN_TOO_MANY_PIECES);

    return false;
  }
}

/** Node's, of a connection: what it calls with each piece of a body stands under a number. */
interface Parser {
  constructor: { kOnBody?: number };
  [callback: number]: unknown;
}

/**
 * What was read of the connection already, up to 64 KiB, is parsed to its end, though the connection is closed: ten thousand pieces, in 15 ms. Without the
 * callback it takes next to nothing. (Node has no public way to stop its parser; `pause` has no effect then.)
 */
function skipRest(socket: Socket): void {
  const { parser } = socket as Socket & { parser?: Parser | null };
  const onBody = parser?.constructor.kOnBody;
  if (!parser || onBody === undefined) return;
  const handOn = parser[onBody];
  if (!handOn) return;
  parser[onBody] = null;
  // Another connection gets this parser when this one has closed; Node's own listener for that comes after this one.
  socket.prependOnceListener('close', () => (parser[onBody] = handOn));
}

export class Connections {
  readonly max: number;
  /** Of websockets and event streams. */
  readonly live: Places;
  private readonly connections = new WeakMap<object, Connection>();
  private readonly counts = new Map<string, number>();
  private count = 0;
  /** All without a request under way may be closed at any time: first those without any so far, where a header that is not complete is none. */
  private readonly silent = new Crowd<Connection>();
  private readonly idle = new Crowd<Connection>();
  /** Those of proxies that are trusted are closed last. */
  private readonly idleOfProxies = new Crowd<Connection>();
  private readonly busy = new Set<Connection>();
  /** Their requests were upgraded: websockets. */
  private readonly upgraded = new Set<Connection>();
  private sentBytes = 0;
  /** Those of them whose request has a body that was not seen to be complete. */
  private readonly incomplete = new Crowd<Connection>();
  private readonly incompleteOfProxies = new Crowd<Connection>();
  private bodyBytes = 0;
  private intake: Intake | null = null;
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

  /**
   * Has the server's connections counted. Those of other listening sockets come by the event `connection` too.
   * @param server whose option `IncomingMessage` is `CountedMessage`
   */
  of(server: Server): void {
    // A connection is not read before its turn.
    Object.assign(server, { pauseOnConnect: true });
    const intake = new Intake(server);
    this.intake = intake;
    server.on('connection', (socket: Socket) => this.admit(socket, intake));
    server.on('upgrade', ({ socket }: IncomingMessage) => {
      const connection = this.connections.get(socket);
      if (!connection || connection.isGone) return;
      this.idleOf(connection).delete(connection.address, connection);
      this.upgraded.add(connection);
    });
  }

  /** `handle`, but of each connection one request at a time: the next begins when the answer to the one before it has been taken. */
  inTurn(handle: RequestListener): RequestListener {
    return (request, response) => {
      const connection = this.connections.get(request.socket);
      if (!connection || connection.isGone) return void request.socket.destroy();
      const begin = () => this.begin(connection, request, response, handle);
      if (!connection.underWay && connection.waiting.length === 0) return begin();
      if (connection.waiting.length >= MAX_PIPELINED) return this.closeAndSuspect(connection);
      // Hardly anybody sends a request before the one before it is answered, but who wants to send many.
      this.intake?.watch(connection.socket);
      connection.waiting.push(begin);
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
    this.intake?.stop();
  }

  private admit(socket: Socket, intake: Intake): void {
    const { site: address, isProxy } = this.origins.peerOf(socket);
    const its = this.counts.get(address) ?? 0;
    if (!isProxy && its >= (this.max * MAX_PERCENT_OF_ONE) / 100) return void socket.destroy();
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
    socket.once('close', () => this.gone(connection));
    socket.once(IN_TOO_MANY_PIECES, () => this.closeAndSuspect(connection));
    // Until then it is we who keep it waiting, whatever has come on it.
    intake.add(socket, address, () => this.isRead(connection));
  }

  private isRead(connection: Connection): void {
    if (this.silent.size >= MAX_SILENT) this.closeIdle();
    this.silent.add(connection.address, connection);
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
    this.upgraded.delete(connection);
    this.bodyBytes -= connection.underWay?.bodyBytes ?? 0;
    this.incompleteOf(connection).delete(address, connection);
    connection.waiting = [];
  }

  private begin(connection: Connection, request: IncomingMessage, response: ServerResponse, handle: RequestListener): void {
    const bodyBytes = bytesExpected(request);
    connection.underWay = { request, response, bodyBytes };
    connection.answeredAt = null;
    this.idleOf(connection).delete(connection.address, connection);
    connection.hasAsked = true;
    this.busy.add(connection);
    if (bodyBytes > MAX_BYTES_UNWATCHED || this.intake?.isSuspected(connection.address)) this.intake?.watch(connection.socket);
    if (bodyBytes > 0) {
      this.incompleteOf(connection).add(connection.address, connection);
      this.bodyBytes += bodyBytes;
      // Of short ones it is only seen when there is too much of them.
      if (bodyBytes > MAX_BYTES_UNWATCHED)
        request.once('end', () => connection.underWay?.request === request && this.cameWhole(connection));
      if (this.bodyBytes > MAX_BYTES_OF_BODIES) this.makeRoomFor(connection);
    }
    response.once('close', () => this.answered(connection));
    handle(request, response);
  }

  private answered(connection: Connection): void {
    this.cameWhole(connection);
    connection.underWay = null;
    this.busy.delete(connection);
    if (connection.isGone || connection.socket.destroyed) return;
    if (connection.waiting.length > 0) return this.intake!.beginNext(connection.socket, () => connection.waiting.shift()?.());
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
    const incomplete = this.oldestIncomplete();
    if (incomplete) {
      this.closeAndSuspect(incomplete);
      return true;
    }
    for (const connection of this.busy) {
      if (connection.answeredAt === null) continue;
      this.close(connection);
      return true;
    }

    return false;
  }

  /** Whoever opens many drives out its own. */
  private makeRoomFor(connection: Connection): void {
    let oldest = this.oldestIncomplete(connection);
    while (oldest && this.bodyBytes > MAX_BYTES_OF_BODIES) {
      this.closeAndSuspect(oldest);
      oldest = this.oldestIncomplete(connection);
    }
  }

  /**
   * Of the site that has most of them.
   * @param except the one that has just begun
   */
  private oldestIncomplete(except?: Connection): Connection | null {
    for (const crowd of [this.incomplete, this.incompleteOfProxies]) {
      for (let oldest = crowd.oldestOfMost(); oldest && oldest !== except; oldest = crowd.oldestOfMost()) {
        if (oldest.underWay?.request.complete === false) return oldest;
        this.cameWhole(oldest);
      }
    }

    return null;
  }

  /** Whoever takes in what has come whole counts it from then on, if it is large (`LargeRequests`). */
  private cameWhole(connection: Connection): void {
    this.incompleteOf(connection).delete(connection.address, connection);
    const { underWay } = connection;
    if (!underWay || connection.isGone) return;
    this.bodyBytes -= underWay.bodyBytes;
    underWay.bodyBytes = 0;
  }

  private incompleteOf({ isProxy }: Connection): Crowd<Connection> {
    return isProxy ? this.incompleteOfProxies : this.incomplete;
  }

  /** Closes one whose client has asked for more than it may. */
  cutOff(socket: object): void {
    const connection = this.connections.get(socket);
    if (connection) this.closeAndSuspect(connection);
  }

  /** Its client has asked for more than it may. Of a proxy that is trusted nobody knows whose fault it was. */
  private closeAndSuspect(connection: Connection): void {
    if (!connection.isProxy) this.intake?.suspect(connection.address);
    this.close(connection);
  }

  /** It counts no more from now on: the system tells of its end only later, when many more may have come. */
  private close(connection: Connection): void {
    this.gone(connection);
    connection.socket.destroy();
  }

  /** So much was sent to a client that may not read it soon. */
  sent(bytes: number): void {
    this.sentBytes += bytes;
    if (this.sentBytes > MAX_BYTES_BETWEEN_LOOKS) this.look();
  }

  private look(): void {
    this.sentBytes = 0;
    const now = performance.now();
    const readers: { connection: Connection; site: unknown; bytes: number }[] = [];
    let unread = 0;
    const bytesOf = new Map<unknown, number>();
    for (const connections of [this.busy, this.upgraded]) {
      for (const connection of connections) {
        const { socket, underWay, isProxy, address } = connection;
        if (underWay?.response.writableEnded) {
          connection.answeredAt ??= now;
          if (now - connection.answeredAt > ANSWER_DEADLINE_MS) this.close(connection);
        }
        const bytes = socket.writableLength;
        if (bytes === 0 || connection.isGone) continue;
        unread += bytes;
        // Connections of a proxy that is trusted are many people's.
        const site = isProxy ? connection : address;
        bytesOf.set(site, (bytesOf.get(site) ?? 0) + bytes);
        readers.push({ connection, site, bytes });
      }
    }
    if (unread <= MAX_BYTES_UNREAD) return;
    this.log.warn({ unread }, 'too much waits to be read by clients, closing connections of the sites that have left most unread');
    readers.sort((a, b) => bytesOf.get(b.site)! - bytesOf.get(a.site)! || b.bytes - a.bytes);
    for (const { connection, bytes } of readers) {
      if (unread <= MAX_BYTES_UNREAD / 2) break;
      unread -= bytes;
      this.closeAndSuspect(connection);
    }
  }
}

/** How long a body is, by its header, or the longest that there may be. */
function bytesExpected({ headers }: IncomingMessage): number {
  if (headers['transfer-encoding'] !== undefined) return MAX_BODY_BYTES;

  return Math.min(MAX_BODY_BYTES, Number(headers['content-length'] ?? 0));
}

const maxPiecesOf = (request: IncomingMessage) => MAX_PIECES_OF_ANY_BODY + bytesExpected(request) / BYTES_OF_A_PIECE;

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
