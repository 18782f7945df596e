import { join } from 'node:path';
import { startStack, temporaryFolder, type Stack } from '../stack/stack.mjs';
import { build } from './build.mjs';

declare global {
  var testStack: { stack: Stack; dataDir: string } | undefined; // for the teardown alone: tests don't see it
}

/** One throw-away MySQL, NATS and Redis for all tests of a run; each test takes a namespace or database of its own. */
export default async function globalSetup() {
  const dataDir = await temporaryFolder();
  const [stack, built] = await Promise.all([startStack({ dataDir }), build(dataDir)]);

  process.env['TEST_MYSQL_URL'] = stack.mysqlUrl; // names no database
  // They would take the place of what the URLs say.
  for (const name of Object.keys(process.env))
    if (/^(MYSQL|NATS|REDIS)_PASSWORD(_FILE)?$|_(CREDS|NKEY)_FILE$|TLS_\w+_FILE$/.test(name)) delete process.env[name];
  process.env['TEST_NATS_URL'] = stack.natsUrl;
  process.env['TEST_REDIS_URL'] = stack.redisUrl;
  process.env['TEST_BUILD'] = built;
  // Each process that tests start finds what the one before it has compiled.
  process.env['NODE_COMPILE_CACHE'] = join(dataDir, 'compiled');
  // However many cores there are: a test kills, or stops, the one process that it has started. (tests/workers has several.)
  process.env['GATEWAY_PROCESSES'] = '1';
  globalThis.testStack = { stack, dataDir };
}
