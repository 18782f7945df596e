/** Redis as the gateway and the read side use it: a connection that comes back, notices a silent server, and looks what it is like. */
import { Redis, type RedisOptions } from 'ioredis';
import { ConfigError, hostOf } from './config.js';
import type { Logger } from './log.js';
import { namesTlsFiles, readSecret, readTlsFiles, takeFiles, tlsFault } from './server-url.js';
import { failOnConfigError } from './service.js';

export interface RedisConnection {
  redis: Redis;
  /** What is wrong with it, in words; empty when it is there, and as it should be. */
  waitsFor(): string[];
  close(): void;
}

/** Versions that have all that is used here. */
const LEAST_VERSION = 7;
const CONNECT_TIMEOUT_MS = 3_000;
/** A question for its own sake, so that silence means that nobody is there. */
const PING_MS = 1_000;
/** A link on which so many have been asked and nothing has come is dead. Scripts take some milliseconds. */
const MAX_PINGS_UNANSWERED = 4;
/** Between tries to connect: grows from the first to the last. */
const FIRST_RECONNECT_MS = 50;
const LAST_RECONNECT_MS = 500;

/**
 * How to connect to what REDIS_URL names, with what is in its files now.
 * @throws an error that names the file that cannot be read
 */
export function redisOptions(redisUrl: string): RedisOptions {
  const { url, files } = takeFiles(redisUrl);
  const { username, password, port, pathname, protocol, searchParams } = new URL(url);
  const { family, ...others } = Object.fromEntries(searchParams);
  const said = files.password === undefined ? decodeURIComponent(password) : readSecret(files.password);

  return {
    ...others,
    ...(family && { family: Number(family) }),
    host: hostOf(url),
    ...(port && { port: Number(port) }),
    ...(pathname.length > 1 && { db: Number(pathname.slice(1)) }),
    ...(username && { username: decodeURIComponent(username) }),
    ...(said && { password: said }),
    ...((protocol === 'rediss:' || namesTlsFiles(files)) && { tls: readTlsFiles(files) }),
  };
}

/** What keeps us out, and would again: in words; null when it is something else. */
export function redisRefusal(error: unknown): string | null {
  const { message } = error as Error;

  return /^(WRONGPASS|NOAUTH|NOPERM)/.test(message) ? message : tlsFault(error);
}

/**
 * Connects, and reconnects for ever. A server with wrong settings ends the process when it is found at the first look; later it is
 * logged, and told by `waitsFor`, until it is right (docs/decisions/0010).
 */
export function connectRedis(url: string, log: Logger, options: RedisOptions): RedisConnection {
  const redis = new Redis({
    ...redisOptions(url),
    ...options,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: (n) => {
      try {
        // The password and certificates may have been replaced since.
        Object.assign(redis.options, redisOptions(url));
      } catch (error) {
        log.warn({ err: error }, 'Redis');
      }
      return Math.min(FIRST_RECONNECT_MS * n, LAST_RECONNECT_MS);
    },
  });
  let refusal: string | null = null;
  redis.on('error', (error) => {
    refusal = redisRefusal(error);
    if (refusal && !wasRight) failOnConfigError(new ConfigError(`Redis: ${refusal}`));
    log.warn({ err: error }, 'Redis');
  });
  // ioredis has a `socketTimeout`, but its timer outlives the connection that it was set for, and ends the next one; and a socket's
  // own timer begins anew with everything that is sent.
  let unanswered = 0;
  const heard = () => void (unanswered = 0);
  redis.on('connect', () => {
    heard();
    redis.stream.on('data', heard);
  });
  const pinging = setInterval(() => {
    // Before it is `ready` it was asked what it is like.
    if (redis.status !== 'ready' && redis.status !== 'connect') return;
    unanswered += 1;
    if (unanswered > MAX_PINGS_UNANSWERED) redis.stream.destroy(new Error(`Redis has been silent for ${unanswered} pings.`));
    else if (redis.status === 'ready') redis.ping().catch(() => undefined); // What becomes of it does not matter.
  }, PING_MS);

  let faults: string[] = [];
  let wasRight = false;
  redis.on('ready', () => {
    refusal = null;
    redis.info().then(
      (info) => {
        faults = faultsIn(info);
        if (faults.length === 0) {
          wasRight = true;
          return;
        }
        const line = `Redis: ${faults.join('; ')}`;
        if (!wasRight) failOnConfigError(new ConfigError(line));
        log.error(line);
      },
      // It is gone again, or does not let us look.
      (error: unknown) => log.warn({ err: error }, 'could not look at the settings of Redis'),
    );
  });

  return {
    redis,
    waitsFor: () => {
      if (redis.status === 'ready') return faults.map((fault) => `Redis: ${fault}`);
      return [refusal ? `Redis: ${refusal}` : 'Redis'];
    },
    close: () => {
      clearInterval(pinging);
      redis.disconnect();
    },
  };
}

/**
 * What is asked from now on, in this round of the process's loop, goes out in one write. (ioredis makes a write of each command, which
 * costs more than all else that is done for it: 0.94 of a gateway's time for a page of a timeline.)
 */
export function writeTogether({ stream }: Redis): void {
  if (!stream?.writable || stream.writableCorked > 0) return;
  stream.cork();
  setImmediate(() => stream.uncork());
}

/**
 * Writes what was asked so far: what should not wait for what else is asked in this round of the loop. (What is asked in a `setImmediate` would go out
 * in the next round, and be answered in the one after that.)
 */
export function writeNow({ stream }: Redis): void {
  if (stream?.writableCorked) stream.uncork();
}

/** In what INFO answers: managed servers keep CONFIG to themselves. */
function faultsIn(info: string): string[] {
  const of = new Map(info.split('\r\n').map((line) => line.split(':', 2) as [string, string]));
  const faults: string[] = [];
  const version = of.get('redis_version') ?? '';
  if (!(Number.parseInt(version, 10) >= LEAST_VERSION)) faults.push(`the server is ${version}, and must be ${LEAST_VERSION}.0 or later`);
  if (of.get('role') !== 'master') faults.push(`role is ${of.get('role')}: a replica takes no writes`);
  const policy = of.get('maxmemory_policy');
  if (policy !== 'noeviction') faults.push(`maxmemory-policy is ${policy}, and must be noeviction: others lose what was written`);
  if (of.get('aof_enabled') !== '1') faults.push('appendonly is no, and must be yes: a restart would lose all projections');

  return faults;
}
