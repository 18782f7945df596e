/**
 * Many sessions and live subscribers, over two gateways, two write sides and two read sides, while read sides lag, shards move
 * between them, and services are killed and started again: and nobody sees anything that `checker.ts` calls a violation.
 *
 * Who does what, which fault comes when, and which socket is cut follow from one seed, which is printed:
 *
 *     CONSISTENCY_SEED=… npm test -- tests/consistency/sessions.test.ts
 *
 * does the same again, as far as processes on a machine ever do. CONSISTENCY_SECONDS makes it longer.
 */
import { randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EntryBody, JournalEntry } from '../../shared/messages/event.js';
import { eventually, startSystem, type ServiceProcess, type System } from '../system.js';
import { check } from './checker.js';
import type { ListName, SentCommand, Topic } from './history.js';
import { Past } from './past.js';
import { Random } from './random.js';
import { RecordedSession, RecordedSubscriber, Recorder, type Viewer } from './recorder.js';
import { unfinished } from './subscriptions.js';

const SEED = Number(process.env.CONSISTENCY_SEED ?? randomInt(2 ** 31));
const SECONDS = Number(process.env.CONSISTENCY_SECONDS ?? 25);
const LEAST_OPERATIONS = 3_000;
/** However slow the machine is. */
const DEADLINE_SECONDS = SECONDS + 120;

const AUTHORS = 24;
/** Each author has two; the last ones are nobody's. */
const SESSIONS = 52;
const MOST_THINKING_MS = 80;

let system: System;
let viewers: Viewer[];
beforeAll(async () => {
  // Of a shard's followers of one author, two are told, and all others merge.
  system = await startSystem({ gateways: 2, writeSides: 2, readSides: 2, env: { HOT_FOLLOWERS: '2' } });
  const authors = await Promise.all(Array.from({ length: AUTHORS }, () => system.author()));
  viewers = authors.map(({ id, client }) => ({ id, accessToken: client.accessToken! }));
}, 90_000);
afterAll(() => system?.stop());

async function readJournal(): Promise<JournalEntry[]> {
  const rows = await system.sql<{ position: number; body: string }>('SELECT position, body FROM journal ORDER BY position');

  return rows.map(({ position, body }) => ({ position: Number(position), ...(JSON.parse(body) as EntryBody) }));
}

/** What is known to all who take part. */
class Fleet {
  readonly recorder = new Recorder();
  readonly sessions: RecordedSession[] = [];
  readonly subscribers: RecordedSubscriber[] = [];
  /** Those that were posted, by whom; deleted ones too. */
  readonly cheeps: { id: string; authorId: string }[] = [];
  readonly faults = new Map<string, number>();
  isOver = false;

  /** One gateway or the other. */
  pick(random: Random): string {
    return system.urlOf(random.pick(system.gateways));
  }

  get operations(): number {
    return this.recorder.history.operations.length;
  }
}

// ---- Sessions

const DEEDS = [
  ...(['post', 'post', 'post', 'reply', 'edit', 'delete', 'like', 'like', 'unlike', 'follow', 'unfollow', 'rename'] as const),
  ...(['timeline', 'timeline', 'timeline', 'timeline', 'cheeps', 'replies', 'followers', 'following', 'notifications'] as const),
  ...(['cheep', 'cheep', 'author', 'handover', 'next page', 'mark read'] as const),
];

class Citizen {
  private readonly own: string[] = [];
  /** Notifications that it has seen. */
  private notices: string[] = [];
  private last: { list: ListName; id: string; cursor: string } | null = null;

  constructor(
    private readonly fleet: Fleet,
    readonly session: RecordedSession,
  ) {}

  async live(): Promise<void> {
    for (let n = 0; !this.fleet.isOver; n++) {
      // Each deed has numbers of its own, however many the one before it took.
      const random = new Random(SEED, `${this.session.name}, ${n}`);
      const thinkingMs = random.integer(0, MOST_THINKING_MS);
      await this.act(random.pick(DEEDS), n, random);
      await pause(thinkingMs);
    }
  }

  async write(random: Random, command: DistributiveOmit<SentCommand, 'commandId' | 'actorId'>): Promise<void> {
    const { fleet } = this;
    const { viewer } = this.session;
    if (!viewer) return;
    const sent = { ...command, commandId: random.id(), actorId: viewer.id };
    // An answer that does not come at once is lost, now and then.
    const givesUpAfterMs = random.chance(0.03) ? random.integer(1, 10) : null;
    const twin = random.chance(0.05) ? fleet.pick(random) : null;
    const outcome = await this.session.write(() => fleet.pick(random), sent, { shows: random.chance(0.4), givesUpAfterMs, twin });
    if (sent.name === 'PostCheep' && outcome === 'COMMITTED') {
      this.own.push(sent.cheepId);
      fleet.cheeps.push({ id: sent.cheepId, authorId: viewer.id });
    }
  }

  private async act(deed: (typeof DEEDS)[number], n: number, random: Random): Promise<void> {
    const { fleet, session } = this;
    const url = fleet.pick(random);
    const message = `${session.name}, ${n}`;
    const [first, staleOk, recent, somebody] = [random.integer(1, 30), random.chance(0.03), random.next(), random.pick(viewers).id];
    const own = this.own.at(-1 - Math.floor(recent ** 2 * this.own.length));
    const cheep = fleet.cheeps.at(-1 - Math.floor(recent ** 3 * fleet.cheeps.length))?.id;
    const me = session.viewer?.id ?? somebody;
    const read = (list: ListName, id: string, after: string | null = null) => this.readPage(url, list, id, first, after, staleOk);
    const write = (command: Parameters<Citizen['write']>[1]) => this.write(random, command);
    switch (deed) {
      case 'post':
        return write({ name: 'PostCheep', cheepId: random.id(), message, inReplyTo: null });
      case 'reply':
        return cheep ? write({ name: 'PostCheep', cheepId: random.id(), message, inReplyTo: cheep }) : undefined;
      case 'edit':
        return own ? write({ name: 'EditCheep', cheepId: own, message: `${message}, edited` }) : undefined;
      case 'delete':
        return own ? write({ name: 'DeleteCheep', cheepId: own }) : undefined;
      case 'like':
        return cheep ? write({ name: 'LikeCheep', cheepId: cheep }) : undefined;
      case 'unlike':
        return cheep ? write({ name: 'UnlikeCheep', cheepId: cheep }) : undefined;
      case 'follow':
        return write({ name: 'FollowAuthor', authorId: somebody });
      case 'unfollow':
        return write({ name: 'UnfollowAuthor', authorId: somebody });
      case 'rename':
        return write({ name: 'UpdateProfile', fullName: message });
      case 'timeline':
        return read('timeline', random.chance(0.7) ? me : somebody);
      case 'cheeps':
      case 'followers':
      case 'following':
        return read(deed, somebody);
      case 'notifications':
        return session.viewer ? read('notifications', me) : undefined;
      case 'replies':
        return cheep ? read('replies', cheep) : undefined;
      case 'cheep':
        return cheep ? session.readCheep(url, cheep, { staleOk }) : undefined;
      case 'author':
        await session.readAuthor(url, somebody, { staleOk });
        return;
      case 'next page':
        return this.last ? read(this.last.list, this.last.id, this.last.cursor) : undefined;
      case 'mark read': {
        const upTo = this.notices.at(-1 - Math.floor(recent * this.notices.length));
        return upTo ? write({ name: 'MarkNotificationsRead', upTo }) : undefined;
      }
      case 'handover':
        session.hear(random.pick(fleet.sessions));
        return;
    }
  }

  private async readPage(url: string, list: ListName, id: string, first: number, after: string | null, staleOk: boolean): Promise<void> {
    const read = await this.session.readPage(url, { list, id, first, after }, { staleOk });
    if (!read) return;
    const { page, endCursor } = read;
    if (list === 'notifications') this.notices = page.items.map((item) => item.id);
    this.last = page.hasNextPage && endCursor ? { list, id, cursor: endCursor } : null;
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

// ---- Faults

type Fault = (random: Random) => Promise<void>;

/** One fault after another, each kind once before any comes again, until all is over. */
async function troubles(fleet: Fleet, name: string, kinds: Record<string, Fault>): Promise<void> {
  const random = new Random(SEED, name);
  let left: string[] = [];
  while (!fleet.isOver) {
    await pause(random.integer(500, 2_000));
    if (left.length === 0) left = random.shuffled(Object.keys(kinds));
    const kind = left.pop()!;
    await kinds[kind]!(random);
    fleet.faults.set(kind, (fleet.faults.get(kind) ?? 0) + 1);
  }
}

const stopped =
  (services: ServiceProcess[], fromMs: number, toMs: number): Fault =>
  async (random) => {
    const service = random.pick(services);
    service.signal('SIGSTOP');
    await pause(random.integer(fromMs, toMs));
    service.signal('SIGCONT');
    await service.ready();
  };

const killed =
  (services: ServiceProcess[]): Fault =>
  async (random) => {
    const service = random.pick(services);
    await service.stop('SIGKILL');
    // Long enough, at times, for others to take over.
    await pause(random.integer(0, 3_000));
    service.start();
    await service.ready();
  };

async function cuts(fleet: Fleet): Promise<void> {
  const random = new Random(SEED, 'cuts');
  while (!fleet.isOver) {
    await pause(random.integer(50, 400));
    random.pick(fleet.subscribers).cut();
  }
}

// ---- The run

function subscribers(fleet: Fleet, roots: string[]): RecordedSubscriber[] {
  const random = new Random(SEED, 'subscribers');
  const feeds: Topic['feed'][] = ['timeline', 'timeline', 'timeline', 'timeline', 'author', 'thread', 'notifications'];

  return Array.from({ length: 42 }, (_, i) => {
    const feed = feeds[i % feeds.length]!;
    const viewer = viewers[i % viewers.length]!;
    // Timelines and authors are public; notifications are not.
    const reader = random.chance(0.7) ? viewer.id : random.pick(viewers).id;
    const id = { timeline: reader, author: random.pick(viewers).id, thread: random.pick(roots), notifications: viewer.id }[feed];
    const name = `subscriber ${i}`;
    const own = new Random(SEED, name);
    const pick = () => fleet.pick(own);

    return new RecordedSubscriber(fleet.recorder, name, { feed, id }, viewer, {
      pick,
      transport: i % 3 === 0 ? 'eventStream' : 'websocket',
      away: () => (own.chance(0.1) ? own.integer(1_000, 6_000) : own.integer(0, 200)),
      isFresh: () => own.chance(0.3),
      isPersonal: i % 2 === 0,
      first: random.pick([5, 20, 100]),
    });
  });
}

/** A town in which everybody follows some, with a few cheeps to answer, and those who will watch it. */
async function found(fleet: Fleet): Promise<Citizen[]> {
  const { recorder } = fleet;
  recorder.history.began = (await readJournal()).length;
  const citizens = Array.from({ length: SESSIONS }, (_, i) => {
    const session = new RecordedSession(recorder, `session ${i}`, i < 2 * AUTHORS ? viewers[i % AUTHORS]! : null);
    fleet.sessions.push(session);

    return new Citizen(fleet, session);
  });
  await Promise.all(
    citizens.slice(0, AUTHORS).map(async (citizen, i) => {
      const random = new Random(SEED, `setting ${i}`);
      for (const { id } of random.shuffled(viewers.toSpliced(i, 1)).slice(0, 6)) {
        await citizen.write(random, { name: 'FollowAuthor', authorId: id });
      }
      await citizen.write(random, { name: 'PostCheep', cheepId: random.id(), message: `the first of ${i}`, inReplyTo: null });
    }),
  );
  const roots = fleet.cheeps.map(({ id }) => id).sort();
  fleet.subscribers.push(...subscribers(fleet, roots));

  return citizens;
}

/** Until there was enough of everything. */
async function liveThroughFaults(fleet: Fleet, citizens: Citizen[], following: Promise<unknown>): Promise<void> {
  const { readSides, writeSides, gateways } = system;
  const reads = {
    'a read side lags': stopped(readSides, 300, 3_000),
    'a read side loses its shards': stopped(readSides, 6_000, 7_500),
    'a read side is killed': killed(readSides),
  };
  const others = {
    'a write side stands still': stopped(writeSides, 300, 2_000),
    'a write side is killed': killed(writeSides),
    'a gateway stands still': stopped(gateways, 300, 2_000),
    'a gateway is killed': killed(gateways),
  };
  const kinds = Object.keys({ ...reads, ...others });
  const start = performance.now();
  const isEnough = () => fleet.operations >= LEAST_OPERATIONS && kinds.every((kind) => fleet.faults.has(kind));
  const time = async () => {
    for (let seconds = 0; seconds < SECONDS || !isEnough(); seconds = (performance.now() - start) / 1_000) {
      if (fleet.isOver || seconds > DEADLINE_SECONDS) break;
      await pause(100);
    }
    fleet.isOver = true;
  };
  const all = [
    ...citizens.map((citizen) => citizen.live()),
    troubles(fleet, 'reads', reads),
    troubles(fleet, 'others', others),
    cuts(fleet),
  ];
  try {
    // Whoever meets what nothing excuses ends it for all.
    await Promise.race([Promise.all([...all, time()]), following]);
  } finally {
    fleet.isOver = true;
    await Promise.allSettled(all);
  }
  expect(kinds.filter((kind) => !fleet.faults.has(kind))).toEqual([]);
}

/** Sessions read once more, through both gateways, and subscribers come to the end of what concerns them. @returns the journal */
async function catchUp(fleet: Fleet, following: Promise<unknown>): Promise<JournalEntry[]> {
  const { history } = fleet.recorder;
  await Promise.all(
    fleet.sessions.map(async (session, i) => {
      const { id } = viewers[i % AUTHORS]!;
      for (const gateway of system.gateways) {
        const url = system.urlOf(gateway);
        const request = { list: 'timeline', id, first: 100, after: null } as const;
        await eventually(() => session.readPage(url, request), `${session.name} reads a timeline`, 30_000);
        await eventually(() => session.readAuthor(url, id), `${session.name} reads an author`, 30_000);
      }
    }),
  );
  let journal = await readJournal();
  const isCaughtUp = async () => {
    const before = journal.length;
    journal = await readJournal();

    return journal.length === before && unfinished(new Past(journal), history.logs).length === 0;
  };
  // If not, the checker says who has not, and what is lacking.
  await eventually(isCaughtUp, 'all subscribers have come to the end', 30_000).catch(() => undefined);
  history.ended = journal.length;
  for (const subscriber of fleet.subscribers) subscriber.stop();
  await following;

  return readJournal();
}

describe('sessions and subscribers, over services that lag, die and come back', () => {
  it(
    'see their own writes, nothing that goes back, exact pages, and each change once',
    async () => {
      console.log(`CONSISTENCY_SEED=${SEED} CONSISTENCY_SECONDS=${SECONDS}`);
      const start = performance.now();
      const fleet = new Fleet();
      const { history } = fleet.recorder;
      const citizens = await found(fleet);
      const following = Promise.all(fleet.subscribers.map((subscriber) => subscriber.run()));
      following.catch(() => undefined); // It is awaited below.

      let journal: JournalEntry[];
      try {
        await liveThroughFaults(fleet, citizens, following);
        journal = await catchUp(fleet, following);
      } finally {
        for (const subscriber of fleet.subscribers) subscriber.stop();
      }

      const { operations, logs } = history;
      const frames = logs.flatMap(({ steps }) => steps.filter((step) => step.type === 'frame'));
      const figures = {
        operations: operations.length,
        answered: operations.filter((operation) => operation.kind === 'handover' || operation.report !== null).length,
        frames: frames.length,
        resets: frames.filter(({ kind }) => kind === 'reset').length,
        resumed: fleet.subscribers.reduce((sum, { resumed }) => sum + resumed, 0),
        journal: journal.length,
        seconds: Math.round((performance.now() - start) / 1_000),
        faults: Object.fromEntries(fleet.faults),
      };
      console.log(JSON.stringify(figures));
      const violations = check(journal, history);
      if (violations.length > 0) {
        const file = join(tmpdir(), `cheeper-consistency-${SEED}.json`);
        writeFileSync(file, JSON.stringify({ violations, history, journal }));
        const some = violations.slice(0, 20).map(({ kind, sentence }) => `${kind}: ${sentence}`);
        throw new Error(`${violations.length} violations with the seed ${SEED}, of a history that is kept in ${file}:\n${some.join('\n')}`);
      }
      // And it was no walk in the park.
      expect(figures.operations).toBeGreaterThanOrEqual(LEAST_OPERATIONS);
      expect(figures.answered).toBeGreaterThan(figures.operations / 2);
      expect(figures.resumed).toBeGreaterThan(50);
      expect(figures.frames).toBeGreaterThan(1_000);
    },
    (DEADLINE_SECONDS + 180) * 1_000,
  );
});
