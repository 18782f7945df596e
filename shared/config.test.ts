import { describe, expect, it } from '@jest/globals';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError, readConfig, settings } from './config.js';

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
      ALLOWED_ORIGINS: [],
    });
    const said = readConfig(['PORT', 'ALLOWED_ORIGINS'], { PORT: '80', ALLOWED_ORIGINS: ' https://a.example, http://b.example:8080 ,' });
    expect(said).toEqual({ PORT: 80, ALLOWED_ORIGINS: ['https://a.example', 'http://b.example:8080'] });
  });

  it('that are empty are not set', () => {
    expect(readConfig(['PORT'], { PORT: '' })).toEqual({ PORT: 4_000 });
    expect(complaint(['NATS_URL'], { NATS_URL: '' })).toBe('Settings: NATS_URL is missing');
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
    };
    const line = complaint(Object.keys(wrong) as Name[], wrong);

    for (const name of Object.keys(wrong)) expect(line).toContain(name);
    expect(line).not.toMatch(/se.?cret/);
    expect(line).toContain('host');
  });
});
