/**
 * Makes the database that MYSQL_URL names, and brings its tables up to date: `node dist/write-side/migrate.js`
 *
 * One that was killed, at any statement, is run again and ends with the same tables. Of several at once, one works and the others wait.
 */
import { createHash } from 'node:crypto';
import type { RowDataPacket } from 'mysql2';
import mysql, { type Connection } from 'mysql2/promise';
import { ConfigError, readConfig } from '../shared/config.js';
import { tlsFault } from '../shared/server-url.js';
import { expectSettingsForMigrations } from './database-settings.js';
import { connectionOptions, setSession } from './database.js';
import { migrationsList } from './migrations/migrations.js';
import { Schema } from './migrations/schema.js';

/** The server ends the session of a process that has been silent for a minute, so that the next one has its turn. */
const SESSION = { waitSeconds: 60, lockWaitSeconds: 60 };
/** For another process that migrates the same database, which may have to copy large tables. */
const MAX_WAIT_SECONDS = 3_600;
const UNKNOWN_DATABASE = 1049;

/**
 * @returns the names of the migrations that it has run
 * @throws ConfigError when the server is not set up for it; else what MySQL says
 */
export async function migrate(mysqlUrl: string): Promise<string[]> {
  const connection = await connect(mysqlUrl);
  try {
    return await migrateWith(connection);
  } finally {
    connection.destroy();
  }
}

/** On a connection of its own, which must be closed afterwards. */
export async function migrateWith(connection: Pick<Connection, 'query'>): Promise<string[]> {
  await setSession(connection, SESSION);
  await expectSettingsForMigrations(connection);
  await waitForTurn(connection);
  const schema = new Schema(connection);
  const before = await schema.namesOfRun();
  const run: string[] = [];
  for (const { name, up } of migrationsList) {
    if (before.has(name)) continue;
    await up(schema);
    await schema.markAsRun(name);
    run.push(name);
  }
  await schema.nameCollations();

  return run;
}

async function connect(mysqlUrl: string): Promise<Connection> {
  const url = new URL(mysqlUrl);
  const name = url.pathname.slice(1);
  // The database is made only when it is missing, because its user need not have the right to make one.
  const to = (href: string) => mysql.createConnection(connectionOptions(href, { silenceMs: Infinity }));
  let connection;
  try {
    connection = await to(mysqlUrl);
  } catch (error) {
    if ((error as { errno?: number }).errno !== UNKNOWN_DATABASE) throw error;
    url.pathname = '/';
    connection = await to(url.href);
    try {
      await setSession(connection, SESSION);
      await connection.query(`CREATE DATABASE IF NOT EXISTS \`${name}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`);
      await connection.query(`USE \`${name}\``);
    } catch (cause) {
      connection.destroy();
      throw cause;
    }
  }
  connection.on('error', () => undefined); // The next statement fails, and says why.

  return connection;
}

/** Named locks are the server's, so the database is in the name; a name has up to 64 characters. */
async function waitForTurn(connection: Pick<Connection, 'query'>): Promise<void> {
  const [[row]] = await connection.query<RowDataPacket[]>('SELECT DATABASE() AS name');
  const lock = `cheeper migrations ${createHash('sha256').update(String(row!.name)).digest('hex').slice(0, 32)}`;
  const [[got]] = await connection.query<RowDataPacket[]>('SELECT GET_LOCK(?, ?) AS got', [lock, MAX_WAIT_SECONDS]);
  if (Number(got!.got) !== 1) throw new ConfigError(`MySQL: another process has been migrating this database for ${MAX_WAIT_SECONDS} s`);
}

if (process.argv[1] && import.meta.filename === process.argv[1]) {
  process.stdout.on('error', () => undefined); // The migrations go on when nobody reads the answer.
  try {
    const applied = await migrate(readConfig(['MYSQL_URL']).MYSQL_URL);
    process.stdout.write(applied.length ? `Migrated: ${applied.join(', ')}\n` : 'The database is up to date.\n');
  } catch (error) {
    const known = error instanceof ConfigError || (error as { code?: string }).code !== undefined;
    process.stderr.write(`migrate: ${known ? (tlsFault(error) ?? (error as Error).message) : (error as Error).stack}\n`);
    process.exitCode = 1;
  }
}
