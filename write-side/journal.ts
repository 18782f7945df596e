/** The journal: everything that has happened, in one table, in commit order. Written by `batch.ts`, read here. */
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

export interface JournalHead {
  epoch: string;
  position: number;
}

export async function readHead(database: Queryable): Promise<JournalHead> {
  const [[head]] = await database.query<RowDataPacket[]>('SELECT epoch, position FROM journal_head WHERE id = 1', []);
  if (!head) throw new Error('the journal has no head: run the migrations');

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
