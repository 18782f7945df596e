/** Who one is: how it is proved, by which ways, and what never gets out. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SignJWT } from 'jose';
import {
  AuthorDocument,
  CommandDocument,
  FollowAuthorDocument,
  LogInDocument,
  LogOutDocument,
  PostCheepReceiptDocument,
  SignUpDocument,
  UnfollowAuthorDocument,
  ViewerDocument,
  type SignUpInput,
} from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { connectNats } from '../shared/jetstream.js';
import { natsNames } from '../shared/names.js';
import { encodeToken } from '../shared/token.js';
import { RawSocket } from './raw-socket.js';
import { eventually, PASSWORD, startSystem, type System } from './system.js';

const SIGNING_KEY = 'a signing key that this test knows too';
const SECRET = `swordfish ${randomBytes(12).toString('hex')}`;
const ELSEWHERE = 'https://evil.example';

let system: System;
beforeAll(async () => {
  system = await startSystem({ env: { SIGNING_KEY, LOG_LEVEL: 'trace' } });
});
afterAll(() => system?.stop());

const somebody = (fields: Partial<SignUpInput> = {}): SignUpInput => {
  const username = `u${randomBytes(6).toString('hex')}`;
  return { username, email: `${username}@example.org`, password: PASSWORD, ...fields };
};
/** A cookie that an answer sets: its value, and its attributes in lower case. */
function cookieOf(headers: Headers, name: string) {
  const [pair, ...attributes] =
    headers
      .getSetCookie()
      .find((line) => line.startsWith(`${name}=`))
      ?.split('; ') ?? [];
  return pair === undefined
    ? null
    : { value: pair.slice(name.length + 1), attributes: attributes.map((attribute) => attribute.toLowerCase()) };
}
const viewer = async (headers: Record<string, string>) => {
  const { data, errors, status } = await system.client().ask(ViewerDocument, {}, headers);
  return { id: data?.viewer?.id ?? null, code: errors[0]?.extensions?.code, status };
};
const nobody = { id: null, code: undefined, status: 200 };
const refused = { id: null, code: 'UNAUTHENTICATED', status: 401 };

describe('a sign-up and a log-in', () => {
  it('give a token and a cookie that scripts cannot read and other sites do not send', async () => {
    const input = somebody();
    const signedUp = await system.client().ask(SignUpDocument, { input });
    const id = signedUp.data!.signUp.author!.id;
    const loggedIn = await system.client().ask(LogInDocument, { input: { usernameOrEmail: input.username, password: PASSWORD } });
    expect(loggedIn.data!.logIn).toMatchObject({ author: { id }, userErrors: [] });

    for (const [{ headers }, session] of [
      [signedUp, signedUp.data!.signUp.session!],
      [loggedIn, loggedIn.data!.logIn.session!],
    ] as const) {
      const { value, attributes } = cookieOf(headers, 'cheeper_session')!;
      expect(value).toBe(session.accessToken);
      expect(attributes).toEqual(expect.arrayContaining(['httponly', 'samesite=lax', 'path=/']));
      const expires = attributes.find((attribute) => attribute.startsWith('expires='))!.slice('expires='.length);
      expect(new Date(expires)).toEqual(new Date(session.expiresAt));
      expect(Date.parse(session.expiresAt) - Date.now()).toBeGreaterThan(23 * 3_600_000);
    }
  });

  it('need no answer from the projections', async () => {
    const input = somebody();
    await system.client().request(SignUpDocument, { input });
    const [readSide] = system.readSides;
    readSide!.signal('SIGSTOP');
    try {
      const { data, errors } = await system.client().ask(LogInDocument, { input: { usernameOrEmail: input.username, password: PASSWORD } });
      expect(errors).toEqual([]);
      expect(data!.logIn.session).not.toBeNull();
    } finally {
      readSide!.signal('SIGCONT');
    }
  });

  it('know a name in any case, with spaces around it, and an e-mail address', async () => {
    const input = somebody();
    const { signUp } = await system.client().request(SignUpDocument, { input });
    for (const usernameOrEmail of [input.username.toUpperCase(), ` ${input.username} `, input.email, input.email.toUpperCase()]) {
      const { logIn } = await system.client().request(LogInDocument, { input: { usernameOrEmail, password: PASSWORD } });
      expect(logIn.author?.id).toBe(signUp.author!.id);
    }
  });

  it('take a password as one types it, however the keyboard composes it', async () => {
    const input = somebody({ password: 'Zürich ist schön' });
    await system.client().request(SignUpDocument, { input });
    const decomposed = { usernameOrEmail: input.username, password: 'Zürich ist schön'.normalize('NFD') };
    expect((await system.client().request(LogInDocument, { input: decomposed })).logIn.session).not.toBeNull();
  });
});

describe('a log-in that fails', () => {
  const attempt = async (usernameOrEmail: string, password: string) => {
    const start = performance.now();
    const { data, headers, errors, status } = await system.client().ask(LogInDocument, { input: { usernameOrEmail, password } });
    expect(headers.getSetCookie().join()).not.toContain('cheeper_session');

    return { answer: { data, errors, status }, ms: performance.now() - start };
  };

  it('answers the same, and as late, for a wrong password and for a name that nobody has', async () => {
    const { username, email } = somebody();
    await system.client().request(SignUpDocument, { input: { username, email, password: PASSWORD } });
    const ms: Record<'password' | 'name' | 'address', number[]> = { password: [], name: [], address: [] };
    for (let i = 0; i < 9; i++) {
      const wrong = await attempt(username, 'wrong horse battery');
      const unknown = await attempt(`x${username}`.slice(0, 20), PASSWORD);
      const address = await attempt(`x${email}`, PASSWORD);
      expect(wrong.answer.data!.logIn).toMatchObject({
        author: null,
        session: null,
        userErrors: [{ code: 'WRONG_CREDENTIALS', field: null }],
      });
      expect(unknown.answer).toEqual(wrong.answer);
      expect(address.answer).toEqual(wrong.answer);
      ms.password.push(wrong.ms);
      ms.name.push(unknown.ms);
      ms.address.push(address.ms);
    }
    const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
    const medians = Object.values(ms).map(median);
    // Without a hash to verify it would take a tenth.
    expect(Math.max(...medians) / Math.min(...medians)).toBeLessThan(3);
  });

  it('fails at once for what can be nobody’s', async () => {
    const { username } = await system.author();
    const long = 'x'.repeat(513);
    // 512 code units that are 1,536 in NFC.
    const grows = '\u{1D160}'.repeat(256);
    for (const [name, password] of [
      [long, PASSWORD],
      [username, long],
      [username, grows],
      // Marks to be put into order, which takes a time that grows with the square of their number.
      ['a' + '\u0301'.repeat(60_000) + '\u0323'.repeat(60_000), PASSWORD],
      ['', ''],
      ['@', PASSWORD],
    ] as const) {
      const { answer, ms } = await attempt(name, password);
      expect(answer.data!.logIn.userErrors).toMatchObject([{ code: 'WRONG_CREDENTIALS' }]);
      expect(ms).toBeLessThan(10_000);
    }
  });
});

describe('an identity', () => {
  it('is proved by the bearer header, the cookie, and the parameters of a websocket', async () => {
    const { id, client } = await system.author();
    const token = client.accessToken!;
    const ways: Record<string, string>[] = [
      { authorization: `Bearer ${token}` },
      { authorization: `bearer  ${token} ` },
      { cookie: `cheeper_session=${token}` },
      { cookie: `other=1; cheeper_session=${token}; another=2` },
      { cookie: `cheeper_session=${token}`, origin: new URL(system.url).origin },
    ];
    for (const headers of ways) expect(await viewer(headers)).toEqual({ id, code: undefined, status: 200 });
    const socket = await RawSocket.ready(system.url, { Authorization: `Bearer ${token}` });
    socket.subscribe('1', '{ viewer { id } }');
    expect((await socket.only('1')).data).toEqual({ viewer: { id } });
    socket.close();
  });

  it('of the header comes before that of the cookie', async () => {
    const [one, other] = [await system.author(), await system.author()];
    const headers = { authorization: `Bearer ${one.client.accessToken}`, cookie: `cheeper_session=${other.client.accessToken}` };

    expect((await viewer(headers)).id).toBe(one.id);
  });

  it('is needed for every command but a sign-up', async () => {
    const client = system.client();
    const answers = [
      await client.ask(PostCheepReceiptDocument, { input: { message: 'hello' } }),
      await client.ask(FollowAuthorDocument, { input: { authorId: newId() } }),
      await client.ask(UnfollowAuthorDocument, { input: { authorId: newId() } }),
    ];
    for (const { data, errors } of answers) {
      expect(data).toBeNull();
      expect(errors).toMatchObject([{ extensions: { code: 'UNAUTHENTICATED' } }]);
    }
    expect(await viewer({})).toEqual(nobody);
    expect((await client.ask(CommandDocument, { id: newId() })).data).toEqual({ command: null });
  });

  describe('with a token that is broken, expired or somebody else’s', () => {
    const sign = (subject: string, { key = SIGNING_KEY, issuer = system.namespace, expires = '1h', alg = 'HS256' } = {}) =>
      new SignJWT()
        .setProtectedHeader({ alg })
        .setSubject(subject)
        .setIssuer(issuer)
        .setIssuedAt()
        .setExpirationTime(expires)
        .sign(Buffer.from(key));
    const forge = (subject: string) => {
      const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
      return `${part({ alg: 'none' })}.${part({ sub: subject, iss: system.namespace, exp: 4_000_000_000 })}.`;
    };
    const tokens: { what: string; token: (id: string, good: string) => string | Promise<string> }[] = [
      { what: 'that is none', token: () => 'x' },
      { what: 'that is changed', token: (_, good) => `${good.slice(0, -2)}${good.endsWith('AA') ? 'BB' : 'AA'}` },
      { what: 'that is not signed', token: (id) => forge(id) },
      { what: 'that has expired', token: (id) => sign(id, { expires: '-1s' }) },
      { what: 'that is signed by another', token: (id) => sign(id, { key: 'another key that is long enough' }) },
      { what: 'of another system', token: (id) => sign(id, { issuer: 'other' }) },
      { what: 'that is signed in another way', token: (id) => sign(id, { alg: 'HS512' }) },
      { what: 'that names no author', token: () => sign('root') },
    ];

    it.each(tokens)('$what is 401 in the header, closes a websocket, and in a cookie is nobody’s and taken back', async ({ token }) => {
      const { id, client } = await system.author();
      const wrong = await token(id, client.accessToken!);

      expect(await viewer({ authorization: `Bearer ${wrong}` })).toEqual(refused);
      // Also after the good one was seen, and a second time.
      expect(await viewer({ authorization: `Bearer ${client.accessToken}` })).toMatchObject({ id });
      expect(await viewer({ authorization: `Bearer ${wrong}` })).toEqual(refused);
      await expect(RawSocket.ready(system.url, { authorization: `Bearer ${wrong}` })).rejects.toThrow('4403');
      const { data, headers } = await system.client().ask(ViewerDocument, {}, { cookie: `cheeper_session=${wrong}` });
      expect(data).toEqual({ viewer: null });
      expect(cookieOf(headers, 'cheeper_session')).toMatchObject({
        value: '',
        attributes: expect.arrayContaining(['expires=thu, 01 jan 1970 00:00:00 gmt']),
      });
    });

    it('is the test’s to make: one like ours is good', async () => {
      const { id } = await system.author();
      expect(await viewer({ authorization: `Bearer ${await sign(id)}` })).toMatchObject({ id });
    });
  });

  it.each(['Basic eDp5', 'Bearer', 'Bearer ', 'Bearer a b', 'x'])('is not guessed from the header %j', async (authorization) => {
    expect(await viewer({ authorization })).toEqual(refused);
  });

  describe('of an access token that has expired, or is none', () => {
    const PUBLIC =
      'query ($id: ID!) { author(id: $id) { id email isFollowedByViewer } viewer { id } timeline(authorId: $id) { resumeCursor } }';
    const expired = (id: string) =>
      new SignJWT()
        .setProtectedHeader({ alg: 'HS256' })
        .setSubject(id)
        .setIssuer(system.namespace)
        .setIssuedAt()
        .setExpirationTime('-1s')
        .sign(Buffer.from(SIGNING_KEY));
    const ask = async (body: object, headers: Record<string, string>, path = '') => {
      const response = await fetch(`${system.url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      });
      const text = await response.text();

      return { status: response.status, headers: response.headers, text, ...(text.startsWith('{') ? (JSON.parse(text) as Answer) : {}) };
    };
    interface Answer {
      data?: Record<string, unknown> | null;
      errors?: { message: string; path?: string[]; extensions: { code: string } }[];
      extensions?: { authentication?: { code: string; message: string } };
    }

    it('keeps nobody from signing in or up, which says so', async () => {
      const { id, username } = await system.author();
      for (const [token, code] of [[await expired(id), 'TOKEN_EXPIRED'] as const, ['nonsense', 'TOKEN_INVALID'] as const]) {
        const authorization = `Bearer ${token}`;
        const logIn = await system
          .client()
          .ask(LogInDocument, { input: { usernameOrEmail: username, password: PASSWORD } }, { authorization });
        expect(logIn).toMatchObject({ status: 200, errors: [], data: { logIn: { author: { id }, session: expect.anything() } } });
        expect(logIn.extensions).toMatchObject({ authentication: { code, message: expect.any(String) } });
        expect(cookieOf(logIn.headers, 'cheeper_session')).not.toBeNull();
        const signUp = await system.client().ask(SignUpDocument, { input: somebody() }, { authorization });
        expect(signUp).toMatchObject({ status: 200, errors: [], data: { signUp: { status: 'COMMITTED', session: expect.anything() } } });
        expect(signUp.extensions).toMatchObject({ authentication: { code } });
      }
    });

    it('reads what is public, and is refused, with the reason, only what is somebody’s', async () => {
      const { id } = await system.author();
      const authorization = `Bearer ${await expired(id)}`;
      const { status, data, errors, extensions } = await ask({ query: PUBLIC, variables: { id } }, { authorization });
      expect([status, data]).toEqual([
        200,
        { author: { id, email: null, isFollowedByViewer: null }, viewer: null, timeline: { resumeCursor: expect.any(String) } },
      ]);
      expect(errors).toMatchObject([
        { path: ['viewer'], message: expect.stringContaining('has expired'), extensions: { code: 'UNAUTHENTICATED' } },
      ]);
      expect(extensions).toMatchObject({ authentication: { code: 'TOKEN_EXPIRED' } });
      // Null would say that the command was never received.
      const command = await ask({ query: `{ __typename command(id: "${newId()}") { id } }` }, { authorization });
      expect(command).toMatchObject({ status: 200, data: { command: null }, errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] });
      // One that is good is not spoken of.
      expect((await ask({ query: '{ __typename }' }, {})).extensions).not.toHaveProperty('authentication');
    });

    it('is 401 where it leaves nothing to answer', async () => {
      const { id } = await system.author();
      const authorization = `Bearer ${await expired(id)}`;
      for (const accept of ['application/json', 'application/graphql-response+json']) {
        for (const query of [
          '{ viewer { id } }',
          '{ a: viewer { id } b: viewer { id } }',
          'mutation { postCheep(input: { message: "x" }) { status } }',
        ]) {
          const answer = await ask({ query }, { authorization, accept });
          expect(answer.status).toBe(401);
          expect(new Set(answer.errors?.map(({ extensions: { code } }) => code))).toEqual(new Set(['UNAUTHENTICATED']));
          expect(answer).not.toHaveProperty('data');
        }
      }
      // What a document does not parse for is not the token's fault.
      expect(await ask({ query: '{' }, { authorization })).toMatchObject({
        status: 200,
        errors: [{ extensions: { code: 'GRAPHQL_PARSE_FAILED' } }],
      });
    });

    it('does the same over an event stream', async () => {
      const { id } = await system.author();
      const headers = { authorization: `Bearer ${await expired(id)}`, accept: 'text/event-stream' };
      const own = 'subscription { timeline { __typename } }';
      expect(await ask({ query: own }, headers, '/stream')).toMatchObject({
        status: 401,
        errors: [{ extensions: { code: 'UNAUTHENTICATED' } }],
      });
      const query = await ask({ query: `{ author(id: "${id}") { id } }` }, headers, '/stream');
      expect(query.status).toBe(200);
      const [, json] = /^data: (.*)$/m.exec(query.text)!;
      expect(JSON.parse(json!)).toMatchObject({
        data: { author: { id } },
        extensions: { consistency: { token: expect.any(String) }, authentication: { code: 'TOKEN_EXPIRED' } },
      });
    });
  });

  it('is nobody’s with an empty header, and that of the cookie beside a header of another scheme, which is a proxy’s', async () => {
    const { id, client } = await system.author();
    const cookie = `cheeper_session=${client.accessToken}`;
    for (const authorization of ['', ' ']) {
      expect(await viewer({ authorization })).toEqual(nobody);
      expect(await viewer({ authorization, cookie })).toMatchObject({ id });
    }
    expect(await viewer({ authorization: 'Basic eDp5', cookie })).toMatchObject({ id });
    expect(await viewer({ authorization: 'Bearer x', cookie })).toEqual(refused);
    expect(await viewer({ authorization: `BEARER \t ${client.accessToken}` })).toMatchObject({ id });
  });

  it('is found in a cookie, as the grammar has it', async () => {
    const [{ id, client }, other] = [await system.author(), await system.author()];
    const token = client.accessToken!;
    for (const cookie of [
      `cheeper_session="${token}"`,
      `a="b c" ; cheeper_session=${token};`,
      `cheeper_session=${token}; cheeper_session=${other.client.accessToken}`,
    ])
      expect({ cookie, ...(await viewer({ cookie })) }).toMatchObject({ cookie, id });
    expect(await viewer({ cookie: `x_cheeper_session=${token}; CHEEPER_SESSION=${token}` })).toEqual(nobody);
  });

  it('is forgotten by the browser after logOut', async () => {
    const { client } = await system.author();
    const cookie = `cheeper_session=${client.accessToken}`;
    const { data, headers } = await system.client().ask(LogOutDocument, {}, { cookie });

    expect(data).toEqual({ logOut: true });
    expect(cookieOf(headers, 'cheeper_session')).toMatchObject({
      value: '',
      attributes: expect.arrayContaining(['expires=thu, 01 jan 1970 00:00:00 gmt', 'httponly', 'path=/']),
    });
  });
});

describe('a page of another origin', () => {
  it.each([ELSEWHERE, 'null', 'http://localhost:1', 'not a URL'])('(%s) gets nothing by cookie, and leaves none', async (origin) => {
    const { id, client } = await system.author();
    const [head] = await system.sql<{ epoch: string }>('SELECT epoch FROM journal_head');
    const future = encodeToken({ epoch: head!.epoch, position: 1_000_000 });
    const cookie = `cheeper_session=${client.accessToken}; cheeper_consistency=${future}`;

    // The cookie's token, if it counted, would be waited for in vain.
    expect(await viewer({ cookie, origin })).toEqual(nobody);
    const answers = [
      await system.client().ask(LogOutDocument, {}, { cookie, origin }),
      await system.client().ask(SignUpDocument, { input: somebody() }, { cookie, origin }),
      await system.client().ask(PostCheepReceiptDocument, { input: { message: 'forged' } }, { cookie, origin }),
    ];
    for (const { headers } of answers) expect(headers.getSetCookie()).toEqual([]);
    expect(answers[1]!.data).toMatchObject({ signUp: { session: { accessToken: expect.any(String) } } });
    expect(answers[2]!.errors).toMatchObject([{ extensions: { code: 'UNAUTHENTICATED' } }]);
    // By its own token it does.
    expect(await viewer({ authorization: `Bearer ${client.accessToken}`, origin })).toMatchObject({ id });
  });

  it('cannot act by a request that a browser sends without asking first', async () => {
    const { id, client } = await system.author();
    const headers = { cookie: `cheeper_session=${client.accessToken}` };
    const document = { query: 'mutation { postCheep(input: { message: "forged" }) { status } }' };
    const form = new FormData();
    form.set('query', document.query);
    const simple: RequestInit[] = [
      { body: JSON.stringify(document), headers: { 'content-type': 'text/plain' } },
      { body: JSON.stringify(document), headers: { 'content-type': 'text/plain; application/json' } },
      { body: new URLSearchParams(document) },
      { body: form },
      { body: new Blob([JSON.stringify(document)]) },
    ];
    for (const request of simple) {
      const response = await fetch(system.url, { method: 'POST', ...request, headers: { ...headers, ...(request.headers as object) } });
      expect([400, 415]).toContain(response.status);
    }
    const byGet = await fetch(`${system.url}?${new URLSearchParams(document).toString()}`, { headers });
    expect([400, 405]).toContain(byGet.status);
    // What would have been sent first is settled before what is sent now.
    await client.request(PostCheepReceiptDocument, { input: { message: 'my own' } });
    expect(await system.sql('SELECT message FROM cheeps WHERE author_id = ?', [id])).toEqual([{ message: 'my own' }]);
  });
});

describe('a sign-up that is sent again', () => {
  it('with the same input answers the same author, and gives a session', async () => {
    const input = somebody({ commandId: newId() });
    const first = await system.client().request(SignUpDocument, { input });
    const again = await system.client().ask(SignUpDocument, { input });

    expect(again.data!.signUp).toMatchObject({
      commandId: input.commandId,
      status: 'COMMITTED',
      consistencyToken: first.signUp.consistencyToken,
      author: { id: first.signUp.author!.id },
      userErrors: [],
    });
    expect(await viewer({ authorization: `Bearer ${again.data!.signUp.session!.accessToken}` })).toMatchObject({
      id: first.signUp.author!.id,
    });
    expect(cookieOf(again.headers, 'cheeper_session')).not.toBeNull();
    expect(await system.sql('SELECT id FROM authors WHERE username = ?', [input.username])).toHaveLength(1);
  });

  it('with another password is COMMAND_ID_REUSED, gives no session, and changes no password', async () => {
    const input = somebody({ commandId: newId() });
    await system.client().request(SignUpDocument, { input });
    const { data, headers } = await system.client().ask(SignUpDocument, { input: { ...input, password: 'another password' } });

    expect(data!.signUp).toMatchObject({
      status: 'REJECTED',
      session: null,
      author: null,
      userErrors: [{ code: 'COMMAND_ID_REUSED', field: ['commandId'] }],
    });
    expect(cookieOf(headers, 'cheeper_session')).toBeNull();
    const logIn = async (password: string) =>
      (await system.client().request(LogInDocument, { input: { usernameOrEmail: input.username, password } })).logIn.session;
    expect(await logIn('another password')).toBeNull();
    expect(await logIn(PASSWORD)).not.toBeNull();
  });

  it('many times at once makes one author, for all of them', async () => {
    const input = somebody({ commandId: newId() });
    const answers = await Promise.all(Array.from({ length: 8 }, () => system.client().request(SignUpDocument, { input })));

    expect(new Set(answers.map(({ signUp }) => signUp.author?.id)).size).toBe(1);
    for (const { signUp } of answers) expect(signUp).toMatchObject({ status: 'COMMITTED', userErrors: [], session: expect.anything() });
  });
});

describe('an e-mail address', () => {
  const PROFILE = 'query ($id: ID!) { author(id: $id) { email } node(id: $id) { ... on Author { email } } }';

  it('is shown to its author, and to nobody else', async () => {
    const [one, other] = [await system.author(), await system.author()];
    const emails = async (accessToken: string | null) => {
      const response = await fetch(system.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(accessToken ? { authorization: `Bearer ${accessToken}` } : {}) },
        body: JSON.stringify({ query: PROFILE, variables: { id: one.id } }),
      });
      return ((await response.json()) as { data: unknown }).data;
    };
    const own = `${one.username}@example.org`;

    expect(await emails(one.client.accessToken)).toEqual({ author: { email: own }, node: { email: own } });
    for (const accessToken of [other.client.accessToken, null]) {
      expect(await emails(accessToken)).toEqual({ author: { email: null }, node: { email: null } });
    }
    expect((await one.client.request(ViewerDocument, {})).viewer?.email).toBe(own);
  });
});

describe('a password', () => {
  it('is in no table, no stream, no key and no log; its hash is in one table only', async () => {
    const client = system.client();
    const input = somebody({ password: SECRET, commandId: newId() });
    const { signUp } = await client.request(SignUpDocument, { input });
    client.accessToken = signUp.session!.accessToken;
    const others = [
      { ...input },
      { ...input, password: `${SECRET} too` },
      { ...input, commandId: null },
      { ...input, commandId: null, username: 'x', email: 'x' },
      somebody({ password: `${SECRET}\u0000\u{10FFFF}`.repeat(40) }),
    ];
    for (const again of others) await client.ask(SignUpDocument, { input: again });
    for (const usernameOrEmail of [input.username, 'nobody', input.email]) {
      for (const password of [SECRET, `${SECRET} wrong`]) await client.ask(LogInDocument, { input: { usernameOrEmail, password } });
    }
    // A document that is wrong is answered with what is wrong.
    await client.ask(SignUpDocument, { input: { ...input, waitFor: SECRET as 'ACCEPTED' } });
    await client.request(AuthorDocument, { id: signUp.author!.id });
    const [row] = await system.sql<{ hash: string }>('SELECT hash FROM password_hashes WHERE author_id = ?', [signUp.author!.id]);
    const salted = row!.hash.split('$').slice(-2);
    expect(row!.hash).toMatch(/^\$argon2id\$/);

    const places = new Map<string, string>();
    for (const { name } of await system.sql<{ name: string }>(
      'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ?',
      [system.namespace],
    )) {
      const rows = await system.sql<Record<string, unknown>>(`SELECT * FROM ${name}`);
      places.set(`table ${name}`, JSON.stringify(rows.map((fields) => Object.values(fields).map(String))));
    }
    for (const [stream, text] of await streams()) places.set(`stream ${stream}`, text);
    for (const [key, text] of await redisValues()) places.set(`key ${key}`, text);
    for (const service of [...system.gateways, ...system.writeSides, ...system.readSides])
      places.set(`log of ${service.name}`, service.log(Infinity));

    const having = (...needles: string[]) =>
      [...places].filter(([, text]) => needles.some((needle) => text.includes(needle))).map(([place]) => place);
    // The search finds what there is to find.
    expect(having(input.username)).toEqual(
      expect.arrayContaining([
        'table authors',
        'table journal',
        expect.stringMatching(/^stream .*EVENTS/),
        expect.stringMatching(/^key .*author:/),
      ]),
    );
    expect(having(input.commandId as string)).toEqual(expect.arrayContaining(['table inbox', 'log of write-side']));
    expect(having(SECRET)).toEqual([]);
    expect(having('$argon2id$', ...salted)).toEqual(['table password_hashes']);
  });

  /** What is in each stream, once the commands are done with. */
  async function streams(): Promise<Map<string, string>> {
    const nats = await connectNats(system.env.NATS_URL, 'test');
    try {
      const commands = natsNames(system.namespace).commands;
      await eventually(async () => (await nats.jsm.streams.info(commands)).state.messages === 0, 'what was run is purged');
      const texts = new Map<string, string>();
      for await (const { config, state } of nats.jsm.streams.list()) {
        if (!config.name.startsWith(system.namespace)) continue;
        let text = '';
        for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
          const message = await nats.jsm.streams.getMessage(config.name, { seq });
          if (message) text += `${message.subject} ${[...message.header].join()} ${message.string()}\n`;
        }
        texts.set(config.name, text);
      }
      return texts;
    } finally {
      await nats.close();
    }
  }

  async function redisValues(): Promise<Map<string, string>> {
    const { redis, namespace } = system;
    const texts = new Map<string, string>();
    for (const key of await redis.keys(`${namespace}:*`)) {
      const type = await redis.type(key);
      const read: Record<string, () => Promise<unknown>> = {
        string: () => redis.get(key),
        hash: () => redis.hgetall(key),
        set: () => redis.smembers(key),
        zset: () => redis.zrange(key, 0, -1),
        stream: () => redis.xrange(key, '-', '+'),
      };
      texts.set(key, JSON.stringify(await read[type]!()));
    }
    return texts;
  }
});
