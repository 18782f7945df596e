/**
 * `cheeper projections`: what the projections are at, and a new generation of one beside the live one: built, compared, switched to,
 * and taken back. Also what `pause`, `resume` and `step` do to a projection.
 */
import { parseArgs } from 'node:util';
import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { readConfig } from '../shared/config.js';
import { askJournalHead } from '../shared/journal-requests.js';
import type { Nats } from '../shared/jetstream.js';
import { natsNames } from '../shared/names.js';
import { Findings, MAX_TOLD } from '../shared/findings.js';
import {
  changeGenerations,
  generationsOf,
  holdProjection,
  keptGenerations,
  readControl,
  shardsOf,
  type Control,
  type Generations,
} from '../read-side/control.js';
import { compareCopies, readMoving, type Copy } from '../read-side/differences.js';
import { HELD, progressMessage, PROJECTIONS } from '../read-side/progress.js';
import {
  APPLIED,
  prefixOf,
  projectionName,
  shardName,
  TARGET,
  UNMADE,
  type ProjectionId,
  type Shard,
  type Space,
} from '../read-side/shard.js';
import { createPool } from '../write-side/database.js';
import { connectNatsOnce, connectRedisOnce, findSpace } from './servers.js';
import { OperatorError, UsageError, type Subcommand } from './subcommand.js';

const USAGE = `cheeper projections [list] [--json]
cheeper projections rebuild NAME [--no-wait] [--json]
cheeper projections verify NAME [--json]
cheeper projections switch NAME [--yes] [--json]
cheeper projections rollback NAME [--yes] [--json]
cheeper projections drop NAME [--yes] [--json]
cheeper projections skip NAME POSITION --reason TEXT --yes [--json]

  list      each projection: its generations, how far they have come, what has stopped
  rebuild   begins a new generation beside the live one, from the first event on, and shows how far it is; what is read
            stays as it is. Interrupted, or with --no-wait, it goes on by itself; the same command shows it again.
  verify    what is not the same in the new generation (or, after a switch, the former one) as in the live one, key by key.
            Exit code 1 when something is not.
  switch    lets everybody read the new generation. Asks for --yes when it differs from the live one. The former is kept up
            to date, so that one can go back to it.
  rollback  back to the generation that was read before the last switch. Asks for --yes when that one is behind, or has stopped.
  drop      gives up the new generation or, when there is none, the former one, and removes its keys
  skip      leaves out the event at POSITION in those shards that have stopped at it, for ever, in rebuilds too. NAME may be
            all: an event that cannot be read at all stops every projection.

  NAME      ${PROJECTIONS.map(({ name }) => name).join(', ')}
  --json    for programs: one JSON document

The settings are those of the read side: NATS_URL, REDIS_URL, NAMESPACE; for skip MYSQL_URL too.`;

/** Shards tell where they are once a second. */
const HEARING_MS = 1_500;
/** What running read sides are given to do as they are told. */
const OBEYING_MS = 10_000;
const LOOK_MS = 200;
/** Keys removed in one round trip. */
const MAX_REMOVED = 1_000;

type Options = { json: boolean; yes: boolean; wait: boolean; reason: string | undefined };
type Action = (servers: Servers, projection: ProjectionId, options: Options) => Promise<Said>;
/** The answer, for people and for programs. */
interface Said {
  text: string[];
  json: unknown;
  /** Something is not as it should be. */
  isBad?: boolean;
}

export const projections: Subcommand = {
  summary: 'The projections: where they are, and a new generation of one beside the live one.',
  usage: USAGE,
  async run(args, print) {
    const { action, name, rest, options } = parse(args);
    const said = await withServers((servers) => {
      if (action === 'list') return list(servers);
      if (action === 'skip') return skip(servers, name === 'all' ? [...PROJECTIONS] : [projectionNamed(name)], options, rest[0]);
      return actions[action]!(servers, projectionNamed(name), options);
    });
    if (options.json) print(JSON.stringify(said.json));
    else if (said.text.length > 0) print(said.text.join('\n'));
    if (said.isBad) process.exitCode = 1;
  },
};

const actions: Record<string, Action> = { rebuild, verify, switch: switchTo, rollback, drop };
const ACTIONS = ['list', ...Object.keys(actions), 'skip'];

function parse(args: string[]): { action: string; name: string | undefined; rest: string[]; options: Options } {
  let parsed;
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        yes: { type: 'boolean', default: false },
        'no-wait': { type: 'boolean', default: false },
        reason: { type: 'string' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message.replace(/(\. To |\n).*$/s, '.'));
  }
  const [action = 'list', name, ...rest] = parsed.positionals;
  if (!ACTIONS.includes(action)) {
    throw new UsageError(`There is no ${JSON.stringify(action)}: one of ${ACTIONS.join(', ')}. cheeper projections --help tells more.`);
  }
  if (action === 'list' && name !== undefined) throw new UsageError(`${JSON.stringify(name)} is too much.`);
  const [extra] = action === 'skip' ? rest.slice(1) : rest;
  if (extra !== undefined) throw new UsageError(`${JSON.stringify(extra)} is too much.`);
  const { json, yes, 'no-wait': noWait, reason } = parsed.values;

  return { action, name, rest, options: { json, yes, wait: !noWait, reason } };
}

/** @throws UsageError */
export function projectionNamed(name: string | undefined): ProjectionId {
  const found = PROJECTIONS.find((projection) => projection.name === name);
  if (found) return found;
  const all = PROJECTIONS.map((projection) => projection.name).join(', ');
  throw new UsageError(
    name === undefined ? `Which projection? One of ${all}.` : `There is no projection ${JSON.stringify(name)}: one of ${all}.`,
  );
}

// ---- Servers

interface Servers {
  redis: Redis;
  nats: Nats;
  space: Space;
  /** What the read sides have said lately, by `shardName`: how far a shard is, and why it has stopped, if it has. */
  heard: Map<string, Heard>;
}

interface Heard {
  applied: number;
  stopped: string | null;
  at: number;
}

async function withServers<T>(work: (servers: Servers) => Promise<T>): Promise<T> {
  const { REDIS_URL, NATS_URL, NAMESPACE } = readConfig(['REDIS_URL', 'NATS_URL', 'NAMESPACE']);
  const redis = await connectRedisOnce(REDIS_URL);
  try {
    const space = await findSpace(redis, NAMESPACE);
    const nats = await connectNatsOnce(NATS_URL, NAMESPACE);
    const heard: Servers['heard'] = new Map();
    nats.connection.subscribe(natsNames(NAMESPACE).progress, {
      callback: (_, message) => {
        const parsed = progressMessage.safeParse(message.json());
        if (!parsed.success || parsed.data.epoch !== space.epoch) return;
        for (const [name, applied] of Object.entries(parsed.data.applied)) {
          heard.set(name, { applied, stopped: parsed.data.stopped[name] ?? null, at: performance.now() });
        }
      },
    });
    try {
      return await work({ redis, nats, space, heard });
    } finally {
      await nats.close();
    }
  } finally {
    redis.disconnect();
  }
}

/** Read sides look at what operators have said, at once. */
async function tell({ nats, space }: Servers): Promise<void> {
  nats.connection.publish(natsNames(space.namespace).control);
  await nats.connection.flush();
}

/** Waits until it is so. False at the deadline. */
async function until(isSo: () => Promise<boolean> | boolean, deadlineMs = OBEYING_MS): Promise<boolean> {
  const deadline = performance.now() + deadlineMs;
  while (!(await isSo())) {
    if (performance.now() > deadline) return false;
    await pause(LOOK_MS);
  }

  return true;
}

async function headOf({ nats, space }: Servers): Promise<number | null> {
  const head = await askJournalHead(nats, natsNames(space.namespace)).catch(() => null); // The write side may be away.

  return head && head.epoch === space.epoch ? head.position : null;
}

interface Standing {
  shard: Shard;
  /** −1: it is not there. */
  applied: number;
  target: number;
  /** Ids for which there is something left to make, right below the target. */
  unmade: number;
}

async function standingOf({ redis, space }: Servers, shards: Shard[]): Promise<Standing[]> {
  return Promise.all(
    shards.map(async (shard) => {
      const prefix = prefixOf(space, shard);
      const [[applied, target], unmade] = await Promise.all([redis.mget(prefix + APPLIED, prefix + TARGET), redis.scard(prefix + UNMADE)]);

      return { shard, applied: Number(applied ?? -1), target: Number(target ?? 0), unmade };
    }),
  );
}

/** The live generation of a projection, as it stands. */
async function liveShards(servers: Servers, projection: ProjectionId): Promise<Shard[]> {
  const { live } = generationsOf(await readControl(servers.redis, servers.space), projection);

  return shardsOf(servers.space, projection, live);
}

// ---- What there is

interface ListedGeneration {
  generation: number;
  role: 'live' | 'building' | 'previous';
  applied: number;
  lag: number | null;
  isComplete: boolean;
  stopped: { shard: string; applied: number; reason: string }[];
}

interface Listed {
  name: string;
  version: number;
  heldAt: number | null;
  generations: ListedGeneration[];
}

const roleOf = (generation: number, { live, building }: Generations): ListedGeneration['role'] =>
  generation === live ? 'live' : generation === building ? 'building' : 'previous';

async function listed(servers: Servers): Promise<Listed[]> {
  const { redis, space, heard } = servers;
  const control = await readControl(redis, space);
  const [head] = await Promise.all([headOf(servers), until(() => isHeardOf(servers, control), HEARING_MS)]);

  return Promise.all(
    PROJECTIONS.map(async (projection) => {
      const all = generationsOf(control, projection);
      const generations = await Promise.all(
        keptGenerations(all).map(async (generation): Promise<ListedGeneration> => {
          const standing = await standingOf(servers, shardsOf(space, projection, generation));
          const applied = Math.min(...standing.map((one) => one.applied));

          return {
            generation,
            role: roleOf(generation, all),
            applied,
            lag: head === null ? null : Math.max(0, head - applied),
            isComplete: standing.every((one) => one.applied >= 0 && one.applied >= one.target),
            stopped: standing.flatMap(({ shard, applied: at }) => {
              const reason = heard.get(shardName(shard))?.stopped;
              return reason ? [{ shard: shardName(shard), applied: at, reason }] : [];
            }),
          };
        }),
      );

      return {
        name: projection.name,
        version: projection.version,
        heldAt: control.holds.get(projectionName(projection)) ?? null,
        generations,
      };
    }),
  );
}

/** Has every shard that is to be kept been heard of? */
const isHeardOf = ({ space, heard }: Servers, control: Control): boolean =>
  PROJECTIONS.every((projection) =>
    keptGenerations(generationsOf(control, projection))
      .flatMap((generation) => shardsOf(space, projection, generation))
      .every((shard) => heard.has(shardName(shard))),
  );

async function list(servers: Servers): Promise<Said> {
  const all = await listed(servers);
  const rows = all.flatMap(({ name, version, heldAt, generations }) =>
    generations.flatMap(({ generation, role, applied, lag, isComplete, stopped }) => {
      const where =
        applied < 0 ? 'is not there' : `at ${applied}, ${lag === null ? 'lag unknown' : lag === 0 ? 'up to date' : `${lag} behind`}`;
      const notes = [
        ...(isComplete ? [] : ['being built']),
        ...(heldAt === null ? [] : [`held at ${heldAt}`]),
        ...(stopped.some(({ reason }) => reason !== HELD) ? ['STOPPED'] : []),
      ];

      return [
        `${name.padEnd(14)} v${version}  generation ${String(generation).padEnd(3)} ${role.padEnd(9)} ${where}${notes.length ? ` (${notes.join(', ')})` : ''}`,
        ...stopped
          .filter(({ reason }) => reason !== HELD)
          .map(({ shard, applied: at, reason }) => `    ${shard} stopped at ${at}: ${reason}`),
      ];
    }),
  );

  return {
    text: rows,
    json: all,
    isBad: all.some(({ generations }) => generations.some(({ stopped }) => stopped.some(({ reason }) => reason !== HELD))),
  };
}

// ---- A new generation

async function rebuild(servers: Servers, projection: ProjectionId, { wait }: Options): Promise<Said> {
  const { redis, space } = servers;
  const { building, newest } = generationsOf(await readControl(redis, space), projection);
  // Redis may have lost which generations there were, and not what was in them.
  const left = building === null ? shardsOf(space, projection, newest + 1) : [];
  if ((await Promise.all(left.map((shard) => redis.exists(prefixOf(space, shard) + APPLIED)))).some((there) => there > 0)) {
    await removeGeneration(servers, projection, newest + 1);
  }
  let began = false;
  const generations = await changeGenerations(redis, space, projection, (now) => {
    began = now.building === null;
    return began ? { ...now, building: now.newest + 1, newest: now.newest + 1 } : now;
  });
  const generation = generations.building!;
  await tell(servers);
  if (began) progressLine(`${projection.name}: generation ${generation} is being built.\n`);
  const shards = shardsOf(space, projection, generation);
  const isComplete = wait ? await watch(servers, projection, shards) : (await standingOf(servers, shards)).every(isBuilt);

  return {
    text: [
      isComplete
        ? `Generation ${generation} of ${projection.name} is complete. cheeper projections verify ${projection.name} compares it with the live one, switch ${projection.name} lets everybody read it.`
        : `Generation ${generation} of ${projection.name} goes on being built. cheeper projections rebuild ${projection.name} shows how far it is.`,
    ],
    json: { name: projection.name, generation, isComplete },
  };
}

const isBuilt = ({ applied, target }: Standing): boolean => applied >= 0 && applied >= target;

/** Shows how far the shards are until they have all that there was when they began. @throws when one has stopped, or none moves */
async function watch(servers: Servers, projection: ProjectionId, shards: Shard[]): Promise<boolean> {
  const { heard } = servers;
  const startedAt = performance.now();
  let first: number | null = null;
  let lastMove = { at: performance.now(), to: '' };
  for (;;) {
    const standing = await standingOf(servers, shards);
    const begun = standing.filter(({ applied }) => applied >= 0);
    const applied = begun.length === shards.length ? Math.min(...begun.map((one) => one.applied)) : -1;
    const target = Math.max(...standing.map((one) => one.target));
    if (standing.every(isBuilt)) {
      const seconds = (performance.now() - startedAt) / 1_000;
      const rate = Math.round((target - (first ?? 0)) / Math.max(0.001, seconds));
      progressLine(`${bar(1)} ${target} events in ${seconds.toFixed(1)} s (${rate}/s)\n`);
      return true;
    }
    for (const { shard } of standing) {
      const reason = heard.get(shardName(shard))?.stopped;
      if (reason) throw new OperatorError(`${shardName(shard)} stopped at ${heard.get(shardName(shard))!.applied}: ${reason}`);
    }
    if (applied >= 0) {
      first ??= applied;
      const seconds = (performance.now() - startedAt) / 1_000;
      const rate = (applied - first) / Math.max(0.001, seconds);
      const left = rate > 0 ? `, ${Math.ceil((target - applied) / rate)} s left` : '';
      const events = `${bar(applied / Math.max(1, target))} ${applied} of ${target}, ${Math.round(rate)}/s${left}`;
      const unmade = standing.reduce((sum, one) => sum + one.unmade, 0);
      progressLine(applied === target - 1 && unmade > 0 ? `${events}, and ${unmade} of its ids to make` : events);
    }
    const to = standing.map((one) => `${one.applied} ${one.unmade}`).join();
    if (to !== lastMove.to) lastMove = { at: performance.now(), to };
    else if (performance.now() - lastMove.at > OBEYING_MS) {
      throw new OperatorError(
        `Nothing has moved for ${OBEYING_MS / 1_000} s: is a read side running, and a write side? ${projection.name} goes on when they are.`,
      );
    }
    await pause(LOOK_MS);
  }
}

const BAR_WIDTH = 30;
const bar = (part: number): string => {
  const full = Math.round(BAR_WIDTH * Math.min(1, Math.max(0, part)));

  return `[${'#'.repeat(full)}${'.'.repeat(BAR_WIDTH - full)}] ${(100 * part).toFixed(0).padStart(3)} %`;
};

/** Over the one before, on a terminal; elsewhere only whole lines are worth writing. */
function progressLine(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
  else if (text.endsWith('\n')) process.stderr.write(text);
}

/** What is to be compared with the live generation: the new one, or the former. */
async function other(servers: Servers, projection: ProjectionId): Promise<{ live: number; other: number }> {
  const { live, building, previous } = generationsOf(await readControl(servers.redis, servers.space), projection);
  const generation = building ?? previous;
  if (generation === null) {
    throw new OperatorError(
      `${projection.name} has one generation only. cheeper projections rebuild ${projection.name} makes another; cheeper verify compares it with the journal.`,
    );
  }
  const standing = await standingOf(servers, shardsOf(servers.space, projection, generation));
  if (!standing.every(isBuilt)) throw new OperatorError(`Generation ${generation} of ${projection.name} is still being built.`);

  return { live, other: generation };
}

async function compare({ redis, space }: Servers, projection: ProjectionId, live: number, generation: number): Promise<Findings> {
  const findings = new Findings();
  const copies: [Copy, Copy] = [
    { space, generation: live },
    { space, generation },
  ];
  await compareCopies(redis, projection, copies, readMoving(redis, projection, copies), findings, {
    signal: new AbortController().signal, // Ctrl-C ends the process; nothing is left behind.
    onProgress: (_, compared) => progressLine(`${compared} keys compared`),
  });
  progressLine(`${findings.looked} keys compared\n`);

  return findings;
}

const differencesText = ({ looked, differing, first }: Findings): string[] => [
  differing === 0 ? `All ${looked} keys are the same.` : `${differing} of ${looked} keys are not the same:`,
  ...first.map(
    ({ what, is, shouldBe, position }) =>
      `  ${what}: ${is ?? 'nothing'} in the live one, ${shouldBe ?? 'nothing'} in the other, at position ${position}`,
  ),
  ...(differing > MAX_TOLD ? ['  …'] : []),
];

async function verify(servers: Servers, projection: ProjectionId): Promise<Said> {
  const { live, other: generation } = await other(servers, projection);
  const found = await compare(servers, projection, live, generation);

  return {
    text: [`${projection.name}: generation ${live} (live) and ${generation}`, ...differencesText(found)],
    json: { name: projection.name, live, other: generation, keys: found.looked, differing: found.differing, first: found.first },
    isBad: found.differing > 0,
  };
}

async function switchTo(servers: Servers, projection: ProjectionId, { yes }: Options): Promise<Said> {
  const { redis, space } = servers;
  const { building } = generationsOf(await readControl(redis, space), projection);
  if (building === null)
    throw new OperatorError(`${projection.name} has no new generation: cheeper projections rebuild ${projection.name} makes one.`);
  const { live } = await other(servers, projection);
  const found = await compare(servers, projection, live, building);
  if (found.differing > 0 && !yes) {
    progressLine(`${differencesText(found).join('\n')}\n`);
    throw new OperatorError('Nothing was switched. With --yes it is, differences and all.');
  }
  let dropped: number | null = null;
  await changeGenerations(redis, space, projection, (now) => {
    if (now.building !== building || now.live !== live) throw new OperatorError('Somebody else has changed the generations. Look again.');
    dropped = now.previous;
    return { ...now, live: building, previous: live, building: null };
  });
  await tell(servers);
  let kept: string[] = [];
  if (dropped !== null) {
    await removeGeneration(servers, projection, dropped).catch((error: unknown) => {
      if (!(error instanceof OperatorError)) throw error;
      kept = [error.message];
    });
  }

  return {
    text: [
      ...differencesText(found),
      ...kept,
      `Generation ${building} of ${projection.name} is read from now on; generation ${live} is kept up to date. cheeper projections rollback ${projection.name} goes back, drop ${projection.name} removes it.`,
    ],
    json: { name: projection.name, live: building, previous: live, keys: found.looked, differing: found.differing, first: found.first },
  };
}

async function rollback(servers: Servers, projection: ProjectionId, { yes }: Options): Promise<Said> {
  const { redis, space } = servers;
  const control = await readControl(redis, space);
  const now = generationsOf(control, projection);
  if (now.previous !== null && !yes) {
    await until(() => isHeardOf(servers, control), HEARING_MS);
    const from = Math.min(...(await standingOf(servers, shardsOf(space, projection, now.live))).map(({ applied }) => applied));
    const to = shardsOf(space, projection, now.previous);
    await until(async () => (await standingOf(servers, to)).every(({ applied }) => applied >= from), HEARING_MS);
    const behind = (await standingOf(servers, to)).filter((one) => !isBuilt(one) || one.applied < from || isStopped(servers, one.shard));
    if (behind.length > 0) {
      const where = behind.map(({ shard, applied }) => `${shardName(shard)} at ${applied}`).join(', ');
      throw new UsageError(
        `Generation ${now.previous} of ${projection.name} is behind the live one, which is at ${from}: ${where}. With --yes it is read all the same.`,
      );
    }
  }
  const { live, previous } = await changeGenerations(servers.redis, servers.space, projection, (now) => {
    if (now.previous === null) throw new OperatorError(`${projection.name} has no former generation to go back to.`);
    return { ...now, live: now.previous, previous: now.live };
  });
  await tell(servers);

  return {
    text: [`Generation ${live} of ${projection.name} is read again; generation ${previous} is kept up to date.`],
    json: { name: projection.name, live, previous },
  };
}

async function drop(servers: Servers, projection: ProjectionId, { yes }: Options): Promise<Said> {
  const { redis, space } = servers;
  const { building, previous } = generationsOf(await readControl(redis, space), projection);
  const generation = building ?? previous;
  if (generation === null) throw new OperatorError(`${projection.name} has one generation only, and that is read.`);
  if (!yes)
    throw new UsageError(
      `This removes generation ${generation} of ${projection.name}, the ${building === null ? 'former' : 'new'} one. With --yes it is done.`,
    );
  await changeGenerations(redis, space, projection, (now) => {
    if ((now.building ?? now.previous) !== generation) throw new OperatorError('Somebody else has changed the generations. Look again.');
    return now.building === generation ? { ...now, building: null } : { ...now, previous: null };
  });
  await tell(servers);
  const removed = await removeGeneration(servers, projection, generation);

  return {
    text: [`Generation ${generation} of ${projection.name} is gone: ${removed} keys.`],
    json: { name: projection.name, generation, removed },
  };
}

/** Once no read side has it any more. */
async function removeGeneration({ redis, space }: Servers, projection: ProjectionId, generation: number): Promise<number> {
  const shards = shardsOf(space, projection, generation);
  const areFree = await until(async () => {
    const leases = await Promise.all(shards.map((shard) => redis.exists(`${prefixOf(space, shard)}lease`)));
    return leases.every((lease) => lease === 0);
  });
  if (!areFree) throw new OperatorError(`A read side does not let go of generation ${generation} of ${projection.name}; its keys stay.`);
  let removed = 0;
  for (const shard of shards) {
    // `applied` first: without it nobody writes there any more.
    const prefix = prefixOf(space, shard);
    removed += await redis.unlink(prefix + APPLIED);
    for await (const keys of redis.scanStream({ match: `${prefix.replace(/[[\]?*\\]/g, '\\$&')}*`, count: MAX_REMOVED })) {
      if ((keys as string[]).length > 0) removed += await redis.unlink(keys as string[]);
    }
  }

  return removed;
}

// ---- An event that cannot be applied

async function skip(servers: Servers, projections: ProjectionId[], { yes, reason }: Options, text: string | undefined): Promise<Said> {
  const position = Number(text);
  if (text === undefined || !/^\d{1,15}$/.test(text) || position < 1) throw new UsageError('Which position? A number from 1 on.');
  if (!reason) throw new UsageError('Why? --reason TEXT is written down with it.');
  const { heard, redis, space } = servers;
  const control = await readControl(redis, space);
  await until(() => isHeardOf(servers, control), HEARING_MS);
  const shards = projections.flatMap((projection) =>
    keptGenerations(generationsOf(control, projection)).flatMap((generation) => shardsOf(space, projection, generation)),
  );
  const stopped = shards.filter((shard) => {
    const one = heard.get(shardName(shard));
    return one && one.stopped !== null && one.stopped !== HELD && one.applied === position - 1;
  });
  const names = stopped.map(shardName);
  if (names.length === 0) {
    throw new OperatorError(`No such shard has stopped at position ${position}: cheeper projections list shows which have, and where.`);
  }
  if (!yes) {
    throw new UsageError(`This leaves out the event at position ${position} in ${names.join(', ')}, for ever. With --yes it is done.`);
  }
  const rows = stopped.map(({ projection, number }) => [projection.name, number, position, reason, new Date().toISOString()]);
  const pool = createPool(readConfig(['MYSQL_URL']).MYSQL_URL);
  try {
    await pool.query('INSERT IGNORE INTO skipped_entries (projection, shard, position, reason, skipped_at) VALUES ?', [rows]);
  } catch (error) {
    throw new OperatorError(`MySQL cannot be asked: ${(error as Error).message || (error as NodeJS.ErrnoException).code}`);
  } finally {
    await pool.end();
  }
  await tell(servers);
  const goesOn = await until(async () => (await standingOf(servers, stopped)).every(({ applied }) => applied >= position));

  return {
    text: [
      goesOn
        ? `The event at position ${position} is left out in ${names.join(', ')}, which go on.`
        : `It is written down that ${names.join(', ')} leave out position ${position}, and not all have gone on yet: cheeper projections list tells why.`,
    ],
    json: { position, shards: names, goesOn },
    isBad: !goesOn,
  };
}

// ---- Watching the system work by hand

/** What came of `pause`, `resume` and `step` for a projection. */
export interface ProjectionHeld {
  name: string;
  /** The position that it is held at; null when it is not held. */
  heldAt: number | null;
  /** Have all its shards done as they were told? */
  isDone: boolean;
}

/** Are all shards where they were told to be? One that has stopped for another reason does not go further either. */
const areAt = async (servers: Servers, shards: Shard[], position: number): Promise<boolean> => {
  const standing = await standingOf(servers, shards);

  return standing.every(({ shard, applied }) => applied >= position || isStopped(servers, shard));
};
const isStopped = ({ heard }: Servers, shard: Shard): boolean => {
  const stopped = heard.get(shardName(shard))?.stopped ?? null;

  return stopped !== null && stopped !== HELD;
};

/** What a shard has told of itself after `at`; null when nothing yet. */
function heardSince({ heard }: Servers, shard: Shard, at: number): Heard | null {
  const one = heard.get(shardName(shard));

  return one && one.at > at ? one : null;
}

/** Holds all shards of a projection at one position, the furthest that any has come to. */
export function pauseProjection(name: string): Promise<ProjectionHeld> {
  return withServers(async (servers) => {
    const { redis, space } = servers;
    const projection = projectionNamed(name);
    const before = (await readControl(redis, space)).holds.get(projectionName(projection));
    // At 0 is one whose pause was not finished.
    if (before !== undefined && before > 0) return { name, heldAt: before, isDone: true };
    const shards = await liveShards(servers, projection);
    // First each wherever it is, then all at the position of the furthest.
    const startedAt = performance.now();
    await holdProjection(redis, space, projection, 0);
    await tell(servers);
    const isStill = await until(() => shards.every((shard) => (heardSince(servers, shard, startedAt)?.stopped ?? null) !== null));
    const position = Math.max(0, ...(await standingOf(servers, shards)).map(({ applied }) => applied));
    await holdProjection(redis, space, projection, position);
    await tell(servers);

    return { name, heldAt: position, isDone: isStill && (await until(() => areAt(servers, shards, position))) };
  });
}

/** Lets a projection go on. `isDone` when all its shards are heard to be held no more: reads wait for them again from then on. */
export function resumeProjection(name: string): Promise<ProjectionHeld> {
  return withServers(async (servers) => {
    const projection = projectionNamed(name);
    const shards = await liveShards(servers, projection);
    const startedAt = performance.now();
    await holdProjection(servers.redis, servers.space, projection, null);
    await tell(servers);

    const isDone = await until(() =>
      shards.every((shard) => {
        const one = heardSince(servers, shard, startedAt);
        return one !== null && one.stopped !== HELD;
      }),
    );

    return { name, heldAt: null, isDone };
  });
}

/** Lets a projection that is held apply the next `n` events, and no more. `isDone` is false when there are not that many yet. */
export function stepProjection(name: string, n: number): Promise<ProjectionHeld> {
  return withServers(async (servers) => {
    const { redis, space } = servers;
    const projection = projectionNamed(name);
    const heldAt = (await readControl(redis, space)).holds.get(projectionName(projection));
    if (heldAt === undefined) throw new OperatorError(`${name} is not paused: cheeper pause ${name} does that first.`);
    const shards = await liveShards(servers, projection);
    if ((await standingOf(servers, shards)).some(({ applied }) => applied > heldAt)) {
      throw new OperatorError(`The pause of ${name} was not finished: cheeper pause ${name} does that.`);
    }
    const position = heldAt + n;
    await holdProjection(redis, space, projection, position);
    await tell(servers);
    const head = await headOf(servers);
    const isThere = await until(() => areAt(servers, shards, Math.min(position, head ?? position)));

    return { name, heldAt: position, isDone: isThere && head !== null && head >= position };
  });
}
