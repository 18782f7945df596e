import { startStack, temporaryFolder, type Stack } from '../stack/stack.mjs';

declare global {
  var testStack: { stack: Stack; dataDir: string } | undefined; // for the teardown alone: tests don't see it
}

/** One throw-away MySQL, NATS and Redis for all tests of a run; each test takes a namespace or database of its own. */
export default async function globalSetup() {
  const dataDir = await temporaryFolder();
  const stack = await startStack({ dataDir });

  process.env['TEST_MYSQL_URL'] = stack.mysqlUrl; // names no database
  process.env['TEST_NATS_URL'] = stack.natsUrl;
  process.env['TEST_REDIS_URL'] = stack.redisUrl;
  globalThis.testStack = { stack, dataDir };
}
