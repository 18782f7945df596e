/** The gateway: the public face. In one process, or in several that open the same port. */
import cluster from 'node:cluster';
import { readConfig } from '../shared/config.js';
import { createLog } from '../shared/log.js';
import { runService } from '../shared/service.js';
import { GATEWAY_SETTINGS, startGateway } from './server.js';
import { startWorkers, tellWaiting } from './workers.js';

await runService('gateway', async () => {
  const { GATEWAY_PROCESSES, ...config } = readConfig([...GATEWAY_SETTINGS, 'GATEWAY_PROCESSES']);
  const log = createLog('gateway', config.LOG_LEVEL);
  if (cluster.isWorker) return { log, service: await startGateway(config, log, tellWaiting) };
  if (GATEWAY_PROCESSES > 1) return { log, service: await startWorkers(GATEWAY_PROCESSES, config, log) };

  return { log, service: await startGateway(config, log) };
});
