/**
 * The newest MySQL, NATS and Redis that Debian has, for `npm run test:servers`: those of its unstable suite, in a folder of the project, whatever
 * the machine's own release is.
 *
 * Their programs run outside that folder, with the C library from inside it. So data folders, ports, signals and process ids are those of
 * any other program, and nothing of the machine is changed, except that debootstrap is installed when it is missing.
 *
 * No dependencies; Node 20 and later.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram, launch } from './children.mjs';
import { holding } from './lock.mjs';
import { installFromDebian } from './prepare.mjs';
import { Failure, say, seconds } from './tell.mjs';

const folder = fileURLToPath(new URL('../.servers', import.meta.url));
const root = join(folder, 'root');
const programs = join(folder, 'bin');
const packages = ['mysql-server-core', 'nats-server', 'redis-server'];
/** Where in `root` they are; Valkey would do too. */
const paths = { mysqld: 'usr/sbin', 'nats-server': 'usr/sbin', 'redis-server': 'usr/bin' };

/**
 * Prepares them when they are not there, which takes a minute.
 *
 * @returns the folder with `mysqld`, `nats-server` and `redis-server`, to come first on the PATH
 */
export async function newestServers() {
  if (!existsSync(root)) expectRootOnDebian();
  try {
    mkdirSync(folder, { recursive: true });
    await holding(folder, async () => {
      if (!existsSync(root)) await install();
    });
    writePrograms();
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === undefined) throw error;
    fails(`${folder} cannot be used`)(/** @type {Error} */ (error));
  }
  for (const name of Object.keys(paths)) say((await output(join(programs, name), ['--version'])).trim());

  return programs;
}

function expectRootOnDebian() {
  const isDebian = existsSync('/etc/debian_version') && findProgram('apt-get') !== undefined;
  if (process.getuid?.() === 0 && isDebian) return;
  throw new Failure('The newest servers are taken from Debian: npm run test:servers must be run as root, on Debian.');
}

async function install() {
  const startedAt = Date.now();
  say(`Preparing ${packages.join(', ')} from Debian's unstable suite in ${folder} …`);
  await installFromDebian(() => (findProgram('debootstrap') === undefined ? ['debootstrap'] : [])).catch(fails('no debootstrap'));

  // Of another name until it is whole. What a killed run has left may still have file systems mounted in it.
  const unfinished = join(folder, 'unfinished');
  for (const mounted of ['proc', 'sys']) await launch('umount', 'umount', ['-q', join(unfinished, mounted)]).exit;
  await output('rm', ['-rf', '--one-file-system', unfinished]);
  await output('debootstrap', ['--variant=minbase', 'sid', unfinished]);
  writeFileSync(join(unfinished, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 }); // starts no daemons
  const inside = (/** @type {string[]} */ ...args) =>
    output('chroot', [unfinished, 'apt-get', '-o', 'Acquire::Check-Valid-Until=false', ...args]);
  await inside('update');
  await inside('install', '-y', '--no-install-recommends', ...packages);
  await inside('clean');
  renameSync(unfinished, root);
  say(`Prepared them in ${seconds(startedAt)}.`);
}

/** Anew each time: the folder may have been moved. */
function writePrograms() {
  const triplet = readdirSync(join(root, 'usr/lib')).find((name) => name.includes('-linux-gnu')) ?? '';
  const libraries = join('usr/lib', triplet);
  const loader = readdirSync(join(root, libraries)).find((name) => name.startsWith('ld-linux'));
  if (triplet === '' || loader === undefined) throw new Failure(`${root} is not whole: remove it, and it is prepared again.`);

  mkdirSync(programs, { recursive: true });
  for (const [name, where] of Object.entries(paths)) {
    const words = [join(root, libraries, loader), '--library-path', join(root, libraries), join(root, where, name)];
    // It looks for its messages relative to itself, and takes the loader for itself. The last of two settings counts.
    const more = name === 'mysqld' ? [`--basedir=${join(root, 'usr')}`, `--lc-messages-dir=${join(root, 'usr/share/mysql')}`] : [];
    writeFileSync(join(programs, name), `#!/bin/sh\nexec ${words.map(quoted).join(' ')} "$@" ${more.map(quoted).join(' ')}\n`, {
      mode: 0o755,
    });
  }
}

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * What a command writes. It must end well.
 *
 * @param {string} program
 * @param {string[]} args
 */
async function output(program, args) {
  const env = {
    ...process.env,
    LC_ALL: 'C',
    DEBIAN_FRONTEND: 'noninteractive',
    PATH: `${process.env['PATH']}:/usr/local/sbin:/usr/sbin:/sbin`,
  };
  const child = launch('servers', program, args, { env });
  const { code } = await child.exit;
  if (code !== 0) fails(`${program} failed`)(new Error(child.tail(3).replaceAll('\n', ' ')));

  return child.tail(3);
}

/** One line. @param {string} what */
const fails = (what) => (/** @type {Error} */ error) => {
  throw new Failure(`The newest servers could not be prepared: ${what} (${error.message.replaceAll(/\s*\n\s*/g, ' ')}).`);
};
