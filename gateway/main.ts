/** The gateway: the public face. In one process, or in several that open the same port. */
import cluster from 'node:cluster';
import { setFlagsFromString } from 'node:v8';
import { readConfig } from '../shared/config.js';
import { createLog } from '../shared/log.js';
import { runService } from '../shared/service.js';
import { GATEWAY_SETTINGS, startGateway } from './server.js';
import { startWorkers, tellWaiting } from './workers.js';

/**
 * What has lived for long may become twice as much before it is collected. V8 itself would wait until it is four times as much, so that in the first
 * attack of a process its memory grew to twice as much (decision 0037).
 */
setFlagsFromString('--heap-growing-percent=100');

await runService('gateway', async () => {
  const { GATEWAY_PROCESSES, ...config } = readConfig([...GATEWAY_SETTINGS, 'GATEWAY_PROCESSES']);
  const log = createLog('gateway', config.LOG_LEVEL);
  if (cluster.isWorker) return { log, service: await startGateway(config, log, tellWaiting) };
  if (GATEWAY_PROCESSES > 1) return { log, service: await startWorkers(GATEWAY_PROCESSES, config, log) };

  return { log, service: await startGateway(config, log) };
});
