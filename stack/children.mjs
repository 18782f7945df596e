/**
 * Child processes that cannot outlive us.
 *
 * Each child leads a process group of its own, so Ctrl-C in a terminal reaches only us, and we stop the children in an
 * order of our choosing. That alone would let them survive our kill -9; so each group has a guard, a shell that does
 * nothing but read from a pipe that we hold. However we die, the kernel closes the pipe, and the guard kills its group,
 * with whatever our child has started there. (The kernel's own parent-death signal reaches neither grandchildren nor
 * those who have changed their user in between, such as apt-get.)
 *
 * No dependencies; Node 20 and later.
 */
import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, copyFileSync, fstatSync, openSync, readSync, statSync, truncateSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';
import { Failure } from './tell.mjs';

const graceMs = 20_000; // services give up on themselves before that
const logBytes = 16 * 1024 * 1024;
const capturedBytes = 1024 * 1024;

/**
 * @typedef {object} Exit
 * @property {number | null} code
 * @property {NodeJS.Signals | null} signal
 *
 * @typedef {object} Options
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {string} [logFile] where its output goes, appended; without one it is kept for `tail`
 * @property {boolean} [terminal] it gets our own input and output instead
 * @property {number} [file] an open file that it gets as its descriptor 4
 * @property {NodeJS.Signals} [stopSignal] what asks it to stop; TERM
 * @property {{ uid: number, gid: number }} [user] as whom it runs; only root can say so
 */

/** The guard is nobody's child, lest what it guards should wonder about a child that it doesn't know. */
const guarded = `( exec sh -c 'read -r _; kill -KILL 0' <&3 >/dev/null 2>&1 & ); exec "$0" "$@" 3<&-`;

/** @type {Set<Child>} */
const alive = new Set();
/** @type {Set<string>} */
const logs = new Set();
let stopping = false;

/** True once `stopAll` has begun: what ends from then on was meant to. */
export const isStopping = () => stopping;

export class Child {
  /** Settles when it is gone, and never fails. @type {Promise<Exit>} */
  exit;
  running = true;
  pid = 0;
  #captured = '';
  #options;
  #logStart = 0;

  /**
   * @param {string} name
   * @param {string} program
   * @param {string[]} args
   * @param {Options} options
   */
  constructor(name, program, args, options) {
    if (stopping) throw new Error(`${name} is not started any more: everything is being stopped.`);

    this.name = name;
    this.#options = options;
    const log = options.logFile === undefined ? undefined : openLog(options.logFile);
    if (log !== undefined) this.#logStart = fstatSync(log).size;
    const output = options.terminal ? 'inherit' : (log ?? 'pipe');
    const child = spawn('/bin/sh', ['-c', guarded, program, ...args], {
      ...options.user,
      cwd: options.cwd,
      env: options.env,
      detached: true,
      stdio: [options.terminal ? 'inherit' : 'ignore', output, output, 'pipe', options.file ?? 'ignore'],
    });
    const guard = /** @type {import('node:net').Socket} */ (child.stdio[3]);
    guard.unref();
    guard.once('error', () => {}); // it is gone, and so is what it guarded
    if (log !== undefined) closeSync(log);

    this.pid = child.pid ?? 0;
    alive.add(this);
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (data) => {
        this.#captured = (this.#captured + data).slice(-capturedBytes);
      });
    this.exit = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.running = false;
        this.#signalGroup('SIGKILL'); // what it started and left behind, and the guard
        guard.destroy();
        setTimeout(resolve, 1000, { code, signal }).unref(); // should somebody else hold its output open
      });
      child.once('close', (code, signal) => resolve({ code, signal }));
      child.once('error', (error) => {
        this.#captured += error.message;
        resolve({ code: 127, signal: null });
      });
    });
    /** What asks it to stop. */
    this.stopSignal = options.stopSignal ?? 'SIGTERM';
    void this.exit.then(() => {
      this.running = false;
      alive.delete(this);
    });
  }

  /** The last lines that it wrote. */
  tail(lines = 10) {
    const text = this.#options.logFile === undefined ? this.#captured : endOf(this.#options.logFile, this.#logStart);

    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    if (this.running && this.pid > 0) process.kill(this.pid, signal);
  }

  /** Asks it to stop, and insists after a while. */
  async stop() {
    this.signal(this.stopSignal);
    const insist = setTimeout(() => this.#signalGroup('SIGKILL'), graceMs);
    await this.exit;
    clearTimeout(insist);
  }

  async kill() {
    this.#signalGroup('SIGKILL');
    await this.exit;
  }

  /** @param {NodeJS.Signals} signal */
  #signalGroup(signal) {
    if (this.pid === 0) return;
    try {
      process.kill(-this.pid, signal);
    } catch {
      // The group is gone already.
    }
  }

  /** Without waiting: for those who are about to exit. */
  static killAll() {
    for (const child of alive) child.#signalGroup('SIGKILL');
  }
}

/**
 * @param {string} name
 * @param {string} program
 * @param {string[]} args
 * @param {Options} [options]
 */
export const launch = (name, program, args, options = {}) => new Child(name, program, args, options);

/**
 * Runs a command to its end, which has to be a good one.
 *
 * @param {string} name
 * @param {string} program
 * @param {string[]} args
 * @param {Options} options
 */
export async function must(name, program, args, options) {
  const child = launch(name, program, args, options);
  const exit = await child.exit;
  if (exit.code !== 0) throw new Failure(`${name} failed (${describe(exit)}):\n${child.tail(40)}`);
}

/**
 * Stops all children: those named, one after the other, then the rest together. Nothing is launched from then on.
 *
 * @param {string[]} inOrder
 */
export async function stopAll(inOrder) {
  stopping = true;
  for (const name of inOrder) await Promise.all([...alive].filter((child) => child.name === name).map((child) => child.stop()));
  await Promise.all([...alive].map((child) => child.stop()));
}

/** @param {Exit} exit */
export const describe = ({ code, signal }) => (signal === null ? `exit code ${code}` : signal);

/** @param {string} name */
export const findProgram = (name) => findPrograms([name])[0];

/**
 * All programs with one of these names, in the order of the PATH. Servers are often in places that only root has on it.
 *
 * @param {string[]} names
 */
export function findPrograms(names) {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin'];

  return [...new Set(folders)]
    .filter((folder) => folder !== '')
    .flatMap((folder) => names.map((name) => resolve(folder, name))) // whoever runs it may do so in another folder
    .filter(isExecutable);
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** @param {string} file */
function openLog(file) {
  if (logs.size === 0) setInterval(boundLogs, 30_000).unref();
  logs.add(file);
  boundLogs();

  return openSync(file, 'a', 0o600);
}

/** The writers append, so a file may be emptied under them. What was in it is kept once, beside it. */
function boundLogs() {
  for (const file of logs) {
    if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) <= logBytes) continue;
    copyFileSync(file, `${file}.old`);
    truncateSync(file);
  }
}

/** @param {string} file @param {number} start of what counts, unless the file has been emptied since */
function endOf(file, start) {
  const fd = openSync(file, 'r');
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(start > size ? size : size - start, 16 * 1024));
    readSync(fd, buffer, 0, buffer.length, size - buffer.length);

    return buffer.toString();
  } finally {
    closeSync(fd);
  }
}
