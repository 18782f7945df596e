/** The page by a route that was written for it: the same reads, and JSON made after a schema (https://fastify.dev/docs/latest/Reference/Validation-and-Serialization/). */
import fastify from 'fastify';
import type { AddressInfo } from 'node:net';
import { encode } from '../../shared/token.js';
import { openProjections, PAGE_SIZE, serving, viewerOf } from './peer.js';

const projections = openProjections();
const app = fastify();
const text = { type: 'string' } as const;
const maybe = (type: string) => ({ type, nullable: true }) as const;
const author = { type: 'object', properties: { id: text, username: text, name: maybe('string'), isFollowedByViewer: maybe('boolean') } };
const cheep = {
  type: 'object',
  properties: {
    ...{ id: text, message: text, postedAt: text, likedByViewer: maybe('boolean') },
    ...{ likesCount: { type: 'integer' }, repliesCount: { type: 'integer' }, author },
  },
};
const pageInfo = { type: 'object', properties: { hasNextPage: { type: 'boolean' }, endCursor: maybe('string') } };
const page = { type: 'object', properties: { nodes: { type: 'array', items: cheep }, pageInfo } };
const response = { 200: { type: 'object', properties: { data: { type: 'object', properties: { timeline: page } } } } };

app.get<{ Querystring: { first?: string } }>('/timeline', { schema: { response } }, async (request) => {
  const viewerId = await viewerOf(request.headers.authorization);
  const { items, hasNextPage } = await projections.timeline(viewerId, Number(request.query.first ?? PAGE_SIZE));
  const cheeps = await projections.cheeps(
    items.map(({ id }) => id),
    viewerId,
  );
  const authors = await projections.authors(
    cheeps.map(({ authorId }) => authorId),
    viewerId,
  );
  const nodes = cheeps.map((row, i) => ({ ...row, author: authors[i]! }));
  const last = items.at(-1);

  return { data: { timeline: { nodes, pageInfo: { hasNextPage, endCursor: last ? encode({ at: last.position }) : null } } } };
});
serving(app.listen({ port: 0, host: '127.0.0.1' }).then(() => (app.server.address() as AddressInfo).port));
