/**
 * Whose bytes are read next. Node reads whatever has come on all connections in one round of its loop, up to 64 KiB of each, and hands each
 * chunk to the HTTP parser whole: thousands of short requests, or hundreds of connections, would keep the process busy for hundreds of
 * milliseconds. Here a chunk is parsed in small pieces, and the time that takes is charged to the connection and its site. While the loop is
 * busy with reading, the connections of those who have used more than others are paused, and go on in turns; what they send waits in the system.
 *
 * A connection that is new is handed to the HTTP server in such a turn too, and is not read before. Most are then left to Node, whose own way from
 * the system to the parser takes a tenth less of a small request: those are watched whose site is suspected, whose body is long, or
 * who send a request before the one before it is answered.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { LRUCache } from 'lru-cache';
import { FairQueue } from '../shared/fair-queue.js';

/** Of a chunk, parsed at a time. The header of a request is seldom longer. */
const PIECE_BYTES = 4 * 1024;
/** In a round of the loop, for what is read without a turn, and for turns. */
const READ_MS = 2;
const MAX_TURNS_IN_A_ROUND = 16;
/** A connection that is new at its site stands behind those of it that have used less: else it would pay to open another for each request. */
const NEW_CONNECTION_MS = 1;
/** A site is suspected for so long after one of its connections was cut off: otherwise it would be free to open the next at once. */
const SUSPICION_MS = 1_000;
const MAX_SUSPECTED = 1_000;
/** Connections that are paused with something that they have sent, up to 128 KiB each; then one of the site that has most of them is closed. */
const MAX_HOLDING = 128;
/** Between two turns of those who are suspected, all of them together. */
const SUSPECTED_TURN_MS = 5;

/** A site, and one of the connections from there. */
type Key = readonly [site: string, connection: number];

interface Source {
  readonly socket: Socket;
  readonly key: Key;
  /** The HTTP server has it. */
  isServed: boolean;
  /** The HTTP server's, once the connection is watched; false when its bytes are not HTTP any more. */
  parse: ((chunk: Buffer) => void) | false | null;
  /** While `parse` is there. */
  listener: ((chunk: Buffer) => void) | null;
  /** What is to be parsed after the piece that is being parsed. */
  rest: Buffer | null;
  /** Of its requests, the next: it came before the one before it was answered. */
  next: (() => void) | null;
  /** It was paused here, or not begun, and nobody else has resumed it since; or its next request waits. */
  isWaiting: boolean;
  /** What comes next is read in any case. */
  hasTurn: boolean;
  isHolding: boolean;
  readonly onBegun: () => void;
}

export class Intake {
  private readonly waiting = new FairQueue<Source>([0, NEW_CONNECTION_MS]);
  /** They have turns of their own, however little else there is to do. */
  private readonly suspects = new FairQueue<Source>([0, NEW_CONNECTION_MS]);
  private readonly suspected = new LRUCache<string, true>({ max: MAX_SUSPECTED, ttl: SUSPICION_MS });
  private turnOfSuspects: NodeJS.Timeout | null = null;
  private readonly sources = new WeakMap<object, Source>();
  private readonly serve: (socket: Socket) => void;
  private seen = 0;
  private holding = 0;
  /** In this round of the loop. */
  private spentMs = 0;
  /** What may be spent until this round has no more turns; null before the first. */
  private turnsUntilMs: number | null = null;
  private isGoing = false;

  /** @param server whose connections are handed to it by this from now on, and not by its event `connection` */
  constructor(server: Server) {
    const [serve] = server.listeners('connection') as [(socket: Socket) => void];
    server.off('connection', serve);
    this.serve = (socket) => serve.call(server, socket);
    server.on('upgrade', ({ socket }) => this.upgraded(socket));
  }

  /** @param socket that is not read yet @param onBegun called when it is about to be */
  add(socket: Socket, site: string, onBegun: () => void = () => undefined): void {
    const source: Source = {
      socket,
      key: [site, ++this.seen],
      isServed: false,
      parse: null,
      listener: null,
      rest: null,
      next: null,
      isWaiting: false,
      hasTurn: false,
      isHolding: false,
      onBegun,
    };
    this.sources.set(socket, source);
    if (this.mayRead(source)) this.begin(source);
    else this.wait(source);
  }

  /** Begins a request that had to wait for the one before it: thousands of those that were read already may become free in one round of the loop. */
  beginNext(socket: Socket, request: () => void): void {
    const source = this.sources.get(socket);
    if (!source || this.mayRead(source)) return this.run(source, request);
    source.next = request;
    this.wait(source);
  }

  /** A connection of this site was cut off: its clients ask for more than they may. */
  suspect(site: string): void {
    this.suspected.set(site, true);
  }

  stop(): void {
    if (this.turnOfSuspects) clearTimeout(this.turnOfSuspects);
  }

  private run(source: Source | undefined, request: () => void): void {
    const begun = performance.now();
    request();
    if (source) this.spend(source, performance.now() - begun);
  }

  private mayRead({ key }: Source): boolean {
    if (this.suspected.has(key[0])) return false;
    if (this.waiting.isLevel(key)) return true;
    if (this.waiting.size > 0 || this.spentMs >= READ_MS) return false;
    this.waiting.pass(key);

    return true;
  }

  /** Does what it has sent wait in this process? A paused connection has up to 128 KiB here, before the system keeps the rest. */
  private holds(source: Source, isHolding: boolean): void {
    if (source.isHolding === isHolding) return;
    source.isHolding = isHolding;
    this.holding += isHolding ? 1 : -1;
    if (!isHolding || this.holding <= MAX_HOLDING) return;
    const line = this.suspects.size > this.waiting.size ? this.suspects : this.waiting;
    (line.pop() ?? source).socket.destroy();
  }

  private spend({ key }: Source, ms: number): void {
    this.spentMs += ms;
    this.waiting.charge(ms, key);
    if (this.suspected.has(key[0])) this.suspects.charge(ms, key);
    this.go();
  }

  private wait(source: Source): void {
    if (source.isWaiting) return;
    source.isWaiting = true;
    if (this.suspected.has(source.key[0])) {
      this.suspects.push(source, source.key);
      this.turnOfSuspects ??= setTimeout(this.nextSuspect, SUSPECTED_TURN_MS);
    } else {
      this.waiting.push(source, source.key);
      this.go();
    }
  }

  /** Hands it to the HTTP server. */
  private begin(source: Source): void {
    const { socket, key } = source;
    const begun = performance.now();
    source.onBegun();
    this.serve(socket);
    source.isServed = true;
    socket.resume();
    if (this.suspected.has(key[0])) this.watch(socket);
    this.spend(source, performance.now() - begun);
  }

  /** Its bytes come in turns from now on, but for those of the chunk that is being parsed. */
  watch(socket: Socket): void {
    const source = this.sources.get(socket);
    if (!source?.isServed || source.parse !== null) return;
    // A listener of ours makes Node give up reading the connection past us.
    const [parse] = socket.listeners('data') as [((chunk: Buffer) => void)?];
    // Who has been told to stop would not be told to go on, once Node does not read it by itself any more.
    if (!parse || socket.isPaused()) return;
    socket.off('data', parse);
    source.parse = parse;
    source.listener = (chunk) => this.take(source, chunk);
    socket.on('data', source.listener);
    socket.once('close', () => this.holds(source, false));
  }

  isSuspected(site: string): boolean {
    return this.suspected.has(site);
  }

  private take(source: Source, chunk: Buffer): void {
    const { socket } = source;
    let mayRead = source.hasTurn || this.mayRead(source);
    source.hasTurn = false;
    let at = 0;
    for (; at < chunk.length && source.parse && !socket.destroyed; at += PIECE_BYTES) {
      // The HTTP server does not want more of it now (`_paused` is its own mark, and it ends the process if it is fed all the same). What is paused by
      // somebody is resumed by them.
      if (socket.isPaused() || (socket as { _paused?: boolean })._paused) return void socket.unshift(chunk.subarray(at));
      if (!mayRead) {
        socket.pause();
        socket.unshift(chunk.subarray(at));
        this.holds(source, true);
        return this.wait(source);
      }
      source.isWaiting = source.next !== null;
      this.holds(source, false);
      const begun = performance.now();
      source.rest = chunk.subarray(at + PIECE_BYTES);
      source.parse(chunk.subarray(at, at + PIECE_BYTES));
      this.spend(source, performance.now() - begun);
      mayRead = this.mayRead(source);
    }
    source.rest = null;
  }

  /** Its bytes are somebody else's from now on. */
  private upgraded(socket: Socket): void {
    const source = this.sources.get(socket);
    if (!source) return;
    source.parse = false;
    if (!source.listener) return;
    socket.off('data', source.listener);
    if (source.rest?.length) socket.unshift(source.rest);
  }

  private go(): void {
    if (this.isGoing) return;
    this.isGoing = true;
    setImmediate(this.round);
  }

  private readonly round = () => {
    this.spentMs = 0;
    this.turnsUntilMs = null;
    this.isGoing = this.waiting.size > 0;
    if (!this.isGoing) return;
    // Each in a step of its own: what it reads at once is over before it is known whether there is time for another.
    for (let i = Math.min(this.waiting.size, MAX_TURNS_IN_A_ROUND); i > 0; i--) setImmediate(this.next);
    setImmediate(this.round);
  };

  private readonly next = () => {
    this.turnsUntilMs ??= this.spentMs + READ_MS;
    if (this.spentMs >= this.turnsUntilMs) return;
    this.turn(this.waiting);
  };

  private readonly nextSuspect = () => {
    this.turn(this.suspects);
    this.turnOfSuspects = this.suspects.size > 0 ? setTimeout(this.nextSuspect, SUSPECTED_TURN_MS) : null;
  };

  private turn(line: FairQueue<Source>): void {
    let source = line.shift();
    while (source && (source.socket.destroyed || !source.isWaiting)) source = line.shift();
    if (!source) return;
    const { socket, next, isHolding } = source;
    source.isWaiting = false;
    if (next) {
      source.next = null;
      this.run(source, next);
      // What comes behind it has a turn of its own.
      if (isHolding && !socket.destroyed) this.wait(source);
      return;
    }
    source.hasTurn = true;
    this.holds(source, false);
    if (source.isServed) socket.resume();
    else this.begin(source);
  }
}
