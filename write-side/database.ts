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
import { nameForTls, namesTlsFiles, readSecret, readTlsFiles, takeFiles, type ServerFiles } from '../shared/server-url.js';
import { authorEntity, passwordHashEntity } from './authors/author.js';
import { cheepEntity } from './cheeps/cheep.js';
import { followEntity } from './follows/follow.js';
import { likeEntity } from './likes/like.js';
import { notificationEntity, notificationListEntity } from './notifications/notification.js';
import { expectRightSettings, refusalAtStart } from './database-settings.js';

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
const MAX_CONNECTIONS = 4;
const MAX_WAITING = 256;
const IDLE_MS = 30_000;

interface Patience {
  /** For statements that take longer than those of services; Infinity for as long as they take. */
  silenceMs?: number;
}

/** What all connections have in common; also what MikroORM expects of its driver. */
export function connectionOptions(mysqlUrl: string, { silenceMs = SILENCE_MS }: Patience = {}): ConnectionOptions {
  const { url, files } = takeFiles(mysqlUrl);
  const host = hostOf(url);
  const ssl = sslOf(url, files);

  return {
    uri: url,
    host,
    ...(ssl && { ssl }),
    charset: 'utf8mb4_bin',
    timezone: 'Z',
    supportBigNumbers: true,
    dateStrings: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // The driver's own timeout for a query leaves the connection as it is, with an answer that may still come.
    stream: ({ config }: { config: ConfigOfConnection }): Socket => {
      // Before each connect, of a pool too: the password and certificates may have been replaced since.
      if (files.password !== undefined) config.password = readSecret(files.password);
      if (namesTlsFiles(files)) config.ssl = { ...(config.ssl as object), ...readTlsFiles(files) };
      const socket = connect({ host: config.host, port: config.port, noDelay: true, keepAlive: true });
      const die = () => socket.destroy(Object.assign(new Error(`MySQL has been silent for ${silenceMs} ms.`), { code: 'ETIMEDOUT' }));
      if (silenceMs !== Infinity) socket.setTimeout(silenceMs, die);

      return Object.assign(socket, nameForTls(host));
    },
  };
}

interface ConfigOfConnection {
  host: string;
  port: number;
  password?: string;
  ssl?: unknown;
}

/** Null when nothing is to be encrypted. The driver compares the server's name with its certificate only if that is said. */
function sslOf(url: string, files: ServerFiles): Record<string, unknown> | null {
  const said = new URL(url).searchParams.get('ssl');
  if (said === null && !namesTlsFiles(files)) return null;

  return { verifyIdentity: true, ...(JSON.parse(said ?? '{}') as object) };
}

/** A connection that is silent for this long is closed by the server, with its transaction and its locks. */
export const LOCK_LEASE_SECONDS = 10;
/** For a row that another transaction holds. */
const LOCK_WAIT_SECONDS = 5;
/** A connection without locks that is silent for this long is closed by the server; pools close their idle ones sooner. */
const POOL_SILENCE_SECONDS = 60;

interface SessionSettings {
  /** The server closes the connection, with its locks, when it has been silent for this long. */
  waitSeconds: number;
  /** For a row that another transaction holds. */
  lockWaitSeconds: number;
}

/**
 * What each session sets, since the server's defaults may be anything: who commits (`autocommit`, `completion_type`), what a text means
 * (`sql_mode`, character sets, the time zone), which statements are refused (`sql_safe_updates`, `sql_big_selects`) or cut short
 * (`sql_select_limit`, limits of time), and which rules the tables keep (`unique_checks`).
 *
 * Two comments are statements in one kind of server only: MySQL from version 8 executes the first, MariaDB the second.
 */
const sessionStatements = ({ waitSeconds, lockWaitSeconds }: SessionSettings): string[] => [
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE',
  `SET SESSION autocommit = 1, SESSION completion_type = 0,
     SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', SESSION time_zone = '+00:00',
     SESSION character_set_client = utf8mb4, SESSION character_set_results = utf8mb4, SESSION collation_connection = utf8mb4_bin,
     SESSION sql_safe_updates = 0, SESSION sql_big_selects = 1, SESSION sql_auto_is_null = 0, SESSION sql_select_limit = ${NO_LIMIT},
     SESSION unique_checks = 1, SESSION foreign_key_checks = 1, SESSION sql_quote_show_create = 1, SESSION group_concat_max_len = 1024,
     SESSION wait_timeout = ${waitSeconds}, SESSION net_read_timeout = ${NET_SECONDS}, SESSION net_write_timeout = ${NET_SECONDS},
     SESSION innodb_lock_wait_timeout = ${lockWaitSeconds}, SESSION lock_wait_timeout = ${METADATA_WAIT_SECONDS}
     /*!80000 , SESSION max_execution_time = 0 */ /*M! , SESSION max_statement_time = 0 */`,
];
const NO_LIMIT = '18446744073709551615';
/** A client that reads, or sends, for longer than this without a break is taken for dead by the server. */
const NET_SECONDS = 60;
/** For a table whose definition another session changes. */
const METADATA_WAIT_SECONDS = 600;

export async function setSession(connection: Pick<Connection, 'query'>, settings: SessionSettings): Promise<void> {
  for (const statement of sessionStatements(settings)) await connection.query(statement);
}

/**
 * A single connection, fit to hold named locks: it is never replaced behind the caller's back. It must be used more often than
 * every SILENCE_MS.
 * @throws ConfigError when the server, or the tables, are not as this system needs them; see `expectRightSettings`
 */
export async function connectAlone(url: string, patience: Patience = {}): Promise<Connection> {
  const connection = await mysql
    .createConnection({ ...connectionOptions(url, patience), multipleStatements: true })
    .catch((error: unknown) => {
      throw refusalAtStart(error);
    });
  // A lost connection is also reported by the next query on it, which is where it is dealt with.
  connection.on('error', () => undefined);
  try {
    await setSession(connection, { waitSeconds: LOCK_LEASE_SECONDS, lockWaitSeconds: LOCK_WAIT_SECONDS });
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
export function createPool(url: string, patience: Patience = {}) {
  const pool = mysql.createPool({
    ...connectionOptions(url, patience),
    connectionLimit: MAX_CONNECTIONS,
    queueLimit: MAX_WAITING,
    maxIdle: 1,
    idleTimeout: IDLE_MS,
  });
  // The driver runs a connection's statements in order, so these come before the question for which it was made.
  pool.pool.on('connection', (connection) => {
    for (const statement of sessionStatements({ waitSeconds: POOL_SILENCE_SECONDS, lockWaitSeconds: LOCK_WAIT_SECONDS })) {
      connection.query(statement, (error) => error && connection.destroy());
    }
  });

  return pool;
}
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
 * Numbers of errors that say something about the server or the session, and nothing about the statement. Those of MySQL are in its
 * Server Error Message Reference, those from 1900 to 1999 are MariaDB's own.
 */
const SERVER_TROUBLE = new Set([
  // The server ends the session, or cannot be reached: it shuts down, goes offline, has waited for too long, was told to kill the session.
  ...[1042, 1043, 1053, 1077, 1079, 1080, 1081, 1152, 1153, 1184, 1927, 2006, 2013, 3032, 3168, 3169, 4031],
  // A packet did not come through.
  ...[1154, 1155, 1156, 1157, 1158, 1159, 1160, 1161],
  // The statement was stopped from outside: KILL QUERY, a limit of time, somebody who stands still and holds a lock.
  ...[1205, 1317, 1969, 3024],
  // The server takes no writes: read-only, a replica after a failover, a member of a group or a cluster that has lost the others,
  // a binary log that takes no rows.
  ...[1036, 1047, 1290, 1598, 1665, 1792, 1836, 1874, 1881, 3100, 3101, 3989, 4094],
  // It has no room: disk, memory, connections, threads, locks.
  ...[3, 20, 1021, 1037, 1038, 1040, 1041, 1114, 1135, 1203, 1206, 1226, 1878, 3015, 3019, 3675],
  // It cannot read or write its files.
  ...[1015, 1016, 1023, 1024, 1026, 1030, 1034, 1180, 1194, 1195, 1812, 1815, 1877, 1932],
  // It does not let us in any more, or no longer to all of it.
  ...[1044, 1045, 1129, 1130, 1142, 1143, 1227, 1251, 1698, 1820, 1862, 3118, 3159, 3955],
  // The tables are not there, or are being changed.
  ...[1046, 1049, 1146, 1412],
]);

/**
 * Is it the database that failed, and not what was asked of it? Then nothing is known about the transaction, and the connection must be
 * left. Everything else is the asker's own: a deadlock, a lost race for a unique key or a version, wrong data, what a handler throws.
 */
export function isDatabaseTrouble(error: unknown): boolean {
  const { errno, sqlState, code, fatal } = error as { errno?: number; sqlState?: string; code?: string; fatal?: boolean };
  if (fatal || sqlState?.startsWith('08') || SERVER_TROUBLE.has(errno ?? -1)) return true;

  return /^(PROTOCOL_|ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_)/.test(code ?? '');
}
