/** The gateway: the public face. In one process, or in several that open the same port. */
import cluster from 'node:cluster';
import { setFlagsFromString } from 'node:v8';
import { readConfig } from '../shared/config.js';
import { createLog } from '../shared/log.js';
import { runService } from '../shared/service.js';
import { GATEWAY_SETTINGS, startGateway } from './server.js';
import { startWorkers, tellWaiting } from './workers.js';

/**
 * The heap of long-lived objects may grow by this much before it is collected. V8 itself would let it grow up to four times before it looks:
 * fast for a process that has its machine for itself, but here the memory of all connections stays bounded (decision 0037).
 */
setFlagsFromString('--heap-growing-percent=100');

await runService('gateway', async () => {
  const { GATEWAY_PROCESSES, ...config } = readConfig([...GATEWAY_SETTINGS, 'GATEWAY_PROCESSES']);
  const log = createLog('gateway', config.LOG_LEVEL);
  if (cluster.isWorker) return { log, service: await startGateway(config, log, tellWaiting) };
  if (GATEWAY_PROCESSES > 1) return { log, service: await startWorkers(GATEWAY_PROCESSES, config, log) };

  return { log, service: await startGateway(config, log) };
});
