/**
 * A process manager does what follows from an event: it follows the journal, and keeps how far it has come in MySQL. One
 * process at a time runs each of them (a named lock).
 *
 * Nothing is lost: the checkpoint passes an entry only when all that followed from it is settled. It is written now and then
 * (and at a stop), so after a crash some entries come again: whatever a process manager does must bear that.
 *
 * The checkpoint stands in the database of the journal, so both are of one backup, and it stays what it is in a new epoch.
 */
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { crashPoint } from '../../shared/crash-point.js';
import { follow, pause } from '../../shared/follow.js';
import type { Nats } from '../../shared/jetstream.js';
import type { Logger } from '../../shared/log.js';
import type { JournalEntry } from '../../shared/messages/event.js';
import { decodeEntry } from '../../shared/messages/upcast.js';
import { HEADERS, lockNames, natsNames } from '../../shared/names.js';
import { readHead, readJournal } from '../journal.js';
import { whereTheStreamStands } from '../relay.js';
import { takeTurns, type Turns, type TurnsOptions } from '../turns.js';

export type ProcessManagerName = 'reactions' | 'mailer';

/**
 * What follows from an entry: null when nothing does. Called in the order of positions. What it returns settles when it is
 * done for good; it rejects to have the entry again after a while, and may do so as soon as `signal` says that time is up.
 */
export type React = (entry: JournalEntry, signal: AbortSignal, connection: Connection) => Promise<void> | null;

export interface ProcessManagerOptions {
  name: ProcessManagerName;
  react: React;
  /** Entries from which something follows that is not settled yet, at the most. */
  mostUnderWay: number;
  /** Where it begins when it has no checkpoint yet; null when that cannot be said yet. The journal's beginning when absent. */
  begin?: (connection: Connection) => Promise<number | null>;
  mysqlUrl: string;
  namespace: string;
  nats: Nats;
  log: Logger;
}

/** The epoch is looked at, and the checkpoint written when it has moved, this often; it keeps the connection from falling silent. */
const LOOK_MS = 1_000;
/** Messages that may wait on this side. */
const BUFFER = 256;
/** Entries read at once from the journal, when the stream of events has lost them. */
const MAX_MISSING = 256;

export function startProcessManager(options: ProcessManagerOptions): Turns {
  const { name, mysqlUrl, namespace, log } = options;

  /** Begins when there is none. Null when it is to stop first. */
  const readCheckpoint = async (connection: Connection, signal: AbortSignal, isWell: () => void): Promise<number | null> => {
    for (; !signal.aborted; await pause(LOOK_MS, signal)) {
      const [[row]] = await connection.query<RowDataPacket[]>('SELECT position FROM process_managers WHERE name = ?', [name]);
      if (row) return Number(row.position);
      const position = options.begin ? await options.begin(connection) : 0;
      isWell(); // It waits for others, and there is nothing wrong with that.
      if (position === null) continue;
      await connection.query('INSERT INTO process_managers (name, position) VALUES (?, ?)', [name, position]);
      return position;
    }

    return null;
  };

  const work: TurnsOptions['work'] = async (connection, signal, isWell) => {
    const { epoch } = await readHead(connection);
    const position = await readCheckpoint(connection, signal, isWell);
    if (position === null) return;
    // MySQL may have been restored: then what the stream has more is of no journal, and nothing may follow from it.
    await whereTheStreamStands(options.nats, connection, namespace, epoch, log);
    const turn = new Turn(options, connection, epoch, position);
    const ended = AbortSignal.any([signal, turn.ended]);
    log.info({ processManager: name, epoch, position }, 'a process manager has its turn');
    isWell();
    // The lock is the connection's: nobody else writes the checkpoint as long as this works.
    let saved = position;
    const save = async () => {
      const { done } = turn;
      if (done === saved) return;
      crashPoint('process manager: before checkpoint');
      await connection.query('UPDATE process_managers SET position = ? WHERE name = ?', [done, name]);
      crashPoint('process manager: after checkpoint');
      saved = done;
    };
    try {
      while (!signal.aborted) {
        await pause(LOOK_MS, ended);
        if (turn.failure) throw turn.failure;
        await save();
        if ((await readHead(connection)).epoch !== epoch) throw new Error('the journal has a new epoch');
      }
    } finally {
      await turn.stop();
      await save();
    }
  };

  return takeTurns({
    name: `the process manager ${name}`,
    lock: lockNames(namespace).processManager(name),
    mysqlUrl,
    nats: options.nats,
    log,
    work,
  });
}

interface UnderWay {
  position: number;
  isSettled: boolean;
}

/** One turn of a process manager: from its checkpoint, until something fails or it is stopped. */
class Turn {
  /** Why it cannot go on; null while it can. */
  failure: Error | null = null;
  private readonly ending = new AbortController();
  readonly ended = this.ending.signal;
  /** Of the newest entry that was received. */
  private received: number;
  /** In the order of positions; the first is not settled. */
  private underWay: UnderWay[] = [];
  private readonly working = new Set<Promise<void>>();
  private resume: (() => void) | null = null;
  private readonly following: ReturnType<typeof follow>;

  constructor(
    private readonly options: ProcessManagerOptions,
    private readonly connection: Connection,
    epoch: string,
    position: number,
  ) {
    const { nats, namespace, log } = options;
    this.received = position;
    this.following = follow(nats, {
      stream: natsNames(namespace).events(epoch),
      buffer: BUFFER,
      log,
      // Sequences are never behind positions, so this is never too late.
      from: () => this.received + 1,
      handle: async (message) => {
        try {
          await this.receive(Number(message.headers?.get(HEADERS.position)), message.string());
        } catch (error) {
          this.end(error as Error);
        }
      },
    });
  }

  /** The position up to which all that follows from the entries is settled. */
  get done(): number {
    return this.underWay.length > 0 ? this.underWay[0]!.position - 1 : this.received;
  }

  /** Nothing is under way any more when this has settled. */
  async stop(): Promise<void> {
    this.end(null);
    await this.following.stop();
    await Promise.all(this.working);
  }

  private end(error: Error | null): void {
    this.failure ??= error;
    this.ending.abort();
    this.resume?.();
  }

  private get isOver(): boolean {
    return this.ending.signal.aborted;
  }

  private async receive(position: number, body: string): Promise<void> {
    if (!position) return; // Put into the stream of events by hand; the relay has parked it.
    while (this.received + 1 < position && !this.isOver) {
      // A gap: the stream has lost what the journal has.
      const missing = await readJournal(this.connection, this.received, MAX_MISSING);
      if (missing.length === 0) throw new Error(`the journal has nothing after position ${this.received}`);
      for (const entry of missing) await this.take(entry.position, entry.body);
    }
    await this.take(position, body);
  }

  private take(position: number, body: string): void | Promise<void> {
    if (position !== this.received + 1 || this.isOver) return;
    const reaction = this.options.react({ ...decodeEntry(body), position }, this.ending.signal, this.connection);
    this.received = position;
    if (!reaction) return;
    const entry: UnderWay = { position, isSettled: false };
    this.underWay.push(entry);
    const working = reaction
      .then(
        () => this.settled(entry),
        (error: unknown) => this.end(this.isOver ? null : (error as Error)),
      )
      .finally(() => this.working.delete(working));
    this.working.add(working);
    if (this.underWay.length >= this.options.mostUnderWay) return new Promise((resolve) => (this.resume = resolve));
  }

  private settled(entry: UnderWay): void {
    entry.isSettled = true;
    const first = this.underWay.findIndex(({ isSettled }) => !isSettled);
    this.underWay.splice(0, first === -1 ? this.underWay.length : first);
    if (this.underWay.length >= this.options.mostUnderWay) return;
    this.resume?.();
    this.resume = null;
  }
}
