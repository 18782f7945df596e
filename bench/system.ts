/** A system of a bench's own, beside the one that is there: names of its own on the same servers, and services that are measured. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import { Sessions } from '../gateway/sessions.js';
import { PROJECTIONS } from '../read-side/progress.js';
import { shardsOf } from '../read-side/control.js';
import { APPLIED, epochKey, prefixOf, type Shard, type Space } from '../read-side/shard.js';
import { pause } from '../shared/follow.js';
import { connectNats } from '../shared/jetstream.js';
import { freePort } from '../stack/stack.mjs';
import { migrate } from '../write-side/migrate.js';
import { required } from './figures.js';
import { MeasuredProcess } from './processes.js';
import { town, type TownOptions } from './town.js';

export type ServiceName = 'gateway' | 'write-side' | 'read-side';

const SHARDS = 8;
const ACCESS_TOKEN_HOURS = 24;
const READY_DEADLINE_MS = 60_000;
const LOOK_MS = 10;

export class System {
  private readonly processes: MeasuredProcess[] = [];
  private readonly removals: (() => Promise<unknown>)[] = [];
  private readonly dropped: (() => Promise<unknown>)[] = [];

  private constructor(
    readonly namespace: string,
    readonly env: Record<string, string>,
    readonly redis: Redis,
  ) {}

  /** Its database is there, and nothing runs yet. @param settings of all of its services */
  static async create(name: string, settings: Record<string, string> = {}): Promise<System> {
    const namespace = `${name}_${randomBytes(4).toString('hex')}`;
    const mysqlUrl = new URL(required('MYSQL_URL'));
    mysqlUrl.pathname = `/${namespace}`;
    const env = {
      MYSQL_URL: mysqlUrl.href,
      NAMESPACE: namespace,
      SHARDS: String(SHARDS),
      HOST: '127.0.0.1',
      LOG_LEVEL: 'error',
      SIGNING_KEY: randomBytes(32).toString('hex'),
      MAIL_FOLDER: join(tmpdir(), namespace),
      ...settings,
    };
    await migrate(mysqlUrl.href);

    return new System(namespace, env, new Redis(required('REDIS_URL')));
  }

  /** Starts a service; it need not be ready yet. @param checkout whose, from the root of this one */
  async start(name: ServiceName, settings: Record<string, string> = {}, checkout = '.'): Promise<Started> {
    const port = await freePort();
    const env = { ...this.env, [name === 'gateway' ? 'PORT' : 'HEALTH_PORT']: String(port), ...settings };
    const process = new MeasuredProcess(join(checkout, name, 'main.ts'), env);
    this.processes.push(process);
    const ready = () =>
      until(`${name} is ready`, READY_DEADLINE_MS, async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null))?.ok);

    return { process, port, url: `http://127.0.0.1:${port}/graphql`, ready };
  }

  /** All three, ready. */
  async startAll(): Promise<Record<ServiceName, Started>> {
    const [gateway, writeSide, readSide] = await Promise.all(
      (['gateway', 'write-side', 'read-side'] as const).map((name) => this.start(name)),
    );
    await Promise.all([gateway!, writeSide!, readSide!].map(({ ready }) => ready()));

    return { gateway: gateway!, 'write-side': writeSide!, 'read-side': readSide! };
  }

  /** The journal of a town, before any service has begun: see town.ts. */
  async importTown(events: number, options: TownOptions): Promise<void> {
    const file = join(tmpdir(), `${this.namespace}.ndjson`);
    function* lines() {
      yield `${JSON.stringify({ cheeper: 'journal', format: 1, epoch: 'town', reactions: events })}\n`;
      for (const entry of town(events, options)) yield `${JSON.stringify(entry)}\n`;
    }
    await pipeline(Readable.from(lines()), createWriteStream(file));
    await this.operator('journal', 'import', file);
    rmSync(file);
  }

  /** The operator's command. */
  async operator(...args: string[]): Promise<string> {
    const command = ['--import', '@swc-node/register/esm-register', 'cli/main.ts', ...args];

    return (await promisify(execFile)(process.execPath, command, { env: { ...process.env, ...this.env } })).stdout;
  }

  /** Where its projections are, once a read side has told so. */
  async space(): Promise<Space> {
    const epoch = await until('a read side has begun', READY_DEADLINE_MS, () => this.redis.get(epochKey(this.namespace)));

    return { namespace: this.namespace, epoch, shards: Number(this.env.SHARDS) };
  }

  /** The position that all of these shards have applied; −1 when one of them has not begun. */
  async applied(shards?: Shard[]): Promise<number> {
    const space = await this.space();
    const asked = shards ?? PROJECTIONS.flatMap((projection) => shardsOf(space, projection, 1));
    const applied = await this.redis.mget(asked.map((shard) => prefixOf(space, shard) + APPLIED));

    return Math.min(...applied.map((position) => Number(position ?? -1)));
  }

  /** Settles when all projections have that many events. */
  async built(events: number, deadlineMs: number): Promise<void> {
    await until('all is built', deadlineMs, async () => (await this.applied()) >= events);
  }

  /** Settles when all that was committed is in all projections, and what follows from it (notifications, mails) is done too. */
  async quiet(): Promise<void> {
    const database = await mysql.createConnection(this.env.MYSQL_URL!);
    const look = async () => {
      const [[row]] = await database.query<RowDataPacket[]>(
        'SELECT position, (SELECT MIN(position) FROM process_managers) AS managed FROM journal_head',
      );
      const position = Number(row!.position);

      return Number(row!.managed) === position && (await this.applied()) === position;
    };
    try {
      await until('all that follows is done', READY_DEADLINE_MS, look);
    } finally {
      await database.end();
    }
  }

  /** Another database beside its own, which goes when it goes. Returns its URL. */
  async database(name: string): Promise<string> {
    const url = new URL(this.env.MYSQL_URL!);
    url.pathname += `_${name}`;
    const statement = async (sql: string) => {
      const connection = await mysql.createConnection(required('MYSQL_URL'));
      await connection.query(sql);
      await connection.end();
    };
    await statement(`CREATE DATABASE ${url.pathname.slice(1)}`);
    this.dropped.push(() => statement(`DROP DATABASE ${url.pathname.slice(1)}`));

    return url.href;
  }

  /** Access tokens, as its gateways give them out. */
  async accessTokens(authorIds: string[]): Promise<string[]> {
    const sessions = new Sessions(this.env.SIGNING_KEY!, this.namespace, ACCESS_TOKEN_HOURS);

    return Promise.all(authorIds.map(async (id) => (await sessions.issue(id)).accessToken));
  }

  /** Is to be stopped, or removed, with the system. */
  onRemove(remove: () => Promise<unknown>): void {
    this.removals.push(remove);
  }

  /** All that it has in Redis. */
  async removeKeys(): Promise<void> {
    for await (const keys of this.redis.scanStream({ match: `${this.namespace}:*`, count: 10_000 })) {
      if ((keys as string[]).length > 0) await this.redis.unlink(...(keys as string[]));
    }
  }

  /** Ends all that runs, and leaves nothing on the servers: the next bench must not pay for it. */
  async remove(): Promise<void> {
    await Promise.all(this.removals.map((remove) => remove()));
    await Promise.all(this.processes.map((process) => process.stop()));
    const database = await mysql.createConnection(required('MYSQL_URL'));
    await database.query(`DROP DATABASE ${this.namespace}`);
    await database.end();
    for (const drop of this.dropped) await drop();
    const nats = await connectNats(required('NATS_URL'), 'bench');
    const streams: string[] = [];
    for await (const name of nats.jsm.streams.names()) if (name.startsWith(`${this.namespace}_`)) streams.push(name);
    for (const name of streams) await nats.jsm.streams.delete(name);
    await nats.close();
    await this.removeKeys();
    rmSync(this.env.MAIL_FOLDER!, { recursive: true, force: true });
    this.redis.disconnect();
  }
}

export interface Started {
  process: MeasuredProcess;
  port: number;
  /** Of GraphQL, when it is a gateway. */
  url: string;
  ready: () => Promise<unknown>;
}

/** Looks again and again; settles with what was seen at last. */
export async function until<T>(what: string, deadlineMs: number, look: () => Promise<T | null | undefined | false>): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const seen = await look();
    if (seen !== null && seen !== undefined && seen !== false) return seen;
    if (performance.now() > deadline) throw new Error(`not within ${deadlineMs / 1_000} s: ${what}`);
    await pause(LOOK_MS);
  }
}
