/** A gateway: everything behind its one port. */
import { createServer, type IncomingMessage } from 'node:http';
import fastifyCookie from '@fastify/cookie';
import fastifyCors from '@fastify/cors';
import fastify from 'fastify';
import { ConfigError, type settings } from '../shared/config.js';
import { lowerPriorityOfHashing } from '../shared/hashing.js';
import { connectNats, inboxOf } from '../shared/jetstream.js';
import { pause } from '../shared/follow.js';
import type { Logger } from '../shared/log.js';
import { connectRedis } from '../shared/redis.js';
import { failOnConfigError, readiness, serveHealth, silentConnections, type Service } from '../shared/service.js';
import { epochKey, shardName, shardsKey, type Space } from '../read-side/shard.js';
import { liveGenerations, readControl } from '../read-side/control.js';
import { allShards } from '../read-side/progress.js';
import type { z } from 'zod';
import { authorFeed } from './authors/author-feed.js';
import { LogInTries } from './authors/log-in-tries.js';
import { Passwords } from './authors/passwords.js';
import { BudgetStore } from './budgets.js';
import { threadFeed } from './cheeps/thread-feed.js';
import { AwaitedCommands } from './commands/awaited-commands.js';
import { CommandSender } from './command-sender.js';
import { Connections, CountedMessage, MAX_BODY_BYTES } from './connections.js';
import { CONSISTENCY_HEADER, READ_HEADER, WAIT_HEADER } from './consistency.js';
import type { Services } from './context.js';
import { openDoors } from './doors.js';
import { NOT_YET } from './errors.js';
import { Executor } from './executor.js';
import { Feed } from './feed.js';
import { serveHttp } from './http.js';
import { serveIde } from './ide.js';
import { LargeRequests } from './large-requests.js';
import { notificationFeed } from './notifications/notification-feed.js';
import { Operations } from './operations.js';
import { Origins } from './origins.js';
import { Progress } from './progress.js';
import { Rates, RATE_LIMIT_HEADERS } from './rates.js';
import { Reads } from './reads.js';
import { protectAnswers } from './protection.js';
import { queryOf } from './requests.js';
import { createSchema } from './schema.js';
import { serveEventStreams } from './server-sent-events.js';
import { Sessions } from './sessions.js';
import { Shares } from '../shared/shares.js';
import { Subscriptions } from './subscriptions.js';
import { timelineFeed } from './timelines/timeline-feed.js';
import { TrustedDocuments } from './trusted-documents.js';
import { serveWebsocket } from './websocket.js';
import { MAX_OPERATIONS, MAX_WAITING, Work } from './work.js';

export const GATEWAY_SETTINGS = [
  'NATS_URL',
  'REDIS_URL',
  'NAMESPACE',
  'HOST',
  'PORT',
  'LANES',
  'SHARDS',
  'SIGNING_KEY',
  'ACCESS_TOKEN_HOURS',
  'COMMIT_DEADLINE_MS',
  'READ_DEADLINE_MS',
  'ALLOWED_ORIGINS',
  'TRUST_PROXY',
  'RATE_LIMITS',
  'PUBLIC_ORIGINS',
  'TRUSTED_DOCUMENTS',
  'TRUSTED_DOCUMENTS_FOLDER',
  'INTROSPECTION',
  'IDE',
  'BATCHES',
  'LOG_LEVEL',
] as const;
export type GatewayConfig = { [K in (typeof GATEWAY_SETTINGS)[number]]: z.output<(typeof settings)[K]> };

/** What pages of ALLOWED_ORIGINS may send. A list, because what a proxy says in `X-Forwarded-Host` must not be theirs to say. */
const HEADERS_OF_CLIENTS = [
  ...['accept', 'authorization', 'content-type', 'last-event-id', 'x-request-id', 'x-requested-with', 'cache-control'],
  ...[CONSISTENCY_HEADER, READ_HEADER, WAIT_HEADER],
  // Apollo's clients.
  ...['apollographql-client-name', 'apollographql-client-version', 'apollo-require-preflight', 'graphql-require-preflight'],
  ...['x-apollo-operation-name', 'x-apollo-operation-id', 'x-apollo-operation-type', 'x-apollo-cache-key'],
  // Traces.
  ...['traceparent', 'tracestate', 'baggage', 'sentry-trace'],
];
/** For a request to come whole, its header too; for its answer to be taken, as long as nothing moves; between two requests. */
const REQUEST_TIMEOUT_MS = 30_000;
const SILENCE_MS = 120_000;
/** Between looks for requests that are late: by default Node looks every 30 s. */
const LATE_LOOK_MS = 1_000;
const KEEP_ALIVE_MS = 72_000;
const RETRY_MS = 250;
/** One of several processes keeps the port closed until it is ready, or for so long: reads can go on without the read side, say. */
const OPEN_DEADLINE_MS = 5_000;
/** While it stops, between looks for connections that nobody uses any more. */
const IDLE_MS = 50;

/**
 * @param tellWaiting for one of several processes: what it waits for before it opens the port, again and again, and nothing once it has.
 *   Without this nobody else answers there, and it is open from the start
 * @throws ConfigError
 */
export async function startGateway(config: GatewayConfig, log: Logger, tellWaiting?: (waitsFor: string[]) => void): Promise<Service> {
  const { NAMESPACE: namespace, SHARDS: shards, LANES: lanes } = config;
  await lowerPriorityOfHashing();
  const schema = createSchema();
  const operations = new Operations(schema, config.INTROSPECTION);
  const documents = await TrustedDocuments.read(config.TRUSTED_DOCUMENTS_FOLDER, (text) => operations.faultsOf(text), {
    mode: config.TRUSTED_DOCUMENTS,
    log,
  });
  const origins = new Origins(config, log);
  const connections = new Connections(origins, log);
  const httpOptions = {
    // Node takes the longer one of the two for a request that has a header already, and by default it would be that of headers.
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: LATE_LOOK_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Some clients offer HTTP/2 with their first request (`Upgrade: h2c`), and go on without when nobody takes it up.
    shouldUpgradeCallback: ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === 'websocket',
  };
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    routerOptions: { ignoreTrailingSlash: true, querystringParser: queryOf },
    forceCloseConnections: 'idle',
    serverFactory: (handle) => {
      const server = createServer({ ...httpOptions, IncomingMessage: CountedMessage }, connections.inTurn(handle)).setTimeout(SILENCE_MS);
      connections.of(server);

      return server;
    },
  });
  const closeSilent = silentConnections(app.server);
  let waitsFor = (): string[] => [];
  app.get('/healthz', () => ({ alive: true }));
  app.get('/readyz', (_, reply) => {
    const { status, body } = readiness({ waitsFor: () => waitsFor() });
    return reply.code(status).send(body);
  });
  protectAnswers(app, origins);
  await app.register(fastifyCookie);
  if (config.ALLOWED_ORIGINS.length > 0) {
    await app.register(fastifyCors, {
      origin: (origin, decide) => decide(null, origins.isAllowed(origin)),
      allowedHeaders: HEADERS_OF_CLIENTS,
      exposedHeaders: [CONSISTENCY_HEADER, 'x-request-id', 'retry-after', ...RATE_LIMIT_HEADERS],
      strictPreflight: false,
    });
  }

  // A read that Redis does not answer is told so at once: nothing waits in a queue here.
  const redisConnection = connectRedis(config.REDIS_URL, log, {
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    commandTimeout: 2 * config.READ_DEADLINE_MS,
  });
  const { redis } = redisConnection;
  // Until NATS is there, the port answers for nothing but that.
  const withoutNats = { waitsFor: () => ['NATS'] };
  const waiting = tellWaiting ? null : await serveHealth(withoutNats, config.PORT, { host: config.HOST, otherwise: NOT_YET });
  tellWaiting?.(withoutNats.waitsFor());
  const nats = await connectNats(config.NATS_URL, 'gateway', { ...inboxOf(namespace, 'gateway'), log });
  await waiting?.close();

  let space: Space | null = null;
  const left = new Set<string>();
  const setEpoch = (epoch: string) => {
    // One that was left is over: a read side that still tells of it is about to hear so too.
    if (left.has(epoch) || space?.epoch === epoch) return;
    if (space) left.add(space.epoch);
    space = { namespace, epoch, shards, live: new Map() };
    log.info({ epoch }, 'the journal’s epoch');
    compareShards();
  };
  /** Redis may not be there yet; then it is compared as soon as it is. */
  const compareShards = () => {
    if (!space || redis.status !== 'ready') return;
    redis.get(shardsKey(space)).then(
      (begunWith) => {
        if (begunWith === null || Number(begunWith) === shards) return;
        failOnConfigError(new ConfigError(`The projections were begun with SHARDS=${begunWith}, and this process has SHARDS=${shards}`));
      },
      (error: unknown) => log.warn({ err: error }, 'could not compare the number of shards'),
    );
  };
  const progress = new Progress(nats, namespace, log);
  progress.onEpoch = (epoch) => {
    setEpoch(epoch);
    return space?.epoch === epoch;
  };
  progress.onLive = (live) => {
    if (space) space = { ...space, live };
  };
  // The read side may be away: Redis knows the last epoch, and reads go on.
  const askRedis = async () => {
    const epoch = await redis.get(epochKey(namespace));
    if (!epoch || space) return;
    const live = liveGenerations(await readControl(redis, { namespace, epoch, shards }));
    if (space) return;
    setEpoch(epoch);
    progress.onLive(live);
  };
  redis.on('ready', () => {
    compareShards();
    askRedis().catch((error: unknown) => log.warn({ err: error }, 'epoch'));
  });

  const reads = new Reads(redis, progress, () => space);
  const commands = new CommandSender({ nats, namespace, lanes, commitDeadlineMs: config.COMMIT_DEADLINE_MS, log });
  const sessions = new Sessions(config.SIGNING_KEY, namespace, config.ACCESS_TOKEN_HOURS);
  const budgets = new BudgetStore(redis, namespace, (error) => log.warn({ err: error }, 'Redis counts no rates: this process does'));
  const services: Services = {
    reads,
    progress,
    commands,
    sessions,
    passwords: new Passwords(nats, namespace),
    timelineFeed: new Feed(timelineFeed, reads, progress, log),
    authorFeed: new Feed(authorFeed, reads, progress, log),
    threadFeed: new Feed(threadFeed, reads, progress, log),
    notificationFeed: new Feed(notificationFeed, reads, progress, log),
    awaitedCommands: new AwaitedCommands(reads, progress, log),
    origins,
    rates: new Rates(budgets, config.RATE_LIMITS, log),
    logInTries: new LogInTries(budgets, sessions),
    readDeadlineMs: config.READ_DEADLINE_MS,
    work: new Work(MAX_OPERATIONS, () => reads.begin()),
    waiting: new Shares(MAX_WAITING),
    log,
  };
  operations.onNew = (address, characters) => {
    if (services.rates.areFor(address)) services.rates.chargeForDocument({ address, accountId: null, cost: null }, characters);
  };
  let stream: string | null = 'the stream of commands';
  const prepared = (async () => {
    while (stream && !nats.connection.isClosed()) {
      try {
        await commands.prepare();
        stream = null;
      } catch (error) {
        failOnConfigError(error);
        stream = `the stream of commands (${(error as Error).message})`;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  })();

  const onBusy = (network: string, ms: number) => services.work.chargeAddress(network, ms);
  operations.onBusy = onBusy;
  const executor = new Executor(schema, onBusy);
  const subscriptions = new Subscriptions((args) => executor.executeAsTold(args));
  const sent = (bytes: number) => connections.sent(bytes);
  const cutOff = (socket: object) => connections.cutOff(socket);
  const live = {
    services,
    executor,
    operations,
    documents,
    subscriptions,
    sent,
    cutOff,
    places: connections.live,
    large: new LargeRequests(),
  };
  const streams = serveEventStreams(app, schema, live);
  const showPage = serveIde(app, config.IDE);
  const options = { introspection: config.INTROSPECTION, batches: config.BATCHES, showPage };
  const http = await serveHttp(app, schema, { services, executor, operations, documents, streams, large: live.large, sent }, options);
  const websocket = serveWebsocket(app.server, schema, live);

  /** Before the first read: afterwards reads go on without the read side, so it is not waited for again. */
  let isReadSideSeen = false;
  waitsFor = () => {
    const waiting: string[] = [];
    if (!nats.isConnected()) waiting.push('NATS');
    waiting.push(...redisConnection.waitsFor());
    if (stream) waiting.push(stream);
    if (!isReadSideSeen) {
      const unseen = space
        ? allShards(space)
            .map(shardName)
            .filter((name) => progress.known(name) < 0)
        : ['all shards'];
      isReadSideSeen = unseen.length === 0;
      if (!isReadSideSeen)
        waiting.push(`the read side: nothing was heard of ${unseen.length > 3 ? `${unseen.length} shards` : unseen.join(', ')}`);
    }

    return waiting;
  };

  const deadline = performance.now() + OPEN_DEADLINE_MS;
  for (let waiting = waitsFor(); tellWaiting && waiting.length > 0 && performance.now() < deadline; waiting = waitsFor()) {
    tellWaiting(waiting);
    await pause(RETRY_MS);
  }
  const closeDoors = await openDoors(app, connections, config);
  tellWaiting?.([]);

  return {
    waitsFor: () => waitsFor(),
    stop: async () => {
      // New work first, then what is under way, then what that needs.
      const othersGone = closeDoors();
      await websocket.stop();
      streams.stop();
      // A connection that is busy now would be kept for its next request.
      const idle = setInterval(() => {
        app.server.closeIdleConnections();
        closeSilent();
      }, IDLE_MS);
      await Promise.all([app.close(), othersGone]);
      clearInterval(idle);
      connections.stop();
      await http.stop();
      await nats.close();
      await prepared;
      redisConnection.close();
    },
  };
}
