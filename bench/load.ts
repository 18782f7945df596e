/**
 * What a town really does: followers as in a grown network, posts by those who post, 65 reads a write, at a rate that does not wait for
 * answers (an open model: who is late is not spared). Everything that is seen is recorded, and checked afterwards against the journal, so
 * that no speed is bought with wrong answers. LOAD_RATE says how many operations a second.
 */
import mysql, { type RowDataPacket } from 'mysql2/promise';
import type { EntryBody, JournalEntry } from '../shared/messages/event.js';
import { check } from '../tests/consistency/checker.js';
import { Random } from '../tests/consistency/random.js';
import { RecordedSession, Recorder } from '../tests/consistency/recorder.js';
import { isQuick, percentile, table, type Comparison } from './figures.js';
import { System } from './system.js';
import { town } from './town.js';

const EVENTS = isQuick ? 5_000 : 50_000;
const SESSIONS = 400;
const SECONDS = isQuick ? 5 : 60;
const RATE = Number(process.env['LOAD_RATE'] ?? 250);
const READS_A_WRITE = 65;
const SEED = 1;
const FOLLOW = 100;
const BUILD_DEADLINE_MS = 10 * 60_000;
const WARM_UP_SECONDS = 5;

export async function load(): Promise<Comparison[]> {
  const system = await System.create('load');
  await system.importTown(EVENTS, { follow: FOLLOW });
  const { gateway } = await system.startAll();
  await system.built(EVENTS, BUILD_DEADLINE_MS);
  await system.quiet();
  const ids: string[] = [];
  const cheeps: string[] = [];
  for (const { event } of town(EVENTS, { follow: FOLLOW })) {
    if (event.type === 'AuthorSignedUp') ids.push(event.authorId);
    if (event.type === 'CheepPosted') cheeps.push(event.cheepId);
  }
  const random = new Random(SEED, 'load');
  const present = random.shuffled(ids).slice(0, SESSIONS);
  const tokens = await system.accessTokens(present);
  const recorder = new Recorder();
  recorder.history.began = (await readJournal(system)).length;
  const free = present.map((id, i) => new RecordedSession(recorder, `session ${i}`, { id, accessToken: tokens[i]! }));
  const tookMs: Record<string, number[]> = { 'timeline page': [], 'other reads': [], writes: [] };
  let late = 0;
  const waiting: (() => void)[] = [];

  /** One thing that somebody does; `due` is when it should have begun. */
  const act = async (due: number, isMeasured: boolean) => {
    if (free.length === 0) {
      late += 1;
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    const session = free.splice(random.integer(0, free.length - 1), 1)[0]!;
    const kind = await doSomething(session);
    if (isMeasured) tookMs[kind]!.push(performance.now() - due);
    free.push(session);
    waiting.shift()?.();
  };
  const doSomething = async (session: RecordedSession): Promise<string> => {
    const { viewer } = session;
    const cheep = () => cheeps[cheeps.length - 1 - Math.floor(random.next() ** 3 * Math.min(cheeps.length, 5_000))]!;
    if (random.chance(1 / (1 + READS_A_WRITE))) {
      const sent = { commandId: random.id(), actorId: viewer!.id };
      const what = random.next();
      if (what < 0.5) await session.write(() => gateway.url, { ...sent, name: 'LikeCheep', cheepId: cheep() });
      else if (what < 0.9) {
        const cheepId = random.id();
        await session.write(
          () => gateway.url,
          { ...sent, name: 'PostCheep', cheepId, message: `as ${session.name} sees it`, inReplyTo: null },
          { shows: true },
        );
        cheeps.push(cheepId);
      } else await session.write(() => gateway.url, { ...sent, name: 'FollowAuthor', authorId: random.pick(ids) });
      return 'writes';
    }
    const what = random.next();
    if (what < 0.6) {
      await session.readPage(gateway.url, { list: 'timeline', id: viewer!.id, first: 20, after: null });
      return 'timeline page';
    }
    if (what < 0.8) await session.readCheep(gateway.url, cheep());
    else if (what < 0.9) await session.readPage(gateway.url, { list: 'cheeps', id: random.pick(ids), first: 20, after: null });
    else await session.readPage(gateway.url, { list: 'notifications', id: viewer!.id, first: 20, after: null });
    return 'other reads';
  };

  const begun = performance.now();
  const under: Promise<void>[] = [];
  const total = (WARM_UP_SECONDS + SECONDS) * RATE;
  for (let n = 0; n < total; n++) {
    // Arrivals know nothing of each other.
    const due = begun + (1_000 * n) / RATE;
    const left = due - performance.now();
    if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
    under.push(act(due, n >= WARM_UP_SECONDS * RATE));
  }
  await Promise.all(under);
  const seconds = (performance.now() - begun) / 1_000;
  const journal = await readJournal(system);
  recorder.history.ended = journal.length;
  const { operations } = recorder.history;
  const unanswered = operations.filter((operation) => operation.kind !== 'handover' && operation.report === null).length;
  const violations = check(journal, recorder.history);
  await system.remove();

  table(
    `A town of ${EVENTS} events: ${RATE} operations a second for ${seconds.toFixed(0)} s, counted from when they were due (milliseconds)`,
    ['each', 'p50', 'p99', 'p99.9'],
    Object.entries(tookMs).map(([kind, ms]) => [kind, String(ms.length), ...[0.5, 0.99, 0.999].map((share) => percentile(ms, share))]),
  );
  console.log(
    `${operations.length} operations were checked against ${journal.length} entries; ${unanswered} had no answer, ${late} had to wait for a session.\n`,
  );
  if (violations.length > 0)
    throw new Error(`${violations.length} violations; the first: ${violations[0]!.kind}: ${violations[0]!.sentence}`);

  return [
    {
      name: 'violations of what sessions may see, under the load of a town',
      ratio: violations.length,
      aim: 0,
      aimIs: 'at most',
      runs: operations.length,
    },
  ];
}

async function readJournal(system: System): Promise<JournalEntry[]> {
  const database = await mysql.createConnection(system.env.MYSQL_URL!);
  const [rows] = await database.query<RowDataPacket[]>('SELECT position, body FROM journal ORDER BY position');
  await database.end();

  return rows.map(({ position, body }) => ({ position: Number(position), ...(JSON.parse(body as string) as EntryBody) }));
}
