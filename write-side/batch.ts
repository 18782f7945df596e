/**
 * One transaction over a batch of commands: state, journal, inbox and what is parked become true together, or not at all.
 *
 * The position is taken last, after the state is flushed, by an update of the journal's one head row; that lock is held to
 * the commit, so commit order is position order. Everything from there on is one packet: nobody waits for a round trip of
 * ours with the head locked. Order of locks, in every process: lanes, state, head, journal, inbox by key.
 *
 * A batch holds the rows of its lanes in the table `lanes` from its beginning to its end. So when an operator's statement that
 * pauses a lane is over, no command of that lane is under way that did not know of it; and a step is taken away in the
 * transaction of the command that took it.
 */
import type { EntityManager, MikroORM } from '@mikro-orm/mysql';
import type { ResultSetHeader, RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { crashPoint } from '../shared/crash-point.js';
import { newId } from '../shared/ids.js';
import type { Outcome } from '../shared/messages/command.js';
import type { CommandName } from '../shared/messages/commands.js';
import type { DomainEvent, EntryBody, Event } from '../shared/messages/event.js';
import { schemaVersionOf } from '../shared/messages/upcast.js';
import { Refused } from '../shared/refused.js';
import type { CommandHandler } from './command-handler.js';
import { commandHandlers } from './command-handlers.js';
import { NO_HEAD, type StoredEntry } from './journal.js';
import { inboxKey, replay, type InboxRow, type RecordedOutcome } from './inbox.js';
import { parkingRow, PARK } from './parked.js';
import type { Command, Received } from './received.js';
import { failIfTaken, HOLD, State } from './state.js';

export interface Database {
  connection: Connection;
  orm: MikroORM;
  epoch: string;
  /** The highest position of the journal that this process has seen. */
  newest: number;
}

export interface Ran {
  /** In the order of the batch. */
  outcomes: Outcome[];
  /** What it journalled, committed by now. */
  entries: StoredEntry[];
}

/** The connection no longer holds what it needs: as good as lost. */
export class LockLostError extends Error {
  override name = 'LockLostError';
  /** As the driver marks what ends a connection. */
  readonly fatal = true;
}

/** An operator has paused one of the lanes, or lets it take fewer steps than the batch has. */
export class LanePausedError extends Error {
  override name = 'LanePausedError';
}

/** The statement that takes steps away from a lane whose steps are counted; its values are how many, and the lane. */
export const TAKE_STEPS = 'UPDATE lanes SET steps = GREATEST(steps, ?) - ? WHERE lane = ? AND steps IS NOT NULL';

const handlerOf = (command: Command) => commandHandlers[command.definition.name as CommandName] as CommandHandler<unknown>;

/**
 * Runs the commands in their order, commits, and says what came of each.
 * @param locks the named locks that the connection must hold
 * @param counted those of its lanes whose steps are believed to be counted
 * @throws LanePausedError, or whatever went wrong, with the transaction still open: the caller rolls back
 */
export async function runBatch(database: Database, locks: string[], batch: Received[], counted: ReadonlySet<number>): Promise<Ran> {
  const { connection, epoch } = database;
  const em = database.orm.em.fork({ clear: true });
  const { inbox, parked, state } = await begin(database, locks, batch, em, counted);
  const now = new Date();
  const entries: EntryBody[] = [];
  const rows: InboxRow[] = [];
  const outcomes: Outcome[] = [];
  const steps = new Map<number, number>();
  const takesStep = (lane: number) => counted.has(lane) && steps.set(lane, (steps.get(lane) ?? 0) + 1);
  for (const { command, source, lane } of batch) {
    if (!command || parked.has(source.seq)) {
      if (!parked.has(source.seq)) takesStep(lane);
      outcomes.push({ status: 'PARKED' });
      continue;
    }
    const { message, senderId } = command;
    const known = inbox.get(inboxKey(senderId, message.commandId));
    if (known) {
      outcomes.push(replay(known, message, epoch));
      continue;
    }
    // What was run before takes none: a crash between a command and its step's end is no step.
    takesStep(lane);
    const { events, actorId, recorded } = decide(command, state, now);
    if (recorded.status === 'COMMITTED') handlerOf(command).keepSecret?.(command.payload, em);
    for (const event of events) {
      // A command is about one aggregate: the version that it made is that of its last event.
      const aggregate = isDomainEvent(event) ? state.apply(event, now.toISOString()) : null;
      if (recorded.status === 'COMMITTED' && aggregate) recorded.version = aggregate.version;
      entries.push({
        entryId: newId(),
        schemaVersion: schemaVersionOf(event.type),
        aggregate,
        actorId,
        commandId: message.commandId,
        commandName: message.name,
        fingerprint: command.definition.hasSecret ? null : message.fingerprint,
        correlationId: message.correlationId,
        causationId: message.commandId,
        traceparent: message.traceparent,
        at: now.toISOString(),
        event,
      });
    }
    // Until the commit, positions are counted from the head: 1 is the batch's first entry.
    const position = entries.length;
    for (const id of new Set([senderId, actorId])) {
      const row: InboxRow = {
        senderId: id,
        commandId: message.commandId,
        fingerprint: message.fingerprint,
        position,
        outcome: JSON.stringify(recorded),
      };
      rows.push(row);
      inbox.set(inboxKey(id, message.commandId), row);
    }
    outcomes.push({ ...recorded, epoch, position, replayed: false });
  }

  await em.flush();
  const stored = entries.map((entry) => ({ entryId: entry.entryId, type: entry.event.type, body: JSON.stringify(entry) }));
  const before = await finish(
    connection,
    stored.map((entry, i) => ({ ...entry, aggregate: entries[i]!.aggregate })),
    failIfTaken(entries.map(({ event }) => event)),
    rows,
    batch.filter((received) => received.broken !== null),
    steps,
  );
  database.newest = Math.max(database.newest, before + entries.length);
  const own = new Set(rows);

  return {
    outcomes: outcomes.map((outcome, i) => {
      const command = batch[i]!.command;
      if (outcome.status === 'PARKED' || !command) return outcome;
      const row = inbox.get(inboxKey(command.senderId, command.message.commandId))!;

      return own.has(row) ? { ...outcome, position: before + outcome.position } : outcome;
    }),
    entries: stored.map((entry, i) => ({ ...entry, position: before + 1 + i })),
  };
}

function decide(command: Command, state: State, now: Date): { events: Event[]; actorId: string; recorded: RecordedOutcome } {
  const { definition, payload, senderId } = command;
  try {
    const events = handlerOf(command).decide(payload, state, now);

    return {
      events: events.length > 0 ? events : [{ type: 'CommandHadNoEffect' }],
      actorId: definition.actor?.(payload) ?? senderId,
      recorded: { status: 'COMMITTED', version: null },
    };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const { code, field } = error;

    return { events: [{ type: 'CommandRefused', code, field }], actorId: senderId, recorded: { status: 'REJECTED', code, field } };
  }
}

const isDomainEvent = (event: Event): event is DomainEvent => event.type !== 'CommandRefused' && event.type !== 'CommandHadNoEffect';

/** Opens the transaction, checks the locks, looks the commands up in the inbox, and loads what they need: one round trip. */
async function begin(
  database: Database,
  locks: string[],
  batch: Received[],
  em: EntityManager,
  counted: ReadonlySet<number>,
): Promise<{ inbox: Map<string, InboxRow>; parked: Set<number>; state: State }> {
  const { connection } = database;
  const commands = batch.flatMap((received) => received.command ?? []);
  const held = locks.map(() => 'COALESCE(IS_USED_LOCK(?) = CONNECTION_ID(), 0)').join(' AND ');
  const keys = commands.map((c) => [c.senderId, c.message.commandId]);
  const inbox = new Map<string, InboxRow>();
  const parked = new Set<number>();
  const { state, queries } = State.loading(
    em,
    commands.map((c) => handlerOf(c).needs(c.payload)),
  );
  if (keys.length > 0) {
    queries.push({
      sql: `SELECT sender_id AS senderId, command_id AS commandId, fingerprint, position, outcome
            FROM inbox WHERE (sender_id, command_id) IN (?)`,
      values: [keys],
      take: (rows) => {
        for (const row of rows as unknown as InboxRow[]) {
          inbox.set(inboxKey(row.senderId, row.commandId), { ...row, position: Number(row.position) });
        }
      },
    });
  }
  // What was parked stays so: run after its successors, it would be out of order. Only what was in the stream before this
  // process opened the lane can have been.
  const backlog = batch.filter((received) => received.isBacklog);
  if (backlog.length > 0) {
    queries.push({
      sql: 'SELECT sequence FROM parked WHERE (stream_created, sequence, stored_at) IN (?)',
      values: [backlog.map(({ streamCreated, source }) => [streamCreated, source.seq, source.timestamp])],
      take: (rows) => {
        for (const row of rows) parked.add(Number(row.sequence));
      },
    });
  }
  const lanes = [...new Set(batch.map(({ lane }) => lane))];
  // Steps that will be taken away are held alone from the beginning: a shared lock that grows can be a deadlock.
  const hold = counted.size > 0 ? 'FOR UPDATE' : HOLD;
  if (counted.size > 0) {
    queries.push({
      sql: 'SELECT lane, steps FROM lanes WHERE lane IN (?) AND steps IS NOT NULL',
      values: [lanes],
      take: (rows) => {
        for (const { lane, steps } of rows) {
          const wanted = batch.filter((received) => received.lane === lane).length;
          if (!counted.has(lane as number) || wanted > Number(steps)) throw new LanePausedError(`Lane ${lane} is paused.`);
        }
      },
    });
  }
  const [[, headRows, ...rows]] = await connection.query<RowDataPacket[][]>(
    [
      'START TRANSACTION',
      `SELECT ${held} AS held, epoch, position, (SELECT COUNT(steps) FROM lanes WHERE lane IN (?) ${hold}) AS counted,
         @@GLOBAL.read_only AS readOnly
       FROM journal_head WHERE id = 1`,
      ...queries.map(({ sql }) => sql),
    ].join('; '),
    [...locks, lanes, ...queries.flatMap(({ values }) => values)],
  );
  const head = checkHead(database, headRows![0]);
  // After a failover this server is a replica, and another one has the journal. It may let an administrator write all the same.
  if (!['0', 'OFF'].includes(String(head.readOnly))) throw new LockLostError(`MySQL has become read-only (read_only is ${head.readOnly}).`);
  if (Number(head.held) !== 1) throw new LockLostError('The connection has lost its lanes.');
  if (counted.size === 0 && Number(head.counted) > 0) throw new LanePausedError('A lane has been paused.');
  queries.forEach(({ take }, n) => take(rows[n]!));

  return { inbox, parked, state };
}

/**
 * The journal's head is that of the life in which this began, and not behind what this process has seen of it.
 * @throws LockLostError when it was restored under our hands: whether it may go on is seen on the next connection
 */
export function checkHead(database: Database, head: RowDataPacket | undefined): RowDataPacket {
  if (!head) throw new LockLostError(NO_HEAD);
  if (head.epoch !== database.epoch) throw new LockLostError('The journal has a new epoch.');
  const position = Number(head.position);
  if (position < database.newest) throw new LockLostError(`The journal has gone back, from position ${database.newest} to ${position}.`);
  database.newest = position;

  return head;
}

/** Takes the positions, journals, and commits: one round trip. Returns the position before the first entry. */
async function finish(
  connection: Connection,
  entries: (Omit<StoredEntry, 'position'> & Pick<EntryBody, 'aggregate'>)[],
  check: ReturnType<typeof failIfTaken>,
  rows: InboxRow[],
  broken: Received[],
  steps: ReadonlyMap<number, number>,
): Promise<number> {
  const sql: string[] = [];
  const values: unknown[] = [];
  if (entries.length > 0) {
    const n = entries.length;
    sql.push('UPDATE journal_head SET position = LAST_INSERT_ID(position + ?) WHERE id = 1');
    values.push(n);
    if (check) {
      sql.push(check.sql);
      values.push(...check.values);
    }
    sql.push(
      `INSERT INTO journal (position, entry_id, type, aggregate_type, aggregate_id, aggregate_version, body)
       VALUES ${entries.map(() => '(LAST_INSERT_ID() - ?, ?, ?, ?, ?, ?, ?)').join(', ')}`,
    );
    entries.forEach(({ entryId, type, aggregate, body }, i) => {
      values.push(n - 1 - i, entryId, type, aggregate?.type ?? null, aggregate?.id ?? null, aggregate?.version ?? null, body);
    });
    const inOrder = rows.toSorted((a, b) => (inboxKey(a.senderId, a.commandId) < inboxKey(b.senderId, b.commandId) ? -1 : 1));
    sql.push(
      `INSERT INTO inbox (sender_id, command_id, fingerprint, position, outcome)
       VALUES ${inOrder.map(() => '(?, ?, ?, LAST_INSERT_ID() - ?, ?)').join(', ')}`,
    );
    for (const row of inOrder) values.push(row.senderId, row.commandId, row.fingerprint, n - row.position, row.outcome);
  }
  if (broken.length > 0) {
    sql.push(PARK(broken.length));
    values.push(...broken.flatMap((received) => parkingRow(received.source, received.streamCreated, received.broken!, 0)));
  }
  for (const [lane, n] of steps) {
    sql.push(TAKE_STEPS);
    values.push(n, n, lane);
  }
  sql.push('COMMIT');
  crashPoint('lanes: before commit');
  const [results] = await connection.query<ResultSetHeader[]>(sql.join('; '), values);
  crashPoint('lanes: after commit');

  return entries.length > 0 ? results[0]!.insertId - entries.length : 0;
}
