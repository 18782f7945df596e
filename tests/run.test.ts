/**
 * What run.mjs promises about `npm start`, asked of real ones: they share a data folder, one after the other.
 *
 * Whatever a start has started carries the data folder in its command line or environment, so /proc tells what is left.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { freePort, installedMysql, temporaryFolder } from '../stack/stack.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

let folder: string;
let dataDir: string;
let port: number;

beforeAll(async () => {
  folder = await temporaryFolder();
  dataDir = join(folder, ` a b:c"d'e$HOME%41#ü☃\\f`, 'data');
  port = await freePort();
});

afterAll(() => {
  for (const { pid } of processes()) process.kill(pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

describe('npm start', () => {
  let system: Start;

  it('gets ready in CI, without a terminal and with its input closed', async () => {
    system = await ready(start('exec npm start <&-', { CI: 'true' }));

    expect(system.output).toContain(`http://localhost:${port}/graphql`);
    expect(system.output).toContain(`ws://localhost:${port}/graphql`);
    expect(names()).toEqual(['gateway', 'mysql', 'nats', 'read-side', 'redis', 'starter', 'write-side']);
  });

  it('tells the passwords of its servers to its own user alone: in two files, one of them for node --env-file', () => {
    const where = JSON.parse(readFileSync(join(dataDir, 'where.json'), 'utf8')) as Record<string, string>;
    const passwords = ['MYSQL_URL', 'NATS_URL', 'REDIS_URL'].map((name) => new URL(where[name]!).password);

    for (const password of passwords) expect(password).toMatch(/^\w{32,}$/);
    for (const name of ['where.json', 'where.env']) expect(statSync(join(dataDir, name)).mode & 0o777).toBe(0o600);
    expect(statSync(dataDir).mode & 0o007).toBe(0);
    const read = spawnSync(process.execPath, [`--env-file=${join(dataDir, 'where.env')}`, '-p', 'JSON.stringify(process.env)'], {
      env: {},
      encoding: 'utf8',
    });
    expect(JSON.parse(read.stdout)).toEqual(where);
    const seenByAll = [system.output, ...processes().map(({ command }) => command)].join('\n');
    for (const password of passwords) expect(seenByAll).not.toContain(password);
    for (const log of readdirSync(join(dataDir, 'logs'))) {
      const text = readFileSync(join(dataDir, 'logs', log), 'utf8');
      for (const password of passwords) expect(text).not.toContain(password);
      expect(statSync(join(dataDir, 'logs', log)).mode & 0o077).toBe(0);
    }
  });

  it('runs its servers as another user when root starts it', () => {
    const starter = statSync(`/proc/${pidOf('starter')}`).uid;
    for (const name of ['mysql', 'nats', 'redis']) {
      const { uid } = statSync(`/proc/${pidOf(name)}`);
      expect(uid === 0 ? `${name} runs as root` : uid === starter).toBe(starter !== 0);
    }
  });

  it('is joined by another write side and read side that are given the file with its passwords', async () => {
    const command = (name: string) =>
      `exec "${process.execPath}" --env-file="$CHEEPER_DATA/where.env" --import @swc-node/register/esm-register ${name}/main.ts`;
    const ports = [await freePort(), await freePort()];
    const others = ['write-side', 'read-side'].map((name, i) => start(command(name), { HEALTH_PORT: String(ports[i]) }));
    for (const port of ports) {
      await until('it to do its work', async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null))?.ok ?? false);
    }

    for (const other of others) process.kill(other.pid, 'SIGTERM');
    for (const other of others) expect(await other.exitCode).toBe(0);
  });

  it('says in a line that one is running, when started again on the same data', async () => {
    const second = start('exec node run.mjs start');

    expect(await second.exitCode).toBe(1);
    expect(second.output).toBe(`Cheeper is already running on ${dataDir}: pid ${pidOf('starter')}, http://localhost:${port}/graphql\n`);
  });

  it('is told the book’s story by npm run demo, which holds', async () => {
    const demo = start('exec node run.mjs demo', { CHEEPER_URL: `http://127.0.0.1:${port}` });

    const exitCode = await demo.exitCode;
    // What it says tells which line did not hold.
    expect(exitCode === 0 ? 'all held' : demo.output).toBe('all held');
  });

  it('is found by npm run cheeper, which answers an operator about it', async () => {
    await until('a sign-up to succeed', async () => (await signUp('grace', 2)) === 'COMMITTED');
    await until('it to be readable', async () => (await nameOf('grace')) === 'grace');
    const id = await idOf('grace');
    const asked = start(`exec npm run --silent cheeper -- history author ${id} --json`);

    expect(await asked.exitCode).toBe(0);
    expect(JSON.parse(asked.output)).toMatchObject({ type: 'author', id, state: { username: 'grace', version: 1 } });
    expect(await start('exec node run.mjs cheeper history mail').exitCode).toBe(2);
  });

  it('says in a line that its port is taken', async () => {
    const other = start('exec node run.mjs start', { CHEEPER_DATA: join(folder, 'other') });

    expect(await other.exitCode).toBe(1);
    expect(other.output).toMatch(new RegExp(`^Port ${port} is taken.*\n$`));
  });

  it.each([
    ['PORT', 'http'],
    ['PORT', '70000'],
    ['MYSQL_URL', 'mysql://localhost:3306'],
    ['NATS_URL', 'localhost:4222'],
    ['REDIS_URL', 'localhost'],
    ['CHEEPER_DATA', '/dev/null'],
    ['CHEEPER_MYSQL', 'postgres'],
    ['CHEEPER_DATA', '/proc/nosuch'],
    ['HOST', 'localhost:4000'],
    ['MYSQL_URL', 'mysql://root:100%@localhost/cheeper'],
    ['NATS_URL', 'nats://me:%zz@localhost'],
    ['REDIS_URL', 'redis://:%@localhost'],
    ['MAIL_URL', 'smtp://me:%e9@localhost'],
    ['TMPDIR', '/nosuch'],
  ])('says in a line what is wrong with %s=%s', async (name, value) => {
    const wrong = start('exec node run.mjs start', { [name]: value });

    expect(await wrong.exitCode).toBe(1);
    expect(wrong.output).toMatch(new RegExp(`^${name}.*\n$`));
  });

  it('says in a line that a data folder was made by the other of MySQL and MariaDB', async () => {
    const [ours, theirs, mark] =
      installedMysql()[0] === 'mysql' ? (['mysql', 'mariadb', 'aria_log_control'] as const) : (['mariadb', 'mysql', 'mysql.ibd'] as const);
    const other = join(folder, 'theirs');
    mkdirSync(join(other, 'mysql'), { recursive: true });
    writeFileSync(join(other, 'mysql', mark), '');
    const wrong = start('exec node run.mjs start', { CHEEPER_DATA: other, CHEEPER_MYSQL: ours, PORT: String(await freePort()) });

    expect(await wrong.exitCode).toBe(1);
    expect(wrong.output).toMatch(new RegExp(`^${join(other, 'mysql')} was made by .* CHEEPER_MYSQL=${theirs}.*\n$`));
  });

  it('says in a line that HOST is no address of this machine', async () => {
    const data = join(folder, 'other');
    const other = start('exec node run.mjs start', { CHEEPER_DATA: data, HOST: '192.0.2.1', PORT: String(await freePort()) });

    expect(await other.exitCode).toBe(1);
    expect(other.output).toMatch(/^HOST is 192\.0\.2\.1, which is no address of this machine.*\n$/);
  });

  it('starts a server again that was killed, and the services go on', async () => {
    for (const name of ['mysql', 'nats', 'redis']) process.kill(pidOf(name), 'SIGKILL');

    await until('all three to be back', () => ['mysql', 'nats', 'redis'].every((name) => system.output.includes(`${name} is back`)));
    await until('a sign-up to succeed', async () => (await signUp('ada')) === 'COMMITTED');
  });

  it('starts NATS anew when its data folder is deleted under it: it would store nothing any more', async () => {
    const pid = pidOf('nats');
    rmSync(join(dataDir, 'nats'), { recursive: true, force: true, maxRetries: 50, retryDelay: 20 }); // NATS may write into it meanwhile

    await until('NATS to be another', () => processes().some((one) => one.name === 'nats' && one.pid !== pid));
    await until('a sign-up to succeed', async () => (await signUp('hedy', 3)) === 'COMMITTED');
  });

  it('stops everything on TERM: the gateway, the write side, the read side, then the servers', async () => {
    process.kill(system.pid, 'SIGTERM'); // npm, which passes it on

    const services = ['gateway', 'write-side', 'read-side'];
    const order = await orderOfLeaving([...services, 'mysql', 'nats', 'redis', 'starter']);
    expect(order.slice(0, 3)).toEqual(services);
    expect(order.at(-1)).toBe('starter');
    expect(await system.exitCode).toBe(0);
    await until('all to be gone', () => processes().length === 0);
  });

  it('keeps its data, and its key, from one start to the next; and stops on HUP', async () => {
    const key = readFileSync(join(dataDir, 'signing-key'), 'utf8');
    system = await ready(start('exec npm start'));

    await until('what was written before to be readable', async () => (await nameOf('ada')) === 'ada');
    expect(readFileSync(join(dataDir, 'signing-key'), 'utf8')).toBe(key);

    process.kill(pidOf('starter'), 'SIGHUP');
    expect(await system.exitCode).toBe(0);
    await until('all to be gone', () => processes().length === 0);
  });

  it('stops on INT while it is still starting', async () => {
    system = start('exec node run.mjs start');
    await until('mysql', () => names().includes('mysql'));

    process.kill(system.pid, 'SIGINT');
    expect(await system.exitCode).toBe(0);
    await until('all to be gone', () => processes().length === 0);
  });

  it('lets one of two win that start at the same moment; and stops at once on the second INT', async () => {
    const both = [start('exec node run.mjs start'), start('exec node run.mjs start')] as const;
    const loser = await Promise.race(both.map(async (one) => (await one.exitCode, one)));
    const winner = both.find((one) => one !== loser)!;
    expect(loser.output).toBe(`Cheeper is already running on ${dataDir}: pid ${winner.pid}, http://localhost:${port}/graphql\n`);
    await ready(winner);

    process.kill(pidOf('gateway'), 'SIGSTOP'); // so that it can't be stopped in order for a while
    process.kill(winner.pid, 'SIGINT');
    await until('it to begin', () => winner.output.includes('Stopping'));
    const signalledAt = Date.now();
    while (Date.now() < signalledAt + 300) await sleep(10); // sooner, it would be taken for npm's echo of the same one
    process.kill(winner.pid, 'SIGINT');

    expect(await winner.exitCode).toBe(130);
    await until('all to be gone', () => processes().length === 0);
  });

  it('leaves nothing running when it is killed with -9', async () => {
    system = await ready(start('exec npm start', { HOST: '[::1]' }));
    expect(system.output).toContain(`http://[::1]:${port}/graphql`);

    process.kill(pidOf('starter'), 'SIGKILL');
    await until('all to be gone', () => processes().length === 0);
  });

  it('leaves nothing running when npm is killed with -9, over a start that has just begun', async () => {
    system = start('exec npm start');
    await until('the gateway', () => names().includes('gateway'));

    process.kill(system.pid, 'SIGKILL');
    await until('all to be gone', () => processes().length === 0);
  });

  it('starts again after that; and a service that ends is started again too', async () => {
    system = await ready(start('exec npm start'));
    await until('what was written before to be readable', async () => (await nameOf('ada')) === 'ada');

    for (const name of ['read-side', 'write-side', 'gateway'] as const) {
      const pid = pidOf(name);
      process.kill(pid, 'SIGKILL');
      await until(`the ${name} to be back`, () => processes().some((one) => one.name === name && one.pid !== pid));
      expect(system.output).toContain(`${name} ended unexpectedly (SIGKILL)`);
    }
    // Until the gateway listens, nobody answers.
    await until('what was written before to be readable', async () => (await nameOf('ada').catch(() => null)) === 'ada');
    process.kill(system.pid, 'SIGTERM');
    expect(await system.exitCode).toBe(0);
    await until('all to be gone', () => processes().length === 0);
  });
});

describe('npm test', () => {
  const hangs = () => {
    writeFileSync(join(folder, 'hangs.mjs'), "test('hangs', () => new Promise(() => {}), 60_000);");

    return start(`exec node run.mjs test --roots '${folder}' --testMatch '**/hangs.mjs'`, { TMPDIR: folder });
  };
  // Those of `npm run test:servers` are run by the loader of their own C library.
  const server = /^(\S+ --library-path \S+ )?\S+(mariadbd|mysqld|nats-server|redis-server) /;
  const servers = () => processes().filter(({ command }) => server.test(command));

  it('hands its arguments to jest, and the exit code back', async () => {
    const listing = start('exec node run.mjs test --listTests run.test');
    expect(await listing.exitCode).toBe(0);
    expect(listing.output).toContain('tests/run.test.ts');

    expect(await start('exec node run.mjs test there-is-no-such-test').exitCode).toBe(1);
  });

  it('leaves nothing running when it is killed with -9', async () => {
    const tests = hangs();
    await until('its servers', () => servers().length === 3);

    process.kill(tests.pid, 'SIGKILL');
    await until('all to be gone', () => processes().length === 0);
  });

  it('stops on INT, with the exit code that says so', async () => {
    const tests = hangs();
    await until('its servers', () => servers().length === 3);

    process.kill(tests.pid, 'SIGINT');
    expect(await tests.exitCode).toBe(130);
    await until('all to be gone', () => processes().length === 0);
  });
});

describe('npm run cheeper', () => {
  it('says in a line that nothing runs, and explains itself all the same', async () => {
    const dead = start('exec node run.mjs cheeper history author x', { CHEEPER_DATA: join(folder, 'empty') });
    expect(await dead.exitCode).toBe(1);
    expect(dead.output).toMatch(/^Cheeper is not running on [^\n]+\n$/);

    const unknown = start('exec node run.mjs cheeper stats', { CHEEPER_DATA: join(folder, 'none') });
    expect(await unknown.exitCode).toBe(2);
    expect(unknown.output).toContain('There is no subcommand "stats"');
    expect(existsSync(join(folder, 'none'))).toBe(false);
    const help = start('exec node run.mjs cheeper --help');
    expect(await help.exitCode).toBe(0);
    expect(help.output).toContain('Usage: cheeper');
  });
});

describe('run.mjs', () => {
  it('explains itself when it does not know the command', async () => {
    const unknown = start('exec node run.mjs fly');

    expect(await unknown.exitCode).toBe(2);
    expect(unknown.output).toMatch(/^Usage: .*start.*test.*\n$/);
  });
});

interface Start {
  pid: number;
  /** All that it has said until now. */
  output: string;
  exitCode: Promise<number | null>;
}

function start(command: string, settings: Record<string, string> = {}): Start {
  const child = spawn('/bin/sh', ['-c', command], {
    cwd: root,
    env: { ...outerEnvironment(), CHEEPER_DATA: dataDir, PORT: String(port), ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const result: Start = { pid: child.pid!, output: '', exitCode: once(child, 'close').then(([code]) => code as number | null) };
  child.stdout.on('data', (data) => (result.output += data));
  child.stderr.on('data', (data) => (result.output += data));

  return result;
}

/** Ours without what npm, jest or a developer has put there. */
const outerEnvironment = () =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(npm_|JEST_|TEST_|NODE_OPTIONS$|NODE_ENV$|(MYSQL|NATS|REDIS)_URL$|SIGNING_KEY$|NAMESPACE$)/.test(name),
    ),
  );

async function ready(system: Start) {
  let ended = false;
  void system.exitCode.then(() => (ended = true));
  await until('the system to be ready', () => {
    if (ended) throw new Error(`It ended instead:\n${system.output}`);
    return system.output.includes('Cheeper is ready.');
  });

  return system;
}

/** What runs now of all that was started here. */
function processes() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({ pid: Number(pid), command: `${look(pid, 'cmdline')} in ${look(pid, 'cwd')}`, environment: look(pid, 'environ') }))
    .filter(({ pid, command, environment }) => pid !== process.pid && (command + environment).includes(folder))
    .map(({ pid, command }) => ({ pid, name: nameIn(command), command }));
}

/** Redis writes something else over its command line and environment, but it is in its folder, as is the guard of each server. */
const nameIn = (command: string) =>
  /run\.mjs start/.test(command)
    ? 'starter'
    : command.startsWith('sh -c read')
      ? 'other'
      : (/(gateway|write-side|read-side)\/main/.exec(command)?.[1] ?? /\/data\/(mysql|nats|redis)/.exec(command)?.[1] ?? 'other');

const names = () =>
  processes()
    .map(({ name }) => name)
    .filter((name) => name !== 'other')
    .sort();

const pidOf = (name: string) => processes().find((one) => one.name === name)!.pid;

/** What left, in order; what was seen to leave at the same look is in the order that is hoped for. */
async function orderOfLeaving(hopedFor: string[]) {
  const left: string[] = [];
  while (left.length < hopedFor.length) {
    const there = names();
    left.push(...hopedFor.filter((name) => !there.includes(name) && !left.includes(name)));
    await sleep(1);
  }

  return left;
}

function look(pid: string, file: 'cmdline' | 'environ' | 'cwd') {
  const path = `/proc/${pid}/${file}`;
  try {
    return file === 'cwd' ? readlinkSync(path) : readFileSync(path, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // it has just ended
  }
}

async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 60_000) {
  const deadline = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`Waited ${ms} ms in vain for ${what}; running: ${JSON.stringify(processes())}`);
    await sleep(20);
  }
}

async function signUp(username: string, n = 1) {
  const input = {
    username,
    email: `${username}@example.org`,
    password: 'correct horse battery staple',
    commandId: `0197a2b0-0000-7000-8000-00000000000${n}`,
  };
  const data = await graphql('mutation ($input: SignUpInput!) { signUp(input: $input) { status } }', { input });

  return data?.signUp?.status;
}

async function nameOf(username: string) {
  const data = await graphql('query ($username: String!) { authorByUsername(username: $username) { username } }', { username });

  return data?.authorByUsername?.username;
}

async function idOf(username: string) {
  const query = 'query ($username: String!) { authorByUsername(username: $username) { id } }';
  const data = await graphql(query, { username });

  return String(data?.authorByUsername?.id);
}

async function graphql(query: string, variables: object) {
  const response = await fetch(`http://127.0.0.1:${port}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  const { data } = (await response.json()) as { data?: Record<string, Record<string, unknown>> };

  return data;
}
