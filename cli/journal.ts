/** `cheeper journal`: what has happened, as it was written down: to look at, to take away, and to begin anew from. */
import { pipeline } from 'node:stream/promises';
import type { Connection as StreamingConnection, RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { readConfig } from '../shared/config.js';
import type { EntryBody } from '../shared/messages/event.js';
import { decodeEntry } from '../shared/messages/upcast.js';
import { createPool } from '../write-side/database.js';
import { readSkips } from '../write-side/journal.js';
import { migrate } from '../write-side/migrate.js';
import { exists } from './backup.js';
import { FORMAT, importJournal, type JournalHeader } from './import.js';
import { progress, writeWhole } from './lines.js';
import { expectReaderGone } from './output.js';
import { describe, withMysql } from './servers.js';
import { atMost, OperatorError, parseArguments, table, UsageError, wholeNumber, type Subcommand } from './subcommand.js';
import { keepOthersAway, standingOf } from './truth.js';

const USAGE = `cheeper journal [show] [POSITION] [--from POSITION] [--to POSITION] [--type TYPE] [--aggregate ID] [--limit N] [--json]
cheeper journal export FILE|- [--force] [--json]
cheeper journal import FILE|- [--yes] [--json]

  show     one entry whole, or those between two positions, the newest ones when neither is given. --type: of one type, such as
           CheepPosted. --aggregate: of an author or a cheep by its id; of a follow or like by its two, with a colon between them.
           --limit: so many at the most, ${20} if not said
  export   everything as of one moment, as NDJSON: a header, then one entry a line. The services may run.
           --force replaces FILE when there is one.
  import   makes everything that MySQL has from the journal in FILE, in an empty database, with a new epoch. All write sides must
           be stopped. LANES and SHARDS may be others than they were. A line that is wrong is named, and then nothing is there.
           --yes empties a database in which an import, or a restore, was not finished.
  --json   for programs: one JSON document

What a journal cannot give back: password hashes (nobody signs in again with their old password; access tokens go on), what was
parked, and the fingerprints of sign-ups (one that is sent again is answered COMMAND_ID_REUSED). No mails are sent about what it
tells. For a copy of everything see cheeper backup.
The settings are those of the write side: MYSQL_URL (import makes the database when it is not there), and for import NAMESPACE.`;

const STANDARD_LIMIT = 20;
const MAX_SHOWN = 10_000;
const LARGEST_POSITION = 999_999_999_999_999;
/** Rows that the driver may have waiting. */
const BUFFER_ROWS = 2_000;
const ROWS_IN_A_WRITE = 500;

export const journal: Subcommand = {
  summary: 'What has happened: entries to look at, to export, and to import into an empty database.',
  usage: USAGE,
  async run(args, print) {
    const { values, positionals } = parseArguments(args, {
      from: { type: 'string' },
      to: { type: 'string' },
      type: { type: 'string' },
      aggregate: { type: 'string' },
      limit: { type: 'string' },
      force: { type: 'boolean', default: false },
      yes: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    const { json } = values;
    const [first, ...rest] = positionals;
    const isAction = first === 'show' || first === 'export' || first === 'import';
    if (first !== undefined && !isAction && !/^\d+$/.test(first)) {
      throw new UsageError(`There is no ${JSON.stringify(first)}: one of show, export, import. cheeper journal --help tells more.`);
    }
    const action = isAction ? first : 'show';
    const [operand] = atMost(isAction ? rest : positionals, 1);
    if (action === 'show') {
      const wanted = questionOf(operand, values);
      const { MYSQL_URL } = readConfig(['MYSQL_URL']);
      const entries = await withMysql(MYSQL_URL, (connection) => readEntries(connection, wanted));
      if (operand !== undefined && entries.length === 0) throw new OperatorError(`There is no entry at position ${operand}.`);
      if (json) print(JSON.stringify(operand === undefined ? entries : entries[0]));
      else print((operand === undefined ? listText(entries) : [JSON.stringify(entries[0], null, 2)]).join('\n'));
      return;
    }
    if (operand === undefined)
      throw new UsageError(action === 'export' ? 'Into which file? - is standard output.' : 'From which file? - is standard input.');
    if (action === 'export') {
      if (operand !== '-' && !values.force && (await exists(operand)))
        throw new UsageError(`${operand} is there already. With --force it is replaced.`);
      const header = await withMysql(readConfig(['MYSQL_URL']).MYSQL_URL, (connection) => exportJournal(connection, operand));
      if (operand === '-') return;
      print(json ? JSON.stringify({ file: operand, ...header }) : `${operand}: epoch ${header.epoch}, ${header.position} entries.`);
      return;
    }
    const { MYSQL_URL, NAMESPACE } = readConfig(['MYSQL_URL', 'NAMESPACE']);
    const startedAt = performance.now();
    await expectUnused(MYSQL_URL);
    await migrate(MYSQL_URL).catch((error: unknown) => {
      throw new OperatorError(`MySQL: ${describe(error)}`);
    });
    const imported = await withMysql(MYSQL_URL, async (connection) => {
      await keepOthersAway(connection, NAMESPACE);
      const standing = await standingOf(connection);
      if (standing.is === 'used') {
        throw notEmpty(standing.epoch, standing.position);
      }
      if (standing.is === 'unfinished' && !values.yes) {
        throw new UsageError('An import or a restore was not finished here. With --yes what it has left is removed first.');
      }

      return importJournal(connection, operand);
    });
    const seconds = (performance.now() - startedAt) / 1_000;
    const perSecond = Math.round(imported.position / seconds);
    print(
      json
        ? JSON.stringify({ file: operand, ...imported, seconds: Number(seconds.toFixed(1)), perSecond })
        : `Imported ${imported.position} entries in ${seconds.toFixed(1)} s (${perSecond}/s), in the new epoch ${imported.epoch}. Start the services: all else is made anew from it.`,
    );
  },
};

// ---- Looking

interface Question {
  from: number | null;
  to: number | null;
  type: string | null;
  aggregate: string | null;
  limit: number;
}

/** @throws UsageError */
function questionOf(
  operand: string | undefined,
  values: { from?: string; to?: string; type?: string; aggregate?: string; limit?: string },
): Question {
  const position = (what: string, text: string | undefined) => (text === undefined ? null : wholeNumber(what, text, 1, LARGEST_POSITION));
  const one = position('A position', operand);
  if (one !== null && [values.from, values.to, values.type, values.aggregate, values.limit].some((value) => value !== undefined)) {
    throw new UsageError('Either one position, or which of them.');
  }

  return {
    from: one ?? position('--from', values.from),
    to: one ?? position('--to', values.to),
    type: values.type ?? null,
    aggregate: values.aggregate?.toLowerCase() ?? null,
    limit: values.limit === undefined ? STANDARD_LIMIT : wholeNumber('--limit', values.limit, 1, MAX_SHOWN),
  };
}

type Shown = { position: number } & EntryBody;

async function readEntries(connection: Connection, { from, to, type, aggregate, limit }: Question): Promise<Shown[]> {
  const conditions: string[] = [];
  const values: (string | number)[] = [];
  const only = (condition: string, value: string | number | null) => {
    if (value === null) return;
    conditions.push(condition);
    values.push(value);
  };
  only('position >= ?', from);
  only('position <= ?', to);
  only('type = ?', type);
  if (aggregate !== null) {
    // By the index, whose first column is the type.
    conditions.push(`aggregate_type IN ('Author', 'Cheep', 'Follow', 'Like', 'Notifications')`);
    only('aggregate_id = ?', aggregate);
  }
  const direction = from === null ? 'DESC' : 'ASC';
  const [rows] = await connection.query<RowDataPacket[]>(
    `SELECT position, body FROM journal WHERE ${conditions.join(' AND ') || 'TRUE'} ORDER BY position ${direction} LIMIT ?`,
    [...values, limit],
  );
  const entries = rows.map(({ position, body }) => ({ position: Number(position), ...decodeEntry(body as string) }));

  return direction === 'DESC' ? entries.toReversed() : entries;
}

function listText(entries: Shown[]): string[] {
  if (entries.length === 0) return ['There is nothing.'];

  return table([
    ['POSITION', 'AT', 'EVENT', 'AGGREGATE', 'VERSION', 'COMMAND'],
    ...entries.map(({ position, at, event, aggregate, commandName, commandId }) => [
      String(position),
      at,
      event.type === 'CommandRefused' ? `${event.type} ${event.code}` : event.type,
      aggregate ? `${aggregate.type} ${aggregate.id}` : '-',
      aggregate ? String(aggregate.version) : '-',
      `${commandName} ${commandId}`,
    ]),
  ]);
}

// ---- Taking away

async function exportJournal(connection: Connection, file: string): Promise<JournalHeader & { position: number }> {
  await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT');
  const [[head]] = await connection.query<RowDataPacket[]>('SELECT epoch, position FROM journal_head WHERE id = 1');
  if (!head) throw new OperatorError('The journal has no head: a restore or an import was not finished here.');
  const [managers] = await connection.query<RowDataPacket[]>('SELECT name, position FROM process_managers');
  const header = {
    cheeper: 'journal' as const,
    format: FORMAT,
    epoch: head.epoch as string,
    position: Number(head.position),
    reactions: Number(managers.find(({ name }) => name === 'reactions')?.position ?? 0),
    skips: await readSkips(connection),
    at: new Date().toISOString(),
  };
  const told = progress('entries', header.position);
  let position = 0;
  async function* lines(): AsyncGenerator<string> {
    yield `${JSON.stringify(header)}\n`;
    const { connection: underneath } = connection as unknown as { connection: StreamingConnection };
    const rows = underneath
      .query({ sql: 'SELECT position, body FROM journal ORDER BY position', rowsAsArray: true })
      .stream({ highWaterMark: BUFFER_ROWS });
    let text: string[] = [];
    for await (const [at, body] of rows as AsyncIterable<[number | string, string]>) {
      position += 1;
      if (Number(at) !== position) throw new OperatorError(`The journal has a gap before position ${at}: cheeper verify tells more.`);
      // The entry as it stands there, and not as it would be written today.
      text.push(`{"position":${position},${body.slice(1)}\n`);
      if (text.length < ROWS_IN_A_WRITE) continue;
      yield text.join('');
      text = [];
      told(position);
    }
    yield text.join('');
    if (position !== header.position) throw new OperatorError(`The journal ends at ${position}, and its head is at ${header.position}.`);
  }
  if (file === '-') {
    await pipeline(lines, process.stdout, { end: false }).catch(expectReaderGone);
  } else {
    await writeWhole(file, lines);
  }
  told(position, true);

  return header;
}

/** Looked at before the tables are changed. @throws OperatorError when the database has a journal, of whichever release */
async function expectUnused(url: string): Promise<void> {
  const pool = createPool(url);
  try {
    // Whatever else is wrong is told by what comes next.
    const [[head]] = await pool.query<RowDataPacket[]>('SELECT epoch, position FROM journal_head WHERE id = 1').catch(() => [[]]);
    if (head && Number(head.position) > 0) throw notEmpty(head.epoch as string, Number(head.position));
  } finally {
    await pool.end();
  }
}

const notEmpty = (epoch: string, position: number) =>
  new OperatorError(`The database is not empty (epoch ${epoch}, up to position ${position}): a journal is imported into an empty one.`);
