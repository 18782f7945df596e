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
import type { Connection } from 'mysql2/promise';
import { crashPoint } from '../shared/crash-point.js';
import { ensureStream, eventsStream, streamInfo, type Nats } from '../shared/jetstream.js';
import type { Logger } from '../shared/log.js';
import { HEADERS, lockNames, natsNames, type NatsNames } from '../shared/names.js';
import { readHead, readJournal, type StoredEntry } from './journal.js';
import { PARK, parkingRow } from './parked.js';
import { publishInOrder } from './publish-in-order.js';
import { takeTurns, type Turns, type TurnsOptions } from './turns.js';

export interface Relay extends Turns {
  /** What this process has just committed: published without being read again, when it comes next. */
  offer(epoch: string, entries: StoredEntry[]): void;
}

export interface RelayOptions {
  mysqlUrl: string;
  namespace: string;
  nats: Nats;
  log: Logger;
}

/** The head is looked at this often besides, in case a wake-up was lost. */
const LOOK_MS = 200;
/** Whether the stream still has what was published: it may have been deleted while there is nothing to publish. */
const ASK_MS = 1_000;
/** Entries published without waiting for their acknowledgements, at the most. */
const MAX_IN_FLIGHT = 512;

/** MySQL was restored to what it was before some of the stream was published, or the stream is another journal's. */
export class JournalDiffersError extends Error {
  override name = 'JournalDiffersError';
}

export function startRelay({ mysqlUrl, namespace, nats, log }: RelayOptions): Relay {
  const names = natsNames(namespace);
  let isStopping = false;
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
      if (isStopping) wakeUp();
    });
  /** In order; empty unless this is the process that relays. */
  let offered: StoredEntry[] = [];
  /** The epoch that is relayed; null while this is not the process that relays. */
  let relaying: string | null = null;
  /** The offered entries that come right after a position; none when the journal must be read. */
  const takeOffered = (last: number): StoredEntry[] => {
    offered = offered.filter(({ position }) => position > last);
    if (offered[0]?.position !== last + 1) return [];
    const end = offered.findIndex(({ position }, i) => i === MAX_IN_FLIGHT || position !== last + 1 + i);

    return offered.splice(0, end === -1 ? offered.length : end);
  };
  const subscription = nats.connection.subscribe(names.committed, { callback: wake });

  /** Relays until something fails or it is to stop. */
  const work: TurnsOptions['work'] = async (connection, signal, isWell) => {
    const { epoch } = await readHead(connection);
    let { position: last, sequence } = await whereTheStreamStands(nats, connection, namespace, epoch, log);
    log.info({ epoch, position: last, sequence }, 'relaying');
    isWell();
    relaying = epoch;
    let lookedAt = performance.now();
    let askedAt = lookedAt;
    // What this process has just committed is at hand; the journal is read when woken by others, and now and then.
    for (let look = true; !signal.aborted;) {
      look ||= woken;
      woken = false;
      const next = takeOffered(last);
      const entries = next.length > 0 || !look ? next : await readJournal(connection, last, MAX_IN_FLIGHT);
      // After the read: what was committed in a new epoch must not get into the stream of the old one.
      // And now and then under a load without a pause, too: who is silent for long loses the connection, and the lock.
      if ((next.length === 0 && look) || performance.now() - lookedAt > LOOK_MS) {
        if ((await readHead(connection)).epoch !== epoch) throw new Error('the journal has a new epoch');
        lookedAt = performance.now();
        if (lookedAt - askedAt > ASK_MS) {
          const info = await streamInfo(nats.jsm, names.events(epoch));
          if (!info || info.state.last_seq < sequence) throw new Error('the stream of events has lost what was published');
          askedAt = performance.now();
        }
      }
      if (entries.length > 0) {
        await publish(nats, names, epoch, { position: last, sequence }, entries);
        last = entries.at(-1)!.position;
        sequence += entries.length;
        look = next.length === 0;
      } else if (!woken) {
        await wokenWithin(LOOK_MS);
        look = true;
      }
    }
  };
  const turns = takeTurns({
    name: 'the relay',
    lock: lockNames(namespace).relay,
    mysqlUrl,
    nats,
    log,
    work: (...turn) =>
      work(...turn).finally(() => {
        relaying = null;
        offered = [];
      }),
  });

  return {
    offer: (epoch, entries) => {
      if (relaying !== epoch || entries.length === 0) return wake();
      // More than it can carry at once is read again, later.
      offered = offered.length < MAX_IN_FLIGHT ? [...offered, ...entries] : [];
      wake();
    },
    waitsFor: turns.waitsFor,
    stop: async () => {
      subscription.unsubscribe();
      isStopping = true;
      const stopped = turns.stop();
      wake();
      await stopped;
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
export async function whereTheStreamStands(
  nats: Nats,
  connection: Connection,
  namespace: string,
  epoch: string,
  log: Logger,
): Promise<Standing> {
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

/** Publishes entries that follow each other. @throws when any was not stored in its place */
async function publish(nats: Nats, names: NatsNames, epoch: string, last: Standing, entries: StoredEntry[]): Promise<void> {
  const messages = entries.map((entry, i) => {
    if (entry.position !== last.position + i + 1) throw new Error(`the journal has a gap before position ${entry.position}`);
    const h = headers();
    h.set(HEADERS.position, String(entry.position));
    h.set(HEADERS.entryId, entry.entryId);

    return { subject: names.event(epoch, entry.type), body: entry.body, headers: h };
  });
  crashPoint('relay: before publish');
  await publishInOrder(nats, names.events(epoch), last.sequence, messages);
  crashPoint('relay: after publish');
}
