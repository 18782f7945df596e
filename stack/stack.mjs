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
 * - The data folder may have any name: each server runs in its own part of it, and is told relative paths alone. (A colon separates
 *   folders for MySQL, quotes mean something to Redis, mariadb-install-db stumbles over spaces, and a socket's path has 107 bytes.)
 * - What Redis and NATS hold can be made again from MySQL's journal. With `keepRunning`, data that one of these can't read are set
 *   aside, and it begins with none. MySQL's are left as they are, whatever is wrong with them.
 * - MySQL is as durable as in production: without `sync_binlog` a commit may be seen before it would survive a crash.
 *
 * - Who has an account on this machine gets into none of them: each start makes new passwords. They are in files that their server alone can
 *   read, and never in a command line, which everybody can. No client reads or writes files through a server.
 * - Servers that root starts run as another user (`users.mjs`), who has their folders and nothing else. Folders that root had made before
 *   become that user's, and accounts without passwords get theirs, before anybody can connect.
 *
 * No dependencies; Node 20 and later.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { existsSync, readdirSync, readFileSync, statSync, watch } from 'node:fs';
import { connect, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { reachable } from './address.mjs';
import { describe, findProgram, findPrograms, isStopping, launch } from './children.mjs';
import { Restarts } from './restarts.mjs';
import { complain, Failure } from './tell.mjs';
import { canMount, canReach, give, inItsOwnPlace, letThrough, serverUser } from './users.mjs';

export { isAlive, removeAbandonedFolders, temporaryFolder } from './folders.mjs';

/**
 * @typedef {import('./children.mjs').Child} Child
 * @typedef {'mysql' | 'nats' | 'redis'} ServerName
 *
 * @typedef {import('./users.mjs').User} User
 *
 * @typedef {object} Place Where a server runs, and as whom.
 * @property {ServerName} name
 * @property {string} program
 * @property {string} folder
 * @property {string} host
 * @property {number} port
 * @property {string} logFile
 * @property {User | undefined} user another than we are
 * @property {boolean} isHidden the user cannot get to the folder by its name
 * @property {string} password
 * @property {string} rootPassword of MySQL's administrator
 *
 * @typedef {object} Kind What there is to know about one server.
 * @property {() => string | undefined} program the server's path, if all that it needs is installed
 * @property {string[]} packages Debian's packages that hold it
 * @property {(place: Place, at: string) => string} url at a host and port
 * @property {(place: Place) => Promise<void>} prepare makes its folder, with the passwords in it
 * @property {(place: Place) => string[]} args in its folder
 * @property {string} [passwordsOnce] a file in its folder that it needs no more when it has started
 * @property {(place: Place) => string} question what to say to it, when it doesn't speak first
 * @property {(answer: Buffer) => boolean | undefined} isReady undefined until there is more of the answer
 * @property {string} [cannotLose] a folder in its own without which it runs, but stores nothing any more until it is started again
 * @property {boolean} [isMadeAgain] what it holds is made again by the services when it has lost all
 * @property {(folder: string) => string | undefined} [damage] what is wrong with its data, and does not keep it from starting
 * @property {(place: Place) => Promise<string | undefined>} [loss] the same, as it shows when it has started
 *
 * @typedef {object} KeepRunning
 * @property {(line: string) => void} report
 * @property {(error: Error) => void} giveUp
 *
 * @typedef {object} StackOptions
 * @property {string} dataDir
 * @property {ServerName[]} [servers] all three by default
 * @property {Partial<Record<ServerName, number>>} [ports] free ones by default
 * @property {string} [host] the address at which they listen; 127.0.0.1 by default
 * @property {Partial<Record<ServerName, string[]>>} [args] more of them
 * @property {KeepRunning} [keepRunning] a server that ends unexpectedly is started again
 * @property {boolean} [asStarter] as the user who starts them, root too: for a test that gives them files of its own
 */

/** @type {ServerName[]} */
export const serverNames = ['mysql', 'nats', 'redis'];

const readyMs = 60_000;
const portMs = 1_000;
const PASSWORD_BYTES = 16;
/** The services' name, for MySQL and NATS. */
const USER = 'cheeper';
/** The databases that are that user's, as a pattern of MySQL's. */
const DATABASES = 'cheeper%';

const MYSQL_ACCOUNTS = '.accounts.sql';
/** A database for whoever lists the folder, but for the dot. */
const MYSQL_TMP = '.tmp';
/** Where statements may read and write files. MariaDB knows no way to say nowhere, so it is a folder with nothing in it. */
const MYSQL_FILES = '.files';
const NATS_CONFIG = 'nats.conf';
/** Not its configuration: Redis takes the name of that for a pattern, with that of the folder. */
const REDIS_USERS = 'users.acl';

/** @type {Record<ServerName, Kind>} */
const kinds = {
  mysql: {
    program: mysqlProgram,
    packages: ['mariadb-server-core', 'mariadb-client-core'],
    url: ({ rootPassword }, at) => `mysql://root:${rootPassword}@${at}`,
    prepare: prepareMysql,
    args: mysqlArgs,
    passwordsOnce: MYSQL_ACCOUNTS,
    question: () => '',
    isReady: (answer) => answer[4] === 10, // the protocol's version; a refusal has 255 there
  },
  nats: {
    program: () => findProgram('nats-server'),
    packages: ['nats-server'],
    url: ({ password }, at) => `nats://${USER}:${password}@${at}`,
    prepare: prepareNats,
    args: ({ host, port }) => ['-c', NATS_CONFIG, '-js', '-a', host, '-p', String(port), '-sd', '.'],
    question: () => '',
    isReady: (answer) => answer.toString().startsWith('INFO '),
    cannotLose: 'jetstream',
    isMadeAgain: true,
    loss: lossOfNats,
  },
  redis: {
    program: () => findProgram('redis-server') ?? findProgram('valkey-server'),
    packages: ['redis-server'],
    url: ({ password }, at) => `redis://:${password}@${at}`,
    prepare: prepareRedis,
    args: redisArgs,
    question: ({ password }) => `AUTH ${password}\r\nPING\r\n`,
    // While it loads its data it says -LOADING.
    isReady: (answer) => (answer.toString() === '+OK\r\n' ? undefined : answer.toString().startsWith('+OK\r\n+PONG')),
    isMadeAgain: true,
    damage: damageOfRedis,
  },
};

/**
 * @param {StackOptions} options
 */
export async function startStack({
  dataDir,
  servers = serverNames,
  ports = {},
  host = '127.0.0.1',
  args = {},
  keepRunning,
  asStarter = false,
}) {
  /** @type {Partial<Record<ServerName, Server>>} */
  const running = {};
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const user = asStarter ? undefined : serverUser(dataDir);
  if (user !== undefined) letThrough(user, dataDir);
  for (const name of servers) running[name] = new Server(name, dataDir, host, ports[name], user, keepRunning, args[name]);
  const all = Object.values(running);
  complainOfRoot(all, user);

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
    /** Of root, who may do everything. Without a database's name, as the next. */
    get mysqlUrl() {
      return the('mysql').url;
    },
    /** Of a user whose databases are those whose names begin with `cheeper`, and who may do nothing else. */
    get serviceMysqlUrl() {
      const { password, at } = the('mysql');

      return `mysql://${USER}:${password}@${at}`;
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

/**
 * One line for each path, not for each server: the data folder is the same for all.
 *
 * @param {Server[]} servers
 * @param {User | undefined} user
 */
function complainOfRoot(servers, user) {
  for (const path of new Set(servers.map(({ outOfReach }) => outOfReach))) {
    if (path === undefined) continue;
    const names = servers.filter(({ outOfReach }) => outOfReach === path).map(({ name }) => name);
    complain(`Run as root: ${names.join(', ')}. The user that they would run as (${user?.uid}) cannot reach ${path}.`);
  }
}

/** @param {PromiseSettledResult<void>} result @returns {result is PromiseRejectedResult} */
const isRejected = (result) => result.status === 'rejected';

/** A server has ended before it could answer. */
class EndedEarly extends Failure {
  /**
   * @param {string} name
   * @param {import('./children.mjs').Exit} exit
   * @param {string} tail the last lines of its log
   * @param {string} [kept] its data folder, when that is said to be left as it is
   */
  constructor(name, exit, tail, kept) {
    super(`${name} ended (${describe(exit)})${kept === undefined ? '' : `; its data in ${kept} are left as they are`}:\n${tail}`);
    const words = tail.split('\n').map((line) => line.replace(/^.*? (\[\w+\]|[#*]) /, ''));
    /** The first of its last words that tells of something bad, without the time. */
    this.reason =
      exit.signal ?? words.find((line) => /error|bad|fatal|wrong|can't|unable|invalid|format/i.test(line)) ?? words.at(-1) ?? '';
    const wasTold = exit.signal !== null && !/^SIG(ABRT|BUS|FPE|ILL|SEGV)$/.test(exit.signal);
    /** Not so when it was told to end, or lacks something that has nothing to do with them. */
    this.mayBeItsData = exit.code !== 0 && !wasTold && !OTHER_CAUSES.test(tail);
  }
}

const OTHER_CAUSES =
  /address already in use|no space left|disk quota|out of memory|cannot allocate|too many open files|read-only file system|permission denied|Received SIG/i;
/** Between the name of a server and the time, in the name of a folder. */
const DAMAGED = '-damaged-';
const MAX_SET_ASIDE = 2;

class Server {
  /** @type {Child | undefined} */
  #child;
  /** It is gone because we wanted it so. */
  #meantToStop = false;
  #restarts = new Restarts();
  #kind;

  /**
   * @param {ServerName} name
   * @param {string} dataDir
   * @param {string} host
   * @param {number | undefined} fixedPort
   * @param {User | undefined} user
   * @param {KeepRunning | undefined} keepRunning
   * @param {string[]} [moreArgs]
   */
  constructor(name, dataDir, host, fixedPort, user, keepRunning, moreArgs = []) {
    this.name = name;
    this.host = host;
    this.port = fixedPort ?? 0;
    this.fixedPort = fixedPort;
    this.keepRunning = keepRunning;
    this.moreArgs = moreArgs;
    this.program = programOf(name);
    this.password = randomBytes(PASSWORD_BYTES).toString('hex');
    this.rootPassword = randomBytes(PASSWORD_BYTES).toString('hex');
    this.#kind = kinds[name];
    this.folder = join(dataDir, name);
    this.logFile = join(dataDir, 'logs', `${name}.log`);
    this.isHidden = user !== undefined && !canReach(user, dataDir);
    /** Why the server runs as root all the same. */
    this.outOfReach = user && !canReach(user, this.program) ? this.program : this.isHidden && !canMount() ? dataDir : undefined;
    this.user = this.outOfReach === undefined ? user : undefined;
  }

  /** Its host and port, as in a URL. */
  get at() {
    return `${reachable(this.host, []).inUrl}:${this.port}`;
  }

  get url() {
    return this.#kind.url(this, this.at);
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
    await rm(this.folder, { recursive: true, force: true });
  }

  tail() {
    return this.#child?.tail() ?? '';
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    this.#child?.signal(signal);
  }

  /** With the data that are there; when it can't read them, and they can be made again, with none. */
  async #launch() {
    const damage = this.keepRunning && this.#kind.damage?.(this.folder);
    if (damage !== undefined) return this.#beginWithout(damage);
    try {
      await this.#begin();
    } catch (error) {
      const isDamaged = error instanceof EndedEarly && error.mayBeItsData && existsSync(this.folder);
      if (!isDamaged || !this.#kind.isMadeAgain || this.keepRunning === undefined || isStopping()) throw error;
      return this.#beginWithout(error.reason, error);
    }
    const loss = this.keepRunning && (await this.#kind.loss?.(this));
    if (loss === undefined) return;
    await this.stop();
    await this.#beginWithout(loss);
  }

  /**
   * Whether it was the data is seen when it begins with none. If it can't do that either, they are put back.
   *
   * @param {string} reason
   * @param {EndedEarly} [cause] what it failed with before
   */
  async #beginWithout(reason, cause) {
    const aside = `${this.folder}${DAMAGED}${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
    await rename(this.folder, aside);
    try {
      await this.#begin();
    } catch (error) {
      await this.kill();
      await rm(this.folder, { recursive: true, force: true });
      await rename(aside, this.folder);
      throw cause ?? error;
    }
    this.keepRunning?.report(
      `${this.name} could not read its data (${reason}). They are kept in ${aside}; it begins with none, and gets them again from MySQL.`,
    );
    const others = (await readdir(dirname(aside))).filter((name) => name.startsWith(`${this.name}${DAMAGED}`)).sort();
    for (const name of others.slice(0, -MAX_SET_ASIDE)) await rm(join(dirname(aside), name), { recursive: true, force: true });
  }

  async #begin() {
    await makeFolder(dirname(this.logFile));
    await this.#kind.prepare(this);

    if ((await becomesFree(this.port)) !== undefined) raise(`${this.name} can't have port ${this.port}: address already in use.`);
    this.#meantToStop = false;
    const args = [...this.#kind.args(this), ...this.moreArgs];
    const child = launchAt(this, this.folder, this.program, args);
    this.#child = child;
    // A TERM that reaches mariadbd while it starts is swallowed, and it starts all the same. It survives a KILL at any time.
    child.stopSignal = 'SIGKILL';
    await this.#answered(child);
    child.stopSignal = 'SIGTERM';
    if (this.#kind.passwordsOnce !== undefined) await rm(join(this.folder, this.#kind.passwordsOnce), { force: true });
    this.#restarts.started();
    void child.exit.then(() => this.#ended(child));
    if (this.#kind.cannotLose !== undefined && this.keepRunning !== undefined) this.#watch(child, this.#kind.cannotLose);
  }

  /** @param {Child} child @param {string} cannotLose */
  #watch(child, cannotLose) {
    let isLost = false;
    const look = () => {
      isLost ||= !existsSync(join(this.folder, cannotLose));
      if (!isLost) return;
      watcher?.close();
      if (this.#meantToStop || !child.running) return;
      this.keepRunning?.report(`${this.name} has lost its data folder, and must begin with an empty one.`);
      void child.kill();
    };
    /** @type {import('node:fs').FSWatcher | undefined} */
    let watcher;
    try {
      watcher = watch(this.folder, look);
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
    while (this.#isPortOfAnother() || !(await answers(this, this.#kind))) {
      if (this.#isPortOfAnother()) {
        await child.kill();
        raise(`${this.name} can't have port ${this.port}: address already in use by another user.`);
      }
      if (!child.running)
        throw new EndedEarly(this.name, await child.exit, child.tail(20), this.#kind.isMadeAgain ? undefined : this.folder);
      if (Date.now() > deadline) {
        await child.kill();
        raise(`${this.name} does not answer:\n${child.tail()}`);
      }
      await sleep(10);
    }
  }

  /** Who listens there in its place would be told its password. */
  #isPortOfAnother() {
    const ours = this.user?.uid ?? process.getuid?.();

    return listenersAt(this.port).some((uid) => uid !== ours);
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
 * @param {Place} place
 * @param {Kind} kind
 * @returns {Promise<boolean>}
 */
const answers = (place, kind) =>
  new Promise((resolve) => {
    const { host, port } = place;
    const question = kind.question(place);
    let answer = Buffer.alloc(0);
    const socket = connect({ host, port, timeout: 1000 });
    /** @param {boolean} ready */
    const done = (ready) => {
      socket.destroy();
      resolve(ready);
    };
    socket.once('connect', () => question !== '' && socket.write(question));
    socket.on('data', (data) => {
      answer = Buffer.concat([answer, data]);
      const ready = kind.isReady(answer);
      if (ready !== undefined) done(ready);
    });
    socket.once('timeout', () => done(false));
    socket.once('error', () => done(false));
    socket.once('close', () => done(false));
  });

const LISTENS = '0A';

/**
 * The users whose sockets listen at a port, at any address; none where the system does not say so.
 *
 * @param {number} port
 */
function listenersAt(port) {
  const tables = ['/proc/net/tcp', '/proc/net/tcp6'].filter((path) => existsSync(path));
  const ending = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const sockets = tables.flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/)),
  );

  return sockets.filter(([, local, , state]) => state === LISTENS && local?.endsWith(ending)).map((fields) => Number(fields[7]));
}

/** What a server's own processes need of our environment; there are keys in the rest of it. */
const OF_THE_ENVIRONMENT = /^(PATH|TZ|LANG|LC_\w+|LD_\w+|GO\w+)$/;

/**
 * A process of a server.
 *
 * @param {Place} place
 * @param {string} cwd
 * @param {string} program
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [more] of its environment
 */
function launchAt({ name, logFile, user, isHidden }, cwd, program, args, more = {}) {
  const ours = Object.entries(process.env).filter(([variable]) => OF_THE_ENVIRONMENT.test(variable));
  const options = { cwd, logFile, env: { ...Object.fromEntries(ours), ...more } };
  if (user === undefined) return launch(name, program, args, options);
  if (!isHidden) return launch(name, program, args, { ...options, user });

  return launch(name, ...inItsOwnPlace(user, program, args), options);
}

/**
 * For its owner alone.
 *
 * @param {string} folder
 */
async function makeFolder(folder) {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
}

/**
 * What the server alone can read. It is written only if it says something else, so that a server can be started again on a disk that is
 * full.
 *
 * @param {Place} place
 * @param {string} name
 * @param {string} text
 */
async function writeSecret({ folder, user }, name, text) {
  const path = join(folder, name);
  if ((await readFile(path, 'utf8').catch(() => undefined)) === text) return;
  await rm(path, { force: true });
  const file = await open(path, 'wx', 0o600); // of this name there is nothing, and no link to elsewhere
  try {
    await file.writeFile(text);
    if (user !== undefined) await file.chown(user.uid, user.gid);
  } finally {
    await file.close();
  }
}

/** Streams that are copies of the journal: nothing is taken out of their middle. */
const COPIES = /_(EVENTS|PUBLIC)_[^/]+/;

/**
 * Makes the folder, and removes the indexes of the streams in it that copy the journal.
 *
 * NATS trusts its indexes. It reads a file only when a consumer needs a message of it, and then skips the rest of a damaged file without
 * reporting it. Without indexes NATS reads all files at its start (some seconds for a GB), and reports what it has lost. The index of the
 * stream of commands is kept, because nothing else has the number of commands so far.
 *
 * @param {Place} place
 */
async function prepareNats(place) {
  const { folder, password, user } = place;
  await makeFolder(folder);
  give(user, folder);
  await writeSecret(place, NATS_CONFIG, `authorization { user: "${USER}", password: "${password}" }\n`);
  const isIndex = new RegExp(`${COPIES.source}/msgs/(\\d+\\.(idx|fss)|index\\.db)$`);
  const streams = join(folder, 'jetstream', '$G', 'streams');
  if (!statSync(streams, { throwIfNoEntry: false })?.isDirectory()) return;
  for (const path of await readdir(streams, { recursive: true })) {
    if (isIndex.test(path)) await rm(join(streams, path), { force: true });
  }
}

/**
 * Whether a stream that copies the journal lacks messages in its middle. NATS runs without them, but a consumer may wait for ever before
 * the gap.
 *
 * @param {Place} place
 * @returns {Promise<string | undefined>}
 */
async function lossOfNats(place) {
  const { streams } = await askNats(place, 'STREAM.NAMES', '{}');
  for (const name of (streams ?? []).filter((one) => COPIES.test(one))) {
    const { state } = await askNats(place, `STREAM.INFO.${name}`, '{"deleted_details":true}');
    const isHoled = state && state.messages > 0 && state.messages !== state.last_seq - state.first_seq + 1;
    if (isHoled || state?.lost) return `the stream ${name} has lost messages`;
  }

  return undefined;
}

/**
 * Sends one request to JetStream's API. Returns {} if no answer comes: the services will notice when they connect.
 *
 * @param {Place} place
 * @param {string} subject
 * @param {string} question
 * @returns {Promise<{ streams?: string[], state?: { messages: number, first_seq: number, last_seq: number, lost?: object } }>}
 */
function askNats({ host, port, password }, subject, question) {
  const login = JSON.stringify({ verbose: false, user: USER, pass: password });

  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host, port, timeout: 5000 });
    socket.setEncoding('latin1'); // lengths are bytes
    socket.once('connect', () =>
      socket.write(`CONNECT ${login}\r\nSUB answer 1\r\nPUB $JS.API.${subject} answer ${question.length}\r\n${question}\r\n`),
    );
    socket.on('data', (data) => {
      text += data;
      const head = /\r\nMSG answer 1 (\d+)\r\n/.exec(text);
      const body = head && text.slice(head.index + head[0].length, head.index + head[0].length + Number(head[1]));
      if (!head || !body || body.length < Number(head[1])) return;
      socket.destroy();
      resolve(JSON.parse(body));
    });
    for (const event of ['timeout', 'error', 'close']) {
      socket.once(event, () => {
        socket.destroy();
        resolve({});
      });
    }
  });
}

/** @param {Place} place */
async function prepareMysql(place) {
  const { program, folder, user } = place;
  if (statSync(folder, { throwIfNoEntry: false }) === undefined) await initialiseMysql(place);
  else expectDataOf(kindOfMysql(program), folder);
  await makeFolder(folder);
  for (const name of [MYSQL_TMP, MYSQL_FILES]) {
    // Not what MySQL may have put there in its place: a link, at whose end we would make a folder.
    await rm(join(folder, name), { recursive: true, force: true });
    await mkdir(join(folder, name), { mode: 0o700 });
  }
  give(user, folder);
  await writeSecret(place, MYSQL_ACCOUNTS, mysqlAccounts(place));
}

/**
 * Into a folder of another name first, so that a folder `mysql` is always a whole one.
 *
 * @param {Place} place
 */
async function initialiseMysql(place) {
  const { program, folder, user } = place;
  const parent = join(folder, '..');
  for (const name of await readdir(parent)) {
    if (name.startsWith('mysql-unfinished-')) await rm(join(parent, name), { recursive: true, force: true });
  }
  const unfinished = await mkdtemp(join(parent, 'mysql-unfinished-'));
  await makeFolder(join(unfinished, MYSQL_TMP));
  give(user, unfinished);
  const common = ['--no-defaults', ...asRoot(place), '--datadir=./'];
  const [maker, args] = isMariadb(program)
    ? [
        findProgram('mariadb-install-db') ?? raise('mariadb-install-db is not installed.'),
        // This machine's name need not be resolvable.
        [...common, '--auth-root-authentication-method=normal', '--skip-test-db', '--cross-bootstrap'],
      ]
    : [program, [...common, '--initialize-insecure', '--secure-file-priv=NULL']];
  const child = launchAt(place, unfinished, maker, args, { TMPDIR: MYSQL_TMP });
  const exit = await child.exit;
  if (exit.code !== 0) raise(`mysql could not make its data folder (${describe(exit)}):\n${child.tail()}`);

  await rename(unfinished, folder);
}

/** They refuse to run as root unless told to. @param {Place} place */
const asRoot = ({ user }) => (user === undefined && process.getuid?.() === 0 ? ['--user=root'] : []);

/**
 * What MySQL runs at each start, before anybody can connect: so it does not matter whether a folder is new, of a release whose root had no
 * password, or what of this was done when it was killed.
 *
 * @param {Place} place
 */
function mysqlAccounts({ password, rootPassword }) {
  const roots = ['localhost', '127.0.0.1', '::1'].map((host) => `'root'@'${host}'`);

  return [
    'SET SESSION sql_log_bin = 0, group_concat_max_len = 1000000',
    // MySQL makes the first of them; MariaDB all of these, another with the machine's name, and in old releases some without any.
    `CREATE USER IF NOT EXISTS ${[...roots, `'${USER}'@'%'`].join(', ')}`,
    `ALTER USER ${[...roots.map((root) => `${root} IDENTIFIED BY '${rootPassword}'`), `'${USER}'@'%' IDENTIFIED BY '${password}'`].join(', ')}`,
    `SET @others = (SELECT GROUP_CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.user
      WHERE User = '' OR User = 'root' AND Host NOT IN ('localhost', '127.0.0.1', '::1'))`.replaceAll(/\s+/g, ' '),
    "SET @statement = COALESCE(CONCAT('DROP USER ', @others), 'DO 0')",
    'PREPARE statement FROM @statement',
    'EXECUTE statement',
    `GRANT ALL PRIVILEGES ON *.* TO ${roots.join(', ')} WITH GRANT OPTION`,
    `GRANT ALL PRIVILEGES ON \`${DATABASES}\`.* TO '${USER}'@'%'`,
  ]
    .map((statement) => `${statement};\n`)
    .join('');
}

/** @param {Place} place */
function mysqlArgs(place) {
  const { program, host, port } = place;

  return [
    '--no-defaults',
    ...asRoot(place),
    '--datadir=./',
    // One that starts removes all temporary tables that it finds there: also those of others, if they shared it.
    `--tmpdir=${MYSQL_TMP}`,
    `--init-file=${MYSQL_ACCOUNTS}`,
    '--local-infile=0',
    '--socket=my.sock',
    '--pid-file=my.pid',
    `--bind-address=${host}`,
    `--port=${port}`,
    '--skip-name-resolve',
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
    ...(isMariadb(program)
      ? [`--secure-file-priv=${MYSQL_FILES}`, '--binlog-format=ROW', '--innodb-log-file-size=64M']
      : ['--secure-file-priv=NULL', '--mysqlx=OFF']),
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

/** @param {Place} place */
async function prepareRedis(place) {
  const { folder, password, user } = place;
  await makeFolder(folder);
  give(user, folder);
  await writeSecret(place, REDIS_USERS, `user default on >${password} ~* &* +@all\n`);
}

/** @param {Place} place */
function redisArgs({ host, port }) {
  const settings = {
    port,
    bind: host,
    aclfile: REDIS_USERS,
    dir: '.',
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

/**
 * Redis takes append-only files without a manifest for none, and an empty base for one of nothing, on which it plays what came after.
 *
 * @param {string} folder
 */
function damageOfRedis(folder) {
  const files = join(folder, 'appendonlydir');
  if (!statSync(files, { throwIfNoEntry: false })?.isDirectory()) return undefined; // what Redis can't read, it says
  const sizes = new Map(readdirSync(files).map((name) => [name, statSync(join(files, name), { throwIfNoEntry: false })?.size ?? 0]));
  const manifest = [...sizes.keys()].find((name) => name.endsWith('.manifest'));
  // What it makes at its very first start, before there is a manifest, has some hundred bytes.
  if (manifest === undefined) return [...sizes.values()].some((size) => size > 1024) ? 'the append-only files have no manifest' : undefined;
  try {
    const base = /^file (\S+) seq \d+ type b/m.exec(readFileSync(join(files, manifest), 'utf8'))?.[1] ?? '';

    return sizes.get(base) === 0 ? `${base} is empty` : undefined;
  } catch (error) {
    return /** @type {Error} */ (error).message;
  }
}

/** Of those that the kernel does not hand to outgoing connections. @returns {Promise<number>} */
export async function freePort() {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    if ((await listenError(port)) === undefined) return port;
  }
}

/**
 * What was killed a moment ago may need another to let go of its port.
 *
 * @param {number} port
 * @param {string} [host] all addresses by default
 * @returns {Promise<NodeJS.ErrnoException | undefined>} why nobody can listen there
 */
export async function becomesFree(port, host) {
  const deadline = Date.now() + portMs;
  for (;;) {
    const error = await listenError(port, host);
    if (error?.code !== 'EADDRINUSE' || Date.now() > deadline) return error;
    await sleep(20);
  }
}

/** @param {number} port @param {string} [host] @returns {Promise<NodeJS.ErrnoException | undefined>} */
const listenError = (port, host) =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ port, host }, () => server.close(() => resolve(undefined)));
  });

/** @param {string} message @returns {never} */
function raise(message) {
  throw new Failure(message);
}
