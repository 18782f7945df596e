/**
 * Locks that can't go stale: the kernel's, on a file that this process keeps open, so they end with it.
 *
 * What util-linux's flock locks is the open file, and that is ours too; so the lock is ours when flock has ended. Where
 * there is no flock (macOS) nothing is locked.
 */
import { closeSync, openSync } from 'node:fs';
import { findProgram, launch } from './children.mjs';
import { Failure, say } from './tell.mjs';

/**
 * False if somebody else has it. For as long as the file is open.
 *
 * @param {number} fd
 */
export const tryLock = (fd) => flock(fd, ['--nonblock']);

/**
 * Does the work while no other command on this machine holds the path.
 *
 * @param {string} path
 * @param {() => Promise<void>} work
 */
export async function holding(path, work) {
  const fd = openSync(path, 'r');
  try {
    if (!(await tryLock(fd))) {
      say(`Waiting for another command, which is installing (it holds ${path}) …`);
      if (!(await flock(fd))) throw new Failure(`${path} could not be locked.`);
    }
    await work();
  } finally {
    closeSync(fd);
  }
}

/**
 * @param {number} fd
 * @param {string[]} options
 */
async function flock(fd, options = []) {
  const program = findProgram('flock');
  if (program === undefined) return true;

  return (await launch('flock', program, [...options, '4'], { file: fd }).exit).code === 0;
}
