/**
 * Settings come from the environment and are checked once, at the start of a process: a missing or contradictory one
 * stops the start with one clear line that names every fault, before anything is connected to.
 */
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';

/** A setting is missing or wrong. `message` is one line, fit to be the last thing that a process says. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

const url = (protocols: string[], more = '') =>
  z
    .string()
    .refine(
      (value) => URL.canParse(value) && protocols.includes(new URL(value).protocol),
      `must be a URL that begins with ${protocols.map((p) => `${p}//`).join(' or ')}${more}`,
    );

function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function isObjectInJson(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null;
  } catch {
    return false;
  }
}

const port = z.coerce.number().int().min(1).max(65_535);
const count = (least: number, most: number, standard: number) => z.coerce.number().int().min(least).max(most).default(standard);

/** How many parts the commands are cut into. All services of a system must agree. */
const LANES = count(1, 256, 16);
/** How many parts each projection is cut into. All services of a system must agree. */
const SHARDS = count(1, 256, 8);

/** Every setting that exists, and its default. A service picks what it needs; all times are in milliseconds. */
export const settings = {
  NATS_URL: url(['nats:', 'tls:']),
  /** In the user and the password, all but letters, digits and -._~ is percent-encoded. MYSQL_PASSWORD takes the password as it is. */
  MYSQL_URL: url(['mysql:'], ' (a password with /, ? or # in it is percent-encoded, or in MYSQL_PASSWORD)')
    .refine(
      (value) => URL.canParse(value) && /^\/\w+$/.test(new URL(value).pathname),
      'must name a database, as in mysql://user:password@host:3306/cheeper',
    )
    .refine(
      (value) => URL.canParse(value) && [new URL(value).username, new URL(value).password].every(isPercentEncoded),
      'must have a user and a password that are percent-encoded (a % is %25), or its password in MYSQL_PASSWORD',
    )
    .refine(
      (value) => URL.canParse(value) && new URL(value).searchParams.getAll('ssl').every(isObjectInJson),
      'must have a JSON object as its ssl, such as ?ssl={"rejectUnauthorized":true}',
    ),
  /** Takes the place of the password in MYSQL_URL, as it is: for those who cannot encode it. */
  MYSQL_PASSWORD: z.string().optional(),
  REDIS_URL: url(['redis:', 'rediss:']),
  /** Goes into every name (streams, subjects, keys, locks), so that several systems can share servers. */
  NAMESPACE: z
    .string()
    .regex(/^[a-z][a-z0-9_-]{0,23}$/, 'must be 1 to 24 of a-z, 0-9, _ and -, and begin with a letter')
    .default('cheeper'),
  PORT: port.default(4000),
  HOST: z.string().min(1).default('0.0.0.0'),
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
  /** Behind a proxy that ends TLS: its X-Forwarded headers are believed, and cookies are Secure when it says https. */
  TRUST_PROXY: z
    .enum(['true', 'false'])
    .default('false')
    .transform((value) => value === 'true'),
  /** Other origins whose pages may use the endpoint, separated by commas. They never get anything by cookie. */
  ALLOWED_ORIGINS: z
    .string()
    .default('')
    .transform((list) =>
      list
        .split(',')
        .map((origin) => origin.trim())
        .filter(Boolean),
    )
    .refine((list) => list.every((o) => URL.canParse(o) && new URL(o).origin === o), 'must be origins, such as https://example.org'),
};

type Settings = typeof settings;

/**
 * The named settings out of `env`, parsed.
 * @throws ConfigError naming every setting that is missing or wrong, in one line
 */
export function readConfig<K extends keyof Settings>(
  names: readonly K[],
  env: Record<string, string | undefined> = process.env,
): { [P in K]: z.output<Settings[P]> } {
  const faults: string[] = [];
  const config: Record<string, unknown> = {};
  for (const name of names) {
    // An empty variable is how shells and compose files say "not set".
    const value = env[name] === '' ? undefined : env[name];
    const parsed = settings[name].safeParse(value);
    if (parsed.success) config[name] = parsed.data;
    else faults.push(value === undefined ? `${name} is missing` : `${name} ${describe(name, parsed.error.issues[0]!, value)}`);
  }
  if (faults.length > 0) throw new ConfigError(`Settings: ${faults.join('; ')}`);
  if (typeof config.MYSQL_URL === 'string' && env.MYSQL_PASSWORD) config.MYSQL_URL = withPassword(config.MYSQL_URL, env.MYSQL_PASSWORD);

  return config as { [P in K]: z.output<Settings[P]> };
}

function withPassword(mysqlUrl: string, password: string): string {
  const address = new URL(mysqlUrl);
  address.password = encodeURIComponent(password);

  return address.href;
}

function describe(name: string, issue: z.core.$ZodIssue, value: string): string {
  const said = issue.message.startsWith('must') ? issue.message : `is not right (${issue.message})`;
  if (name === 'SIGNING_KEY') return said; // A secret is not repeated, however wrong it is; nor is one in a URL.

  return `${said}, but is ${JSON.stringify(value.replace(/\/\/[^]*@/, '//…@'))}`;
}
