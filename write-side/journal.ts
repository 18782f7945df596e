/** The journal: everything that has happened, in one table, in commit order. Written by `batch.ts`, read here. */
import { randomBytes } from 'node:crypto';
import type { RowDataPacket } from 'mysql2';

/** A journal entry as it is stored and published: its body is JSON of an `EntryBody`. */
export interface StoredEntry {
  position: number;
  entryId: string;
  type: string;
  body: string;
}

interface Queryable {
  query<T extends RowDataPacket[]>(sql: string, values: unknown[]): Promise<[T, unknown]>;
}

/** The name of a journal's life. */
export const newEpoch = (): string => randomBytes(4).toString('hex');

export interface JournalHead {
  epoch: string;
  position: number;
}

/** Whoever restores or imports a journal writes its head last: until then there is none to work with. */
export const NO_HEAD = 'the journal has no head: a restore or an import was not finished, or the migrations have not been run';

export async function readHead(database: Queryable): Promise<JournalHead> {
  const [[head]] = await database.query<RowDataPacket[]>('SELECT epoch, position FROM journal_head WHERE id = 1', []);
  if (!head) throw new Error(NO_HEAD);

  return { epoch: head.epoch as string, position: Number(head.position) };
}

/** The entries after a position, in order, up to a number. */
export async function readJournal(database: Queryable, after: number, most: number): Promise<StoredEntry[]> {
  const [rows] = await database.query<RowDataPacket[]>(
    'SELECT position, entry_id AS entryId, type, body FROM journal WHERE position > ? ORDER BY position LIMIT ?',
    [after, most],
  );

  return rows.map((row) => ({ ...(row as StoredEntry), position: Number(row.position) }));
}

/** An entry that a shard of a projection leaves out. */
export interface Skip {
  projection: string;
  shard: number;
  position: number;
}

/** Those that operators have named; there are few, if any. */
export async function readSkips(database: Queryable): Promise<Skip[]> {
  const [rows] = await database.query<RowDataPacket[]>('SELECT projection, shard, position FROM skipped_entries', []);

  return rows.map((row) => ({ ...(row as Skip), position: Number(row.position) }));
}
