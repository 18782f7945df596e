/**
 * Makes everything that MySQL has from an exported journal: the journal itself, the tables of state by the methods that changed
 * them when they were written, and the inbox as far as the entries tell. Some thousand entries at a time, each time in one
 * transaction; the head, without which no write side works, comes last.
 */
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { z } from 'zod';
import { NOBODY, UUID } from '../shared/ids.js';
import { commandNamed } from '../shared/messages/commands.js';
import type { AggregateVersion, Event, EventOf, EventType, JournalEntry } from '../shared/messages/event.js';
import { decodeEntry, schemaVersionOf } from '../shared/messages/upcast.js';
import { EPOCH } from '../shared/token.js';
import { apply } from '../write-side/as-of.js';
import { Author } from '../write-side/authors/author.js';
import { Cheep } from '../write-side/cheeps/cheep.js';
import { Follow, followId } from '../write-side/follows/follow.js';
import { inboxKey, type RecordedOutcome } from '../write-side/inbox.js';
import { newEpoch } from '../write-side/journal.js';
import { Like, likeId } from '../write-side/likes/like.js';
import { MIGRATIONS_TABLE } from '../write-side/migrations/schema.js';
import { NotificationList, storedIds } from '../write-side/notifications/notification.js';
import { progress, readLines } from './lines.js';
import { describe } from './servers.js';
import { OperatorError } from './subcommand.js';
import { tablesOf } from './truth.js';

export const FORMAT = 1;

const header = z.object({
  cheeper: z.literal('journal'),
  format: z.number().int(),
  epoch: z.string().regex(EPOCH),
  /** How many entries there are: told by an export, so that a file that was cut short is not taken for a whole one. */
  position: z.number().int().min(0).optional(),
  /** Up to where reactions to events were settled; all that is imported when it is not said. */
  reactions: z.number().int().min(0).optional(),
  /** Entries that shards of projections leave out, by an operator's word. */
  skips: z.array(z.object({ projection: z.string(), shard: z.number().int(), position: z.number().int() })).default([]),
});

export type JournalHeader = z.infer<typeof header>;

export interface Imported {
  epoch: string;
  formerEpoch: string;
  position: number;
}

/** Entries in one transaction; and characters, so that they fit into one packet. */
const MAX_ENTRIES = 2_000;
const MAX_CHARACTERS = 4 * 1024 * 1024;
/** Aggregates that are kept at hand; the others are read again when something happens to them. */
const MAX_AT_HAND = 100_000;
/** A sign-up's fingerprint is in no journal: one that nobody has, so what is sent again under its id is another command. */
const NO_FINGERPRINT = 'imported';

const id = z.string().regex(UUID);
const entryShape = z.object({
  position: z.number().int().min(1),
  entryId: id,
  schemaVersion: z.number().int().min(1),
  aggregate: z
    .object({
      type: z.enum(['Author', 'Cheep', 'Follow', 'Like', 'Notifications']),
      id: z.string().min(1).max(80),
      version: z.number().int().min(1),
    })
    .nullable(),
  actorId: id,
  commandId: id,
  commandName: z.string().min(1).max(64),
  fingerprint: z.string().min(1).max(64).nullable(),
  correlationId: z.string(),
  causationId: z.string(),
  traceparent: z.string().nullable(),
  at: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  event: z.looseObject({ type: z.string() }),
});

type State = Author | Cheep | Follow | Like | NotificationList;
type AggregateType = AggregateVersion['type'];

/** Which aggregate each type of event is of: its id, from the event. Null where there is none. */
const AGGREGATE_OF: { [Type in EventType]: [AggregateType, (event: EventOf<Type>) => string] | null } = {
  AuthorSignedUp: ['Author', (event) => event.authorId],
  AuthorProfileUpdated: ['Author', (event) => event.authorId],
  AuthorUsernameChanged: ['Author', (event) => event.authorId],
  AuthorEmailChanged: ['Author', (event) => event.authorId],
  AuthorFollowed: ['Follow', (event) => followId(event.followerId, event.followedId)],
  AuthorUnfollowed: ['Follow', (event) => followId(event.followerId, event.followedId)],
  CheepPosted: ['Cheep', (event) => event.cheepId],
  CheepEdited: ['Cheep', (event) => event.cheepId],
  CheepDeleted: ['Cheep', (event) => event.cheepId],
  CheepLiked: ['Like', (event) => likeId(event.likerId, event.cheepId)],
  CheepUnliked: ['Like', (event) => likeId(event.likerId, event.cheepId)],
  AuthorNotified: ['Notifications', (event) => event.recipientId],
  NotificationsRead: ['Notifications', (event) => event.authorId],
  CommandRefused: null,
  CommandHadNoEffect: null,
};

/** Where each is kept: its columns, in the order in which they are written, the key first. */
const TABLES: { [Type in AggregateType]: { table: string; kind: new () => State; columns: string[] } } = {
  Author: {
    table: 'authors',
    kind: Author,
    columns: ['id', 'version', 'username', 'email', 'name', 'biography', 'location', 'website', 'birth_date', 'signed_up_at'],
  },
  Cheep: {
    table: 'cheeps',
    kind: Cheep,
    columns: ['id', 'version', 'author_id', 'message', 'in_reply_to', 'thread_id', 'posted_at', 'deleted'],
  },
  Follow: { table: 'follows', kind: Follow, columns: ['id', 'version', 'follower_id', 'followed_id', 'active'] },
  Like: { table: 'likes', kind: Like, columns: ['id', 'version', 'liker_id', 'cheep_id', 'active'] },
  Notifications: { table: 'notification_lists', kind: NotificationList, columns: ['author_id', 'version', 'newest', 'read_up_to'] },
};
const BOOLEANS = new Set(['deleted', 'active']);

const fieldOf = (column: string): string => column.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
const FIELDS = Object.fromEntries(Object.entries(TABLES).map(([type, { columns }]) => [type, columns.map(fieldOf)])) as Record<
  AggregateType,
  string[]
>;

const rowOf = (type: AggregateType, state: State): unknown[] =>
  FIELDS[type].map((field) => (state as unknown as Record<string, unknown>)[field] ?? null);

function stateOf(type: AggregateType, row: RowDataPacket): State {
  const { kind, columns } = TABLES[type];
  const state = new kind();
  for (const column of columns) {
    const value = row[column] as unknown;
    Object.assign(state, { [fieldOf(column)]: BOOLEANS.has(column) ? Boolean(value) : value });
  }

  return state;
}

const isDomain = ({ type }: Event): boolean => AGGREGATE_OF[type] !== null;

/** A line, read. */
interface Line {
  number: number;
  entry: JournalEntry;
  /** What goes into the journal. */
  body: string;
}

/**
 * Fills a database that has tables, and nothing in them that counts; the connection keeps others away.
 * @throws OperatorError naming the line that is wrong; then it is empty again
 */
export async function importJournal(connection: Connection, file: string): Promise<Imported> {
  await empty(connection);
  try {
    return await fillFrom(connection, file);
  } catch (error) {
    if (error instanceof OperatorError) {
      await empty(connection);
      await connection.query('INSERT INTO journal_head (id, position, epoch) VALUES (1, 0, ?)', [newEpoch()]);
      await connection.query(`INSERT INTO process_managers (name, position) VALUES ('mailer', 0)`);
    }
    throw error;
  }
}

/** The head first: without one, no write side works. */
async function empty(connection: Connection): Promise<void> {
  const tables = (await tablesOf(connection)).filter((name) => name !== MIGRATIONS_TABLE && name !== 'journal_head');
  for (const name of ['journal_head', ...tables]) await connection.query('TRUNCATE TABLE ??', [name]);
}

async function fillFrom(connection: Connection, file: string): Promise<Imported> {
  const filling = new Filling(connection);
  const told = progress('entries');
  let first: JournalHeader | null = null;
  let number = 0;
  let chunk: Line[] = [];
  let characters = 0;
  for await (const lines of readLines(file)) {
    for (const text of lines) {
      number += 1;
      if (!first) {
        first = headerOf(file, text);
        continue;
      }
      if (text === '') throw new OperatorError(`Line ${number} is empty.`);
      const line = lineOf(number, text);
      const isFull = chunk.length >= MAX_ENTRIES || characters >= MAX_CHARACTERS;
      // Entries of one command stay together.
      if (isFull && chunk.at(-1)!.entry.commandId !== line.entry.commandId) {
        await filling.fill(chunk);
        told(filling.position);
        [chunk, characters] = [[], 0];
      }
      chunk.push(line);
      characters += text.length;
    }
  }
  if (!first) throw new OperatorError(`${file} is empty.`);
  await filling.fill(chunk);
  await filling.settled();
  told(filling.position, true);
  const { position } = filling;
  if (first.position !== undefined && first.position !== position) {
    throw new OperatorError(`The file has ${position} entries, and says that it has ${first.position}: it was cut short.`);
  }
  const epoch = newEpoch();
  if (first.skips.length > 0) {
    await connection.query('INSERT INTO skipped_entries (projection, shard, position, reason, skipped_at) VALUES ?', [
      first.skips.map((skip) => [
        skip.projection,
        skip.shard,
        skip.position,
        'It was left out before the journal was imported.',
        new Date().toISOString(),
      ]),
    ]);
  }
  await connection.query('INSERT INTO process_managers (name, position) VALUES ?', [
    [
      ['reactions', Math.min(first.reactions ?? position, position)],
      // At the end: what is history is not worth a mail.
      ['mailer', position],
    ],
  ]);
  await connection.query('INSERT INTO journal_head (id, position, epoch) VALUES (1, ?, ?)', [position, epoch]);

  return { epoch, formerEpoch: first.epoch, position };
}

function headerOf(file: string, text: string): JournalHeader {
  let parsed;
  try {
    parsed = header.safeParse(JSON.parse(text));
  } catch {
    parsed = null;
  }
  if (!parsed?.success) {
    throw new OperatorError(
      `${file} is no journal: its first line must be such as {"cheeper":"journal","format":${FORMAT},"epoch":"a1b2c3d4"}.`,
    );
  }
  if (parsed.data.format !== FORMAT)
    throw new OperatorError(`${file} is of format ${parsed.data.format}, and this release knows ${FORMAT}.`);

  return parsed.data;
}

/** @throws OperatorError */
function lineOf(number: number, text: string): Line {
  const wrong = (why: string) => new OperatorError(`Line ${number} is wrong: ${why}.`);
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    throw wrong(`it is no JSON (${describe(error)})`);
  }
  const parsed = entryShape.safeParse(raw);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw wrong(`${issue!.path.join('.') || 'it'}: ${issue!.message}`);
  }
  const { position, event, aggregate } = parsed.data;
  if (!Object.hasOwn(AGGREGATE_OF, event.type)) throw wrong(`there is no event ${event.type}`);
  const known = AGGREGATE_OF[event.type as EventType] as [AggregateType, (event: unknown) => string] | null;
  if ((known?.[0] ?? null) !== (aggregate?.type ?? null)) throw wrong(`${event.type} is of ${known?.[0] ?? 'no aggregate'}`);
  // As our own exports begin; what others have written is put into the same form.
  const beginning = `{"position":${position},`;
  const body = text.startsWith(beginning)
    ? `{${text.slice(beginning.length).trimEnd()}`
    : JSON.stringify({ ...(raw as object), position: undefined });
  let entry = raw as JournalEntry;
  try {
    // Most are of today's form, and need not be read again.
    if (entry.schemaVersion !== schemaVersionOf(entry.event.type)) entry = { ...decodeEntry(body), position };
  } catch (error) {
    throw wrong(describe(error));
  }
  if (known && known[1](entry.event) !== aggregate!.id)
    throw wrong(`its event is about another ${aggregate!.type} than its aggregate says`);

  return { number, entry, body };
}

/** One statement of a packet. */
type Statement = [sql: string, ...values: unknown[]];

class Filling {
  position = 0;
  /** The newest are at the end. */
  private readonly atHand = new Map<string, State>();
  private writing: Promise<void> = Promise.resolve();
  private lastCommand = '';

  constructor(private readonly connection: Connection) {}

  /** Returns when what comes next may be read; `settled` tells when it is written. */
  async fill(lines: Line[]): Promise<void> {
    if (lines.length === 0) return;
    // What was written before is asked for below; and one transaction at a time is enough for one connection.
    await this.writing;
    await this.load(lines);
    const statements = this.statements(lines);
    this.writing = this.write(lines, statements);
    // It is awaited by the next, or at the end; until then it is nobody's.
    this.writing.catch(() => undefined);
    this.forget();
  }

  settled(): Promise<void> {
    return this.writing;
  }

  private async load(lines: Line[]): Promise<void> {
    const missing = new Map<AggregateType, Set<string>>();
    const begun = new Set<string>();
    for (const { entry } of lines) {
      const { aggregate } = entry;
      if (!aggregate) continue;
      const key = `${aggregate.type} ${aggregate.id}`;
      if (aggregate.version === 1) begun.add(key);
      if (this.atHand.has(key) || begun.has(key)) continue;
      if (!missing.has(aggregate.type)) missing.set(aggregate.type, new Set());
      missing.get(aggregate.type)!.add(aggregate.id);
    }
    for (const [type, ids] of missing) {
      const { table, columns } = TABLES[type];
      const [rows] = await this.connection.query<RowDataPacket[]>('SELECT * FROM ?? WHERE ?? IN (?)', [table, columns[0], [...ids]]);
      for (const row of rows) this.atHand.set(`${type} ${row[columns[0]!]}`, stateOf(type, row));
    }
  }

  /** Folds, and says what that writes. @throws OperatorError */
  private statements(lines: Line[]): Statement[] {
    const changed = new Map<string, [AggregateType, State]>();
    /** Names are unique, and change hands: so in their order. */
    const authors: Statement[] = [];
    let signedUp: unknown[][] = [];
    const endSignUps = () => {
      if (signedUp.length > 0) authors.push(['INSERT INTO authors (??) VALUES ?', TABLES.Author.columns, signedUp]);
      signedUp = [];
    };
    const notifications: unknown[][] = [];
    const inbox = new Map<string, unknown[]>();
    for (const line of lines) {
      const { number, entry } = line;
      const wrong = (why: string) => new OperatorError(`Line ${number} is wrong: ${why}.`);
      if (entry.position !== this.position + 1) throw wrong(`its position is ${entry.position}, and should be ${this.position + 1}`);
      this.position = entry.position;
      if (entry.aggregate) {
        const { type, id: aggregateId, version } = entry.aggregate;
        const key = `${type} ${aggregateId}`;
        const before = this.atHand.get(key) ?? null;
        if (version !== (before?.version ?? 0) + 1)
          throw wrong(`${key} is at version ${before?.version ?? 0}, and cannot come to ${version}`);
        let after: State;
        try {
          after = applied(before, entry);
        } catch (error) {
          throw wrong(describe(error));
        }
        // Used last, kept longest.
        this.atHand.delete(key);
        this.atHand.set(key, after);
        if (entry.event.type === 'AuthorSignedUp') {
          signedUp.push(rowOf('Author', after));
        } else if (type === 'Author') {
          endSignUps();
          authors.push([
            'UPDATE authors SET ? WHERE id = ?',
            Object.fromEntries(TABLES.Author.columns.map((column, i) => [column, rowOf('Author', after)[i]])),
            aggregateId,
          ]);
        } else {
          changed.set(key, [type, after]);
        }
        if (entry.event.type === 'AuthorNotified') {
          const { event } = entry;
          notifications.push(...storedIds(event).map((id) => [id, event.recipientId, event.sequence]));
        }
      }
      this.remember(line, inbox);
    }
    endSignUps();
    const byType = Map.groupBy(changed.values(), ([type]) => type);

    return [
      ...authors,
      ...[...byType].map(([type, states]): Statement => {
        const { table, columns } = TABLES[type];
        // Their one unique key is their id: what is there is the same thing, as it was.
        return [
          `INSERT INTO ?? (??) VALUES ? ON DUPLICATE KEY UPDATE ${columns.map((column) => `${column} = VALUES(${column})`).join(', ')}`,
          ...[table, columns, states.map(([, state]) => rowOf(type, state))],
        ];
      }),
      ...(notifications.length > 0
        ? [['INSERT INTO notifications (id, recipient_id, sequence) VALUES ?', notifications] satisfies Statement]
        : []),
      // No version comes twice: that was seen above, and is not worth reading pages for.
      ['SET unique_checks = 0'],
      [
        'INSERT INTO journal (position, entry_id, type, aggregate_type, aggregate_id, aggregate_version, body) VALUES ?',
        lines.map(({ entry: { position, entryId, event, aggregate }, body }) => [
          position,
          entryId,
          event.type,
          aggregate?.type ?? null,
          aggregate?.id ?? null,
          aggregate?.version ?? null,
          body,
        ]),
      ],
      ['SET unique_checks = 1'],
      ['INSERT INTO inbox (sender_id, command_id, fingerprint, position, outcome) VALUES ?', [...inbox.values()]],
    ];
  }

  /** What came of the command; when it has several entries, its last one tells. */
  private remember({ number, entry }: Line, inbox: Map<string, unknown[]>): void {
    const { actorId, commandId, commandName, fingerprint, event, aggregate, position } = entry;
    const recorded: RecordedOutcome =
      event.type === 'CommandRefused'
        ? { status: 'REJECTED', code: event.code, field: event.field }
        : { status: 'COMMITTED', version: isDomain(event) ? aggregate!.version : null };
    const command = inboxKey(actorId, commandId);
    // A sign-up is found under nobody, who sent it, and under the author that it made.
    const senders = commandNamed(commandName)?.actor ? new Set([NOBODY, actorId]) : [actorId];
    for (const sender of senders) {
      const key = inboxKey(sender, commandId);
      if (inbox.has(key) && command !== this.lastCommand)
        throw new OperatorError(`Line ${number} is wrong: its command ${commandId} was run before.`);
      inbox.set(key, [sender, commandId, fingerprint ?? NO_FINGERPRINT, position, JSON.stringify(recorded)]);
    }
    this.lastCommand = command;
  }

  private async write(lines: Line[], statements: Statement[]): Promise<void> {
    const sql = ['START TRANSACTION', ...statements.map(([text]) => text), 'COMMIT'].join('; ');
    try {
      await this.connection.query(
        sql,
        statements.flatMap(([, ...values]) => values),
      );
    } catch (error) {
      const { errno } = error as { errno?: number };
      if (errno === undefined) throw error;
      throw new OperatorError(`${whereOf(lines, describe(error))}: ${describe(error)}.`);
    }
  }

  private forget(): void {
    for (const key of this.atHand.keys()) {
      if (this.atHand.size <= MAX_AT_HAND) return;
      this.atHand.delete(key);
    }
  }
}

function applied(before: State | null, entry: JournalEntry): State {
  const { event } = entry;
  if (event.type !== 'AuthorNotified' && event.type !== 'NotificationsRead')
    return apply(before as Exclude<State, NotificationList>, entry);
  const list = (before as NotificationList | null) ?? NotificationList.empty(entry.aggregate!.id);
  if (event.type === 'AuthorNotified') list.add(event);
  else list.read(event);

  return list;
}

/** In words, the line that MySQL would not take: it names the value that is there already, and no row. */
function whereOf(lines: Line[], message: string): string {
  const value = /^Duplicate entry '(.*)' for key/.exec(message)?.[1]?.toLowerCase();
  // Of a key with several columns, the last tells most.
  const found = value && lines.findLast(({ body }) => body.toLowerCase().includes(`"${value}"`) || body.includes(`"${value.slice(-36)}"`));

  return found ? `Line ${found.number} is wrong` : `Something in lines ${lines[0]!.number} to ${lines.at(-1)!.number} is wrong`;
}
