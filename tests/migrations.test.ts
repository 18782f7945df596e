/** Migrations end with the same tables however often they were killed, wherever they began, and however many run at once. */
import { describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { migrate, migrateWith } from '../write-side/migrate.js';
import { migrationsList } from '../write-side/migrations/migrations.js';

const NAMES = migrationsList.map(({ name }) => name);

/** What the release with the first migration alone left, on a server whose defaults were other ones: two cheeps, one of them an answer. */
const FIRST_RELEASE = `
  CREATE TABLE mikro_orm_migrations (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255), executed_at DATETIME DEFAULT CURRENT_TIMESTAMP) ENGINE = InnoDB;
  CREATE TABLE authors (id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, version INT UNSIGNED NOT NULL,
    username VARCHAR(30) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL UNIQUE,
    email VARCHAR(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL UNIQUE,
    name TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, biography TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    location TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, website TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    birth_date CHAR(10) CHARACTER SET ascii COLLATE ascii_bin, signed_up_at CHAR(24) CHARACTER SET ascii COLLATE ascii_bin NOT NULL) ENGINE = InnoDB;
  CREATE TABLE password_hashes (author_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    hash VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL) ENGINE = InnoDB;
  CREATE TABLE cheeps (id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, version INT UNSIGNED NOT NULL,
    author_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, message TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    in_reply_to CHAR(36) CHARACTER SET ascii COLLATE ascii_bin, posted_at CHAR(24) CHARACTER SET ascii COLLATE ascii_bin NOT NULL) ENGINE = InnoDB;
  INSERT INTO cheeps VALUES ('first', 1, 'alice', 'Hello', NULL, '2026-01-01T00:00:00.000Z'), ('second', 1, 'bob', 'Hi', 'first', '2026-01-01T00:00:01.000Z')`;
const REST_OF_FIRST_RELEASE = `
  CREATE TABLE follows (id CHAR(73) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, version INT UNSIGNED NOT NULL,
    follower_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, followed_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    active TINYINT(1) NOT NULL, KEY followed_by (follower_id, active)) ENGINE = InnoDB;
  CREATE TABLE journal_head (id TINYINT UNSIGNED NOT NULL PRIMARY KEY, position BIGINT UNSIGNED NOT NULL,
    epoch VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, lanes SMALLINT UNSIGNED) ENGINE = InnoDB;
  INSERT INTO journal_head (id, position, epoch) VALUES (1, 2, 'abcdef01');
  CREATE TABLE journal (position BIGINT UNSIGNED NOT NULL PRIMARY KEY, entry_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    type VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, aggregate_type VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin,
    aggregate_id VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin, aggregate_version INT UNSIGNED,
    body MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    UNIQUE KEY history (aggregate_type, aggregate_id, aggregate_version)) ENGINE = InnoDB;
  CREATE TABLE inbox (sender_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, command_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    fingerprint VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, position BIGINT UNSIGNED NOT NULL,
    outcome TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL, PRIMARY KEY (sender_id, command_id)) ENGINE = InnoDB;
  CREATE TABLE parked (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, stream_created VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    sequence BIGINT UNSIGNED NOT NULL, stored_at VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, subject VARBINARY(1024) NOT NULL,
    headers MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, body LONGBLOB NOT NULL,
    reason TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, attempts INT UNSIGNED NOT NULL,
    parked_at CHAR(24) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, UNIQUE KEY message (stream_created, sequence, stored_at)) ENGINE = InnoDB;
  INSERT INTO mikro_orm_migrations (name) VALUES ('Migration0001')`;

/** Where migrations may begin: the statements that made the database, and the names of those that are then to be run. */
const BEGINNINGS = {
  'an empty database': { sql: 'SET @nothing = 0', expected: NAMES },
  'what an older release left': { sql: `${FIRST_RELEASE}; ${REST_OF_FIRST_RELEASE}`, expected: NAMES.slice(1) },
  'what an older release left half done': { sql: FIRST_RELEASE, expected: NAMES },
};

/** Works with a database of its own, whose default collation is nothing that a table of ours has. */
async function withDatabase<T>(sql: string, work: (url: string, connection: Connection) => Promise<T>): Promise<T> {
  const name = `m${randomBytes(6).toString('hex')}`;
  const connection = await mysql.createConnection({ uri: process.env.TEST_MYSQL_URL!, multipleStatements: true });
  try {
    await connection.query(`CREATE DATABASE ${name} CHARACTER SET latin1 COLLATE latin1_swedish_ci; USE ${name}; ${sql}`);

    return await work(`${process.env.TEST_MYSQL_URL!.replace(/\/$/, '')}/${name}`, connection);
  } finally {
    await connection.query(`DROP DATABASE ${name}`);
    await connection.end();
  }
}

/** All that there is to know of the tables, and of what migrations put into them. */
async function described(connection: Connection) {
  const ask = async (sql: string) => (await connection.query<RowDataPacket[]>(sql))[0];

  return {
    tables: await ask(
      `SELECT table_name AS name, engine AS engine, row_format AS rowFormat, table_collation AS collation
       FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name`,
    ),
    columns: await ask(
      `SELECT table_name AS tableName, ordinal_position AS position, column_name AS name, column_type AS type, collation_name AS collation,
         is_nullable AS nullable, column_default AS byDefault, extra AS extra
       FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position`,
    ),
    keys: await ask(
      `SELECT table_name AS tableName, index_name AS name, non_unique AS nonUnique, seq_in_index AS sequence, column_name AS columnName
       FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index`,
    ),
    run: await ask('SELECT name FROM mikro_orm_migrations ORDER BY id'),
    cheeps: await ask('SELECT id, thread_id AS threadId, deleted FROM cheeps ORDER BY id'),
    head: await ask(`SELECT id, position, lanes FROM journal_head`),
    processManagers: await ask('SELECT name, position FROM process_managers ORDER BY name'),
  };
}

/** The connection of a process that is killed after so many statements that change something; `isDead` tells whether it was. */
function killedAfter(connection: Connection, statements: number) {
  let left = statements;
  const killed = {
    isDead: false,
    query: (sql: string, values: unknown[]) => {
      if (!/^\s*(SELECT|SHOW|SET)\b/.test(sql) && left-- === 0) {
        killed.isDead = true;
        connection.destroy();
        throw new Error('killed');
      }
      return connection.query(sql, values);
    },
  };

  return killed as typeof killed & Pick<Connection, 'query'>;
}

describe('migrations', () => {
  it.each(Object.entries(BEGINNINGS))(
    'of %s end with the same tables after being killed at any statement',
    async (_, { sql, expected }) => {
      const [whole, run] = await withDatabase(sql, async (url, connection) => {
        const names = await migrate(url);
        return [await described(connection), names];
      });
      expect(run).toEqual(expected);
      expect(whole.run.map(({ name }) => String(name))).toEqual(NAMES);
      expect(whole.tables.filter(({ engine, collation }) => engine !== 'InnoDB' || collation !== 'utf8mb4_bin')).toEqual([]);
      expect(whole.cheeps.map(({ threadId }) => String(threadId))).toEqual(whole.cheeps.map(() => 'first'));
      expect(whole.head).toHaveLength(1);

      // One run after another, each killed one statement later than the one before: so each begins where a crash may have left the tables.
      await withDatabase(sql, async (url, connection) => {
        let isOver = false;
        for (let statements = 0; !isOver; statements++) {
          const killed = killedAfter(await mysql.createConnection(url), statements);
          await migrateWith(killed).catch((error: Error) => expect(error.message).toBe('killed'));
          isOver = !killed.isDead;
          if (isOver) expect(statements).toBeGreaterThan(10);
        }
        expect(await described(connection)).toEqual(whole);
      });
    },
  );

  it('have the same tables wherever they began', async () => {
    const all = await Promise.all(
      Object.values(BEGINNINGS).map(({ sql }) =>
        withDatabase(sql, async (url, connection) => {
          await migrate(url);
          const { tables, columns, keys } = await described(connection);
          return { tables, columns, keys };
        }),
      ),
    );
    for (const tables of all) expect(tables).toEqual(all[0]);
  });

  it('that run at once are run once', async () => {
    await withDatabase('SET @nothing = 0', async (url) => {
      const run = await Promise.all([1, 2, 3, 4].map(() => migrate(url)));
      expect(run.flat()).toEqual(NAMES);
    });
  });

  it('make a database that is not there', async () => {
    const name = `m${randomBytes(6).toString('hex')}`;
    const url = `${process.env.TEST_MYSQL_URL!.replace(/\/$/, '')}/${name}`;
    expect(await migrate(url)).toEqual(NAMES);
    expect(await migrate(url)).toEqual([]);
    const connection = await mysql.createConnection(url);
    await connection.query(`DROP DATABASE ${name}`);
    await connection.end();
  });
});
