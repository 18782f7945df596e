import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, hostOf, natsServers, readConfig, settings } from './config.js';
import { takeFiles } from './server-url.js';

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
      INTROSPECTION: true,
      IDE: true,
      BATCHES: true,
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
      RATE_LIMITS: 'remote',
      PUBLIC_ORIGINS: [],
      ALLOWED_ORIGINS: [],
      TRUSTED_DOCUMENTS: 'off',
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
    const folders = { MAIL_FOLDER: '/a folder ', TRUSTED_DOCUMENTS_FOLDER: '/another ' };
    expect(readConfig(['MAIL_FOLDER', 'TRUSTED_DOCUMENTS_FOLDER'], folders)).toEqual(folders);
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
    ['INTROSPECTION', 'yes'],
    ['IDE', 'true'],
    ['BATCHES', '1'],
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
    ['RATE_LIMITS', 'off'],
    ['RATE_LIMITS', 'ON'],
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

describe('settings in files', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'cheeper-settings-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string, content: string) => {
    const path = join(folder, name);
    writeFileSync(path, content);

    return path;
  };

  it('are read from them, every setting alike, without the end of the last line', () => {
    const env = {
      SIGNING_KEY_FILE: file('key', `${GOOD.SIGNING_KEY}\n`),
      MYSQL_URL_FILE: file('url', `${GOOD.MYSQL_URL}\r\n`),
      MAIL_URL_FILE: file('mail', 'smtp://me:a%2Fsecret@mail.example'),
      LANES_FILE: file('lanes', '32\n'),
    };
    expect(readConfig(['SIGNING_KEY', 'MYSQL_URL', 'MAIL_URL', 'LANES'], env)).toEqual({
      SIGNING_KEY: GOOD.SIGNING_KEY,
      MYSQL_URL: GOOD.MYSQL_URL,
      MAIL_URL: 'smtp://me:a%2Fsecret@mail.example',
      LANES: 32,
    });
  });

  it('that are empty are not set, as empty variables are not', () => {
    const empty = file('empty', '\n');
    expect(readConfig(['MAIL_URL'], { MAIL_URL_FILE: empty })).toEqual({});
    expect(complaint(['SIGNING_KEY'], { SIGNING_KEY_FILE: empty })).toBe('Settings: SIGNING_KEY is missing');
  });

  it('cannot be given in a variable too, must be readable, and are not repeated when they are wrong', () => {
    const secret = file('secret', 'a short secret');
    const nowhere = join(folder, 'nowhere');
    expect(complaint(['SIGNING_KEY'], { SIGNING_KEY: GOOD.SIGNING_KEY, SIGNING_KEY_FILE: secret })).toBe(
      'Settings: SIGNING_KEY_FILE: SIGNING_KEY is given too, and must not be',
    );
    expect(complaint(['SIGNING_KEY'], { SIGNING_KEY_FILE: nowhere })).toBe(
      `Settings: SIGNING_KEY_FILE: ${nowhere} cannot be read (ENOENT)`,
    );
    expect(complaint(['SIGNING_KEY'], { SIGNING_KEY_FILE: folder })).toContain('cannot be read (EISDIR)');
    expect(complaint(['SIGNING_KEY'], { SIGNING_KEY_FILE: secret })).not.toContain('a short secret');
    const both = { NATS_URL: 'nats://me@a', NATS_PASSWORD: 'x', NATS_PASSWORD_FILE: secret };
    expect(complaint(['NATS_URL'], both)).toContain('NATS_PASSWORD and NATS_PASSWORD_FILE are both given');
    expect(complaint(['REDIS_URL'], { REDIS_URL: GOOD.REDIS_URL, REDIS_PASSWORD_FILE: file('none', '') })).toMatch(/none is empty$/);
  });

  it('hold passwords of the servers, which stay there until they are needed', () => {
    const password = file('password', 'a/b#c%d@e:f?g h\n');
    const env = {
      MYSQL_URL: 'mysql://me@a/cheeper?ssl={}',
      NATS_URL: 'nats://me@a:4222,nats://b:4222',
      REDIS_URL: 'redis://a:6379/1',
      ...{ MYSQL_PASSWORD_FILE: password, NATS_PASSWORD_FILE: password, REDIS_PASSWORD_FILE: password },
    };
    const config = readConfig(['MYSQL_URL', 'NATS_URL', 'REDIS_URL'], env);
    for (const [name, url] of Object.entries(config)) {
      expect(decodeURIComponent(url)).not.toContain('a/b#c');
      const taken = takeFiles(url);
      expect(taken.files).toEqual({ password });
      expect(decodeURIComponent(taken.url)).toBe(decodeURIComponent(env[name as keyof typeof env]));
    }
    expect(natsServers(config.NATS_URL)).toEqual({ servers: ['a:4222', 'b:4222'], token: 'me' });
  });

  it('may be beside a comma in the URL of MySQL or Redis, which has no list of servers', () => {
    const password = file('another', 'x\n');
    const MYSQL_URL = 'mysql://me:a,secret@a/cheeper?ssl={"rejectUnauthorized":true,"verifyIdentity":false}';
    const REDIS_URL = 'redis://me:a,secret@a';
    const inFiles = readConfig(['MYSQL_URL', 'REDIS_URL'], {
      MYSQL_URL,
      REDIS_URL,
      MYSQL_PASSWORD_FILE: password,
      REDIS_PASSWORD_FILE: password,
    });
    expect(decodeURIComponent(takeFiles(inFiles.MYSQL_URL).url)).toBe(MYSQL_URL);
    expect(takeFiles(inFiles.REDIS_URL)).toEqual({ url: REDIS_URL, files: { password } });
    const given = readConfig(['MYSQL_URL', 'REDIS_URL'], { MYSQL_URL, REDIS_URL, MYSQL_PASSWORD: 'x,y', REDIS_PASSWORD: 'x,y' });
    for (const url of Object.values(given)) expect(decodeURIComponent(new URL(url).password)).toBe('x,y');
  });

  it('take a password of NATS or Redis as it is', () => {
    const password = 'a/b#c%d@e:f?g h%25é,';
    const { NATS_URL, REDIS_URL } = readConfig(['NATS_URL', 'REDIS_URL'], {
      NATS_URL: 'tls://me@a:4222,b',
      NATS_PASSWORD: password,
      REDIS_URL: 'rediss://me@a',
      REDIS_PASSWORD: password,
    });
    expect(natsServers(NATS_URL)).toEqual({ servers: ['a:4222', 'b'], user: 'me', pass: password });
    expect(decodeURIComponent(new URL(REDIS_URL).password)).toBe(password);
    expect(complaint(['NATS_URL'], { NATS_URL: 'nats://a', NATS_PASSWORD: 'x' })).toContain('NATS_PASSWORD needs a user in NATS_URL');
  });

  it('for TLS hold certificates, or are named in one line', () => {
    const nonsense = file('nonsense.pem', 'nonsense');
    const nowhere = join(folder, 'nowhere.pem');
    const NATS_URL = 'tls://a:4222';
    expect(complaint(['NATS_URL'], { NATS_URL, TLS_CA_FILE: nonsense })).toBe(
      `Settings: for NATS_URL: ${nonsense} has no certificate in PEM form`,
    );
    expect(complaint(['NATS_URL'], { NATS_URL, NATS_TLS_CA_FILE: nowhere, TLS_CA_FILE: nonsense })).toBe(
      `Settings: for NATS_URL: ${nowhere} cannot be read (ENOENT)`,
    );
    expect(complaint(['NATS_URL'], { NATS_URL, TLS_KEY_FILE: nonsense })).toContain(
      'TLS_CERT_FILE and TLS_KEY_FILE must be given together',
    );
    expect(readConfig(['NATS_URL'], { NATS_URL, REDIS_TLS_CA_FILE: nonsense })).toEqual({ NATS_URL });
  });

  it('say in one way who asks NATS', () => {
    const [creds, nkey] = [file('creds', 'nonsense'), file('nkey', 'nonsense')];
    const NATS_URL = 'nats://a:4222';
    expect(complaint(['NATS_URL'], { NATS_URL, NATS_CREDS_FILE: creds })).toMatch(/creds has no credentials of a user/);
    expect(complaint(['NATS_URL'], { NATS_URL, NATS_NKEY_FILE: nkey })).toMatch(/nkey has no seed of a user's NKey/);
    const several: Record<string, string>[] = [
      { NATS_URL, NATS_CREDS_FILE: creds, NATS_NKEY_FILE: nkey },
      { NATS_URL: 'nats://me:secret@a', NATS_CREDS_FILE: creds },
      { NATS_URL: 'nats://me@a', NATS_PASSWORD: 'x', NATS_NKEY_FILE: nkey },
    ];
    for (const wrong of several) expect(complaint(['NATS_URL'], wrong)).toContain('each say who asks');
  });
});
