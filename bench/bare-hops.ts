/**
 * The bare hops that no such system can do without, on the servers of the system that is measured: what the ratios of the
 * benches are ratios to.
 */
import { randomUUID } from 'node:crypto';
import { jetstream, jetstreamManager, StorageType } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';
import { natsServers } from '../shared/config.js';
import { required } from './figures.js';

export interface BareHops {
  emptyRequest(): Promise<unknown>;
  publish(): Promise<unknown>;
  commit(): Promise<unknown>;
  script(): Promise<unknown>;
  read(): Promise<unknown>;
  close(): Promise<void>;
}

export async function bareHops(): Promise<BareHops> {
  const url = required('CHEEPER_URL');
  const nats = await connect(natsServers(required('NATS_URL')));
  const streams = await jetstreamManager(nats);
  const stream = `bench_${randomUUID().slice(0, 8)}`;
  await streams.streams.add({ name: stream, subjects: [stream], storage: StorageType.File });
  const js = jetstream(nats);
  const database = await mysql.createConnection(required('MYSQL_URL'));
  await database.query(`CREATE TABLE ${stream} (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, body TEXT) ENGINE = InnoDB`);
  const redis = new Redis(required('REDIS_URL'));
  redis.defineCommand('benchWrite', {
    numberOfKeys: 1,
    lua: `redis.call('HSET', KEYS[1], 'body', ARGV[1]) return redis.call('INCR', KEYS[1] .. ':applied')`,
  });
  const write = (redis as unknown as { benchWrite(key: string, body: string): Promise<number> }).benchWrite.bind(redis);
  // About as much as an event of ours.
  const body = 'x'.repeat(600);

  return {
    emptyRequest: async () => (await fetch(`${url}/healthz`)).text(),
    publish: () => js.publish(stream, body),
    commit: () => database.query(`INSERT INTO ${stream} (body) VALUES (?)`, [body]),
    script: () => write(`{${stream}}`, body),
    read: () => redis.hgetall(`{${stream}}`),
    close: async () => {
      await streams.streams.delete(stream);
      await database.query(`DROP TABLE ${stream}`);
      await redis.del(`{${stream}}`, `{${stream}}:applied`);
      await nats.close();
      await database.end();
      redis.disconnect();
    },
  };
}
