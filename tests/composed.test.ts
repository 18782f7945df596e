/**
 * The system as docker-compose.yml runs it: every connection encrypted, with certificates on both sides, and each service a user of its
 * own who can do what it needs, and nothing else. What may not be is tried with a service's own password and certificate.
 */
import { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';
import { CheeperClient } from '../client/client.js';
import {
  FollowAuthorReceiptDocument,
  LogInDocument,
  PostCheepReceiptDocument,
  SearchAuthorsDocument,
  SignUpDocument,
  TimelineDocument,
} from '../client/operations.js';
import { readConfig } from '../shared/config.js';
import { inboxOf, natsOptions } from '../shared/jetstream.js';
import type { NatsUser } from '../shared/names.js';
import { redisOptions } from '../shared/redis.js';
import { connectionOptions } from '../write-side/database.js';
import { Composed, makeWrongCertificates, readComposition } from './composed.js';
import { cheeper, eventually, freePort, PASSWORD } from './system.js';

let composed: Composed;
let url: string;
const clients: CheeperClient[] = [];
beforeAll(async () => {
  composed = await Composed.start();
  expect(await composed.migrate()).toMatchObject({ code: 0, out: expect.stringContaining('Migrated') });
  await composed.startServices();
  url = `http://127.0.0.1:${composed.service('gateway').port}/graphql`;
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await composed?.stop();
});

const client = () => {
  const made = new CheeperClient({ url });
  clients.push(made);

  return made;
};

async function signUp(username: string) {
  const own = client();
  const input = { username, email: `${username}@example.org`, password: PASSWORD };
  const { signUp } = await own.mutate(SignUpDocument, { input });
  if (!signUp.session || !signUp.author) throw new Error(JSON.stringify(signUp));
  own.accessToken = signUp.session.accessToken;

  return { client: own, id: signUp.author.id };
}

const logIn = (usernameOrEmail: string) => client().request(LogInDocument, { input: { usernameOrEmail, password: PASSWORD } });

/** With the user and the certificate of a service. */
const urlsOf = (name: string) => readConfig(['NATS_URL', 'REDIS_URL'], { REDIS_URL: 'redis://nowhere', ...composed.env(name) });
const natsOf = (user: NatsUser) => connect({ ...natsOptions(urlsOf(user).NATS_URL), ...inboxOf('cheeper', user), reconnect: false });
const redisOf = (user: string) => new Redis({ ...redisOptions(urlsOf(user).REDIS_URL), retryStrategy: () => null });
const mysqlOf = (user: string, more: Record<string, string> = {}) =>
  mysql.createConnection(connectionOptions(readConfig(['MYSQL_URL'], { ...composed.env(user), ...more }).MYSQL_URL));

describe('the composed system', () => {
  it('does its work: people sign up and in, post, follow, search, and read', async () => {
    const [ada, bob] = [await signUp('ada'), await signUp('bob')];
    await bob.client.request(FollowAuthorReceiptDocument, { input: { authorId: ada.id } });
    const { postCheep } = await ada.client.request(PostCheepReceiptDocument, { input: { message: 'hello @bob' } });
    expect(postCheep.status).toBe('COMMITTED');
    await eventually(async () => {
      const { timeline } = await bob.client.request(TimelineDocument, { first: 10 });
      return timeline.edges.length === 1;
    }, 'it is in the timeline of a follower');
    expect((await client().request(SearchAuthorsDocument, { prefix: 'ad', first: 5 })).searchAuthors.edges).toHaveLength(1);
    expect((await logIn('bob')).logIn.session).not.toBeNull();
  });

  it('is looked after by the operator’s command, with rights of its own', async () => {
    const done = async (...args: string[]) => {
      const ended = await composed.cheeper(...args);
      expect({ args, ...ended }).toMatchObject({ args, code: 0 });
      return ended.out;
    };
    await eventually(async () => (await composed.cheeper('status')).code === 0, 'all is well');
    expect(await done('parked', 'list')).not.toBe('');
    await done('pause', 'lanes');
    await done('resume', 'lanes');
    await done('projections', 'list');
    await done('projections', 'rebuild', 'authors', '--yes');
    await eventually(async () => (await composed.cheeper('projections', 'verify', 'authors')).code === 0, 'it is built, and equal');
    await done('projections', 'switch', 'authors', '--yes');
    await done('verify');
    await done(
      'history',
      'author',
      (await client().request(SearchAuthorsDocument, { prefix: 'ada', first: 1 })).searchAuthors.edges[0]!.node.id,
    );
    const file = join(composed.folder, 'backup');
    await done('backup', file);
    const operator = composed.env('operator');
    const trial = { ...operator, MYSQL_URL: operator.MYSQL_URL!.replace(/cheeper$/, 'cheeper_trial'), NAMESPACE: 'trial' };
    expect(await cheeper(trial, 'restore', file)).toMatchObject({ code: 0 });
    expect((await cheeper(trial, 'journal', '--limit', '1')).out).toContain('AuthorNotified');
    await done('epoch', 'new', '--yes');
    await eventually(async () => (await composed.cheeper('status')).code === 0, 'all of it has built itself in the new epoch');
    await done('epoch', 'clean', '--yes');
    expect((await logIn('ada')).logIn.session).not.toBeNull();
  });

  it('has no fault of rights in its logs', () => {
    for (const { name } of composed.services) {
      const log = readFileSync(join(composed.logs, `${name}.log`), 'utf8');
      expect({ name, found: log.match(/.*(Permissions Violation|NOPERM|denied).*/gi) }).toEqual({ name, found: null });
    }
    expect(readFileSync(join(composed.logs, 'nats.log'), 'utf8').match(/.*Violation.*/g)).toBeNull();
  });
});

describe('a user of NATS', () => {
  const others = ['gateway', 'read-side', 'operator'] as const;
  const connections: NatsConnection[] = [];
  const as = async (user: NatsUser) => {
    const connection = await natsOf(user);
    connections.push(connection);

    return connection;
  };
  afterAll(() => Promise.all(connections.map((connection) => connection.close())));

  /** Settles with what is heard: what the server refuses is an error. */
  async function subscribed(connection: NatsConnection, subject: string, queue?: string) {
    const heard: string[] = [];
    let error: Error | null = null;
    connection.subscribe(subject, {
      ...(queue && { queue }),
      callback: (refusal, message) => {
        if (refusal) error = refusal;
        else heard.push(message.string());
      },
    });
    await connection.flush();

    return { heard, error: error as Error | null };
  }

  it.each(others)('(%s) cannot read the passwords of those who log in, nor answers to others', async (user) => {
    const connection = await as(user);
    const own = new Set([`cheeper.inbox.${user}.>`]);
    const tried = await Promise.all([
      subscribed(connection, 'cheeper.authenticate'),
      subscribed(connection, 'cheeper.authenticate', 'write-side'),
      subscribed(connection, 'cheeper.*'),
      subscribed(connection, 'cheeper.>'),
      subscribed(connection, '>'),
      subscribed(connection, '_INBOX.>'),
      subscribed(connection, 'cheeper.commands.>'),
      ...['gateway', 'write-side', 'read-side', 'operator']
        .map((other) => `cheeper.inbox.${other}.>`)
        .filter((inbox) => !own.has(inbox))
        .map((inbox) => subscribed(connection, inbox)),
      subscribed(connection, 'cheeper.inbox.>'),
    ]);
    expect((await logIn('ada')).logIn.session).not.toBeNull();
    for (const { heard, error } of tried) {
      expect(heard).toEqual([]);
      expect(error?.message).toMatch(/permissions violation/i);
    }
  });

  it.each(others)('(%s) cannot have a stream keep the passwords, nor take another’s place', async (user) => {
    const connection = await as(user);
    const jsm = await jetstreamManager(connection, { checkAPI: false, timeout: 2_000 });
    const refused = /permissions violation/i;
    await expect(jsm.streams.add({ name: 'spy', subjects: ['cheeper.authenticate'] })).rejects.toThrow(refused);
    await expect(jsm.streams.update('cheeper_COMMANDS', { subjects: ['cheeper.authenticate'] })).rejects.toThrow();
    await expect(jetstream(connection).publish('cheeper.events.x.CheepPosted', '{}', { timeout: 2_000 })).rejects.toThrow(refused);
    await expect(connection.request('cheeper.public.x.y', '', { timeout: 2_000 })).rejects.toThrow(refused);
    if (user !== 'gateway') await expect(connection.request('cheeper.authenticate', '{}', { timeout: 2_000 })).rejects.toThrow(refused);
    if (user === 'read-side') {
      await expect(jsm.streams.getMessage('cheeper_COMMANDS', { seq: 1 })).rejects.toThrow(refused);
      await expect(jsm.consumers.add('cheeper_COMMANDS', { name: 'spy' })).rejects.toThrow(refused);
      await expect(jetstream(connection).publish('cheeper.commands.1.SignUp', '{}', { timeout: 2_000 })).rejects.toThrow(refused);
    }
  });

  it('needs a password, and a certificate', async () => {
    const port = composed.ports.nats;
    const tls = { caFile: join(composed.secrets, 'ca.pem') };
    const certificate = { certFile: join(composed.secrets, 'gateway.pem'), keyFile: join(composed.secrets, 'gateway.key') };
    const once = { servers: `localhost:${port}`, reconnect: false, timeout: 5_000 };
    await expect(connect({ ...once, tls: { ...tls, ...certificate } })).rejects.toThrow(/authorization violation/i);
    await expect(connect({ ...once, tls: { ...tls, ...certificate }, user: 'gateway', pass: 'wrong' })).rejects.toThrow(/authorization/i);
    await expect(connect({ ...once, tls, user: 'gateway', pass: composed.secret('gateway-nats') })).rejects.toThrow();
  });
});

describe('a user of Redis', () => {
  it('(gateway) reads projections, and writes none', async () => {
    const redis = redisOf('gateway');
    const epoch = await redis.get('cheeper:epoch');
    expect(epoch).toBeTruthy();
    const denied = /NOPERM|can't (run this command|access at least one of the keys)/;
    await expect(redis.set('cheeper:epoch', 'x')).rejects.toThrow(denied);
    await expect(redis.eval(`return redis.call('SET', KEYS[1], 'x')`, 1, 'cheeper:epoch')).rejects.toThrow(denied);
    await expect(redis.get('others:secret')).rejects.toThrow(denied);
    await expect(redis.flushall()).rejects.toThrow(denied);
    await expect(redis.config('GET', '*')).rejects.toThrow(denied);
    await expect(redis.keys('*')).rejects.toThrow(denied);
    await expect(redis.call('ACL', 'LIST')).rejects.toThrow(denied);
    const count = `redis.call('PTTL', KEYS[1]) redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[1], '', 'PX', 10)`;
    expect(await redis.eval(count, 1, 'cheeper:rates:x')).toBe('OK');
    await redis.multi().get('cheeper:rates:x').pttl('cheeper:rates:x').exec();
    expect(await redis.get('cheeper:epoch')).toBe(epoch);
    redis.disconnect();
  });

  it('(read-side) writes its own keys, and no others', async () => {
    const redis = redisOf('read-side');
    const denied = /NOPERM|can't (run this command|access at least one of the keys)/;
    await expect(redis.set('others:key', 'x')).rejects.toThrow(denied);
    await expect(redis.flushdb()).rejects.toThrow(denied);
    await expect(redis.config('SET', 'dir', '/tmp')).rejects.toThrow(denied);
    await expect(redis.call('MONITOR')).rejects.toThrow(denied);
    await expect(redis.call('REPLICAOF', 'no', 'one')).rejects.toThrow(denied);
    redis.disconnect();
  });

  it('needs a password, and a certificate', async () => {
    const once = { retryStrategy: () => null, maxRetriesPerRequest: 0, lazyConnect: true };
    const { tls, host, port } = redisOptions(urlsOf('gateway').REDIS_URL);
    const nobody = new Redis({ host: host!, port: port!, tls: tls!, ...once, enableReadyCheck: false });
    nobody.on('error', () => undefined);
    await nobody.connect();
    expect(await nobody.ping()).toBe('PONG'); // the health check
    await expect(nobody.get('cheeper:epoch')).rejects.toThrow('NOPERM');
    await expect(nobody.info()).rejects.toThrow('NOPERM');
    nobody.disconnect();
    const bare = new Redis({ host: host!, port: port!, tls: { ca: tls!.ca! }, ...once, enableReadyCheck: false });
    bare.on('error', () => undefined);
    await expect(bare.connect().then(() => bare.ping())).rejects.toThrow();
    bare.disconnect();
  });
});

describe('a user of MySQL', () => {
  it('(write-side) reads and writes rows, and changes no tables', async () => {
    const connection = await mysqlOf('write-side');
    const [[row]] = await connection.query<mysql.RowDataPacket[]>(`SHOW SESSION STATUS LIKE 'Ssl_cipher'`);
    expect(row!.Value).not.toBe('');
    for (const statement of [
      'CREATE TABLE x (id INT)',
      'DROP TABLE journal',
      'ALTER TABLE journal ADD x INT',
      'SELECT * FROM mysql.user',
    ]) {
      await expect(connection.query(statement)).rejects.toThrow(/denied/);
    }
    await connection.end();
  });

  it('needs its password, and its own certificate', async () => {
    await expect(mysqlOf('write-side', { MYSQL_PASSWORD_FILE: join(composed.secrets, 'operator-mysql') })).rejects.toThrow(/denied/);
    const gateways = { TLS_CERT_FILE: join(composed.secrets, 'gateway.pem'), TLS_KEY_FILE: join(composed.secrets, 'gateway.key') };
    await expect(mysqlOf('write-side', gateways)).rejects.toThrow(/denied/);
    const plain = mysql.createConnection({
      host: '127.0.0.1',
      port: composed.ports.mysql,
      user: 'write-side',
      password: composed.secret('write-side-mysql'),
    });
    await expect(plain).rejects.toThrow(/secure transport|denied/);
  });
});

type Server = 'mysql' | 'nats' | 'redis';

/** Who connects to it, and what of. */
const USERS = { mysql: 'write-side', nats: 'read-side', redis: 'read-side' } as const;

/** All that was said by processes that could not start. */
let said = '';

/** With settings that are wrong. @returns what it says, in one line */
async function refusal(name: 'write-side' | 'read-side', settings: Record<string, string>): Promise<string> {
  const own = { HEALTH_PORT: String(await freePort()), HOST: '127.0.0.1' };
  const { code, out } = await composed.run(`${name}/main.js`, { ...composed.env(name), ...own, LOG_LEVEL: 'fatal', ...settings });
  said += `${out}\n`;
  expect({ code, lines: out.trimEnd().split('\n').length, out }).toMatchObject({ code: 1, lines: 1 });

  return out;
}

/** The server shows what is in its files now. */
async function reload(server: Server): Promise<void> {
  switch (server) {
    case 'mysql': {
      const connection = await composed.mysqlAsRoot({ rejectUnauthorized: false });
      const [[row]] = await connection.query<mysql.RowDataPacket[]>('SELECT VERSION() AS version');
      await connection.query(String(row!.version).includes('MariaDB') ? 'FLUSH SSL' : 'ALTER INSTANCE RELOAD TLS');
      return connection.end();
    }
    case 'nats':
      await composed.servers.nats!.stop();
      return composed.startNats();
    case 'redis':
      await composed.servers.redis!.stop();
      return composed.startRedis();
  }
}

describe('a server that cannot be trusted', () => {
  let wrong: string;
  beforeAll(() => {
    wrong = join(composed.folder, 'wrong');
    makeWrongCertificates(wrong, composed.secrets);
    for (const server of ['mysql', 'nats', 'redis']) {
      for (const kind of ['pem', 'key']) copyFileSync(join(composed.secrets, `${server}.${kind}`), join(wrong, `${server}.${kind}`));
    }
  });
  const show = async (server: Server, certificate: string) => {
    for (const kind of ['pem', 'key']) copyFileSync(join(wrong, `${certificate}.${kind}`), join(composed.secrets, `${server}.${kind}`));
    await reload(server);
  };

  it.each<[Server, string]>([
    ['mysql', 'MySQL'],
    ['nats', 'NATS'],
    ['redis', 'Redis'],
  ])('(%s) ends the start in one line, and no service that runs', async (server, name) => {
    const user = USERS[server];
    try {
      await show(server, 'self-signed');
      expect(await refusal(user, {})).toMatch(
        new RegExp(`${name}: its certificate is not of a CA that is trusted .*self-signed.*TLS_CA_FILE`),
      );
      await show(server, 'expired');
      expect(await refusal(user, {})).toMatch(new RegExp(`${name}: .*certificate has expired`));
      await show(server, 'wrong-host');
      expect(await refusal(user, {})).toMatch(
        new RegExp(`${name}: .*Hostname/IP does not match certificate's altnames.*localhost.*elsewhere`),
      );
      await show(server, 'no-address');
      const byAddress = composed.env(user, '127.0.0.1');
      expect(await refusal(user, byAddress)).toMatch(new RegExp(`${name}: .*IP: 127.0.0.1 is not in the cert's list`));
    } finally {
      await show(server, server);
    }
    const another = { [`${server.toUpperCase()}_TLS_CA_FILE`]: join(wrong, 'self-signed.pem') };
    expect(await refusal(user, another)).toMatch(new RegExp(`${name}: its certificate is not of a CA that is trusted`));
    await Promise.all(composed.services.map((service) => service.ready()));
    expect((await logIn('ada')).logIn.session).not.toBeNull();
  });

  it('is one too that does not know the password', async () => {
    const file = join(composed.folder, 'wrong-password');
    writeFileSync(file, 'a-wrong-secret');
    expect(await refusal('write-side', { MYSQL_PASSWORD_FILE: file })).toMatch(/MySQL: Access denied for user 'write-side'/);
    expect(await refusal('read-side', { NATS_PASSWORD_FILE: file })).toMatch(
      /NATS: it does not accept the user, .*Authorization Violation/,
    );
    expect(await refusal('read-side', { REDIS_PASSWORD_FILE: file })).toMatch(/Redis: WRONGPASS/);
    for (const server of ['NATS', 'MYSQL', 'REDIS']) {
      const { out, err, code } = await cheeper({ ...composed.env('operator'), [`${server}_PASSWORD_FILE`]: file }, 'status');
      said += `${out}${err}`;
      expect(code).toBe(1);
      expect(out).toMatch(/away.*(Access denied|Authorization Violation|WRONGPASS)/);
    }
  });

  it('or does not encrypt what it should: it gets no password', async () => {
    const plainNats = process.env.TEST_NATS_URL!.replace(/^\w+:\/\/([^@]*@)?/, 'tls://read-side@');
    expect(await refusal('read-side', { NATS_URL: plainNats })).toMatch(/NATS: .*does not support 'tls'/);
    // Redis takes the first words of TLS for the beginning of a command, and waits for the rest.
    const plainRedis = process.env.TEST_REDIS_URL!.replace(/^\w+:\/\/([^@]*@)?/, 'rediss://operator@');
    expect((await cheeper({ ...composed.env('operator'), REDIS_URL: plainRedis }, 'status')).out).toContain('Redis away');
    const plainMysql = new URL(process.env.TEST_MYSQL_URL!);
    plainMysql.pathname = '/cheeper';
    plainMysql.username = 'write-side';
    plainMysql.password = '';
    expect(await refusal('write-side', { MYSQL_URL: plainMysql.href })).toMatch(/MySQL: .*(secure connection|not of a CA)/);
  });
});

describe('passwords and certificates that are replaced', () => {
  it('are those of the next connect, and nobody restarts a service for that', async () => {
    const processes = composed.services.map(({ pid }) => pid);
    const before = ['gateway-nats', 'read-side-nats', 'gateway-redis', 'read-side-redis', 'write-side-mysql'].map((name) => [
      name,
      composed.secret(name),
    ]);
    for (const [name] of before) writeFileSync(join(composed.secrets, name!), '');
    for (const name of ['gateway', 'read-side', 'write-side']) writeFileSync(join(composed.secrets, `${name}.pem`), '');
    composed.makeSecrets();
    for (const [name, value] of before) expect(composed.secret(name!)).not.toBe(value);
    await reload('nats');
    await reload('redis');
    const root = await composed.mysqlAsRoot();
    await root.query(`ALTER USER 'write-side'@'%' IDENTIFIED BY '${composed.secret('write-side-mysql')}'`);
    const [rows] = await root.query<mysql.RowDataPacket[]>(`SELECT id AS id FROM information_schema.processlist WHERE user = 'write-side'`);
    expect(rows.length).toBeGreaterThan(0);
    for (const { id } of rows) await root.query(`KILL ${id}`);
    await root.end();
    await Promise.all(composed.services.map((service) => service.ready()));
    const bob = client();
    bob.accessToken = (await eventually(async () => (await logIn('bob').catch(() => null))?.logIn.session, 'bob can log in')).accessToken;
    const { postCheep } = await bob.request(PostCheepReceiptDocument, { input: { message: 'as if nothing had happened' } });
    expect(postCheep.status).toBe('COMMITTED');
    expect(composed.services.map(({ pid }) => pid)).toEqual(processes);
    for (const [, value] of before) secretsOnce.push(value!);
  });
});

const secretsOnce: string[] = ['a-wrong-secret'];

describe('what is logged', () => {
  it('has no secret in it, whatever went wrong', () => {
    const current = readdirSync(composed.secrets).filter((name) => /-(nats|redis|mysql|root|key)$/.test(name));
    const secrets = [...current.map(composed.secret), ...secretsOnce, PASSWORD];
    for (const file of ['gateway', 'write-side', 'read-side']) said += readFileSync(join(composed.logs, `${file}.log`), 'utf8');
    expect(said.length).toBeGreaterThan(1_000);
    for (const secret of secrets) expect(said.includes(secret)).toBe(false);
    expect(said).not.toMatch(/BEGIN \w*\s?PRIVATE KEY/);
  });
});

describe('docker-compose.yml', () => {
  const { services, secrets } = readComposition();

  it('has no password in it, nor a place for one in the environment', () => {
    const text = readFileSync('docker-compose.yml', 'utf8');
    expect(text).not.toMatch(/PASSWORD: |SIGNING_KEY: |MAIL_URL: |\/\/[^\s/@]+:[^\s/@]+@/);
    for (const [name, { environment = {} }] of Object.entries(services)) {
      for (const key of Object.keys(environment)) {
        expect([name, key]).not.toEqual([name, expect.stringMatching(/(PASSWORD|KEY|SECRET|TOKEN)$/)]);
      }
    }
  });

  it('gives each container the secrets that it needs, all of which are made', () => {
    for (const [name, { environment = {}, command = [], secrets: given = [] }] of Object.entries(services)) {
      const said = [...Object.values(environment), ...command].join('\n');
      const needed = new Set([...said.matchAll(/\/run\/secrets\/([\w.-]+)/g)].map(([, secret]) => secret!));
      const has = given.map((secret) => (typeof secret === 'string' ? secret : secret.source));
      for (const secret of needed) expect([name, ...has]).toContain(secret);
      for (const secret of has) expect(secrets[secret]?.file).toBe(`./secrets/${secret}`);
      expect(has).not.toContain('ca.key');
    }
    const made = new Set(readdirSync(composed.secrets));
    for (const secret of Object.keys(secrets)) expect(made).toContain(secret);
  });

  it('runs nothing with more rights than it needs, and opens one port', () => {
    for (const [name, service] of Object.entries(services)) {
      expect({ name, ...service }).toMatchObject({
        name,
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
        networks: expect.arrayContaining(['stores']),
      });
    }
    expect(Object.entries(services).flatMap(([name, { ports }]) => (ports ? [[name, ports]] : []))).toEqual([['gateway', ['4000:4000']]]);
    expect(readFileSync('Dockerfile', 'utf8')).toMatch(/^USER node$/m);
  });

  it('has secrets that nobody else gets at, random ones, and the same again when they are made again', () => {
    expect(statSync(composed.secrets).mode & 0o777).toBe(0o700);
    expect(statSync(join(composed.secrets, 'ca.key')).mode & 0o777).toBe(0o600);
    const passwords = readdirSync(composed.secrets).filter((name) => /-(nats|redis|mysql|root|key)$/.test(name));
    expect(passwords).toHaveLength(11);
    const values = passwords.map(composed.secret);
    expect(new Set(values).size).toBe(values.length);
    for (const value of values) expect(value).toMatch(/^[0-9a-f]{64}$/);
    const before = readdirSync(composed.secrets).map((name) => [name, composed.secret(name)]);
    composed.makeSecrets();
    expect(readdirSync(composed.secrets).map((name) => [name, composed.secret(name)])).toEqual(before);
    expect(composed.secret('redis.acl')).not.toContain(composed.secret('gateway-redis'));
  });
});
