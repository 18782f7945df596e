/**
 * Settings come from the environment and are checked once, at the start of a process: a missing or contradictory one
 * stops the start with one clear line that names every fault, before anything is connected to.
 */
import { isIP } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import proxyAddr from '@fastify/proxy-addr';
import { z } from 'zod';
import { originOf } from './origin.js';
import { changeFirst, faultInFiles, readSecret, takeFiles, withFiles, type ServerFiles } from './server-url.js';

/** A setting is missing or wrong. `message` is one line, fit to be the last thing that a process says. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** @param hint is said of a value that is no URL */
const url = (protocols: string[], hint = '') =>
  z.string().superRefine((value, context) => {
    const fault = faultInUrl(value, protocols, hint);
    if (fault !== null) context.addIssue({ code: 'custom', message: fault });
  });

/** Several, separated by commas. */
const urls = (protocols: string[]) =>
  z.string().superRefine((value, context) => {
    for (const one of listOfUrls(value)) {
      const fault = faultInUrl(one, protocols);
      if (fault !== null) context.addIssue({ code: 'custom', message: fault });
    }
  });

/** What is wrong with it, as a sentence that begins with "must"; null when it can be used. A secret in it is not repeated. */
function faultInUrl(value: string, protocols: string[], hint = ''): string | null {
  // The parser takes out tabs and line ends, and not all who get the URL do.
  const parsed = URL.canParse(value) && !/\s/.test(value) ? new URL(value) : null;
  if (!parsed || !protocols.includes(parsed.protocol) || parsed.hostname === '') {
    return `must be a URL that begins with ${protocols.map((p) => `${p}//`).join(' or ')}${hint}`;
  }
  if (parsed.port === '0') return 'must have a port from 1 to 65535';
  try {
    // A client's library does so too, and throws what nobody understands.
    [parsed.hostname, parsed.username, parsed.password, parsed.pathname].forEach(decodeURIComponent);
  } catch {
    return 'must be percent-encoded: a % that stands for itself is written %25';
  }

  return null;
}

/**
 * The host of a URL as sockets take it. An IPv6 address has brackets in a URL, and only there: mysql2, for one, hands them on to the
 * name service.
 */
export const hostOf = (url: string): string => withoutBrackets(new URL(url).hostname);

const withoutBrackets = (host: string) => host.replace(/^\[(.*)\]$/, '$1');

/** What NATS_URL says, as NATS' client takes it, which looks for no user in a URL. `nats://TOKEN@host` is NATS' way to write a token. */
export function natsServers(value: string): { servers: string[]; user?: string; pass?: string; token?: string } {
  const urls = listOfUrls(takeFiles(value).url).map((one) => new URL(one));
  const servers = urls.map(({ host }) => host);
  const known = urls.find(({ username }) => username !== '');
  if (!known) return { servers };
  const [user, pass] = [decodeURIComponent(known.username), decodeURIComponent(known.password)];

  return pass === '' ? { servers, token: user } : { servers, user, pass };
}

/** Separated by commas; after the first, the protocol may be left out. */
function listOfUrls(value: string): string[] {
  const protocol = /^\w+:\/\//.exec(value)?.[0] ?? '';

  return value.split(',').map((one) => (one.includes('://') ? one : protocol + one));
}

function isObjectInJson(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null;
  } catch {
    return false;
  }
}

/** Where it is. */
const fileName = z.string().min(1).optional();
const port = z.coerce.number().int().min(1).max(65_535);
const count = (least: number, most: number, standard: number) => z.coerce.number().int().min(least).max(most).default(standard);

const listOf = (text: string) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);

/** Origins, separated by commas, each as browsers write it. */
const origins = (protocols: RegExp) =>
  z
    .string()
    .default('')
    .transform((list) => listOf(list).map(originOf))
    .refine(
      (list): list is string[] => list.every((origin) => origin !== null && protocols.test(origin)),
      'must be origins, such as https://example.org',
    );

function areNetworks(list: string[]): boolean {
  try {
    proxyAddr.compile(list);
    // A number would be an address too, and is meant as one of hops, which would tell nothing of who sends.
    return !list.some((item) => /^\d+$/.test(item));
  } catch {
    return false;
  }
}

const isOn = z.enum(['on', 'off']).transform((value) => value === 'on');
/** Of those that may be left out: on, but off where NODE_ENV is production. */
const OFF_IN_PRODUCTION: ReadonlySet<string> = new Set(['INTROSPECTION', 'IDE', 'BATCHES']);

/** How many parts the commands are cut into. All services of a system must agree. */
const LANES = count(1, 256, 16);
/** How many parts each projection is cut into. All services of a system must agree. */
const SHARDS = count(1, 256, 8);

/**
 * Every setting that exists, and its default. A service picks what it needs; all times are in milliseconds. Each can be given as the name of
 * a file that holds it too: SIGNING_KEY_FILE, MYSQL_URL_FILE, …
 */
export const settings = {
  /** One server of a cluster, or several, separated by commas. */
  NATS_URL: urls(['nats:', 'tls:']),
  /** In the user and the password, all but letters, digits and -._~ is percent-encoded. MYSQL_PASSWORD takes the password as it is. */
  MYSQL_URL: url(['mysql:'], ' (a password with /, ? or # in it is percent-encoded, or in MYSQL_PASSWORD)')
    .refine(
      (value) => URL.canParse(value) && /^\/\w+$/.test(new URL(value).pathname),
      'must name a database, as in mysql://user:password@host:3306/cheeper',
    )
    .refine(
      (value) => URL.canParse(value) && new URL(value).searchParams.getAll('ssl').every(isObjectInJson),
      'must have a JSON object as its ssl, such as ?ssl={"rejectUnauthorized":true}',
    ),
  /** Each takes the place of the password in the URL, as it is: for those who cannot encode it, or have it in a file. */
  MYSQL_PASSWORD: z.string().optional(),
  NATS_PASSWORD: z.string().optional(),
  REDIS_PASSWORD: z.string().optional(),
  /** In the place of user and password: a file with a JWT and its seed, as `nsc` writes it; one with the seed of an NKey. */
  NATS_CREDS_FILE: fileName,
  NATS_NKEY_FILE: fileName,
  /**
   * Files in PEM form: the certificate of the CA (or several) that alone is trusted, and this process's own certificate, with its key.
   * With any of them the server must use TLS, as with `tls://`, `rediss://` and `?ssl={}`. They are for all three servers, but those with
   * a name in front are for that one.
   */
  TLS_CA_FILE: fileName,
  TLS_CERT_FILE: fileName,
  TLS_KEY_FILE: fileName,
  MYSQL_TLS_CA_FILE: fileName,
  MYSQL_TLS_CERT_FILE: fileName,
  MYSQL_TLS_KEY_FILE: fileName,
  NATS_TLS_CA_FILE: fileName,
  NATS_TLS_CERT_FILE: fileName,
  NATS_TLS_KEY_FILE: fileName,
  REDIS_TLS_CA_FILE: fileName,
  REDIS_TLS_CERT_FILE: fileName,
  REDIS_TLS_KEY_FILE: fileName,
  REDIS_URL: url(['redis:', 'rediss:']).refine(
    (value) => URL.canParse(value) && /^\/?\d*$/.test(new URL(value).pathname),
    'must end with the number of a database, if with anything, as in redis://host:6379/1',
  ),
  /** Goes into every name (streams, subjects, keys, locks), so that several systems can share servers. */
  NAMESPACE: z
    .string()
    .regex(/^[a-z][a-z0-9_-]{0,23}$/, 'must be 1 to 24 of a-z, 0-9, _ and -, and begin with a letter')
    .default('cheeper'),
  PORT: port.default(4000),
  /** An address of this machine, or a name for one. An IPv6 address may stand in brackets. */
  HOST: z
    .string()
    .default('0.0.0.0')
    .transform(withoutBrackets)
    .refine((host) => isIP(host) !== 0 || /^[^\s:/[\]]+$/.test(host), 'must be an address or a name, without a port'),
  HEALTH_PORT: port,
  /** In how many processes a gateway runs, at one port. If nothing is said, one for each four cores (on Linux): the rest is for all else. */
  GATEWAY_PROCESSES: count(1, 64, process.platform === 'linux' ? Math.max(1, Math.floor(availableParallelism() / 4)) : 1),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  LANES,
  SHARDS,
  /**
   * How many followers of a shard get an author's cheeps into their timelines when these are posted; who follows after them
   * merges them in when reading. A cheep costs a shard that many keys. It holds for follows from now on, so it can be changed
   * at any time.
   */
  HOT_FOLLOWERS: count(0, 5_000, 1_000),
  /** Commands that share a transaction, and so its commit, at the most. With 1 each has its own: a lone command takes no longer, many do. */
  COMMANDS_IN_A_BATCH: count(1, 256, 256),
  /** Signs access tokens, and keys the fingerprint of passwords. At least 32 characters. */
  SIGNING_KEY: z.string().min(32, 'must have at least 32 characters'),
  /** A fraction too: 0.25 is a quarter of an hour. */
  ACCESS_TOKEN_HOURS: z.coerce.number().min(0.001).max(8_760).default(24),
  COMMIT_DEADLINE_MS: count(100, 60_000, 5_000),
  READ_DEADLINE_MS: count(10, 60_000, 1_000),
  /** The mail server, with user and password if need be. Without one, each mail becomes a file in MAIL_FOLDER. */
  MAIL_URL: url(['smtp:', 'smtps:']).optional(),
  MAIL_FOLDER: z.string().min(1).default(join(tmpdir(), 'cheeper-mail')),
  MAIL_FROM: z.string().min(1).max(255).default('Cheeper <cheeper@localhost>'),
  /**
   * Whose `X-Forwarded-Host`, `-Proto` and `-Port` (or `Forwarded`) the gateway believes: `true` for everybody's, which is right only if clients
   * cannot reach the gateway but through the proxy; or the proxies' addresses and networks, separated by commas. `loopback` and
   * `uniquelocal` (private networks) name some of them.
   */
  TRUST_PROXY: z
    .string()
    .default('false')
    .transform((value) => (value === 'true' || value === 'false' ? value === 'true' : listOf(value)))
    .refine(
      (value) => typeof value === 'boolean' || (value.length > 0 && areNetworks(value)),
      'must be true, false, or addresses and networks of proxies, such as 10.0.0.0/8',
    ),
  /**
   * Origins under which people reach the gateway, separated by commas, beside the one that `Host` names: for a proxy that rewrites `Host` and
   * does not forward what it was. Pages of these origins are the gateway's own.
   */
  PUBLIC_ORIGINS: origins(/^https?:/),
  /**
   * For whom rates are limited (gateway/rates.ts): `on` for everybody, `remote` for all but clients on this machine. Bounds of size, frames, waits
   * and queues hold for everybody in both cases.
   */
  RATE_LIMITS: z.enum(['on', 'remote']).default(process.env.NODE_ENV === 'production' ? 'on' : 'remote'),
  /** Other origins whose pages may use the endpoint, separated by commas. They never get anything by cookie. */
  ALLOWED_ORIGINS: origins(/./),
  /**
   * Which documents the gateway executes: `off`, all; `log`, all, and it logs and counts those that are in no manifest; `enforce`, those in
   * the manifests and no others. Documents can be asked for by id in any case.
   */
  TRUSTED_DOCUMENTS: z.enum(['off', 'log', 'enforce']).default('off'),
  /** The folder of the manifests: all files in it whose names end in `.json`, read at the start. */
  TRUSTED_DOCUMENTS_FOLDER: z.string().min(1).optional(),
  /** Whether a client may ask what is in the schema, and is told in errors what it may have meant ("Did you mean …?"). */
  INTROSPECTION: isOn,
  /** Whether there is a page to try operations in, at `/` and at the path of operations. It needs INTROSPECTION to know the schema. */
  IDE: isOn,
  /** Whether one request may have several operations (an array of them). */
  BATCHES: isOn,
  /** Where a gateway is, or several of one system, separated by commas: for the demo. */
  CHEEPER_URL: urls(['http:', 'https:']).transform(listOfUrls),
};

type Settings = typeof settings;

/**
 * The named settings out of `env`, parsed.
 * @throws ConfigError naming every setting that is missing or wrong, in one line
 */
export function readConfig<K extends keyof Settings>(names: readonly K[], given: Env = process.env): { [P in K]: z.output<Settings[P]> } {
  const { env, faults, unreadable } = withContents(names, given);
  const config: Record<string, unknown> = {};
  for (const name of names.filter((one) => !unreadable.has(one))) {
    // A value that was read from a file ends with the end of a line. The name of a folder may end with anything.
    const text = name.endsWith('_FOLDER') ? env[name] : env[name]?.trim();
    // An empty variable is how shells and compose files say "not set".
    const value = text || (OFF_IN_PRODUCTION.has(name) ? (env.NODE_ENV === 'production' ? 'off' : 'on') : undefined);
    const parsed = settings[name].safeParse(value);
    if (parsed.success) config[name] = parsed.data;
    else faults.push(value === undefined ? `${name} is missing` : `${name} ${describe(name, parsed.error.issues[0]!, value)}`);
  }
  for (const server of SERVERS) {
    const url = config[`${server}_URL`];
    if (typeof url !== 'string') continue;
    const { url: whole, faults: more } = withCredentials(server, url, env);
    config[`${server}_URL`] = whole;
    faults.push(...more);
  }
  if (faults.length > 0) throw new ConfigError(`Settings: ${faults.join('; ')}`);

  return config as { [P in K]: z.output<Settings[P]> };
}

type Env = Record<string, string | undefined>;

/** The environment, with what the files of these settings hold in their places. */
function withContents(names: readonly string[], given: Env): { env: Env; faults: string[]; unreadable: Set<string> } {
  const env = { ...given };
  const faults: string[] = [];
  const unreadable = new Set<string>();
  for (const name of names) {
    const file = given[`${name}_FILE`];
    if (!file) continue;
    try {
      if (given[name]) throw new Error(`${name} is given too, and must not be`);
      env[name] = readSecret(file);
    } catch (error) {
      faults.push(`${name}_FILE: ${(error as Error).message}`);
      unreadable.add(name);
    }
  }

  return { env, faults, unreadable };
}

const SERVERS = ['MYSQL', 'NATS', 'REDIS'] as const;

/** The URL with the password, or the names of the files that hold it, and of those for TLS. */
function withCredentials(server: (typeof SERVERS)[number], url: string, env: Env): { url: string; faults: string[] } {
  const given = (name: string) => env[name] || undefined;
  const tls = (name: string) => given(`${server}_TLS_${name}_FILE`) ?? given(`TLS_${name}_FILE`);
  const files: Record<keyof ServerFiles, string | undefined> = {
    password: given(`${server}_PASSWORD_FILE`),
    creds: server === 'NATS' ? given('NATS_CREDS_FILE') : undefined,
    nkey: server === 'NATS' ? given('NATS_NKEY_FILE') : undefined,
    tlsCa: tls('CA'),
    tlsCert: tls('CERT'),
    tlsKey: tls('KEY'),
  };
  const password = given(`${server}_PASSWORD`);
  const faults: string[] = [];
  if (password && files.password) faults.push(`${server}_PASSWORD and ${server}_PASSWORD_FILE are both given, and must not be`);
  if (!files.tlsCert !== !files.tlsKey) faults.push(`TLS_CERT_FILE and TLS_KEY_FILE must be given together (for ${server}_URL)`);
  if (server === 'NATS') {
    const { user, token } = natsServers(url);
    const asks = [password ?? files.password, files.creds, files.nkey].filter(Boolean);
    if (asks.length > 1 || (asks.length === 1 && !password && !files.password && (user ?? token))) {
      faults.push('a user in NATS_URL, NATS_CREDS_FILE and NATS_NKEY_FILE each say who asks, and one of them must be given');
    } else if ((password ?? files.password) && !(user ?? token)) faults.push('NATS_PASSWORD needs a user in NATS_URL');
  }
  const fault = faults.length === 0 ? faultInFiles(files) : null;
  if (fault) faults.push(`for ${server}_URL: ${fault}`);

  return { url: withFiles(password ? withPassword(url, password) : url, files), faults };
}

const withPassword = (url: string, password: string): string =>
  changeFirst(url, (first) => {
    first.password = encodeURIComponent(password);
  });

function describe(name: string, issue: z.core.$ZodIssue, value: string): string {
  const said = issue.message.startsWith('must') ? issue.message : `is not right (${issue.message})`;
  if (name === 'SIGNING_KEY' || name.endsWith('_PASSWORD')) return said; // A secret is not repeated, however wrong it is; nor is one in a URL.

  const shown = name.endsWith('_URL')
    ? value
        .replace(/\/\/[^]*@/, '//…@')
        .replace(/\/\/:[^]*/, '//:…')
        .replace(/\?[^]*/, '?…')
    : value;

  return `${said}, but is ${JSON.stringify(shown)}`;
}
