/**
 * The relay copies the journal to the stream `EVENTS_<epoch>`, in order and without a gap. One relay works at a time (a
 * named lock), but nothing depends on it: each publish says which sequence it expects to come after, so a second relay, or
 * a second try, cannot put anything twice or out of order.
 *
 * A message's sequence is its entry's position, unless somebody has put something into the stream by hand. That is parked,
 * and skipped by all who follow; from there on sequences are a little ahead of positions, never behind.
 *
 * Nothing is remembered about what was published: on every connect, and after every failure, the stream is asked.
 */
import { headers } from '@nats-io/transport-node';
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { pause } from '../shared/follow.js';
import { ensureStream, eventsStream, type Nats } from '../shared/jetstream.js';
import type { Logger } from '../shared/log.js';
import { HEADERS, lockNames, natsNames } from '../shared/names.js';
import { connectAlone } from './database.js';
import { readHead, readJournal, type StoredEntry } from './journal.js';
import { PARK, parkingRow } from './parked.js';

export interface Relay {
  /** What this process has just committed: published without being read again, when it comes next. */
  offer(epoch: string, entries: StoredEntry[]): void;
  waitsFor(): string[];
  stop(): Promise<void>;
}

export interface RelayOptions {
  mysqlUrl: string;
  namespace: string;
  nats: Nats;
  log: Logger;
}

/** The head is looked at this often besides, in case a wake-up was lost. */
const LOOK_MS = 200;
/** Between tries to become the relay, or to connect again. */
const RETRY_MS = 500;
/** Entries published without waiting for their acknowledgements, at the most. */
const MOST_IN_FLIGHT = 512;

/** MySQL was restored to what it was before some of the stream was published, or the stream is another journal's. */
export class JournalDiffersError extends Error {
  override name = 'JournalDiffersError';
}

export function startRelay({ mysqlUrl, namespace, nats, log }: RelayOptions): Relay {
  const names = natsNames(namespace);
  const stopping = new AbortController();
  const { signal } = stopping;
  let trouble: string | null = 'its first look at the journal';
  let wakeUp = () => undefined as void;
  let woken = false;
  const wake = () => {
    woken = true;
    wakeUp();
  };
  /** Settles when woken, or after `ms`. */
  const wokenWithin = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
      if (signal.aborted) wakeUp();
    });
  /** In order; empty unless this is the process that relays. */
  let offered: StoredEntry[] = [];
  /** The epoch that is relayed; null while this is not the process that relays. */
  let relaying: string | null = null;
  /** The offered entries that come right after a position; none when the journal must be read. */
  const takeOffered = (last: number): StoredEntry[] => {
    offered = offered.filter(({ position }) => position > last);
    if (offered[0]?.position !== last + 1) return [];
    const end = offered.findIndex(({ position }, i) => i === MOST_IN_FLIGHT || position !== last + 1 + i);

    return offered.splice(0, end === -1 ? offered.length : end);
  };
  const subscription = nats.connection.subscribe(names.committed, { callback: wake });

  const run = async () => {
    while (!signal.aborted) {
      let connection: Connection | null = null;
      try {
        connection = await connectAlone(mysqlUrl);
        await work(connection);
      } catch (error) {
        trouble = (error as Error).message;
        log.error({ err: error }, 'the relay stopped, and will try again');
      }
      connection?.destroy();
      relaying = null;
      offered = [];
      if (!signal.aborted) await pause(RETRY_MS, signal);
    }
  };

  /** Waits for its turn, then relays until something fails or it is to stop. */
  const work = async (connection: Connection) => {
    for (;;) {
      const [[row]] = await connection.query<RowDataPacket[]>('SELECT GET_LOCK(?, 0) AS got', [lockNames(namespace).relay]);
      if (Number(row!.got) === 1) break;
      trouble = null; // Another process relays, and this one stands by.
      await pause(RETRY_MS, signal);
      if (signal.aborted) return;
    }
    const { epoch } = await readHead(connection);
    let { position: last, sequence } = await whereTheStreamStands(nats, connection, namespace, epoch, log);
    log.info({ epoch, position: last, sequence }, 'relaying');
    trouble = null;
    relaying = epoch;
    // What this process has just committed is at hand; the journal is read when woken by others, and now and then.
    for (let look = true; !signal.aborted;) {
      look ||= woken;
      woken = false;
      const next = takeOffered(last);
      const entries = next.length > 0 || !look ? next : await readJournal(connection, last, MOST_IN_FLIGHT);
      // After the read: what was committed in a new epoch must not get into the stream of the old one.
      if (next.length === 0 && look && (await readHead(connection)).epoch !== epoch) throw new Error('the journal has a new epoch');
      if (entries.length > 0) {
        await publish(nats, (type) => names.event(epoch, type), { position: last, sequence }, entries);
        last = entries.at(-1)!.position;
        sequence += entries.length;
        look = next.length === 0;
      } else if (!woken) {
        await wokenWithin(LOOK_MS);
        look = true;
      }
    }
  };
  const done = run();

  return {
    offer: (epoch, entries) => {
      if (relaying !== epoch || entries.length === 0) return wake();
      // More than it can carry at once is read again, later.
      offered = offered.length < MOST_IN_FLIGHT ? [...offered, ...entries] : [];
      wake();
    },
    waitsFor: () => (trouble ? [`the relay (${trouble})`] : []),
    stop: async () => {
      subscription.unsubscribe();
      stopping.abort();
      wake();
      await done;
    },
  };
}

interface Standing {
  /** Of the journal's newest entry in the stream; 0 for none. */
  position: number;
  /** Of the newest message in the stream, whatever it is. */
  sequence: number;
}

/** Where the stream stands, after making sure that it is this journal's, and parking what is not from a journal at all. */
async function whereTheStreamStands(nats: Nats, connection: Connection, namespace: string, epoch: string, log: Logger): Promise<Standing> {
  const settings = eventsStream(natsNames(namespace), epoch);
  const { state, created } = await ensureStream(nats, settings);
  for (let sequence = state.last_seq; sequence >= Math.max(1, state.first_seq); sequence--) {
    const message = await nats.jsm.streams.getMessage(settings.name, { seq: sequence });
    if (!message) continue;
    const entryId = message.header?.get(HEADERS.entryId);
    const position = Number(message.header?.get(HEADERS.position));
    if (!entryId || !position) {
      const reason = 'It was put into the stream of events by hand: no entry of the journal is like it.';
      log.error({ sequence, subject: message.subject }, 'parked a message that is no event');
      const { subject, seq, timestamp, data, header } = message;
      await connection.query(PARK(1), parkingRow({ subject, seq, timestamp, data, headers: header }, created, reason, 0));
      continue;
    }
    const [entry] = await readJournal(connection, position - 1, 1);
    if (entry?.position !== position || entry.entryId !== entryId) {
      throw new JournalDiffersError(
        `The stream ${settings.name} has an entry at position ${position} that the journal has not. Was MySQL restored from a backup? It needs a new epoch.`,
      );
    }

    return { position, sequence: state.last_seq };
  }

  return { position: 0, sequence: state.last_seq };
}

/** Publishes entries that follow each other, pipelined. @throws when any was not stored in its place */
async function publish(nats: Nats, subject: (type: string) => string, last: Standing, entries: StoredEntry[]): Promise<void> {
  const sent = entries.map((entry, i) => {
    if (entry.position !== last.position + i + 1) throw new Error(`the journal has a gap before position ${entry.position}`);
    const h = headers();
    h.set(HEADERS.position, String(entry.position));
    h.set(HEADERS.entryId, entry.entryId);

    // No message id: after a wiped tail the server would take a republished entry for a duplicate, and drop it.
    return nats.js.publish(subject(entry.type), entry.body, { headers: h, expect: { lastSequence: last.sequence + i } });
  });
  // All must be settled before another try, else a straggler could meet it; then the first failure is the cause.
  const results = await Promise.allSettled(sent);
  const first = results.findIndex((result) => result.status === 'rejected');
  if (first === -1) return;
  // A message put in by hand can take the place of one entry just as the next one expects it: what was stored after a hole
  // is taken out again, and published in its turn.
  for (const result of results.slice(first)) {
    if (result.status === 'fulfilled') await nats.jsm.streams.deleteMessage(result.value.stream, result.value.seq);
  }
  throw (results[first] as PromiseRejectedResult).reason;
}
