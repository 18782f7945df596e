/** Makes the database that MYSQL_URL names, and brings its tables up to date: `node dist/write-side/migrate.js` */
import { Migrator } from '@mikro-orm/migrations';
import { MikroORM } from '@mikro-orm/mysql';
import mysql from 'mysql2/promise';
import { ConfigError, hostOf, readConfig } from '../shared/config.js';
import { entities } from './database.js';
import { migrationsList } from './migrations/migrations.js';

export async function migrate(mysqlUrl: string): Promise<string[]> {
  const url = new URL(mysqlUrl);
  const dbName = url.pathname.slice(1);
  url.pathname = '/';
  const server = await mysql.createConnection({ uri: url.href, host: hostOf(mysqlUrl) });
  try {
    await server.query(`CREATE DATABASE IF NOT EXISTS \`${dbName}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`);
  } finally {
    await server.end();
  }
  const orm = await MikroORM.init({
    entities,
    clientUrl: mysqlUrl,
    host: hostOf(mysqlUrl),
    dbName,
    extensions: [Migrator],
    logger: () => undefined, // What was done is told by the caller.
    migrations: { migrationsList, snapshot: false, transactional: false },
  });
  try {
    return (await orm.migrator.up()).map((done) => done.name);
  } finally {
    await orm.close();
  }
}

if (process.argv[1] && import.meta.filename === process.argv[1]) {
  process.stdout.on('error', () => undefined); // What was done is done, whoever reads of it.
  try {
    const applied = await migrate(readConfig(['MYSQL_URL']).MYSQL_URL);
    process.stdout.write(applied.length ? `Migrated: ${applied.join(', ')}\n` : 'The database is up to date.\n');
  } catch (error) {
    const known = error instanceof ConfigError || (error as { code?: string }).code !== undefined;
    process.stderr.write(`migrate: ${known ? (error as Error).message : (error as Error).stack}\n`);
    process.exitCode = 1;
  }
}
