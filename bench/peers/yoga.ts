/**
 * The page by GraphQL Yoga on Node's own server, with the compiler that its documentation has for speed
 * (https://the-guild.dev/graphql/envelop/plugins/use-graphql-jit); it caches what it has parsed and validated by itself.
 */
import { useGraphQlJit } from '@envelop/graphql-jit';
import DataLoader from 'dataloader';
import { createSchema, createYoga } from 'graphql-yoga';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { encode } from '../../shared/token.js';
import { openProjections, PAGE_SCHEMA, serving, viewerOf, type PageAuthor } from './peer.js';

const projections = openProjections();

interface Mine {
  viewerId: string;
  authors: DataLoader<string, PageAuthor>;
}

const yoga = createYoga<object, Mine>({
  schema: createSchema<Mine>({
    typeDefs: PAGE_SCHEMA,
    resolvers: {
      Query: {
        timeline: async (_, { first }: { first: number }, { viewerId }) => {
          const { items, hasNextPage } = await projections.timeline(viewerId, first);
          const last = items.at(-1);
          const ids = items.map(({ id }) => id);

          return {
            nodes: await projections.cheeps(ids, viewerId),
            pageInfo: { hasNextPage, endCursor: last ? encode({ at: last.position }) : null },
          };
        },
      },
      Cheep: { author: ({ authorId }: { authorId: string }, _: unknown, { authors }: Mine) => authors.load(authorId) },
    },
  }),
  context: async ({ request }) => {
    const viewerId = await viewerOf(request.headers.get('authorization'));

    return {
      viewerId,
      authors: new DataLoader<string, PageAuthor>(async (ids) => projections.authors(ids, viewerId)),
    };
  },
  plugins: [useGraphQlJit()],
  logging: false,
  graphiql: false,
  landingPage: false,
  multipart: false,
});
const server = createServer((request, response) => void yoga(request, response));
serving(new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))));
