/**
 * MySQL: one connection for those who hold a named lock, MikroORM on top of it for the aggregates.
 *
 * The lock belongs to the connection, so the ORM must not have another one: a pool, even of one, reconnects silently and
 * would go on writing without its lock.
 */
import { connect, type Socket } from 'node:net';
import { MikroORM } from '@mikro-orm/mysql';
import { MysqlDialect } from 'kysely';
import mysql, { type Connection, type ConnectionOptions } from 'mysql2/promise';
import { hostOf } from '../shared/config.js';
import { authorEntity, passwordHashEntity } from './authors/author.js';
import { cheepEntity } from './cheeps/cheep.js';
import { followEntity } from './follows/follow.js';
import { likeEntity } from './likes/like.js';
import { notificationEntity, notificationListEntity } from './notifications/notification.js';
import { expectRightSettings } from './database-settings.js';

export const entities = [
  authorEntity,
  passwordHashEntity,
  cheepEntity,
  likeEntity,
  followEntity,
  notificationEntity,
  notificationListEntity,
];

const CONNECT_TIMEOUT_MS = 3_000;
/**
 * A link on which nothing moves for this long is dead, whatever TCP hopes for the next quarter of an hour: longer than any
 * statement of a service takes, and shorter than the server keeps the locks of a client that is silent.
 */
export const SILENCE_MS = 8_000;
/** Connections of a pool; questions that wait for one. */
const MOST_CONNECTIONS = 4;
const MOST_WAITING = 256;
const IDLE_MS = 30_000;

interface Patience {
  /** For statements that take longer than those of services. */
  silenceMs?: number;
}

/** What both kinds of connections have in common; also what MikroORM expects of its driver. */
const options = (url: string, { silenceMs = SILENCE_MS }: Patience): ConnectionOptions => ({
  uri: url,
  host: hostOf(url),
  charset: 'utf8mb4_bin',
  timezone: 'Z',
  supportBigNumbers: true,
  dateStrings: true,
  connectTimeout: CONNECT_TIMEOUT_MS,
  // The driver's own timeout for a query leaves the connection as it is, with an answer that may still come.
  stream: ({ config }: { config: { host: string; port: number } }): Socket => {
    const socket = connect({ host: config.host, port: config.port, noDelay: true, keepAlive: true });
    const die = () => socket.destroy(Object.assign(new Error(`MySQL has been silent for ${silenceMs} ms.`), { code: 'ETIMEDOUT' }));

    return socket.setTimeout(silenceMs, die);
  },
});

/** A connection that is silent for this long is closed by the server, with its transaction and its locks. */
export const LOCK_LEASE_SECONDS = 10;
/** For a row that another transaction holds. */
const LOCK_WAIT_SECONDS = 5;

/**
 * A single connection, fit to hold named locks: it is never replaced behind the caller's back. It must be used more often than
 * every SILENCE_MS.
 * @throws ConfigError when the server, or the tables, are not as this system needs them; see `expectRightSettings`
 */
export async function connectAlone(url: string, patience: Patience = {}): Promise<Connection> {
  const connection = await mysql.createConnection({ ...options(url, patience), multipleStatements: true });
  // A lost connection is also reported by the next query on it, which is where it is dealt with.
  connection.on('error', () => undefined);
  try {
    await connection.query(
      `SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
       SET SESSION wait_timeout = ${LOCK_LEASE_SECONDS}, innodb_lock_wait_timeout = ${LOCK_WAIT_SECONDS},
         sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', group_concat_max_len = 1024`,
    );
    await expectRightSettings(connection, {
      wait_timeout: String(LOCK_LEASE_SECONDS),
      innodb_lock_wait_timeout: String(LOCK_WAIT_SECONDS),
    });
  } catch (error) {
    connection.destroy();
    throw error;
  }

  return connection;
}

/** For questions that need no lock: sign-in, and reading the journal. */
export const createPool = (url: string, patience: Patience = {}) =>
  mysql.createPool({
    ...options(url, patience),
    connectionLimit: MOST_CONNECTIONS,
    queueLimit: MOST_WAITING,
    maxIdle: 1,
    idleTimeout: IDLE_MS,
  });
export type Pool = ReturnType<typeof createPool>;

/** An ORM whose every statement goes through the connection that `current` gives. Transactions are the caller's. */
export function createOrm(url: string, current: () => Connection): MikroORM {
  // Kysely wants a pool of callback connections; this one always hands out the same.
  const dialect = new MysqlDialect({
    pool: {
      getConnection(callback: (error: unknown, connection: never) => void) {
        try {
          const connection = (current() as unknown as { connection: { release?: () => void } }).connection;
          connection.release ??= () => undefined;
          callback(undefined, connection as never);
        } catch (error) {
          callback(error, undefined as never);
        }
      },
      end: (callback: (error: unknown) => void) => callback(undefined),
    },
  });

  return new MikroORM({
    entities,
    dbName: new URL(url).pathname.slice(1),
    driverOptions: () => dialect,
    implicitTransactions: false,
  });
}

/**
 * The server is not well, or not ready: shutting down, full, read-only, out of connections, not migrated, interrupted; or somebody who
 * stands still holds a lock, which says nothing about who waits for it.
 */
const SERVER_TROUBLE = new Set([
  3, 1021, 1030, 1040, 1041, 1053, 1114, 1146, 1158, 1159, 1160, 1161, 1205, 1290, 1317, 1836, 1927, 2006, 2013, 3024,
]);

/**
 * Is it the database that failed, and not what was asked of it? Everything else is the asker's own: a deadlock, a lost race for a
 * unique key or a version, wrong data, what a handler throws.
 */
export function isDatabaseTrouble(error: unknown): boolean {
  const { errno, sqlState, code, fatal } = error as { errno?: number; sqlState?: string; code?: string; fatal?: boolean };
  if (fatal || sqlState?.startsWith('08') || SERVER_TROUBLE.has(errno ?? -1)) return true;

  return /^(PROTOCOL_|ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_)/.test(code ?? '');
}
