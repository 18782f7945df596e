/**
 * A whole Cheeper for one test file: services as processes of their own, over the run's private servers, in a namespace and
 * a database that nobody else has.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import mysql from 'mysql2/promise';
import { Redis } from 'ioredis';
import { CheeperClient } from '../client/client.js';
import { SignUpDocument } from '../client/operations.js';
import { hostOf } from '../shared/config.js';
import { migrate } from '../write-side/migrate.js';

export type ServiceName = 'gateway' | 'write-side' | 'read-side';

/** One process of a service. It keeps its port when it is started again. */
export class ServiceProcess {
  private child: ChildProcess | null = null;

  constructor(
    readonly name: ServiceName,
    readonly port: number,
    private readonly env: NodeJS.ProcessEnv,
    private readonly logFile: string,
  ) {}

  /** Starts it; `ready` tells when it does its work. */
  start(): void {
    const log = openSync(this.logFile, 'a');
    this.child = spawn(process.execPath, ['--enable-source-maps', `${this.name}/main.js`], {
      cwd: required('TEST_BUILD'),
      env: this.env,
      stdio: ['ignore', log, log],
    });
  }

  async ready(deadlineMs = 60_000): Promise<void> {
    let last = 'nothing answered';
    await eventually(
      async () => {
        if (this.child?.exitCode !== null) throw new Error(`${this.name} has ended:\n${this.log()}`);
        const response = await fetch(`http://127.0.0.1:${this.port}/readyz`).catch(() => null);
        last = response ? await response.text() : last;
        return response?.ok;
      },
      () => `${this.name} is ready (${last})\n${this.log()}`,
      deadlineMs,
    );
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  /** Signals it, and settles with its exit code (null when a signal ended it) once it is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const gone = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill(signal);
    // One that was stopped with SIGSTOP hears of nothing else.
    if (signal !== 'SIGKILL') child.kill('SIGCONT');

    return gone;
  }

  /** The end of what it has logged. */
  log(lines = 40): string {
    return readFileSync(this.logFile, 'utf8').split('\n').slice(-lines).join('\n');
  }
}

export interface SystemOptions {
  gateways?: number;
  writeSides?: number;
  readSides?: number;
  env?: NodeJS.ProcessEnv;
  /** The run's private servers, if not these. */
  servers?: { mysqlUrl: string; natsUrl: string; redisUrl: string };
}

export interface System {
  namespace: string;
  env: { MYSQL_URL: string; NATS_URL: string; REDIS_URL: string; NAMESPACE: string };
  gateways: ServiceProcess[];
  writeSides: ServiceProcess[];
  readSides: ServiceProcess[];
  /** Of the first gateway: `http://127.0.0.1:PORT/graphql` */
  url: string;
  urlOf(gateway: ServiceProcess): string;
  client(options?: Partial<ConstructorParameters<typeof CheeperClient>[0]>): CheeperClient;
  /** Somebody new who is signed in. */
  author(username?: string): Promise<{ id: string; username: string; client: CheeperClient }>;
  sql<T>(query: string, values?: unknown[]): Promise<T[]>;
  redis: Redis;
  /** Where mails go, unless MAIL_URL says otherwise. */
  mailFolder: string;
  stop(): Promise<void>;
}

/** A busy machine is no reason to answer `ACCEPTED` or NOT_CAUGHT_UP; a test that is about them sets its own. */
const PATIENT = { READ_DEADLINE_MS: '5000', COMMIT_DEADLINE_MS: '15000' };

const privateServers = () => ({
  mysqlUrl: required('TEST_MYSQL_URL'),
  natsUrl: required('TEST_NATS_URL'),
  redisUrl: required('TEST_REDIS_URL'),
});

export async function startSystem({
  gateways = 1,
  writeSides = 1,
  readSides = 1,
  env = {},
  servers = privateServers(),
}: SystemOptions = {}): Promise<System> {
  const namespace = `t${randomBytes(5).toString('hex')}`;
  const shared = {
    MYSQL_URL: `${servers.mysqlUrl.replace(/\/$/, '')}/${namespace}`,
    NATS_URL: servers.natsUrl,
    REDIS_URL: servers.redisUrl,
    NAMESPACE: namespace,
  };
  await migrate(shared.MYSQL_URL);
  const logs = mkdtempSync(join(tmpdir(), 'cheeper-logs-'));
  const mailFolder = join(logs, 'mail');
  const all: ServiceProcess[] = [];
  const launch = async (name: ServiceName, count: number) => {
    const processes: ServiceProcess[] = [];
    for (let i = 0; i < count; i++) {
      const port = await freePort();
      const ports = name === 'gateway' ? { PORT: String(port), HOST: '127.0.0.1' } : { HEALTH_PORT: String(port) };
      const given = { ...PATIENT, SIGNING_KEY, MAIL_FOLDER: mailFolder, ...ports, ...env };
      const own = { ...process.env, NODE_OPTIONS: '', ...shared, ...given };
      const service = new ServiceProcess(name, port, own, join(logs, `${name}-${i}.log`));
      service.start();
      processes.push(service);
    }
    all.push(...processes);

    return processes;
  };
  const started = {
    writeSides: await launch('write-side', writeSides),
    readSides: await launch('read-side', readSides),
    gateways: await launch('gateway', gateways),
  };
  const pool = mysql.createPool({ uri: shared.MYSQL_URL, host: hostOf(shared.MYSQL_URL), connectionLimit: 2 });
  const redis = new Redis(shared.REDIS_URL);
  const clients: CheeperClient[] = [];
  const stop = async () => {
    await Promise.all(clients.map((client) => client.close()));
    await Promise.all(all.map((service) => service.stop()));
    await pool.query(`DROP DATABASE ${namespace}`);
    await pool.end();
    redis.disconnect();
    rmSync(logs, { recursive: true, force: true });
  };
  try {
    await Promise.all(all.map((service) => service.ready()));
  } catch (error) {
    await stop();
    throw error;
  }
  const urlOf = (gateway: ServiceProcess) => `http://127.0.0.1:${gateway.port}/graphql`;
  const url = urlOf(started.gateways[0]!);
  const client: System['client'] = (options) => {
    const made = new CheeperClient({ url, ...options });
    clients.push(made);

    return made;
  };

  return {
    namespace,
    env: shared,
    ...started,
    url,
    urlOf,
    client,
    async author(username = `u${randomBytes(6).toString('hex')}`) {
      const own = client();
      const { signUp } = await own.mutate(SignUpDocument, { input: { username, email: `${username}@example.org`, password: PASSWORD } });
      if (!signUp.session || !signUp.author) throw new Error(`${username} could not sign up: ${JSON.stringify(signUp)}`);
      own.accessToken = signUp.session.accessToken;

      return { id: signUp.author.id, username, client: own };
    },
    async sql<T>(query: string, values: unknown[] = []) {
      const [rows] = await pool.query(query, values);
      return rows as T[];
    },
    redis,
    mailFolder,
    stop,
  };
}

export const SIGNING_KEY = 'a key for tests that is long enough';
export const PASSWORD = 'correct horse battery';

export interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** The operator's command, as a process of its own. */
export async function cheeper(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, ['--enable-source-maps', 'cli/main.js', ...args], {
    cwd: required('TEST_BUILD'),
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, err, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ]);

  return { code, out, err };
}

/** Waits until it is so, looking again and again; fails at the deadline with what was expected. */
export async function eventually<T>(
  look: () => Promise<T> | T,
  what: string | (() => string),
  deadlineMs = 60_000,
): Promise<NonNullable<T>> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${typeof what === 'string' ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// Below the ports that the kernel hands out to connections; each of jest's workers has a part of its own.
const PORTS_OF_A_WORKER = 6_000;
const firstPort = 20_000 + ((Number(process.env.JEST_WORKER_ID ?? 1) - 1) % 2) * PORTS_OF_A_WORKER;
let nextPort = randomInt(PORTS_OF_A_WORKER);

export async function freePort(): Promise<number> {
  for (;;) {
    const port = firstPort + (nextPort++ % PORTS_OF_A_WORKER);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));

    return port;
  }
}

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run the tests with \`npm test\``);

  return value;
}
