/**
 * `cheeper parked`: messages that could not be run are kept whole, with their cause. What was mended is tried again, what nobody
 * needs is dropped; the rows stay for ever, since a lane that finds such a message in the stream again must know of it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { headers as natsHeaders } from '@nats-io/transport-node';
import type { ResultSetHeader, RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { readConfig } from '../shared/config.js';
import type { Nats } from '../shared/jetstream.js';
import { commandNamed } from '../shared/messages/commands.js';
import { HEADERS, natsNames } from '../shared/names.js';
import type { RecordedOutcome } from '../write-side/inbox.js';
import { laneOf, parseCommand, type Command } from '../write-side/received.js';
import { connectNatsOnce, describe, withMysql } from './servers.js';
import { atMost, duration, OperatorError, parseArguments, table, UsageError, wholeNumber, type Subcommand } from './subcommand.js';

const USAGE = `cheeper parked [list] [--all] [--json]
cheeper parked show ID [--json]
cheeper parked retry ID…|--all [--json]
cheeper parked drop ID…|--all [--yes] [--json]

  list     what waits for an operator, oldest first: when, what, whose, and why. --all: what was retried or dropped too
  show     all that is known of one: body, headers, cause. Secrets are not shown.
  retry    sends it again into its lane, under its id, and says what came of it: what was done meanwhile is not done twice.
           One that fails again is parked anew, under a new ID. --all: every one that is open, oldest first
  drop     nobody will run it; it is no longer told. Asks for --yes.
  --json   for programs: one JSON document

Messages that are no commands at all can only be dropped. Exit code 1 when one could not be retried, or failed again.
The settings are those of the write side: MYSQL_URL, and for retry NATS_URL and NAMESPACE.`;

/** What a retry is given to come to something. */
const OUTCOME_MS = 10_000;
const LOOK_MS = 50;
const CAUSE_LENGTH = 100;
/** Rows that are looked at at once: of more, the oldest. */
const MAX_AT_ONCE = 1_000;
const LARGEST_ID = 999_999_999_999_999;

interface Parked {
  id: number;
  subject: string;
  headers: Record<string, string[]>;
  body: Buffer;
  reason: string;
  attempts: number;
  storedAt: string;
  parkedAt: string;
  retryOf: number | null;
  retriedAt: string | null;
  droppedAt: string | null;
}

export const parked: Subcommand = {
  summary: 'Messages that could not be run: what, why; to try again, or to drop.',
  usage: USAGE,
  async run(args, print) {
    const { values, positionals } = parseArguments(args, {
      all: { type: 'boolean', default: false },
      yes: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    const [action = 'list', ...rest] = positionals;
    const say = (json: unknown, text: string[]) => print(values.json ? JSON.stringify(json) : text.join('\n'));
    const ids = () => idsOf(rest, values.all);
    const { MYSQL_URL } = readConfig(['MYSQL_URL']);
    switch (action) {
      case 'list': {
        atMost(rest, 0);
        const rows = await withMysql(MYSQL_URL, (connection) => readParked(connection, values.all ? 'all' : 'open'));
        say(rows.map(listed), listText(rows));
        return;
      }
      case 'show': {
        const [id] = idsOf(atMost(rest, 1), false)!;
        const [row] = await withMysql(MYSQL_URL, (connection) => readParked(connection, [id!]));
        if (!row) throw new OperatorError(`Nothing was parked under ${id}.`);
        say(shown(row), showText(row));
        return;
      }
      case 'retry': {
        const wanted = ids();
        const results = await withMysql(MYSQL_URL, (connection) => retry(connection, wanted));
        if (results.some(({ isGood }) => !isGood)) process.exitCode = 1;
        say(results, results.length > 0 ? results.map(({ id, text }) => `${id}: ${text}`) : ['Nothing is parked.']);
        return;
      }
      case 'drop': {
        const wanted = ids();
        const dropped = await withMysql(MYSQL_URL, (connection) => drop(connection, wanted, values.yes));
        say({ dropped }, [`Dropped: ${dropped.join(', ') || 'nothing'}.`]);
        return;
      }
      default:
        throw new UsageError(`There is no ${JSON.stringify(action)}: one of list, show, retry, drop. cheeper parked --help tells more.`);
    }
  },
};

/** Null for all that are open. @throws UsageError */
function idsOf(texts: string[], all: boolean): number[] | null {
  if (all && texts.length > 0) throw new UsageError('Either IDs or --all.');
  if (all) return null;
  if (texts.length === 0) throw new UsageError('Which? cheeper parked list shows their IDs.');

  return texts.map((text) => wholeNumber('An ID', text, 1, LARGEST_ID));
}

// ---- Reading

const OPEN = 'retried_at IS NULL AND dropped_at IS NULL';

async function readParked(connection: Connection, which: 'open' | 'all' | number[]): Promise<Parked[]> {
  const where = which === 'all' ? 'TRUE' : which === 'open' ? OPEN : 'id IN (?)';
  const [rows] = await connection.query<RowDataPacket[]>(`SELECT * FROM parked WHERE ${where} ORDER BY id LIMIT ${MAX_AT_ONCE}`, [which]);

  return rows.map((row) => ({
    id: Number(row.id),
    subject: String(row.subject),
    headers: JSON.parse(row.headers as string) as Record<string, string[]>,
    body: row.body as Buffer,
    reason: row.reason as string,
    attempts: Number(row.attempts),
    storedAt: row.stored_at as string,
    parkedAt: row.parked_at as string,
    retryOf: row.retry_of === null ? null : Number(row.retry_of),
    retriedAt: row.retried_at as string | null,
    droppedAt: row.dropped_at as string | null,
  }));
}

/** Those that are named, or all that wait for somebody. @throws OperatorError when one is not there, or is closed already */
async function readOpen(connection: Connection, ids: number[] | null): Promise<Parked[]> {
  const rows = await readParked(connection, ids ?? 'open');
  const missing = ids?.find((id) => !rows.some((row) => row.id === id));
  if (missing !== undefined) throw new OperatorError(`Nothing was parked under ${missing}.`);
  const closed = rows.find((row) => stateOf(row) !== 'open');
  if (closed) throw new OperatorError(`${closed.id} was ${stateOf(closed)} already, at ${closed.droppedAt ?? closed.retriedAt}.`);

  return rows;
}

/** How many are open, and since when. */
export async function countParked(connection: Connection): Promise<{ open: number; oldest: string | null }> {
  const [[row]] = await connection.query<RowDataPacket[]>(`SELECT COUNT(*) AS open, MIN(parked_at) AS oldest FROM parked WHERE ${OPEN}`);

  return { open: Number(row!.open), oldest: row!.oldest as string | null };
}

/** As far as it can be read: of what is no command, whatever looks like it. */
function glimpse({ body }: Parked): { name: string | null; senderId: string | null; commandId: string | null } {
  try {
    const { message, senderId } = parseCommand(JSON.parse(body.toString()));
    return { name: message.name, senderId, commandId: message.commandId };
  } catch {
    // Not a command, or one of another time.
  }
  try {
    const { name, commandId } = JSON.parse(body.toString()) as Record<string, unknown>;
    return { name: typeof name === 'string' ? name : null, senderId: null, commandId: typeof commandId === 'string' ? commandId : null };
  } catch {
    return { name: null, senderId: null, commandId: null };
  }
}

const firstLine = (text: string): string => text.split('\n')[0]!;
const stateOf = ({ retriedAt, droppedAt }: Parked): 'open' | 'retried' | 'dropped' =>
  droppedAt ? 'dropped' : retriedAt ? 'retried' : 'open';

const listed = (row: Parked) => ({
  id: row.id,
  state: stateOf(row),
  ...glimpse(row),
  subject: row.subject,
  cause: withoutSecrets(firstLine(row.reason)),
  attempts: row.attempts,
  parkedAt: row.parkedAt,
  retryOf: row.retryOf,
  retriedAt: row.retriedAt,
  droppedAt: row.droppedAt,
});

function listText(rows: Parked[]): string[] {
  if (rows.length === 0) return ['Nothing is parked.'];

  return table([
    ['ID', 'AGE', 'STATE', 'COMMAND', 'SENDER', 'CAUSE'],
    ...rows.map((row) => {
      const { name, senderId } = glimpse(row);
      const cause = withoutSecrets(firstLine(row.reason));

      return [
        String(row.id),
        duration((Date.now() - Date.parse(row.parkedAt)) / 1_000),
        stateOf(row),
        name ?? 'no command',
        senderId ?? '-',
        cause.length > CAUSE_LENGTH ? `${cause.slice(0, CAUSE_LENGTH)}…` : cause,
      ];
    }),
    ...(rows.length === MAX_AT_ONCE ? [['', '', '', '', '', 'There may be more.']] : []),
  ]);
}

// ---- Showing

const SECRET = '(not shown)';

/** Passwords are never in a message; their hashes are, and are nobody's business either, wherever they have got to. */
const withoutSecrets = (text: string): string => text.replace(/\$argon2\w*\$[\w$=,+/.-]*/g, SECRET);

/** A body as it may be seen: of a command whose input has a secret, neither that nor the fingerprint. */
function bodyOf(row: Parked): unknown {
  const text = row.body.toString();
  if (!Buffer.from(text).equals(row.body)) return { base64: row.body.toString('base64') };
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return withoutSecrets(text);
  }
  const { name } = (body ?? {}) as { name?: unknown };
  // One that nobody knows may have anything.
  const hasSecret = typeof name !== 'string' || (commandNamed(name)?.hasSecret ?? true);

  return JSON.parse(
    JSON.stringify(body, (key, value: unknown) => {
      if (hasSecret && /password|secret|hash|fingerprint/i.test(key)) return SECRET;
      return typeof value === 'string' ? withoutSecrets(value) : value;
    }),
  );
}

const shown = (row: Parked) => ({
  ...listed(row),
  storedAt: row.storedAt,
  headers: row.headers,
  body: bodyOf(row),
  cause: withoutSecrets(row.reason),
});

function showText(row: Parked): string[] {
  const { id, state, subject, cause, attempts, parkedAt, storedAt, retryOf, retriedAt, droppedAt, headers, body } = shown(row);
  const line = (name: string, value: string) => `  ${name.padEnd(10)} ${value}`;

  return [
    `parked ${id}`,
    line('state', state),
    line('subject', subject),
    line('stored at', storedAt),
    line('parked at', `${parkedAt}, after ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`),
    ...(retryOf === null ? [] : [line('retry of', String(retryOf))]),
    ...(retriedAt === null ? [] : [line('retried at', retriedAt)]),
    ...(droppedAt === null ? [] : [line('dropped at', droppedAt)]),
    ...Object.entries(headers).map(([key, values]) => line('header', `${key}: ${values.join(', ')}`)),
    line('cause', cause.replaceAll('\n', `\n${' '.repeat(13)}`)),
    line('body', typeof body === 'string' ? body : JSON.stringify(body, null, 2).replaceAll('\n', `\n${' '.repeat(13)}`)),
  ];
}

// ---- Trying again

interface Retried {
  id: number;
  isGood: boolean;
  /** Null: it was not sent, or it is not known yet. */
  outcome: RecordedOutcome | { status: 'PARKED'; id: number } | null;
  text: string;
}

async function retry(connection: Connection, ids: number[] | null): Promise<Retried[]> {
  const rows = await readOpen(connection, ids);
  if (rows.length === 0) return [];
  const { NATS_URL, NAMESPACE } = readConfig(['NATS_URL', 'NAMESPACE']);
  const nats = await connectNatsOnce(NATS_URL, NAMESPACE);
  try {
    const results: Retried[] = [];
    // One after another: their order may be what matters.
    for (const row of rows) results.push(await retryOne(connection, nats, NAMESPACE, row));

    return results;
  } finally {
    await nats.close();
  }
}

async function retryOne(connection: Connection, nats: Nats, namespace: string, row: Parked): Promise<Retried> {
  const { id } = row;
  let command: Command;
  try {
    command = parseCommand(JSON.parse(row.body.toString()));
  } catch (error) {
    return { id, isGood: false, outcome: null, text: `It is no command, and can only be dropped: ${whyNot(error)}` };
  }
  const [[head]] = await connection.query<RowDataPacket[]>('SELECT lanes FROM journal_head WHERE id = 1');
  if (!head?.lanes) throw new OperatorError('The journal has not begun: no write side has ever run.');
  const names = natsNames(namespace);
  const subject = names.command(laneOf(command, Number(head.lanes)), command.message.name);
  const headers = natsHeaders();
  for (const [key, values] of Object.entries(row.headers)) {
    // Nobody waits for its outcome any more but us, who look into the inbox.
    if (key !== HEADERS.replyTo && key !== HEADERS.retryOf) for (const value of values) headers.append(key, value);
  }
  headers.set(HEADERS.retryOf, String(id));
  const [[before]] = await connection.query<RowDataPacket[]>('SELECT COALESCE(MAX(id), 0) AS id FROM parked');
  try {
    await nats.js.publish(subject, row.body, { headers });
  } catch (error) {
    throw new OperatorError(`${id} could not be sent: ${describe(error)}. It stays as it is.`);
  }
  const outcome = await outcomeOf(connection, command, id, Number(before!.id));
  // Until something has, NATS may lose it: then it is sent again, and if it was run after all, the inbox knows.
  if (!outcome) {
    const text = 'It was sent, and nothing has come of it yet; it stays open until then. Is its lane paused, or no write side there?';
    return { id, isGood: false, outcome, text };
  }
  await connection.query('UPDATE parked SET retried_at = ? WHERE id = ?', [new Date().toISOString(), id]);
  switch (outcome.status) {
    case 'COMMITTED':
      return { id, isGood: true, outcome, text: 'COMMITTED' };
    case 'REJECTED':
      return { id, isGood: true, outcome, text: `REJECTED: ${outcome.code}` };
    case 'PARKED':
      return { id, isGood: false, outcome, text: `It failed again, and is parked as ${outcome.id}.` };
  }
}

const whyNot = (error: unknown): string => {
  const issue = (error as { issues?: { path: PropertyKey[]; message: string }[] }).issues?.[0];

  return issue ? `${issue.path.join('.') || 'it'}: ${issue.message}` : describe(error);
};

async function outcomeOf(
  connection: Connection,
  { message, senderId }: Command,
  id: number,
  newestBefore: number,
): Promise<Retried['outcome']> {
  for (const deadline = performance.now() + OUTCOME_MS; performance.now() < deadline; await sleep(LOOK_MS)) {
    const [[known]] = await connection.query<RowDataPacket[]>('SELECT outcome FROM inbox WHERE sender_id = ? AND command_id = ?', [
      senderId,
      message.commandId,
    ]);
    if (known) return JSON.parse(known.outcome as string) as RecordedOutcome;
    const [[again]] = await connection.query<RowDataPacket[]>('SELECT id FROM parked WHERE retry_of = ? AND id > ?', [id, newestBefore]);
    if (again) return { status: 'PARKED', id: Number(again.id) };
  }

  return null;
}

// ---- Dropping

async function drop(connection: Connection, ids: number[] | null, yes: boolean): Promise<number[]> {
  const rows = await readOpen(connection, ids);
  if (rows.length === 0) return [];
  const what = rows.map((row) => `${row.id} (${glimpse(row).name ?? 'no command'})`).join(', ');
  if (!yes) throw new UsageError(`This drops ${what}: nobody will run it. With --yes it is done.`);
  const dropped: number[] = [];
  for (const { id } of rows) {
    const [{ affectedRows }] = await connection.query<ResultSetHeader>(`UPDATE parked SET dropped_at = ? WHERE id = ? AND ${OPEN}`, [
      new Date().toISOString(),
      id,
    ]);
    if (affectedRows === 1) dropped.push(id);
  }

  return dropped;
}
