/**
 * Whoever else has an account on this machine gets nothing out of the private servers of `npm start`, tests and benches, and what a server
 * could be made to do does not reach beyond its own folder.
 *
 * A stranger is the user `nobody`, as whom root can run things. Where the tests do not run as root, what a stranger could read is left to
 * the modes of files.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import { natsServers } from '../shared/config.js';
import { serverNames, startStack, temporaryFolder, type Stack } from '../stack/stack.mjs';
import { canMount } from '../stack/users.mjs';
import { eventually } from './system.js';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
const nobody = isRoot ? { uid: 65_534, gid: 65_534 } : {};

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** In a data folder that everybody may enter, as people make them. */
function openFolder(name: string): string {
  const path = join(folder, name);
  mkdirSync(path, { mode: 0o755 });
  if (isRoot) chmodSync(folder, 0o755);

  return path;
}

const passwordOf = (url: string) => new URL(url).password;
const passwordsOf = (stack: Stack) => [stack.mysqlUrl, stack.serviceMysqlUrl, stack.natsUrl, stack.redisUrl].map(passwordOf);

/** What MySQL answers to a log-in, and to a statement then. */
async function sql(uri: string, statement = 'SELECT 1 AS one', more: mysql.ConnectionOptions = {}): Promise<unknown> {
  const connection = await mysql.createConnection({ uri, ...more }).catch((error: NodeJS.ErrnoException) => error);
  if (connection instanceof Error) return connection.code;
  try {
    return (await connection.query<RowDataPacket[]>(statement))[0];
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
  } finally {
    await connection.end();
  }
}

async function natsAnswers(url: string): Promise<string> {
  try {
    await (await connect({ ...natsServers(url), reconnect: false })).close();
    return 'connected';
  } catch (error) {
    return (error as Error).message;
  }
}

async function redisAnswers(url: string): Promise<string> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, enableReadyCheck: false });
  redis.on('error', () => undefined); // it is told by the command
  try {
    return await redis.ping();
  } catch (error) {
    return (error as Error).message;
  } finally {
    redis.disconnect();
  }
}

/** With another password, and with none. */
function withoutPassword(url: string): string[] {
  const [wrong, none] = [new URL(url), new URL(url)];
  wrong.password = 'a-guess';
  [none.username, none.password] = [none.protocol === 'mysql:' ? none.username : '', ''];

  return [wrong.href, none.href];
}

/** As whom each server runs: all ids of users and groups that the kernel knows of it. */
const idsOf = (stack: Stack) =>
  serverNames.map((name) =>
    readFileSync(`/proc/${stack.pid(name)}/status`, 'utf8')
      .match(/^(?:Uid|Gid|Groups):.*$/gm)!
      .flatMap((line) => line.match(/\d+/g) ?? [])
      .map(Number),
  );

const expectNotToBeRoot = (stack: Stack) => {
  if (isRoot) for (const ids of idsOf(stack)) expect(ids).not.toContain(0);
  else for (const ids of idsOf(stack)) expect(ids[0]).toBe(process.getuid!());
};

/** What a stranger can read, or list, below a folder. */
async function readableIn(path: string): Promise<string[]> {
  const found = await run('find', ['.', '-mindepth', '1', '-readable'], { cwd: path, ...nobody }).catch(
    (error: { stdout: string }) => error,
  );

  return found.stdout.trim().split('\n').filter(Boolean);
}

describe('another account of this machine', () => {
  let dataDir: string;
  let stack: Stack;
  beforeAll(async () => {
    dataDir = openFolder('open');
    stack = await startStack({ dataDir });
  });
  afterAll(() => stack?.stop());

  it('gets into no server without its password', async () => {
    const denied = 'ER_ACCESS_DENIED_ERROR';
    for (const url of [stack.mysqlUrl, stack.serviceMysqlUrl].flatMap(withoutPassword))
      expect([url, await sql(url)]).toEqual([url, denied]);
    const anonymous = new URL(stack.mysqlUrl);
    [anonymous.username, anonymous.password] = ['stranger', ''];
    expect(await sql(anonymous.href)).toBe(denied);
    for (const url of withoutPassword(stack.natsUrl)) expect(await natsAnswers(url)).toMatch(/authorization violation/i);
    const [wrong, none] = withoutPassword(stack.redisUrl);
    expect(await redisAnswers(wrong!)).toMatch(/WRONGPASS|NOAUTH/);
    expect(await redisAnswers(none!)).toMatch(/NOAUTH/);
  });

  it('gets into none by another name of the machine, or by the socket', async () => {
    const { port } = new URL(stack.mysqlUrl);
    const socketPath = join(dataDir, 'mysql/my.sock');
    for (const more of [{ host: 'localhost' }, { socketPath }]) {
      expect(await sql(`mysql://root@127.0.0.1:${port}`, 'SELECT 1', more)).toBe('ER_ACCESS_DENIED_ERROR');
    }
    if (!isRoot) return;
    const program = `require('net').connect(${JSON.stringify(socketPath)}).on('error', ({ code }) => console.log(code)).on('data', () => process.exit())`;
    expect(spawnSync(process.execPath, ['-e', program], { ...nobody, cwd: '/', encoding: 'utf8' }).stdout).toBe('EACCES\n');
  });

  it('gets in with the password of this start alone', async () => {
    expect(await sql(stack.mysqlUrl)).toEqual([{ one: 1 }]);
    expect(await natsAnswers(stack.natsUrl)).toBe('connected');
    expect(await redisAnswers(stack.redisUrl)).toBe('PONG');
    expect(new Set(passwordsOf(stack)).size).toBe(4);
    for (const password of passwordsOf(stack)) expect(password.length).toBeGreaterThanOrEqual(32);
  });

  it('sees no password in the command line of any process', () => {
    const lines = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        } catch {
          return ''; // it is gone
        }
      });
    for (const password of passwordsOf(stack)) expect(lines.filter((line) => line.includes(password))).toEqual([]);
  });

  it('reads nothing of what the servers keep, although it may enter the data folder', async () => {
    expect(readdirSync(dataDir).sort()).toEqual(['logs', 'mysql', 'nats', 'redis']);
    for (const name of readdirSync(dataDir)) expect(statSync(join(dataDir, name)).mode & 0o077).toBe(0);
    for (const name of ['nats/nats.conf', 'redis/users.acl']) expect(statSync(join(dataDir, name)).mode & 0o077).toBe(0);
    expect(existsSync(join(dataDir, 'mysql/.accounts.sql'))).toBe(false);
    if (isRoot) expect(await readableIn(dataDir)).toEqual([]);
  });

  it('would find no root in a server that it has taken over, and none of our secrets', () => {
    expectNotToBeRoot(stack);
    for (const name of serverNames) {
      const environment = readFileSync(`/proc/${stack.pid(name)}/environ`, 'utf8');
      expect(environment).not.toMatch(/SIGNING_KEY|PASSWORD|_URL=/);
    }
  });

  it.each([
    ['root', (): string => stack.mysqlUrl],
    ['the services’ user', (): string => stack.serviceMysqlUrl],
  ])('reads and writes no file by a statement of %s', async (_, url) => {
    writeFileSync(join(folder, 'readable'), 'a secret', { mode: 0o644 });
    writeFileSync(join(dataDir, 'mysql', 'near'), 'a secret', { mode: 0o644 });
    const refused = expect.stringMatching(
      /^ER_(OPTION_PREVENTS_STATEMENT|ACCESS_DENIED_ERROR|SPECIFIC_ACCESS_DENIED_ERROR|NOT_ALLOWED_COMMAND)$/,
    );
    for (const path of [join(folder, 'readable'), join(dataDir, 'mysql', 'near'), '/etc/passwd']) {
      expect(await sql(url(), `SELECT LOAD_FILE('${path}') AS text`)).toEqual([{ text: null }]);
      await sql(url(), 'CREATE DATABASE IF NOT EXISTS cheeper');
      await sql(url(), 'CREATE TABLE IF NOT EXISTS cheeper.taken (line TEXT)');
      expect(await sql(url(), `LOAD DATA INFILE '${path}' INTO TABLE cheeper.taken`)).toEqual(refused);
      const infileStreamFactory = () => {
        throw new Error('the server asked for a file of the client');
      };
      expect(await sql(url(), `LOAD DATA LOCAL INFILE '${path}' INTO TABLE cheeper.taken`, { infileStreamFactory })).toEqual(
        expect.stringMatching(/^ER_|local infile|loading local data/i),
      );
      expect(await sql(url(), `SELECT 1 INTO OUTFILE '${path}-written'`)).toEqual(refused);
      expect(await sql(url(), `SELECT 1 INTO DUMPFILE '${path}-written'`)).toEqual(refused);
      expect(existsSync(`${path}-written`)).toBe(false);
    }
    await sql(url(), 'DROP DATABASE cheeper');
  });

  it('could do as the services’ user nothing but in databases whose names begin with cheeper', async () => {
    const url = stack.serviceMysqlUrl;
    expect(await sql(url, 'CREATE DATABASE cheeper_trial')).toMatchObject({ affectedRows: 1 });
    for (const statement of [
      'CREATE DATABASE other',
      'SELECT * FROM mysql.user',
      `CREATE USER me`,
      'GRANT FILE ON *.* TO CURRENT_USER()',
      'SET GLOBAL local_infile = 1',
      "INSTALL SONAME 'ha_connect'",
      'SHUTDOWN',
    ]) {
      expect([statement, await sql(url, statement)]).toEqual([statement, expect.stringMatching(/DENIED|ER_PARSE_ERROR/)]);
    }
    const grants = JSON.stringify(await sql(url, 'SHOW GRANTS'));
    expect(grants).toMatch(/GRANT USAGE ON \*\.\*/);
    await sql(url, 'DROP DATABASE cheeper_trial');
  });
});

describe('a data folder', () => {
  const natsOf = (stack: Stack) => connect(natsServers(stack.natsUrl));

  /** As a release left it whose servers had no passwords, and ran as root if root had started them. */
  async function oldFolder(name: string): Promise<string> {
    const dataDir = openFolder(name);
    const stack = await startStack({ dataDir });
    for (const statement of [
      'CREATE DATABASE cheeper',
      'CREATE TABLE cheeper.kept (id INT PRIMARY KEY)',
      'INSERT INTO cheeper.kept VALUES (42)',
    ]) {
      await sql(stack.mysqlUrl, statement);
    }
    const connection = await natsOf(stack);
    await (await jetstreamManager(connection)).streams.add({ name: 'KEPT', subjects: ['kept'] });
    await connection.close();
    const redis = new Redis(stack.redisUrl);
    await redis.set('kept', '42');
    redis.disconnect();
    const admin = await mysql.createConnection(stack.mysqlUrl);
    await admin.query("DROP USER 'cheeper'@'%'");
    for (const user of ["''@'localhost'", "''@'127.0.0.1'", "'root'@'%'", "'root'@'a.machine'"]) await admin.query(`CREATE USER ${user}`);
    await admin.query("GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION");
    for (const host of ['localhost', '127.0.0.1', '::1']) await admin.query(`ALTER USER 'root'@'${host}' IDENTIFIED BY ''`);
    await admin.end();
    const { port } = new URL(stack.mysqlUrl);
    expect(await sql(`mysql://root@127.0.0.1:${port}`)).toEqual([{ one: 1 }]);
    await stack.stop();
    rmSync(join(dataDir, 'nats/nats.conf'));
    rmSync(join(dataDir, 'redis/users.acl'));
    for (const unknown of ['.files', '.tmp']) rmSync(join(dataDir, 'mysql', unknown), { recursive: true });
    linkSync(join(dataDir, 'mysql/ibdata1'), join(folder, `${name}-ibdata1`)); // as a copy by `cp -al` has it
    if (isRoot) spawnSync('chown', ['-R', '0:0', dataDir]);
    for (const server of ['nats', 'redis']) chmodSync(join(dataDir, server), 0o755);

    return dataDir;
  }

  async function expectClosedAndWhole(dataDir: string): Promise<void> {
    const stack = await startStack({ dataDir });
    try {
      const { port } = new URL(stack.mysqlUrl);
      for (const user of ['root', '', 'anybody', 'cheeper']) {
        expect(await sql(`mysql://${user}@127.0.0.1:${port}`)).toBe('ER_ACCESS_DENIED_ERROR');
        expect(await sql(`mysql://${user}@127.0.0.1:${port}`, '', { socketPath: join(dataDir, 'mysql/my.sock') })).toBe(
          'ER_ACCESS_DENIED_ERROR',
        );
      }
      const users = await sql(stack.mysqlUrl, "SELECT User AS user, Host AS host FROM mysql.user WHERE User IN ('', 'root', 'cheeper')");
      const hosts = (users as { user: string; host: string }[]).map(({ user, host }) => `${user}@${host}`).sort();
      expect(hosts).toEqual(['cheeper@%', 'root@127.0.0.1', 'root@::1', 'root@localhost']);
      expect(await sql(stack.serviceMysqlUrl, 'SELECT id FROM cheeper.kept')).toEqual([{ id: 42 }]);
      const connection = await natsOf(stack);
      expect((await (await jetstreamManager(connection)).streams.info('KEPT')).config.subjects).toEqual(['kept']);
      await connection.close();
      const redis = new Redis(stack.redisUrl);
      expect(await redis.get('kept')).toBe('42');
      redis.disconnect();
      expectNotToBeRoot(stack);
      if (isRoot) expect(await readableIn(dataDir)).toEqual([]);
      const owner = statSync(`/proc/${stack.pid('mysql')}`).uid;
      for (const path of readdirSync(join(dataDir, 'mysql'), { recursive: true, encoding: 'utf8' })) {
        expect(lstatSync(join(dataDir, 'mysql', path)).uid).toBe(owner);
      }
    } finally {
      await stack.stop();
    }
  }

  it('of a release without passwords gets them at the next start, and keeps its data', async () => {
    const dataDir = await oldFolder('old');
    await expectClosedAndWhole(dataDir);
    await expectClosedAndWhole(dataDir);
  });

  it('gets them too when that start was killed in its midst', async () => {
    const dataDir = await oldFolder('killed');
    const program = `
      import { startStack } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../stack/stack.mjs')).href)};
      await startStack({ dataDir: ${JSON.stringify(dataDir)}, servers: ['mysql'] });
      setInterval(() => {}, 1000);`;
    const accounts = join(dataDir, 'mysql/.accounts.sql');
    // When the passwords are written down; when MySQL has begun to set them; when it is all done.
    for (const moment of [
      () => existsSync(accounts),
      () => existsSync(join(dataDir, 'mysql/my.sock')),
      () => existsSync(join(dataDir, 'mysql/my.pid')) && !existsSync(accounts),
    ]) {
      for (const name of [accounts, join(dataDir, 'mysql/my.sock'), join(dataDir, 'mysql/my.pid')]) rmSync(name, { force: true });
      const starting = spawn(process.execPath, ['--input-type=module', '-e', program], {
        stdio: 'inherit',
        env: { PATH: process.env['PATH'] },
      });
      await eventually(moment, 'the start is that far');
      starting.kill('SIGKILL');
      await once(starting, 'exit');
      // Its guard ends what it had started.
      await eventually(() => serversIn(dataDir).length === 0, 'its servers are gone');
    }
    await expectClosedAndWhole(dataDir);
  });

  it('may have a server’s folder elsewhere, by a link', async () => {
    const dataDir = await oldFolder('linked');
    renameSync(join(dataDir, 'mysql'), join(folder, 'elsewhere'));
    symlinkSync('../elsewhere', join(dataDir, 'mysql'));
    await expectClosedAndWhole(dataDir);
  });

  it('gets new passwords at each start', async () => {
    const dataDir = openFolder('twice');
    const before = await startStack({ dataDir });
    const known = [before.mysqlUrl, before.serviceMysqlUrl].map(passwordOf);
    await before.stop();
    const stack = await startStack({ dataDir });
    try {
      for (const password of known) expect(passwordsOf(stack)).not.toContain(password);
      for (const [user, password] of [
        ['root', known[0]],
        ['cheeper', known[1]],
      ]) {
        expect(await sql(`mysql://${user}:${password}@127.0.0.1:${stack.port('mysql')}`)).toBe('ER_ACCESS_DENIED_ERROR');
      }
    } finally {
      await stack.stop();
    }
  });

  it('keeps its servers from being led elsewhere by links that one of them has left there', async () => {
    const dataDir = openFolder('links');
    const stack = await startStack({ dataDir });
    await stack.stop();
    const victim = join(folder, 'victim');
    writeFileSync(victim, 'whole', { mode: 0o644 });
    const owner = statSync(victim).uid;
    for (const name of ['nats/nats.conf', 'redis/users.acl', 'mysql/.accounts.sql']) {
      rmSync(join(dataDir, name), { force: true });
      symlinkSync(victim, join(dataDir, name));
      linkSync(victim, `${join(dataDir, name)}-hard`);
    }
    const outside = join(folder, 'outside');
    mkdirSync(outside, { mode: 0o755 });
    for (const name of ['.tmp', '.files']) {
      rmSync(join(dataDir, 'mysql', name), { recursive: true });
      symlinkSync(outside, join(dataDir, 'mysql', name));
    }
    await (await startStack({ dataDir })).stop();
    expect(statSync(outside).mode & 0o777).toBe(0o755);
    expect(readFileSync(victim, 'utf8')).toBe('whole');
    expect(statSync(victim).uid).toBe(owner);
  });

  it('has servers that run as its owner', async () => {
    const dataDir = openFolder('theirs');
    const owner = isRoot ? 65_534 : process.getuid!();
    if (isRoot) chownSync(dataDir, owner, owner);
    const stack = await startStack({ dataDir });
    for (const [uid] of idsOf(stack)) expect(uid).toBe(owner);
    await stack.stop();
  });

  it('may be in a folder that nobody else can enter', async () => {
    const hidden = join(folder, 'hidden');
    mkdirSync(hidden, { mode: 0o700 });
    chmodSync(hidden, 0o700);
    const dataDir = join(hidden, 'data');
    mkdirSync(dataDir, { mode: 0o700 });
    const stack = await startStack({ dataDir });
    try {
      // In most containers there is no way to hide it: then that is said, and they are root.
      if (!isRoot || canMount()) expectNotToBeRoot(stack);
      expect(await sql(stack.serviceMysqlUrl)).toEqual([{ one: 1 }]);
      await stack.restart('mysql');
      expect(await sql(stack.serviceMysqlUrl)).toEqual([{ one: 1 }]);
      expect(await redisAnswers(stack.redisUrl)).toBe('PONG');
      expect(await natsAnswers(stack.natsUrl)).toBe('connected');
    } finally {
      await stack.stop();
    }
  });
});

/** Processes that run in a folder of a server. */
const serversIn = (dataDir: string) =>
  readdirSync('/proc').filter((pid) => {
    const cwd = /^\d+$/.test(pid) ? spawnSync('readlink', [`/proc/${pid}/cwd`], { encoding: 'utf8' }).stdout : '';

    return serverNames.some((name) => cwd.startsWith(join(dataDir, name)));
  });
