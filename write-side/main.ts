/** The write side: runs commands, journals what happened, and publishes the journal. */
import { readConfig } from '../shared/config.js';
import { connectNats, inboxOf } from '../shared/jetstream.js';
import { lowerPriorityOfHashing } from '../shared/hashing.js';
import { createLog } from '../shared/log.js';
import { runService, serveHealth, type Service } from '../shared/service.js';
import { startAnswers } from './answers.js';
import { createPool } from './database.js';
import { startLanes } from './lanes.js';
import { mailer } from './process-managers/mailer.js';
import { createPost } from './process-managers/post.js';
import { startProcessManager } from './process-managers/process-manager.js';
import { ReactionSender } from './process-managers/reaction-sender.js';
import { reactions } from './process-managers/reactions.js';
import { startPublisher } from './public-events/publisher.js';
import { startRelay } from './relay.js';

await runService('write-side', async () => {
  const config = readConfig([
    'MYSQL_URL',
    'NATS_URL',
    'NAMESPACE',
    'LANES',
    'COMMANDS_IN_A_BATCH',
    'HOST',
    'HEALTH_PORT',
    'LOG_LEVEL',
    'MAIL_URL',
    'MAIL_FOLDER',
    'MAIL_FROM',
  ]);
  const log = createLog('write-side', config.LOG_LEVEL);
  await lowerPriorityOfHashing();
  let parts: { waitsFor(): string[] }[] = [{ waitsFor: () => ['NATS'] }];
  const service: Pick<Service, 'waitsFor'> = { waitsFor: () => parts.flatMap((part) => part.waitsFor()) };
  const health = await serveHealth(service, config.HEALTH_PORT, { host: config.HOST });

  // What this process says about its own commits is for others.
  const inbox = inboxOf(config.NAMESPACE, 'write-side');
  const nats = await connectNats(config.NATS_URL, 'write-side', { ...inbox, noEcho: true, log });
  const shared = { mysqlUrl: config.MYSQL_URL, namespace: config.NAMESPACE, nats, log };
  const pool = createPool(config.MYSQL_URL);
  const answers = startAnswers({ ...shared, pool });
  const relay = startRelay(shared);
  const lanes = startLanes({
    ...shared,
    lanes: config.LANES,
    mostInABatch: config.COMMANDS_IN_A_BATCH,
    onCommitted: (epoch, entries) => relay.offer(epoch, entries),
  });
  const publisher = startPublisher(shared);
  // What follows from events is sent to this process's own lanes too, and their outcomes must be heard here.
  const ownNats = await connectNats(config.NATS_URL, 'write-side reactions', { ...inbox, log });
  const sender = new ReactionSender({ nats: ownNats, namespace: config.NAMESPACE, lanes: config.LANES, log });
  const post = createPost({ url: config.MAIL_URL, folder: config.MAIL_FOLDER, from: config.MAIL_FROM });
  const processManagers = [reactions(sender), mailer(post, log)].map((definition) =>
    startProcessManager({ ...shared, ...definition, nats: ownNats }),
  );
  parts = [{ waitsFor: () => (nats.isConnected() ? [] : ['NATS']) }, lanes, relay, publisher, ...processManagers];

  return {
    log,
    service: {
      ...service,
      stop: async () => {
        await Promise.all(processManagers.map((processManager) => processManager.stop()));
        await ownNats.close();
        await lanes.stop();
        await relay.stop();
        await publisher.stop();
        await answers.stop();
        await nats.close();
        await pool.end();
        await health.close();
      },
    },
  };
});
