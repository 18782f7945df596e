import { describe, expect, it } from '@jest/globals';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, hostOf, natsServers, readConfig, settings } from './config.js';

type Name = keyof typeof settings;

/** What the process would say at last. */
function complaint(names: Name[], env: Record<string, string>): string {
  try {
    readConfig(names, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('nothing was wrong');
}

const GOOD = {
  NATS_URL: 'nats://localhost:4222',
  MYSQL_URL: 'mysql://root@localhost:3306/cheeper',
  REDIS_URL: 'redis://localhost:6379',
  SIGNING_KEY: 'x'.repeat(32),
  HEALTH_PORT: '4001',
  CHEEPER_URL: 'http://localhost:4000',
};

describe('settings', () => {
  it('are parsed, and have defaults where nothing is said', () => {
    const names = Object.keys(settings) as Name[];
    expect(readConfig(names, GOOD)).toEqual({
      ...GOOD,
      NAMESPACE: 'cheeper',
      PORT: 4_000,
      HOST: '0.0.0.0',
      HEALTH_PORT: 4_001,
      CHEEPER_URL: ['http://localhost:4000'],
      GATEWAY_PROCESSES: Math.max(1, Math.floor(availableParallelism() / 4)),
      LOG_LEVEL: 'info',
      LANES: 16,
      SHARDS: 8,
      HOT_FOLLOWERS: 1_000,
      ACCESS_TOKEN_HOURS: 24,
      COMMANDS_IN_A_BATCH: 256,
      COMMIT_DEADLINE_MS: 5_000,
      READ_DEADLINE_MS: 1_000,
      MAIL_FOLDER: join(tmpdir(), 'cheeper-mail'),
      MAIL_FROM: 'Cheeper <cheeper@localhost>',
      TRUST_PROXY: false,
      PUBLIC_ORIGINS: [],
      ALLOWED_ORIGINS: [],
    });
    const said = readConfig(['PORT', 'ALLOWED_ORIGINS'], { PORT: '80', ALLOWED_ORIGINS: ' https://a.example, http://b.example:8080 ,' });
    expect(said).toEqual({ PORT: 80, ALLOWED_ORIGINS: ['https://a.example', 'http://b.example:8080'] });
  });

  it('take origins as a browser writes them, and whose word a proxy’s is', () => {
    const origins = readConfig(['PUBLIC_ORIGINS', 'ALLOWED_ORIGINS'], {
      PUBLIC_ORIGINS: 'HTTPS://Example.org:443,http://[::1]:80',
      ALLOWED_ORIGINS: 'capacitor://localhost, chrome-extension://abc',
    });
    expect(origins).toEqual({
      PUBLIC_ORIGINS: ['https://example.org', 'http://[::1]'],
      ALLOWED_ORIGINS: ['capacitor://localhost', 'chrome-extension://abc'],
    });
    const trusted = (TRUST_PROXY: string) => readConfig(['TRUST_PROXY'], { TRUST_PROXY }).TRUST_PROXY;
    expect(['true', 'false', '', 'loopback, 10.0.0.0/8,2001:db8::/32'].map(trusted)).toEqual([
      true,
      false,
      false,
      ['loopback', '10.0.0.0/8', '2001:db8::/32'],
    ]);
  });

  it('that are empty are not set', () => {
    expect(readConfig(['PORT'], { PORT: '' })).toEqual({ PORT: 4_000 });
    expect(complaint(['NATS_URL'], { NATS_URL: '' })).toBe('Settings: NATS_URL is missing');
  });

  it('may have spaces and ends of lines around them, as what is read from a file has', () => {
    const said = {
      PORT: ' 80\n',
      MYSQL_URL: `${GOOD.MYSQL_URL}\n`,
      HOST: '[::1]\r\n',
      LOG_LEVEL: ' warn',
      SIGNING_KEY: `${GOOD.SIGNING_KEY}\n`,
    };
    const names = Object.keys(said) as (keyof typeof said)[];
    expect(readConfig(names, said)).toEqual({
      PORT: 80,
      MYSQL_URL: GOOD.MYSQL_URL,
      HOST: '::1',
      LOG_LEVEL: 'warn',
      SIGNING_KEY: GOOD.SIGNING_KEY,
    });
    expect(readConfig(['MAIL_FOLDER'], { MAIL_FOLDER: '/a folder ' })).toEqual({ MAIL_FOLDER: '/a folder ' });
  });

  it.each([
    ['mysql://root@[::1]:3306/cheeper', '::1'],
    ['mysql://root@[fd00::2]/cheeper', 'fd00::2'],
    ['mysql://root@127.0.0.1:3306/cheeper', '127.0.0.1'],
    ['mysql://db.example/cheeper', 'db.example'],
  ])('have hosts as sockets take them: %s', (url, host) => {
    expect(readConfig(['MYSQL_URL'], { MYSQL_URL: url })).toEqual({ MYSQL_URL: url });
    expect(hostOf(url)).toBe(host);
  });

  it.each([
    ['nats://[::1]:4222', { servers: ['[::1]:4222'] }],
    ['nats://a:4222,nats://b:4223', { servers: ['a:4222', 'b:4223'] }],
    ['tls://me:1%25@a:4222,b', { servers: ['a:4222', 'b'], user: 'me', pass: '1%' }],
    ['nats://s%2Fecret@a', { servers: ['a'], token: 's/ecret' }],
  ])('name one server of NATS or several, and who asks: %s', (url, servers) => {
    expect(readConfig(['NATS_URL'], { NATS_URL: url })).toEqual({ NATS_URL: url });
    expect(natsServers(url)).toEqual(servers);
  });

  it('that nobody asked for are not looked at', () => {
    expect(readConfig(['PORT'], { NATS_URL: 'nonsense', LANES: '-1' })).toEqual({ PORT: 4_000 });
  });

  it('have all their faults told in one line', () => {
    const wrong = {
      NATS_URL: 'localhost:4222',
      MYSQL_URL: 'mysql://localhost',
      NAMESPACE: 'No',
      PORT: '0',
      LANES: 'many\nlanes',
      LOG_LEVEL: 'loud',
    };
    const line = complaint(['NATS_URL', 'MYSQL_URL', 'REDIS_URL', 'NAMESPACE', 'PORT', 'LANES', 'SHARDS', 'LOG_LEVEL'], wrong);

    expect(line).not.toContain('\n');
    expect(line.match(/\b[A-Z]+(_[A-Z]+)*(?= (is|must))/g)).toEqual([
      'NATS_URL',
      'MYSQL_URL',
      'REDIS_URL',
      'NAMESPACE',
      'PORT',
      'LANES',
      'LOG_LEVEL',
    ]);
    expect(line).toContain('REDIS_URL is missing');
  });

  it.each<[Name, string]>([
    ['NATS_URL', 'http://localhost'],
    ['MYSQL_URL', 'mysql://localhost:3306/'],
    ['MYSQL_URL', 'mysql://localhost:3306/a/b'],
    ['MYSQL_URL', 'mysql://root:100%@localhost/cheeper'],
    ['MYSQL_URL', 'mysql://root:%zz@localhost/cheeper'],
    ['MYSQL_URL', 'mysql://local%zzhost/cheeper'],
    ['MYSQL_URL', 'mysql://local\nhost/cheeper'],
    ['MYSQL_URL', 'mysql:///cheeper'],
    ['MYSQL_URL', 'mysql://localhost:0/cheeper'],
    ['MYSQL_URL', 'mysql://localhost:99999/cheeper'],
    ['NATS_URL', 'nats://me:%@localhost'],
    ['NATS_URL', 'nats://a:4222,http://b'],
    ['NATS_URL', 'nats://a:4222,'],
    ['MAIL_URL', 'smtp://me:%e9@localhost'],
    ['CHEEPER_URL', 'http://%/'],
    ['REDIS_URL', 'redis://localhost/%'],
    ['REDIS_URL', 'redis://localhost/cheeper'],
    ['HOST', 'localhost:4000'],
    ['HOST', 'http://localhost'],
    ['MYSQL_URL', 'mysql://cheeper:a/b@localhost:3306/cheeper'],
    ['MYSQL_URL', 'mysql://cheeper:a#b@localhost:3306/cheeper'],
    ['MYSQL_URL', 'mysql://cheeper:100%@localhost:3306/cheeper'],
    ['MYSQL_URL', 'mysql://cheeper:100%25@localhost:3306/cheeper?ssl=true'],
    ['REDIS_URL', 'localhost'],
    ['NAMESPACE', '1st'],
    ['NAMESPACE', 'dots.are.separators'],
    ['NAMESPACE', 'a'.repeat(25)],
    ['PORT', '65536'],
    ['PORT', '80.5'],
    ['LANES', '0'],
    ['LANES', '257'],
    ['SHARDS', '1e9'],
    ['HOT_FOLLOWERS', '5001'],
    ['LOG_LEVEL', 'INFO'],
    ['SIGNING_KEY', 'x'.repeat(31)],
    ['ACCESS_TOKEN_HOURS', '0'],
    ['READ_DEADLINE_MS', '9'],
    ['ALLOWED_ORIGINS', 'https://a.example/'],
    ['ALLOWED_ORIGINS', 'https://a.example,*'],
    ['ALLOWED_ORIGINS', 'null'],
    ['ALLOWED_ORIGINS', 'https://me@a.example'],
    ['PUBLIC_ORIGINS', 'a.example'],
    ['PUBLIC_ORIGINS', 'capacitor://localhost'],
    ['PUBLIC_ORIGINS', 'https://a.example?x'],
    ['TRUST_PROXY', 'yes'],
    ['TRUST_PROXY', '1'],
    ['TRUST_PROXY', ','],
    ['TRUST_PROXY', '10.0.0.0/33'],
    ['TRUST_PROXY', 'true, 10.0.0.1'],
  ])('are checked: %s is not %j', (name, value) => {
    expect(complaint([name], { [name]: value })).toMatch(new RegExp(`^Settings: ${name} `));
  });

  it('take a password of MySQL as it is, in the place of the one in the URL', () => {
    const MYSQL_PASSWORD = 'a/b#c%d@e:f?g h%25é';
    for (const MYSQL_URL of ['mysql://me@[::1]:3306/cheeper?ssl={}', 'mysql://me:another@[::1]:3306/cheeper?ssl={}']) {
      const address = new URL(readConfig(['MYSQL_URL'], { MYSQL_URL, MYSQL_PASSWORD }).MYSQL_URL);
      expect(decodeURIComponent(address.password)).toBe(MYSQL_PASSWORD);
      address.password = '';
      expect(address.href).toBe(new URL('mysql://me@[::1]:3306/cheeper?ssl={}').href);
    }
  });

  it('keep their secrets when they are wrong', () => {
    const wrong = {
      SIGNING_KEY: 'a short secret',
      MYSQL_URL: 'mysql://root:a secret@localhost',
      NATS_URL: 'nat://me:a/se@cret@host',
      REDIS_URL: 'http://:secret@host',
      MAIL_URL: 'smtp://me:100%secret@host',
    };
    const line = complaint(Object.keys(wrong) as Name[], wrong);

    for (const name of Object.keys(wrong)) expect(line).toContain(name);
    expect(line).not.toMatch(/se.?cret/);
    expect(line).toContain('host');
  });
});
