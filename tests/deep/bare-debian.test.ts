/**
 * On a Debian 12 with nothing but Node 20 and npm, `npm start` gets ready and `npm test` finds all that it needs: in a folder that
 * debootstrap fills, with this checkout in it. What runs there sees none of this machine's programs; it shares its network.
 *
 * Mounts and processes are in namespaces of their own, which end with the process that was started here, however that ends.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { findProgram } from '../../stack/children.mjs';
import { freePort, temporaryFolder } from '../../stack/stack.mjs';

const CHECKOUT = join(import.meta.dirname, '../..');
/** What debootstrap has fetched is kept for the next run. */
const FETCHED = join(CHECKOUT, 'node_modules/.cache/debian');
/** For a busy machine, which takes a minute for the packages when it is not. */
const INSTALLED_MS = 600_000;
/** Tests that run programs which nobody has installed: a shell and curl, a shifted clock, jest's own servers. */
const SELECTION = ['tests/guide.test.ts', 'tests/funnel.test.ts', 'tests/arrows.test.ts', 'tests/limits.test.ts'];

let machine: string;
const started: ChildProcess[] = [];
beforeAll(async () => {
  if (process.getuid?.() !== 0 || findProgram('debootstrap') === undefined) {
    throw new Error('This test makes a Debian 12 of its own, which needs root, on a Debian where debootstrap can be installed.');
  }
  machine = join(await temporaryFolder(), 'machine');
  mkdirSync(FETCHED, { recursive: true });
  run('debootstrap', ['--variant=minbase', `--cache-dir=${FETCHED}`, 'bookworm', machine]);
  giveNode();
  giveNetwork();
  run('git', ['-c', 'safe.directory=*', 'clone', '--quiet', '--no-hardlinks', CHECKOUT, join(machine, 'cheeper')]);
}, INSTALLED_MS);
afterAll(() => {
  for (const child of started) child.kill('SIGKILL');
  if (machine) rmSync(dirname(machine), { recursive: true, force: true });
});

it(
  'npm start gets ready, and does what it is for; npm test passes',
  async () => {
    const port = await freePort();
    const system = inside(`PORT=${port} exec npm start`);
    await until(system, 'Cheeper is ready.');
    const written = await ask(
      port,
      'mutation { signUp(input: {username: "alice", email: "a@example.org", password: "correct horse"}) { status } }',
    );
    expect(written.data).toEqual({ signUp: { status: 'COMMITTED' } });
    const headers = { 'x-cheeper-consistency': written.token };
    const read = await ask(port, '{ authorByUsername(username: "alice") { username } }', headers);
    expect(read.data).toEqual({ authorByUsername: { username: 'alice' } });
    system.child.kill('SIGKILL');
    await system.ended;

    const tests = inside(`exec npm test -- ${SELECTION.join(' ')}`);
    expect((await tests.ended) === 0 ? 'passed' : tests.output).toBe('passed');
    expect(tests.output).toMatch(/^[1-9]\d* passed, 0 failed$/m);
  },
  INSTALLED_MS,
);

/** Node and npm as this machine has them, where none of Debian's are. */
function giveNode(): void {
  const local = join(machine, 'usr/local');
  const npm = process.env['npm_execpath'] ?? realpathSync(findProgram('npm')!);
  const node = findProgram('node')!;
  mkdirSync(join(local, 'lib/node_modules'), { recursive: true });
  cpSync(realpathSync(node), join(local, 'bin/node'));
  cpSync(dirname(dirname(npm)), join(local, 'lib/node_modules/npm'), { recursive: true, dereference: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin/npm'));
  run('chroot', [machine, 'node', '--version']);
}

/** How this machine gets to Debian's packages and npm's: names, proxies, certificates, registries. */
function giveNetwork(): void {
  const config = (name: string) => spawnSync('npm', ['config', 'get', name], { encoding: 'utf8', cwd: '/' }).stdout.trim();
  const files = ['/etc/resolv.conf', '/etc/hosts', config('cafile'), process.env['NODE_EXTRA_CA_CERTS'] ?? ''];
  for (const file of files) if (file.startsWith('/') && existsSync(file)) cpSync(realpathSync(file), join(machine, file));
  for (const [name, place] of [
    ['userconfig', '/root/.npmrc'],
    ['globalconfig', '/usr/local/etc/npmrc'],
  ] as const) {
    const file = config(name);
    if (existsSync(file)) cpSync(file, join(machine, place));
  }
  const proxies = spawnSync('apt-config', ['dump', '--format', '%f "%v";%n', 'Acquire::http::Proxy', 'Acquire::https::Proxy']).stdout;
  run('sh', ['-c', 'cat > "$0"', join(machine, 'etc/apt/apt.conf.d/90proxy')], proxies);
}

interface Inside {
  child: ChildProcess;
  output: string;
  ended: Promise<number | null>;
}

/** Runs a command of a shell in the checkout, on that machine. */
function inside(command: string): Inside {
  const isolated = ['--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private'];
  const mounts = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" sh -c "cd /cheeper && $1"';
  const passed = /^((https?|no|all)_proxy|NODE_EXTRA_CA_CERTS)$/i;
  const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => passed.test(name))),
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
  };
  const child = spawn('unshare', [...isolated, 'sh', '-c', mounts, machine, command], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  const result: Inside = { child, output: '', ended: once(child, 'close').then(([code]) => code as number | null) };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (result.output += data));

  return result;
}

async function until(system: Inside, line: string): Promise<void> {
  const seen = new Promise<void>((resolve) => {
    system.child.stdout!.on('data', () => {
      if (system.output.includes(line)) resolve();
    });
  });
  await Promise.race([
    seen,
    system.ended.then((code) => {
      throw new Error(`It ended (${code}):\n${system.output}`);
    }),
  ]);
}

async function ask(port: number, query: string, headers: Record<string, string> = {}): Promise<{ data: unknown; token: string }> {
  const response = await fetch(`http://127.0.0.1:${port}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query }),
  });
  const { data } = (await response.json()) as { data: unknown };

  return { data, token: response.headers.get('x-cheeper-consistency') ?? '' };
}

function run(program: string, args: string[], input?: Buffer): void {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', input });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${error?.message ?? ''}\n${stdout.slice(-2_000)}${stderr}`);
}
