/**
 * Is the truth consistent in itself? The journal has every position once; the inbox belongs to it; the tables of state are what
 * its entries make of nothing; and the stream of events is its copy. All of MySQL is read in one snapshot, so that it may be written
 * to meanwhile, and a bounded part at a time.
 */
import { isDeepStrictEqual } from 'node:util';
import { DeliverPolicy } from '@nats-io/jetstream';
import type { RowDataPacket } from 'mysql2';
import { Findings } from '../shared/findings.js';
import { NOBODY } from '../shared/ids.js';
import { streamInfo, type Nats } from '../shared/jetstream.js';
import { commandNamed } from '../shared/messages/commands.js';
import type { AggregateVersion, EntryBody, JournalEntry } from '../shared/messages/event.js';
import { decodeEntry } from '../shared/messages/upcast.js';
import { HEADERS, natsNames } from '../shared/names.js';
import { difference, fold } from './as-of.js';
import type { Pool } from './database.js';
import { inboxKey, type RecordedOutcome } from './inbox.js';
import { readHead, readJournal, type JournalHead } from './journal.js';
import { NotificationList, storedIds } from './notifications/notification.js';

/** Rows read at once. */
const MAX_READ = 1_000;
/** Rows that are asked for by their keys at once: of many more, MariaDB makes a table first, and reads all of the other. */
const MAX_KEYS = 250;
/** NATS has nothing more to say. */
const SILENCE_MS = 10_000;

export interface CheckOptions {
  signal: AbortSignal;
  /** Of about so many in all. */
  onProgress(done: number, all: number): void;
}

/** The database as of one moment; `head` is where the journal stands in it. */
export interface Frozen {
  head: JournalHead;
  query(sql: string, values?: unknown[]): Promise<RowDataPacket[]>;
  release(): void;
}

/** Who asks must release it: what is old is kept for as long as somebody sees it. */
export async function freeze(pool: Pool): Promise<Frozen> {
  const connection = await pool.getConnection();
  try {
    await connection.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY');
    const query = async (sql: string, values: unknown[] = []) => (await connection.query<RowDataPacket[]>(sql, values))[0];

    return { head: await readHead(connection), query, release: () => connection.destroy() };
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

interface JournalRow extends RowDataPacket {
  position: number | string;
  entry_id: string;
  type: string;
  aggregate_type: AggregateVersion['type'] | null;
  aggregate_id: string | null;
  aggregate_version: number | null;
  body: string;
}

// ---- The journal, and the inbox beside it

/** Positions without a gap up to the head; each row is what its body says, in a form that is known. */
export async function checkJournal({ head, query }: Frozen, { signal, onProgress }: CheckOptions): Promise<Findings> {
  const findings = new Findings();
  let last = 0;
  const missing = (to: number) => {
    if (to <= last + 1) return;
    const what = to === last + 2 ? `position ${last + 1}` : `positions ${last + 1} to ${to - 1}`;
    findings.differ(() => ({ what, is: null, shouldBe: to === last + 2 ? 'an entry' : `${to - last - 1} entries`, position: last + 1 }));
  };
  for (
    let rows;
    (rows = (await query('SELECT * FROM journal WHERE position > ? ORDER BY position LIMIT ?', [last, MAX_READ])) as JournalRow[]).length;
  ) {
    signal.throwIfAborted();
    for (const row of rows) {
      const position = Number(row.position);
      missing(position);
      last = position;
      findings.looked += 1;
      const fault = faultOf(row);
      if (fault) findings.differ(() => ({ what: `position ${position}`, position, ...fault }));
      else if (position > head.position) {
        findings.differ(() => ({ what: `position ${position}`, is: 'an entry', shouldBe: null, position }));
      }
    }
    onProgress(last, head.position);
  }
  missing(head.position + 1);

  return findings;
}

function faultOf(row: JournalRow): { is: string; shouldBe: string } | null {
  let entry: EntryBody;
  try {
    entry = decodeEntry(row.body);
  } catch (error) {
    return { is: (error as Error).message, shouldBe: 'an entry that can be decoded' };
  }
  const { entryId, aggregate, event } = entry;
  const said = [entryId, event.type, aggregate?.type ?? null, aggregate?.id ?? null, aggregate?.version ?? null];
  const stored = [row.entry_id, row.type, row.aggregate_type, row.aggregate_id, row.aggregate_version];

  return isDeepStrictEqual(said, stored) ? null : { is: `a row with ${stored.join(' ')}`, shouldBe: `as its body says: ${said.join(' ')}` };
}

interface InboxRecord {
  sender_id: string;
  command_id: string;
  fingerprint: string;
  position: number;
  outcome: string;
}

/** Every command's row, for each who may send it again, is of its last entry and says what came of it; there are no others. */
export async function checkInbox({ head, query }: Frozen, { signal, onProgress }: CheckOptions): Promise<Findings> {
  const findings = new Findings();
  const [counted] = await query('SELECT COUNT(*) AS rowCount FROM inbox');
  let last = 0;
  /** Entries of a command follow each other: here are those of the last command so far. */
  let open: JournalEntry[] = [];
  for (let entries; (entries = await decodable(query, last)).length > 0;) {
    signal.throwIfAborted();
    const commands: JournalEntry[] = [];
    for (const entry of entries) {
      if (open.length > 0 && (open[0]!.commandId !== entry.commandId || open[0]!.actorId !== entry.actorId)) commands.push(open.at(-1)!);
      open = open.length > 0 && open[0]!.commandId === entry.commandId && open[0]!.actorId === entry.actorId ? [...open, entry] : [entry];
    }
    last = entries.at(-1)!.position;
    if (entries.length < MAX_READ) {
      commands.push(...open.slice(-1));
      open = [];
    }
    await compareInbox(query, commands, findings);
    onProgress(last, head.position);
  }
  if (Number(counted!.rowCount) > findings.looked) await findStrangers(query, findings, signal);

  return findings;
}

/** Those that cannot be decoded are found by `checkJournal`. */
async function decodable(query: Frozen['query'], after: number): Promise<JournalEntry[]> {
  const rows = await query('SELECT position, body FROM journal WHERE position > ? ORDER BY position LIMIT ?', [after, MAX_READ]);

  return rows.flatMap(({ position, body }) => {
    try {
      return [{ ...decodeEntry(body as string), position: Number(position) }];
    } catch {
      return [];
    }
  });
}

async function queryKeys(query: Frozen['query'], sql: string, keys: unknown[]): Promise<RowDataPacket[]> {
  const rows: RowDataPacket[] = [];
  for (let i = 0; i < keys.length; i += MAX_KEYS) rows.push(...(await query(sql, [keys.slice(i, i + MAX_KEYS)])));

  return rows;
}

/** Under whom a command is kept in the inbox: its sender, and whose it was once it was done. */
const sendersOf = ({ commandName, actorId }: EntryBody): string[] => [
  ...new Set(commandNamed(commandName)?.actor ? [NOBODY, actorId] : [actorId]),
];

async function compareInbox(query: Frozen['query'], commands: JournalEntry[], findings: Findings): Promise<void> {
  const keys = commands.flatMap((entry) => sendersOf(entry).map((sender) => [sender, entry.commandId]));
  if (keys.length === 0) return;
  const rows = (await queryKeys(query, 'SELECT * FROM inbox WHERE (sender_id, command_id) IN (?)', keys)) as (InboxRecord &
    RowDataPacket)[];
  const byKey = new Map(rows.map((row) => [inboxKey(row.sender_id, row.command_id), row]));
  for (const entry of commands) {
    for (const sender of sendersOf(entry)) {
      const what = `command ${entry.commandId} of ${sender}`;
      const row = byKey.get(inboxKey(sender, entry.commandId));
      const expected = { position: entry.position, fingerprint: entry.fingerprint ?? row?.fingerprint, outcome: outcomeOf(entry) };
      if (!row) {
        findings.differ(() => ({ what, is: null, shouldBe: JSON.stringify(expected), position: entry.position }));
        continue;
      }
      findings.looked += 1;
      const found = { position: Number(row.position), fingerprint: row.fingerprint, outcome: parsed(row.outcome) };
      if (isDeepStrictEqual(found, expected)) continue;
      findings.differ(() => ({ what, is: JSON.stringify(found), shouldBe: JSON.stringify(expected), position: entry.position }));
    }
  }
}

function outcomeOf({ event, aggregate }: EntryBody): RecordedOutcome {
  if (event.type === 'CommandRefused') return { status: 'REJECTED', code: event.code, field: event.field };

  return { status: 'COMMITTED', version: aggregate?.version ?? null };
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

/** Rows whose command has no entry. */
async function findStrangers(query: Frozen['query'], findings: Findings, signal: AbortSignal): Promise<void> {
  let after = ['', ''];
  for (;;) {
    signal.throwIfAborted();
    const rows = await query(
      `SELECT inbox.*, journal.body FROM inbox LEFT JOIN journal ON journal.position = inbox.position
       WHERE sender_id > ? OR (sender_id = ? AND command_id > ?) ORDER BY sender_id, command_id LIMIT ?`,
      [after[0], after[0], after[1], MAX_READ],
    );
    if (rows.length === 0) return;
    for (const row of rows) {
      const entry = row.body === null ? null : (parsed(row.body as string) as Partial<EntryBody>);
      if (entry?.commandId === row.command_id) continue;
      const what = `command ${row.command_id} of ${row.sender_id}`;
      const position = Number(row.position);
      findings.differ(() => ({ what, is: `a row for position ${position}`, shouldBe: null, position }));
    }
    after = [rows.at(-1)!.sender_id as string, rows.at(-1)!.command_id as string];
  }
}

// ---- The tables of state

/** Where each kind of aggregate is kept. */
export const STATE_TABLES = {
  Author: { table: 'authors', key: 'id' },
  Cheep: { table: 'cheeps', key: 'id' },
  Follow: { table: 'follows', key: 'id' },
  Like: { table: 'likes', key: 'id' },
  Notifications: { table: 'notification_lists', key: 'author_id' },
} as const satisfies Record<AggregateVersion['type'], { table: string; key: string }>;

type State = Record<string, string | number | boolean | null>;

/** An aggregate that has been read whole. */
interface Folded {
  id: string;
  /** Of its last entry. */
  position: number;
  /** Null when its entries cannot be folded. */
  state: State | null;
}

/** The rows of a table are the fold of their aggregates' entries, which are the versions 1, 2, 3, …; there are no others. */
export async function checkState(frozen: Frozen, type: AggregateVersion['type'], { signal, onProgress }: CheckOptions): Promise<Findings> {
  const { query } = frozen;
  const { table, key } = STATE_TABLES[type];
  const findings = new Findings();
  const [counted] = await query('SELECT COUNT(*) AS entryCount FROM journal WHERE aggregate_type = ?', [type]);
  let [lastId, lastVersion, done] = ['', 0, 0];
  /** Up to here, rows have been compared. */
  let comparedTo = '';
  let open: JournalEntry[] = [];
  let notified = 0;
  for (let isLast = false; !isLast;) {
    signal.throwIfAborted();
    // Both databases go along the index; the text of a comparison of pairs they would not.
    const rows = await query(
      `SELECT position, aggregate_id, aggregate_version, body FROM journal FORCE INDEX (history)
       WHERE aggregate_type = ? AND (aggregate_id > ? OR (aggregate_id = ? AND aggregate_version > ?))
       ORDER BY aggregate_id, aggregate_version LIMIT ?`,
      [type, lastId, lastId, lastVersion, MAX_READ],
    );
    isLast = rows.length < MAX_READ;
    const folded: Folded[] = [];
    const close = () => {
      if (open.length > 0) folded.push(foldOf(type, open, findings));
      open = [];
    };
    for (const row of rows) {
      const position = Number(row.position);
      [lastId, lastVersion] = [row.aggregate_id as string, row.aggregate_version as number];
      try {
        const entry = { ...decodeEntry(row.body as string), position };
        if (open[0]?.aggregate?.id !== entry.aggregate?.id) close();
        open.push(entry);
      } catch {
        // Found by `checkJournal`.
      }
    }
    if (type === 'Notifications') notified += await checkNotifications(query, rows, findings);
    if (isLast) close();
    done += rows.length;
    const upTo = isLast ? null : (folded.at(-1)?.id ?? comparedTo);
    if (upTo !== comparedTo) await compareRows(query, { table, key, after: comparedTo, upTo }, folded, findings);
    comparedTo = upTo ?? comparedTo;
    onProgress(done, Number(counted!.entryCount));
  }
  if (type === 'Notifications') await countNotifications(query, notified, findings);
  if (type === 'Author') await countPasswords(query, findings);

  return findings;
}

function foldOf(type: AggregateVersion['type'], entries: JournalEntry[], findings: Findings): Folded {
  const { position, aggregate } = entries.at(-1)!;
  const { id } = aggregate!;
  try {
    const state = type === 'Notifications' ? foldNotifications(id, entries) : fold(entries);

    return { id, position, state: state as State | null };
  } catch (error) {
    const is = (error as Error).message;
    findings.differ(() => ({ what: `${type} ${id}`, is, shouldBe: 'entries that follow each other', position }));

    return { id, position, state: null };
  }
}

function foldNotifications(id: string, entries: JournalEntry[]): NotificationList {
  const list = NotificationList.empty(id);
  for (const { event, aggregate } of entries) {
    if (event.type === 'AuthorNotified') list.add(event);
    else if (event.type === 'NotificationsRead') list.read(event);
    else throw new Error(`${event.type} is no event of notifications`);
    if (list.version !== aggregate!.version) {
      throw new Error(`Notifications ${id} is said to be at version ${aggregate!.version}, and its entries make it ${list.version}`);
    }
  }

  return list;
}

interface Range {
  table: string;
  key: string;
  after: string;
  /** Null for the end. */
  upTo: string | null;
}

/** Rows and aggregates, both in the order of their ids. */
async function compareRows(
  query: Frozen['query'],
  { table, key, after, upTo }: Range,
  folded: Folded[],
  findings: Findings,
): Promise<void> {
  const expected = new Map(folded.map((one) => [one.id, one]));
  for (let from = after; ;) {
    const [condition, values] = upTo === null ? ['', []] : [`AND ${key} <= ?`, [upTo]];
    const rows = await query(`SELECT * FROM ${table} WHERE ${key} > ? ${condition} ORDER BY ${key} LIMIT ?`, [from, ...values, MAX_READ]);
    for (const row of rows) {
      const id = row[key] as string;
      const one = expected.get(id);
      expected.delete(id);
      findings.looked += 1;
      if (!one) findings.differ(() => ({ what: `${table} ${id}`, is: 'a row', shouldBe: null, position: null }));
      else if (one.state) compareRow(`${table} ${id}`, row, one.state, one.position, findings);
    }
    if (rows.length < MAX_READ) break;
    from = rows.at(-1)![key] as string;
  }
  for (const { id, state, position } of expected.values()) {
    if (state) findings.differ(() => ({ what: `${table} ${id}`, is: null, shouldBe: JSON.stringify(state), position }));
  }
}

const camelCase = (column: string): string => column.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

function compareRow(what: string, row: RowDataPacket, state: State, position: number, findings: Findings): void {
  const found: State = {};
  for (const [column, value] of Object.entries(row)) {
    const field = camelCase(column);
    // MySQL has no booleans.
    found[field] = typeof state[field] === 'boolean' ? Boolean(value) : (value as string | number | null);
  }
  const changes = difference(found, state);
  if (changes.length === 0) return;
  findings.differ(() => ({
    what: `${what} (${changes.map(({ field }) => field).join(', ')})`,
    is: changes.map(({ from }) => JSON.stringify(from)).join(', '),
    shouldBe: changes.map(({ to }) => JSON.stringify(to)).join(', '),
    position,
  }));
}

/** That an author was told of something. Returns how many rows that makes. */
async function checkNotifications(query: Frozen['query'], rows: RowDataPacket[], findings: Findings): Promise<number> {
  const told = rows.flatMap((row) => {
    const { event } = JSON.parse(row.body as string) as EntryBody;

    return event.type === 'AuthorNotified' ? [{ ...event, position: Number(row.position) }] : [];
  });
  if (told.length === 0) return 0;
  const expected = told.flatMap((event) => storedIds(event).map((id) => ({ ...event, id })));
  const ids = expected.map(({ id }) => id);
  const found = await queryKeys(query, 'SELECT * FROM notifications WHERE id IN (?)', ids);
  const byId = new Map(found.map((row) => [row.id as string, row]));
  for (const { id, recipientId, sequence, position } of expected) {
    const row = byId.get(id);
    if (row?.recipient_id === recipientId && row.sequence === sequence) continue;
    findings.differ(() => ({
      what: `notifications ${id}`,
      is: row ? JSON.stringify([row.recipient_id, row.sequence]) : null,
      shouldBe: JSON.stringify([recipientId, sequence]),
      position,
    }));
  }

  return expected.length;
}

async function countNotifications(query: Frozen['query'], notified: number, findings: Findings): Promise<void> {
  const [counted] = await query('SELECT COUNT(*) AS rowCount FROM notifications');
  const rowCount = Number(counted!.rowCount);
  if (rowCount > notified) {
    findings.differ(() => ({
      what: 'notifications',
      is: `${rowCount} rows`,
      shouldBe: `${notified}, as the journal says`,
      position: null,
    }));
  }
}

/** The journal has no secrets, so nothing can be said of the hashes but that they are there. */
async function countPasswords(query: Frozen['query'], findings: Findings): Promise<void> {
  const [counted] = await query(
    'SELECT COUNT(*) AS authorCount FROM authors LEFT JOIN password_hashes ON author_id = authors.id WHERE author_id IS NULL',
  );
  const without = Number(counted!.authorCount);
  if (without > 0) findings.notes.push(`${without} authors have no password, and cannot sign in: a journal that was imported has none`);
}

// ---- The stream of events

/** Up to where it stands, the stream has every entry once, in order, under its subject, as the journal has it. */
export async function checkStream(
  nats: Nats,
  pool: Pool,
  namespace: string,
  { head, signal, onProgress }: CheckOptions & { head: JournalHead },
): Promise<Findings> {
  const findings = new Findings();
  const names = natsNames(namespace);
  const stream = names.events(head.epoch);
  const info = await streamInfo(nats.jsm, stream);
  const differ = (position: number, is: string | null, shouldBe: string | null) =>
    findings.differ(() => ({ what: `stream ${stream} position ${position}`, is, shouldBe, position }));
  let last = 0;
  if (info && info.state.messages > 0) {
    let known: Awaited<ReturnType<typeof readJournal>> = [];
    const entryAt = async (position: number) => {
      if (!(known[0] && known[0].position <= position && known.at(-1)!.position >= position)) {
        known = await readJournal(pool, position - 1, MAX_READ);
      }
      return known.find((entry) => entry.position === position);
    };
    const consumer = await nats.js.consumers.get(stream, { deliver_policy: DeliverPolicy.All });
    const messages = await consumer.consume({ max_messages: MAX_READ });
    const silence = setTimeout(() => messages.stop(), SILENCE_MS);
    let seen = 0;
    for await (const message of messages) {
      silence.refresh();
      signal.throwIfAborted();
      const position = Number(message.headers?.get(HEADERS.position));
      if (!position) {
        findings.notes.push(`message ${message.seq} of ${stream} is no event: it was put there by hand, and is parked`);
      } else if (position <= last) {
        differ(position, `again, as message ${message.seq}`, null);
      } else {
        for (let missing = last + 1; missing < position; missing++) differ(missing, null, 'an entry');
        last = position;
        const entry = await entryAt(position);
        const found = [message.subject, message.headers?.get(HEADERS.entryId), message.string()];
        const expected = entry && [names.event(head.epoch, entry.type), entry.entryId, entry.body];
        if (!isDeepStrictEqual(found, expected)) differ(position, found.join(' '), expected?.join(' ') ?? null);
        findings.looked += 1;
      }
      seen = message.seq;
      if (seen % MAX_READ === 0) onProgress(seen, info.state.last_seq);
      if (seen >= info.state.last_seq || message.info.pending === 0) break;
    }
    clearTimeout(silence);
    await messages.close().catch(() => undefined);
    if (seen === 0) throw new Error(`NATS says nothing of ${stream} for ${SILENCE_MS} ms`);
  }
  if (last < head.position)
    findings.notes.push(`the stream stands at ${last}, and the journal at ${head.position}: the relay goes on from there`);

  return findings;
}
