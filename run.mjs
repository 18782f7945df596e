/**
 * The commands of this repository, behind `npm start`, `npm test`, and `npm run test:deep`, `test:servers`, `test:faults`, `demo`, `check`,
 * `generate`, `bench` and `cheeper`.
 *
 * What they promise:
 * - They need Node 20 and npm. The packages, Node 24, and on Debian the three servers are fetched when they are missing.
 * - Servers are private: own ports, own data; nothing on the standard ports is used or disturbed.
 * - TERM, HUP or Ctrl-C once stops everything in order, twice at once. However this process ends, by kill -9 too, and
 *   if npm is killed over our head, nothing that it started is left running, and the next start works.
 * - A data folder has one system at a time; a second start says who is there.
 *
 * No dependencies, since it runs before there are any, and in what Node 20 understands.
 */
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Child, describe, isStopping, launch, must, stopAll } from './stack/children.mjs';
import { tryLock } from './stack/lock.mjs';
import { newestServers } from './stack/newest-servers.mjs';
import { Restarts } from './stack/restarts.mjs';
import { prepare } from './stack/prepare.mjs';
import {
  becomesFree,
  freePort,
  isAlive,
  removeAbandonedFolders,
  serverNames,
  startStack,
  temporaryFolder,
  wantedMysql,
} from './stack/stack.mjs';
import { complain, Failure, say, seconds } from './stack/tell.mjs';

/**
 * What `npm run check` runs, with Node 24 and in the checkout: a name, then the arguments.
 *
 * @type {[string, ...string[]][]}
 */
const checks = [
  ['format', 'node_modules/prettier/bin/prettier.cjs', '--check', '.'],
  ['lint', 'node_modules/eslint/bin/eslint.js', '.'],
  ['types', 'node_modules/typescript/bin/tsc', '--noEmit'],
  ['imports', 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs', 'shared', 'write-side', 'read-side', 'gateway', 'cli'],
  ['schema', '--import', '@swc-node/register/esm-register', 'gateway/emit-schema.ts', '--check'],
  ['events', '--import', '@swc-node/register/esm-register', 'write-side/public-events/emit-schemas.ts', '--check'],
  ['operations', 'node_modules/@graphql-codegen/cli/esm/bin.js', '--check'],
];

/** What `npm run generate` runs, one after another: the last reads what the first writes. */
const generators = [
  ['--import', '@swc-node/register/esm-register', 'gateway/emit-schema.ts'],
  ['--import', '@swc-node/register/esm-register', 'write-side/public-events/emit-schemas.ts'],
  ['node_modules/@graphql-codegen/cli/esm/bin.js'],
];

/** The services, in the order in which they are stopped. */
const services = ['gateway', 'write-side', 'read-side'];
const stopOrder = ['test', 'servers', 'demo', 'cheeper', 'bench', 'generate', 'migrations', ...services];

const readyMs = 90_000;
const echoMs = 250;
const root = dirname(fileURLToPath(import.meta.url));
// What one process has compiled is there for the next: services and the operator's command start in two thirds of the time.
process.env['NODE_COMPILE_CACHE'] ??= join(root, 'node_modules/.cache/compiled');

const commands = {
  start,
  test,
  'test:deep': testDeep,
  'test:servers': testServers,
  'test:faults': testFaults,
  demo: () => drive('demo'),
  check,
  generate,
  bench: () => drive('bench'),
  cheeper,
};

/**
 * @typedef {import('./stack/stack.mjs').ServerName} ServerName
 * @typedef {Partial<Record<ServerName, string>>} Urls
 */

// ---- The commands

/** @returns {Promise<number>} */
async function start() {
  const { port, host, dataDir, urls } = settings();
  const address = `http://${host}:${port}/graphql`;
  await claim(dataDir, address);
  rmSync(whereFile(dataDir), { force: true }); // that of the last start
  if (!(await becomesFree(port))) throw new Failure(`Port ${port} is taken. Another one can be given in PORT.`);

  const ours = serverNames.filter((name) => urls[name] === undefined);
  const node = await prepare(ours);
  const { env, health, failed } = await startSystem({ node, dataDir, host, port, urls });
  const where = Object.fromEntries(Object.entries(env).filter(([name]) => whereNames.includes(name)));
  writeFileSync(whereFile(dataDir), JSON.stringify(where), { mode: 0o600 });
  say(
    'Cheeper is ready.',
    `  GraphQL    ${address}`,
    `  WebSocket  ws://${host}:${port}/graphql`,
    `  IDE        http://${host}:${port}/`,
    ...services.map((name) => `  health     ${health[name]}/readyz (${name})`),
    // Those that were given may hold a password; ours have none.
    ...ours.map((name) => `  ${name.padEnd(9)}  ${{ mysql: env.MYSQL_URL, nats: env.NATS_URL, redis: env.REDIS_URL }[name]}`),
    // A mail server's URL may hold a password too.
    `  mail       ${process.env['MAIL_URL'] ? 'to the server in MAIL_URL' : `one file each in ${env.MAIL_FOLDER}`}`,
    `  data       ${dataDir}, logs in ${join(dataDir, 'logs')}`,
  );

  return failed;
}

async function test() {
  return jest(process.argv.slice(3), process.env);
}

/** The tests in `tests/deep`, which take too long for `npm test`. */
async function testDeep() {
  return jest(process.argv.slice(3), { ...process.env, CHEEPER_DEEP: '1' });
}

/** `npm test` on the newest servers that there are, in place of this machine's. */
async function testServers() {
  const programs = await newestServers();
  process.env['PATH'] = `${programs}${delimiter}${process.env['PATH']}`;
  process.env['CHEEPER_MYSQL'] = 'mysql';

  return jest(process.argv.slice(3), process.env);
}

/** All crash points, and 60 faults at random; `--hours N`: everything, again and again; `--seed S`: what a run before has done. */
async function testFaults() {
  const { hours, seed, count } = numbers(process.argv.slice(3), ['hours', 'seed', 'count']);
  const more = {
    FAULTS_COUNT: String(count ?? 60),
    ...(hours === undefined ? {} : { FAULTS_HOURS: String(hours) }),
    ...(seed === undefined ? {} : { FAULTS_SEED: String(seed) }),
  };

  return jest(['tests/faults'], { ...process.env, ...more });
}

/** @param {string[]} args @param {NodeJS.ProcessEnv} env */
async function jest(args, env) {
  const node = await prepare(serverNames, { clocks: true });
  const all = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', ...args];
  const code = exitCode(await launch('test', node, all, { cwd: root, env, terminal: true }).exit);
  removeAbandonedFolders(); // should it have been killed before it could

  return code;
}

/**
 * `--NAME NUMBER`, for each of these names.
 *
 * @param {string[]} args
 * @param {string[]} names
 * @returns {Record<string, number | undefined>}
 */
function numbers(args, names) {
  /** @type {Record<string, number>} */
  const found = {};
  for (let i = 0; i < args.length; i += 2) {
    const name = names.find((one) => args[i] === `--${one}`);
    const value = Number(args[i + 1]);
    if (name === undefined || !(value > 0)) throw new Failure(`The arguments are ${names.map((one) => `--${one} NUMBER`).join(', ')}.`);
    found[name] = value;
  }

  return found;
}

async function check() {
  const node = await prepare([]);
  const waiting = [...checks];
  let failures = 0;

  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [name, ...args] = next;
      const startedAt = Date.now();
      const child = launch(name, node, args, { cwd: root });
      const { code } = await child.exit;
      if (code !== 0) failures++;
      say(`${name.padEnd(10)} ${code === 0 ? 'ok' : 'FAILED'} ${seconds(startedAt)}`);
      if (code !== 0) say(child.tail(200));
    }
  };
  await Promise.all([work(), work()]);

  return failures === 0 ? 0 : 1;
}

async function generate() {
  const node = await prepare([]);
  for (const args of generators) {
    const code = exitCode(await launch('generate', node, args, { cwd: root, terminal: true }).exit);
    if (code !== 0) return code;
  }

  return 0;
}

/**
 * Runs `demo/main.ts` or `bench/main.ts` against CHEEPER_URL, or else against a throw-away system.
 *
 * @param {'demo' | 'bench'} name
 */
async function drive(name) {
  const given = process.env['CHEEPER_URL'];
  const node = await prepare(given ? [] : serverNames);
  const { env, failed } = given ? { env: process.env, failed: new Promise(() => {}) } : await startThrowAway(node);
  const args = ['--import', '@swc-node/register/esm-register', `${name}/main.ts`, ...process.argv.slice(3)];
  const child = launch(name, node, args, { cwd: root, env, terminal: true });

  return Promise.race([child.exit.then(exitCode), failed]);
}

/**
 * The operator's command, on the system that runs on the data folder; or on the servers that are given, if MYSQL_URL is. When
 * nothing runs there, the servers alone are started for as long as the command takes.
 *
 * @returns {Promise<number>}
 */
async function cheeper() {
  const args = process.argv.slice(3);
  const isHelp = args.length === 0 || args.includes('--help') || args.includes('-h');
  const node = await prepare([]);
  const where = process.env['MYSQL_URL'] || isHelp ? {} : await whereItIs(args);
  const child = launch('cheeper', node, ['--import', '@swc-node/register/esm-register', 'cli/main.ts', ...args], {
    cwd: root,
    env: { ...process.env, ...where },
    terminal: true,
  });

  return exitCode(await child.exit);
}

/** @param {string[]} args */
async function whereItIs([name, action]) {
  const { dataDir, urls } = settings();
  if (runsOn(dataDir)) return whereItRuns(dataDir);
  const begins = name === 'restore' || (name === 'journal' && action === 'import');
  const hasData = existsSync(join(dataDir, 'mysql'));
  if (name === 'status' || !(begins || hasData)) {
    throw new Failure(`Cheeper is not running on ${dataDir}: npm start starts it, and MYSQL_URL names another.`);
  }
  await claim(dataDir, `for the command cheeper ${name}`);
  rmSync(whereFile(dataDir), { force: true }); // that of the last start
  await prepare(serverNames.filter((server) => urls[server] === undefined));
  complain('Cheeper is not running: its servers are started for this command.');

  return serverUrls(dataDir, urls, (error) => {
    complain(error.message);
    end(1);
  });
}

// ---- A system: servers, migrations, services

/**
 * @param {{ node: string, dataDir: string, host: string, port: number, urls: Urls }} options
 */
async function startSystem({ node, dataDir, host, port, urls }) {
  /** @type {(error: Error) => void} */
  let fail = () => {};
  /** @type {Promise<never>} */
  const failed = new Promise((_, reject) => {
    fail = reject;
  });
  failed.catch(() => {}); // it is looked at in due course

  const own = { SIGNING_KEY: signingKey(dataDir), MAIL_FOLDER: process.env['MAIL_FOLDER'] || join(dataDir, 'mail') };
  const env = { ...process.env, ...(await serverUrls(dataDir, urls, fail)), ...own };
  const typescript = ['--import', '@swc-node/register/esm-register'];
  const logFile = (/** @type {string} */ name) => join(dataDir, 'logs', `${name}.log`);
  mkdirSync(join(dataDir, 'logs'), { recursive: true });

  await must('migrations', node, [...typescript, 'write-side/migrate.ts'], { cwd: root, env, logFile: logFile('migrations') });

  /** @type {Record<string, string>} */
  const health = {};
  const startService = async (/** @type {string} */ name) => {
    const healthPort = name === 'gateway' ? port : await freePort();
    const ports = name === 'gateway' ? { PORT: String(port) } : { HEALTH_PORT: String(healthPort) };
    const address = `http://${name === 'gateway' ? host : 'localhost'}:${healthPort}`;
    health[name] = address;
    const begin = () =>
      launch(name, node, [...typescript, `${name}/main.ts`], { cwd: root, env: { ...env, ...ports }, logFile: logFile(name) });
    const lastLines = (/** @type {Child} */ service) => `The last lines of ${logFile(name)}:\n${service.tail()}`;
    let service = begin();
    const startedOnce = ready(service, `${address}/readyz`);
    const ended = service.exit.then((exit) => {
      throw new Failure(`${name} did not start (${describe(exit)}). ${lastLines(service)}`);
    });
    await Promise.race([startedOnce, ended]);

    // Each process of the system may be killed at any time, and is started again.
    const keepRunning = async () => {
      const restarts = new Restarts();
      for (restarts.started(); ; restarts.started()) {
        const exit = await service.exit;
        if (isStopping()) return;
        say(`${name} ended unexpectedly (${describe(exit)}); starting it again.`);
        if (!(await restarts.another())) throw new Failure(`${name} does not keep running. ${lastLines(service)}`);
        if (isStopping()) return;
        service = begin();
      }
    };
    keepRunning().catch(fail);
  };
  await Promise.race([Promise.all(services.map(startService)), failed]);

  return { env, health, failed };
}

/**
 * Starts the servers that no URL was given for.
 *
 * @param {string} dataDir
 * @param {Urls} urls
 * @param {(error: Error) => void} giveUp
 */
async function serverUrls(dataDir, urls, giveUp) {
  const servers = serverNames.filter((name) => urls[name] === undefined);
  const stack = await startStack({ dataDir, servers, keepRunning: { report: (line) => say(line), giveUp } });

  return {
    MYSQL_URL: urls.mysql ?? `${stack.mysqlUrl}/cheeper`,
    ...(urls.mysql === undefined && { MYSQL_PASSWORD: '' }), // ours has none
    NATS_URL: urls.nats ?? stack.natsUrl,
    REDIS_URL: urls.redis ?? stack.redisUrl,
  };
}

/** @param {string} node */
async function startThrowAway(node) {
  const dataDir = await temporaryFolder();
  throwAway.push(dataDir);
  const port = await freePort();
  say('Starting a throw-away system …');
  const { env, failed } = await startSystem({ node, dataDir, host: 'localhost', port, urls: {} });

  return { env: { ...env, CHEEPER_URL: `http://127.0.0.1:${port}` }, failed };
}

/**
 * @param {Child} service
 * @param {string} url
 */
async function ready(service, url) {
  const deadline = Date.now() + readyMs;
  let answer = 'it does not answer';
  for (;;) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
      if (response.ok) return;
      answer = `${response.status} ${await response.text()}`;
    } catch {
      // It does not listen yet.
    }
    if (Date.now() > deadline) {
      throw new Failure(`${service.name} is not ready after ${readyMs / 1000} s: ${answer}\nThe last lines of its log:\n${service.tail()}`);
    }
    await sleep(50);
  }
}

// ---- Settings and the data folder

function settings() {
  const { PORT, HOST, CHEEPER_DATA, MYSQL_URL, NATS_URL, REDIS_URL } = process.env;
  const port = Number(PORT || 4000);
  wantedMysql(); // throws for what it does not know
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new Failure(`PORT must be a number from 1 to 65535, not ${PORT}.`);

  return {
    port,
    host: !HOST || HOST === '0.0.0.0' || HOST === '::' ? 'localhost' : HOST,
    dataDir: dataFolder(resolve(CHEEPER_DATA || join(root, 'data'))),
    urls: {
      mysql: url('MYSQL_URL', MYSQL_URL, /^mysql:\/\/[^/\s]+\/[^/?\s]+(\?\S*)?$/, 'mysql://user:password@host:3306/database'),
      nats: url('NATS_URL', NATS_URL, /^(nats|tls):\/\/\S+$/, 'nats://host:4222'),
      redis: url('REDIS_URL', REDIS_URL, /^rediss?:\/\/\S+$/, 'redis://host:6379'),
    },
  };
}

/**
 * @param {string} name
 * @param {string | undefined} value
 * @param {RegExp} shape
 * @param {string} example
 */
function url(name, value, shape, example) {
  if (!value) return undefined;
  if (!shape.test(value)) throw new Failure(`${name} must look like ${example}.`);

  return value;
}

/** @param {string} path */
function dataFolder(path) {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });

    return realpathSync(path);
  } catch (error) {
    throw new Failure(`CHEEPER_DATA, ${path}, can't be a folder: ${/** @type {Error} */ (error).message}.`);
  }
}

/**
 * One system a data folder. The lock is the kernel's, on a file that we keep open, so it ends with this process; the
 * text in the file is only for people.
 *
 * @param {string} dataDir
 * @param {string} address
 */
async function claim(dataDir, address) {
  const file = join(dataDir, 'running');
  const fd = openSync(file, 'a+', 0o600);
  if (await tryLock(fd)) {
    ftruncateSync(fd);
    writeSync(fd, `pid ${process.pid}, ${address}`);

    return;
  }

  let holder = readFileSync(file, 'utf8');
  for (let tries = 0; tries < 20 && !isAlive(Number(holder.match(/\d+/)?.[0])); tries++) {
    await sleep(50); // who has just got the lock has not yet written its name over that of the one before
    holder = readFileSync(file, 'utf8');
  }
  throw new Failure(`Cheeper is already running on ${dataDir}: ${holder}`);
}

/** Settings by which others find the system that runs on a data folder. */
const whereNames = ['MYSQL_URL', 'MYSQL_PASSWORD', 'NATS_URL', 'REDIS_URL', 'NAMESPACE', 'LANES', 'SHARDS', 'HOT_FOLLOWERS'];

/** For its owner alone: URLs that were given may hold a password. @param {string} dataDir */
const whereFile = (dataDir) => join(dataDir, 'where.json');

/** Not asked of the lock: who tries it has it for a moment, and a start would find it taken. @param {string} dataDir */
function runsOn(dataDir) {
  const file = join(dataDir, 'running');

  return existsSync(file) && isAlive(Number(readFileSync(file, 'utf8').match(/\d+/)?.[0]));
}

/**
 * @param {string} dataDir
 * @returns {Record<string, string>}
 */
function whereItRuns(dataDir) {
  if (!existsSync(whereFile(dataDir))) {
    throw new Failure(
      `Cheeper is starting on ${dataDir}, or another command has it: ${readFileSync(join(dataDir, 'running'), 'utf8')}. Try again.`,
    );
  }

  return JSON.parse(readFileSync(whereFile(dataDir), 'utf8'));
}

/** Kept in the data folder, so that tokens outlive a restart. @param {string} dataDir */
function signingKey(dataDir) {
  if (process.env['SIGNING_KEY']) return process.env['SIGNING_KEY'];

  const file = join(dataDir, 'signing-key');
  if (!existsSync(file)) {
    writeFileSync(`${file}.new`, randomBytes(32).toString('base64url'), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  return readFileSync(file, 'utf8').trim();
}

// ---- Small things

/** @param {import('./stack/children.mjs').Exit} exit */
const exitCode = ({ code, signal }) => code ?? 128 + constants.signals[signal ?? 'SIGKILL'];

// ---- The end, and what leads to it

/** @type {string[]} */
const throwAway = [];
/** @type {Promise<void> | undefined} */
let ending;
let signalledAt = 0;

/** Stops everything in order, then exits. Only the first call counts. @param {number} code */
function end(code) {
  ending ??= stopAll(stopOrder).then(() => {
    for (const folder of throwAway) rmSync(folder, { recursive: true, force: true });
    setImmediate(() => process.exit(code)); // after those who waited for what was stopped, and clean up too
  });
}

/** @param {NodeJS.Signals} signal */
function onSignal(signal) {
  const code = 128 + constants.signals[signal];
  if (signalledAt === 0) {
    signalledAt = Date.now();
    if (ending === undefined) say('Stopping …');
    end(process.argv[2] === 'start' ? 0 : code);
  } else if (Date.now() - signalledAt > echoMs) {
    Child.killAll();
    process.exit(code);
  } // else it is the same Ctrl-C: npm passes on what the terminal has told us already
}

/** npm passes on signals, but not that it was killed. */
function endWithParent() {
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && end(1), echoMs).unref();
}

async function main() {
  const command = Object.entries(commands).find(([name]) => name === process.argv[2])?.[1];
  if (command === undefined) {
    complain(`Usage: node run.mjs ${Object.keys(commands).join('|')} [arguments]`);
    process.exit(2);
  }

  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}); // the terminal may go before us
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, onSignal);
  if (process.env['npm_lifecycle_event'] !== undefined) endWithParent();

  try {
    end(await command());
  } catch (error) {
    if (!isStopping()) complain(error instanceof Failure ? error.message : String(/** @type {Error} */ (error).stack));
    end(1);
  }
}

await main();
