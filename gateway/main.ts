/** The gateway: the public face. */
import { readConfig } from '../shared/config.js';
import { createLog } from '../shared/log.js';
import { runService } from '../shared/service.js';
import { GATEWAY_SETTINGS, startGateway } from './server.js';

await runService('gateway', async () => {
  const config = readConfig(GATEWAY_SETTINGS);
  const log = createLog('gateway', config.LOG_LEVEL);

  return { log, service: await startGateway(config, log) };
});
