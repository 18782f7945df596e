/**
 * Changes of the tables that can be repeated.
 *
 * MySQL and MariaDB commit each DDL statement by itself, so a migration that dies leaves the statements that it has run. It is run again
 * from its first statement, which must then find that its work is done. So a migration uses the methods below, and its own statements
 * change nothing the second time.
 */
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';

export interface Migration {
  /** As in the table `mikro_orm_migrations`: never changed. */
  name: string;
  /** Runs any number of times, also after it has died at any statement. */
  up(schema: Schema): Promise<void>;
}

/** The table of the migrations that have been run. MikroORM made the first ones, hence its name. */
export const MIGRATIONS_TABLE = 'mikro_orm_migrations';

/**
 * What each table says of itself, whatever the server's defaults are: a table without a collation gets the server's, which another server
 * may not know (MariaDB 10.11 has no `utf8mb4_0900_ai_ci`), and a compact row format allows no index on an e-mail address.
 */
const TABLE_OPTIONS = 'ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

// Ids and handles are compared byte by byte, except usernames, which are unique in any case. Times are ISO 8601 text: the
// same in every database and every driver.
export const ID = 'CHAR(36) CHARACTER SET ascii COLLATE ascii_bin';
export const PAIR_ID = 'CHAR(73) CHARACTER SET ascii COLLATE ascii_bin';
export const TIME = 'CHAR(24) CHARACTER SET ascii COLLATE ascii_bin';
export const DATE = 'CHAR(10) CHARACTER SET ascii COLLATE ascii_bin';
export const TEXT = 'TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';
export const LONG_TEXT = 'MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';
export const WORD = (length: number) => `VARCHAR(${length}) CHARACTER SET ascii COLLATE ascii_bin`;

export class Schema {
  constructor(private readonly connection: Pick<Connection, 'query'>) {}

  async run(sql: string, values: unknown[] = []): Promise<void> {
    await this.connection.query(sql, values);
  }

  async createTable(name: string, definition: string): Promise<void> {
    await this.run(`CREATE TABLE IF NOT EXISTS ${name} (${definition}) ${TABLE_OPTIONS}`);
  }

  /** Adds those columns that the table has not, in one statement. */
  async addColumns(table: string, columns: Record<string, string>): Promise<void> {
    const rows = await this.select(
      'SELECT column_name AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?',
      [table],
    );
    const there = new Set(rows.map(({ name }) => String(name).toLowerCase()));
    const missing = Object.entries(columns).filter(([name]) => !there.has(name));
    if (missing.length === 0) return;
    await this.run(`ALTER TABLE ${table} ${missing.map(([name, definition]) => `ADD COLUMN ${name} ${definition}`).join(', ')}`);
  }

  async addKey(table: string, name: string, columns: string): Promise<void> {
    const rows = await this.select(
      'SELECT index_name AS name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = ? AND index_name = ?',
      [table, name],
    );
    if (rows.length === 0) await this.run(`ALTER TABLE ${table} ADD KEY ${name} (${columns})`);
  }

  /** The names of the migrations that have been run. Makes their table, if need be. */
  async namesOfRun(): Promise<Set<string>> {
    await this.createTable(
      MIGRATIONS_TABLE,
      `id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
       name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
       executed_at DATETIME DEFAULT CURRENT_TIMESTAMP`,
    );
    const rows = await this.select(`SELECT name AS name FROM ${MIGRATIONS_TABLE}`);

    return new Set(rows.map(({ name }) => String(name)));
  }

  async markAsRun(name: string): Promise<void> {
    await this.run(`INSERT INTO ${MIGRATIONS_TABLE} (name) VALUES (?)`, [name]);
  }

  /** Tables that older releases made have the server's collation of that time; the columns of all but one of them name their own. */
  async nameCollations(): Promise<void> {
    const tables = await this.select(
      `SELECT table_name AS name FROM information_schema.tables
       WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND engine = 'InnoDB' AND table_collation <> 'utf8mb4_bin'
       ORDER BY table_name`,
    );
    for (const { name } of tables) {
      if (name === MIGRATIONS_TABLE) await this.run(`ALTER TABLE ${MIGRATIONS_TABLE} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`);
      else if (TABLES.has(String(name))) await this.run(`ALTER TABLE ${String(name)} DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`);
    }
  }

  private async select(sql: string, values: unknown[] = []): Promise<RowDataPacket[]> {
    const [rows] = await this.connection.query<RowDataPacket[]>(sql, values);

    return rows;
  }
}

/** Those of releases that did not name the collation of a table. */
const TABLES = new Set([
  'authors',
  'password_hashes',
  'cheeps',
  'follows',
  'journal_head',
  'journal',
  'inbox',
  'parked',
  'likes',
  'notifications',
  'notification_lists',
  'process_managers',
  'mails',
  'lanes',
  'skipped_entries',
]);
