/**
 * A backup of one server is restored on any other: MySQL and MariaDB, where both are installed; in any case one that was made by an older
 * release, which left collations to a server that has others.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import { PostCheepReceiptDocument } from '../client/operations.js';
import { installedMysql, startStack, temporaryFolder, type Stack } from '../stack/stack.mjs';
import { cheeper, startSystem } from './system.js';

const KINDS = installedMysql();
const PAIRS = KINDS.flatMap((from) => KINDS.map((to) => ({ from, to })));

let dataDir: string;
const stacks: Partial<Record<(typeof KINDS)[number], Stack>> = {};
const files: Partial<Record<(typeof KINDS)[number], string>> = {};
const journals: Partial<Record<(typeof KINDS)[number], string>> = {};
beforeAll(async () => {
  dataDir = await temporaryFolder();
  const before = process.env['CHEEPER_MYSQL'];
  for (const kind of KINDS) {
    process.env['CHEEPER_MYSQL'] = kind;
    stacks[kind] = await startStack({ dataDir: join(dataDir, kind), servers: ['mysql'] });
  }
  if (before === undefined) delete process.env['CHEEPER_MYSQL'];
  else process.env['CHEEPER_MYSQL'] = before;
  for (const kind of KINDS) {
    const { mysqlUrl } = stacks[kind]!;
    const system = await startSystem({
      servers: { mysqlUrl, natsUrl: process.env.TEST_NATS_URL!, redisUrl: process.env.TEST_REDIS_URL! },
    });
    const { client } = await system.author();
    for (const message of ['Hello', 'it’s "me" \\ 😀']) await client.mutate(PostCheepReceiptDocument, { input: { message } });
    files[kind] = join(dataDir, `${kind}.backup`);
    expect(await cheeper(system.env, 'backup', files[kind])).toMatchObject({ code: 0 });
    journals[kind] = (await cheeper(system.env, 'journal', '--json')).out;
    await system.stop();
  }
});
afterAll(async () => {
  for (const stack of Object.values(stacks)) await stack.stop();
  await rm(dataDir, { recursive: true, force: true });
});

/** The same backup, as if a server had given its own collation to tables that named none. */
function withCollation(file: string, collation: string): string {
  const lines = gunzipSync(readFileSync(file)).toString().trimEnd().split('\n').slice(0, -1);
  const last = gunzipSync(readFileSync(file)).toString().trimEnd().split('\n').at(-1)!;
  const changed = lines.map((line) =>
    line.startsWith('{"table"') ? line.replace(/ COLLATE=\w+"/, ` COLLATE=${collation}"`).replace(/ ROW_FORMAT=DYNAMIC/, '') : line,
  );
  expect(changed).not.toEqual(lines);
  const text = changed.map((line) => `${line}\n`).join('');
  const end = JSON.parse(last) as { end: { rows: unknown; sha256: string } };
  end.end.sha256 = createHash('sha256').update(text).digest('hex');
  const other = `${file}.${collation}`;
  writeFileSync(other, gzipSync(`${text}${JSON.stringify(end)}\n`));

  return other;
}

describe.each(PAIRS)('a backup of $from, restored on $to,', ({ from, to }) => {
  it.each(['as it is', 'utf8mb4_0900_ai_ci', 'utf8mb4_uca1400_ai_ci'])(
    'has the same journal, and tables of this release (%s)',
    async (collation) => {
      const file = collation === 'as it is' ? files[from]! : withCollation(files[from]!, collation);
      const name = `from_${from}_${collation.replaceAll(' ', '_')}`;
      const env = { MYSQL_URL: `${stacks[to]!.mysqlUrl}/${name}`, NAMESPACE: 'elsewhere' };
      expect(await cheeper(env, 'restore', file)).toMatchObject({ code: 0 });
      expect((await cheeper(env, 'journal', '--json')).out).toBe(journals[from]);
      const connection = await mysql.createConnection(env.MYSQL_URL);
      const [others] = await connection.query<RowDataPacket[]>(
        `SELECT table_name AS name FROM information_schema.tables
       WHERE table_schema = DATABASE() AND (engine <> 'InnoDB' OR table_collation <> 'utf8mb4_bin')`,
      );
      await connection.end();
      expect(others).toEqual([]);
    },
  );
});
