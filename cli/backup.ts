/**
 * `cheeper backup` and `cheeper restore`: the whole truth, all tables as of one moment, in one file.
 *
 * The file is gzipped NDJSON, the same for MySQL and MariaDB: a header; for each table a line that says how it is made, and a line
 * for each row, as an array; at the end what there should be, and a checksum over all lines before. A restore reads all of it
 * before it touches anything.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Connection as StreamingConnection, RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { z } from 'zod';
import { readConfig } from '../shared/config.js';
import { EPOCH } from '../shared/token.js';
import { newEpoch } from '../write-side/journal.js';
import { migrate } from '../write-side/migrate.js';
import { migrationsList } from '../write-side/migrations/migrations.js';
import { MIGRATIONS_TABLE } from '../write-side/migrations/schema.js';
import { progress, readLines, writeWhole } from './lines.js';
import { withMysql } from './servers.js';
import { atMost, OperatorError, parseArguments, UsageError, type Subcommand } from './subcommand.js';
import { keepOthersAway, standingOf, tablesOf } from './truth.js';

const FORMAT = 1;
/** Characters of rows in one INSERT, about: servers take packets of 16 MiB and more. */
const MAX_CHARACTERS_IN_AN_INSERT = 1024 * 1024;
const MAX_ROWS_IN_AN_INSERT = 2_000;
const MAX_ROWS_IN_A_CHUNK = 500;

const header = z.object({
  cheeper: z.literal('backup'),
  format: z.number().int(),
  epoch: z.string().regex(EPOCH),
  position: z.number().int().min(0),
  migrations: z.array(z.string()),
  at: z.string(),
});
const tableLine = z.object({
  table: z.string().regex(/^\w+$/),
  create: z.string().startsWith('CREATE TABLE'),
  columns: z.array(z.string().regex(/^\w+$/)),
});
const end = z.object({ end: z.object({ rows: z.record(z.string(), z.number().int()), sha256: z.string() }) });

type Header = z.infer<typeof header>;
type TableLine = z.infer<typeof tableLine>;
/** As text, whatever the column is; bytes as `{b: base64}`. */
type Cell = string | null | { b: string };

// ---- Backup

export const backup: Subcommand = {
  summary: 'The whole truth, as of one moment, in a file.',
  usage: `cheeper backup FILE [--force] [--json]

  FILE      gzipped; such as cheeper-2026-11-21.backup. It has everything that MySQL has: e-mail addresses and password hashes too.
  --force   replaces FILE when there is one
  --json    for programs: one JSON document

The services may run, and go on. NATS and Redis have nothing that is not in it, but for commands that have been accepted and not
run yet. Every mail and public event since would be sent again after a restore, if what led to it happens again.
The setting is that of the write side: MYSQL_URL.`,
  async run(args, print) {
    const { values, positionals } = parseArguments(args, {
      force: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    const [file] = atMost(positionals, 1);
    if (file === undefined) throw new UsageError('Into which file? cheeper backup --help tells more.');
    if (!values.force && (await exists(file))) throw new UsageError(`${file} is there already. With --force it is replaced.`);
    const done = await withMysql(readConfig(['MYSQL_URL']).MYSQL_URL, (connection) => write(connection, file));
    const total = Object.values(done.rows).reduce((a, b) => a + b, 0);
    print(
      values.json
        ? JSON.stringify({ file, ...done })
        : `${file}: epoch ${done.epoch} up to position ${done.position}, ${total} rows of ${Object.keys(done.rows).length} tables.`,
    );
  },
};

export async function exists(file: string): Promise<boolean> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw new OperatorError(`${file} cannot be looked at: ${error.message}`);
  });
  await handle?.close();

  return handle !== null;
}

async function write(connection: Connection, file: string) {
  await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT');
  const standing = await standingOf(connection);
  if (standing.is === 'unfinished')
    throw new OperatorError('A restore or an import was not finished here: there is no whole truth to back up.');
  const all = await tablesOf(connection);
  if (all.length === 0) throw new OperatorError('The database has no tables.');
  // In the order in which a restore makes them.
  const tables = [MIGRATIONS_TABLE, ...all.filter((name) => name !== MIGRATIONS_TABLE && name !== 'journal_head'), 'journal_head'];
  const [[head]] = await connection.query<RowDataPacket[]>('SELECT epoch, position FROM journal_head WHERE id = 1');
  const [migrations] = await connection.query<RowDataPacket[]>('SELECT name AS name FROM ?? ORDER BY id', [MIGRATIONS_TABLE]);
  const first: Header = {
    cheeper: 'backup',
    format: FORMAT,
    epoch: head!.epoch as string,
    position: Number(head!.position),
    migrations: migrations.map(({ name }) => String(name)),
    at: new Date().toISOString(),
  };
  const sha256 = createHash('sha256');
  const rows: Record<string, number> = {};
  const told = progress('rows');
  let count = 0;
  async function* lines(): AsyncGenerator<string> {
    yield `${JSON.stringify(first)}\n`;
    for (const table of tables) {
      const [[made]] = await connection.query<RowDataPacket[]>('SHOW CREATE TABLE ??', [table]);
      const [columns] = await connection.query<RowDataPacket[]>('SHOW COLUMNS FROM ??', [table]);
      const line: TableLine = { table, create: String(made!['Create Table']), columns: columns.map((column) => String(column.Field)) };
      yield `${JSON.stringify(line)}\n`;
      rows[table] = 0;
      for await (const chunk of readTable(connection, table)) {
        rows[table] += chunk.length;
        told((count += chunk.length));
        yield chunk.map((row) => `${JSON.stringify(row)}\n`).join('');
      }
    }
  }
  async function* checked(): AsyncGenerator<string> {
    for await (const text of lines()) {
      sha256.update(text);
      yield text;
    }
    yield `${JSON.stringify({ end: { rows, sha256: sha256.digest('hex') } })}\n`;
  }
  await writeWhole(file, checked, { gzip: true });
  told(count, true);

  return { epoch: first.epoch, position: first.position, rows };
}

/** All rows of a table, some at a time: what waits is bounded by the driver's stream. */
async function* readTable(connection: Connection, table: string): AsyncGenerator<Cell[][]> {
  const [columns] = await connection.query<RowDataPacket[]>('SHOW COLUMNS FROM ??', [table]);
  const binary = new Set(columns.filter(({ Type }) => /blob|binary/i.test(String(Type))).map(({ Field }) => String(Field)));
  // In the order of the primary key, as it is stored.
  const { connection: underneath } = connection as unknown as { connection: StreamingConnection };
  const stream = underneath
    .query({
      sql: 'SELECT * FROM ??',
      values: [table],
      rowsAsArray: true,
      typeCast: (field) => {
        if (!binary.has(field.name)) return field.string();
        const bytes = field.buffer();
        return bytes && { b: bytes.toString('base64') };
      },
    })
    .stream({ highWaterMark: MAX_ROWS_IN_AN_INSERT });
  let chunk: Cell[][] = [];
  for await (const row of stream) {
    chunk.push(row as Cell[]);
    if (chunk.length < MAX_ROWS_IN_A_CHUNK) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}

// ---- Restore

export const restore: Subcommand = {
  summary: 'Puts a backup in the place of what the database has, and begins a new epoch.',
  usage: `cheeper restore FILE [--yes] [--json]

  FILE     what cheeper backup wrote; all of it is checked before anything is touched
  --yes    replaces what the database has, if it has anything
  --json   for programs: one JSON document

All write sides must be stopped. Then start the services again: the stream of events, public events and all projections are made
anew from the journal. Consistency tokens and cursors of before are refused. Interrupted, it leaves a database with which no write
side works: run it again. After an older release's backup the tables are brought up to date.
The settings are those of the write side: MYSQL_URL (the database is made when it is not there), NAMESPACE.`,
  async run(args, print) {
    const { values, positionals } = parseArguments(args, {
      yes: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    const [file] = atMost(positionals, 1);
    if (file === undefined) throw new UsageError('From which file? cheeper restore --help tells more.');
    const { MYSQL_URL, NAMESPACE } = readConfig(['MYSQL_URL', 'NAMESPACE']);
    const { first, rows } = await check(file);
    await makeDatabase(MYSQL_URL);
    const epoch = await withMysql(MYSQL_URL, async (connection) => {
      await keepOthersAway(connection, NAMESPACE);
      const standing = await standingOf(connection);
      if (standing.is !== 'empty' && !values.yes) {
        throw new UsageError(
          standing.is === 'used'
            ? `This replaces all that the database has (epoch ${standing.epoch}, up to position ${standing.position}) by epoch ${first.epoch} up to position ${first.position}. With --yes it is done.`
            : 'A restore or an import was not finished here, and this replaces what it has left. With --yes it is done.',
        );
      }

      return load(connection, MYSQL_URL, file, first, rows);
    });
    const result = { file, epoch, position: first.position, formerEpoch: first.epoch, rows };
    print(
      values.json
        ? JSON.stringify(result)
        : `Restored up to position ${first.position}, in the new epoch ${epoch}. Start the services again: all else is made anew from it.`,
    );
  },
};

/** Reads all of it, and touches nothing. @throws OperatorError when anything about it is wrong */
async function check(file: string): Promise<{ first: Header; rows: Record<string, number> }> {
  const sha256 = createHash('sha256');
  const rows: Record<string, number> = {};
  let first: Header | null = null;
  let last: z.infer<typeof end> | null = null;
  let table = '';
  let n = 0;
  for await (const lines of readLines(file, { gzip: true })) {
    for (const line of lines) {
      n += 1;
      const damaged = (why: string) => new OperatorError(`${file} is damaged: line ${n} ${why}. Nothing was touched.`);
      if (last) throw damaged('comes after the end');
      if (!first) {
        first = headerOf(file, line);
      } else if (line.startsWith('{"end"')) {
        last = parsed(line, end, damaged);
        continue;
      } else if (line.startsWith('{')) {
        ({ table } = parsed(line, tableLine, damaged));
        rows[table] = 0;
      } else {
        if (!table) throw damaged('is of no table');
        rows[table] = rows[table]! + 1;
      }
      sha256.update(`${line}\n`);
    }
  }
  if (!first) throw new OperatorError(`${file} is empty.`);
  if (!last) throw new OperatorError(`${file} is cut short: its end is missing. Nothing was touched.`);
  if (last.end.sha256 !== sha256.digest('hex'))
    throw new OperatorError(`${file} is damaged: its checksum is not right. Nothing was touched.`);
  for (const [name, count] of Object.entries(last.end.rows)) {
    if (rows[name] !== count)
      throw new OperatorError(`${file} is damaged: ${name} has ${rows[name] ?? 'no'} rows, and should have ${count}.`);
  }

  return { first, rows };
}

function headerOf(file: string, line: string): Header {
  const noBackup = () => new OperatorError(`${file} is no backup: cheeper backup writes those. Nothing was touched.`);
  const first = parsed(line, header, noBackup);
  if (first.format !== FORMAT) throw new OperatorError(`${file} is a backup of format ${first.format}, and this release knows ${FORMAT}.`);
  const known = new Set<string>(migrationsList.map(({ name }) => name));
  const unknown = first.migrations.filter((name) => !known.has(name));
  if (unknown.length > 0) throw new OperatorError(`${file} is of a newer release (${unknown.join(', ')}): restore it with that one.`);

  return first;
}

function parsed<T>(line: string, schema: z.ZodType<T>, damaged: (why: string) => OperatorError): T {
  try {
    return schema.parse(JSON.parse(line));
  } catch {
    throw damaged('is not what it should be');
  }
}

async function makeDatabase(url: string): Promise<void> {
  const server = new URL(url);
  const name = server.pathname.slice(1);
  server.pathname = '/';
  await withMysql(server.href, async (connection) => {
    await connection.query('CREATE DATABASE IF NOT EXISTS ?? CHARACTER SET utf8mb4 COLLATE utf8mb4_bin', [name]);
  });
}

/** Replaces everything. The table of migrations is there throughout, and never empty, so that nobody begins anew in between; the head comes last. */
async function load(connection: Connection, mysqlUrl: string, file: string, first: Header, rows: Record<string, number>): Promise<string> {
  const left = new Set(await tablesOf(connection));
  const drop = async (name: string) => {
    if (left.delete(name)) await connection.query('DROP TABLE ??', [name]);
  };
  await drop('journal_head');
  const collations = await collationsOf(connection);
  const told = progress(
    'rows',
    Object.values(rows).reduce((a, b) => a + b, 0),
  );
  let count = 0;
  let table: Inserts | null = null;
  let current = '';
  let isHeader = true;
  for await (const lines of readLines(file, { gzip: true })) {
    for (const line of lines) {
      if (isHeader || line.startsWith('{"end"')) {
        isHeader = false;
        continue;
      }
      if (!line.startsWith('{')) {
        const row = JSON.parse(line) as Cell[];
        told(++count);
        // The head is made anew; its number of lanes is that of the write side that comes first.
        if (table!.name !== 'journal_head') await table!.add(row);
        continue;
      }
      await table?.flush();
      // Without a row in it the table of migrations says that none has been run, and whoever ran them would begin a new journal here.
      if (current === MIGRATIONS_TABLE) await connection.query('COMMIT');
      const { table: name, create, columns } = tableLine.parse(JSON.parse(line));
      if (name === MIGRATIONS_TABLE && left.delete(name)) {
        await connection.query('START TRANSACTION; DELETE FROM ??', [name]);
      } else {
        await drop(name);
        await connection.query(withKnownCollations(create, collations));
      }
      table = new Inserts(connection, name, columns);
      current = name;
    }
  }
  await table?.flush();
  told(count, true);
  for (const name of left) await drop(name);
  for (const [name, wanted] of Object.entries(rows)) {
    if (name === 'journal_head') continue;
    const [[counted]] = await connection.query<RowDataPacket[]>('SELECT COUNT(*) AS n FROM ??', [name]);
    if (Number(counted!.n) !== wanted) throw new OperatorError(`${name} has ${counted!.n} rows, and should have ${wanted}. Run it again.`);
  }
  await migrate(mysqlUrl);
  const epoch = newEpoch();
  await connection.query('INSERT INTO journal_head (id, position, epoch) VALUES (1, ?, ?)', [first.position, epoch]);

  return epoch;
}

async function collationsOf(connection: Connection): Promise<Set<string>> {
  const [rows] = await connection.query<RowDataPacket[]>('SELECT collation_name AS name FROM information_schema.collations');

  return new Set(rows.map(({ name }) => String(name)));
}

/**
 * MySQL and MariaDB have default collations that the other does not know. The tables of this system name theirs, which both know; older
 * releases left the table's own to the server, which matters to no column of theirs.
 */
const withKnownCollations = (create: string, known: ReadonlySet<string>): string =>
  create.replace(/\bCOLLATE([ =])(utf8mb4_\w+)/g, (text, equals: string, name: string) =>
    known.has(name) ? text : `COLLATE${equals}utf8mb4_bin`,
  );

/** Rows on their way into a table, many in a statement. */
class Inserts {
  private rows: (string | null | Buffer)[][] = [];
  private size = 0;

  constructor(
    private readonly connection: Connection,
    readonly name: string,
    readonly columns: string[],
  ) {}

  async add(row: Cell[]): Promise<void> {
    this.rows.push(row.map((cell) => (cell !== null && typeof cell === 'object' ? Buffer.from(cell.b, 'base64') : cell)));
    for (const cell of row) this.size += typeof cell === 'string' ? cell.length : (cell?.b.length ?? 0);
    if (this.rows.length >= MAX_ROWS_IN_AN_INSERT || this.size >= MAX_CHARACTERS_IN_AN_INSERT) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.rows.length === 0) return;
    await this.connection.query('INSERT INTO ?? (??) VALUES ?', [this.name, this.columns, this.rows]);
    this.rows = [];
    this.size = 0;
  }
}
