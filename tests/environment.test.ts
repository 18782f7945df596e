/**
 * What run.mjs makes of the environment: it tells services which passwords and certificates are for which servers, reads settings from files,
 * and writes them to a file that Node reads.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { readConfig } from '../shared/config.js';
import { takeFiles } from '../shared/server-url.js';
import { credentialsOfGiven, lineForEnvFile, readFilesOf } from '../stack/environment.mjs';
import { serverNames } from '../stack/stack.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cheeper-environment-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, content: string) => {
  const path = join(folder, name);
  writeFileSync(path, content);

  return path;
};

const URLS = {
  MYSQL_URL: 'mysql://me@db.example/cheeper',
  NATS_URL: 'nats://me@127.0.0.1:4222',
  REDIS_URL: 'redis://127.0.0.1:6379',
};

describe('servers that npm start starts', () => {
  /** The files that each connection uses. */
  function filesOf(ours: typeof serverNames, environment: Record<string, string>) {
    const env = { ...environment, ...credentialsOfGiven(serverNames, ours, environment), ...URLS };
    const config = readConfig(['MYSQL_URL', 'NATS_URL', 'REDIS_URL'], env);

    return Object.values(config).map((url) => takeFiles(url).files);
  }

  it('are asked for no TLS when TLS_CA_FILE is of a server that was given', () => {
    const tlsCa = file('ca.pem', rootCertificates[0]!);
    expect(filesOf(['nats', 'redis'], { TLS_CA_FILE: tlsCa })).toEqual([{ tlsCa }, {}, {}]);
    expect(filesOf(['redis'], { TLS_CA_FILE: tlsCa })).toEqual([{ tlsCa }, { tlsCa }, {}]);
    expect(filesOf([], { TLS_CA_FILE: tlsCa })).toEqual([{ tlsCa }, { tlsCa }, { tlsCa }]);
    expect(filesOf(serverNames, { TLS_CA_FILE: tlsCa })).toEqual([{}, {}, {}]);
  });

  it('leave a given server the file that is for it alone', () => {
    const tlsCa = file('own.pem', rootCertificates[1]!);
    const forAll = file('all.pem', rootCertificates[0]!);
    const files = filesOf(['redis'], { TLS_CA_FILE: forAll, MYSQL_TLS_CA_FILE: tlsCa, REDIS_TLS_CA_FILE: tlsCa });
    expect(files).toEqual([{ tlsCa }, { tlsCa: forAll }, {}]);
  });

  it('get none of the passwords that are for others', () => {
    const password = file('password', 'secret');
    const others = { MYSQL_PASSWORD_FILE: password, NATS_PASSWORD_FILE: password, REDIS_PASSWORD_FILE: password };
    expect(filesOf(['nats', 'redis'], others)).toEqual([{ password }, {}, {}]);
  });
});

describe('a setting in a file', () => {
  it('is read as if it were in the environment, without the end of the last line', () => {
    const env = { NAMESPACE_FILE: file('namespace', 'trial\n'), LANES_FILE: '', SHARDS: '4', SHARDS_FILE: '/nowhere' };
    readFilesOf(['NAMESPACE', 'LANES', 'SHARDS'], env);
    // That both are given, the services refuse.
    expect(env).toEqual({ NAMESPACE: 'trial', LANES_FILE: '', SHARDS: '4', SHARDS_FILE: '/nowhere' });
  });

  it('that cannot be read is named in a line by npm start, and does not matter to other commands', () => {
    const run = (command: string) =>
      spawnSync(process.execPath, ['run.mjs', command], {
        cwd: root,
        env: { PATH: process.env.PATH, MYSQL_URL_FILE: '/nowhere/url' },
        encoding: 'utf8',
      });
    expect(run('start')).toMatchObject({ status: 1, stderr: 'MYSQL_URL_FILE: /nowhere/url cannot be read (ENOENT).\n' });
    expect(run('fly')).toMatchObject({ status: 2, stderr: expect.stringMatching(/^Usage: /) });
  });

  it('may be a URL with a comma in its password, of a server that has no list of URLs', () => {
    const env = { PATH: process.env.PATH, MYSQL_URL: 'mysql://me:a,b@h/cheeper?ssl={"a":1,"b":2}', NATS_URL: 'nats://a,http://b:0' };
    const { status, stderr } = spawnSync(process.execPath, ['run.mjs', 'start'], { cwd: root, env, encoding: 'utf8' });
    // It is the next setting that is wrong.
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringMatching(/^NATS_URL must look like [^\n]*\n$/) });
  });
});

describe('a line of a file for node --env-file', () => {
  const read = (lines: string) => {
    const { stdout } = spawnSync(process.execPath, [`--env-file=${file('where.env', lines)}`, '-p', 'JSON.stringify(process.env)'], {
      env: {},
      encoding: 'utf8',
    });

    return JSON.parse(stdout) as Record<string, string>;
  };

  it.each([
    'plain',
    '',
    "it's",
    'a "quoted" word',
    `it's "quoted"`,
    'a `tick`',
    "it's a `tick`",
    'C:\\new',
    `it's C:\\new`,
    'a#b # c',
    `it's # that`,
    '$HOME ${HOME}',
    `it's $HOME`,
    ' spaces ',
    'ends with \\',
    `it's the end \\`,
    'two\nlines',
    'a=b',
  ])('is read back as it was: %j', (value) => {
    const lines = lineForEnvFile('BEFORE', 'x') + lineForEnvFile('VALUE', value) + lineForEnvFile('AFTER', 'y');
    expect(read(lines)).toEqual({ BEFORE: 'x', VALUE: value, AFTER: 'y' });
  });

  it.each(['\'"`', "'`C:\\new", 'a\rb', '\'"`\nBEFORE=z'])('is a comment where no quotes fit: %j', (value) => {
    const line = lineForEnvFile('VALUE', value);
    expect(line).toMatch(/^# VALUE is left out[^\n]*\n$/);
    expect(read(lineForEnvFile('BEFORE', 'x') + line + lineForEnvFile('AFTER', 'y'))).toEqual({ BEFORE: 'x', AFTER: 'y' });
  });
});
