/**
 * `cheeper pause`, `resume`, `step` and `lanes`: the system, watched by hand. A lane that is paused runs nothing, and its commands
 * wait in the stream; a projection that is paused applies nothing, and those who need it newer are told so. Both stay paused over
 * restarts, until somebody lets them go on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { readConfig } from '../shared/config.js';
import { PROJECTIONS } from '../read-side/progress.js';
import { pauseProjection, projectionNamed, resumeProjection, stepProjection, type ProjectionHeld } from './projections.js';
import { tellServices, withMysql } from './servers.js';
import { OperatorError, parseArguments, table, UsageError, wholeNumber, type Subcommand } from './subcommand.js';

const TARGETS = `  TARGET   lanes             all lanes
           lane:3            one lane
           timelines         a projection: ${PROJECTIONS.map(({ name }) => name).join(', ')};
                             or projection:timelines
  --json   for programs: one JSON document

While a lane is paused, mutations of its authors are answered ACCEPTED at their deadline, and run when it goes on. Nothing is lost.
The settings are those of the services: MYSQL_URL, NATS_URL, NAMESPACE, and for projections REDIS_URL.`;

const MAX_STEPS = 1_000_000;
/** What lanes are given to take their steps before it is said how many are left. */
const STEPPING_MS = 2_000;
const LOOK_MS = 50;
/** MySQL's number for "waited too long for a row". */
const LOCK_WAIT_TIMEOUT = 1205;

type Action = 'pause' | 'resume' | 'step';

interface Targets {
  /** Null for all. */
  lanes: number[] | null;
  projections: string[];
}

export interface LaneSteps {
  lane: number;
  /** How many more commands it may run; null when nobody counts. */
  steps: number | null;
}

const subcommand = (action: Action, summary: string, usage: string): Subcommand => ({
  summary,
  usage: `${usage}\n\n${TARGETS}`,
  async run(args, print) {
    const { values, positionals } = parseArguments(args, { json: { type: 'boolean', default: false } });
    const [steps, named] = action === 'step' ? [stepsOf(positionals[0]), positionals.slice(1)] : [0, positionals];
    if (named.length === 0)
      throw new UsageError(`What? Such as cheeper ${action}${action === 'step' ? ' 1' : ''} lanes, or lane:3, or timelines.`);
    await act(action, targetsOf(named), steps, values.json, print);
  },
});

export const pause = subcommand(
  'pause',
  'Lanes or projections run nothing more until they are resumed.',
  `cheeper pause TARGET… [--json]

Returns when it has taken effect: nothing of them is under way any more.`,
);

export const resume = subcommand('resume', 'Lanes or projections that were paused go on.', 'cheeper resume TARGET… [--json]');

export const step = subcommand(
  'step',
  'Lanes or projections that are paused do exactly N more things.',
  `cheeper step N TARGET… [--json]

Each lane that is named runs N more commands, each projection applies N more events, and then they stand still again.`,
);

export const lanes: Subcommand = {
  summary: 'Which lanes are paused; and pause, resume and step for lanes.',
  usage: `cheeper lanes [list] [--json]
cheeper lanes pause LANE…|all [--json]
cheeper lanes resume LANE…|all [--json]
cheeper lanes step N LANE…|all [--json]

  LANE     its number, such as 3; cheeper status shows what waits in each
  N        how many more commands each of these lanes may run before it stands still again
  --json   for programs: one JSON document

The settings are those of the write side: MYSQL_URL, NATS_URL, NAMESPACE.`,
  async run(args, print) {
    const { values, positionals } = parseArguments(args, { json: { type: 'boolean', default: false } });
    const [action = 'list', ...rest] = positionals;
    if (action === 'list') {
      if (rest.length > 0) throw new UsageError(`${JSON.stringify(rest[0])} is too much.`);
      const all = await withMysql(readConfig(['MYSQL_URL']).MYSQL_URL, readSteps);
      print(values.json ? JSON.stringify({ lanes: all }) : stepsText(all).join('\n'));
      return;
    }
    if (action !== 'pause' && action !== 'resume' && action !== 'step') {
      throw new UsageError(`There is no ${JSON.stringify(action)}: one of list, pause, resume, step. cheeper lanes --help tells more.`);
    }
    const [steps, named] = action === 'step' ? [stepsOf(rest[0]), rest.slice(1)] : [0, rest];
    if (named.length === 0) throw new UsageError('Which lanes? Their numbers, or all.');
    const isAll = named.includes('all');
    await act(action, { lanes: isAll ? null : named.map(laneOf), projections: [] }, steps, values.json, print);
  },
};

const stepsOf = (text: string | undefined): number => wholeNumber('How many steps', text, 1, MAX_STEPS);
const laneOf = (text: string): number => wholeNumber('A lane', text, 0, 255);

/** @throws UsageError */
function targetsOf(named: string[]): Targets {
  const numbers = named.flatMap((name) => (name.startsWith('lane:') ? [laneOf(name.slice('lane:'.length))] : []));
  const projections = named
    .filter((name) => name !== 'lanes' && !name.startsWith('lane:'))
    .map((name) => projectionNamed(name.replace(/^projection:/, '')).name);

  return { lanes: named.includes('lanes') ? null : numbers, projections };
}

async function act(action: Action, targets: Targets, steps: number, json: boolean, print: (text: string) => void): Promise<void> {
  const held: ProjectionHeld[] = [];
  const wantsLanes = targets.lanes === null || targets.lanes.length > 0;
  const done = wantsLanes ? await lanesDo[action](targets.lanes, steps) : [];
  for (const name of targets.projections) {
    held.push(await { pause: pauseProjection, resume: resumeProjection, step: stepProjection }[action](name, steps));
  }
  if (held.some(({ isDone }) => !isDone)) process.exitCode = 1;
  if (json) print(JSON.stringify({ lanes: done, projections: held }));
  else print([...stepsText(done), ...held.map(heldText)].join('\n'));
}

const heldText = ({ name, heldAt, isDone }: ProjectionHeld): string =>
  heldAt === null
    ? `${name} ${isDone ? 'goes on.' : 'is to go on, and has not told so yet: is a read side running?'}`
    : `${name} ${isDone ? 'stands still at' : 'is to stand still at'} position ${heldAt}${isDone ? '.' : ', and is not there yet: is there that much in the journal, and is a read side running?'}`;

const stepText = (steps: number | null): string => (steps === null ? 'runs' : steps === 0 ? 'paused' : `paused, after ${steps} more`);

/** A line for each; one for all when they are alike. */
const stepsText = (all: readonly LaneSteps[]): string[] => {
  const texts = new Set(all.map(({ steps }) => stepText(steps)));
  if (all.length > 2 && texts.size === 1) return [`${all.length} lanes: ${[...texts].join()}`];

  return table(all.map(({ lane, steps }) => [`lane ${lane}`, stepText(steps)]));
};

// ---- Lanes

/** All lanes, in order. @throws OperatorError when the journal has not begun */
export async function readSteps(connection: Connection): Promise<LaneSteps[]> {
  const count = await countLanes(connection);
  const [rows] = await connection.query<RowDataPacket[]>('SELECT lane, steps FROM lanes');
  const steps = new Map(rows.map((row) => [Number(row.lane), row.steps === null ? null : Number(row.steps)]));

  return Array.from({ length: count }, (_, lane) => ({ lane, steps: steps.get(lane) ?? null }));
}

async function countLanes(connection: Connection): Promise<number> {
  const [[head]] = await connection.query<RowDataPacket[]>('SELECT lanes FROM journal_head WHERE id = 1');

  return Number(head?.lanes ?? readConfig(['LANES']).LANES);
}

type LanesDo = (lanes: number[] | null, steps: number) => Promise<LaneSteps[]>;

/** Runs a statement over the lanes' rows. It waits for batches that are under way; those that come after know of it. */
const change =
  (statement: (connection: Connection, lanes: number[], steps: number) => Promise<LaneSteps[] | void>): LanesDo =>
  async (named, steps) => {
    const { MYSQL_URL, NATS_URL, NAMESPACE } = readConfig(['MYSQL_URL', 'NATS_URL', 'NAMESPACE']);

    return withMysql(MYSQL_URL, async (connection) => {
      const count = await countLanes(connection);
      const wanted = (named ?? Array.from({ length: count }, (_, n) => n)).toSorted((a, b) => a - b);
      const missing = wanted.find((lane) => lane >= count);
      if (missing !== undefined) throw new UsageError(`There is no lane ${missing}: they are 0 to ${count - 1}.`);
      await connection.query('INSERT IGNORE INTO lanes (lane) VALUES ?', [wanted.map((lane) => [lane])]);
      const after = await statement(connection, wanted, steps).catch((error: unknown) => {
        if ((error as { errno?: number }).errno !== LOCK_WAIT_TIMEOUT) throw error;
        throw new OperatorError('A batch of these lanes has been under way for too long: nothing was changed. Is a write side stopped?');
      });
      await tellServices(NATS_URL, NAMESPACE);
      if (steps > 0) await taken(connection, wanted);

      return after ?? (await readSteps(connection)).filter(({ lane }) => wanted.includes(lane));
    });
  };

const lanesDo: Record<Action, LanesDo> = {
  pause: change(async (connection, lanes) => {
    await connection.query('UPDATE lanes SET steps = 0 WHERE lane IN (?)', [lanes]);
  }),
  resume: change(async (connection, lanes) => {
    await connection.query('UPDATE lanes SET steps = NULL WHERE lane IN (?)', [lanes]);
  }),
  step: change(async (connection, lanes, steps) => {
    const running = (await readSteps(connection)).find((lane) => lanes.includes(lane.lane) && lane.steps === null);
    if (running) throw new OperatorError(`Lane ${running.lane} is not paused: cheeper pause lane:${running.lane} does that first.`);
    await connection.query('UPDATE lanes SET steps = steps + ? WHERE lane IN (?) AND steps IS NOT NULL', [steps, lanes]);
  }),
};

/** Waits until all steps are taken, for as long as that is worth waiting for. */
async function taken(connection: Connection, lanes: number[]): Promise<void> {
  for (const deadline = performance.now() + STEPPING_MS; performance.now() < deadline; await sleep(LOOK_MS)) {
    if ((await readSteps(connection)).every(({ lane, steps }) => !lanes.includes(lane) || !steps)) return;
  }
}
