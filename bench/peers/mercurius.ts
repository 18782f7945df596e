/** The page by mercurius with its compiler and its loaders (https://mercurius.dev/#/docs/api/options, `jit`, and `loaders`). */
import fastify from 'fastify';
import mercurius, { type MercuriusContext } from 'mercurius';
import type { AddressInfo } from 'node:net';
import { encode } from '../../shared/token.js';
import { openProjections, PAGE_SCHEMA, serving, viewerOf } from './peer.js';

const projections = openProjections();
const app = fastify();

declare module 'mercurius' {
  interface MercuriusContext {
    viewerId: string;
  }
}

await app.register(mercurius, {
  schema: PAGE_SCHEMA,
  jit: 1,
  context: async (request) => ({ viewerId: await viewerOf(request.headers.authorization) }),
  resolvers: {
    Query: {
      timeline: async (_: unknown, { first }: { first: number }, { viewerId }: MercuriusContext) => {
        const { items, hasNextPage } = await projections.timeline(viewerId, first);
        const last = items.at(-1);
        const ids = items.map(({ id }) => id);

        return {
          nodes: await projections.cheeps(ids, viewerId),
          pageInfo: { hasNextPage, endCursor: last ? encode({ at: last.position }) : null },
        };
      },
    },
  },
  loaders: {
    Cheep: {
      author: {
        loader: (asked: { obj: { authorId: string } }[], { viewerId }: MercuriusContext) =>
          projections.authors(
            asked.map(({ obj }) => obj.authorId),
            viewerId,
          ),
        // What is the same for two requests is not known beforehand: the peer reads as often as all others.
        opts: { cache: false },
      },
    },
  },
});
serving(app.listen({ port: 0, host: '127.0.0.1' }).then(() => (app.server.address() as AddressInfo).port));
