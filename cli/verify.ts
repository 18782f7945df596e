/** `cheeper verify`: does everything equal the journal? Looks at all of it, changes nothing, and may run while everything else does. */
import { parseArgs } from 'node:util';
import type { Redis } from 'ioredis';
import { readConfig } from '../shared/config.js';
import { Findings, MAX_TOLD, type Difference } from '../shared/findings.js';
import { pause } from '../shared/follow.js';
import type { Nats } from '../shared/jetstream.js';
import { natsNames } from '../shared/names.js';
import { generationsOf, keptGenerations, liveGenerations, readControl, shardsOf, type Control } from '../read-side/control.js';
import { scan } from '../read-side/differences.js';
import { progressMessage, readApplied } from '../read-side/progress.js';
import type { Projection } from '../read-side/projection.js';
import { createProjections } from '../read-side/projections.js';
import { hotFollowersKey, liveShard, prefixOf, projectionName, shardName, shardsKey, type Shard, type Space } from '../read-side/shard.js';
import { Journal, lockVerify, removeCopies, verifyProjection } from '../read-side/verify.js';
import { createPool, type Pool } from '../write-side/database.js';
import { readHead, readJournal, readSkips, type JournalHead } from '../write-side/journal.js';
import { checkInbox, checkJournal, checkState, checkStream, freeze, STATE_TABLES } from '../write-side/verify.js';
import { connectNatsOnce, connectRedisOnce, findSpace } from './servers.js';
import { OperatorError, UsageError, type Subcommand } from './subcommand.js';

const USAGE = `cheeper verify [--projection NAME …] [--json]

  Compares everything with the journal, and exits with 0 only if all of it is equal:
    journal      every position once, without a gap, in a form that is known
    inbox        what came of each command
    state        the tables of authors, cheeps, follows, likes and notifications
    stream       the copy of the journal in NATS, where NATS is there
    shards       all projections have come to where the journal stood when this began
    NAME         a projection, key by key, with a copy that is built from the journal for that

  --projection NAME   only this one; may be given several times
  --json              for programs: one JSON document

It changes nothing, and may run while everything else does: all that moves is compared as of one position. In Redis it needs room
for a second copy of the largest projection; the copy is gone afterwards. What HOT_FOLLOWERS was changed for while a projection lived is
kept as it was: then timelines differ until they are rebuilt.

The settings are those of the services: MYSQL_URL, REDIS_URL, NATS_URL (not needed), NAMESPACE.`;

/** A statement may count all rows of a large table. */
const SILENCE_MS = 120_000;
/** A shard that is behind, and does not move for this long, is not waited for: a lease has run out twice by then. */
const STANDSTILL_MS = 12_000;
const LOOK_MS = 250;
/** Progress is told again once a second by who has shards. */
const LISTEN_MS = 1_500;
const REPORT_MS = 250;

/** One line of the answer. */
interface Check {
  name: string;
  findings: Findings;
  /** What was looked at. */
  unit: string;
  seconds: number;
}

export const verify: Subcommand = {
  summary: 'Does everything equal the journal?',
  usage: USAGE,
  async run(args, print) {
    const { json, projection: wanted } = parse(args);
    const config = readConfig(['MYSQL_URL', 'REDIS_URL', 'NAMESPACE', 'HOT_FOLLOWERS']);
    chosen(createProjections(config), wanted);
    const stopping = new AbortController();
    const stop = (signal: string) => stopping.abort(new OperatorError(`Stopped by ${signal}: nothing more was looked at.`));
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
    for (const signal of signals) process.on(signal, stop);
    const pool = createPool(config.MYSQL_URL, { silenceMs: SILENCE_MS });
    const redis = await connectRedisOnce(config.REDIS_URL);
    const isNatsGiven = process.env.NATS_URL || process.env.NATS_URL_FILE;
    const nats = isNatsGiven ? await connectNatsOnce(readConfig(['NATS_URL']).NATS_URL, config.NAMESPACE).catch(() => null) : null;
    try {
      const projections = chosen(createProjections({ HOT_FOLLOWERS: await hotFollowers(redis, config) }), wanted);
      const run = new Verification({ pool, redis, nats, namespace: config.NAMESPACE, projections, signal: stopping.signal });
      const checks: Check[] = [];
      for await (const check of run.checks(wanted.length > 0)) {
        checks.push(check);
        if (!json) print(text(check).join('\n'));
      }
      const bad = checks.filter(({ findings }) => findings.differing > 0).map(({ name }) => name);
      if (json) print(JSON.stringify({ equal: bad.length === 0, ...run.head, checks: checks.map(document) }));
      if (bad.length > 0) throw new OperatorError(`Not equal to the journal: ${bad.join(', ')}.`);
      if (!json)
        print(`All ${checks.length} are equal to the journal, which was at position ${run.head.position} of epoch ${run.head.epoch}.`);
    } catch (error) {
      throw asOperatorError(error);
    } finally {
      for (const signal of signals) process.off(signal, stop);
      redis.disconnect();
      await nats?.close();
      await pool.end();
    }
  },
};

/** As the read sides have it, whatever this process was told. */
async function hotFollowers(redis: Redis, { NAMESPACE, HOT_FOLLOWERS }: { NAMESPACE: string; HOT_FOLLOWERS: number }): Promise<number> {
  const values = (await redis.get(hotFollowersKey(await findSpace(redis, NAMESPACE))))?.trim().split(' ') ?? [];
  if (values.length > 1) {
    process.stderr.write(
      `HOT_FOLLOWERS has been changed (${values.join(', then ')}): timelines that were kept by another differ until a rebuild.\n`,
    );
  }

  return values.length > 0 ? Number(values.at(-1)) : HOT_FOLLOWERS;
}

function parse(args: string[]): { json: boolean; projection: string[] } {
  try {
    const { values } = parseArgs({ args, options: { projection: { type: 'string', multiple: true }, json: { type: 'boolean' } } });

    return { json: values.json ?? false, projection: values.projection ?? [] };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith('ERR_PARSE_ARGS')) throw new UsageError(message.replace(/(\. To |\n).*$/s, '.'));
    throw error;
  }
}

function chosen(all: Projection[], names: string[]): Projection[] {
  const unknown = names.find((name) => !all.some(({ id }) => id.name === name));
  if (unknown !== undefined) {
    throw new UsageError(`There is no projection ${JSON.stringify(unknown)}: there are ${all.map(({ id }) => id.name).join(', ')}.`);
  }

  return names.length === 0 ? all : all.filter(({ id }) => names.includes(id.name));
}

/** What MySQL and Redis say, and what the network says, has a code or a name of its own. */
function asOperatorError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof OperatorError) return error;
  const { code, message, name } = error as NodeJS.ErrnoException;
  const isOfAServer =
    code !== undefined || name === 'ReplyError' || name === 'MaxRetriesPerRequestError' || /Connection is closed/.test(message);

  return isOfAServer ? new OperatorError(`A server failed, and not all could be looked at: ${message || code}`) : error;
}

interface Options {
  pool: Pool;
  redis: Redis;
  /** Null when it is away. */
  nats: Nats | null;
  namespace: string;
  projections: Projection[];
  signal: AbortSignal;
}

class Verification {
  head: JournalHead = { epoch: '', position: 0 };
  private shownAt = 0;

  constructor(private readonly options: Options) {}

  async *checks(onlyProjections: boolean): AsyncGenerator<Check> {
    const { pool, redis, nats, namespace, signal } = this.options;
    this.head = await readHead(pool);
    if (!onlyProjections) {
      yield* this.truth();
      if (nats) {
        yield await this.check('stream', 'entries', (progress) =>
          checkStream(nats, pool, namespace, { head: this.head, signal, onProgress: progress }),
        );
      } else {
        const findings = new Findings();
        findings.notes.push('NATS is not there, or NATS_URL is not set: it was not looked at');
        yield { name: 'stream', findings, unit: 'entries', seconds: 0 };
      }
    }
    const lost = new AbortController();
    const lock = await lockVerify(redis, namespace, () => lost.abort(new OperatorError('Redis has lost what this was doing. Try again.')));
    if (!lock) throw new OperatorError('Somebody else verifies at this moment (or was killed less than 30 s ago).');
    try {
      await removeCopies(redis, namespace);
      yield* this.projected(AbortSignal.any([signal, lost.signal]));
      if (!onlyProjections) yield await this.check('others', 'keys', () => this.leftOver());
    } finally {
      // Without Redis there is nothing that could be removed; the next to verify does it.
      if (redis.status === 'ready') {
        await removeCopies(redis, namespace);
        await lock.release();
      }
    }
  }

  /** What is in MySQL, as of one moment. */
  private async *truth(): AsyncGenerator<Check> {
    const { pool, signal } = this.options;
    const now = await freeze(pool);
    this.head = now.head;
    try {
      yield await this.check('journal', 'entries', (onProgress) => checkJournal(now, { signal, onProgress }));
      yield await this.check('inbox', 'rows', (onProgress) => checkInbox(now, { signal, onProgress }));
      for (const type of Object.keys(STATE_TABLES) as (keyof typeof STATE_TABLES)[]) {
        const { table } = STATE_TABLES[type];
        yield await this.check(`state ${table}`, 'rows', (onProgress) => checkState(now, type, { signal, onProgress }));
      }
    } finally {
      now.release();
    }
  }

  private async *projected(signal: AbortSignal): AsyncGenerator<Check> {
    const { pool, redis, namespace, projections } = this.options;
    const begun = await redis.get(shardsKey({ namespace, epoch: this.head.epoch, shards: 0 }));
    if (begun === null) throw new OperatorError(`Redis knows no projections of epoch ${this.head.epoch} yet: does a read side run?`);
    const place = { namespace, epoch: this.head.epoch, shards: Number(begun) };
    const control = await readControl(redis, place);
    const space: Space = { ...place, live: liveGenerations(control) };
    const skips = new Set((await readSkips(pool)).map(({ projection, shard, position }) => `${projection}:${shard}:${position}`));
    yield await this.check('shards', 'shards', (progress) => this.caughtUp(space, control, signal, progress));
    const journal = new Journal((after, most) => readJournal(pool, after, most));
    for (const projection of projections) {
      yield await this.check(projectionName(projection.id), 'keys', (progress) =>
        verifyProjection({
          redis,
          space,
          projection,
          journal,
          head: this.head.position,
          isSkipped: ({ projection: { name }, number }, position) => skips.size > 0 && skips.has(`${name}:${number}:${position}`),
          signal,
          onProgress: (phase, done, all) => progress(done, all, phase),
        }),
      );
      await removeCopies(redis, namespace);
    }
  }

  /** Waits for all shards, as long as they move, to come to where the journal stood. */
  private async caughtUp(space: Space, { holds }: Control, signal: AbortSignal, progress: Progress): Promise<Findings> {
    const findings = new Findings();
    const { redis, projections } = this.options;
    const { position: head } = this.head;
    const shards = projections.flatMap(({ id }) => Array.from({ length: space.shards }, (_, number) => liveShard(id, number, space)));
    const standing = new Map(shards.map((shard) => [shard, { applied: -1, since: performance.now() }]));
    for (;;) {
      signal.throwIfAborted();
      await Promise.all(
        shards.map(async (shard) => {
          const { applied } = await readApplied(redis, space, shard);
          if (applied !== standing.get(shard)!.applied) standing.set(shard, { applied, since: performance.now() });
        }),
      );
      const behind = [...standing.values()].filter(({ applied }) => applied < head);
      progress(shards.length - behind.length, shards.length);
      if (behind.every(({ since }) => performance.now() - since > STANDSTILL_MS)) break;
      await pause(LOOK_MS, signal);
    }
    findings.looked = shards.length;
    const late = shards.filter((shard) => standing.get(shard)!.applied < head);
    const reasons = late.length > 0 ? await this.stopped(signal) : new Map<string, string>();
    for (const shard of late) {
      const { applied } = standing.get(shard)!;
      const name = shardName(shard);
      const hold = holds.get(projectionName(shard.projection));
      const held = hold !== undefined && applied >= hold ? `an operator holds it at ${hold}` : null;
      const why = reasons.get(name) ?? held ?? 'it does not move: does a read side run?';
      const is = applied < 0 ? 'not there' : `at ${applied}, without ${head - applied} entries: ${why}`;
      findings.differ(() => ({ what: name, is, shouldBe: `at ${head}`, position: Math.max(0, applied) }));
    }
    const ahead = shards.filter((shard) => standing.get(shard)!.applied > head);
    if (ahead.length > 0) {
      const { position } = await readHead(this.options.pool);
      for (const shard of ahead.filter((one) => standing.get(one)!.applied > position)) {
        const { applied } = standing.get(shard)!;
        findings.differ(() => ({
          what: shardName(shard),
          is: `at ${applied}`,
          shouldBe: `at ${position} at the most, where the journal ends`,
          position,
        }));
      }
    }

    return findings;
  }

  /** Why shards have stopped, by their names, as far as somebody tells. */
  private async stopped(signal: AbortSignal): Promise<Map<string, string>> {
    const { nats, namespace } = this.options;
    const reasons = new Map<string, string>();
    if (!nats) return reasons;
    const subscription = nats.connection.subscribe(natsNames(namespace).progress, {
      callback: (_, message) => {
        const parsed = progressMessage.safeParse(JSON.parse(message.string()));
        for (const [name, reason] of Object.entries(parsed.data?.stopped ?? {})) reasons.set(name, `it has stopped: ${reason}`);
      },
    });
    await pause(LISTEN_MS, signal);
    subscription.unsubscribe();

    return reasons;
  }

  /** Keys of this namespace that belong to nothing that was looked at. */
  private async leftOver(): Promise<Findings> {
    const { redis, namespace, projections, signal } = this.options;
    const findings = new Findings();
    const place = { namespace, epoch: this.head.epoch, shards: Number(await redis.get(shardsKey({ ...this.head, namespace, shards: 0 }))) };
    const control = await readControl(redis, place);
    const space: Space = { ...place, live: liveGenerations(control) };
    const live = new Set<string>();
    const kept = new Set<string>();
    const prefix = (shard: Shard) => prefixOf(space, shard);
    for (const { id } of projections) {
      const generations = generationsOf(control, id);
      for (const shard of shardsOf(space, id, generations.live)) live.add(prefix(shard));
      for (const generation of keptGenerations(generations)) for (const shard of shardsOf(space, id, generation)) kept.add(prefix(shard));
    }
    const counts = new Map<string, number>();
    for await (const keys of scan(redis, `${namespace}:*`, signal)) {
      for (const key of keys) {
        findings.looked += 1;
        // NAMESPACE:EPOCH:{PROJECTION:NUMBER}:VERSION~GENERATION:
        const found = /^[^:]+:[^:]+:\{([^:}]+):\d+\}:([^:]+):/.exec(key);
        if (!found || live.has(found[0])) continue;
        const epoch = key.split(':')[1];
        const group = `${found[1]}.${found[2]}${epoch === space.epoch ? '' : ` of epoch ${epoch}`}${kept.has(found[0]) ? ' (kept by an operator)' : ''}`;
        counts.set(group, (counts.get(group) ?? 0) + 1);
      }
    }
    for (const [group, count] of [...counts].toSorted()) findings.notes.push(`${count} keys of ${group} are there too, and read by nobody`);

    return findings;
  }

  private async check(name: string, unit: string, run: (progress: Progress) => Promise<Findings>): Promise<Check> {
    const startedAt = performance.now();
    let phaseAt = startedAt;
    let phaseNow = '';
    const findings = await run((done, all, phase = unit) => {
      const now = performance.now();
      if (phase !== phaseNow) [phaseNow, phaseAt] = [phase, now];
      if (now - this.shownAt < REPORT_MS) return;
      this.shownAt = now;
      const rate = done / Math.max(0.001, (now - phaseAt) / 1_000);
      const left = rate > 0 ? `, ${Math.ceil(Math.max(0, all - done) / rate)} s left` : '';
      showProgress(`${name}: ${Math.floor((100 * done) / Math.max(1, all))} % of ${phase}, ${number(rate)}/s${left}`);
    });
    showProgress('');

    return { name, unit, findings, seconds: (performance.now() - startedAt) / 1_000 };
  }
}

type Progress = (done: number, all: number, phase?: string) => void;

/** On a terminal only: one line, which the next one replaces. */
function showProgress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`);
}

const number = (value: number): string => Math.round(value).toLocaleString('en');

function text({ name, unit, findings, seconds }: Check): string[] {
  const { looked, differing, first, notes } = findings;
  const rate = seconds > 0 && looked > 0 ? `, ${number(looked / seconds)}/s` : '';
  const result = differing === 0 ? 'equal' : `${number(differing)} NOT EQUAL`;

  return [
    `${name.padEnd(26)} ${result.padEnd(18)} ${number(looked)} ${unit} in ${seconds.toFixed(1)} s${rate}`,
    ...first.flatMap(differenceText),
    ...(differing > first.length ? [`    … and ${number(differing - first.length)} more`] : []),
    ...notes.slice(0, MAX_TOLD).map((note) => `    ${note}`),
  ];
}

function differenceText({ what, is, shouldBe, position }: Difference): string[] {
  const line = `    ${what}${position === null ? '' : ` (position ${position})`}`;
  if (is === null && shouldBe === null) return [line];

  return [line, `      is         ${is ?? 'not there'}`, `      should be  ${shouldBe ?? 'not there'}`];
}

const document = ({ name, unit, seconds, findings: { looked, differing, first, notes } }: Check) => ({
  name,
  equal: differing === 0,
  looked,
  unit,
  differing,
  first,
  notes,
  seconds: Number(seconds.toFixed(3)),
});
