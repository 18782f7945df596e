/**
 * Publishes what the outside may know to the stream `PUBLIC_<epoch>`, as CloudEvents: each public event once, in the order of
 * positions, whatever is killed. It follows EVENTS, and works as the relay does: one process at a time (a named lock), though
 * nothing depends on it, since each publish says which sequence it expects to come after. It remembers nothing: on every
 * connect, and after every failure, the public stream is asked where it stands. One that is empty is filled from the journal's
 * beginning; one that has anything goes on from its newest event.
 */
import { headers } from '@nats-io/transport-node';
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { crashPoint } from '../../shared/crash-point.js';
import { follow, pause } from '../../shared/follow.js';
import { ensureStream, publicEventsStream, streamInfo, type Nats } from '../../shared/jetstream.js';
import type { Logger } from '../../shared/log.js';
import { decodeEntry } from '../../shared/messages/upcast.js';
import { HEADERS, lockNames, natsNames, type NatsNames } from '../../shared/names.js';
import { readHead, readJournal } from '../journal.js';
import { publishInOrder, type Publishable } from '../publish-in-order.js';
import { JournalDiffersError, whereTheStreamStands } from '../relay.js';
import { takeTurns, type Turns } from '../turns.js';
import { toPublicMessage } from './public-events.js';

export interface PublisherOptions {
  mysqlUrl: string;
  namespace: string;
  nats: Nats;
  log: Logger;
}

/** The lock, the epoch and the public stream are looked at this often; it also keeps the connection from falling silent. */
const LOOK_MS = 1_000;
/** Events published without waiting for their acknowledgements, at the most; as many again may wait. */
const MAX_IN_FLIGHT = 256;
/** Entries read from the journal at once, when the stream of events has lost them. */
const MAX_MISSING = 256;

export function startPublisher({ mysqlUrl, namespace, nats, log }: PublisherOptions): Turns {
  const lock = lockNames(namespace).publicEvents;

  return takeTurns({
    name: 'the publisher of public events',
    lock,
    mysqlUrl,
    nats,
    log,
    work: async (connection, signal, isWell) => {
      const { epoch } = await readHead(connection);
      const publication = new Publication(nats, connection, natsNames(namespace), namespace, epoch, log);
      await publication.begin();
      isWell();
      try {
        const ended = AbortSignal.any([signal, publication.ended]);
        while (!signal.aborted) {
          await pause(LOOK_MS, ended);
          if (publication.failure) throw publication.failure;
          if (!signal.aborted) await publication.look(lock);
        }
      } finally {
        await publication.stop();
      }
    },
  });
}

/** One turn at publishing: from where the public stream stands, until it fails or is stopped. */
class Publication {
  /** Why it cannot go on; null while it can. */
  failure: Error | null = null;
  private readonly ending = new AbortController();
  readonly ended = this.ending.signal;
  private readonly stream: string;
  private readonly source: string;
  /** Of the newest message in the public stream. */
  private sequence = 0;
  /** Of the newest entry that was received, public or not. */
  private received = 0;
  private hasPublished = false;
  private waiting: Publishable[] = [];
  private resume: (() => void) | null = null;
  private working: Promise<void> | null = null;
  private following: ReturnType<typeof follow> | null = null;

  constructor(
    private readonly nats: Nats,
    private readonly connection: Connection,
    private readonly names: NatsNames,
    private readonly namespace: string,
    private readonly epoch: string,
    private readonly log: Logger,
  ) {
    this.stream = names.publicEvents(epoch);
    this.source = `/cheeper/${namespace}`;
  }

  /** @throws ConfigError when there is such a stream with other settings */
  async begin(): Promise<void> {
    const { nats, log, epoch, names } = this;
    // MySQL may have been restored: then what the stream of events has more is of no journal, and nobody may hear of it.
    await whereTheStreamStands(nats, this.connection, this.namespace, epoch, log);
    const { state } = await ensureStream(nats, publicEventsStream(names, epoch));
    this.sequence = state.last_seq;
    this.received = await this.lastPosition(state);
    this.hasPublished = this.received > 0;
    log.info({ epoch, position: this.received, sequence: this.sequence }, 'publishing public events');
    this.following = follow(nats, {
      stream: names.events(epoch),
      buffer: MAX_IN_FLIGHT,
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

  /** @throws when another should take over from here: the turn is somebody else's, the epoch is over, the stream was emptied */
  async look(lock: string): Promise<void> {
    const { hasPublished } = this;
    const [[row]] = await this.connection.query<RowDataPacket[]>('SELECT IS_USED_LOCK(?) = CONNECTION_ID() AS held', [lock]);
    if (Number(row!.held) !== 1) throw new Error('somebody else has the turn');
    if ((await readHead(this.connection)).epoch !== this.epoch) throw new Error('the journal has a new epoch');
    const info = await streamInfo(this.nats.jsm, this.stream);
    if (hasPublished && (info?.state.messages ?? 0) === 0) throw new Error('the public stream was emptied');
  }

  /** Nothing is published any more when this has settled. */
  async stop(): Promise<void> {
    this.end(null);
    await this.following?.stop();
    await this.working;
  }

  private end(error: Error | null): void {
    this.failure ??= error;
    this.ending.abort();
    this.resume?.();
  }

  /** The position of the newest public event; 0 for none. What somebody has put in by hand is passed over. */
  private async lastPosition({ first_seq: first, last_seq: last }: { first_seq: number; last_seq: number }): Promise<number> {
    for (let sequence = last; sequence >= Math.max(1, first); sequence--) {
      const message = await this.nats.jsm.streams.getMessage(this.stream, { seq: sequence });
      if (!message) continue;
      const position = Number(message.header?.get(HEADERS.position));
      if (!position) {
        this.log.error({ sequence, subject: message.subject }, 'passed over a message that is no public event');
        continue;
      }
      const [entry] = await readJournal(this.connection, position - 1, 1);
      if (entry?.position === position && entry.entryId === message.header.get(HEADERS.entryId)) return position;
      throw new JournalDiffersError(
        `The stream ${this.stream} has an event of position ${position} that the journal has not. Was MySQL restored from a backup? It needs a new epoch.`,
      );
    }

    return 0;
  }

  private async receive(position: number, body: string): Promise<void> {
    if (!position) return; // Put into the stream of events by hand; the relay has parked it.
    while (this.received + 1 < position && !this.ended.aborted) {
      // A gap: the stream has lost what the journal has.
      const missing = await readJournal(this.connection, this.received, MAX_MISSING);
      if (missing.length === 0) throw new Error(`the journal has nothing after position ${this.received}`);
      for (const entry of missing) await this.take(entry.position, entry.body);
    }
    await this.take(position, body);
  }

  private take(position: number, body: string): void | Promise<void> {
    if (position !== this.received + 1 || this.ended.aborted) return;
    const message = toPublicMessage({ ...decodeEntry(body), position }, this.source);
    this.received = position;
    if (!message) return;
    const h = headers();
    h.set('Content-Type', 'application/cloudevents+json');
    h.set(HEADERS.position, String(position));
    h.set(HEADERS.entryId, message.event.id);
    this.waiting.push({ subject: this.names.publicEvent(this.epoch, message.name), body: JSON.stringify(message.event), headers: h });
    this.working ??= this.work();
    if (this.waiting.length >= MAX_IN_FLIGHT) return new Promise((resolve) => (this.resume = resolve));
  }

  private async work(): Promise<void> {
    try {
      while (this.waiting.length > 0 && !this.ended.aborted) {
        const batch = this.waiting.splice(0, MAX_IN_FLIGHT);
        this.resume?.();
        this.resume = null;
        crashPoint('public events: before publish');
        await publishInOrder(this.nats, this.stream, this.sequence, batch);
        crashPoint('public events: after publish');
        this.sequence += batch.length;
        this.hasPublished = true;
      }
    } catch (error) {
      this.end(error as Error);
    } finally {
      // In the step that saw nothing waiting: what comes next begins anew.
      this.working = null;
    }
  }
}
