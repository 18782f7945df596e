/**
 * Shards, however their events come. Two workers follow the same journal, each with a pump of its own and an idea of its own of
 * what the shards have applied. What the broker brings them is doubled, late, out of order, or not there; their scripts run
 * late, twice, not to the end, or without an answer, and each worker may begin anew. At every moment each shard answers what
 * the fold of the journal says, up to the position that it names, and its log has each change once and in order; in the end
 * all is there.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { createApply, type Applied, type Apply, type PositionedWrite } from '../../read-side/apply.js';
import { compareChanges, readChanges, type ChangeId, type Logged } from '../../read-side/changes.js';
import { Pump, type PumpedShard } from '../../read-side/pump.js';
import type { Projection } from '../../read-side/projection.js';
import { APPLIED, LOG_LENGTH, LOGGED_AFTER, prefixOf, shardName, type Shard, type Space } from '../../read-side/shard.js';
import { partOf } from '../../shared/ids.js';
import type { Nats } from '../../shared/jetstream.js';
import { createLog } from '../../shared/log.js';
import type { JournalEntry } from '../../shared/messages/event.js';
import { costly } from './costly.js';
import { Fold, journalOf, stepsOf } from './journal.js';
import { SUBJECTS, type Question, type Subject } from './questions.js';
import { assertAtOnce } from './runs.js';

/** Beside what the other tests keep in this server, so that a run can look for its own keys. */
const DATABASE = 11;

let redis: Redis;
beforeAll(() => {
  redis = new Redis(process.env.TEST_REDIS_URL!, { db: DATABASE });
});
afterAll(() => redis?.disconnect());

const log = createLog('model', 'silent');

/** A broker that brings what it is told to bring, and a write side that knows the journal. */
class Delivery {
  /** The position after the newest that was given. */
  next: number;
  private readonly given: number[] = [];
  private wake: () => void = () => undefined;

  constructor(
    private readonly town: ShardsOfATown,
    from: number,
  ) {
    this.next = from;
  }

  give(positions: number[]): void {
    this.given.push(...positions.filter((position) => position >= 1 && position <= this.town.committed));
    this.next = Math.max(this.next, ...this.given.map((position) => position + 1));
    this.wake();
  }

  readonly nats = {
    onLost: () => () => undefined, // It is never lost: what is, is the process.
    js: { consumers: { get: async () => ({ consume: async () => this.consume() }) } },
    connection: {
      request: async (_: string, request: string) => {
        const { after } = JSON.parse(request) as { after: number };
        // Fewer than were asked for, as when they are long.
        const some = this.town.journal.slice(after, Math.min(after + 3, this.town.committed));

        return { json: () => some.map((entry) => ({ ...entry, type: entry.event.type, body: bodyOf(entry) })) };
      },
    },
  } as unknown as Nats;

  private consume() {
    const { given } = this;
    const { journal } = this.town;
    let isOver = false;
    const more = () => new Promise<void>((resolve) => (this.wake = resolve));

    return {
      stop: () => {
        isOver = true;
        this.wake();
      },
      close: async () => undefined,
      status: async function* () {},
      async *[Symbol.asyncIterator]() {
        while (!isOver) {
          const position = given.shift();
          if (position === undefined) await more();
          else yield { seq: position, headers: { get: () => String(position) }, string: () => bodyOf(journal[position - 1]!) };
        }
      },
    };
  }
}

const bodyOf = ({ position: _, ...entry }: JournalEntry): string => JSON.stringify(entry);

/** A call of `apply` that has not been let go yet. */
interface Held {
  args: Parameters<Apply>;
  answer(result: Applied): void;
  fail(error: Error): void;
}

/** What a read-side process is to its shards; `apply` does not run until it is let go. */
class Worker {
  held: Held[] = [];
  private pumps: { pump: Pump; delivery: Delivery }[] = [];
  private readonly shards: Map<string, PumpedShard>;
  /** Those without a pump. */
  private readonly left = new Set<string>();

  constructor(private readonly town: ShardsOfATown) {
    const shards = town.shards.map(({ shard, projection }) => ({ shard, projection, applied: 0, limit: Infinity, unseenUpTo: 0 }));
    this.shards = new Map(shards.map((shard) => [shardName(shard.shard), shard]));
    this.begin(shards);
  }

  give(which: number, positions: (next: number) => number[]): void {
    const { delivery } = this.pumps[which % this.pumps.length]!;
    delivery.give(positions(delivery.next));
  }

  giveAll(): void {
    const all = this.town.journal.map(({ position }) => position);
    for (const { delivery } of this.pumps) delivery.give(all);
  }

  /** Those that it could not go on with, from where they stand now. */
  async rejoin(): Promise<void> {
    for (const name of [...this.left]) {
      const shard = this.shards.get(name)!;
      shard.applied = await this.town.begun(shard.shard);
      this.left.delete(name);
      const caughtUp = this.pumps.find(({ pump }) => shard.applied >= pump.taken);
      if (caughtUp) caughtUp.pump.join(shard);
      else this.begin([shard]);
    }
  }

  /** As a new process. What the old one has sent may still be on its way. */
  async beginAnew(): Promise<void> {
    await this.stop();
    const standing = await Promise.all([...this.shards.values()].map(({ shard }) => this.town.begun(shard)));
    [...this.shards.values()].forEach((shard, i) => (shard.applied = standing[i]!));
    this.left.clear();
    this.begin([...this.shards.values()]);
  }

  hasAll(): boolean {
    return this.left.size === 0 && [...this.shards.values()].every(({ applied }) => applied === this.town.journal.length);
  }

  async stop(): Promise<void> {
    let areStopped = false;
    const stopped = Promise.all(this.pumps.map(({ pump }) => pump.stop())).finally(() => (areStopped = true));
    // What is being planned yet may take a few turns until it is held.
    while (!areStopped) {
      for (const { args, fail } of this.held.splice(0)) {
        this.town.sent.push(args);
        fail(new Error('gone'));
      }
      await turn();
    }
    await stopped;
    this.pumps = [];
  }

  private begin(shards: PumpedShard[]): void {
    const delivery = new Delivery(this.town, Math.min(...shards.map(({ applied }) => applied)) + 1);
    const pump = new Pump(
      {
        nats: delivery.nats,
        space: this.town.space,
        log,
        apply: (...args) => new Promise((answer, fail) => this.held.push({ args, answer, fail })),
        onApplied: (moved) => this.town.hear(moved),
        isSkipped: () => false,
        onLeft: ({ shard }) => this.left.add(shardName(shard)),
        onBatch: () => undefined,
      },
      shards,
    );
    this.pumps.push({ pump, delivery });
  }
}

type Fate = 'runs' | 'runs twice' | 'breaks' | 'answer is lost';

interface TownOptions {
  subjects: (keyof typeof SUBJECTS)[];
  journal: JournalEntry[];
  shards: number;
  hotFollowers: number;
  logLength: number;
  /** Changes up to here are not logged. */
  loggedAfter: number;
  /** Scripts stop after a few writes, and go on in another call. */
  isCostly: boolean;
  /** Of the pages that are read. */
  pageSize: number;
}

class ShardsOfATown {
  readonly space: Space;
  readonly journal: JournalEntry[];
  readonly shards: { shard: Shard; projection: Projection; subject: Subject }[];
  readonly workers: Worker[] = [];
  readonly questions: Question[];
  /** The journal's head. The last entry comes when all goes well again: with it a worker hears of what Redis has lost. */
  committed: number;
  private readonly run: Apply;
  private readonly logLength: number;
  private readonly loggedAfter: number;
  /** What was sent to Redis, and may come again, or late. */
  readonly sent: Parameters<Apply>[] = [];
  private readonly folds: Fold[] = [];
  /** How far each shard was seen, or said, to be. */
  private readonly reached = new Map<string, number>();
  /** Those that were lost: what a worker says of one may be of before. */
  private readonly lost = new Set<string>();
  /** A script ended in the middle: until this is applied, some of it is there already. */
  private readonly brokenUpTo = new Map<string, number>();

  private constructor(options: TownOptions) {
    const { subjects, journal, shards, hotFollowers, logLength, loggedAfter, isCostly, pageSize } = options;
    this.space = { namespace: `m${randomBytes(6).toString('hex')}`, epoch: 'e', shards };
    this.journal = journal;
    this.committed = journal.length - 1;
    this.logLength = logLength;
    this.loggedAfter = loggedAfter;
    const projections = subjects.map((name) => {
      const projection = SUBJECTS[name].projection({ hotFollowers });

      return { subject: SUBJECTS[name], projection: isCostly ? costly(projection) : projection };
    });
    this.shards = projections.flatMap(({ subject, projection }) =>
      Array.from({ length: shards }, (_, number) => ({ shard: { projection: projection.id, number }, projection, subject })),
    );
    this.questions = projections.flatMap(({ subject }) => subject.questions(this.space, journal, pageSize));
    this.run = createApply(
      redis,
      this.space,
      projections.map(({ projection }) => projection),
      logLength,
    );
  }

  static async begin(options: TownOptions): Promise<ShardsOfATown> {
    const town = new ShardsOfATown(options);
    await Promise.all(town.shards.map(({ shard }) => town.begun(shard)));
    town.workers.push(new Worker(town), new Worker(town));

    return town;
  }

  async end(): Promise<void> {
    for (const worker of this.workers) await worker.stop();
    const keys = await redis.keys(`${this.space.namespace}:*`);
    if (keys.length > 0) await redis.unlink(keys);
  }

  /** Null when it is not there. */
  async appliedOf(shard: Shard): Promise<number | null> {
    const applied = await redis.get(prefixOf(this.space, shard) + APPLIED);

    return applied === null ? null : Number(applied);
  }

  /** Where a shard stands, which is begun when it is not there. */
  async begun(shard: Shard): Promise<number> {
    const prefix = prefixOf(this.space, shard);
    await redis
      .multi()
      .set(prefix + LOGGED_AFTER, this.loggedAfter)
      .set(prefix + APPLIED, 0, 'NX')
      .exec();

    return (await this.appliedOf(shard))!;
  }

  hear(moved: PumpedShard[]): void {
    for (const { shard, applied } of moved) if (!this.lost.has(shardName(shard))) this.reach(shardName(shard), applied);
  }

  /** Lets go of something that a worker has sent. */
  async letGo(worker: Worker, which: number, fate: Fate, where: number): Promise<void> {
    const [held] = worker.held.splice(which % Math.max(1, worker.held.length), 1);
    if (!held) return;
    const [shard, expected, upTo, writes] = held.args;
    this.sent.push(held.args);
    if (fate === 'breaks') {
      const some = writes.slice(0, where % (writes.length + 1));
      // `applied` is no set.
      const broken: PositionedWrite = { position: some.at(-1)?.position ?? expected + 1, write: ['SADD', APPLIED, 'x'] };
      try {
        held.answer(await this.run(shard, expected, upTo, [...some, broken]));
      } catch (error) {
        expect((error as Error).message).toMatch('WRONGTYPE');
        this.brokenUpTo.set(shardName(shard), Math.max(upTo, this.brokenUpTo.get(shardName(shard)) ?? 0));
        held.fail(error as Error);
      }
      return;
    }
    try {
      const result = await this.run(...held.args);
      if (fate === 'answer is lost') held.fail(new Error('Connection is closed.'));
      else held.answer(fate === 'runs twice' ? await this.run(...held.args) : result);
    } catch (error) {
      held.fail(error as Error);
      throw error;
    }
  }

  /** Redis loses a shard, and whoever looks next begins it again. */
  async lose(which: number): Promise<void> {
    const { shard } = this.shards[which % this.shards.length]!;
    const keys = await redis.keys(`${prefixOf(this.space, shard)}*`);
    if (keys.length > 0) await redis.unlink(keys);
    this.reached.delete(shardName(shard));
    this.brokenUpTo.delete(shardName(shard));
    this.lost.add(shardName(shard));
  }

  /** What was sent once comes, from whoever is no more. */
  async echo(which: number): Promise<void> {
    const args = this.sent[which % Math.max(1, this.sent.length)];
    if (!args) return;
    const [shard, expected] = args;
    const before = await this.appliedOf(shard);
    const { status } = await this.run(...args);
    expect(status).toBe(before === expected ? 'applied' : 'moved');
  }

  async ask(which: number): Promise<void> {
    const question = this.questions[which % Math.max(1, this.questions.length)];
    if (!question) return;
    const { about, shard, ask, expected } = question;
    const { applied, value } = await ask(redis, this.space);
    const fold = this.foldAt(shard, applied);
    if (!fold) return;
    const right = expected(fold);
    if (!isDeepStrictEqual(value, right)) expect({ about, applied, value }).toEqual({ about, applied, value: right });
  }

  /** What the log of a shard has after a change. */
  async readLog(which: number, after: ChangeId): Promise<void> {
    const { shard, subject } = this.shards[which % this.shards.length]!;
    if (!subject.decodeChange) return;
    const { applied, value } = await readChanges(redis, this.space, shard, after, LOG_LENGTH, subject.decodeChange);
    if (!this.foldAt(shard, applied)) return;
    const isHere = (id: string) => partOf(id, this.space.shards) === shard.number;
    const possible = this.journal.slice(0, applied).flatMap(({ position }) => {
      const changes = subject.changes(this.fold(position - 1), this.fold(position), isHere);

      return changes.map(({ change, isRequired }, index) => ({
        change: { ...change, id: { position, index } },
        isRequired,
      }));
    });
    const later = possible.filter(({ change }) => compareChanges(change.id, after) > 0);
    // Too old is only what the log could not hold, and what was before it began.
    const isBefore = this.loggedAfter > 0 && after.position <= this.loggedAfter;
    if (value.isTorn && !isBefore && later.length < this.logLength)
      throw new Error(`the log says that it is torn after ${JSON.stringify(after)}`);
    if (value.changes.length > this.logLength) throw new Error(`the log has ${value.changes.length} changes`);
    const told = new Set(value.changes.map(({ id }) => `${id.position}-${id.index}`));
    const isTold = ({ id }: Logged<object>) => told.has(`${id.position}-${id.index}`);
    const oldest = value.changes[0]?.id;
    const right = later.filter(
      ({ change, isRequired }) => isTold(change) || (isRequired && !(value.isTorn && (!oldest || compareChanges(change.id, oldest) < 0))),
    );
    const changes = right.map(({ change }) => change);
    if (!isDeepStrictEqual(value.changes, changes)) expect({ applied, after, changes: value.changes }).toEqual({ applied, after, changes });
  }

  /** All is delivered, and nothing goes wrong any more. */
  async catchUp(): Promise<void> {
    this.committed = this.journal.length;
    const deadline = performance.now() + CAUGHT_UP_MS;
    while (!this.workers.every((worker) => worker.hasAll())) {
      for (const worker of this.workers) {
        await worker.rejoin();
        worker.giveAll();
      }
      do {
        if (performance.now() > deadline) throw new Error('the shards do not get there');
        await turn();
        for (const worker of this.workers) {
          for (let n = worker.held.length; n > 0; n--) await this.letGo(worker, 0, 'runs', 0);
        }
        await turn();
      } while (this.workers.some(({ held }) => held.length > 0));
    }
    await Promise.all([
      ...this.questions.map((_, i) => this.ask(i)),
      ...this.shards.map((_, i) => this.readLog(i, { position: 0, index: 0 })),
    ]);
    const applied = await Promise.all(this.shards.map(({ shard }) => this.appliedOf(shard)));
    if (applied.some((position) => position !== this.journal.length)) throw new Error(`the shards are at ${applied.join()}`);
  }

  /** What is so where the shard stands; null when that cannot be told. Never less far than it was. */
  private foldAt(shard: Shard, applied: number): Fold | null {
    const name = shardName(shard);
    if (applied === -1 && this.lost.has(name)) return null;
    const before = this.reached.get(name) ?? 0;
    if (applied < before) throw new Error(`${name} went back from ${before} to ${applied}`);
    if (applied > this.committed) throw new Error(`${name} is at ${applied}, and the journal at ${this.committed}`);
    this.reach(name, applied);

    return applied < (this.brokenUpTo.get(name) ?? 0) ? null : this.fold(applied);
  }

  private reach(name: string, applied: number): void {
    this.reached.set(name, Math.max(applied, this.reached.get(name) ?? 0));
  }

  private fold = (position: number): Fold => (this.folds[position] ??= Fold.of(this.journal.slice(0, position)));
}

/** The next ones, but not always as they should come. */
const HOW = {
  'in order': (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i),
  'each twice': (from: number, count: number) => Array.from({ length: 2 * count }, (_, i) => from + Math.floor(i / 2)),
  'all twice': (from: number, count: number) => Array.from({ length: 2 * count }, (_, i) => from + (i % count)),
  backwards: (from: number, count: number) => Array.from({ length: count }, (_, i) => from + count - 1 - i),
  'from before': (from: number, count: number) => Array.from({ length: 2 * count }, (_, i) => from - count + i),
  'some are missing': (from: number, count: number) => Array.from({ length: count }, (_, i) => from + 2 * i + 1),
};

const worker = fc.nat(1);
const which = fc.nat(30);
const fate = fc.oneof(
  { weight: 5, arbitrary: fc.constant('runs' as const) },
  { weight: 4, arbitrary: fc.constantFrom('runs twice' as const, 'breaks' as const, 'answer is lost' as const) },
);
const act = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constant('give' as const),
      ...{ worker, which, count: fc.integer({ min: 1, max: 6 }) },
      how: fc.constantFrom(...(Object.keys(HOW) as (keyof typeof HOW)[])),
    }),
  },
  { weight: 8, arbitrary: fc.record({ does: fc.constant('let go' as const), worker, which, fate, where: which }) },
  { weight: 3, arbitrary: fc.record({ does: fc.constant('rejoin' as const), worker }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('begin anew' as const), worker }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constantFrom('echo' as const, 'lose' as const), which }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('ask' as const), which }) },
  {
    weight: 3,
    arbitrary: fc.record({ does: fc.constant('read log' as const), which, after: fc.record({ position: fc.nat(20), index: fc.nat(2) }) }),
  },
);

const names = Object.keys(SUBJECTS) as (keyof typeof SUBJECTS)[];
const lives = fc.uniqueArray(fc.constantFrom(...names), { minLength: 1, maxLength: 2 }).chain((subjects) =>
  fc.record({
    subjects: fc.constant(subjects),
    steps: stepsOf(
      subjects.flatMap((name) => SUBJECTS[name].kinds),
      4,
      24,
    ),
    acts: fc.array(act, { minLength: 5, maxLength: 30 }),
    shards: fc.integer({ min: 1, max: 3 }),
    hotFollowers: fc.constantFrom(0, 1, 2, 1_000),
    logLength: fc.constantFrom(2, 5, LOG_LENGTH),
    loggedAfter: fc.oneof(fc.constant(0), fc.nat(30)),
    isCostly: fc.boolean(),
    pageSize: fc.constantFrom(2, 100),
  }),
);

const RUNS = 4_000;
const CAUGHT_UP_MS = 60_000;

describe('shards', () => {
  it(`are the fold of the journal up to the position that they name, whatever comes twice, late, in another order, or not to its end: ${RUNS} journals`, async () => {
    await assertAtOnce(lives, RUNS, async ({ steps, acts, ...options }) => {
      const town = await ShardsOfATown.begin({ ...options, journal: journalOf(steps) });
      try {
        for (const act of acts) {
          const worker = 'worker' in act ? town.workers[act.worker]! : null;
          if (act.does === 'give') worker!.give(act.which, (next) => HOW[act.how](next, act.count));
          if (act.does === 'let go') await town.letGo(worker!, act.which, act.fate, act.where);
          if (act.does === 'rejoin') await worker!.rejoin();
          if (act.does === 'begin anew') await worker!.beginAnew();
          if (act.does === 'echo') await town.echo(act.which);
          if (act.does === 'lose') await town.lose(act.which);
          if (act.does === 'ask') await Promise.all([0, 1, 2, 3].map((more) => town.ask(act.which + more)));
          if (act.does === 'read log') await town.readLog(act.which, act.after);
          // What follows from it has happened by then, all but what waits for Redis.
          await turn();
        }
        await town.catchUp();
      } finally {
        await town.end();
      }
    });
  }, 300_000);
});
