/**
 * Settings as environment variables: which of them are for the servers that we start, which are in files, and how a file for
 * `node --env-file` says them.
 *
 * No dependencies; Node 20 and later.
 */
import { readFileSync } from 'node:fs';
import { Failure } from './tell.mjs';

/** @typedef {Record<string, string | undefined>} Env */

const TLS_FILES = ['TLS_CA_FILE', 'TLS_CERT_FILE', 'TLS_KEY_FILE'];
const CREDENTIALS = ['PASSWORD', 'PASSWORD_FILE', 'CREDS_FILE', 'NKEY_FILE'];

/**
 * Passwords and certificates in the environment are those of servers that were given. Ours have none of them: they know other passwords,
 * and no TLS. For services an empty variable is as none, and `TLS_CA_FILE` then holds, so each given server gets that under its own name.
 *
 * @template {string} Name
 * @param {readonly Name[]} all names of servers
 * @param {readonly Name[]} ours those that we start
 * @param {Env} env
 * @returns {Record<string, string>} what to set beside it
 */
export function credentialsOfGiven(all, ours, env) {
  if (ours.length === 0) return {};
  const given = all.filter((name) => !ours.includes(name));
  const theirs = given.flatMap((server) =>
    TLS_FILES.map((name) => [variable(server, name), env[variable(server, name)] || env[name] || '']),
  );
  const none = [...TLS_FILES, ...ours.flatMap((server) => [...CREDENTIALS, ...TLS_FILES].map((name) => variable(server, name)))];

  return Object.fromEntries([...none.map((name) => [name, '']), ...theirs.filter(([, file]) => file !== '')]);
}

/** @param {string} server @param {string} name */
const variable = (server, name) => `${server.toUpperCase()}_${name}`;

/**
 * Puts the contents of `MYSQL_URL_FILE` in the place of MYSQL_URL, and so on, without the end of the last line, as services do.
 *
 * @param {readonly string[]} names
 * @param {Env} env is changed
 * @throws {Failure} that names the setting and the file
 */
export function readFilesOf(names, env) {
  for (const name of names) {
    const file = env[`${name}_FILE`];
    if (!file || env[name]) continue; // the services say that both must not be given
    try {
      env[name] = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      throw new Failure(`${name}_FILE: ${file} cannot be read (${/** @type {NodeJS.ErrnoException} */ (error).code}).`);
    }
    delete env[`${name}_FILE`];
  }
}

/**
 * What Node reads back unchanged: between quotes nothing has a meaning but the same quote, and `\n` between double ones. A carriage return is
 * dropped anywhere.
 *
 * @param {string} name
 * @param {string} value
 * @returns {string} with the end of the line; a comment if no quotes fit
 */
export function lineForEnvFile(name, value) {
  const quote = ["'", '`', '"'].find((one) => !value.includes(one) && !(one === '"' && value.includes('\\n')));
  if (quote === undefined || value.includes('\r')) return `# ${name} is left out: it cannot be quoted in this file. Set it yourself.\n`;

  return `${name}=${quote}${value}${quote}\n`;
}
