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
import { startSystem, type ServiceProcess, type System } from '../system.js';
import { check } from './checker.js';
import { Fleet } from './fleet.js';
import type { Random } from './random.js';
import type { Viewer } from './recorder.js';

const SEED = Number(process.env.CONSISTENCY_SEED ?? randomInt(2 ** 31));
const SECONDS = Number(process.env.CONSISTENCY_SECONDS ?? 25);
const LEAST_OPERATIONS = 3_000;
/** However slow the machine is. */
const DEADLINE_SECONDS = SECONDS + 120;

const AUTHORS = 24;
/** Each author has two; the last ones are nobody's. */
const SESSIONS = 52;
const SUBSCRIBERS = 42;

let system: System;
let viewers: Viewer[];
beforeAll(async () => {
  // Of a shard's followers of one author, two are told, and all others merge.
  system = await startSystem({ gateways: 2, writeSides: 2, readSides: 2, env: { HOT_FOLLOWERS: '2' } });
  const authors = await Promise.all(Array.from({ length: AUTHORS }, () => system.author()));
  viewers = authors.map(({ id, client }) => ({ id, accessToken: client.accessToken! }));
});
afterAll(() => system?.stop());

async function readJournal(): Promise<JournalEntry[]> {
  const rows = await system.sql<{ position: number; body: string }>('SELECT position, body FROM journal ORDER BY position');

  return rows.map(({ position, body }) => ({ position: Number(position), ...(JSON.parse(body) as EntryBody) }));
}

// ---- Faults

type Fault = (random: Random) => Promise<void>;

/** One fault after another, each kind once before any comes again, until all is over. */
async function troubles(
  fleet: Fleet,
  name: string,
  kinds: Record<string, Fault>,
  made: Map<string, number>,
  isOver: () => boolean,
): Promise<void> {
  const random = fleet.random(name);
  let left: string[] = [];
  while (!isOver()) {
    await pause(random.integer(500, 2_000));
    if (left.length === 0) left = random.shuffled(Object.keys(kinds));
    const kind = left.pop()!;
    await kinds[kind]!(random);
    made.set(kind, (made.get(kind) ?? 0) + 1);
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

// ---- The run

/** Faults, until there was enough of everything. @returns how often each kind was made */
async function faults(fleet: Fleet): Promise<Map<string, number>> {
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
  const made = new Map<string, number>();
  const start = performance.now();
  const isEnough = () => fleet.operations >= LEAST_OPERATIONS && kinds.every((kind) => made.has(kind));
  const isOver = () => {
    const seconds = (performance.now() - start) / 1_000;

    return fleet.isOver || seconds > DEADLINE_SECONDS || (seconds >= SECONDS && isEnough());
  };
  const results = await Promise.allSettled([
    troubles(fleet, 'reads', reads, made, isOver),
    troubles(fleet, 'others', others, made, isOver),
  ]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  expect(kinds.filter((kind) => !made.has(kind))).toEqual([]);

  return made;
}

describe('sessions and subscribers, over services that lag, die and come back', () => {
  it(
    'see their own writes, nothing that goes back, exact pages, and each change once',
    async () => {
      console.log(`CONSISTENCY_SEED=${SEED} CONSISTENCY_SECONDS=${SECONDS}`);
      const start = performance.now();
      const urls = system.gateways.map((gateway) => system.urlOf(gateway));
      const fleet = new Fleet({ seed: SEED, viewers, urls, sessions: SESSIONS, subscribers: SUBSCRIBERS, readJournal });
      const { history } = fleet.recorder;
      let made = new Map<string, number>();
      let journal: JournalEntry[];
      try {
        await fleet.settle();
        await fleet.liveThrough(async () => {
          made = await faults(fleet);
        });
        journal = await fleet.catchUp();
      } finally {
        fleet.stop();
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
        faults: Object.fromEntries(made),
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
