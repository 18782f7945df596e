/**
 * The page from tables as anybody would make them, joined when it is asked for: the same town, one row for each author, cheep, follow and
 * like, the indexes that the query wants, a pool of connections; and the fastest of the GraphQL servers above in front. The page's ids
 * come first, and what is counted is counted for them alone: counting within the join would be slower.
 */
import fastify from 'fastify';
import mercurius, { type MercuriusContext } from 'mercurius';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import type { AddressInfo } from 'node:net';
import { encode } from '../../shared/token.js';
import { required } from '../figures.js';
import { PAGE_SCHEMA, serving, viewerOf } from './peer.js';

/** More waiting than working: MySQL shares the cores with all others here. */
const CONNECTIONS = 16;

const pool = mysql.createPool({ uri: required('JOINS_URL'), connectionLimit: CONNECTIONS, supportBigNumbers: true });
const app = fastify();

const PAGE = `
  SELECT c.position, c.id, c.message, c.posted_at AS postedAt, a.id AS authorId, a.username, a.name,
    (SELECT COUNT(*) FROM likes l WHERE l.cheep_id = c.id) AS likesCount,
    (SELECT COUNT(*) FROM cheeps r WHERE r.in_reply_to = c.id AND r.deleted = 0) AS repliesCount,
    EXISTS (SELECT 1 FROM likes l WHERE l.cheep_id = c.id AND l.liker_id = ?) AS likedByViewer,
    EXISTS (SELECT 1 FROM follows f WHERE f.follower_id = ? AND f.followed_id = a.id) AS isFollowedByViewer
  FROM (
    SELECT c.position, c.id, c.message, c.posted_at, c.author_id
    FROM follows f JOIN cheeps c ON c.author_id = f.followed_id
    WHERE f.follower_id = ? AND c.deleted = 0
    ORDER BY c.position DESC LIMIT ?
  ) c JOIN authors a ON a.id = c.author_id
  ORDER BY c.position DESC`;

await app.register(mercurius, {
  schema: PAGE_SCHEMA,
  jit: 1,
  context: async (request) => ({ viewerId: await viewerOf(request.headers.authorization) }),
  resolvers: {
    Query: {
      timeline: async (_: unknown, { first }: { first: number }, { viewerId }: MercuriusContext) => {
        const [rows] = await pool.query<RowDataPacket[]>(PAGE, [viewerId, viewerId, viewerId, first + 1]);
        const shown = rows.slice(0, first);
        const last = shown.at(-1);

        return {
          nodes: shown.map(({ authorId, username, name, isFollowedByViewer, likedByViewer, ...cheep }) => ({
            ...cheep,
            likedByViewer: likedByViewer === 1,
            author: {
              id: authorId as string,
              username: username as string,
              name: name as string,
              isFollowedByViewer: isFollowedByViewer === 1,
            },
          })),
          pageInfo: { hasNextPage: rows.length > first, endCursor: last ? encode({ at: Number(last.position) }) : null },
        };
      },
    },
  },
});
serving(app.listen({ port: 0, host: '127.0.0.1' }).then(() => (app.server.address() as AddressInfo).port));
