/**
 * What docker-compose.yml and ops/ say, without Docker: the servers with exactly the arguments, configurations, users and certificates that
 * compose gives them, and the services with exactly its environment. Only names of hosts, ports and folders are others.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import mysql, { type Connection } from 'mysql2/promise';
import { parse } from 'yaml';
import { findProgram, launch, type Child } from '../stack/children.mjs';
import { startStack, temporaryFolder, type Stack } from '../stack/stack.mjs';
import { cheeper, eventually, freePort, ServiceProcess, type Ended, type ServiceName } from './system.js';

interface Service {
  command: string[];
  environment: Record<string, string | number>;
  secrets: (string | { source: string; target: string })[];
  [setting: string]: unknown;
}

export interface Composition {
  services: Record<string, Service>;
  secrets: Record<string, { file: string }>;
}

export const readComposition = (): Composition => parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true }) as Composition;

/** Of what is to end by itself. */
const RUN_DEADLINE_MS = 60_000;
const MOUNTED = /\/run\/secrets\//g;

export class Composed {
  readonly composition = readComposition();
  readonly secrets: string;
  readonly ports = { mysql: 0, nats: 0, redis: 0 };
  readonly services: ServiceProcess[] = [];
  /** Where the services and servers log. */
  readonly logs: string;
  private stack: Stack | null = null;
  private natsHttpPort = 0;
  readonly servers: { nats: Child | null; redis: Child | null } = { nats: null, redis: null };

  private constructor(readonly folder: string) {
    this.secrets = join(folder, 'secrets');
    this.logs = join(folder, 'logs');
    mkdirSync(this.logs);
  }

  static async start(): Promise<Composed> {
    const composed = new Composed(await temporaryFolder());
    try {
      await composed.startServers();
    } catch (error) {
      await composed.stop();
      throw error;
    }

    return composed;
  }

  makeSecrets(): void {
    execFileSync('sh', ['ops/make-secrets.sh', this.secrets], { stdio: 'pipe' });
  }

  secret = (name: string): string => readFileSync(join(this.secrets, name), 'utf8').trim();

  /** What is mounted in containers lies in a folder here. */
  private local = (text: string): string => text.replace(MOUNTED, `${this.secrets}/`);

  private async startServers(): Promise<void> {
    this.makeSecrets();
    this.ports.nats = await freePort();
    this.ports.redis = await freePort();
    const [stack] = await Promise.all([this.startMysql(), this.startNats(), this.startRedis()]);
    this.stack = stack;
    this.ports.mysql = stack.port('mysql');
    const root = await this.mysqlAsRoot();
    await root.query('CREATE DATABASE cheeper');
    await root.query(readFileSync(join(this.secrets, 'mysql.sql'), 'utf8'));
    await root.end();
  }

  private startMysql(): Promise<Stack> {
    const args = this.composition.services.mysql!.command.map(this.local);

    return startStack({ dataDir: this.folder, servers: ['mysql'], args: { mysql: args }, asStarter: true });
  }

  mysqlAsRoot(more: { rejectUnauthorized?: boolean } = {}): Promise<Connection> {
    const ssl = { ca: this.secret('ca.pem'), ...more };

    return mysql.createConnection({ uri: this.stack!.mysqlUrl, ssl, multipleStatements: true });
  }

  async startNats(): Promise<void> {
    const file = await this.configureNats();
    this.servers.nats = launch('nats', program('nats-server'), ['--config', file], { logFile: join(this.logs, 'nats.log') });
    await this.answers('nats', this.ports.nats);
  }

  /** Writes what secrets/nats.conf says, as it can be here; a server that runs takes it on SIGHUP. */
  async configureNats(): Promise<string> {
    const version = /(\d+)\.(\d+)/.exec(execFileSync(program('nats-server'), ['--version']).toString())!;
    const said = this.local(readFileSync(join(this.secrets, 'nats.conf'), 'utf8'))
      .replace('listen: 0.0.0.0:4222', `listen: 127.0.0.1:${this.ports.nats}`)
      .replace('http: 127.0.0.1:8222', `http: 127.0.0.1:${(this.natsHttpPort ||= await freePort())}`)
      .replace('store_dir: /data', `store_dir: "${join(this.folder, 'nats')}"`);
    // The image's server is newer, and knows it.
    const knows = Number(version[1]) > 2 || Number(version[2]) >= 10;
    const file = join(this.folder, 'nats.conf');
    writeFileSync(file, knows ? said : said.replace('sync_interval: always', ''));

    return file;
  }

  async startRedis(): Promise<void> {
    const data = join(this.folder, 'redis');
    mkdirSync(data, { recursive: true });
    const [, ...args] = this.composition.services.redis!.command.map(this.local);
    args[args.indexOf('--tls-port') + 1] = String(this.ports.redis);
    const own = ['--bind', '127.0.0.1', '--dir', data];
    this.servers.redis = launch('redis', program('redis-server'), [...args, ...own], { logFile: join(this.logs, 'redis.log') });
    await this.answers('redis', this.ports.redis);
  }

  /** Somebody listens there, or it has ended, and says why. */
  private async answers(name: 'nats' | 'redis', port: number): Promise<void> {
    await eventually(
      () => {
        const server = this.servers[name]!;
        if (!server.running) throw new Error(`${name} has ended:\n${server.tail()}`);
        return new Promise<boolean>((resolve) => {
          const socket = connect(port, '127.0.0.1', () => resolve(true));
          socket.once('error', () => resolve(false));
          socket.once('connect', () => socket.destroy());
        });
      },
      () => `${name} answers:\n${this.servers[name]!.tail()}`,
    );
  }

  /** What compose gives a service, with what is here in the places of hosts and folders. */
  env(name: string, host = 'localhost'): Record<string, string> {
    const said = Object.entries(this.composition.services[name]!.environment).map(([key, value]): [string, string] => {
      const here = this.local(String(value))
        .replace('@mysql:3306', `@${host}:${this.ports.mysql}`)
        .replace('@nats:4222', `@${host}:${this.ports.nats}`)
        .replace('@redis:6379', `@${host}:${this.ports.redis}`);
      // What an operator may say in the environment, and does not.
      return [key, here.replace(/^\$\{\w+:-\}$/, '')];
    });

    return Object.fromEntries(said);
  }

  /** The tables. */
  migrate(): Promise<Ended> {
    return this.run('write-side/migrate.js', this.env('migrate'));
  }

  async startServices(): Promise<void> {
    for (const name of ['write-side', 'read-side', 'gateway'] as const) await this.startService(name);
    await Promise.all(this.services.map((service) => service.ready()));
  }

  async startService(name: ServiceName): Promise<ServiceProcess> {
    const port = await freePort();
    const { PATH, NODE_COMPILE_CACHE } = process.env;
    const own = { HOST: '127.0.0.1', PORT: String(port), HEALTH_PORT: String(port), GATEWAY_PROCESSES: '1' };
    const patient = { READ_DEADLINE_MS: '5000', COMMIT_DEADLINE_MS: '15000', MAIL_FOLDER: join(this.folder, 'mail') };
    const service = new ServiceProcess(
      name,
      port,
      { PATH, NODE_COMPILE_CACHE, ...this.env(name), ...own, ...patient },
      join(this.logs, `${name}.log`),
    );
    service.start();
    this.services.push(service);

    return service;
  }

  service = (name: ServiceName): ServiceProcess => this.services.find((service) => service.name === name)!;

  /** The operator's command. */
  cheeper(...args: string[]): Promise<Ended> {
    return cheeper(this.env('operator'), ...args);
  }

  /** One of the programs of the image, to its end. */
  async run(file: string, env: Record<string, string>): Promise<Ended> {
    const { PATH, NODE_COMPILE_CACHE } = process.env;
    const child = launch(file, process.execPath, ['--enable-source-maps', file], {
      cwd: process.env.TEST_BUILD!,
      env: { PATH, NODE_COMPILE_CACHE, ...env },
    });
    const deadline = setTimeout(() => void child.kill(), RUN_DEADLINE_MS);
    const { code } = await child.exit;
    clearTimeout(deadline);
    const said = child.tail(Infinity);

    return { code, out: said, err: said };
  }

  async stop(): Promise<void> {
    await Promise.all(this.services.map((service) => service.stop()));
    await Promise.all([this.servers.nats?.stop(), this.servers.redis?.stop(), this.stack?.stop()]);
    if (existsSync(this.folder)) rmSync(this.folder, { recursive: true, force: true });
  }
}

function program(name: string): string {
  const found = findProgram(name);
  if (!found) throw new Error(`${name} is not installed`);

  return found;
}

/** Certificates, with their keys, that a client must refuse for a server on localhost, or on 127.0.0.1 (`no-address`). */
export function makeWrongCertificates(folder: string, secrets: string): void {
  const inFolder = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const makeKey = (name: string) => openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', inFolder(`${name}.key`));
  mkdirSync(folder);
  makeKey('self-signed');
  const own = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '2'];
  openssl('req', '-x509', '-new', '-key', inFolder('self-signed.key'), ...own, '-out', inFolder('self-signed.pem'));
  const ca = ['-CA', join(secrets, 'ca.pem'), '-CAkey', join(secrets, 'ca.key'), '-set_serial', '1'];
  for (const [name, host, days] of [
    ['expired', 'localhost', '-1'],
    ['wrong-host', 'elsewhere.example', '2'],
    ['no-address', 'localhost', '2'],
  ] as const) {
    makeKey(name);
    openssl('req', '-new', '-key', inFolder(`${name}.key`), '-subj', `/CN=${name}`, '-out', inFolder('request'));
    writeFileSync(inFolder('extensions'), `subjectAltName = DNS:${host}\n`);
    const given = ['-in', inFolder('request'), '-days', days, '-extfile', inFolder('extensions')];
    openssl('x509', '-req', ...given, ...ca, '-out', inFolder(`${name}.pem`));
  }
}
