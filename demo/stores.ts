/**
 * Behind the scenes: where the data is, at one moment. The demo looks into the three servers here, as the book does with
 * three tools; it never writes to them, and asks nothing of them that it could ask of the gateway.
 */
import { jetstreamManager, type JetStreamManager, type StreamInfo } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { APPLIED } from '../read-side/shard.js';
import { natsOptions, streamInfo } from '../shared/jetstream.js';
import type { EventType } from '../shared/messages/event.js';
import { natsNames } from '../shared/names.js';
import { redisOptions } from '../shared/redis.js';
import { connectionOptions } from '../write-side/database.js';
import type { Column } from './story.js';
import { eventually } from './wait.js';

export interface StoreUrls {
  mysql: string;
  nats: string;
  redis: string;
}

export interface JournalLine {
  position: number;
  type: EventType;
  actorId: string;
}

/** How far each of the three has come. */
export interface Standing {
  /** Position of the journal's last entry. */
  journal: number;
  /** Position up to which the stream of events has it. */
  events: number;
  /** Position up to which every shard of every projection has applied it. */
  applied: number;
  /** Of the messages that were in the stream of commands when we began to look, some are still there. */
  isWaiting: boolean;
}

interface ProjectionKey {
  key: string;
  projection: string;
  shard: string;
  kind: string;
  /** Else it is what a shard keeps about itself. */
  isAboutSomebody: boolean;
}

const CONNECT_TIMEOUT_MS = 5_000;
const MIGRATIONS = 'mikro_orm_migrations';

export class Stores {
  private readonly names;

  private constructor(
    private readonly database: Connection,
    private readonly nats: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly redis: Redis,
    private readonly namespace: string,
    /** The journal's name, which its stream and the projections carry. */
    private readonly epoch: string,
  ) {
    this.names = natsNames(namespace);
  }

  static async open(urls: StoreUrls, namespace: string): Promise<Stores> {
    const database = await reached(
      'MySQL',
      mysql.createConnection({ ...connectionOptions(urls.mysql), connectTimeout: CONNECT_TIMEOUT_MS }),
    );
    const nats = await reached('NATS', connect({ ...natsOptions(urls.nats), name: 'demo', timeout: CONNECT_TIMEOUT_MS }));
    const once = { lazyConnect: true, connectTimeout: CONNECT_TIMEOUT_MS, retryStrategy: () => null };
    const redis = new Redis({ ...redisOptions(urls.redis), ...once });
    // What goes wrong later is reported by the command that it happens to.
    redis.on('error', () => undefined);
    await reached('Redis', redis.connect());
    const [[head]] = await database.query<RowDataPacket[]>('SELECT epoch FROM journal_head');

    return new Stores(database, nats, await jetstreamManager(nats, { checkAPI: false }), redis, namespace, head!.epoch as string);
  }

  async close(): Promise<void> {
    this.redis.disconnect();
    await Promise.all([this.database.end(), this.nats.close()]);
  }

  // ---- The journal ----

  /** The position of its last entry. */
  async journalHead(): Promise<number> {
    const [[head]] = await this.database.query<RowDataPacket[]>('SELECT position FROM journal_head');

    return Number(head!.position);
  }

  /** What these commands left there. @param after a position before all of that */
  async journalOf(commandIds: string[], after: number): Promise<JournalLine[]> {
    const [rows] = await this.database.query<RowDataPacket[]>(
      `SELECT position, type, JSON_UNQUOTE(JSON_EXTRACT(body, '$.actorId')) AS actorId FROM journal
       WHERE position > ? AND JSON_UNQUOTE(JSON_EXTRACT(body, '$.commandId')) IN (?) ORDER BY position`,
      [after, commandIds],
    );

    return rows.map((row) => ({ ...(row as JournalLine), position: Number(row.position) }));
  }

  async hasAuthor(id: string): Promise<boolean> {
    const [rows] = await this.database.query<RowDataPacket[]>('SELECT 1 FROM authors WHERE id = ?', [id]);

    return rows.length === 1;
  }

  // ---- How far it is on its way ----

  /** Messages in the stream of commands. */
  async commandsWaiting(): Promise<number> {
    return (await this.commands())?.state.messages ?? 0;
  }

  /** Waits until what is in the journal now is everywhere; at the deadline, how far it came. */
  async arrival(): Promise<Standing> {
    const journal = await this.journalHead();
    const lastCommand = (await this.commands())?.state.last_seq ?? 0;
    const keys = await this.keys();

    return eventually(
      async () => {
        const [commands, events, applied] = await Promise.all([this.commands(), this.events(), this.applied(keys)]);
        const isWaiting = !!commands && commands.state.messages > 0 && commands.state.first_seq <= lastCommand;

        return { journal, events: events?.state.last_seq ?? 0, applied, isWaiting };
      },
      (standing) => standing.events >= journal && standing.applied >= journal && !standing.isWaiting,
    );
  }

  private commands = (): Promise<StreamInfo | null> => streamInfo(this.jsm, this.names.commands);
  private events = (): Promise<StreamInfo | null> => streamInfo(this.jsm, this.names.events(this.epoch));

  private async applied(keys: ProjectionKey[]): Promise<number> {
    const shards = keys.filter(({ kind }) => kind === APPLIED);
    if (shards.length === 0) return 0;
    const positions = await this.redis.mget(shards.map(({ key }) => key));
    // A shard that is being built anew exists twice for a while; the one that serves is ahead.
    const byShard = new Map<string, number>();
    shards.forEach(({ shard }, i) => byShard.set(shard, Math.max(byShard.get(shard) ?? 0, Number(positions[i]))));

    return Math.min(...byShard.values());
  }

  // ---- What is where ----

  /** MySQL, JetStream and Redis, counted. */
  async counts(): Promise<Column[]> {
    const [rows, messages, keys] = await Promise.all([this.rowsByTable(), this.messagesByStream(), this.keysByProjection()]);

    return [
      { title: 'MySQL, rows', counts: rows },
      { title: 'JetStream, messages', counts: messages },
      { title: 'Redis, keys', counts: keys },
    ];
  }

  private async rowsByTable(): Promise<Map<string, number>> {
    const [tables] = await this.database.query<RowDataPacket[]>(
      'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name <> ? ORDER BY table_name',
      [MIGRATIONS],
    );
    const names = tables.map(({ name }) => name as string);
    const counts = new Map<string, number>();
    for (const name of names) {
      const [[row]] = await this.database.query<RowDataPacket[]>('SELECT COUNT(*) AS count FROM ??', [name]);
      counts.set(name, Number(row!.count));
    }

    return counts;
  }

  private async messagesByStream(): Promise<Map<string, number>> {
    const [commands, events] = await Promise.all([this.commands(), this.events()]);

    return new Map([
      ['COMMANDS, waiting', commands?.state.messages ?? 0],
      ['EVENTS', events?.state.messages ?? 0],
    ]);
  }

  /** By projection and kind. */
  private async keysByProjection(): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for (const { projection, kind, isAboutSomebody } of await this.keys()) {
      if (isAboutSomebody) counts.set(`${projection} ${kind}:…`, (counts.get(`${projection} ${kind}:…`) ?? 0) + 1);
    }

    return counts.size > 0 ? new Map([...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))) : new Map([['about anybody', 0]]);
  }

  /** Keys of projections are NAMESPACE:EPOCH:{PROJECTION:SHARD}:VERSION:KIND, and mostly :ID. */
  private async keys(): Promise<ProjectionKey[]> {
    const found = new Set<string>();
    const scan = this.redis.scanStream({ match: `${this.namespace}:${this.epoch}:{*`, count: 1_000 });
    for await (const keys of scan as AsyncIterable<string[]>) for (const key of keys) found.add(key);

    return [...found].flatMap((key) => {
      const [, projection, number, kind, id] = /\{(\w+):(\d+)\}:\d+:([^:]+)(:.+)?$/.exec(key) ?? [];
      if (!projection || !kind) return [];

      return [{ key, projection, shard: `${projection}:${number}`, kind, isAboutSomebody: id !== undefined }];
    });
  }
}

const reached = <T>(server: string, connecting: Promise<T>): Promise<T> =>
  connecting.catch((cause: unknown) => {
    throw new Error(`${server} cannot be reached`, { cause });
  });
