/**
 * `cheeper epoch`: the name of the journal's life. A journal that was restored by other means than `cheeper restore` needs a new
 * one; what NATS and Redis still have of old ones can be removed.
 */
import type { Redis } from 'ioredis';
import type { ResultSetHeader, RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { readConfig } from '../shared/config.js';
import type { Nats } from '../shared/jetstream.js';
import { natsNames } from '../shared/names.js';
import { EPOCH } from '../shared/token.js';
import { newEpoch, NO_HEAD } from '../write-side/journal.js';
import { connectNatsOnce, connectRedisOnce, tellServices, withMysql } from './servers.js';
import { atMost, OperatorError, parseArguments, UsageError, type Subcommand } from './subcommand.js';

const USAGE = `cheeper epoch [show] [--json]
cheeper epoch new [--yes] [--json]
cheeper epoch clean [--yes] [--json]

  show     the journal's epoch, and where it stands
  new      begins another: for a MySQL that was restored to an older state by other means than cheeper restore. The stream of
           events, the public events and all projections are made anew from the journal, by themselves; consistency tokens and
           cursors of before are refused, and clients begin without. Asks for --yes. Services may run.
  clean    removes what NATS and Redis still have of old epochs: streams, and the keys of projections. Asks for --yes.
  --json   for programs: one JSON document

The settings are those of the services: MYSQL_URL; for new and clean NATS_URL and NAMESPACE; for clean REDIS_URL.`;

/** Keys looked at, and removed, in one round trip. */
const MAX_KEYS = 1_000;

type Say = (json: object, text: string) => void;

export const epoch: Subcommand = {
  summary: 'The name of the journal’s life; a new one after a restore.',
  usage: USAGE,
  async run(args, print) {
    const { values, positionals } = parseArguments(args, {
      yes: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    const [action = 'show'] = atMost(positionals, 1);
    const say: Say = (json, text) => print(values.json ? JSON.stringify(json) : text);
    const { MYSQL_URL } = readConfig(['MYSQL_URL']);
    switch (action) {
      case 'show':
        return withMysql(MYSQL_URL, async (connection) => {
          const head = await readHead(connection);
          say(head, `epoch ${head.epoch}, at position ${head.position}`);
        });
      case 'new':
        return withMysql(MYSQL_URL, (connection) => begin(connection, values.yes, say));
      case 'clean':
        return withMysql(MYSQL_URL, (connection) => clean(connection, values.yes, say));
      default:
        throw new UsageError(`There is no ${JSON.stringify(action)}: one of show, new, clean. cheeper epoch --help tells more.`);
    }
  },
};

async function readHead(connection: Connection): Promise<{ epoch: string; position: number }> {
  const [[head]] = await connection.query<RowDataPacket[]>('SELECT epoch, position FROM journal_head WHERE id = 1');
  if (!head) throw new OperatorError(`MySQL: ${NO_HEAD}.`);

  return { epoch: head.epoch as string, position: Number(head.position) };
}

async function begin(connection: Connection, yes: boolean, say: Say): Promise<void> {
  const { NATS_URL, NAMESPACE } = readConfig(['NATS_URL', 'NAMESPACE']);
  const { epoch: before, position } = await readHead(connection);
  if (!yes) {
    throw new UsageError(
      `This ends epoch ${before} at position ${position}: tokens and cursors become void, and all projections build themselves anew. With --yes it is done.`,
    );
  }
  const after = newEpoch();
  // Two operators at once: one of them is told.
  const [{ affectedRows }] = await connection.query<ResultSetHeader>('UPDATE journal_head SET epoch = ? WHERE id = 1 AND epoch = ?', [
    after,
    before,
  ]);
  if (affectedRows !== 1) throw new OperatorError('Somebody else has begun a new epoch. Look again.');
  await tellServices(NATS_URL, NAMESPACE);
  say({ epoch: after, before, position }, `epoch ${after}, at position ${position}; it was ${before}`);
}

// ---- What old epochs have left behind

async function clean(connection: Connection, yes: boolean, say: Say): Promise<void> {
  const { NATS_URL, REDIS_URL, NAMESPACE } = readConfig(['NATS_URL', 'REDIS_URL', 'NAMESPACE']);
  const { epoch: current } = await readHead(connection);
  const nats = await connectNatsOnce(NATS_URL, NAMESPACE);
  try {
    const redis = await connectRedisOnce(REDIS_URL);
    try {
      const streams = await oldStreams(nats, NAMESPACE, current);
      const keys = await oldKeys(redis, NAMESPACE, current, false);
      if (!yes && streams.length + keys > 0) {
        throw new UsageError(
          `This removes ${streams.length} streams${streams.length > 0 ? ` (${streams.join(', ')})` : ''} and ${keys} keys of epochs before ${current}. With --yes it is done.`,
        );
      }
      for (const stream of streams) await nats.jsm.streams.delete(stream);
      const removed = keys > 0 ? await oldKeys(redis, NAMESPACE, current, true) : 0;
      say(
        { epoch: current, streams, keys: removed },
        `Removed ${streams.length} streams and ${removed} keys; epoch ${current} has all of its own.`,
      );
    } finally {
      redis.disconnect();
    }
  } finally {
    await nats.close();
  }
}

async function oldStreams({ jsm }: Nats, namespace: string, current: string): Promise<string[]> {
  const names = natsNames(namespace);
  const prefixes = [names.events(''), names.publicEvents('')];
  const found: string[] = [];
  for await (const name of jsm.streams.names()) {
    const prefix = prefixes.find((one) => name.startsWith(one));
    if (prefix === undefined) continue;
    const of = name.slice(prefix.length);
    if (EPOCH.test(of) && of !== current) found.push(name);
  }

  return found;
}

/** Counts, or removes, keys of other epochs: NAMESPACE:EPOCH:… */
async function oldKeys(redis: Redis, namespace: string, current: string, remove: boolean): Promise<number> {
  let count = 0;
  for await (const keys of redis.scanStream({ match: `${namespace}:*:*`, count: MAX_KEYS })) {
    const old = (keys as string[]).filter((key) => {
      const of = key.slice(namespace.length + 1).split(':', 1)[0]!;
      return EPOCH.test(of) && of !== current;
    });
    if (old.length === 0) continue;
    // Of a cluster's many slots, each key has its own command.
    if (remove) await Promise.all(old.map((key) => redis.unlink(key)));
    count += old.length;
  }

  return count;
}
