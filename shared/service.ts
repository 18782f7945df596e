/** What every service's `main.ts` does: check, start, answer for its health, and leave in order. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { ConfigError } from './config.js';
import type { Logger } from './log.js';

export interface Service {
  /** What it still waits for, in words; empty when it is ready for work. */
  waitsFor(): string[];
  /** Finishes what it took, gives back what it holds, and closes its connections. */
  stop(): Promise<void>;
}

/** A graceful stop that takes longer than this has gone wrong, and the process leaves without it. */
const STOP_DEADLINE_MS = 15_000;

/** Runs a service until it is told to stop (TERM, INT or HUP). */
export async function runService(name: string, start: () => Promise<{ service: Service; log: Logger }>): Promise<void> {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 24) fail(`${name} needs Node 24 or newer, and this is ${process.version}`);

  const started = await start().catch((error: unknown) => {
    if (error instanceof ConfigError) fail(`${name}: ${error.message}`);
    throw error;
  });
  const { service, log } = started;
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping');
    const deadline = setTimeout(() => {
      log.error(`did not stop within ${STOP_DEADLINE_MS} ms`);
      process.exit(1);
    }, STOP_DEADLINE_MS);
    service.stop().then(
      () => {
        clearTimeout(deadline);
        log.info('stopped');
        process.exit(0);
      },
      (error: unknown) => {
        log.error({ err: error }, 'failed to stop in order');
        process.exit(1);
      },
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);
  // A bug: say so and leave, rather than go on in a state that nobody has thought of. All state is in the stores.
  const crash = (error: unknown) => {
    log.fatal({ err: error }, 'crashed');
    process.exit(1);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  log.info('started');
}

/** For a contradiction that shows only once the stores are there: ends the process as one that shows at the start does. */
export function failOnConfigError(error: unknown): void {
  if (error instanceof ConfigError) fail(error.message);
}

function fail(line: string): never {
  process.stderr.write(`${line}\n`);
  process.exit(1);
}

/** The body of `/readyz`. */
export const readiness = (service: Pick<Service, 'waitsFor'>) => {
  const waitsFor = service.waitsFor();

  return { status: waitsFor.length === 0 ? 200 : 503, body: { ready: waitsFor.length === 0, waitsFor } };
};

/**
 * A server that closes waits for connections on which nothing has come yet (browsers open some in advance): Node takes them neither for idle
 * nor for busy. https://github.com/nodejs/node/issues/63452
 * @returns what closes them, but for those that are paused: they have not been read yet, and there may be a request on them
 */
export function silentConnections(server: Server): () => void {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket.once('close', () => sockets.delete(socket))));

  return () => {
    for (const socket of sockets) if (socket.bytesRead === 0 && !socket.isPaused()) socket.destroy();
  };
}

/** What a person can see to, in words. */
function listenFault(error: NodeJS.ErrnoException, port: number, host: string): Error {
  if (error.code === 'EADDRINUSE') return new ConfigError(`port ${port} is in use`);
  if (error.code === 'EACCES') return new ConfigError(`this user may not open port ${port}`);
  if (/^(EADDRNOTAVAIL|EAFNOSUPPORT|EINVAL|ENOTFOUND|EAI_\w+)$/.test(error.code ?? '')) {
    return new ConfigError(`HOST is ${host}, which is no address of this machine (${error.code})`);
  }

  return error;
}

interface HealthAnswer {
  status: number;
  body: unknown;
}

const NOT_FOUND: HealthAnswer = { status: 404, body: { error: 'There are /healthz and /readyz here.' } };

/**
 * `/healthz` (the process answers) and `/readyz` (it does its work, or says what it waits for), for services without a
 * public port, and for one that cannot open its own yet.
 * @param otherwise what is answered to everything else
 * @param isShared with others who open the port so
 * @throws ConfigError when the port is taken, or the address is not this machine's
 */
export async function serveHealth(
  service: Pick<Service, 'waitsFor'>,
  port: number,
  { host = '0.0.0.0', otherwise = NOT_FOUND, isShared = false }: { host?: string; otherwise?: HealthAnswer; isShared?: boolean } = {},
) {
  const server = createServer((request, response) => {
    const { status, body } =
      request.url === '/healthz' ? { status: 200, body: { alive: true } } : request.url === '/readyz' ? readiness(service) : otherwise;
    // Who kept the connection, and went on asking, would keep this server from closing.
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(JSON.stringify(body));
  });
  const closeSilent = silentConnections(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOTSUP' && isShared) reject(new ConfigError('on this system several processes cannot share a port'));
      else reject(listenFault(error, port, host));
    });
    server.listen({ port, host, reusePort: isShared }, resolve);
  });

  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        closeSilent();
      }),
  };
}
