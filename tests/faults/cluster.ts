/**
 * A whole Cheeper to do things to: private servers, services as processes of their own, and a proxy on every way between two of them,
 * the clients' too. Everything in it can be killed, stopped, cut off, rolled back and started again.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, globSync, mkdirSync, writeFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';
import { CheeperClient } from '../../client/client.js';
import { SignUpDocument } from '../../client/operations.js';
import { connectNats, type Nats } from '../../shared/jetstream.js';
import { launch, describe as describeExit, type Child } from '../../stack/children.mjs';
import { freePort, startStack, temporaryFolder, type ServerName, type Stack } from '../../stack/stack.mjs';
import type { EntryBody, JournalEntry } from '../../shared/messages/event.js';
import { migrate } from '../../write-side/migrate.js';
import type { Viewer } from '../consistency/recorder.js';
import { eventually, PASSWORD, SIGNING_KEY, type ServiceName } from '../system.js';
import { Proxy } from './proxy.js';

const READY_MS = 60_000;
const CLI_MS = 300_000;
const CLI_BYTES = 64 * 1024 * 1024;
/** Tokens outlive every clock that is shifted. */
const ACCESS_TOKEN_HOURS = '720';

const SERVERS_OF: Record<ServiceName, ServerName[]> = {
  'write-side': ['mysql', 'nats'],
  'read-side': ['nats', 'redis'],
  gateway: ['nats', 'redis'],
};

/** Shifts the clocks of a process, but for the one that measures durations; null where Debian's `libfaketime` is not installed. */
const faketime = (): string | null => globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')[0] ?? null;
export const canShiftClocks = (): boolean => faketime() !== null;

/** A way between two processes. */
export interface Link {
  name: string;
  proxy: Proxy;
}

/** One process of a service. It keeps its port and its links when it is started again. */
export class Service {
  private child: Child | null = null;

  constructor(
    readonly name: ServiceName,
    readonly label: string,
    readonly port: number,
    readonly links: Link[],
    private readonly build: string,
    private readonly env: NodeJS.ProcessEnv,
    private readonly folder: string,
  ) {}

  /** @param more settings of this life alone */
  start(more: NodeJS.ProcessEnv = {}): void {
    this.child = launch(this.label, process.execPath, [`${this.name}/main.js`], {
      cwd: this.build,
      env: { ...this.env, ...more },
      logFile: this.logFile,
    });
  }

  /** With a clock that `shift` sets. */
  startWithClock(): void {
    this.shift(0);
    this.start({
      LD_PRELOAD: faketime()!,
      FAKETIME_TIMESTAMP_FILE: this.clockFile,
      FAKETIME_CACHE_DURATION: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    });
  }

  shift(seconds: number): void {
    writeFileSync(this.clockFile, `${seconds < 0 ? '' : '+'}${seconds}\n`);
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.child?.running ?? false;
  }

  /** How it ended; it is waited for. */
  async ended(): Promise<string> {
    return describeExit(await this.child!.exit);
  }

  /** Asks it to stop in order. @returns how it ended */
  async stop(): Promise<string> {
    const stopped = this.child?.stop();
    this.signal('SIGCONT'); // one that is stopped hears of nothing else
    await stopped;

    return this.ended();
  }

  async kill(): Promise<void> {
    await this.child?.kill();
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.signal(signal);
  }

  /** What its /readyz says: empty when it does its work. */
  async waitsFor(): Promise<string[]> {
    if (!this.isRunning) return [`${this.label} does not run`];
    try {
      const response = await fetch(`http://127.0.0.1:${this.port}/readyz`, { signal: AbortSignal.timeout(2_000) });
      const { waitsFor } = (await response.json()) as { waitsFor: string[] };

      return response.ok ? [] : waitsFor.map((what) => `${this.label}: ${what}`);
    } catch (error) {
      return [`${this.label}: ${String((error as Error).cause ?? error)}`];
    }
  }

  async ready(deadlineMs = READY_MS): Promise<void> {
    let waitsFor: string[] = [];
    await eventually(
      async () => {
        waitsFor = await this.waitsFor();
        if (!this.isRunning) throw new Error(`${this.label} has ended (${await this.ended()}):\n${this.log()}`);
        return waitsFor.length === 0;
      },
      () => `${this.label} is ready (${waitsFor.join('; ')})\n${this.log()}`,
      deadlineMs,
    );
  }

  log(lines = 40): string {
    return this.child?.tail(lines) ?? '';
  }

  private get logFile(): string {
    return join(this.folder, 'logs', `${this.label}.log`);
  }

  private get clockFile(): string {
    return join(this.folder, `${this.label}.clock`);
  }
}

export interface ClusterOptions {
  gateways?: number;
  writeSides?: number;
  readSides?: number;
  env?: NodeJS.ProcessEnv;
  /** Where the servers keep their data; one that is removed afterwards if not given. */
  dataDir?: string;
}

export class Cluster {
  epoch = '';
  private readonly clients: CheeperClient[] = [];
  private readonly made: Viewer[] = [];

  private constructor(
    readonly namespace: string,
    readonly stack: Stack,
    /** For whom nothing stands between: the test itself, and operators. */
    readonly env: NodeJS.ProcessEnv & { MYSQL_URL: string; NATS_URL: string; REDIS_URL: string; NAMESPACE: string },
    readonly gateways: Service[],
    readonly writeSides: Service[],
    readonly readSides: Service[],
    /** From clients to each gateway. */
    readonly doors: Link[],
    private readonly pool: mysql.Pool,
    readonly redis: Redis,
    readonly nats: Nats,
    readonly build: string,
    private readonly folder: string,
    readonly mailFolder: string,
    private readonly dataDir: string,
    private readonly isDataOurs: boolean,
  ) {}

  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const { gateways = 2, writeSides = 2, readSides = 2, env = {} } = options;
    const folder = await temporaryFolder();
    const dataDir = options.dataDir ?? folder;
    const stack = await startStack({ dataDir });
    const build = process.env.TEST_BUILD!;
    const namespace = `f${randomBytes(5).toString('hex')}`;
    const own = {
      ...env,
      MYSQL_URL: `${stack.mysqlUrl}/${namespace}`,
      NATS_URL: stack.natsUrl,
      REDIS_URL: stack.redisUrl,
      NAMESPACE: namespace,
    };
    await migrate(own.MYSQL_URL);
    mkdirSync(join(folder, 'logs'), { recursive: true });
    const mailFolder = join(folder, 'mail');
    const made = async (name: ServiceName, count: number): Promise<Service[]> => {
      const services: Service[] = [];
      for (let i = 1; i <= count; i++) {
        const label = `${name} ${i}`;
        const port = await freePort();
        const links: Link[] = [];
        const urls: NodeJS.ProcessEnv = {};
        for (const server of SERVERS_OF[name]) {
          const proxy = await Proxy.start(stack.port(server));
          links.push({ name: `${label} to ${server}`, proxy });
          const url = `${server.toUpperCase()}_URL` as 'MYSQL_URL' | 'NATS_URL' | 'REDIS_URL';
          urls[url] = own[url].replace(new RegExp(`:${stack.port(server)}(?=/|$)`), `:${proxy.port}`);
        }
        const ports = name === 'gateway' ? { PORT: String(port), HOST: '127.0.0.1' } : { HEALTH_PORT: String(port) };
        const settings = { SIGNING_KEY, ACCESS_TOKEN_HOURS, MAIL_FOLDER: mailFolder, NAMESPACE: namespace, ...urls, ...ports, ...env };
        const whole = { ...process.env, NODE_OPTIONS: '', ...settings };
        services.push(new Service(name, label, port, links, build, whole, folder));
      }

      return services;
    };
    const all = [await made('gateway', gateways), await made('write-side', writeSides), await made('read-side', readSides)] as const;
    const doors = await Promise.all(
      all[0].map(async ({ label, port }) => ({ name: `clients to ${label}`, proxy: await Proxy.start(port) })),
    );
    const pool = mysql.createPool({ uri: own.MYSQL_URL, connectionLimit: 2 });
    const redis = new Redis(own.REDIS_URL);
    redis.on('error', () => undefined); // It is killed now and then.
    const nats = await connectNats(own.NATS_URL, 'test');
    const isOurs = options.dataDir === undefined;
    const cluster = new Cluster(namespace, stack, own, ...all, doors, pool, redis, nats, build, folder, mailFolder, dataDir, isOurs);
    try {
      for (const service of cluster.services) service.start();
      await cluster.ready();
      await cluster.readEpoch();
    } catch (error) {
      await cluster.stop();
      throw error;
    }

    return cluster;
  }

  get services(): Service[] {
    return [...this.gateways, ...this.writeSides, ...this.readSides];
  }

  get links(): Link[] {
    return [...this.services.flatMap(({ links }) => links), ...this.doors];
  }

  /** By which clients come: .../graphql */
  get urls(): string[] {
    return this.doors.map(({ proxy }) => `http://127.0.0.1:${proxy.port}/graphql`);
  }

  async ready(deadlineMs = READY_MS): Promise<void> {
    await Promise.all(this.services.map((service) => service.ready(deadlineMs)));
  }

  client(options: Partial<ConstructorParameters<typeof CheeperClient>[0]> = {}): CheeperClient {
    const made = new CheeperClient({ url: this.urls[0]!, ...options });
    this.clients.push(made);

    return made;
  }

  /** Signed in; as many as are wanted, those who came before first. */
  async authors(count: number): Promise<Viewer[]> {
    const missing = Array.from({ length: Math.max(0, count - this.made.length) }, async () => {
      const client = this.client();
      const username = `u${randomBytes(6).toString('hex')}`;
      const input = { username, email: `${username}@example.org`, password: PASSWORD };
      const { signUp } = await client.mutate(SignUpDocument, { input });
      if (!signUp.session || !signUp.author) throw new Error(`${username} could not sign up: ${JSON.stringify(signUp)}`);

      return { id: signUp.author.id, accessToken: signUp.session.accessToken };
    });
    this.made.push(...(await Promise.all(missing)));

    return this.made.slice(0, count);
  }

  async sql<T>(query: string, values: unknown[] = []): Promise<T[]> {
    const [rows] = await this.pool.query(query, values);

    return rows as T[];
  }

  /** Looks which epoch the journal is of, after a new one was set. */
  async readEpoch(): Promise<void> {
    this.epoch = (await this.sql<{ epoch: string }>('SELECT epoch FROM journal_head'))[0]!.epoch;
  }

  async readJournal(): Promise<JournalEntry[]> {
    const rows = await this.sql<{ position: number; body: string }>('SELECT position, body FROM journal ORDER BY position');

    return rows.map(({ position, body }) => ({ position: Number(position), ...(JSON.parse(body) as EntryBody) }));
  }

  /** The operator's command, as a process. @returns its exit code, and what it wrote */
  async cheeper(args: string[], timeout = CLI_MS): Promise<{ code: number; stdout: string; stderr: string }> {
    const options = { cwd: this.build, env: { ...process.env, NODE_OPTIONS: '', ...this.env }, timeout, maxBuffer: CLI_BYTES };

    return new Promise((resolve) => {
      execFile(process.execPath, ['cli/main.js', ...args], options, (error, stdout, stderr) => {
        resolve({ code: error ? Number(error.code ?? -1) : 0, stdout, stderr });
      });
    });
  }

  // ---- The servers' data

  /** What a server has on its disk at this moment, as a snapshot of the disk would have it. @returns where the copy is */
  async copy(server: ServerName): Promise<string> {
    const to = join(this.dataDir, `copy-${server}`);
    await rm(to, { recursive: true, force: true });
    this.stack.signal(server, 'SIGSTOP');
    try {
      await cp(join(this.dataDir, server), to, { recursive: true, filter: isData });
    } finally {
      this.stack.signal(server, 'SIGCONT');
    }

    return to;
  }

  /** Under a server that goes on running. */
  async removeFolder(server: ServerName): Promise<void> {
    await rm(join(this.dataDir, server), { recursive: true, force: true });
  }

  /** Kills a server, and starts it with what it had when the copy was made. */
  async rollBack(server: ServerName, copy: string): Promise<void> {
    await this.stack.wipe(server);
    await cp(copy, join(this.dataDir, server), { recursive: true });
    await this.stack.restart(server);
  }

  /** For whoever looks into what went wrong. @returns where */
  keepLogs(): string {
    const to = join(tmpdir(), `cheeper-faults-${this.namespace}`);
    for (const logs of new Set([join(this.folder, 'logs'), join(this.dataDir, 'logs')])) {
      cpSync(logs, to, { recursive: true });
    }

    return to;
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()));
    await Promise.all(this.services.map((service) => service.kill()));
    await Promise.all(this.links.map(({ proxy }) => proxy.stop()));
    this.redis.disconnect();
    await this.nats.connection.close();
    await this.pool.end();
    await this.stack.stop();
    await rm(this.folder, { recursive: true, force: true });
    if (this.isDataOurs && existsSync(this.dataDir)) await rm(this.dataDir, { recursive: true, force: true });
  }
}

/** A socket cannot be copied, and is nothing that is on a disk. */
const isData = (path: string): boolean => !path.endsWith('.sock');
