/**
 * The one port, with several doors: Node takes on one connection at each listening socket in a round of its loop, and under a load
 * rounds are long. Those who come new (a load balancer that asks how we are, too) would wait for seconds behind those who are in
 * already. So there are several sockets, among which the system shares out who comes.
 */
import { createServer, type Server } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Connections } from './connections.js';

const DOORS = 64;
/** Connections that wait to be taken on, in all: one that comes then is dropped by the system, and tries again after a second. */
const MAX_KNOCKING = 16_384;

/**
 * Opens the port. How many come in is not up to the doors: the system shares out who comes by chance, and one of them may be full long before
 * the others.
 *
 * @returns what closes all doors but the server's own, and settles when all who came through them have gone
 */
export async function openDoors(
  app: FastifyInstance,
  connections: Connections,
  { PORT: port, HOST: host }: { PORT: number; HOST: string },
): Promise<() => Promise<unknown>> {
  const each = { port, host, backlog: MAX_KNOCKING / DOORS, reusePort: true };
  const doors: Server[] = [];
  try {
    await app.listen(each);
    for (let i = 1; i < DOORS; i++) {
      // As the options of an HTTP server of Node's.
      const door = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) =>
        app.server.emit('connection', socket),
      );
      await new Promise<void>((resolve, reject) => door.once('error', reject).listen(each, resolve));
      doors.push(door);
    }
  } catch (error) {
    // There are systems without.
    if ((error as NodeJS.ErrnoException).code !== 'ENOTSUP') throw error;
    await app.listen({ port, host, backlog: MAX_KNOCKING });
  }

  for (const door of [app.server, ...doors]) door.on('error', (error) => connections.failed(error));

  return () => Promise.all(doors.map((door) => new Promise((resolve) => door.close(resolve))));
}
