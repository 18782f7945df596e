/**
 * The lanes: commands are cut into parts by lane key, and each part is run by one process at a time, in order.
 *
 * A write-side process owns some lanes, and runs one transaction at a time over what is waiting in all of them: a lone
 * command pays nothing, a burst shares its commit. It owns a lane while its single MySQL connection holds the lane's named
 * lock, which is checked inside each transaction. Processes share the lanes evenly, by a second kind of lock that only says
 * how many of them there are.
 *
 * A lane has no checkpoint of its own: it follows what is left in the stream from the beginning, and the inbox knows what
 * was run (docs/decisions/0002). What was run is purged from the stream.
 *
 * An operator can pause a lane, and let it take single steps: that stands in the table `lanes`, and each batch looks there
 * (`batch.ts`). What is remembered of it here only spares batches that could not be run.
 */
import type { MikroORM } from '@mikro-orm/mysql';
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { ConfigError } from '../shared/config.js';
import { crashPoint } from '../shared/crash-point.js';
import { follow, pause, type Following } from '../shared/follow.js';
import { commandsStream, ensureStream, type Nats } from '../shared/jetstream.js';
import type { Logger } from '../shared/log.js';
import type { Outcome } from '../shared/messages/command.js';
import { lockNames, natsNames } from '../shared/names.js';
import { failOnConfigError } from '../shared/service.js';
import { checkHead, LanePausedError, LockLostError, runBatch, TAKE_STEPS, type Database, type Ran } from './batch.js';
import { connectAlone, createOrm, isDatabaseTrouble } from './database.js';
import { NO_HEAD, type StoredEntry } from './journal.js';
import { PARK, parkingRow } from './parked.js';
import { receive, type Received } from './received.js';
import { whereTheStreamStands } from './relay.js';

export interface LanesOptions {
  mysqlUrl: string;
  namespace: string;
  lanes: number;
  /** Commands in one transaction, at the most. */
  mostInABatch: number;
  nats: Nats;
  log: Logger;
  /** After a commit: what was journalled. */
  onCommitted(epoch: string, entries: StoredEntry[]): void;
}

export interface Lanes {
  waitsFor(): string[];
  stop(): Promise<void>;
}

/** Bytes in one transaction, at the most: what is parked goes to MySQL in one packet, twice as long. */
const MAX_BYTES_IN_A_BATCH = 2 * 1024 * 1024;
/** Commands of one lane that wait on this side, at the most; the others wait in the stream. */
const MAX_WAITING_IN_A_LANE = 256;
/** Keeps the connection (and so the locks) alive, and looks whether lanes have become free, or have been paused. */
const REBALANCE_MS = 500;
const RECONNECT_MS = 250;
const PURGE_MS = 100;
/** A command that fails alone this many times is parked. */
const MAX_ATTEMPTS = 5;

interface Lane {
  number: number;
  following: Following;
  waiting: Received[];
  /** Called when there is room again. */
  resume: (() => void) | null;
  opening: number;
  /** The sequence up to which everything was run of what this opening of the consumer brought; 0 for nothing. */
  handled: number;
  purged: number;
  /** How often NATS had been lost when its consumer was opened: since then the stream may have been rolled back. */
  timesLost: number;
}

export function startLanes(options: LanesOptions): Lanes {
  const lanes = new WriteLanes(options);
  const stopping = new AbortController();
  const done = lanes.run(stopping.signal);
  const control = options.nats.connection.subscribe(natsNames(options.namespace).control, { callback: () => lanes.look() });

  return {
    waitsFor: () => lanes.waitsFor(),
    stop: async () => {
      control.unsubscribe();
      stopping.abort();
      lanes.wake();
      await done;
    },
  };
}

class WriteLanes {
  private readonly owned = new Map<number, Lane>();
  private readonly names: ReturnType<typeof natsNames>;
  private readonly locks: ReturnType<typeof lockNames>;
  private readonly orm: MikroORM;
  private connection: Connection | null = null;
  private waitingFor = 'MySQL';
  private wakeUp: () => void = () => undefined;
  private rebalanceAt = 0;
  /** Lanes whose steps are counted, and how many they may still take: 0 for one that is paused. */
  private steps: ReadonlyMap<number, number> = new Map();
  private nextLane = 0;
  /** Commands in the next transaction, at the most: fewer after one that MySQL did not get done in time. */
  private mostInABatch: number;
  private openings = 0;

  constructor(private readonly options: LanesOptions) {
    this.names = natsNames(options.namespace);
    this.locks = lockNames(options.namespace);
    this.mostInABatch = options.mostInABatch;
    this.orm = createOrm(options.mysqlUrl, () => {
      if (!this.connection) throw new LockLostError('There is no connection.');
      return this.connection;
    });
  }

  waitsFor(): string[] {
    if (this.waitingFor) return [this.waitingFor];

    return [...this.owned.values()].every((lane) => lane.following.isOpen()) ? [] : [`stream ${this.names.commands}`];
  }

  wake(): void {
    this.wakeUp();
  }

  /** An operator has said something: it is looked up at once. */
  look(): void {
    this.rebalanceAt = 0;
    this.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { log, mysqlUrl } = this.options;
    while (!signal.aborted) {
      // Whoever cannot hear commands would only keep others from running them.
      if (!this.options.nats.isConnected()) {
        this.waitingFor = 'NATS';
        await pause(RECONNECT_MS, signal);
        continue;
      }
      try {
        this.connection = await connectAlone(mysqlUrl);
        // A slot first: whoever restores the database holds all of them.
        const slot = await this.takeSlot(this.connection);
        const database = await this.open(this.connection);
        log.info({ slot }, 'connected to MySQL');
        this.waitingFor = '';
        await this.work(database, signal);
        // Whoever owns these lanes next need not look up what was run here.
        await this.purge();
      } catch (error) {
        failOnConfigError(error);
        this.waitingFor = `${isDatabaseTrouble(error) ? 'MySQL' : 'the lanes'} (${(error as Error).message})`;
        log.error({ err: error }, 'the lanes stopped, connecting again');
      }
      await Promise.all([...this.owned.keys()].map((n) => this.abandon(n)));
      // Closing the connection gives all locks back.
      this.connection?.destroy();
      this.connection = null;
      if (!signal.aborted) await pause(RECONNECT_MS, signal);
    }
  }

  private async open(connection: Connection): Promise<Database> {
    const { lanes, nats, namespace, log } = this.options;
    await connection.query('UPDATE journal_head SET lanes = ? WHERE id = 1 AND lanes IS NULL', [lanes]);
    const [[head]] = await connection.query<RowDataPacket[]>('SELECT epoch, position, lanes FROM journal_head WHERE id = 1');
    if (!head) throw new Error(NO_HEAD);
    if (head.lanes !== lanes) throw new ConfigError(`The journal was begun with LANES=${head.lanes}, and this process has LANES=${lanes}`);
    await connection.query('INSERT IGNORE INTO lanes (lane) VALUES ?', [Array.from({ length: lanes }, (_, n) => [n])]);
    const epoch = head.epoch as string;
    // MySQL may have been restored: what was published since then would get other entries in its place. Without NATS there is
    // nothing to run anyway.
    await whereTheStreamStands(nats, connection, namespace, epoch, log);

    return { connection, orm: this.orm, epoch, newest: Number(head.position) };
  }

  /** One lock for each process, so that they can count each other. */
  private async takeSlot(connection: Connection): Promise<number> {
    for (let slot = 0; slot < this.options.lanes; slot++) {
      const [[row]] = await connection.query<RowDataPacket[]>('SELECT GET_LOCK(?, 0) AS got', [this.locks.writer(slot)]);
      if (Number(row!.got) === 1) return slot;
    }
    const [[row]] = await connection.query<RowDataPacket[]>('SELECT IS_FREE_LOCK(?) AS free', [this.locks.writer(this.options.lanes)]);
    if (Number(row!.free) !== 1) throw new Error('a restore, or an import, holds the database');
    throw new Error(`there are ${this.options.lanes} write-side processes already, one for each lane`);
  }

  private async work(database: Database, signal: AbortSignal): Promise<void> {
    this.rebalanceAt = 0;
    while (!signal.aborted) {
      if (performance.now() >= this.rebalanceAt) {
        if (!this.options.nats.isConnected()) throw new Error('NATS is away, and others may hear it');
        this.rebalanceAt = performance.now() + REBALANCE_MS;
        await this.rebalance(database);
      }
      const batch = this.take();
      if (batch.length > 0) {
        const paused = await this.runSafely(database, batch);
        this.giveBack(paused);
        // What it knows of them is not what is.
        if (paused.length > 0 || batch.some(({ lane }) => this.steps.has(lane))) this.rebalanceAt = 0;
      } else {
        await this.somethingToDo(this.rebalanceAt - performance.now(), signal);
      }
    }
  }

  /** Puts back what was taken and not run, before all that waits in its lane. */
  private giveBack(batch: Received[]): void {
    for (const received of batch.toReversed()) {
      const lane = this.owned.get(received.lane);
      if (lane?.opening === received.opening) lane.waiting.unshift(received);
    }
  }

  /** Settles when a message has come, or after `ms`. */
  private somethingToDo(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, ms));
      this.wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
      if (signal.aborted) this.wakeUp();
    });
  }

  /** What is waiting, in lane order, up to the bound; another lane comes first each time, so that none is starved. */
  private take(): Received[] {
    const lanes = [...this.owned.values()];
    const batch: Received[] = [];
    let bytes = 0;
    this.nextLane += 1;
    for (let i = 0; i < lanes.length && batch.length < this.mostInABatch; i++) {
      const lane = lanes[(this.nextLane + i) % lanes.length]!;
      let steps = this.steps.get(lane.number) ?? Infinity;
      while (lane.waiting.length > 0 && batch.length < this.mostInABatch && bytes < MAX_BYTES_IN_A_BATCH && steps-- > 0) {
        const received = lane.waiting.shift()!;
        bytes += received.source.data.length;
        batch.push(received);
      }
      if (lane.waiting.length >= MAX_WAITING_IN_A_LANE) continue;
      lane.resume?.();
      lane.resume = null;
    }

    return batch;
  }

  // ---- Running ----

  /**
   * Runs a batch; one that fails is run again one command a transaction, and a command that fails alone is parked. Returns, in
   * their order, those that were not run because their lane is paused.
   */
  private async runSafely(database: Database, batch: Received[]): Promise<Received[]> {
    const lanes = [...new Set(batch.map((received) => received.lane))];
    const locks = lanes.map((n) => this.locks.lane(n));
    const counted = new Set(lanes.filter((n) => this.steps.has(n)));
    for (let attempt = 1; ; attempt++) {
      let ran: Ran;
      try {
        ran = await runBatch(database, locks, batch, counted);
      } catch (error) {
        // Then nothing is known about the transaction: connect again, and look in the inbox.
        if (isDatabaseTrouble(error)) {
          this.mostInABatch = Math.max(1, Math.floor(this.mostInABatch / 2));
          throw error;
        }
        await database.connection.query('ROLLBACK');
        if (error instanceof LanePausedError) return batch;
        const { log } = this.options;
        if (batch.length > 1) {
          log.info({ err: error, commands: batch.length }, 'a batch failed, running its commands one by one');
          const paused: Received[] = [];
          for (const received of batch) {
            // Its lane may have gone on meanwhile, and it must not overtake those before it.
            const isBehind = paused.some(({ lane }) => lane === received.lane);
            paused.push(...(isBehind ? [received] : await this.runSafely(database, [received])));
          }
          return paused;
        }
        const commandId = batch[0]!.command?.message.commandId;
        log.warn({ err: error, commandId, attempt }, 'a command failed');
        if (attempt === MAX_ATTEMPTS) {
          const { source, streamCreated, lane } = batch[0]!;
          const cause = String((error as Error).stack ?? error);
          crashPoint('lanes: before parking');
          // It has taken its step, though it came to nothing.
          await database.connection.query(`START TRANSACTION; ${PARK(1)}; ${TAKE_STEPS}; COMMIT`, [
            ...parkingRow(source, streamCreated, cause, attempt),
            ...[1, 1, lane],
          ]);
          crashPoint('lanes: after parking');
          this.settle(batch, [{ status: 'PARKED' }]);
          return [];
        }
        await pause(10 * 2 ** attempt);
        continue;
      }
      this.mostInABatch = Math.min(this.options.mostInABatch, this.mostInABatch * 2);
      this.settle(batch, ran.outcomes);
      this.options.onCommitted(database.epoch, ran.entries);
      return [];
    }
  }

  /** After the commit: answers, tells how far the journal is, and lets the stream forget. */
  private settle(batch: Received[], outcomes: Outcome[]): void {
    const { nats, log } = this.options;
    batch.forEach((received, i) => {
      const outcome = outcomes[i]!;
      const lane = this.owned.get(received.lane);
      if (lane?.opening === received.opening) lane.handled = Math.max(lane.handled, received.source.seq);
      const { commandId, correlationId, name } = received.command?.message ?? {};
      const fields = { commandId, correlationId, name, lane: received.lane, ...outcome };
      if (outcome.status === 'PARKED') log.error({ ...fields, reason: received.broken }, 'parked');
      else log.debug(fields, 'settled');
      if (received.replyTo) nats.connection.publish(received.replyTo, JSON.stringify(outcome));
    });
    const position = Math.max(0, ...outcomes.map((outcome) => (outcome.status === 'PARKED' ? 0 : outcome.position)));
    nats.connection.publish(this.names.committed, String(position));
    crashPoint('lanes: after reply');
    this.purgeSoon();
  }

  private purging = false;

  /** Purges what was handled, one request at a time, a moment after the first of a burst. */
  private purgeSoon(): void {
    if (this.purging) return;
    this.purging = true;
    setTimeout(() => {
      void this.purge().finally(() => {
        this.purging = false;
        // A lane may have gone on after its turn.
        if ([...this.owned.values()].some((lane) => lane.handled !== lane.purged)) this.purgeSoon();
      });
    }, PURGE_MS);
  }

  private async purge(): Promise<void> {
    for (const lane of this.owned.values()) if (lane.following.isOpen()) await this.purgeLane(lane);
  }

  private async purgeLane(lane: Lane): Promise<void> {
    const { nats, log } = this.options;
    const { handled, purged } = lane;
    // Not once the connection was lost: the request might reach a stream that was rolled back and reuses sequences.
    if (handled === purged || !nats.isConnected() || nats.timesLost() !== lane.timesLost) return;
    try {
      crashPoint('lanes: before purge');
      await nats.jsm.streams.purge(this.names.commands, { filter: this.names.commandsOfLane(lane.number), seq: handled + 1 });
      crashPoint('lanes: after purge');
      lane.purged = Math.max(lane.purged, handled);
    } catch (error) {
      // Nothing is lost: what stays is found in the inbox, and purged with what comes next.
      log.warn({ err: error, lane: lane.number }, 'could not purge');
    }
  }

  // ---- Owning ----

  /** Takes free lanes up to an even share, and gives back what is over it; looks which are paused. */
  private async rebalance(database: Database): Promise<void> {
    const { connection } = database;
    const { lanes, log } = this.options;
    const all = Array.from({ length: lanes }, (_, n) => n);
    const [[rows, counted, heads]] = await connection.query<RowDataPacket[][]>(
      `SELECT ${all.map((n) => `IS_USED_LOCK(?) IS NOT NULL AS writer${n}, IS_FREE_LOCK(?) AS free${n}`).join(', ')};
       SELECT lane, steps FROM lanes WHERE steps IS NOT NULL;
       SELECT epoch, position FROM journal_head WHERE id = 1`,
      all.flatMap((n) => [this.locks.writer(n), this.locks.lane(n)]),
    );
    const row = rows![0];
    // Others write the journal too, and a process with nothing to do must know how far it was.
    checkHead(database, heads![0]);
    this.steps = new Map(counted!.map(({ lane, steps }) => [lane as number, Number(steps)]));
    const writers = all.filter((n) => Number(row![`writer${n}`]) === 1).length;
    const share = Math.ceil(lanes / Math.max(1, writers));
    const surplus = [...this.owned.keys()].slice(share);
    for (const n of surplus) {
      await this.abandon(n);
      await connection.query('DO RELEASE_LOCK(?)', [this.locks.lane(n)]);
    }
    const free = all.filter((n) => Number(row![`free${n}`]) === 1 && !this.owned.has(n));
    const taken: number[] = [];
    for (const n of free.slice(0, Math.max(0, share - this.owned.size))) {
      const [[got]] = await connection.query<RowDataPacket[]>('SELECT GET_LOCK(?, 0) AS got', [this.locks.lane(n)]);
      if (Number(got!.got) !== 1) continue;
      this.owned.set(n, this.openLane(n));
      taken.push(n);
    }
    if (surplus.length || taken.length) log.info({ writers, owned: [...this.owned.keys()], taken, surplus }, 'lanes');
  }

  private openLane(number: number): Lane {
    const { nats, log, lanes } = this.options;
    let streamCreated = '';
    let backlogEnd = 0;
    const lane: Lane = {
      number,
      waiting: [],
      resume: null,
      opening: 0,
      handled: 0,
      purged: 0,
      timesLost: 0,
      following: follow(nats, {
        stream: this.names.commands,
        filter: this.names.commandsOfLane(number),
        buffer: MAX_WAITING_IN_A_LANE,
        log,
        from: async () => {
          const info = await ensureStream(nats, commandsStream(this.names, lanes));
          // A lane that is full is silent while it waits, and is opened anew: what was run of it need not come again.
          if (info.created === streamCreated) await this.purgeLane(lane);
          streamCreated = info.created;
          lane.timesLost = nats.timesLost();
          backlogEnd = info.state.last_seq;
          // What waits here comes again. After a rolled-back stream its sequences may be reused, so none may be remembered.
          lane.waiting = [];
          lane.handled = lane.purged = 0;
          lane.opening = ++this.openings;
          return 1;
        },
        handle: (source) => {
          const from = { lane: number, opening: lane.opening, isBacklog: source.seq <= backlogEnd, streamCreated };
          lane.waiting.push(receive(source, from, lanes));
          this.wake();
          if (lane.waiting.length >= MAX_WAITING_IN_A_LANE) return new Promise<void>((resolve) => (lane.resume = resolve));
        },
      }),
    };

    return lane;
  }

  private async abandon(number: number): Promise<void> {
    const lane = this.owned.get(number);
    if (!lane) return;
    this.owned.delete(number);
    lane.resume?.();
    await lane.following.stop();
  }
}
