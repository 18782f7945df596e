/**
 * The headers by which a browser does no harm with an answer: it is no page, no script, no frame and no image. They are the same for every
 * answer, so they are written down: @fastify/helmet, which makes those of pages (`gateway/ide.ts`), makes them anew for each request, which
 * took as long as a tenth of a small one.
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Origins } from './origins.js';

const OF_ANSWERS = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  // Pages of ALLOWED_ORIGINS read answers by CORS, which this does not touch.
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
};
const NAMES = Object.keys(OF_ANSWERS);
/** A browser that has been here by HTTPS does not come by HTTP any more, for a year. */
const HTTPS_ONLY = 'max-age=31536000';

export function protectAnswers(app: FastifyInstance, origins: Origins): void {
  app.addHook('onRequest', (request, reply, done) => {
    void reply.headers(OF_ANSWERS);
    if (origins.isSecure(request.raw)) void reply.header('strict-transport-security', HTTPS_ONLY);
    done();
  });
}

/** For a page, which has its own. */
export function withoutAnswersHeaders(reply: FastifyReply): void {
  for (const name of NAMES) void reply.removeHeader(name);
}
