/**
 * The user as whom servers run that root starts: the owner of the data folder, or, where that is root, a system user of their own.
 *
 * A server that an attacker takes over then reads and writes its own folder alone. The data folder itself, with the keys in it, stays
 * root's. No dependencies; Node 20 and later.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, constants, lchownSync, lstatSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from './children.mjs';
import { complain } from './tell.mjs';

/** @typedef {{ uid: number, gid: number }} User */

/** Not `nobody`, as whom others run too, and not a name that people have. */
const NAME = 'cheeper-servers';
/** Of every Linux. */
const NOBODY = 65_534;

/**
 * Undefined if servers run as our own user: it is not root, or is a root that cannot become another user, or has no other user and cannot create one.
 *
 * @param {string} dataDir
 * @returns {User | undefined}
 */
export function serverUser(dataDir) {
  if (process.getuid?.() !== 0 || !canBecomeOthers()) return undefined;
  const { uid, gid } = statSync(dataDir);

  return uid !== 0 ? { uid, gid } : (account() ?? makeAccount());
}

/** @returns {User | undefined} */
function account() {
  const [uid, gid] = ['-u', '-g'].map((option) => {
    const { status, stdout } = spawnSync('id', [option, NAME], { encoding: 'utf8' });

    return status === 0 ? Number(stdout) : undefined;
  });

  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

let hasComplained = false;

/** @returns {User | undefined} */
function makeAccount() {
  const options = ['--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin'];
  const program = findProgram('useradd');
  const made = program === undefined ? undefined : spawnSync(program, [...options, NAME], { encoding: 'utf8' });
  // Another command may have made it at the same moment.
  const user = account();
  if (user !== undefined || hasComplained) return user;
  hasComplained = true;
  const reason = made === undefined ? 'there is no useradd' : (made.error?.message ?? made.stderr.trim());
  complain(
    `MySQL, NATS and Redis run as root: the user ${NAME} could not be created (${reason}).`,
    'Create it, or change the owner of the data folder.',
  );
}

/** Not in a container or namespace whose root has no rights over other users: it is an ordinary user outside. */
const canBecomeOthers = () => spawnSync('true', { uid: NOBODY, gid: NOBODY }).error === undefined;

/**
 * Whether the user can go into a folder, or run a program.
 *
 * @param {User} user
 * @param {string} path
 */
export const canReach = (user, path) => spawnSync('test', ['-x', path], { ...user, cwd: '/' }).status === 0;

/** What a folder is called in the mount namespace of a program that runs there. */
const MOUNTED = '/mnt';

/**
 * A program, as another user, in a folder of ours that is behind another's, such as `/root`: MySQL must be able to reach it by its name, so
 * it gets one that holds for this program alone. With `exec` all the way, so that it is the process that was started.
 *
 * @param {User} user
 * @param {string} program
 * @param {string[]} args
 * @returns {[string, string[]]} a program that root runs in the folder
 */
export function inItsOwnPlace({ uid, gid }, program, args) {
  const script = `mount --bind . ${MOUNTED} && cd ${MOUNTED} && exec setpriv --reuid=${uid} --regid=${gid} --clear-groups "$0" "$@"`;

  return ['unshare', ['--mount', 'sh', '-c', script, program, ...args]];
}

/** Not in most containers, nor without util-linux or the folder that it is mounted at. */
export function canMount() {
  const [program, args] = inItsOwnPlace({ uid: NOBODY, gid: NOBODY }, 'true', []);

  return spawnSync(program, args, { cwd: '/' }).status === 0;
}

/**
 * Lets the user go through a folder of ours to what is in it, and nobody else.
 *
 * @param {User} user
 * @param {string} folder
 */
export function letThrough({ gid }, folder) {
  const { uid, mode } = statSync(folder);
  if (uid !== 0 || (mode & 0o001) !== 0) return;
  chownSync(folder, -1, gid);
  chmodSync(folder, (mode & 0o700) | 0o010);
}

/**
 * Gives the user all that is in a folder, and the folder. Nothing may run in it.
 *
 * @param {User | undefined} user
 * @param {string} folder it may be a link of ours
 */
export function give(user, folder) {
  if (user === undefined) return;
  const path = realpathSync(folder);
  giveAll(user, path, lstatSync(path).uid === user.uid);
}

/**
 * @param {User} user
 * @param {string} path
 * @param {boolean} wasTheirs the user could make links in it: to files outside too, which are not given
 */
function giveAll(user, path, wasTheirs) {
  const { uid, gid, nlink, mode } = lstatSync(path);
  const isFolder = (mode & constants.S_IFMT) === constants.S_IFDIR;
  // The folder comes last: until then, all is done again after a crash.
  if (isFolder) for (const name of readdirSync(path)) giveAll(user, join(path, name), wasTheirs);
  if ((uid !== user.uid || gid !== user.gid) && (isFolder || nlink === 1 || !wasTheirs)) lchownSync(path, user.uid, user.gid);
}
