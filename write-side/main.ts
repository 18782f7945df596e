/** The write side: runs commands, journals what happened, and publishes the journal. */
import { readConfig } from '../shared/config.js';
import { connectNats } from '../shared/jetstream.js';
import { createLog } from '../shared/log.js';
import { runService, serveHealth, type Service } from '../shared/service.js';
import { startAnswers } from './answers.js';
import { createPool } from './database.js';
import { startLanes } from './lanes.js';
import { startRelay } from './relay.js';

await runService('write-side', async () => {
  const config = readConfig(['MYSQL_URL', 'NATS_URL', 'NAMESPACE', 'LANES', 'HEALTH_PORT', 'LOG_LEVEL']);
  const log = createLog('write-side', config.LOG_LEVEL);
  let parts: { waitsFor(): string[] }[] = [{ waitsFor: () => ['NATS'] }];
  const service: Pick<Service, 'waitsFor'> = { waitsFor: () => parts.flatMap((part) => part.waitsFor()) };
  const health = await serveHealth(service, config.HEALTH_PORT);

  // What this process says about its own commits is for others.
  const nats = await connectNats(config.NATS_URL, 'write-side', { noEcho: true });
  const shared = { mysqlUrl: config.MYSQL_URL, namespace: config.NAMESPACE, nats, log };
  const pool = createPool(config.MYSQL_URL);
  const answers = startAnswers({ ...shared, pool });
  const relay = startRelay(shared);
  const lanes = startLanes({ ...shared, lanes: config.LANES, onCommitted: (epoch, entries) => relay.offer(epoch, entries) });
  parts = [{ waitsFor: () => (nats.isConnected() ? [] : ['NATS']) }, lanes, relay];

  return {
    log,
    service: {
      ...service,
      stop: async () => {
        await lanes.stop();
        await relay.stop();
        await answers.stop();
        await nats.close();
        await pool.end();
        await health.close();
      },
    },
  };
});
