/** The read side: keeps the projections in Redis up to date with the journal. */
import { readConfig } from '../shared/config.js';
import { connectNats, inboxOf } from '../shared/jetstream.js';
import { createLog } from '../shared/log.js';
import { connectRedis } from '../shared/redis.js';
import { runService, serveHealth } from '../shared/service.js';
import { createProjections } from './projections.js';
import { startWorker } from './worker.js';

await runService('read-side', async () => {
  const config = readConfig(['NATS_URL', 'REDIS_URL', 'NAMESPACE', 'SHARDS', 'HOT_FOLLOWERS', 'HOST', 'HEALTH_PORT', 'LOG_LEVEL']);
  const log = createLog('read-side', config.LOG_LEVEL);
  let parts: { waitsFor(): string[] }[] = [{ waitsFor: () => ['NATS'] }];
  const waitsFor = () => [...new Set(parts.flatMap((part) => part.waitsFor()))];
  const health = await serveHealth({ waitsFor }, config.HEALTH_PORT, { host: config.HOST });

  const nats = await connectNats(config.NATS_URL, 'read-side', { ...inboxOf(config.NAMESPACE, 'read-side'), log });
  // Commands wait for Redis as long as it takes. One that is sent again after a lost connection finds what it did the first
  // time, because every write compares `applied`.
  // (Not pipelined by ioredis itself: that sends the next ones when the last ones are answered, and Redis has nothing to do meanwhile.)
  const redisConnection = connectRedis(config.REDIS_URL, log, { maxRetriesPerRequest: null });
  const { redis } = redisConnection;
  const leasesConnection = connectRedis(config.REDIS_URL, log, { maxRetriesPerRequest: null });
  const projections = createProjections(config);
  const worker = startWorker({
    redis,
    leases: leasesConnection.redis,
    nats,
    namespace: config.NAMESPACE,
    shards: config.SHARDS,
    projections,
    hotFollowers: config.HOT_FOLLOWERS,
    log,
  });
  parts = [{ waitsFor: () => (nats.isConnected() ? [] : ['NATS']) }, redisConnection, leasesConnection, worker];

  return {
    log,
    service: {
      waitsFor,
      stop: async () => {
        // Without Redis there is nothing to finish, and nothing to give back.
        if (redis.status !== 'ready' || leasesConnection.redis.status !== 'ready') {
          redisConnection.close();
          leasesConnection.close();
        }
        await worker.stop();
        await nats.close();
        redisConnection.close();
        leasesConnection.close();
        await health.close();
      },
    },
  };
});
