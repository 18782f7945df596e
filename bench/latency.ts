/**
 * Mutation to token-read over HTTP, one client: beside the sum of the bare hops that no such system can do without (two empty
 * HTTP requests, a publish, a commit, a publish, a Redis script, a read), each measured alone, turn by turn in the same run.
 */
import { randomUUID } from 'node:crypto';
import { jetstream, jetstreamManager, StorageType } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';
import { CheeperClient } from '../client/client.js';
import { CheepMessageDocument, PostCheepReceiptDocument, SignUpDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';

const ROUNDS = 400;
const WARM_UP = 100;

export async function latency(): Promise<void> {
  const url = required('CHEEPER_URL');
  const hops = await bareHops(url);
  const client = new CheeperClient({ url: `${url}/graphql` });
  const username = `bench_${randomUUID().slice(0, 8)}`;
  const input = { username, email: `${username}@example.org`, password: randomUUID() };
  client.accessToken = (await client.request(SignUpDocument, { input })).signUp.session!.accessToken;
  // Its two halves, to see where the time goes.
  const parts = { mutation: [] as number[] };
  const mutationToRead = async () => {
    const cheepId = newId();
    const start = performance.now();
    await client.request(PostCheepReceiptDocument, { input: { message: 'as fast as it goes', cheepId } });
    parts.mutation.push(performance.now() - start);
    const { cheep } = await client.request(CheepMessageDocument, { id: cheepId });
    if (!cheep) throw new Error('a read with the token of a write did not show it');
  };

  const measured: Record<string, number[]> = { 'mutation to token-read': [] };
  for (const { name } of hops.list) measured[name] = [];
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    for (const [name, run] of [
      ...hops.list.map((hop) => [hop.name, hop.run] as const),
      ['mutation to token-read', mutationToRead] as const,
    ]) {
      const start = performance.now();
      await run();
      if (round >= 0) measured[name]!.push(performance.now() - start);
    }
  }
  await hops.close();

  console.log(`\nMutation to token-read over HTTP, one client, ${ROUNDS} rounds (milliseconds)\n`);
  console.log(`${''.padEnd(34)}${'p50'.padStart(8)}${'p99'.padStart(8)}`);
  const row = (name: string, p50: number, p99: number) =>
    console.log(`${name.padEnd(34)}${p50.toFixed(2).padStart(8)}${p99.toFixed(2).padStart(8)}`);
  let [floor50, floor99] = [0, 0];
  for (const { name, times } of hops.list) {
    const [p50, p99] = [percentile(measured[name]!, 0.5), percentile(measured[name]!, 0.99)];
    row(times > 1 ? `  ${name} × ${times}` : `  ${name}`, p50 * times, p99 * times);
    floor50 += times * p50;
    floor99 += times * p99;
  }
  const whole = measured['mutation to token-read']!;
  row('sum of the bare hops', floor50, floor99);
  row('  of which the mutation', percentile(parts.mutation.slice(WARM_UP), 0.5), percentile(parts.mutation.slice(WARM_UP), 0.99));
  row('mutation to token-read', percentile(whole, 0.5), percentile(whole, 0.99));
  console.log(
    `${'ratio'.padEnd(34)}${(percentile(whole, 0.5) / floor50).toFixed(2).padStart(8)}${(percentile(whole, 0.99) / floor99).toFixed(2).padStart(8)}   (aim: at most 3 at p50)\n`,
  );
}

interface Hop {
  name: string;
  /** How often it is on the way. */
  times: number;
  run: () => Promise<unknown>;
}

async function bareHops(url: string): Promise<{ list: Hop[]; close: () => Promise<void> }> {
  const nats = await connect({ servers: required('NATS_URL') });
  const streams = await jetstreamManager(nats);
  const stream = `bench_${randomUUID().slice(0, 8)}`;
  await streams.streams.add({ name: stream, subjects: [stream], storage: StorageType.File });
  const js = jetstream(nats);
  const database = await mysql.createConnection(required('MYSQL_URL'));
  await database.query(`CREATE TABLE ${stream} (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, body TEXT)`);
  const redis = new Redis(required('REDIS_URL'));
  redis.defineCommand('benchWrite', {
    numberOfKeys: 1,
    lua: `redis.call('HSET', KEYS[1], 'body', ARGV[1]) return redis.call('INCR', KEYS[1] .. ':applied')`,
  });
  const write = (redis as unknown as { benchWrite(key: string, body: string): Promise<number> }).benchWrite.bind(redis);
  // About as much as an event of ours.
  const body = 'x'.repeat(600);

  return {
    list: [
      { name: 'empty HTTP request', times: 2, run: async () => (await fetch(`${url}/healthz`)).text() },
      { name: 'publish to JetStream', times: 2, run: () => js.publish(stream, body) },
      { name: 'commit (one row)', times: 1, run: () => database.query(`INSERT INTO ${stream} (body) VALUES (?)`, [body]) },
      { name: 'Redis script', times: 1, run: () => write(`{${stream}}`, body) },
      { name: 'Redis read', times: 1, run: () => redis.hgetall(`{${stream}}`) },
    ],
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

/** The value below which that share of them is. */
function percentile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);

  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run this with \`npm run bench\``);

  return value;
}
