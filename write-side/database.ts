/**
 * MySQL: one connection for those who hold a named lock, MikroORM on top of it for the aggregates.
 *
 * The lock belongs to the connection, so the ORM must not have another one: a pool, even of one, reconnects silently and
 * would go on writing without its lock.
 */
import { MikroORM } from '@mikro-orm/mysql';
import { MysqlDialect } from 'kysely';
import mysql, { type Connection, type ConnectionOptions } from 'mysql2/promise';
import { authorEntity, passwordHashEntity } from './authors/author.js';
import { cheepEntity } from './cheeps/cheep.js';
import { followEntity } from './follows/follow.js';
import { likeEntity } from './likes/like.js';
import { notificationEntity, notificationListEntity } from './notifications/notification.js';

export const entities = [
  authorEntity,
  passwordHashEntity,
  cheepEntity,
  likeEntity,
  followEntity,
  notificationEntity,
  notificationListEntity,
];

/** What both kinds of connections have in common; also what MikroORM expects of its driver. */
const options = (url: string): ConnectionOptions => ({
  uri: url,
  charset: 'utf8mb4_bin',
  timezone: 'Z',
  supportBigNumbers: true,
  dateStrings: true,
  connectTimeout: 3_000,
  enableKeepAlive: true,
});

/** A connection that is silent for this long is closed by the server, with its transaction and its locks. */
export const LOCK_LEASE_SECONDS = 10;

/** A single connection, fit to hold named locks: it is never replaced behind the caller's back. */
export async function connectAlone(url: string): Promise<Connection> {
  const connection = await mysql.createConnection({ ...options(url), multipleStatements: true });
  // A lost connection is also reported by the next query on it, which is where it is dealt with.
  connection.on('error', () => undefined);
  try {
    await connection.query(
      `SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
       SET SESSION wait_timeout = ${LOCK_LEASE_SECONDS}, innodb_lock_wait_timeout = 5,
         sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', group_concat_max_len = 1024`,
    );
  } catch (error) {
    connection.destroy();
    throw error;
  }

  return connection;
}

/** For questions that need no lock: sign-in, and reading the journal. */
export const createPool = (url: string) => mysql.createPool({ ...options(url), connectionLimit: 4, maxIdle: 1, idleTimeout: 30_000 });
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
