/** Servers as an operator's command uses them: who does not answer soon is said to be away, in one line. */
import { connect } from '@nats-io/transport-node';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Redis } from 'ioredis';
import mysql, { type Connection } from 'mysql2/promise';
import { inboxOf, natsOptions, natsRefusal, type Nats } from '../shared/jetstream.js';
import { natsNames } from '../shared/names.js';
import { redisOptions, redisRefusal } from '../shared/redis.js';
import { tlsFault } from '../shared/server-url.js';
import { epochKey, shardsKey, type Space } from '../read-side/shard.js';
import { connectionOptions, setSession } from '../write-side/database.js';
import { OperatorError } from './subcommand.js';

const CONNECT_MS = 3_000;

/** @throws OperatorError when it does not answer */
export async function connectRedisOnce(url: string): Promise<Redis> {
  const once = { lazyConnect: true, connectTimeout: CONNECT_MS, retryStrategy: () => null, maxRetriesPerRequest: 0 };
  const redis = new Redis({ ...redisOptions(url), ...once });
  let refusal: string | null = null;
  // Whoever asks it something hears of it; only here why nobody may.
  redis.on('error', (error) => (refusal ??= redisRefusal(error)));
  try {
    await redis.connect();
  } catch (error) {
    redis.disconnect();
    throw new OperatorError(`Redis cannot be asked: ${refusal ?? redisRefusal(error) ?? describe(error)}`);
  }

  return redis;
}

/** @throws OperatorError when it does not answer */
export async function connectNatsOnce(url: string, namespace: string): Promise<Nats> {
  try {
    const connection = await connect({
      ...natsOptions(url),
      ...inboxOf(namespace, 'operator'),
      name: 'cheeper',
      timeout: CONNECT_MS,
      reconnect: false,
    });
    const options = { timeout: CONNECT_MS };

    return {
      connection,
      js: jetstream(connection, options),
      jsm: await jetstreamManager(connection, { ...options, checkAPI: false }),
      isConnected: () => !connection.isClosed(),
      // It is not made again: whoever uses it then is told.
      timesLost: () => 0,
      onLost: () => () => undefined,
      close: () => connection.close(),
    };
  } catch (error) {
    throw new OperatorError(`NATS cannot be asked: ${natsRefusal(error) ?? describe(error)}`);
  }
}

/** For a row that a batch of commands, or a stopped process, holds: longer than MySQL lets a silent process hold anything. */
const LOCK_WAIT_SECONDS = 15;
/** Between two statements: a file of a backup is read meanwhile, or an operator's answer is waited for. */
const SILENCE_SECONDS = 3_600;

/** A single connection, which waits for statements as long as they take. @throws OperatorError when it does not answer */
export async function connectMysqlOnce(url: string): Promise<Connection> {
  let connection: Connection | null = null;
  try {
    connection = await mysql.createConnection({ ...connectionOptions(url, { silenceMs: Infinity }), multipleStatements: true });
    connection.on('error', () => undefined); // Whoever asks it something hears of it.
    await setSession(connection, { waitSeconds: SILENCE_SECONDS, lockWaitSeconds: LOCK_WAIT_SECONDS });

    return connection;
  } catch (error) {
    connection?.destroy();
    throw new OperatorError(`MySQL cannot be asked: ${tlsFault(error) ?? describe(error)}`);
  }
}

/** Works with a connection, and closes it. What MySQL says while it is asked becomes an OperatorError. */
export async function withMysql<T>(url: string, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await connectMysqlOnce(url);
  try {
    return await work(connection);
  } catch (error) {
    // What MySQL says, and what the network says, has a number.
    if ((error as { errno?: number }).errno !== undefined && !(error instanceof OperatorError)) {
      throw new OperatorError(`MySQL: ${describe(error)}`);
    }
    throw error;
  } finally {
    connection.destroy();
  }
}

/** Services look at what operators have said, at once; without NATS they do so a moment later. */
export async function tellServices(natsUrl: string, namespace: string): Promise<void> {
  const nats = await connectNatsOnce(natsUrl, namespace).catch(() => null);
  if (!nats) return;
  nats.connection.publish(natsNames(namespace).control);
  await nats.connection.flush().catch(() => undefined);
  await nats.close();
}

/** The projections of the newest epoch that Redis knows of. @throws OperatorError when there are none */
export async function findSpace(redis: Redis, namespace: string): Promise<Space> {
  const epoch = await redis.get(epochKey(namespace));
  const shards = epoch && (await redis.get(shardsKey({ namespace, epoch, shards: 0 })));
  if (!epoch || !shards) throw new OperatorError(`Redis knows no projections of ${namespace} yet: has a read side ever run?`);

  return { namespace, epoch, shards: Number(shards) };
}

/** In a line. */
export const describe = (error: unknown): string =>
  ((error as Error).message ?? '').split('\n')[0] || ((error as NodeJS.ErrnoException).code ?? String(error));
