/**
 * What must be true when all is quiet again, whatever was done:
 *
 * - each command that was answered COMMITTED or REJECTED has one effect, where the answer said; nothing else stands in the journal but
 *   what follows from it; no position is missing or there twice; what sessions and subscribers saw is what the journal says
 *   (`tests/consistency`);
 * - each command that was ACCEPTED has an outcome, unless JetStream was emptied or rolled back after that;
 * - nothing waits any more, and nothing is parked but what was planted;
 * - the streams are the journal, entry by entry, and the public part of it;
 * - each event's reactions have come, once;
 * - every projection equals a rebuild from zero, key by key (`cheeper verify`).
 */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import type { JournalEntry } from '../../shared/messages/event.js';
import { SYSTEM } from '../../shared/ids.js';
import { HEADERS, natsNames } from '../../shared/names.js';
import { reactionsTo } from '../../write-side/process-managers/reactions.js';
import { check } from '../consistency/checker.js';
import { expectPublicStreamIsWhole } from '../public-stream.js';
import { eventually } from '../system.js';
import type { Cluster } from './cluster.js';
import type { Planted } from './faults.js';
import type { Load } from './load.js';

const QUIET_MS = 60_000;
/** What JetStream had when it lost it was accepted no longer before that than this: nothing waits for longer here. */
const MAX_WAITING_MS = 60_000;
const SHOWN = 20;
/** Messages of a stream. */
const READ_AT_ONCE = 1_000;

export interface Figures {
  operations: number;
  answered: number;
  frames: number;
  resets: number;
  accepted: number;
  journal: number;
}

/** The load is over. @throws with all that is wrong; a history with violations is kept in a file */
export async function expectAllIsWell(cluster: Cluster, load: Load, planted: Planted): Promise<Figures> {
  const { fleet, accepted } = load;
  const { history } = fleet.recorder;
  await cluster.ready(QUIET_MS);
  await fleet.catchUp(QUIET_MS);
  await expectNothingWaits(cluster);
  const journal = await cluster.readJournal();
  const violations = check(journal, history);
  if (violations.length > 0) {
    const file = join(tmpdir(), `cheeper-faults-${cluster.namespace}-history.json`);
    writeFileSync(file, JSON.stringify({ violations, history, journal }));
    const some = violations.slice(0, SHOWN).map(({ kind, sentence }) => `${kind}: ${sentence}`);
    throw new Error(`${violations.length} violations, of a history that is kept in ${file}:\n${some.join('\n')}`);
  }

  const known = new Set(journal.map(({ actorId, commandId }) => `${actorId} ${commandId}`));
  const lost = accepted.filter(({ command: { actorId, commandId }, at }) => {
    const isExcused = planted.losses.some((loss) => loss > at - 1_000 && loss < at + MAX_WAITING_MS);

    return !known.has(`${actorId} ${commandId}`) && !isExcused;
  });
  expect(lost).toEqual([]);

  await expectParkedIsPlanted(cluster, planted);
  await expectStreamIsJournal(cluster, journal, planted);
  await expectPublicStreamIsWhole(cluster);
  expectReactions(journal);
  await expectVerified(cluster, planted);

  const { operations, logs } = history;
  const frames = logs.flatMap(({ steps }) => steps.filter((step) => step.type === 'frame'));

  return {
    operations: operations.length,
    answered: operations.filter((operation) => operation.kind === 'handover' || operation.report !== null).length,
    frames: frames.length,
    resets: frames.filter(({ kind }) => kind === 'reset').length,
    accepted: accepted.length,
    journal: journal.length,
  };
}

/** Commands are all run, what follows from events is all done, and the journal does not move. */
export async function expectNothingWaits(cluster: Cluster, deadlineMs = QUIET_MS): Promise<void> {
  const { nats, namespace } = cluster;
  const stream = natsNames(namespace).commands;
  let last = -1;
  let seen = '';
  await eventually(
    async () => {
      const { state } = await nats.jsm.streams.info(stream);
      const rows = await cluster.sql<{ name: string; position: number; head: number }>(
        'SELECT name, position, (SELECT position FROM journal_head) AS head FROM process_managers',
      );
      seen = `${state.messages} commands; ${rows.map(({ name, position, head }) => `${name} at ${position} of ${head}`).join(', ')}`;
      const head = Number(rows[0]?.head);
      const isStill = head === last;
      last = head;

      return state.messages === 0 && isStill && rows.every(({ position }) => Number(position) === head);
    },
    () => `nothing waits any more (${seen})`,
    deadlineMs,
  );
}

async function expectParkedIsPlanted(cluster: Cluster, { garbage, poison }: Planted): Promise<void> {
  const rows = await cluster.sql<{ body: Buffer; reason: string; subject: Buffer }>('SELECT body, reason, subject FROM parked');
  const strange = rows.filter(({ body }) => {
    const text = body.toString();
    if (text.startsWith('no command ') || text === 'no event') return false;
    const { payload } = JSON.parse(text) as { payload: { message?: string } };

    return payload.message !== POISON;
  });
  expect(strange.map(({ body, reason, subject }) => ({ subject: subject.toString(), body: body.toString(), reason }))).toEqual([]);
  const bodies = rows.map(({ body }) => body.toString());
  expect(bodies.filter((text) => text.startsWith('no command ')).length).toBeLessThanOrEqual(garbage);
  expect(bodies.filter((text) => text.includes(POISON)).length).toBeLessThanOrEqual(poison);
}

/** A message that the database does not take; see `poisonCheeps`. */
export const POISON = 'poison';

/** From now on a cheep with the message POISON fails for ever, and no rule says why. */
export async function poisonCheeps(cluster: Cluster): Promise<void> {
  await cluster.sql(`ALTER TABLE cheeps ADD CONSTRAINT no_poison CHECK (message <> '${POISON}')`);
}

/** All entries, in order; what was put in by hand beside them is passed over. */
export async function expectStreamIsJournal(cluster: Cluster, journal: JournalEntry[], { strangers }: Planted): Promise<void> {
  const { nats, namespace } = cluster;
  const stream = natsNames(namespace).events(cluster.epoch);
  const last = journal.at(-1)!;
  const state = await eventually(
    async () => {
      const info = await nats.jsm.streams.info(stream).catch(() => null);
      const newest = info && (await nats.jsm.streams.getMessage(stream, { seq: info.state.last_seq }).catch(() => null));

      return info && newest?.header?.get(HEADERS.entryId) === last.entryId ? info.state : null;
    },
    'the newest entry is published',
    QUIET_MS,
  );
  const consumer = await nats.js.consumers.get(stream);
  const published: string[] = [];
  let beside = 0;
  for (let sequence = 0; sequence < state.last_seq;) {
    const before = sequence;
    for await (const message of await consumer.fetch({ max_messages: READ_AT_ONCE, expires: 10_000 })) {
      sequence = message.seq;
      const position = Number(message.headers?.get(HEADERS.position) ?? 0);
      if (position !== published.length + 1) {
        beside += 1;
        continue;
      }
      expect(message.json<{ entryId: string }>().entryId).toBe(message.headers!.get(HEADERS.entryId));
      published.push(message.headers!.get(HEADERS.entryId));
      if (sequence >= state.last_seq) break;
    }
    if (sequence === before) break; // There is no more: what is lacking shows below.
  }
  expect(published).toEqual(journal.map(({ entryId }) => entryId));
  if (strangers === 0) expect(beside).toBe(0);
}

/** Each event's, once each. */
function expectReactions(journal: JournalEntry[]): void {
  const wanted = journal.flatMap((entry) => reactionsTo(entry, new Date()).map(({ commandId }) => commandId)).sort();
  const had = journal
    .filter(({ actorId }) => actorId === SYSTEM)
    .map(({ commandId }) => commandId)
    .sort();
  expect(had).toEqual(wanted);
}

/** As an operator would ask, with the services running. */
export async function expectVerified(cluster: Cluster, { strangers }: Planted, deadlineMs?: number): Promise<void> {
  const { code, stdout, stderr } = await cluster.cheeper(['verify', '--json'], deadlineMs);
  if (code === 0) return;
  const { checks } = JSON.parse(stdout || '{"checks":[]}') as { checks: { name: string; equal: boolean }[] };
  // What was put in by hand stands in the stream, and is told: whether all else does was looked at before.
  const unequal = checks.filter(({ name, equal }) => !equal && !(name === 'stream' && strangers > 0));
  if (checks.length > 0 && unequal.length === 0) return;
  throw new Error(`cheeper verify ended with ${code}:\n${JSON.stringify(unequal, null, 2).slice(0, 4_000)}\n${stderr.slice(-2_000)}`);
}
