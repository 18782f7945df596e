/**
 * Work that one process does at a time: whoever holds a named lock, on a single MySQL connection of its own, has the turn
 * until that connection is lost, or NATS is, or the work fails; the others stand by, and one of them is next.
 */
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { pause } from '../shared/follow.js';
import type { Nats } from '../shared/jetstream.js';
import type { Logger } from '../shared/log.js';
import { failOnConfigError } from '../shared/service.js';
import { connectAlone } from './database.js';

export interface Turns {
  waitsFor(): string[];
  /** Settles when the work under way is over. */
  stop(): Promise<void>;
}

export interface TurnsOptions {
  /** What waits, in words: `the relay`. */
  name: string;
  lock: string;
  mysqlUrl: string;
  /** All that has turns speaks to NATS: who does not hear it, while others may, would only keep them from their work. */
  nats: Pick<Nats, 'isConnected' | 'onLost'>;
  log: Logger;
  /**
   * A turn: it works until `signal` is aborted, and throws when it cannot go on; then there is another turn, a while later.
   * @param isWell to be called once it is under way, or has nothing to do for now: until then it is waited for
   */
  work(connection: Connection, signal: AbortSignal, isWell: () => void): Promise<void>;
}

/** Between tries to get the turn, or to connect again. */
const RETRY_MS = 500;

export function takeTurns({ name, lock, mysqlUrl, nats, log, work }: TurnsOptions): Turns {
  const stopping = new AbortController();
  const { signal } = stopping;
  let trouble: string | null = 'has not begun';
  const isWell = () => (trouble = null);

  /** False when it is to stop first, or has lost NATS. */
  const getTurn = async (connection: Connection): Promise<boolean> => {
    for (; !signal.aborted && nats.isConnected(); await pause(RETRY_MS, signal)) {
      const [[row]] = await connection.query<RowDataPacket[]>('SELECT GET_LOCK(?, 0) AS got', [lock]);
      if (Number(row!.got) === 1) return true;
      isWell(); // Another process has the turn, and this one stands by.
    }

    return false;
  };

  const run = async () => {
    while (!signal.aborted) {
      if (!nats.isConnected()) {
        trouble = 'NATS';
        await pause(RETRY_MS, signal);
        continue;
      }
      let connection: Connection | null = null;
      const turn = new AbortController();
      // Also when it is back at once: it may have come back with less.
      const forget = nats.onLost(() => turn.abort());
      try {
        connection = await connectAlone(mysqlUrl);
        if (await getTurn(connection)) await work(connection, AbortSignal.any([signal, turn.signal]), isWell);
      } catch (error) {
        failOnConfigError(error);
        trouble = (error as Error).message;
        log.error({ err: error }, `${name} stopped, and will try again`);
      }
      forget();
      // Closing the connection gives the lock back.
      connection?.destroy();
      await pause(RETRY_MS, signal);
    }
  };
  const done = run();

  return {
    waitsFor: () => (trouble ? [`${name} (${trouble})`] : []),
    stop: async () => {
      stopping.abort();
      await done;
    },
  };
}
