/** The IDE at `/`: Ruru (GraphiQL), served from npm's packages, with operations to begin with. */
import type { FastifyInstance } from 'fastify';
import { ruruHTML, type RuruClientConfig } from 'ruru/server';
import { getStaticFile } from 'ruru/static';
import { GRAPHQL_PATH } from './http.js';

const STATIC_PATH = '/ruru/';

/** The book's bob. */
const BOB = 'a64a52cc-3ee9-4a15-918b-099e18b43119';
/** Any id will do. */
const CHEEP = '6ba7b810-9dad-41d1-80b4-00c04fd430c8';

/** To be run from the top down. Lines are short: the editor shows about sixty characters. */
export const EXAMPLES = `# Welcome to Cheeper. These run one after the other: choose one
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

# 8. A cheep whose id you chose: the next ones are about it.
mutation PostCheepToTalkAbout {
  postCheep(input: {
    cheepId: "${CHEEP}"
    message: "What do you think, @alice?"
  }) {
    cheep { id message mentions { start end author { username } } }
    userErrors { code field message }
  }
}

# 9. An answer, and a like. One may like and answer one's own.
mutation Reply {
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

# 10. Only the author may, and the place in the lists stays.
mutation EditCheep {
  editCheep(input: {
    cheepId: "${CHEEP}"
    message: "What do you really think, @alice?"
  }) {
    cheep { message postedAt editedAt version }
    userErrors { code field message }
  }
}

# 11. The thread: what stands above, and the replies below; for
#     its author also every version that it had.
query Thread {
  cheep(id: "${CHEEP}") {
    message
    ancestors { ... on Cheep { message } ... on DeletedCheep { id } }
    replies { nodes { message author { username } } }
    history { nodes { event at changes { field from to } } }
  }
}

# 12. Gone for good: the thread has a tombstone where it was.
mutation DeleteCheep {
  deleteCheep(input: { cheepId: "${CHEEP}" }) {
    cheepId
    userErrors { code field message }
  }
}

# 13. What you were told of (log in as bob, 7), newest first. To
#     mark them read: markNotificationsRead, upTo the newest id.
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

# 14. The same, live.
subscription LiveNotifications {
  notifications {
    __typename
    cursor
    ... on NotificationAdded { unreadCount notification { __typename } }
    ... on NotificationsRead { unreadCount }
  }
}

# 15. Absent is unchanged, null is cleared.
mutation UpdateProfile {
  updateProfile(input: { name: "Bob", biography: null }) {
    author { name biography version }
    userErrors { code field message }
  }
}

# 16. The old name is free at once; cheeps and follows stay. (To
#     log in by the name again: changeUsername back.)
mutation ChangeUsername {
  changeUsername(input: { username: "Bobby" }) {
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
    const acceptEncoding = request.headers['accept-encoding'];
    // Without the maps of the page's source, which are not in an image.
    const file = await getStaticFile({ staticPath: STATIC_PATH, urlPath, acceptEncoding, disallowDevAssets: true });
    if (!file) return reply.code(404).send({ error: 'There is no such file.' });

    return reply.headers(file.headers).send(file.content);
  });
}
