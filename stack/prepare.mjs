/**
 * What has to be there before anything of ours can run: the packages, Node 24, the servers, and what tests use. Fetched when missing, once.
 *
 * An installation that was killed is done again: the stamp that says "installed" is written last, and apt-get is given a
 * chance to finish what it was in the middle of. Several commands at once wait for one another.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findProgram, isStopping, launch, must } from './children.mjs';
import { holding } from './lock.mjs';
import { missingPackages } from './stack.mjs';
import { Failure, say, seconds } from './tell.mjs';

/** @typedef {import('./stack.mjs').ServerName} ServerName */

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * @param {ServerName[]} servers that have to be installed
 * @param {{ clocks?: boolean, tools?: Record<string, string> }} [wanted] `clocks`: what shifts the clocks of processes, for tests. Only if it can
 *   be had: they do without. `tools`: programs that tests run, each with Debian's package of it.
 * @returns Node 24
 */
export async function prepare(servers, { clocks = false, tools = {} } = {}) {
  await Promise.all([installPackages(), installServers(servers, clocks, tools)]);

  const bundled = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath;
  if (existsSync(bundled)) return bundled;
  throw new Failure(`Cheeper needs Node 24 or later on ${process.platform}-${process.arch}; this is ${process.version}.`);
}

async function installPackages() {
  const lockfile = join(root, 'package-lock.json');
  const stampFile = join(root, 'node_modules', '.cheeper-stamp');
  const lockHash = createHash('sha256').update(readFileSync(lockfile)).digest('hex');
  const stamp = `${lockHash} ${process.platform}-${process.arch}`;
  const areInstalled = () => existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp;
  if (areInstalled()) return;

  await holding(lockfile, async () => {
    if (areInstalled()) return;
    const startedAt = Date.now();
    say('Installing the packages (npm ci) …');
    const [program, ...args] = npm();
    const { npm_config_local_prefix: _, ...env } = process.env; // that of the project whose script we may be run from
    const options = ['--include=dev', '--include=optional', '--ignore-scripts', '--no-audit', '--no-fund'];
    await must('npm ci', program, [...args, 'ci', ...options], { cwd: root, env });
    writeFileSync(stampFile, stamp); // last: it says that all else is there
    say(`Installed the packages in ${seconds(startedAt)}.`);
  });
}

/** The npm that started us, or the one on the PATH. @returns {[string, ...string[]]} */
function npm() {
  const ours = process.env['npm_execpath'] ?? '';
  if (basename(ours) === 'npm-cli.js' && existsSync(ours)) return [process.execPath, ours];

  const found = findProgram('npm');
  if (found === undefined) throw new Failure('npm is not on the PATH.');

  return [found];
}

/** Debian's, of the library that is loaded into a process and tells it another time. */
const FAKETIME = 'libfaketime';
const clocksAreThere = () => readdirSync('/usr/lib').some((folder) => existsSync(`/usr/lib/${folder}/faketime/libfaketimeMT.so.1`));

/** @param {ServerName[]} servers @param {boolean} clocks @param {Record<string, string>} tools */
async function installServers(servers, clocks, tools) {
  const canInstall = process.getuid?.() === 0 && findProgram('apt-get') !== undefined;
  const missingTools = () =>
    Object.entries(tools)
      .filter(([program]) => findProgram(program) === undefined)
      .map(([, name]) => name);
  const missingNow = () => [
    ...missingPackages(servers),
    ...missingTools(),
    ...(clocks && canInstall && !clocksAreThere() ? [FAKETIME] : []),
  ];
  const missing = missingNow();
  if (missing.length === 0) return;
  if (!canInstall) {
    const others = missingPackages(servers).length > 0 ? ', or give MYSQL_URL, NATS_URL and REDIS_URL to npm start' : '';
    throw new Failure(`Please install ${missing.join(', ')} (Debian's names)${others}.`);
  }

  await installFromDebian(missingNow);
}

/**
 * As root, on Debian.
 *
 * @param {() => string[]} missingNow the packages that are missing; asked again when it is this command's turn
 */
export async function installFromDebian(missingNow) {
  await holding('/var/lib/dpkg', async () => {
    const packages = missingNow();
    if (packages.length === 0) return;
    const startedAt = Date.now();
    say(`Installing ${packages.join(', ')} (apt-get) …`);
    const allowDaemons = forbidDaemons();
    try {
      await aptInstall(packages);
    } finally {
      allowDaemons();
    }
    for (const name of existsSync('/run/systemd/system') ? packages : []) {
      await launch('systemctl', 'systemctl', ['disable', name]).exit; // nor are they to start when the machine does
    }
    say(`Installed them in ${seconds(startedAt)}.`);
  });
}

/** @param {string[]} packages */
async function aptInstall(packages) {
  const options = {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', PATH: `${process.env['PATH']}:/usr/local/sbin:/usr/sbin:/sbin` },
    stopSignal: /** @type {const} */ ('SIGINT'), // apt-get finishes what dpkg is in the middle of
  };
  const deadline = Date.now() + 300_000;
  /** @type {[string, ...string[]][]} */
  const steps = [
    ['dpkg', '--configure', '-a'], // an earlier installation may have been killed
    ['apt-get', 'update'],
    ['apt-get', 'install', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', ...packages],
  ];

  for (;;) {
    let output = '';
    let code;
    for (const [program, ...args] of steps) {
      const child = launch(program, program, args, options);
      ({ code } = await child.exit);
      output += `${child.tail(20)}\n`;
    }
    if (code === 0) return; // a list that could not be updated matters only if the installation fails
    if (isStopping() || !/\block(ed)?\b/.test(output) || Date.now() > deadline) throw new Failure(`apt-get failed:\n${output}`);
    await sleep(2000); // a new machine often updates itself first
  }
}

/**
 * Debian starts the daemons that it installs, on their standard ports. This asks it not to, for as long as this process
 * lives; so if we are killed before it is undone, the file that is left forbids nothing, and the next time removes it.
 */
function forbidDaemons() {
  const file = '/usr/sbin/policy-rc.d';
  const mark = "# Made by Cheeper's run.mjs while it installs packages; may be removed.";
  const theirs = existsSync(file) && !readFileSync(file, 'utf8').includes(mark);
  if (theirs) return () => {};

  writeFileSync(file, `#!/bin/sh\n${mark}\nkill -0 ${process.pid} 2>/dev/null && exit 101\nexit 0\n`, { mode: 0o755 });

  return () => rmSync(file, { force: true });
}
