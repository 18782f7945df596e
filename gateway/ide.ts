/** The IDE at `/`: Ruru (GraphiQL), served from npm's packages, with operations to begin with. */
import type { FastifyInstance } from 'fastify';
import { ruruHTML, type RuruClientConfig } from 'ruru/server';
import { getStaticFile } from 'ruru/static';
import { GRAPHQL_PATH } from './http.js';

const STATIC_PATH = '/ruru/';

const EXAMPLES = `# Welcome to Cheeper. Sign up, and you are signed in: this page keeps your session in a cookie.
mutation SignUp {
  signUp(input: { username: "alice", email: "alice@example.org", password: "correct horse" }) {
    status
    author { id username }
    userErrors { code field message }
  }
}

# The field of the cheep waits until your own write can be read.
mutation PostCheep {
  postCheep(input: { message: "Hello world" }) {
    status
    consistencyToken
    cheep { id message author { username } }
    userErrors { code field message }
  }
}

query AuthorByUsername {
  authorByUsername(username: "alice") { id username followersCount followingCount cheepsCount isFollowedByViewer }
}

# Put the id of somebody else here; sign up a second author to have one.
mutation FollowAuthor($authorId: ID!) {
  followAuthor(input: { authorId: $authorId }) {
    status
    author { username followersCount isFollowedByViewer }
    userErrors { code field message }
  }
}

# What those post whom you follow.
query Timeline {
  timeline(first: 20) {
    nodes { id message postedAt author { username } }
    pageInfo { hasNextPage endCursor }
    resumeCursor
  }
}

# The same, live: run it, and let somebody whom you follow post.
subscription LiveTimeline {
  timeline {
    __typename
    cursor
    ... on CheepAdded { cheep { message author { username } } }
    ... on TimelineReset { reason }
  }
}
`;

export function serveIde(app: FastifyInstance): void {
  const html = ruruHTML({
    staticPath: STATIC_PATH,
    endpoint: GRAPHQL_PATH,
    subscriptionEndpoint: GRAPHQL_PATH,
    // Its type asks for every property; what is absent has its default.
    clientConfig: { defaultQuery: EXAMPLES, initialQuery: EXAMPLES } as RuruClientConfig,
  });
  app.get('/', (_, reply) => reply.type('text/html; charset=utf-8').send(html));
  app.get(`${STATIC_PATH}*`, async (request, reply) => {
    const urlPath = request.url.split('?')[0]!;
    const file = await getStaticFile({ staticPath: STATIC_PATH, urlPath, acceptEncoding: request.headers['accept-encoding'] });
    if (!file) return reply.code(404).send({ error: 'There is no such file.' });

    return reply.headers(file.headers).send(file.content);
  });
}
