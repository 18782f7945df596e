/**
 * Private MySQL or MariaDB, NATS and Redis as child processes: own ports on 127.0.0.1, own data folders, gone when we
 * are. For `npm start`, tests and benches; what runs on the standard ports is never touched.
 *
 * What is promised to callers:
 * - `startStack` returns when every server has answered in its own protocol, or fails with the last lines of its log.
 * - A server keeps its port until `stop`, across `kill`, `wipe` and `restart`, so that its clients find it again. Ports
 *   are taken from below those that the kernel hands to outgoing connections: a client that knocks on the port of a
 *   dead server in that range can end up connected to itself, and the server never gets its port back.
 * - An initialisation of MySQL's folder that was cut short is never taken for a finished one.
 * - MySQL is as durable as in production: without `sync_binlog` a commit may be seen before it would survive a crash.
 *
 * The servers have no passwords: whoever has an account on this machine can connect.
 *
 * No dependencies; Node 20 and later.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { existsSync, rmSync, readdirSync, statSync, watch } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, findProgram, findPrograms, isStopping, launch } from './children.mjs';
import { Restarts } from './restarts.mjs';
import { Failure } from './tell.mjs';

/**
 * @typedef {import('./children.mjs').Child} Child
 * @typedef {'mysql' | 'nats' | 'redis'} ServerName
 *
 * @typedef {object} Kind What there is to know about one server.
 * @property {() => string | undefined} program the server's path, if all that it needs is installed
 * @property {string[]} packages Debian's packages that hold it
 * @property {(port: number) => string} url
 * @property {(program: string, folder: string, logFile: string) => Promise<void>} prepare makes its folder
 * @property {(program: string, folder: string, port: number) => string[]} args
 * @property {string} question what to say to it, when it doesn't speak first
 * @property {(answer: Buffer) => boolean} isReady
 * @property {string} [cannotLose] a folder in its own without which it runs, but stores nothing any more until it is started again
 *
 * @typedef {object} KeepRunning
 * @property {(line: string) => void} report
 * @property {(error: Error) => void} giveUp
 *
 * @typedef {object} StackOptions
 * @property {string} dataDir
 * @property {ServerName[]} [servers] all three by default
 * @property {Partial<Record<ServerName, number>>} [ports] free ones by default
 * @property {Partial<Record<ServerName, string[]>>} [args] more of them
 * @property {KeepRunning} [keepRunning] a server that ends unexpectedly is started again
 */

/** @type {ServerName[]} */
export const serverNames = ['mysql', 'nats', 'redis'];

const readyMs = 60_000;
const portMs = 1_000;

/** @type {Record<ServerName, Kind>} */
const kinds = {
  mysql: {
    program: mysqlProgram,
    packages: ['mariadb-server-core', 'mariadb-client-core'],
    url: (port) => `mysql://root@127.0.0.1:${port}`,
    prepare: initialiseMysql,
    args: mysqlArgs,
    question: '',
    isReady: (answer) => answer[4] === 10, // the protocol's version; a refusal has 255 there
  },
  nats: {
    program: () => findProgram('nats-server'),
    packages: ['nats-server'],
    url: (port) => `nats://127.0.0.1:${port}`,
    prepare: makeFolder,
    args: (_program, folder, port) => ['-js', '-a', '127.0.0.1', '-p', String(port), '-sd', folder],
    question: '',
    isReady: (answer) => answer.toString().startsWith('INFO '),
    cannotLose: 'jetstream',
  },
  redis: {
    program: () => findProgram('redis-server') ?? findProgram('valkey-server'),
    packages: ['redis-server'],
    url: (port) => `redis://127.0.0.1:${port}`,
    prepare: makeFolder,
    args: redisArgs,
    question: 'PING\r\n',
    isReady: (answer) => answer.toString().startsWith('+PONG'), // while it loads its data it says -LOADING
  },
};

/**
 * @param {StackOptions} options
 */
export async function startStack({ dataDir, servers = serverNames, ports = {}, args = {}, keepRunning }) {
  /** @type {Partial<Record<ServerName, Server>>} */
  const running = {};
  for (const name of servers) running[name] = new Server(name, dataDir, ports[name], keepRunning, args[name]);
  const all = Object.values(running);

  const stop = async () => {
    await Promise.all(all.map((server) => server.stop()));
  };

  const failure = (await Promise.allSettled(all.map((server) => server.start()))).find(isRejected);
  if (failure !== undefined) {
    await stop();
    throw failure.reason;
  }

  /** @param {ServerName} name */
  const the = (name) => running[name] ?? raise(`This stack has no ${name}.`);

  return {
    /** Without a database's name. */
    get mysqlUrl() {
      return the('mysql').url;
    },
    get natsUrl() {
      return the('nats').url;
    },
    get redisUrl() {
      return the('redis').url;
    },
    /** @param {ServerName} name */
    url: (name) => the(name).url,
    /** @param {ServerName} name */
    port: (name) => the(name).port,
    /** @param {ServerName} name */
    pid: (name) => the(name).pid,
    /** STOP and CONT, for example. @param {ServerName} name @param {NodeJS.Signals} signal */
    signal: (name, signal) => the(name).signal(signal),
    /** kill -9; returns when it is gone. @param {ServerName} name */
    kill: (name) => the(name).kill(),
    /** Stops it in order, if it runs, and starts it again on the same port. @param {ServerName} name */
    restart: (name) => the(name).restart(),
    /** kill -9, and all its data with it; `restart` starts it empty. @param {ServerName} name */
    wipe: (name) => the(name).wipe(),
    /** The last lines of its log. @param {ServerName} name */
    log: (name) => the(name).tail(),
    stop,
  };
}

/** @typedef {Awaited<ReturnType<typeof startStack>>} Stack */

/** @param {PromiseSettledResult<void>} result @returns {result is PromiseRejectedResult} */
const isRejected = (result) => result.status === 'rejected';

class Server {
  /** @type {Child | undefined} */
  #child;
  /** It is gone because we wanted it so. */
  #meantToStop = false;
  #restarts = new Restarts();
  #folder;
  #logFolder;
  #kind;

  /**
   * @param {ServerName} name
   * @param {string} dataDir
   * @param {number | undefined} fixedPort
   * @param {KeepRunning | undefined} keepRunning
   * @param {string[]} [moreArgs]
   */
  constructor(name, dataDir, fixedPort, keepRunning, moreArgs = []) {
    this.name = name;
    this.port = fixedPort ?? 0;
    this.fixedPort = fixedPort;
    this.keepRunning = keepRunning;
    this.moreArgs = moreArgs;
    this.#kind = kinds[name];
    this.#folder = join(dataDir, name);
    this.#logFolder = join(dataDir, 'logs');
  }

  get url() {
    return this.#kind.url(this.port);
  }

  get pid() {
    return this.#child?.pid ?? 0;
  }

  /** A port that was free may be taken by the time that the server wants it: then another one is tried. */
  async start() {
    for (let attempt = 1; ; attempt++) {
      if (this.fixedPort === undefined) this.port = await freePort();
      try {
        return await this.#launch();
      } catch (error) {
        if (attempt === 3 || !/address already in use/i.test(String(error))) throw error;
      }
    }
  }

  async stop() {
    this.#meantToStop = true;
    const stopped = this.#child?.stop();
    this.signal('SIGCONT'); // if a test holds it, it does not hear
    await stopped;
  }

  async kill() {
    this.#meantToStop = true;
    await this.#child?.kill();
  }

  async restart() {
    await this.stop();
    await this.#launch();
  }

  async wipe() {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  tail() {
    return this.#child?.tail() ?? '';
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    this.#child?.signal(signal);
  }

  async #launch() {
    const program = programOf(this.name);
    const logFile = join(this.#logFolder, `${this.name}.log`);
    await mkdir(this.#logFolder, { recursive: true });
    await this.#kind.prepare(program, this.#folder, logFile);

    if (!(await becomesFree(this.port))) raise(`${this.name} can't have port ${this.port}: address already in use.`);
    this.#meantToStop = false;
    const child = launch(this.name, program, [...this.#kind.args(program, this.#folder, this.port), ...this.moreArgs], { logFile });
    this.#child = child;
    // A TERM that reaches mariadbd while it starts is swallowed, and it starts all the same. It survives a KILL at any time.
    child.stopSignal = 'SIGKILL';
    await this.#answered(child);
    child.stopSignal = 'SIGTERM';
    this.#restarts.started();
    void child.exit.then(() => this.#ended(child));
    if (this.#kind.cannotLose !== undefined && this.keepRunning !== undefined) this.#watch(child, this.#kind.cannotLose);
  }

  /** @param {Child} child @param {string} cannotLose */
  #watch(child, cannotLose) {
    let isLost = false;
    const look = () => {
      isLost ||= !existsSync(join(this.#folder, cannotLose));
      if (!isLost) return;
      watcher?.close();
      if (this.#meantToStop || !child.running) return;
      this.keepRunning?.report(`${this.name} has lost its data folder, and must begin with an empty one.`);
      void child.kill();
    };
    /** @type {import('node:fs').FSWatcher | undefined} */
    let watcher;
    try {
      watcher = watch(this.#folder, look);
      watcher.on('error', look);
    } catch {
      // It is gone by now.
    }
    look();
    void child.exit.then(() => watcher?.close());
  }

  /** @param {Child} child */
  async #answered(child) {
    const deadline = Date.now() + readyMs;
    while (!(await answers(this.port, this.#kind))) {
      const late = Date.now() > deadline;
      if (late) await child.kill();
      if (!child.running) raise(`${this.name} ${late ? 'does not answer' : `ended (${describe(await child.exit)})`}:\n${child.tail()}`);
      await sleep(10);
    }
  }

  /** @param {Child} child */
  async #ended(child) {
    if (this.#meantToStop || isStopping() || this.keepRunning === undefined) return;

    this.keepRunning.report(`${this.name} ended unexpectedly (${describe(await child.exit)}); starting it again.`);
    while (await this.#restarts.another()) {
      if (this.#meantToStop || isStopping()) return;
      try {
        await this.#launch();

        return this.keepRunning.report(`${this.name} is back.`);
      } catch {
        // The next try, or what is said at the last, tells why.
      }
    }
    this.keepRunning.giveUp(new Failure(`${this.name} does not keep running. The last lines of its log:\n${this.tail()}`));
  }
}

/**
 * Debian's packages without which these servers can't run here.
 *
 * @param {ServerName[]} servers
 */
export const missingPackages = (servers) =>
  servers.filter((name) => kinds[name].program() === undefined).flatMap((name) => kinds[name].packages);

/** @param {ServerName} name */
const programOf = (name) =>
  kinds[name].program() ?? raise(`${name} is not installed; Debian has it in ${kinds[name].packages.join(' and ')}.`);

/** Empty for either of them. */
export function wantedMysql() {
  const wanted = process.env['CHEEPER_MYSQL'] ?? '';

  return ['', 'mysql', 'mariadb'].includes(wanted) ? wanted : raise(`CHEEPER_MYSQL must be mysql or mariadb, not ${wanted}.`);
}

/**
 * MySQL or MariaDB, as CHEEPER_MYSQL says; without it, whichever comes first on the PATH. MariaDB is often installed under MySQL's names
 * too, so the program is asked what it is.
 */
function mysqlProgram() {
  const wanted = wantedMysql();
  const found = mysqlPrograms().find((program) => wanted === '' || kindOfMysql(program) === wanted);
  // MariaDB is what is installed when there is none; MySQL is not in Debian's stable release.
  if (found === undefined && wanted === 'mysql') raise('CHEEPER_MYSQL is mysql, and there is no mysqld of MySQL on the PATH.');

  return found;
}

/**
 * One question over a fresh connection; false if there is none, or another answer.
 *
 * @param {number} port
 * @param {Kind} kind
 * @returns {Promise<boolean>}
 */
const answers = (port, kind) =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 1000 });
    /** @param {boolean} ready */
    const done = (ready) => {
      socket.destroy();
      resolve(ready);
    };
    socket.once('connect', () => kind.question !== '' && socket.write(kind.question));
    socket.once('data', (answer) => done(kind.isReady(answer)));
    socket.once('timeout', () => done(false));
    socket.once('error', () => done(false));
    socket.once('close', () => done(false));
  });

/** @param {string} _program @param {string} folder */
async function makeFolder(_program, folder) {
  await mkdir(folder, { recursive: true });
}

/**
 * Into a folder of another name first, so that a folder `mysql` is always a whole one.
 *
 * @param {string} program
 * @param {string} folder
 * @param {string} logFile
 */
async function initialiseMysql(program, folder, logFile) {
  if (statSync(folder, { throwIfNoEntry: false }) !== undefined) return expectDataOf(kindOfMysql(program), folder);

  const parent = join(folder, '..');
  for (const name of await readdir(parent)) {
    if (name.startsWith('mysql-unfinished-')) await rm(join(parent, name), { recursive: true, force: true });
  }
  const unfinished = await mkdtemp(join(parent, 'mysql-unfinished-'));
  const options = { logFile, env: { ...process.env, TMPDIR: parent } }; // see mysqlArgs
  const asRoot = process.getuid?.() === 0 ? ['--user=root'] : [];
  const child = isMariadb(program)
    ? launch(
        'mysql',
        findProgram('mariadb-install-db') ?? raise('mariadb-install-db is not installed.'),
        [
          '--no-defaults',
          ...asRoot,
          `--datadir=${unfinished}`,
          '--auth-root-authentication-method=normal',
          '--skip-test-db',
          '--cross-bootstrap', // this machine's name need not be resolvable
        ],
        options,
      )
    : launch(
        'mysql',
        program,
        ['--no-defaults', '--initialize-insecure', ...asRoot, `--datadir=${unfinished}`, '--secure-file-priv=NULL'],
        options,
      );
  const exit = await child.exit;
  if (exit.code !== 0) raise(`mysql could not make its data folder (${describe(exit)}):\n${child.tail()}`);

  await rename(unfinished, folder);
}

/**
 * @param {string} program
 * @param {string} folder
 * @param {number} port
 */
function mysqlArgs(program, folder, port) {
  return [
    '--no-defaults',
    ...(process.getuid?.() === 0 ? ['--user=root'] : []),
    `--datadir=${folder}`,
    // One that starts removes all temporary tables that it finds there: also those of others, if they shared it.
    `--tmpdir=${join(folder, '..')}`,
    '--socket=my.sock', // in the data folder; a longer path might be too long for a socket
    '--pid-file=my.pid',
    '--bind-address=127.0.0.1',
    `--port=${port}`,
    '--max-connections=400',
    '--character-set-server=utf8mb4',
    '--collation-server=utf8mb4_bin',
    '--innodb-flush-log-at-trx-commit=1',
    '--innodb-buffer-pool-size=128M',
    '--server-id=1',
    '--log-bin=binlog',
    '--sync-binlog=1',
    '--max-binlog-size=64M',
    '--binlog-expire-logs-seconds=3600',
    // MySQL's one root is root@localhost, which 127.0.0.1 is only while names are resolved.
    ...(isMariadb(program)
      ? ['--skip-name-resolve', '--binlog-format=ROW', '--innodb-log-file-size=64M']
      : ['--mysqlx=OFF', '--secure-file-priv=NULL']), // else it wants a folder that only a package's installation makes
  ];
}

/** In the order of the PATH; of MariaDB only if all of it is there. */
const mysqlPrograms = () =>
  findPrograms(['mariadbd', 'mysqld']).filter(
    (program) => !isMariadb(program) || ['mariadb-install-db', 'my_print_defaults'].every((name) => findProgram(name) !== undefined),
  );

/** What CHEEPER_MYSQL can choose from here. */
export const installedMysql = () => [...new Set(mysqlPrograms().map(kindOfMysql))];

/** @type {Map<string, 'mysql' | 'mariadb'>} */
const kindsOfMysql = new Map();

/** @param {string} program */
function kindOfMysql(program) {
  const kind = kindsOfMysql.get(program) ?? (String(spawnSync(program, ['--version']).stdout).includes('MariaDB') ? 'mariadb' : 'mysql');
  kindsOfMysql.set(program, kind);

  return kind;
}

/** @param {string} program */
const isMariadb = (program) => kindOfMysql(program) === 'mariadb';

/**
 * Neither can read what the other has made, and says so at length.
 *
 * @param {'mysql' | 'mariadb'} kind
 * @param {string} folder
 */
function expectDataOf(kind, folder) {
  const maker = existsSync(join(folder, 'mysql.ibd')) ? 'mysql' : existsSync(join(folder, 'aria_log_control')) ? 'mariadb' : kind;
  if (maker === kind) return;
  const names = { mysql: 'MySQL', mariadb: 'MariaDB' };
  raise(
    `${folder} was made by ${names[maker]}, and ${names[kind]} cannot read it: set CHEEPER_MYSQL=${maker}, or another CHEEPER_DATA (cheeper backup and restore take all of it there).`,
  );
}

/**
 * @param {string} _program
 * @param {string} folder
 * @param {number} port
 */
function redisArgs(_program, folder, port) {
  const settings = {
    port,
    bind: '127.0.0.1',
    dir: folder,
    appendonly: 'yes',
    appendfsync: 'everysec',
    // A rewrite takes a core from all others: docs/decisions/0013.
    'auto-aof-rewrite-min-size': '1gb',
    rdbcompression: 'no',
    save: '',
    'maxmemory-policy': 'noeviction',
    'zset-max-listpack-entries': 128,
    'zset-max-listpack-value': 64,
  };

  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
}

/** Of those that the kernel does not hand to outgoing connections. @returns {Promise<number>} */
export async function freePort() {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    if (await isFree(port)) return port;
  }
}

/** What was killed a moment ago may need another to let go of its port. @param {number} port */
export async function becomesFree(port) {
  const deadline = Date.now() + portMs;
  while (!(await isFree(port))) {
    if (Date.now() > deadline) return false;
    await sleep(20);
  }

  return true;
}

/** @param {number} port @returns {Promise<boolean>} */
const isFree = (port) =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });

/**
 * A new folder for throw-away data. Its maker is in its name, so those of makers that were killed are removed here.
 */
export async function temporaryFolder() {
  removeAbandonedFolders();

  return mkdtemp(join(tmpdir(), `cheeper-${process.pid}-`));
}

export function removeAbandonedFolders() {
  for (const name of readdirSync(tmpdir())) {
    const maker = /^cheeper-(\d+)-\w{6}$/.exec(name)?.[1];
    if (maker !== undefined && !isAlive(Number(maker))) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

/** @param {number} pid */
export function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

/** @param {string} message @returns {never} */
function raise(message) {
  throw new Failure(message);
}
