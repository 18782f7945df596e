/**
 * Folders for data, wherever people want them: any name that the system allows, as deep as the servers can go.
 *
 * No dependencies; Node 20 and later.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Failure } from './tell.mjs';
import { letThrough, serverUser } from './users.mjs';

/** MySQL and MariaDB have room for 512 bytes in the path of a file, and a file of theirs takes up to 100. */
const MAX_FOLDER_BYTES = 400;

/**
 * Makes the folder when it is not there.
 *
 * @param {string} setting what names it, for people
 * @param {string} path
 * @returns its one true path, without links
 */
export function dataFolder(setting, path) {
  try {
    makeFolder(resolve(path));
    const real = realpathSync(resolve(path));
    const bytes = Buffer.byteLength(real);
    if (bytes <= MAX_FOLDER_BYTES) return real;
    throw new Error(`its path has ${bytes} bytes, and can have ${MAX_FOLDER_BYTES}`);
  } catch (error) {
    throw new Failure(`${setting}, ${path}, can't be the data folder: ${/** @type {Error} */ (error).message}.`);
  }
}

/**
 * With those above it. Node's own `recursive` goes round for ever where the system makes no folders, as in /proc.
 *
 * @param {string} path
 * @param {number} [mode]
 */
function makeFolder(path, mode = 0o700) {
  if (isFolder(path)) return;
  // Servers that root starts are another user's, and must get through.
  if (dirname(path) !== path) makeFolder(dirname(path), process.getuid?.() === 0 ? 0o711 : 0o700);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (!isFolder(path)) throw error; // somebody else may have made it meanwhile
  }
}

/** @param {string} path */
const isFolder = (path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/**
 * A new folder for throw-away data. Its maker is in its name, so those of makers that were killed are removed here.
 */
export async function temporaryFolder() {
  removeAbandonedFolders();
  const folder = join(temporaryRoot(), `cheeper-${process.pid}-${randomBytes(3).toString('hex')}`);
  const path = dataFolder('TMPDIR', folder);
  const user = serverUser(path);
  if (user !== undefined) letThrough(user, path); // data folders of servers may come into it

  return path;
}

/** The true path of the folder for temporary things: TMPDIR, where it is given. */
export function temporaryRoot() {
  try {
    return realpathSync(resolve(tmpdir()));
  } catch (error) {
    throw new Failure(`TMPDIR, ${tmpdir()}, can't be used: ${/** @type {Error} */ (error).message}.`);
  }
}

export function removeAbandonedFolders() {
  for (const name of readdirSync(tmpdir())) {
    const maker = /^cheeper-(\d+)-\w{6}$/.exec(name)?.[1];
    if (maker !== undefined && !isAlive(Number(maker))) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

/** @param {number} pid */
export function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}
