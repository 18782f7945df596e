/**
 * What comes in: fields and their rules, commands and their ids, tokens and how long one waits for them, and messages that
 * somebody put into a stream by hand.
 */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { headers } from '@nats-io/transport-node';
import {
  AuthorDocument,
  AuthorListsDocument,
  CheepDocument,
  CommandDocument,
  FollowAuthorDocument,
  FollowAuthorReceiptDocument,
  PostCheepDocument,
  PostCheepReceiptDocument,
  SignUpDocument,
  TimelineDocument,
  UnfollowAuthorDocument,
  ViewerDocument,
  type PostCheepInput,
  type SignUpInput,
} from '../client/operations.js';
import { newId, partOf, SYSTEM } from '../shared/ids.js';
import { connectNats, type Nats } from '../shared/jetstream.js';
import type { CommandMessage } from '../shared/messages/command.js';
import { HEADERS, natsNames, type NatsNames } from '../shared/names.js';
import { decodeToken, encodeToken } from '../shared/token.js';
import { eventually, PASSWORD, startSystem, type System } from './system.js';

const LANES = 16;
const READ_DEADLINE_MS = 3_000;

let system: System;
let nats: Nats;
let names: NatsNames;
beforeAll(async () => {
  system = await startSystem({ env: { COMMIT_DEADLINE_MS: '1500', READ_DEADLINE_MS: String(READ_DEADLINE_MS), LANES: String(LANES) } });
  nats = await connectNats(system.env.NATS_URL, 'test');
  names = natsNames(system.namespace);
});
afterAll(async () => {
  await nats?.close();
  await system?.stop();
});

const word = () => `u${randomBytes(6).toString('hex')}`;
const somebody = (fields: Partial<SignUpInput> = {}): SignUpInput => {
  const username = word();
  return { username, email: `${username}@example.org`, password: PASSWORD, ...fields };
};
const signUp = async (fields: Partial<SignUpInput> = {}) =>
  (await system.client().request(SignUpDocument, { input: somebody(fields) })).signUp;
const head = async () => {
  const [row] = await system.sql<{ epoch: string; position: number }>('SELECT epoch, position FROM journal_head');
  return { epoch: row!.epoch, position: Number(row!.position) };
};
/** Entries that people caused: reactions come when they come. */
const entriesOfPeople = async () => {
  const [row] = await system.sql<{ n: number }>(`SELECT COUNT(*) AS n FROM journal WHERE JSON_VALUE(body, '$.actorId') <> ?`, [SYSTEM]);
  return Number(row!.n);
};
const inboxOf = (commandId: string) => system.sql<{ position: number }>('SELECT position FROM inbox WHERE command_id = ?', [commandId]);
const eventsOf = async (commandId: string) => {
  const rows = await system.sql<{ type: string }>('SELECT type FROM journal WHERE body LIKE ? ORDER BY position', [
    `%"commandId":"${commandId}"%`,
  ]);
  return rows.map(({ type }) => type);
};
/** How many commands were ever sent. */
const sentUntilNow = async () => (await nats.jsm.streams.info(names.commands)).state.last_seq;
/** One of the services is halted meanwhile. */
async function without<T>(service: 'writeSides' | 'readSides', work: () => Promise<T>): Promise<T> {
  system[service].forEach((process) => process.signal('SIGSTOP'));
  try {
    return await work();
  } finally {
    system[service].forEach((process) => process.signal('SIGCONT'));
  }
}

const atTheDoor = { commandId: null, status: 'REJECTED', consistencyToken: null };
const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
const today = new Date().toISOString().slice(0, 10);
const LONE_SURROGATE = 'a\ud800b';

describe('a field that breaks its rule is refused at the door', () => {
  const wrong: [Exclude<keyof SignUpInput, 'waitFor'>, string, string][] = [
    ['username', '', 'TOO_SHORT'],
    ['username', 'ab', 'TOO_SHORT'],
    ['username', 'a'.repeat(31), 'TOO_LONG'],
    ['username', 'with-dash', 'INVALID'],
    ['username', 'with space', 'INVALID'],
    ['username', 'newline\n', 'INVALID'],
    ['username', 'müller', 'INVALID'],
    ['username', '０１２', 'INVALID'],
    ['username', 'admin', 'RESERVED'],
    ['username', 'Ch33per', 'RESERVED'],
    ['username', 'r00t', 'RESERVED'],
    ['username', 'ADMlN_', 'RESERVED'],
    ['email', '', 'INVALID'],
    ['email', 'nobody', 'INVALID'],
    ['email', 'nobody@nowhere', 'INVALID'],
    ['email', 'two@signs@example.org', 'INVALID'],
    ['email', ' spaced@example.org', 'INVALID'],
    ['email', `${'a'.repeat(245)}@example.org`, 'TOO_LONG'],
    ['password', '1234567', 'TOO_SHORT'],
    ['password', '🙂'.repeat(7), 'TOO_SHORT'],
    ['password', 'x'.repeat(129), 'TOO_LONG'],
    ['password', `${LONE_SURROGATE} and more`, 'INVALID'],
    ['password', 'Password1', 'TOO_COMMON'],
    ['password', '12345678', 'TOO_COMMON'],
    ['website', 'example.org', 'INVALID'],
    ['website', 'ftp://example.org', 'INVALID'],
    ['website', 'javascript:alert(1)', 'INVALID'],
    ['website', 'https://', 'INVALID'],
    ['website', 'https://somebody:secret@example.org', 'INVALID'],
    ['website', '', 'INVALID'],
    ['website', `https://example.org/${'x'.repeat(236)}`, 'TOO_LONG'],
    ['birthDate', tomorrow, 'INVALID'],
    ['birthDate', today, 'INVALID'],
    ['name', '', 'TOO_SHORT'],
    ['name', ' \u200b\u3164', 'TOO_SHORT'],
    ['name', 'é'.repeat(51), 'TOO_LONG'],
    ['name', 'two\nlines', 'INVALID'],
    ['name', 'nimda\u202enimda', 'INVALID'],
    ['name', '\u0410dmin', 'RESERVED'],
    ['name', 'Cheeper Support', 'RESERVED'],
    ['location', '\t', 'INVALID'],
    ['location', 'x'.repeat(101), 'TOO_LONG'],
    ['location', LONE_SURROGATE, 'INVALID'],
    ['biography', '\n \n', 'TOO_SHORT'],
    ['biography', 'x'.repeat(281), 'TOO_LONG'],
    ['biography', 'bell\u0007', 'INVALID'],
    ['authorId', 'x', 'INVALID'],
    ['authorId', '', 'INVALID'],
    ['commandId', '1234', 'INVALID'],
  ];

  it.each(wrong)('signUp: %s %j is %s', async (field, value, code) => {
    const sent = await sentUntilNow();
    const refused = await signUp({ [field]: value });

    expect(refused).toMatchObject({ ...atTheDoor, author: null, session: null });
    expect(refused.userErrors).toContainEqual({ code, field: [field], message: expect.any(String) });
    expect(refused.userErrors.every((error) => error.field?.join() === field)).toBe(true);
    expect(await sentUntilNow()).toBe(sent);
  });

  it.each(['2021-02-30', '2021-13-01', '30.1.2021', 'yesterday', '0000-00-00'])(
    'but %j is no date at all, which the scalar says',
    async (birthDate) => {
      const { data, errors, status } = await system.client().ask(SignUpDocument, { input: somebody({ birthDate }) });

      expect(data).toBeUndefined();
      expect(errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' } }]);
      expect(status).toBe(400);
    },
  );

  it('postCheep, followAuthor and unfollowAuthor: each id, and the message', async () => {
    const { client } = await system.author();
    const sent = await sentUntilNow();
    const posts: [PostCheepInput, [string, string][]][] = [
      [{ message: ' ' }, [['TOO_SHORT', 'message']]],
      [{ message: 'x', cheepId: 'x' }, [['INVALID', 'cheepId']]],
      [{ message: 'x', inReplyTo: newId().slice(1) }, [['INVALID', 'inReplyTo']]],
      [{ message: 'x', commandId: '' }, [['INVALID', 'commandId']]],
      [
        { message: '', cheepId: '', inReplyTo: 'x', commandId: 'x' },
        [
          ['INVALID', 'cheepId'],
          ['TOO_SHORT', 'message'],
          ['INVALID', 'inReplyTo'],
          ['INVALID', 'commandId'],
        ],
      ],
    ];
    for (const [input, faults] of posts) {
      const { postCheep } = await client.request(PostCheepReceiptDocument, { input });
      expect(postCheep).toMatchObject(atTheDoor);
      expect(postCheep.userErrors.map(({ code, field }) => [code, ...field!])).toEqual(faults);
    }
    for (const authorId of ['x', '', `${newId()} `]) {
      const expected = { ...atTheDoor, author: null, userErrors: [{ code: 'INVALID', field: ['authorId'] }] };
      expect((await client.request(FollowAuthorDocument, { input: { authorId } })).followAuthor).toMatchObject(expected);
      expect((await client.request(UnfollowAuthorDocument, { input: { authorId } })).unfollowAuthor).toMatchObject(expected);
    }
    expect(await sentUntilNow()).toBe(sent);
  });

  it('with all other faults of its input in one answer, and leaves no trace', async () => {
    const before = await entriesOfPeople();
    const commandId = newId();
    const { userErrors, ...refused } = await signUp({
      commandId,
      authorId: 'x',
      username: 'é',
      email: 'x',
      password: 'short',
      website: 'x',
      birthDate: tomorrow,
      name: ' ',
      location: ' ',
      biography: ' ',
    });
    expect(refused).toMatchObject(atTheDoor);
    expect(userErrors.map(({ code, field }) => `${field!.join('.')} ${code}`).toSorted()).toEqual([
      'authorId INVALID',
      'biography TOO_SHORT',
      'birthDate INVALID',
      'email INVALID',
      'location TOO_SHORT',
      'name TOO_SHORT',
      'password TOO_SHORT',
      'username INVALID',
      'website INVALID',
    ]);
    expect(await inboxOf(commandId)).toEqual([]);
    expect(await entriesOfPeople()).toBe(before);

    // Its id is still free: for what is right, and then for nothing else.
    const right = await signUp({ commandId });
    expect(right).toMatchObject({ status: 'COMMITTED', commandId, userErrors: [] });
    expect(await entriesOfPeople()).toBe(before + 1);
  });
});

describe('a field at its bound is taken, as it was put in', () => {
  const family = '👨‍👩‍👧‍👦';

  it('in a profile', async () => {
    const client = system.client();
    const input = somebody({
      authorId: newId().toUpperCase(),
      username: `Aa0_${randomBytes(13).toString('hex')}`,
      email: `Ü${'x'.repeat(50)}@Example.ORG`,
      password: '🙂'.repeat(128),
      name: family.repeat(50),
      location: 'ł'.repeat(100),
      biography: `${'x'.repeat(279)}\n`,
      website: `http://localhost:8080/${'x'.repeat(233)}`,
      birthDate: '1900-02-28',
    });
    const { signUp } = await client.request(SignUpDocument, { input });
    expect(signUp).toMatchObject({
      status: 'COMMITTED',
      author: { id: (input.authorId as string).toLowerCase(), username: input.username },
    });
    const [author] = await system.sql<Record<string, unknown>>('SELECT * FROM authors WHERE username = ?', [input.username]);
    const { name, location, biography, website, birthDate } = input;
    expect(author).toMatchObject({ email: input.email.toLowerCase(), name, location, biography, website, birth_date: birthDate });
    client.accessToken = signUp.session!.accessToken;
    expect((await client.request(ViewerDocument, {})).viewer?.email).toBe(input.email.toLowerCase());
    expect(
      await signUpWith({
        username: 'abc',
        password: 'x1234567',
        name: null,
        biography: null,
        location: null,
        website: null,
        birthDate: null,
      }),
    ).toBe('COMMITTED');
  });
  const signUpWith = async (fields: Partial<SignUpInput>) => (await signUp(fields)).status;

  const messages: { what: string; message: string; is?: string }[] = [
    { what: 'a zero', message: '0' },
    { what: '260 letters', message: 'x'.repeat(260) },
    { what: '260 letters with marks of their own', message: 'e\u0301'.repeat(260), is: 'é'.repeat(260) },
    { what: '81 families, of 7 code points each', message: family.repeat(81) },
    { what: 'flags', message: '🇩🇪🇫🇷🏴󠁧󠁢󠁳󠁣󠁴󠁿'.repeat(40) },
    { what: 'letters that are composed as they are stored', message: 'A\u030angstro\u0308m', is: 'Ångström' },
    { what: 'text from right to left', message: 'שלום عليكم \u200fabc' },
    { what: 'a tower of marks', message: `Z${'\u0334\u0335\u0336\u0337'.repeat(100)}` },
    { what: 'lines', message: 'one\n\ntwo\n' },
    { what: 'code', message: '<script>alert("\\u0000")</script>\'; DROP TABLE cheeps; -- ${x} {{x}} %s' },
  ];

  it.each(messages)('in a message of $what', async ({ message, is = message }) => {
    const { client } = await system.author();
    const { postCheep } = await client.request(PostCheepDocument, { input: { message } });
    expect(postCheep).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: { message: is } });
    const { cheep } = await client.request(CheepDocument, { id: postCheep.cheep!.id });
    expect(cheep?.message).toBe(is);
    expect(await system.sql('SELECT message FROM cheeps WHERE id = ?', [postCheep.cheep!.id])).toEqual([{ message: is }]);
  });

  it.each([
    { what: '261 letters', message: 'x'.repeat(261), code: 'TOO_LONG' },
    { what: '261 composed letters', message: 'e\u0301'.repeat(261), code: 'TOO_LONG' },
    { what: 'few graphemes of too many bytes', message: family.repeat(82), code: 'TOO_LONG' },
    { what: 'one grapheme of too many bytes', message: `Z${'\u0334'.repeat(1_024)}`, code: 'TOO_LONG' },
    { what: 'a lone surrogate', message: LONE_SURROGATE, code: 'INVALID' },
    { what: 'half of a pair', message: '🙂'.slice(1), code: 'INVALID' },
    { what: 'a null character', message: 'a\0b', code: 'INVALID' },
    { what: 'a carriage return', message: 'a\r\nb', code: 'INVALID' },
    { what: 'an escape', message: '\u001b[31mred', code: 'INVALID' },
    { what: 'a C1 control', message: 'a\u0085b', code: 'INVALID' },
    { what: 'nothing', message: '', code: 'TOO_SHORT' },
    { what: 'nothing to be seen', message: ' \n\u00a0\u2003\u200b\u2060\ufeff\u00ad', code: 'TOO_SHORT' },
  ])('but a message of $what is $code', async ({ message, code }) => {
    const { client } = await system.author();
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message } });

    expect(postCheep).toMatchObject({ ...atTheDoor, userErrors: [{ code, field: ['message'] }] });
  });
});

describe('a commandId', () => {
  it('sent again gets the same answer and has one effect, however often and at once', async () => {
    const { client } = await system.author();
    const input = { message: 'once', commandId: newId() };
    const { postCheep: first } = await client.request(PostCheepDocument, { input });
    const again = await Promise.all([
      ...Array.from({ length: 8 }, () => client.request(PostCheepDocument, { input })),
      // Another way to write it, and another wish to wait.
      client.request(PostCheepDocument, {
        input: { ...input, commandId: input.commandId.toUpperCase(), inReplyTo: null, waitFor: 'PROJECTED' },
      }),
    ]);
    for (const { postCheep } of again.slice(0, -1)) expect(postCheep).toEqual(first);
    expect(again.at(-1)!.postCheep).toEqual({ ...first, status: 'PROJECTED' });
    expect(await inboxOf(input.commandId)).toHaveLength(1);
    expect(await eventsOf(input.commandId)).toEqual(['CheepPosted']);

    const atOnce = { message: 'at once', commandId: newId() };
    const answers = await Promise.all(Array.from({ length: 8 }, () => client.request(PostCheepReceiptDocument, { input: atOnce })));
    expect(new Set(answers.map(({ postCheep }) => JSON.stringify(postCheep))).size).toBe(1);
    expect(await eventsOf(atOnce.commandId)).toEqual(['CheepPosted']);
  });

  it('of a refusal gets the same refusal, also when it would succeed by now', async () => {
    const { client } = await system.author();
    const input = { authorId: newId(), commandId: newId() };
    const { followAuthor: first } = await client.request(FollowAuthorDocument, { input });
    expect(first).toMatchObject({ status: 'REJECTED', userErrors: [{ code: 'AUTHOR_NOT_FOUND' }] });
    expect(await signUp({ authorId: input.authorId })).toMatchObject({ status: 'COMMITTED' });

    expect((await client.request(FollowAuthorDocument, { input })).followAuthor).toEqual(first);
    expect(await eventsOf(input.commandId)).toEqual(['CommandRefused']);
  });

  it('with another input is COMMAND_ID_REUSED, and has no effect', async () => {
    const { id, client } = await system.author();
    const input = { message: 'first', commandId: newId() };
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input });
    const before = await entriesOfPeople();
    const reused = { status: 'REJECTED', userErrors: [{ code: 'COMMAND_ID_REUSED', field: ['commandId'] }] };
    for (const other of [{ message: 'second' }, { cheepId: newId() }, { inReplyTo: newId() }]) {
      const answer = await client.request(PostCheepDocument, { input: { ...input, ...other } });
      expect(answer.postCheep).toMatchObject({ ...reused, cheep: null, consistencyToken: postCheep.consistencyToken });
    }
    const { followAuthor } = await client.request(FollowAuthorReceiptDocument, { input: { authorId: id, commandId: input.commandId } });
    expect(followAuthor).toMatchObject(reused);
    expect(await entriesOfPeople()).toBe(before);
    expect(await system.sql('SELECT message FROM cheeps WHERE author_id = ?', [id])).toEqual([{ message: 'first' }]);
  });

  it('of a command of an earlier release, which told retries by what was typed, is known again', async () => {
    const { id, client } = await system.author();
    const input = { message: 'cafe\u0301', commandId: newId() };
    const lane = partOf(id, LANES);
    const command: CommandMessage = {
      name: 'PostCheep',
      commandId: input.commandId,
      fingerprint: createHash('sha256')
        .update(JSON.stringify(['PostCheep', [['message', input.message]]]))
        .digest('base64url'),
      sentAt: new Date().toISOString(),
      correlationId: 'x',
      causationId: null,
      traceparent: null,
      payload: { authorId: id, cheepId: newId(), message: input.message.normalize('NFC'), inReplyTo: null },
    };
    await nats.js.publish(names.command(lane, 'PostCheep'), JSON.stringify(command));
    await eventually(async () => (await inboxOf(input.commandId)).length > 0, 'it is run');

    expect((await client.request(PostCheepReceiptDocument, { input })).postCheep).toMatchObject({ status: 'COMMITTED' });
    // Sent another way, nobody can tell that it is the same.
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { ...input, message: 'caf\u00e9' } });
    expect(postCheep).toMatchObject({ userErrors: [{ code: 'COMMAND_ID_REUSED' }] });
    expect(await eventsOf(input.commandId)).toEqual(['CheepPosted']);
  });

  it('that was one’s own sign-up’s is COMMAND_ID_REUSED too', async () => {
    const commandId = newId();
    const { session } = await signUp({ commandId });
    const { postCheep } = await system
      .client({ accessToken: session!.accessToken })
      .request(PostCheepReceiptDocument, { input: { message: 'x', commandId } });

    expect(postCheep).toMatchObject({ status: 'REJECTED', userErrors: [{ code: 'COMMAND_ID_REUSED' }] });
  });

  it('is each author’s own', async () => {
    const [one, other] = [await system.author(), await system.author()];
    const input = { message: 'mine', commandId: newId() };
    const cheeps = [];
    for (const { client } of [one, other]) cheeps.push((await client.request(PostCheepDocument, { input })).postCheep);

    expect(cheeps).toMatchObject([{ status: 'COMMITTED' }, { status: 'COMMITTED' }]);
    expect(cheeps[0]!.cheep!.id).not.toBe(cheeps[1]!.cheep!.id);
  });
});

describe('waitFor', () => {
  it('ACCEPTED answers when the command is safe with the stream, without the write side', async () => {
    const { client } = await system.author();
    const commandId = newId();
    await without('writeSides', async () => {
      const { postCheep } = await client.request(PostCheepDocument, { input: { message: 'later', commandId, waitFor: 'ACCEPTED' } });
      expect(postCheep).toEqual({ commandId, status: 'ACCEPTED', consistencyToken: null, userErrors: [], cheep: null });
      expect((await client.request(CommandDocument, { id: commandId })).command).toBeNull();
    });
    const { command } = await eventually(async () => {
      const answer = await client.request(CommandDocument, { id: commandId });
      return answer.command && answer;
    }, 'it is run');
    expect(command).toMatchObject({
      id: commandId,
      name: 'PostCheep',
      status: 'COMMITTED',
      userErrors: [],
      settledAt: expect.stringMatching(/Z$/),
    });
  });

  it('COMMITTED is an honest ACCEPTED at the deadline', async () => {
    const { client } = await system.author();
    const input = { message: 'waits', commandId: newId() };
    await without('writeSides', async () => {
      const { data, errors } = await client.ask(PostCheepDocument, { input });
      expect(errors).toEqual([]);
      expect(data!.postCheep).toEqual({
        commandId: input.commandId,
        status: 'ACCEPTED',
        consistencyToken: null,
        userErrors: [],
        cheep: null,
      });
    });
    // The same again is the way to hear of it.
    expect((await client.request(PostCheepDocument, { input })).postCheep).toMatchObject({
      status: 'COMMITTED',
      cheep: { message: 'waits' },
    });
    expect(await eventsOf(input.commandId)).toEqual(['CheepPosted']);
  });

  it('COMMITTED answers at the commit, and the thing itself, when it is too late, is null with NOT_CAUGHT_UP', async () => {
    const { client } = await system.author();
    await without('readSides', async () => {
      const { data, errors, status } = await client.ask(
        PostCheepDocument,
        { input: { message: 'unseen' } },
        { 'x-cheeper-wait-ms': '100' },
      );
      expect(status).toBe(200);
      expect(data!.postCheep).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: null, consistencyToken: expect.any(String) });
      expect(errors).toMatchObject([{ path: ['postCheep', 'cheep'], extensions: { code: 'NOT_CAUGHT_UP', retryable: true } }]);
      const receipt = await client.ask(PostCheepReceiptDocument, { input: { message: 'unseen too' } });
      expect(receipt).toMatchObject({ errors: [], extensions: { consistency: { waitedMs: 0 } } });
    });
  });

  it('PROJECTED answers when every projection has applied it, and else is an honest COMMITTED', async () => {
    const { client } = await system.author();
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: 'everywhere', waitFor: 'PROJECTED' } });
    expect(postCheep.status).toBe('PROJECTED');
    const { epoch, position } = decodeToken(postCheep.consistencyToken!);
    const applied = await system.redis.mget(await system.redis.keys(`${system.namespace}:${epoch}:*:applied`));
    expect(applied.length).toBeGreaterThanOrEqual(4 * 8);
    expect(Math.min(...applied.map(Number))).toBeGreaterThanOrEqual(position);

    await without('readSides', async () => {
      const input = { message: 'nowhere', waitFor: 'PROJECTED' } as const;
      for (const read of ['strict', 'stale-ok']) {
        const late = await client.ask(PostCheepReceiptDocument, { input }, { 'x-cheeper-wait-ms': '100', 'x-cheeper-read': read });
        expect(late).toMatchObject({ errors: [], data: { postCheep: { status: 'COMMITTED', consistencyToken: expect.any(String) } } });
      }
    });
  });
});

describe('a rule of the domain', () => {
  const rejected = (code: string, field: string[] | null) => ({
    status: 'REJECTED',
    commandId: expect.any(String),
    consistencyToken: expect.any(String),
    userErrors: [{ code, field, message: expect.any(String) }],
  });

  it('lets a username, in any case, and an address be somebody’s once, and an id too', async () => {
    const first = somebody({ username: `Name_${randomBytes(4).toString('hex')}` });
    const { author } = await signUp(first);
    for (const username of [first.username, first.username.toUpperCase(), first.username.toLowerCase()]) {
      expect(await signUp({ username })).toMatchObject({ ...rejected('USERNAME_TAKEN', ['username']), author: null, session: null });
    }
    for (const email of [first.email, first.email.toUpperCase()]) {
      expect(await signUp({ email })).toMatchObject(rejected('EMAIL_TAKEN', ['email']));
    }
    for (const authorId of [author!.id, author!.id.toUpperCase()]) {
      expect(await signUp({ authorId })).toMatchObject(rejected('AUTHOR_ALREADY_EXISTS', ['authorId']));
    }
    // A refusal implies that one can read by whom.
    const client = system.client();
    const { signUp: refused } = await client.request(SignUpDocument, { input: somebody({ username: first.username }) });
    expect(client.consistencyToken).toBe(refused.consistencyToken);
    expect((await client.request(AuthorDocument, { id: author!.id })).author).not.toBeNull();
  });

  it('lets one of many win who want the same name at once', async () => {
    const username = word();
    const answers = await Promise.all(Array.from({ length: 6 }, (_, i) => signUp({ username, email: `${i}${username}@example.org` })));

    expect(answers.map(({ status, userErrors }) => userErrors[0]?.code ?? status).toSorted()).toEqual([
      'COMMITTED',
      ...Array.from({ length: 5 }, () => 'USERNAME_TAKEN'),
    ]);
  });

  it('lets one follow somebody else who is there, and no more than 5,000', async () => {
    const [reader, writer] = [await system.author(), await system.author()];
    const follow = async (authorId: string) => (await reader.client.request(FollowAuthorDocument, { input: { authorId } })).followAuthor;
    expect(await follow(newId())).toMatchObject({ ...rejected('AUTHOR_NOT_FOUND', ['authorId']), author: null });
    expect(await follow(reader.id)).toMatchObject(rejected('CANNOT_FOLLOW_SELF', ['authorId']));
    expect(await follow(reader.id.toUpperCase())).toMatchObject(rejected('CANNOT_FOLLOW_SELF', ['authorId']));

    const rows = Array.from({ length: 5_000 }, () => newId()).map((id) => [`${reader.id}:${id}`, 1, reader.id, id, 1]);
    await system.sql('INSERT INTO follows (id, version, follower_id, followed_id, active) VALUES ?', [rows]);
    expect(await follow(writer.id)).toMatchObject(rejected('FOLLOWING_TOO_MANY', ['authorId']));
  });

  it('lets a follow that holds already, and an unfollow of nobody, be done without an effect', async () => {
    const [reader, writer] = [await system.author(), await system.author()];
    const done = { status: 'COMMITTED', userErrors: [], consistencyToken: expect.any(String) };
    const follow = async () => {
      const { followAuthor } = await reader.client.request(FollowAuthorDocument, { input: { authorId: writer.id } });
      expect(followAuthor).toMatchObject({ ...done, author: { followersCount: 1, isFollowedByViewer: true } });
      return eventsOf(followAuthor.commandId!);
    };
    const unfollow = async (authorId: string) => {
      const { unfollowAuthor } = await reader.client.request(UnfollowAuthorDocument, { input: { authorId } });
      expect(unfollowAuthor).toMatchObject({ ...done, author: { followersCount: 0, isFollowedByViewer: false } });
      return eventsOf(unfollowAuthor.commandId!);
    };
    expect(await unfollow(writer.id)).toEqual(['CommandHadNoEffect']);
    expect(await unfollow(reader.id)).toEqual(['CommandHadNoEffect']);
    expect(await follow()).toEqual(['AuthorFollowed']);
    expect(await follow()).toEqual(['CommandHadNoEffect']);
    expect(await unfollow(writer.id)).toEqual(['AuthorUnfollowed']);
    expect(await unfollow(writer.id)).toEqual(['CommandHadNoEffect']);
    expect(await follow()).toEqual(['AuthorFollowed']);
    const { author } = await reader.client.request(AuthorListsDocument, { id: writer.id });
    expect(author!.followers).toMatchObject({ totalCount: 1, nodes: [{ id: reader.id }] });
    const unknown = await reader.client.request(UnfollowAuthorDocument, { input: { authorId: newId() } });
    expect(unknown.unfollowAuthor).toMatchObject(rejected('AUTHOR_NOT_FOUND', ['authorId']));
  });

  it('lets a cheep have its id once, and answer a cheep that is there', async () => {
    const [one, other] = [await system.author(), await system.author()];
    const cheepId = newId();
    const post = async ({ client }: typeof one, input: PostCheepInput) => (await client.request(PostCheepDocument, { input })).postCheep;
    expect(await post(one, { message: 'x', cheepId: cheepId.toUpperCase() })).toMatchObject({
      status: 'COMMITTED',
      cheep: { id: cheepId },
    });
    for (const author of [one, other]) {
      expect(await post(author, { message: 'x', cheepId })).toMatchObject({
        ...rejected('CHEEP_ALREADY_EXISTS', ['cheepId']),
        cheep: null,
      });
    }
    expect(await post(one, { message: 'x', inReplyTo: newId() })).toMatchObject(rejected('CHEEP_NOT_FOUND', ['inReplyTo']));
    const own = newId();
    expect(await post(one, { message: 'x', cheepId: own, inReplyTo: own })).toMatchObject(rejected('CHEEP_NOT_FOUND', ['inReplyTo']));
    expect(await post(other, { message: 'reply', inReplyTo: cheepId.toUpperCase() })).toMatchObject({ status: 'COMMITTED' });
    expect((await other.client.request(CheepDocument, { id: cheepId })).cheep).toMatchObject({ repliesCount: 1 });
  });
});

describe('command(id)', () => {
  it('tells the sender what came of it, and nobody else', async () => {
    const [one, other] = [await system.author(), await system.author()];
    const commandId = newId();
    await one.client.request(PostCheepReceiptDocument, { input: { message: 'x', inReplyTo: newId(), commandId } });
    other.client.consistencyToken = one.client.consistencyToken;
    const nobody = system.client({ consistencyToken: one.client.consistencyToken });
    const ask = async ({ client }: { client: typeof nobody }, id: string) => (await client.request(CommandDocument, { id })).command;

    expect(await ask(one, commandId.toUpperCase())).toMatchObject({
      id: commandId,
      name: 'PostCheep',
      status: 'REJECTED',
      userErrors: [{ code: 'CHEEP_NOT_FOUND', field: ['inReplyTo'] }],
    });
    expect(await ask(other, commandId)).toBeNull();
    expect(await ask({ client: nobody }, commandId)).toBeNull();
    expect(await ask(one, newId())).toBeNull();
    expect(await ask(one, 'x')).toBeNull();
  });

  it('tells an author of its sign-up', async () => {
    const commandId = newId();
    const { session, consistencyToken } = await signUp({ commandId });
    const client = system.client({ accessToken: session!.accessToken, consistencyToken });

    expect((await client.request(CommandDocument, { id: commandId })).command).toMatchObject({ name: 'SignUp', status: 'COMMITTED' });
  });
});

describe('a consistency token', () => {
  const TYPENAME = '{ __typename }';
  const ask = async (headers: Record<string, string>, query = TYPENAME) => {
    const response = await fetch(system.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ query }),
    });
    const body = (await response.json()) as {
      data?: unknown;
      errors?: { extensions: Record<string, unknown> }[];
      extensions?: { consistency: { token: string; position: string; satisfied: boolean; waitedMs: number } };
    };
    const cookie = response.headers.getSetCookie().find((line) => line.startsWith('cheeper_consistency='));
    return { status: response.status, ...body, header: response.headers.get('x-cheeper-consistency'), cookie };
  };
  const ahead = async (by: number) => {
    const { epoch, position } = await head();
    return encodeToken({ epoch, position: position + by });
  };
  const position = (token: string) => decodeToken(token).position;

  it('comes with every answer: as an extension, a header, and a cookie for browsers', async () => {
    const { header, cookie, extensions } = await ask({}, `{ author(id: "${newId()}") { id } }`);

    expect(extensions!.consistency.token).toBe(header);
    expect(cookie).toMatch(new RegExp(`^cheeper_consistency=${header}; Path=/; HttpOnly; SameSite=Lax$`));
    expect(extensions!.consistency).toMatchObject({ satisfied: true, position: String(position(header!)) });
    expect((await ask({ cookie: `cheeper_consistency=${header}` })).cookie).toBeUndefined();
  });

  it('that is none, or of another epoch, is BAD_TOKEN in a header', async () => {
    const { epoch, position } = await head();
    const other = encodeToken({ epoch: 'other', position: 1 });
    const good = encodeToken({ epoch, position });
    for (const token of [
      'x',
      '{}',
      'é',
      `${good}x`,
      other,
      `${good}, ${other}`,
      encodeToken({ epoch, position: 0.5 }),
      encodeToken({ epoch, position: -1 }),
    ]) {
      const answer = await ask({ 'x-cheeper-consistency': token });
      expect(answer).toMatchObject({ status: 400, errors: [{ extensions: { code: 'BAD_TOKEN' } }] });
      expect(answer).not.toHaveProperty('data');
    }
    expect(await ask({ 'x-cheeper-consistency': Array.from({ length: 17 }, () => good).join() })).toMatchObject({
      status: 400,
      errors: [{ extensions: { code: 'BAD_TOKEN' } }],
    });
  });

  it.each([
    [1_000, 'NOT_CAUGHT_UP'],
    [1_000_000_000, 'BAD_TOKEN'],
  ])('from the future does not stay with a browser, where every read would wait for it (%d ahead)', async (by, code) => {
    const future = await ahead(by);
    const { errors, cookie } = await ask(
      { 'x-cheeper-consistency': future, 'x-cheeper-wait-ms': '0' },
      `{ author(id: "${newId()}") { id } }`,
    );
    expect(errors?.[0]?.extensions?.code).toBe(code);
    expect(cookie ?? '').not.toContain(future);
  });

  it('that is none, or of another epoch, is ignored in a cookie, and replaced', async () => {
    for (const wrong of ['x', '', encodeToken({ epoch: 'other', position: 1_000_000 })]) {
      const answer = await ask({ cookie: `cheeper_consistency=${wrong}` }, `{ author(id: "${newId()}") { id } }`);
      expect(answer).toMatchObject({ status: 200, data: { author: null } });
      expect(answer.cookie).toContain(`cheeper_consistency=${answer.header};`);
    }
  });

  it('may be sent with others, by commas, and the newest of all counts', async () => {
    const [low, middle, high] = [await ahead(-3), await ahead(-2), await ahead(-1)];
    for (const [header, cookie, newest] of [
      [`${low},${high} , ${middle}`, low, high],
      [low, high, high],
      [`,${middle},`, 'x', middle],
    ]) {
      const { extensions } = await ask({ 'x-cheeper-consistency': header!, cookie: `cheeper_consistency=${cookie}` });
      // What reads nothing is as of what was asked for.
      expect(extensions!.consistency).toMatchObject({ token: newest, position: String(position(newest!)) });
    }
  });

  it('of the future is waited for until the deadline, which one may lower and not raise, and then NOT_CAUGHT_UP', async () => {
    const query = `{ author(id: "${newId()}") { id } }`;
    const token = await ahead(1_000);
    const short = await ask({ 'x-cheeper-consistency': token, 'x-cheeper-wait-ms': '150' }, query);
    expect(short).toMatchObject({
      data: { author: null },
      errors: [{ extensions: { code: 'NOT_CAUGHT_UP', retryable: true, wanted: String(position(token)) } }],
    });
    expect(short.extensions!.consistency.waitedMs).toBeGreaterThanOrEqual(140);
    expect(short.extensions!.consistency.waitedMs).toBeLessThan(READ_DEADLINE_MS);
    // Never less than what was sent.
    expect(short.header).toBe(token);

    const long = await ask({ 'x-cheeper-consistency': token, 'x-cheeper-wait-ms': '60000' }, query);
    expect(long.errors).toMatchObject([{ extensions: { code: 'NOT_CAUGHT_UP' } }]);
    expect(long.extensions!.consistency.waitedMs).toBeGreaterThanOrEqual(READ_DEADLINE_MS - 50);
    expect(long.extensions!.consistency.waitedMs).toBeLessThan(60_000);
    const none = await ask({ 'x-cheeper-consistency': token, 'x-cheeper-wait-ms': '0' }, query);
    expect(none.errors).toMatchObject([{ extensions: { code: 'NOT_CAUGHT_UP' } }]);
  });

  it('is answered with what there is for who says stale-ok, and told so', async () => {
    const { id, client } = await system.author();
    const query = `{ author(id: "${id}") { id } }`;
    const stale = { 'x-cheeper-read': 'stale-ok', 'x-cheeper-wait-ms': '50', authorization: `Bearer ${client.accessToken}` };
    const token = await ahead(1_000);
    const answer = await ask({ ...stale, 'x-cheeper-consistency': token }, query);
    expect(answer).toMatchObject({ status: 200, data: { author: { id } }, extensions: { consistency: { satisfied: false } } });
    expect(answer).not.toHaveProperty('errors');
    expect(Number(answer.extensions!.consistency.position)).toBeLessThan(position(token));
    // It is not needed, and so changes nothing, when the token is reached.
    expect(await ask({ ...stale, 'x-cheeper-wait-ms': '60000', 'x-cheeper-consistency': await ahead(0) }, query)).toMatchObject({
      data: { author: { id } },
      extensions: { consistency: { satisfied: true } },
    });
  });

  it('waits for a write that is on its way', async () => {
    const { client } = await system.author();
    const cheepId = newId();
    const token = await without('readSides', async () => {
      const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: 'on its way', cheepId } });
      return postCheep.consistencyToken!;
    });
    const answer = await ask({ 'x-cheeper-consistency': token }, `{ cheep(id: "${cheepId}") { message } }`);

    expect(answer.data).toEqual({ cheep: { message: 'on its way' } });
  });

  it.each([
    ['x-cheeper-read', 'maybe'],
    ['x-cheeper-wait-ms', 'soon'],
    ['x-cheeper-wait-ms', '-1'],
  ])('needs no guessing: %s: %s is BAD_USER_INPUT', async (header, value) => {
    expect(await ask({ [header]: value })).toMatchObject({ status: 400, errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] });
  });
});

interface Parked {
  stream_created: string;
  sequence: number;
  subject: Buffer;
  headers: string;
  body: Buffer;
  reason: string;
  attempts: number;
}

describe('a message that was put into a stream by hand', () => {
  const parkedIn = async (stream: string) => {
    const { created } = await nats.jsm.streams.info(stream);
    return system.sql<Parked>('SELECT * FROM parked WHERE stream_created = ? ORDER BY sequence', [created]);
  };

  it('and is no command is kept whole, with its reason, and the rest of its lane goes on', async () => {
    const { id, client } = await system.author();
    const lane = partOf(id, LANES);
    const payload = { authorId: id, cheepId: newId(), message: 'by hand', inReplyTo: null };
    const message: CommandMessage = {
      name: 'PostCheep',
      commandId: newId(),
      fingerprint: 'x',
      sentAt: new Date().toISOString(),
      correlationId: 'x',
      causationId: null,
      traceparent: null,
      payload,
    };
    const broken = [
      { body: 'not JSON', why: /JSON/, lane },
      { body: Buffer.from([0xff, 0x00, 0xfe]), why: /./, lane },
      { body: JSON.stringify({ ...message, name: 'LaunchRocket' }), why: /no command LaunchRocket/, lane },
      { body: JSON.stringify({ ...message, name: 'constructor' }), why: /no command constructor/, lane },
      { body: JSON.stringify(message), why: new RegExp(`lane ${lane}, and came in lane ${(lane + 1) % LANES}`), lane: (lane + 1) % LANES },
      { body: JSON.stringify({ ...message, payload: { ...payload, message: ' ' } }), why: /message/, lane },
      { body: JSON.stringify({ ...message, commandId: 'x' }), why: /commandId/, lane },
    ];
    const before = await entriesOfPeople();
    const reply = names.outcome('test', 1);
    const outcomes: unknown[] = [];
    const subscription = nats.connection.subscribe(reply, { callback: (_, outcome) => void outcomes.push(outcome.json()) });
    const sequences: number[] = [];
    for (const { body, lane } of broken) {
      const h = headers();
      h.set(HEADERS.replyTo, reply);
      h.append('X-Note', 'ünusual');
      sequences.push((await nats.js.publish(names.command(lane, 'PostCheep'), body, { headers: h })).seq);
    }
    // Those in its lane are run after them.
    const { postCheep } = await client.request(PostCheepDocument, { input: { message: 'after them' } });
    expect(postCheep).toMatchObject({ status: 'COMMITTED', cheep: { message: 'after them' } });
    expect(await entriesOfPeople()).toBe(before + 1);
    await eventually(() => outcomes.length === broken.length, 'each sender is told');
    expect(outcomes).toEqual(broken.map(() => ({ status: 'PARKED' })));
    subscription.unsubscribe();

    const rows = await parkedIn(names.commands);
    expect(rows.map(({ sequence }) => Number(sequence))).toEqual(sequences);
    rows.forEach((row, i) => {
      const { body, why, lane } = broken[i]!;
      expect(row.body).toEqual(Buffer.from(body));
      expect(row.reason).toMatch(why);
      expect(row.subject.toString()).toBe(names.command(lane, 'PostCheep'));
      expect(JSON.parse(row.headers)).toEqual({ [HEADERS.replyTo]: [reply], 'X-Note': ['ünusual'] });
    });
    expect(await inboxOf(message.commandId)).toEqual([]);

    // What an earlier release accepted is run, though it would be refused today.
    const former = { ...message, commandId: newId(), payload: { ...payload, cheepId: newId(), message: 'zero\u200bwidth' } };
    await nats.js.publish(names.command(lane, 'PostCheep'), JSON.stringify(former));
    const kept = await eventually(async () => (await client.request(CheepDocument, { id: former.payload.cheepId })).cheep, 'it is run');
    expect(kept.message).toBe('zero\u200bwidth');

    // Mended, it may be sent again.
    await nats.js.publish(names.command(lane, 'PostCheep'), JSON.stringify(message));
    const mended = await eventually(async () => (await client.request(CheepDocument, { id: payload.cheepId })).cheep, 'it is run');
    expect(mended.message).toBe('by hand');
  });

  it('and is no event is kept whole, with its reason, and those who follow the stream go on', async () => {
    const { epoch } = await head();
    const [reader, writer] = [await system.author(), await system.author()];
    await reader.client.request(FollowAuthorReceiptDocument, { input: { authorId: writer.id } });
    const stream = names.events(epoch);
    const seen: string[] = [];
    const foreign = [
      { type: 'CheepPosted', body: 'not an event' },
      {
        type: 'CheepPosted',
        body: JSON.stringify({ event: { type: 'CheepPosted', cheepId: newId(), authorId: writer.id, message: 'forged', inReplyTo: null } }),
      },
      { type: 'RocketLaunched', body: '' },
    ];
    for (const { type, body } of foreign) {
      await nats.js.publish(names.event(epoch, type), body);
      const cheepId = newId();
      await writer.client.request(PostCheepReceiptDocument, { input: { message: 'goes on', cheepId } });
      seen.unshift(cheepId);
    }
    reader.client.consistencyToken = writer.client.consistencyToken;
    const page = await eventually(async () => {
      const { data } = await reader.client.ask(TimelineDocument, {});
      return data?.timeline;
    }, 'the timeline has caught up');
    expect(page.edges.map(({ node }) => node.id)).toEqual(seen);

    const rows = await eventually(async () => {
      const parked = await parkedIn(stream);
      return parked.length >= foreign.length ? parked : null;
    }, 'all are parked');
    expect(rows.map((row) => [row.subject.toString(), row.body.toString()])).toEqual(
      foreign.map(({ type, body }) => [names.event(epoch, type), body]),
    );
    for (const { reason } of rows) expect(reason).toContain('by hand');
  });
});
