/** The IDE at `/`: Ruru (GraphiQL), served from npm's packages, with operations to begin with. */
import { createHash } from 'node:crypto';
import fastifyHelmet from '@fastify/helmet';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { ruruHTML, type RuruClientConfig } from 'ruru/server';
import { getStaticFile } from 'ruru/static';
import { withoutAnswersHeaders } from './protection.js';
import { GRAPHQL_PATH } from './requests.js';

const STATIC_PATH = '/ruru/';

/** The book's bob and alice. */
const BOB = 'a64a52cc-3ee9-4a15-918b-099e18b43119';
const ALICE = '1fd7d739-2ad7-41a8-8c18-565603e3733f';
/** Any ids will do. */
const CHEEP = '6ba7b810-9dad-41d1-80b4-00c04fd430c8';
const DELETED = '6ba7b811-9dad-41d1-80b4-00c04fd430c8';

/**
 * A tour that can be taken any number of times, from the top or not, before or after that of the README. So whatever has an id of its own
 * has a `commandId` too, by which it is done once; whatever needs somebody signs them in first; what others need is not deleted; and bob
 * gets his name back. The sign-ups are those of the README, with the same input: else they would be other commands. Lines are short: the
 * editor shows about sixty characters.
 */
export const EXAMPLES = `# Welcome to Cheeper. These run one after the other: choose one
# with the button, or put the cursor into it: Ctrl-Enter.

# 1. Bob signs up. Run it again: it is the same command, as its
#    commandId says, so it has the same answer and no second
#    effect.
mutation SignUpBob {
  signUp(input: {
    commandId: "b0b00000-0000-4000-8000-000000000001"
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

#    So does alice. You are signed in as her now, by a cookie.
mutation SignUpAlice {
  signUp(input: {
    commandId: "a11ce000-0000-4000-8000-000000000001"
    authorId: "${ALICE}"
    username: "alice"
    email: "alice@example.org"
    password: "correct horse"
  }) {
    status
    author { id username }
    userErrors { code field message }
  }
}

# 2. To follow somebody whom one follows already has no effect.
mutation FollowBob {
  logIn(input: {
    usernameOrEmail: "alice@example.org"
    password: "correct horse"
  }) { author { username } }
  followAuthor(input: { authorId: "${BOB}" }) {
    status
    author { username followersCount isFollowedByViewer }
    userErrors { code field message }
  }
}

# 3. Now you are bob. The post is committed at once, and the field
#    of the cheep waits until you can read what you wrote: see
#    waitedMs.
mutation PostCheep {
  logIn(input: {
    usernameOrEmail: "bob@example.org"
    password: "correct horse"
  }) { author { username } }
  postCheep(input: { message: "Hello world, this is Bob" }) {
    status
    consistencyToken
    cheep { id message author { username cheepsCount } }
    userErrors { code field message }
  }
}

# 4. The cheeps of those whom alice follows.
query Timeline {
  timeline(authorId: "${ALICE}", first: 20) {
    nodes { id message postedAt author { username } }
    pageInfo { hasNextPage endCursor }
    resumeCursor
  }
}

# 5. The same, live. Leave it running, and run 3 in another window
#    of this browser: bob's cheep arrives here.
subscription LiveTimeline {
  timeline(authorId: "${ALICE}") {
    __typename
    cursor
    ... on CheepAdded { cheep { message author { username } } }
    ... on TimelineReset { reason }
  }
}

# 6. A cheep whose id you choose: the next ones are about it.
mutation PostCheepToTalkAbout {
  logIn(input: {
    usernameOrEmail: "bob@example.org"
    password: "correct horse"
  }) { author { username } }
  postCheep(input: {
    commandId: "${CHEEP}"
    cheepId: "${CHEEP}"
    message: "What do you think, @alice?"
  }) {
    cheep { id message mentions { start end author { username } } }
    userErrors { code field message }
  }
}

# 7. An answer, and a like. One may like and answer one's own too.
mutation Reply {
  logIn(input: {
    usernameOrEmail: "alice@example.org"
    password: "correct horse"
  }) { author { username } }
  postCheep(input: {
    inReplyTo: "${CHEEP}"
    message: "I like it"
  }) {
    cheep { id inReplyTo { ... on Cheep { message repliesCount } } }
    userErrors { code field message }
  }
  likeCheep(input: { cheepId: "${CHEEP}" }) {
    cheep { likesCount likedByViewer }
    userErrors { code field message }
  }
}

# 8. Only the author may, and the place in the lists stays.
mutation EditCheep {
  logIn(input: {
    usernameOrEmail: "bob@example.org"
    password: "correct horse"
  }) { author { username } }
  editCheep(input: {
    cheepId: "${CHEEP}"
    message: "What do you really think, @alice?"
  }) {
    cheep { message postedAt editedAt version }
    userErrors { code field message }
  }
}

# 9. The thread: what stands above, and the replies below; for its
#    author also every version that it had.
query Thread {
  cheep(id: "${CHEEP}") {
    message
    ancestors { ... on Cheep { message } ... on DeletedCheep { cheepId } }
    replies { nodes { message author { username } } }
    history { nodes { event at changes { field from to } } }
  }
}

# 10. A cheep that is gone for good. To delete it again has no
#     effect.
mutation DeleteCheep {
  logIn(input: {
    usernameOrEmail: "bob@example.org"
    password: "correct horse"
  }) { author { username } }
  postCheep(input: {
    commandId: "${DELETED}"
    cheepId: "${DELETED}"
    message: "Never mind"
  }) {
    status
    userErrors { code field message }
  }
  deleteCheep(input: { cheepId: "${DELETED}" }) {
    cheepId
    userErrors { code field message }
  }
}

# 11. What you were told of, newest first. To mark them read:
#     markNotificationsRead, upTo the newest id.
query Notifications {
  notifications {
    unreadCount
    nodes {
      __typename id at read
      ... on FollowNotification { follower { username } }
      ... on ReplyNotification { cheep { message } }
      ... on MentionNotification { cheep { message } }
      ... on LikeNotification { cheep { message } author { username } }
    }
  }
}

# 12. The same, live: run 7 in another window.
subscription LiveNotifications {
  notifications {
    __typename
    cursor
    ... on NotificationAdded { unreadCount notification { __typename } }
    ... on NotificationsRead { unreadCount }
  }
}

# 13. Absent is unchanged, null is cleared.
mutation UpdateProfile {
  logIn(input: {
    usernameOrEmail: "bob@example.org"
    password: "correct horse"
  }) { author { username } }
  updateProfile(input: { name: "Bob", biography: null }) {
    author { name biography version }
    userErrors { code field message }
  }
}

# 14. The old name is free at once, and cheeps and follows stay. So
#     bob can have it back.
mutation ChangeUsername {
  logIn(input: {
    usernameOrEmail: "bob@example.org"
    password: "correct horse"
  }) { author { username } }
  there: changeUsername(input: { username: "Bobby" }) {
    author { username }
    userErrors { code field message }
  }
  back: changeUsername(input: { username: "bob" }) {
    author { username }
    userErrors { code field message }
  }
}

query SearchAuthors {
  searchAuthors(prefix: "b") { totalCount nodes { username name } }
}

# Of those who signed up in a period: how many did what?
query Funnel {
  funnel(from: "2020-01-01T00:00:00Z", to: "2100-01-01T00:00:00Z") {
    signedUp
    steps { name reached medianSeconds p90Seconds }
    asOf
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

/** Sends what somebody sees who opens a path in a browser. */
export type ShowPage = (reply: FastifyReply) => Promise<FastifyReply>;

const HTML_TYPE = 'text/html; charset=utf-8';
const WITHOUT_IDE = `GraphQL is at ${GRAPHQL_PATH}, by POST.\n`;
/** Of the page at `/`, when it is shown at another path: headers of that one response. */
const OF_A_RESPONSE: ReadonlySet<string> = new Set(['connection', 'content-length', 'date', 'keep-alive', 'transfer-encoding']);

/**
 * Serves `/`: the IDE, or a line without it. What protects a page is in other headers than those of the API, so these are its own.
 *
 * @returns shows the same at another path
 */
export function serveIde(app: FastifyInstance, isOn: boolean): ShowPage {
  const html = isOn ? page() : null;
  void app.register(async (pages) => {
    pages.addHook('onRequest', (_, reply, done) => {
      withoutAnswersHeaders(reply);
      done();
    });
    await pages.register(fastifyHelmet, {
      contentSecurityPolicy: { useDefaults: false, directives: html === null ? NOTHING : whatRuns(html) },
      // The scheme by which a page was reached may be known to a proxy only: see `protectAnswers`.
      strictTransportSecurity: false,
      xFrameOptions: { action: 'deny' },
    });
    pages.get('/', (_, reply) =>
      html === null ? reply.type('text/plain; charset=utf-8').send(WITHOUT_IDE) : reply.type(HTML_TYPE).send(html),
    );
    if (html !== null) serveFiles(pages);
  });

  return async (reply) => {
    const { headers, payload } = await app.inject({ method: 'GET', url: '/' });
    withoutAnswersHeaders(reply);
    for (const [name, value] of Object.entries(headers)) if (!OF_A_RESPONSE.has(name)) void reply.header(name, value);

    return reply.send(payload);
  };
}

function page(): string {
  return ruruHTML({
    staticPath: STATIC_PATH,
    endpoint: GRAPHQL_PATH,
    subscriptionEndpoint: GRAPHQL_PATH,
    htmlParts: HTML_PARTS,
    // Its type asks for every property; what is absent has its default.
    clientConfig: { defaultQuery: EXAMPLES, initialQuery: EXAMPLES } as RuruClientConfig,
  });
}

function serveFiles(pages: FastifyInstance): void {
  pages.get(`${STATIC_PATH}*`, async (request, reply) => {
    const urlPath = request.url.split('?')[0]!;
    const acceptEncoding = request.headers['accept-encoding'];
    // Without the maps of the page's source, which are not in an image.
    const file = await getStaticFile({ staticPath: STATIC_PATH, urlPath, acceptEncoding, disallowDevAssets: true });
    if (!file) return reply.code(404).send({ error: 'There is no such file.' });

    return reply.headers(file.headers).send(file.content);
  });
}

const NOTHING = { defaultSrc: ["'none'"], baseUri: ["'none'"], formAction: ["'none'"], frameAncestors: ["'none'"] };

/** Scripts of the page itself, told by their digests, and of its origin. Its editor writes styles as it goes. */
function whatRuns(html: string) {
  const scripts = [...html.matchAll(/<script(?![^>]*\ssrc=)[^>]*>([^]*?)<\/script>/g)].map(([, script]) => `'sha256-${sha256(script!)}'`);

  return {
    ...NOTHING,
    scriptSrc: ["'self'", ...scripts],
    workerSrc: ["'self'"],
    styleSrc: ["'self'", "'unsafe-inline'"],
    fontSrc: ["'self'", 'data:'],
    imgSrc: ["'self'", 'data:'],
    connectSrc: ["'self'"],
  };
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('base64');
