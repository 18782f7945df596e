/**
 * The image, without Docker: what `.dockerignore` lets in is compiled as in the Dockerfile, and run with the packages of production alone. The
 * services, migrations, the IDE and the operator's command must need nothing else.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { cpSync, globSync, lstatSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import mysql from 'mysql2/promise';
import { newId } from '../../shared/ids.js';
import { temporaryFolder } from '../../stack/stack.mjs';
import { eventually, freePort, SIGNING_KEY } from '../system.js';

const ROOT = join(import.meta.dirname, '../..');
/** The packages are links here, and must not find what is beside their targets. */
const NODE = ['--preserve-symlinks', '--preserve-symlinks-main'];
/** Of all packages of production, on the disk. */
const MAX_PACKAGES_BYTES = 150 * 1024 * 1024;

let folder: string;
let app: string;
let packages: string[];
const children: ChildProcess[] = [];
const database = `t${newId().slice(-8)}`;
const env = {
  PATH: process.env.PATH,
  NODE_ENV: 'production',
  MYSQL_URL: `${process.env.TEST_MYSQL_URL!.replace(/\/$/, '')}/${database}`,
  NATS_URL: process.env.TEST_NATS_URL,
  REDIS_URL: process.env.TEST_REDIS_URL,
  NAMESPACE: database,
  SIGNING_KEY,
};

beforeAll(async () => {
  folder = await temporaryFolder();
  const context = join(folder, 'context');
  for (const file of letIn()) {
    mkdirSync(dirname(join(context, file)), { recursive: true });
    cpSync(join(ROOT, file), join(context, file));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(context, 'node_modules'));
  execFileSync('npm', ['run', 'build'], { cwd: context, stdio: 'pipe' });

  app = join(folder, 'app');
  mkdirSync(app);
  cpSync(join(context, 'package.json'), join(app, 'package.json'));
  cpSync(join(context, 'dist'), join(app, 'dist'), { recursive: true });
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  packages = Object.entries(lock.packages)
    .filter(([path, { dev }]) => path.startsWith('node_modules/') && !dev && !/node-linux-/.test(path))
    .map(([path]) => path)
    .filter((path) => statSync(join(ROOT, path), { throwIfNoEntry: false }) !== undefined);
  for (const path of packages.filter((one) => one.lastIndexOf('node_modules/') === 0)) {
    mkdirSync(dirname(join(app, path)), { recursive: true });
    symlinkSync(join(ROOT, path), join(app, path));
  }
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  const connection = await mysql.createConnection(process.env.TEST_MYSQL_URL!);
  await connection.query(`DROP DATABASE IF EXISTS ${database}`);
  await connection.end();
  rmSync(folder, { recursive: true, force: true });
});

/** The files that `.dockerignore` lets in: its last pattern that matches a file, or a folder above it, decides. */
function letIn(): string[] {
  const rules = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n').filter(Boolean);
  const files = globSync('**/*', { cwd: ROOT, exclude: (name) => ['node_modules', '.git', '.servers', 'dist', 'data'].includes(name) });
  const asPattern = (rule: string) =>
    new RegExp(`^${rule.replace(/[.]/g, '\\.').replaceAll('**/', '\0').replaceAll('*', '[^/]*').replaceAll('\0', '(.*/)?')}(/|$)`);

  return files.filter((file) => {
    if (!lstatSync(join(ROOT, file)).isFile()) return false;
    const last = rules.findLast((rule) => asPattern(rule.replace(/^!/, '')).test(file));
    return last === undefined || last.startsWith('!');
  });
}

const run = (...args: string[]) => spawnSync(process.execPath, [...NODE, ...args], { cwd: app, env, encoding: 'utf8' });

function start(name: string, more: NodeJS.ProcessEnv): void {
  children.push(spawn(process.execPath, [...NODE, `dist/${name}/main.js`], { cwd: app, env: { ...env, ...more }, stdio: 'ignore' }));
}

describe('the image', () => {
  it('has no tests, and only the packages that production needs', () => {
    const bytes = packages
      .flatMap((path) =>
        globSync('**/*', { cwd: join(ROOT, path), exclude: (name) => name === 'node_modules' }).map((file) => join(ROOT, path, file)),
      )
      .reduce((sum, file) => sum + (lstatSync(file).isFile() ? lstatSync(file).size : 0), 0);
    expect(bytes).toBeLessThan(MAX_PACKAGES_BYTES);
    expect(packages.filter((path) => /monaco|react|prettier|jest|typescript$/.test(path))).toEqual([]);
    const files = letIn();
    const sources = files.filter((file) => file.endsWith('.ts')).map((file) => readFileSync(join(ROOT, file), 'utf8'));
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { dependencies: Record<string, string> };
    const isImported = (name: string) => sources.some((text) => text.includes(`'${name}'`) || text.includes(`'${name}/`));
    expect(Object.keys(dependencies).filter((name) => !isImported(name))).toEqual([]);
    expect(files.filter((file) => file.endsWith('.test.ts') || file.startsWith('tests/'))).toEqual([]);
  });

  it('runs migrations, the three services, the IDE and the operator’s command', async () => {
    expect(run('dist/write-side/migrate.js')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^Migrated: /) as unknown });
    const [port, writeSide, readSide] = [await freePort(), await freePort(), await freePort()];
    start('write-side', { HEALTH_PORT: String(writeSide) });
    start('read-side', { HEALTH_PORT: String(readSide) });
    // In production the page is off, unless it is asked for.
    start('gateway', { PORT: String(port), HOST: '127.0.0.1', GATEWAY_PROCESSES: '1', IDE: 'on', INTROSPECTION: 'on' });
    for (const one of [port, writeSide, readSide]) {
      const readyz = () => fetch(`http://127.0.0.1:${one}/readyz`).catch(() => null);
      await eventually(async () => (await readyz())?.ok, 'it is ready');
    }

    const page = await (await fetch(`http://127.0.0.1:${port}/`)).text();
    const files = [...page.matchAll(/(?:src|href|from|import)\W{1,3}(\/ruru\/[\w./-]+)/g)].map(([, path]) => path!);
    expect(files.length).toBeGreaterThan(0);
    for (const path of files) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      expect({ path, status: response.status, isEmpty: (await response.text()).length < 100 }).toEqual({
        path,
        status: 200,
        isEmpty: false,
      });
    }

    const status = run('dist/cli/main.js', 'status');
    expect(status).toMatchObject({ status: 0, stderr: '' });
    expect(run('dist/cli/main.js', 'backup', join(folder, 'backup'))).toMatchObject({ status: 0 });
    expect(run('dist/cli/main.js', 'journal')).toMatchObject({ status: 0 });
  });
});
