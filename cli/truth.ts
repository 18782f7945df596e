/**
 * What replaces the truth, or gives it a new epoch, has it for itself alone meanwhile: it holds the named locks without which no
 * write side works. And whatever is begun here has its journal head written last, without which none works either: half a restore
 * is never taken for a whole one, however it ended.
 */
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { lockNames } from '../shared/names.js';
import { MIGRATIONS_TABLE } from '../write-side/migrations/schema.js';
import { OperatorError } from './subcommand.js';

/** As many write sides as there can be: one for each lane. */
const MAX_WRITE_SIDES = 256;
const PROCESS_MANAGERS = ['reactions', 'mailer'];

/**
 * Keeps all write sides away for as long as the connection lives.
 * @throws OperatorError when one is connected
 */
export async function keepOthersAway(connection: Connection, namespace: string): Promise<void> {
  const names = lockNames(namespace);
  const locks = [
    ...Array.from({ length: MAX_WRITE_SIDES }, (_, n) => names.writer(n)),
    ...Array.from({ length: MAX_WRITE_SIDES }, (_, n) => names.lane(n)),
    ...[names.relay, names.publicEvents],
    ...PROCESS_MANAGERS.map((name) => names.processManager(name)),
  ];
  const [[row]] = await connection.query<RowDataPacket[]>(`SELECT ${locks.map((_, i) => `GET_LOCK(?, 0) AS l${i}`).join(', ')}`, locks);
  if (Object.values(row!).some((got) => Number(got) !== 1)) {
    await connection.query(`SELECT ${locks.map((_, i) => `RELEASE_LOCK(?) AS l${i}`).join(', ')}`, locks);
    throw new OperatorError('A write side is connected to this database: stop all of them first.');
  }
}

/** The database's own tables, in the order of their names. */
export async function tablesOf(connection: Connection): Promise<string[]> {
  const [rows] = await connection.query<RowDataPacket[]>(
    `SELECT table_name AS name FROM information_schema.tables
     WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY table_name`,
  );

  return rows.map(({ name }) => String(name));
}

/** What a database is to somebody who would replace what is in it. */
export type Standing =
  /** No tables, or none that has anything of a system. */
  | { is: 'empty' }
  /** A restore or an import has begun here, and was not finished. */
  | { is: 'unfinished' }
  | { is: 'used'; epoch: string; position: number };

/** Tables that are filled by the migrations, or by a write side that has only just begun. */
const BEGUN_WITH = new Set([MIGRATIONS_TABLE, 'journal_head', 'process_managers', 'lanes']);

export async function standingOf(connection: Connection): Promise<Standing> {
  const tables = await tablesOf(connection);
  if (tables.length === 0) return { is: 'empty' };
  if (!tables.includes('journal_head')) return { is: 'unfinished' };
  const [[head]] = await connection.query<RowDataPacket[]>('SELECT epoch, position FROM journal_head WHERE id = 1');
  if (!head) return { is: 'unfinished' };
  const position = Number(head.position);
  if (position > 0) return { is: 'used', epoch: head.epoch as string, position };
  for (const table of tables.filter((name) => !BEGUN_WITH.has(name))) {
    const [rows] = await connection.query<RowDataPacket[]>('SELECT 1 FROM ?? LIMIT 1', [table]);
    if (rows.length > 0) return { is: 'used', epoch: head.epoch as string, position };
  }

  return { is: 'empty' };
}
