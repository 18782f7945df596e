/**
 * The one port, with several doors: Node takes on one connection at each listening socket in a round of its loop, and under a load
 * rounds are long. Those who come new (a load balancer that asks how we are, too) would wait for seconds behind those who are in
 * already. So there are several sockets, among which the system shares out who comes.
 */
import { createServer, type Server } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Logger } from '../shared/log.js';

const DOORS = 64;
/** Sockets, event streams, and clients who ask; one that comes then is closed at once. */
const MOST_CONNECTIONS = 25_600;
/** Connections that wait to be taken on, in all: one that comes then is dropped by the system, and tries again after a second. */
const MOST_KNOCKING = 16_384;

/** Opens the port. @returns what closes all doors but the server's own, and settles when all who came through them have gone */
export async function openDoors(app: FastifyInstance, port: number, host: string, log: Logger): Promise<() => Promise<unknown>> {
  const each = { port, host, backlog: MOST_KNOCKING / DOORS, reusePort: true };
  const connectionsEach = MOST_CONNECTIONS / DOORS;
  const doors: Server[] = [];
  app.server.maxConnections = connectionsEach;
  try {
    await app.listen(each);
    for (let i = 1; i < DOORS; i++) {
      // As the options of an HTTP server of Node's.
      const door = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => app.server.emit('connection', socket));
      door.maxConnections = connectionsEach;
      await new Promise<void>((resolve, reject) => door.once('error', reject).listen(each, resolve));
      doors.push(door);
    }
  } catch (error) {
    // There are systems without.
    if ((error as NodeJS.ErrnoException).code !== 'ENOTSUP') throw error;
    app.server.maxConnections = MOST_CONNECTIONS;
    await app.listen({ port, host, backlog: MOST_KNOCKING });
  }

  // The system could not take on a connection (it has no file descriptors left, say). The next may be.
  for (const door of [app.server, ...doors]) door.on('error', (error) => log.error({ err: error }, 'could not take on a connection'));

  return () => Promise.all(doors.map((door) => new Promise((resolve) => door.close(resolve))));
}
