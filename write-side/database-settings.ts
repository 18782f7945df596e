/**
 * What MySQL (or MariaDB) and its tables must be like for the promises to hold, looked at on every connect.
 *
 * A wrong setting stops the start with one line. One that is found later, after a reconnect, is told by `readyz` and the log, and
 * nothing is written until it is right (docs/decisions/0010).
 */
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { ConfigError } from '../shared/config.js';
import { tlsFault } from '../shared/server-url.js';
import { migrationsList } from './migrations/migrations.js';
import { MIGRATIONS_TABLE } from './migrations/schema.js';

/** Versions that have all that is used here. */
const LEAST_MYSQL = '8.0';
const LEAST_MARIADB = '10.6';
/** What is parked goes in one packet: a batch of 2 MiB, twice as long as text. */
export const LEAST_PACKET_BYTES = 16 * 1024 * 1024;

/** Without these, what was answered COMMITTED could be lost, or be published and then be gone. */
const DURABLE = { innodb_flush_log_at_trx_commit: '1', log_bin: 'ON', sql_log_bin: 'ON', sync_binlog: '1', read_only: 'OFF' };

/**
 * The server answers, but not to us: an unknown user or database, a wrong password, an address or an authentication that it does not
 * accept, no encryption where it wants some.
 */
const REFUSALS = new Set([1044, 1045, 1049, 1130, 1251, 1698, 1820, 1862, 3118, 3159, 3955]);
const REFUSAL_CODES = new Set(['HANDSHAKE_NO_SSL_SUPPORT', 'HANDSHAKE_SSL_ERROR', 'AUTH_SWITCH_PLUGIN_ERROR']);

/** The driver calls it an error of TLS too when the connection breaks off meanwhile. */
const WAS_CUT = /socket disconnected|ECONNRESET|EPIPE|ETIMEDOUT|has been silent/;

/** The server and the tables were right once, in this process. */
let wereRight = false;

/** An error on connecting, as it is to be thrown: a ConfigError when the server refuses us, and has never been right in this process. */
export function refusalAtStart(error: unknown): unknown {
  const { errno, code, message } = error as { errno?: number; code?: string; message: string };
  const isRefusal = REFUSALS.has(errno ?? -1) || (REFUSAL_CODES.has(code ?? '') && !WAS_CUT.test(message));
  if (wereRight || !isRefusal) return error;

  return new ConfigError(`MySQL: ${tlsFault(error) ?? message}${errno === 1049 ? ': run the migrations' : ''}`);
}

/**
 * @param session what the session was told to be, read back: between us and the server there may be a proxy that knows better
 * @throws ConfigError naming all that is wrong, in one line; another error with that line when it was right before
 */
export async function expectRightSettings(connection: Connection, session: Record<string, string>): Promise<void> {
  const faults = [...(await wrongSettings(connection, session)), ...(await wrongTables(connection))];
  if (faults.length > 0) throw new (wereRight ? Error : ConfigError)(`MySQL: ${faults.join('; ')}`);
  wereRight = true;
}

async function wrongSettings(connection: Connection, session: Record<string, string>): Promise<string[]> {
  const wanted: Record<string, string> = { ...DURABLE, ...session };
  // MariaDB and MySQL have different names for the isolation; SHOW leaves out what it does not know.
  const others = ['version', 'max_allowed_packet', 'sql_mode', 'autocommit', 'binlog_format', 'transaction_isolation', 'tx_isolation'];
  const names = [...Object.keys(wanted), ...others];
  const [rows] = await connection.query<RowDataPacket[]>('SHOW SESSION VARIABLES WHERE Variable_name IN (?)', [names]);
  const actual = new Map(rows.map((row) => [String(row.Variable_name), String(row.Value)]));
  const faults: string[] = [];
  for (const [name, value] of Object.entries(wanted)) {
    if (actual.get(name) !== value) faults.push(`${name} is ${actual.get(name) ?? 'not known'}, and must be ${value}`);
  }
  faults.push(...wrongForStatements(actual));
  const version = actual.get('version') ?? '0';
  const [kind, least] = version.includes('MariaDB') ? ['MariaDB', LEAST_MARIADB] : ['MySQL', LEAST_MYSQL];
  if (isOlder(version, least)) faults.push(`${kind} is ${version}, and must be ${least} or later`);
  const packet = Number(actual.get('max_allowed_packet'));
  if (!(packet >= LEAST_PACKET_BYTES)) faults.push(`max_allowed_packet is ${packet}, and must be ${LEAST_PACKET_BYTES} or more`);
  if (actual.get('autocommit') !== 'ON') faults.push(`the session's autocommit is ${actual.get('autocommit')}, and was set to ON`);
  const isolation = actual.get('transaction_isolation') ?? actual.get('tx_isolation');
  if (isolation !== 'READ-COMMITTED') faults.push(`the session's isolation is ${isolation}, and was set to READ-COMMITTED`);
  const mode = actual.get('sql_mode') ?? '';
  if (!mode.includes('STRICT_ALL_TABLES')) faults.push(`the session's sql_mode is ${mode || 'empty'}, and was set to STRICT_ALL_TABLES`);

  return faults;
}

/** InnoDB refuses each statement that changes a row while the session logs statements. */
function wrongForStatements(actual: ReadonlyMap<string, string>): string[] {
  return actual.get('binlog_format') === 'STATEMENT' ? ['binlog_format is STATEMENT, and must be ROW or MIXED'] : [];
}

/** @throws ConfigError when the tables cannot be changed with these settings, in one line */
export async function expectSettingsForMigrations(connection: Pick<Connection, 'query'>): Promise<void> {
  const [rows] = await connection.query<RowDataPacket[]>(`SHOW SESSION VARIABLES WHERE Variable_name IN ('binlog_format', 'read_only')`);
  const actual = new Map(rows.map((row) => [String(row.Variable_name), String(row.Value)]));
  const faults = wrongForStatements(actual);
  if (actual.get('read_only') !== 'OFF') faults.push(`read_only is ${actual.get('read_only')}, and must be OFF`);
  if (faults.length > 0) throw new ConfigError(`MySQL: ${faults.join('; ')}`);
}

async function wrongTables(connection: Connection): Promise<string[]> {
  const [tables] = await connection.query<RowDataPacket[]>(
    `SELECT table_name AS name, engine AS engine FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'`,
  );
  if (!tables.some(({ name }) => name === MIGRATIONS_TABLE)) return ['there are no tables: run the migrations'];
  const [rows] = await connection.query<RowDataPacket[]>(`SELECT name AS name FROM ${MIGRATIONS_TABLE}`);
  const run = new Set(rows.map(({ name }) => String(name)));
  const known = new Set(migrationsList.map(({ name }) => name));
  const missing = [...known].filter((name) => !run.has(name));
  const unknown = [...run].filter((name) => !known.has(name));
  const faults: string[] = [];
  if (missing.length > 0) faults.push(`the tables are older than this release (without ${missing.join(', ')}): run the migrations`);
  if (unknown.length > 0) faults.push(`the tables are of a newer release (${unknown.join(', ')}): start that one`);
  const others = tables.filter(({ engine }) => engine !== 'InnoDB').map(({ name, engine }) => `${name} (${engine})`);
  if (others.length > 0) faults.push(`tables must be InnoDB, and these are not: ${others.join(', ')}`);

  return faults;
}

function isOlder(version: string, least: string): boolean {
  const [a, b] = [version, least].map((text) => text.split('.').map((part) => Number.parseInt(part, 10)));

  return a![0]! < b![0]! || (a![0] === b![0] && a![1]! < b![1]!);
}
