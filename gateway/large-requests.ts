/** Large requests, and messages of sockets, that wait or are answered: their bytes are shared by address, as there may be very many. */
import type { FastifyRequest, preValidationHookHandler } from 'fastify';
import { Shares } from '../shared/shares.js';
import { overloaded } from './errors.js';
import { siteOf, type ClientAddress, type Origins } from './origins.js';

/** What is shorter is not counted: how many may wait is bounded, too. */
const MAX_SHORT_BYTES = 16 * 1024;
const MAX_LARGE_BYTES = 32 * 1024 * 1024;

const NOTHING_HELD = () => undefined;

const OVERLOADED = { errors: [overloaded().toJSON()] };

export class LargeRequests {
  private readonly bytes = new Shares(MAX_LARGE_BYTES);
  private readonly held = new WeakMap<FastifyRequest, () => void>();

  /** @returns what to call when it is answered, any number of times; null when this address has its share */
  take({ network }: ClientAddress, bytes: number): (() => void) | null {
    return isShort(bytes) ? NOTHING_HELD : this.bytes.take(siteOf(network), null, bytes);
  }

  /** The hook of a route for when a body is there: it counts until its answer is taken. */
  hold(origins: Origins): preValidationHookHandler {
    return (request, reply, done) => {
      const bytes = bytesOf(request);
      if (isShort(bytes)) return done();
      const letGo = this.take(origins.addressOf(request.raw), bytes);
      if (!letGo) return void reply.code(503).header('retry-after', '1').send(OVERLOADED);
      this.held.set(request, letGo);
      reply.raw.once('close', letGo);
      if (reply.raw.destroyed) letGo();
      done();
    };
  }

  /** Its body is not kept any more, although the answer goes on. */
  letGo(request: FastifyRequest): void {
    this.held.get(request)?.();
  }
}

/** One that comes in chunks does not say how long it is. */
function bytesOf({ body, headers }: FastifyRequest): number {
  if (body === undefined || body === null) return 0;
  const length = headers['content-length'];

  return length === undefined ? JSON.stringify(body).length : Number(length);
}

export const isShort = (bytes: number): boolean => bytes <= MAX_SHORT_BYTES;
