/**
 * The commands of this repository, behind `npm start`, `npm test`, and `npm run test:deep`, `test:attacks`, `test:servers`, `test:faults`, `demo`, `check`,
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
  chmodSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { get } from 'node:http';
import { isIP, isIPv4 } from 'node:net';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { addressesOfLocalhost, reachable, withoutBrackets } from './stack/address.mjs';
import { Child, describe, isStopping, launch, must, stopAll } from './stack/children.mjs';
import { credentialsOfGiven, lineForEnvFile, readFilesOf } from './stack/environment.mjs';
import { dataFolder, isAlive, removeAbandonedFolders, temporaryFolder, temporaryRoot } from './stack/folders.mjs';
import { tryLock } from './stack/lock.mjs';
import { newestServers } from './stack/newest-servers.mjs';
import { Restarts } from './stack/restarts.mjs';
import { prepare } from './stack/prepare.mjs';
import { becomesFree, freePort, serverNames, startStack, wantedMysql } from './stack/stack.mjs';
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
  ['client', 'node_modules/typescript/bin/tsc', '--noEmit', '-p', 'client'],
  ['imports', 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs', 'shared', 'write-side', 'read-side', 'gateway', 'cli', 'client'],
  ['schema', '--import', '@swc-node/register/esm-register', 'gateway/emit-schema.ts', '--check'],
  ['contract', 'tests/compare-schema.mjs'],
  ['events', '--import', '@swc-node/register/esm-register', 'write-side/public-events/emit-schemas.ts', '--check'],
  ['operations', 'node_modules/@graphql-codegen/cli/esm/bin.js', '--check'],
  ['manifest', '--import', '@swc-node/register/esm-register', 'client/emit/persisted-documents.ts', '--check'],
];

/** What `npm run generate` runs, one after another: some read what others before them write. */
const generators = [
  ['--import', '@swc-node/register/esm-register', 'gateway/emit-schema.ts'],
  ['--import', '@swc-node/register/esm-register', 'write-side/public-events/emit-schemas.ts'],
  ['node_modules/@graphql-codegen/cli/esm/bin.js'],
  ['--import', '@swc-node/register/esm-register', 'client/emit/persisted-documents.ts'],
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
  'test:attacks': testAttacks,
  'test:servers': testServers,
  'test:faults': testFaults,
  demo: () => drive('demo'),
  check,
  generate,
  bench: () => drive('bench'),
  cheeper,
};

/** Of `cheeper`: those of `cli/main.ts`, which this file cannot read. */
const subcommands = new Set([
  ...['status', 'pause', 'resume', 'step', 'lanes', 'parked', 'projections', 'verify', 'journal', 'history', 'backup', 'restore', 'epoch'],
]);

/** Those that read settings, or start a system. */
const commandsWithSettings = new Set(['start', 'demo', 'bench', 'cheeper']);
/** Settings that this file reads, sets for services, or tells other commands. */
const settingsReadHere = [
  ...['MYSQL_URL', 'NATS_URL', 'REDIS_URL', 'SIGNING_KEY', 'MAIL_URL', 'MAIL_FOLDER', 'PORT', 'HEALTH_PORT', 'HOST', 'CHEEPER_URL'],
  ...['NAMESPACE', 'LANES', 'SHARDS', 'HOT_FOLLOWERS'],
];

/**
 * @typedef {import('./stack/stack.mjs').ServerName} ServerName
 * @typedef {Partial<Record<ServerName, string>>} Urls
 */

// ---- The commands

/** @returns {Promise<number>} */
async function start() {
  const { port, host, dataDir, urls } = settings();
  const localhost = await addressesOfLocalhost();
  const { inUrl } = reachable(host, localhost);
  const address = `http://${inUrl}:${port}/graphql`;
  await claim(dataDir, address);
  forgetWhere(dataDir);
  await expectOpen(host, port, localhost);

  const ours = serverNames.filter((name) => urls[name] === undefined);
  const node = await prepare(ours);
  const { env, health, failed } = await startSystem({ node, dataDir, host, port, urls });
  tellWhere(dataDir, env);
  say(
    'Cheeper is ready.',
    `  GraphQL    ${address}`,
    `  WebSocket  ws://${inUrl}:${port}/graphql`,
    `  IDE        http://${inUrl}:${port}/`,
    ...services.map((name) => `  health     ${health[name]}/readyz (${name})`),
    // Without their passwords. Those that were given are not shown, nor is the mail server.
    ...ours.map((name) => `  ${name.padEnd(9)}  ${new URL({ mysql: env.MYSQL_URL, nats: env.NATS_URL, redis: env.REDIS_URL }[name]).host}`),
    `  passwords  ${whereFile(dataDir, 'env')}, for node --env-file`,
    `  mail       ${given('MAIL_URL') ? 'to the server in MAIL_URL' : `one file each in ${env.MAIL_FOLDER}`}`,
    `  data       ${dataDir}, logs in ${join(dataDir, 'logs')}`,
    ...(isLoopback(host) ? ['  open to    this machine only; HOST=0.0.0.0 npm start opens it to others'] : []),
  );

  return failed;
}

/** @param {string} host as it was given, or found */
const isLoopback = (host) => host === '::1' || host === 'localhost' || (isIPv4(host) && host.startsWith('127.'));

/** @param {string} host @param {number} port @param {string[]} localhost its addresses */
async function expectOpen(host, port, localhost) {
  const isAny = reachable(host, []).host !== host;
  // Somebody who listens at one address only would get what is meant for us, where we listen at all.
  const error =
    (await becomesFree(port, host)) ?? (isAny ? await becomesFree(port) : undefined) ?? (await takenAtLocalhost(host, port, localhost));
  if (error === undefined) return;
  const { code } = error;
  if (code === 'EADDRINUSE') throw new Failure(`Port ${port} is taken. Another one can be given in PORT.`);
  if (code === 'EACCES') throw new Failure(`Port ${port} may not be opened by this user. Another one can be given in PORT.`);
  throw new Failure(`HOST is ${host}, which is no address of this machine (${code}).`);
}

/**
 * We are shown as `localhost`, which most clients try at ::1 first: somebody who listens there would get what is meant for us.
 *
 * @param {string} host @param {number} port @param {string[]} localhost
 */
async function takenAtLocalhost(host, port, localhost) {
  if (reachable(host, localhost).inUrl !== 'localhost' || !localhost.includes('::1')) return undefined;
  const error = await becomesFree(port, '::1');

  return error?.code === 'EADDRINUSE' ? error : undefined;
}

async function test() {
  return jest(process.argv.slice(3), process.env);
}

/** The tests in `tests/deep`, which take too long for `npm test`. */
async function testDeep() {
  return jest(process.argv.slice(3), { ...process.env, CHEEPER_TESTS: 'deep' });
}

/** The tests in `tests/attacks`: one at a time, since they measure what an attack does to others. */
async function testAttacks() {
  return jest(['--maxWorkers=1', ...process.argv.slice(3)], { ...process.env, CHEEPER_TESTS: 'attacks' });
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
  const isRoot = process.getuid?.() === 0;
  const tools = {
    curl: 'curl',
    nginx: 'nginx',
    openssl: 'openssl',
    ...(env['CHEEPER_TESTS'] === 'deep' && { chromium: 'chromium', ...(isRoot && { debootstrap: 'debootstrap' }) }),
  };
  const node = await prepare(serverNames, { clocks: true, tools });
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
  const other = url('CHEEPER_URL', /^https?:\/\/\S+$/, 'http://localhost:4000');
  const node = await prepare(other ? [] : serverNames);
  const { env, failed } = other ? { env: process.env, failed: new Promise(() => {}) } : await startThrowAway(node);
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
  // The command itself says what is wrong, before a system is looked for, or servers are started.
  const isKnown = subcommands.has(args[0] ?? '');
  const node = await prepare([]);
  const where = given('MYSQL_URL') || isHelp || !isKnown ? {} : await whereItIs(args);
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
  forgetWhere(dataDir);
  await prepare(serverNames.filter((server) => urls[server] === undefined));
  complain('Cheeper is not running: its servers are started for this command.');

  return serverUrls(dataDir, urls, (error) => {
    complain(error.message);
    end(1);
  });
}

// ---- A system: servers, migrations, services

/**
 * @param {{ node: string, dataDir: string, host: string, port: number, urls: Urls, asRoot?: boolean }} options
 */
async function startSystem({ node, dataDir, host, port, urls, asRoot = false }) {
  /** @type {(error: Error) => void} */
  let fail = () => {};
  /** @type {Promise<never>} */
  const failed = new Promise((_, reject) => {
    fail = reject;
  });
  failed.catch(() => {}); // it is looked at in due course

  const own = { SIGNING_KEY: signingKey(dataDir), MAIL_FOLDER: process.env['MAIL_FOLDER'] || join(dataDir, 'mail') };
  const env = { ...process.env, ...(await serverUrls(dataDir, urls, fail, asRoot)), ...own };
  const typescript = ['--import', '@swc-node/register/esm-register'];
  const logFile = (/** @type {string} */ name) => join(dataDir, 'logs', `${name}.log`);
  for (const folder of ['logs', 'mail'].map((name) => join(dataDir, name))) {
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o700);
  }

  await must('migrations', node, [...typescript, 'write-side/migrate.ts'], { cwd: root, env, logFile: logFile('migrations') });

  const localhost = await addressesOfLocalhost();
  /** @type {Record<string, string>} */
  const health = {};
  const startService = async (/** @type {string} */ name) => {
    const healthPort = name === 'gateway' ? port : await freePort();
    const ports = name === 'gateway' ? { PORT: String(port) } : { HEALTH_PORT: String(healthPort) };
    const at = reachable(host, localhost);
    health[name] = `http://${at.inUrl}:${healthPort}`;
    const begin = () =>
      launch(name, node, [...typescript, `${name}/main.ts`], { cwd: root, env: { ...env, HOST: host, ...ports }, logFile: logFile(name) });
    const lastLines = (/** @type {Child} */ service) => `The last lines of ${logFile(name)}:\n${service.tail()}`;
    let service = begin();
    const startedOnce = ready(service, at.host, healthPort);
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
 * @param {boolean} [asRoot] MySQL's: for those who make databases with names of their own
 */
async function serverUrls(dataDir, urls, giveUp, asRoot = false) {
  const servers = serverNames.filter((name) => urls[name] === undefined);
  const stack = await startStack({ dataDir, servers, keepRunning: { report: (line) => say(line), giveUp } });

  return {
    MYSQL_URL: urls.mysql ?? `${asRoot ? stack.mysqlUrl : stack.serviceMysqlUrl}/cheeper`,
    NATS_URL: urls.nats ?? stack.natsUrl,
    REDIS_URL: urls.redis ?? stack.redisUrl,
    ...credentialsOfGiven(serverNames, servers, process.env),
  };
}

/** @param {string} node */
async function startThrowAway(node) {
  const dataDir = await temporaryFolder();
  throwAway.push(dataDir);
  const port = await freePort();
  say('Starting a throw-away system …');
  const { env, failed } = await startSystem({ node, dataDir, host: '127.0.0.1', port, urls: {}, asRoot: true });

  return { env: { ...env, CHEEPER_URL: `http://127.0.0.1:${port}` }, failed };
}

/**
 * @param {Child} service
 * @param {string} host
 * @param {number} port
 */
async function ready(service, host, port) {
  const deadline = Date.now() + readyMs;
  let answer = 'it does not answer';
  for (;;) {
    const { status, text } = await ask(host, port, '/readyz').catch(() => ({ status: 0, text: '' })); // it does not listen yet
    if (status === 200) return;
    if (status > 0) answer = `${status} ${text}`;
    if (Date.now() > deadline) {
      throw new Failure(`${service.name} is not ready after ${readyMs / 1000} s: ${answer}\nThe last lines of its log:\n${service.tail()}`);
    }
    await sleep(50);
  }
}

/**
 * Not by `fetch`: there are addresses that no URL of its kind can have.
 *
 * @param {string} host
 * @param {number} port
 * @param {string} path
 * @returns {Promise<{ status: number, text: string }>}
 */
const ask = (host, port, path) =>
  new Promise((resolve, reject) => {
    const request = get({ host, port, path, agent: false, timeout: 5000 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (data) => (text += data));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('it does not answer in time')));
    request.on('error', reject);
  });

// ---- Settings and the data folder

function settings() {
  const { CHEEPER_DATA } = process.env;
  const text = given('PORT') ?? '4000';
  const port = /^\d+$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw new Failure(`PORT must be a number from 1 to 65535, not ${JSON.stringify(text)}.`);
  const host = withoutBrackets(given('HOST') ?? '127.0.0.1');
  if (!isIP(host) && /[\s:/[\]]/.test(host))
    throw new Failure(`HOST must be an address or a name, without a port, not ${JSON.stringify(host)}.`);
  url('MAIL_URL', /^smtps?:\/\/[^/\s]+\S*$/, 'smtp://user:password@host:587');
  wantedMysql(); // throws for what it does not know

  return {
    port,
    host,
    urls: {
      mysql: url('MYSQL_URL', /^mysql:\/\/[^/\s]+\/[^/?\s]+(\?\S*)?$/, 'mysql://user:password@host:3306/database'),
      nats: url('NATS_URL', /^(nats|tls):\/\/\S+$/, 'nats://host:4222'),
      redis: url('REDIS_URL', /^rediss?:\/\/[^/\s]+\S*$/, 'redis://host:6379'),
    },
    // Last: it is made.
    dataDir: dataFolder('CHEEPER_DATA', CHEEPER_DATA || join(root, 'data')),
  };
}

/** A setting without the line end of the file that it was read from; undefined if it is empty. @param {string} name */
const given = (name) => process.env[name]?.trim() || undefined;

/**
 * It is not repeated when it is wrong: there may be a password in it.
 *
 * @param {string} name
 * @param {RegExp} shape
 * @param {string} example
 */
function url(name, shape, example) {
  const value = given(name);
  if (value === undefined) return undefined;
  const wellFormed = shape.test(value) && separated(value).every((one) => isDecodable(one.includes('://') ? one : `nats://${one}`));
  if (!wellFormed) throw new Failure(`${name} must look like ${example}; a %, / or # in a password is written %25, %2F or %23.`);

  return value;
}

/** A comma is part of MySQL's or Redis's password, and separates several URLs of NATS or of gateways. @param {string} value */
const separated = (value) => (/^(nats|tls|https?):/.test(value) ? value.split(',') : [value]);

/** @param {string} text */
function isDecodable(text) {
  try {
    const { hostname, username, password, pathname, port } = new URL(text);
    [hostname, username, password, pathname].forEach(decodeURIComponent);

    return hostname !== '' && port !== '0';
  } catch {
    return false;
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
  try {
    const fd = openSync(file, 'a+', 0o600);
    if (await tryLock(fd)) {
      ftruncateSync(fd);
      writeSync(fd, `pid ${process.pid}, ${address}`);

      return;
    }
  } catch (error) {
    throw new Failure(`CHEEPER_DATA, ${dataDir}, can't be written: ${/** @type {Error} */ (error).message}.`);
  }

  let holder = readFileSync(file, 'utf8');
  for (let tries = 0; tries < 20 && !isAlive(Number(holder.match(/\d+/)?.[0])); tries++) {
    await sleep(50); // who has just got the lock has not yet written its name over that of the one before
    holder = readFileSync(file, 'utf8');
  }
  throw new Failure(`Cheeper is already running on ${dataDir}: ${holder}`);
}

/** Settings by which others find the system that runs on a data folder. */
const whereNames = [
  ...['MYSQL_URL', 'NATS_URL', 'REDIS_URL', 'NAMESPACE', 'LANES', 'SHARDS', 'HOT_FOLLOWERS', 'NATS_CREDS_FILE', 'NATS_NKEY_FILE'],
  ...['MYSQL', 'NATS', 'REDIS'].flatMap((name) => [`${name}_PASSWORD`, `${name}_PASSWORD_FILE`]),
  ...['', 'MYSQL_', 'NATS_', 'REDIS_'].flatMap((name) => ['CA', 'CERT', 'KEY'].map((file) => `${name}TLS_${file}_FILE`)),
];

/** As JSON for `npm run cheeper`, as `env` for people. @param {string} dataDir @param {'json' | 'env'} form */
const whereFile = (dataDir, form = 'json') => join(dataDir, `where.${form}`);

/** What was told by the last start. @param {string} dataDir */
function forgetWhere(dataDir) {
  for (const form of /** @type {const} */ (['json', 'env'])) rmSync(whereFile(dataDir, form), { force: true });
}

/**
 * For our own user alone: there are passwords in it.
 *
 * @param {string} dataDir
 * @param {NodeJS.ProcessEnv} env
 */
function tellWhere(dataDir, env) {
  /** @type {[string, string][]} */
  const where = whereNames.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]));
  const options = /** @type {const} */ ({ mode: 0o600, flag: 'wx' });
  writeFileSync(whereFile(dataDir, 'env'), where.map(([name, value]) => lineForEnvFile(name, value)).join(''), options);
  writeFileSync(whereFile(dataDir), JSON.stringify(Object.fromEntries(where)), options);
}

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

/** What the system refuses (a folder, a disk that is full) is told in a line, too. @param {unknown} error */
function told(error) {
  const { message, stack, syscall } = /** @type {NodeJS.ErrnoException} */ (error);

  return error instanceof Failure || syscall !== undefined ? message : String(stack);
}

async function main() {
  const command = Object.entries(commands).find(([name]) => name === process.argv[2])?.[1];
  if (command === undefined) {
    complain(`Usage: node run.mjs ${Object.keys(commands).join('|')} [arguments]`);
    process.exit(2);
  }

  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}); // who reads may go before us, and the services go on
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, onSignal);
  if (process.env['npm_lifecycle_event'] !== undefined) endWithParent();

  try {
    if (/[%#?\\\n\r\t]/.test(root))
      throw new Failure(
        `${JSON.stringify(root)}: what loads TypeScript can't do so from a folder with %, #, ?, \\ or a line end in its path.`,
      );
    process.env['TMPDIR'] = temporaryRoot();
    if (commandsWithSettings.has(process.argv[2] ?? '')) readFilesOf(settingsReadHere, process.env);
    end(await command());
  } catch (error) {
    if (!isStopping()) complain(told(error));
    end(1);
  }
}

await main();
