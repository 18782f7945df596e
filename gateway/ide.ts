/** The IDE at `/`: Ruru (GraphiQL), served from npm's packages, with operations to begin with. */
import type { FastifyInstance } from 'fastify';
import { ruruHTML, type RuruClientConfig } from 'ruru/server';
import { getStaticFile } from 'ruru/static';
import { GRAPHQL_PATH } from './http.js';

const STATIC_PATH = '/ruru/';

/** The book's bob. */
const BOB = 'a64a52cc-3ee9-4a15-918b-099e18b43119';

/** To be run from the top down. Lines are short: the editor shows about sixty characters. */
const EXAMPLES = `# Welcome to Cheeper. These run one after the other: choose one
# with the button, or put the cursor into it: Ctrl-Enter.

# 1. You are signed in from here on: this page has your session
#    in a cookie. The id is yours to choose, or left out. If it
#    says that somebody has this name, log in instead: 7.
mutation SignUpBob {
  signUp(input: {
    authorId: "${BOB}"
    username: "bob"
    email: "bob@example.org"
    password: "correct horse"
  }) {
    status
    author { id username }
    userErrors { code field message }
  }
}

# 2. It is committed at once, and the field of the cheep waits
#    until you can read what you wrote: see waitedMs.
mutation PostCheep {
  postCheep(input: { message: "Hello world, this is Bob" }) {
    status
    consistencyToken
    cheep { id message author { username cheepsCount } }
    userErrors { code field message }
  }
}

# 3. Now you are alice.
mutation SignUpAlice {
  signUp(input: {
    username: "alice"
    email: "alice@example.org"
    password: "correct horse"
  }) {
    status
    author { id username }
    userErrors { code field message }
  }
}

# 4. Run it again: it is so already, and nothing happens.
mutation FollowBob {
  followAuthor(input: { authorId: "${BOB}" }) {
    status
    author { username followersCount isFollowedByViewer }
    userErrors { code field message }
  }
}

# 5. What those post whom you follow.
query Timeline {
  timeline(first: 20) {
    nodes { id message postedAt author { username } }
    pageInfo { hasNextPage endCursor }
    resumeCursor
  }
}

# 6. The same, live. Leave it running, and in another window of
#    this browser run 7, then 2: bob's cheep arrives here.
subscription LiveTimeline {
  timeline {
    __typename
    cursor
    ... on CheepAdded { cheep { message author { username } } }
    ... on TimelineReset { reason }
  }
}

# 7. Now you are bob again.
mutation LogInAsBob {
  logIn(input: {
    usernameOrEmail: "bob"
    password: "correct horse"
  }) {
    author { id username }
    userErrors { code message }
  }
}

# Who am I, and what have I done?
query Viewer {
  viewer {
    username
    email
    followersCount
    followingCount
    cheeps(first: 5) { nodes { message postedAt } }
  }
}
`;

const HTML_PARTS = {
  titleTag: '<title>Cheeper</title>',
  // Without an icon of its own, a page makes the browser ask for one.
  metaTags: '<meta charset="utf-8" /><link rel="icon" href="data:," />',
};

export function serveIde(app: FastifyInstance): void {
  const html = ruruHTML({
    staticPath: STATIC_PATH,
    endpoint: GRAPHQL_PATH,
    subscriptionEndpoint: GRAPHQL_PATH,
    htmlParts: HTML_PARTS,
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
