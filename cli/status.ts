/**
 * `cheeper status`: where everything stands, and what somebody should look after. It asks MySQL, NATS and Redis themselves, so it
 * works when services are stopped, and says which of the three it cannot ask. What it finds wrong has the names of docs/runbook.md.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StreamInfo } from '@nats-io/jetstream';
import type { Redis } from 'ioredis';
import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { readConfig } from '../shared/config.js';
import { streamInfo, type Nats } from '../shared/jetstream.js';
import type { EventType } from '../shared/messages/event.js';
import { HEADERS, lockNames, natsNames } from '../shared/names.js';
import { generationsOf, keptGenerations, readControl, shardsOf } from '../read-side/control.js';
import { HELD, progressMessage, PROJECTIONS } from '../read-side/progress.js';
import { APPLIED, epochKey, prefixOf, projectionName, shardName, shardsKey, TARGET, type Space } from '../read-side/shard.js';
import { publicEvents } from '../write-side/public-events/public-events.js';
import { countParked } from './parked.js';
import { isOutputGone } from './output.js';
import { readSteps } from './pause.js';
import { connectNatsOnce, connectRedisOnce, withMysql } from './servers.js';
import { atMost, duration, OperatorError, parseArguments, table, type Subcommand } from './subcommand.js';

const USAGE = `cheeper status [--watch] [--json]

  --watch   again every second, until Ctrl-C, or nobody reads any more
  --json    for programs: one JSON document; with --watch one a line

Exit code 0 when all is well; 1 when something needs attention, with a line for each, which docs/runbook.md explains.
The settings are those of the services: MYSQL_URL, NATS_URL, REDIS_URL, NAMESPACE, LANES, SHARDS.`;

/** What one of the three servers is given to answer everything that is asked of it. */
const DEADLINE_MS = 4_000;
/** Shards are told about once a second. */
const HEARING_MS = 1_300;
const WATCH_MS = 1_000;
/** What is later than this is told as an alarm. */
const MAX_BEHIND_SECONDS = 10;

/** As headings in docs/runbook.md. */
export const ALARMS = [
  'MySQL away',
  'NATS away',
  'Redis away',
  'Not finished',
  'No write side',
  'No read side',
  'Journal differs',
  'Paused',
  'Parked',
  'Stopped shard',
  'Being built',
  'Behind',
] as const;

interface Attention {
  alarm: (typeof ALARMS)[number];
  text: string;
}

interface Lag {
  entries: number;
  /** Since the oldest of them happened. */
  seconds: number;
}

interface Follower {
  name: string;
  /** The MySQL connection that has the turn; null when nobody has. */
  connection: number | null;
  position: number | null;
  lag: Lag | null;
}

interface Truth {
  epoch: string;
  position: number;
  writeSides: { slot: number; connection: number; host: string | null }[];
  lanes: { lane: number; connection: number | null; steps: number | null }[];
  relay: number | null;
  publisher: number | null;
  processManagers: Follower[];
  parked: { open: number; oldest: string | null };
}

interface Streams {
  commands: { waiting: number; lanes: { lane: number; waiting: number; oldestSeconds: number }[] } | null;
  events: { sequence: number; position: number; lag: Lag | null } | null;
  publicEvents: { sequence: number; position: number; lag: Lag | null } | null;
  /** What the newest entry in the stream of events is; null for none. */
  newest: { position: number; entryId: string } | null;
  /** Why the stream is not this journal's; null when it is. */
  differs: string | null;
}

interface ShardStatus {
  shard: string;
  /** Null: it is not there. */
  applied: number | null;
  target: number;
  stopped: string | null;
}

interface ProjectionStatus {
  name: string;
  version: number;
  generation: number;
  isLive: boolean;
  heldAt: number | null;
  /** The lowest of its shards; null when one is not there. */
  applied: number | null;
  lag: Lag | null;
  isBuilt: boolean;
  stopped: { shard: string; applied: number | null; reason: string }[];
  shards: ShardStatus[];
}

interface Projections {
  epoch: string;
  readSides: number;
  projections: ProjectionStatus[];
}

type Part<T> = { is: T; error: null } | { is: null; error: string };

interface Status {
  at: string;
  namespace: string;
  attention: Attention[];
  mysql: Part<Truth>;
  nats: Part<Streams>;
  redis: Part<Projections>;
}

export const status: Subcommand = {
  summary: 'Where everything stands, and what needs attention.',
  usage: USAGE,
  async run(args, print) {
    const { values, positionals } = parseArguments(args, {
      watch: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    atMost(positionals, 0);
    const config = readConfig(['MYSQL_URL', 'NATS_URL', 'REDIS_URL', 'NAMESPACE', 'LANES', 'SHARDS']);
    for (;;) {
      const seen = await look(config);
      const text = values.json ? JSON.stringify(seen) : statusText(seen).join('\n');
      print(values.watch && !values.json && process.stdout.isTTY ? `\u001b[H\u001b[2J${text}` : text);
      process.exitCode = seen.attention.length > 0 ? 1 : 0;
      if (!values.watch) break;
      await sleep(WATCH_MS);
      if (isOutputGone()) break;
    }
  },
};

type Config = ReturnType<typeof readConfig<'MYSQL_URL' | 'NATS_URL' | 'REDIS_URL' | 'NAMESPACE' | 'LANES' | 'SHARDS'>>;

async function look(config: Config): Promise<Status> {
  const { MYSQL_URL, NATS_URL, REDIS_URL, NAMESPACE: namespace } = config;
  const hearing = part('NATS', hear(NATS_URL, namespace));
  const [mysql, redisFound] = await Promise.all([
    part(
      'MySQL',
      withMysql(MYSQL_URL, (connection) => readTruth(connection, namespace)),
    ),
    part('Redis', readProjections(REDIS_URL, config)),
  ]);
  const heard = await hearing;
  const epoch = mysql.is?.epoch ?? redisFound.is?.epoch ?? null;
  const nats: Part<Streams> = heard.is
    ? await part('NATS', readStreams(heard.is.nats, namespace, epoch)).finally(() => void heard.is.nats.close())
    : { is: null, error: heard.error };
  if (redisFound.is && heard.is) for (const projection of redisFound.is.projections) addStops(projection, heard.is.stopped);
  if (mysql.is)
    await part(
      'MySQL',
      withMysql(MYSQL_URL, (connection) => addLags(connection, mysql.is.position, nats.is, redisFound.is, mysql.is)),
    );

  const seen = { at: new Date().toISOString(), namespace, mysql, nats, redis: redisFound };
  return { ...seen, attention: attentionTo(seen) };
}

/** What came of asking one of the servers, within the deadline. */
async function part<T>(name: string, asked: Promise<T>): Promise<Part<T>> {
  try {
    const late = sleep(DEADLINE_MS, undefined, { ref: false }).then(() => {
      throw new OperatorError(`${name} does not answer.`);
    });

    return { is: await Promise.race([asked, late]), error: null };
  } catch (error) {
    asked.catch(() => undefined); // Whatever it comes to, it is too late.
    return { is: null, error: (error as Error).message };
  }
}

// ---- MySQL

async function readTruth(connection: Connection, namespace: string): Promise<Truth> {
  const [[head]] = await connection.query<RowDataPacket[]>('SELECT epoch, position FROM journal_head WHERE id = 1');
  if (!head) throw new OperatorError('MySQL: the journal has no head, a restore or an import was not finished.');
  const position = Number(head.position);
  const steps = await readSteps(connection);
  const names = lockNames(namespace);
  const [managers] = await connection.query<RowDataPacket[]>('SELECT name, position FROM process_managers ORDER BY name');
  const locks = [
    ...steps.flatMap(({ lane }) => [names.lane(lane), names.writer(lane)]),
    ...[names.relay, names.publicEvents],
    ...managers.map(({ name }) => names.processManager(name as string)),
  ];
  const [[owners]] = await connection.query<RowDataPacket[]>(`SELECT ${locks.map((_, i) => `IS_USED_LOCK(?) AS l${i}`).join(', ')}`, locks);
  const ownerOf = (lock: string): number | null => {
    const owner = owners![`l${locks.indexOf(lock)}`] as number | string | null;
    return owner === null ? null : Number(owner);
  };
  const slots = steps.flatMap(({ lane: slot }) => {
    const owner = ownerOf(names.writer(slot));
    return owner === null ? [] : [{ slot, connection: owner }];
  });
  const [hosts] = await connection.query<RowDataPacket[]>(
    'SELECT id AS id, host AS host FROM information_schema.processlist WHERE id IN (?)',
    [[0, ...slots.map((slot) => slot.connection)]],
  );

  return {
    epoch: head.epoch as string,
    position,
    writeSides: slots.map((slot) => ({
      ...slot,
      host: (hosts.find(({ id }) => Number(id) === slot.connection)?.host as string | undefined) ?? null,
    })),
    lanes: steps.map(({ lane, steps: left }) => ({ lane, connection: ownerOf(names.lane(lane)), steps: left })),
    relay: ownerOf(names.relay),
    publisher: ownerOf(names.publicEvents),
    processManagers: managers.map(({ name, position: at }) => ({
      name: name as string,
      connection: ownerOf(names.processManager(name as string)),
      position: Number(at),
      lag: null,
    })),
    parked: await countParked(connection),
  };
}

/** How late somebody is who has come to `position`; of the entries after it, `types` only, if they are named. */
async function lagOf(connection: Connection, position: number, head: number, types?: EventType[]): Promise<Lag> {
  if (position >= head) return { entries: 0, seconds: 0 };
  const condition = types ? 'AND type IN (?)' : '';
  const [[next]] = await connection.query<RowDataPacket[]>(
    `SELECT position, body FROM journal WHERE position > ? AND position <= ? ${condition} ORDER BY position LIMIT 1`,
    [position, head, types],
  );
  if (!next) return { entries: 0, seconds: 0 };
  const { at } = JSON.parse(next.body as string) as { at: string };
  let entries = head - position;
  if (types) {
    const [[counted]] = await connection.query<RowDataPacket[]>(
      'SELECT COUNT(*) AS n FROM journal WHERE position > ? AND position <= ? AND type IN (?)',
      [position, head, types],
    );
    entries = Number(counted!.n);
  }

  return { entries, seconds: Math.max(0, (Date.now() - Date.parse(at)) / 1_000) };
}

const publicTypes = Object.entries(publicEvents).flatMap(([type, event]) => ('internal' in event ? [] : [type as EventType]));

async function addLags(
  connection: Connection,
  head: number,
  streams: Streams | null,
  found: Projections | null,
  truth: Truth,
): Promise<void> {
  for (const manager of truth.processManagers) manager.lag = await lagOf(connection, manager.position ?? 0, head);
  if (streams?.events) streams.events.lag = await lagOf(connection, streams.events.position, head);
  if (streams?.publicEvents) streams.publicEvents.lag = await lagOf(connection, streams.publicEvents.position, head, publicTypes);
  if (found?.epoch === truth.epoch) {
    // Most of them stand at the same few positions.
    const known = new Map<number, Promise<Lag>>();
    for (const projection of found.projections) {
      const at = Math.max(0, projection.applied ?? 0);
      if (!known.has(at)) known.set(at, lagOf(connection, at, head));
      projection.lag = await known.get(at)!;
    }
  }
  if (streams?.events) streams.differs = await differs(connection, streams);
}

async function differs(connection: Connection, streams: Streams): Promise<string | null> {
  if (!streams.newest) return null;
  const { position, entryId } = streams.newest;
  const [[row]] = await connection.query<RowDataPacket[]>('SELECT entry_id AS entryId FROM journal WHERE position = ?', [position]);

  return row?.entryId === entryId ? null : `the stream of events has an entry at position ${position} that the journal has not`;
}

// ---- NATS

/** Listens to what is said of shards, for long enough to hear of all. */
async function hear(url: string, namespace: string): Promise<{ nats: Nats; stopped: Map<string, string> }> {
  const nats = await connectNatsOnce(url, namespace);
  const stopped = new Map<string, string>();
  nats.connection.subscribe(natsNames(namespace).progress, {
    callback: (_, message) => {
      const parsed = progressMessage.safeParse(message.json());
      if (!parsed.success) return;
      for (const name of Object.keys(parsed.data.applied)) stopped.delete(name);
      for (const [name, reason] of Object.entries(parsed.data.stopped)) stopped.set(name, reason);
    },
  });
  await sleep(HEARING_MS);

  return { nats, stopped };
}

async function readStreams(nats: Nats, namespace: string, epoch: string | null): Promise<Streams> {
  const names = natsNames(namespace);
  const [commands, events, published] = await Promise.all([
    nats.jsm.streams.info(names.commands, { subjects_filter: names.allCommands }).catch(() => null),
    epoch === null ? null : newestOf(nats, names.events(epoch)),
    epoch === null ? null : newestOf(nats, names.publicEvents(epoch)),
  ]);

  return {
    commands: commands && { waiting: commands.state.messages, lanes: await waitingIn(nats, names, commands) },
    events: events && { sequence: events.sequence, position: events.entry?.position ?? 0, lag: null },
    publicEvents: published && { sequence: published.sequence, position: published.entry?.position ?? 0, lag: null },
    differs: null,
    newest: events?.entry ?? null,
  };
}

async function waitingIn(nats: Nats, names: ReturnType<typeof natsNames>, { state }: StreamInfo) {
  const counts = new Map<number, number>();
  for (const [subject, count] of Object.entries(state.subjects ?? {})) {
    const lane = Number(subject.split('.')[2]);
    counts.set(lane, (counts.get(lane) ?? 0) + count);
  }

  return Promise.all(
    [...counts]
      .toSorted(([a], [b]) => a - b)
      .map(async ([lane, waiting]) => {
        // It may be run in this moment.
        const oldest = await nats.jsm.streams
          .getMessage(names.commands, { seq: 1, next_by_subj: names.commandsOfLane(lane) } as never)
          .catch(() => null);

        return { lane, waiting, oldestSeconds: oldest ? Math.max(0, (Date.now() - oldest.time.getTime()) / 1_000) : 0 };
      }),
  );
}

interface Newest {
  sequence: number;
  entry: { position: number; entryId: string } | null;
}

/** Messages without a position were put in by hand; so many are looked at. */
const MAX_LOOKED_AT = 100;

async function newestOf(nats: Nats, stream: string): Promise<Newest | null> {
  const info = await streamInfo(nats.jsm, stream);
  if (!info) return null;
  const { last_seq: last, first_seq: first } = info.state;
  for (let sequence = last; sequence >= Math.max(1, first) && sequence > last - MAX_LOOKED_AT; sequence--) {
    const message = await nats.jsm.streams.getMessage(stream, { seq: sequence });
    const position = Number(message?.header?.get(HEADERS.position));
    if (position) return { sequence: last, entry: { position, entryId: message!.header.get(HEADERS.entryId) } };
  }

  return { sequence: last, entry: null };
}

// ---- Redis

const MEMBER_MS = 5_000;

async function readProjections(url: string, { NAMESPACE: namespace, SHARDS }: Config): Promise<Projections> {
  const redis = await connectRedisOnce(url);
  try {
    const epoch = await redis.get(epochKey(namespace));
    if (!epoch) return { epoch: '', readSides: await countReadSides(redis, namespace), projections: [] };
    const shards = Number((await redis.get(shardsKey({ namespace, epoch, shards: SHARDS }))) ?? SHARDS);
    const space: Space = { namespace, epoch, shards };
    const control = await readControl(redis, space);
    const projections = PROJECTIONS.flatMap((projection) => {
      const generations = generationsOf(control, projection);
      return keptGenerations(generations).map(async (generation): Promise<ProjectionStatus> => {
        const found = await Promise.all(
          shardsOf(space, projection, generation).map(async (shard): Promise<ShardStatus> => {
            const prefix = prefixOf(space, shard);
            const [applied, target] = await redis.mget(prefix + APPLIED, prefix + TARGET);
            return {
              shard: shardName(shard),
              applied: applied === null ? null : Number(applied),
              target: Number(target ?? 0),
              stopped: null,
            };
          }),
        );
        const isThere = found.every(({ applied }) => applied !== null);

        return {
          name: projection.name,
          version: projection.version,
          generation,
          isLive: generation === generations.live,
          heldAt: control.holds.get(projectionName(projection)) ?? null,
          applied: isThere ? Math.min(...found.map(({ applied }) => applied!)) : null,
          lag: null,
          isBuilt: found.every(({ applied, target }) => applied !== null && applied >= target),
          stopped: [],
          shards: found,
        };
      });
    });

    return { epoch, readSides: await countReadSides(redis, namespace), projections: await Promise.all(projections) };
  } finally {
    redis.disconnect();
  }
}

/** They say when they were there by Redis's clock. */
async function countReadSides(redis: Redis, namespace: string): Promise<number> {
  const [seconds, microseconds] = (await redis.time()).map(Number) as [number, number];

  return redis.zcount(`${namespace}:read-sides`, seconds * 1_000 + microseconds / 1_000 - MEMBER_MS, '+inf');
}

function addStops(projection: ProjectionStatus, stopped: Map<string, string>): void {
  for (const shard of projection.shards) {
    shard.stopped = stopped.get(shard.shard) ?? null;
    if (shard.stopped !== null && shard.stopped !== HELD) {
      projection.stopped.push({ shard: shard.shard, applied: shard.applied, reason: shard.stopped });
    }
  }
}

// ---- What somebody should look after

function attentionTo({ mysql, nats, redis }: Omit<Status, 'attention'>): Attention[] {
  const all: Attention[] = [];
  const add = (alarm: Attention['alarm'], text: string) => all.push({ alarm, text });
  if (mysql.error !== null) add(mysql.error.includes('has no head') ? 'Not finished' : 'MySQL away', mysql.error);
  if (nats.error !== null) add('NATS away', nats.error);
  if (redis.error !== null) add('Redis away', redis.error);
  if (mysql.is) addTruth(mysql.is, nats.is, add);
  if (nats.is && mysql.is) addStreams(nats.is, add);
  if (redis.is) addProjections(redis.is, mysql.is, add);

  return all;
}

type Add = (alarm: Attention['alarm'], text: string) => void;

const isLate = (lag: Lag | null): lag is Lag => lag !== null && lag.entries > 0 && lag.seconds > MAX_BEHIND_SECONDS;
const lagText = ({ entries, seconds }: Lag): string => (entries === 0 ? 'up to date' : `${entries} behind, ${duration(seconds)}`);

function addTruth(truth: Truth, streams: Streams | null, add: Add): void {
  if (truth.writeSides.length === 0) {
    add('No write side', 'nobody runs commands, and nobody publishes');
  } else {
    const free = truth.lanes.filter(({ connection }) => connection === null).map(({ lane }) => lane);
    if (free.length > 0) add('No write side', `lanes ${free.join(', ')} belong to nobody`);
    if (truth.relay === null) add('No write side', 'nobody publishes the journal');
  }
  const paused = truth.lanes.filter(({ steps }) => steps !== null).map(({ lane }) => lane);
  if (paused.length > 0) add('Paused', paused.length === truth.lanes.length ? 'all lanes' : `lanes ${paused.join(', ')}`);
  if (truth.parked.open > 0) {
    const since = duration((Date.now() - Date.parse(truth.parked.oldest!)) / 1_000);
    add('Parked', `${truth.parked.open} ${truth.parked.open === 1 ? 'message' : 'messages'}, the oldest for ${since}`);
  }
  for (const { name, lag } of truth.processManagers) if (isLate(lag)) add('Behind', `process manager ${name}: ${lagText(lag)}`);
  for (const { lane, waiting, oldestSeconds } of streams?.commands?.lanes ?? []) {
    if (oldestSeconds > MAX_BEHIND_SECONDS && !paused.includes(lane)) {
      add(
        'Behind',
        `lane ${lane}: ${waiting} ${waiting === 1 ? 'command waits' : 'commands wait'}, the oldest for ${duration(oldestSeconds)}`,
      );
    }
  }
}

function addStreams({ events, publicEvents: published, differs: difference }: Streams, add: Add): void {
  if (difference) add('Journal differs', difference);
  if (!events) add('Behind', 'there is no stream of events');
  else if (isLate(events.lag)) add('Behind', `the stream of events: ${lagText(events.lag)}`);
  if (published && isLate(published.lag)) add('Behind', `public events: ${lagText(published.lag)}`);
}

function addProjections({ epoch, readSides, projections }: Projections, truth: Truth | null, add: Add): void {
  if (readSides === 0) add('No read side', 'nobody keeps the projections up to date');
  if (truth && epoch !== truth.epoch) {
    add(
      'Being built',
      epoch ? `the projections are of epoch ${epoch}, and the journal is in ${truth.epoch}` : 'there are no projections yet',
    );
    return;
  }
  for (const { name, generation, isLive, heldAt, lag, isBuilt, stopped, shards } of projections) {
    const called = generation === 1 ? name : `${name}, generation ${generation}`;
    for (const { shard, applied, reason } of stopped) add('Stopped shard', `${shard} at position ${applied ?? 'none'}: ${reason}`);
    // Another generation is built on purpose.
    if (!isLive) continue;
    if (heldAt !== null) add('Paused', `${called} at position ${heldAt}`);
    else if (!isBuilt)
      add(
        'Being built',
        `${called}: ${shards.filter((one) => one.applied === null || one.applied < one.target).length} of ${shards.length} shards`,
      );
    else if (isLate(lag) && stopped.length === 0) add('Behind', `${called}: ${lagText(lag)}`);
  }
}

// ---- For people

function statusText({ at, namespace, attention, mysql, nats, redis }: Status): string[] {
  const truth = mysql.is;
  const streams = nats.is;

  return [
    `${namespace} at ${at}: ${attention.length === 0 ? 'all is well' : `${attention.length} ${attention.length === 1 ? 'thing needs' : 'things need'} attention (docs/runbook.md)`}`,
    ...attention.map(({ alarm, text }) => `  ${alarm}: ${text}`),
    '',
    ...(truth ? truthText(truth, streams) : ['journal      unknown: MySQL is away']),
    ...(streams ? streamsText(streams, truth) : ['streams      unknown: NATS is away']),
    ...(redis.is ? projectionsText(redis.is) : ['projections  unknown: Redis is away']),
  ];
}

const owner = (connection: number | null): string => (connection === null ? 'nobody' : `connection ${connection}`);

function truthText(
  { epoch, position, writeSides, lanes, relay, publisher, processManagers, parked }: Truth,
  streams: Streams | null,
): string[] {
  const waiting = new Map(streams?.commands?.lanes.map((one) => [one.lane, one]));
  const laneRows = lanes.map(({ lane, connection, steps }) => {
    const now = waiting.get(lane);
    return [
      `  ${lane}`,
      owner(connection),
      steps === null ? 'runs' : steps === 0 ? 'paused' : `paused, after ${steps} more`,
      streams === null ? 'unknown' : now ? `${now.waiting} waiting, the oldest for ${duration(now.oldestSeconds)}` : 'nothing waits',
    ];
  });
  // Lanes that are alike but for their number are one line.
  const alike = Map.groupBy(laneRows, ([, ...rest]) => rest.join('|'));

  return [
    `journal      epoch ${epoch}, position ${position}`,
    `write sides  ${writeSides.length === 0 ? 'none' : ''}${writeSides.map(({ connection, host }) => `connection ${connection}${host ? ` from ${host}` : ''}`).join('; ')}`,
    'lanes',
    ...table([...alike.values()].map((rows) => [`  ${ranges(rows.map(([lane]) => Number(lane)))}`, ...rows[0]!.slice(1)])),
    'followers of the journal',
    ...table([
      [
        '  relay',
        owner(relay),
        streams?.events ? `at ${streams.events.position}` : 'no stream',
        streams?.events?.lag ? lagText(streams.events.lag) : '',
      ],
      [
        '  public events',
        owner(publisher),
        streams?.publicEvents ? `at ${streams.publicEvents.position}` : 'no stream',
        streams?.publicEvents?.lag ? lagText(streams.publicEvents.lag) : '',
      ],
      ...processManagers.map(({ name, connection, position: on, lag }) => [
        `  ${name}`,
        owner(connection),
        `at ${on}`,
        lag ? lagText(lag) : '',
      ]),
    ]),
    `parked       ${parked.open === 0 ? 'nothing' : parked.open}`,
  ];
}

/** `0–3, 7` */
function ranges(numbers: number[]): string {
  const all: [number, number][] = [];
  for (const n of numbers) {
    const last = all.at(-1);
    if (last && last[1] === n - 1) last[1] = n;
    else all.push([n, n]);
  }

  return all.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(', ');
}

function streamsText({ commands, events, publicEvents: published }: Streams, truth: Truth | null): string[] {
  return [
    `commands     ${commands ? `${commands.waiting} wait` : 'no stream'}`,
    // With MySQL, they have been told of above.
    ...(truth
      ? []
      : [
          `events       ${events ? `at ${events.position}` : 'unknown'}`,
          `public       ${published ? `at ${published.position}` : 'unknown'}`,
        ]),
  ];
}

function projectionsText({ epoch, readSides, projections }: Projections): string[] {
  return [
    `projections  ${epoch ? `epoch ${epoch}` : 'none yet'}, ${readSides} ${readSides === 1 ? 'read side' : 'read sides'}`,
    ...table(
      projections.map(({ name, version, generation, isLive, heldAt, applied, lag, isBuilt, stopped, shards }) => [
        `  ${name}`,
        `v${version}`,
        generation === 1 && isLive ? '' : `generation ${generation}${isLive ? '' : ', not read'}`,
        applied === null ? 'not there' : `at ${applied}`,
        lag ? lagText(lag) : '',
        [
          isBuilt
            ? ''
            : `being built: ${shards.filter((one) => one.applied !== null && one.applied >= one.target).length} of ${shards.length} shards`,
          heldAt === null ? '' : `held at ${heldAt}`,
          stopped.length === 0 ? '' : `${stopped.length} of ${shards.length} shards stopped`,
        ]
          .filter(Boolean)
          .join(', '),
      ]),
    ),
  ];
}
