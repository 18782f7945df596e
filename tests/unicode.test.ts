/**
 * Text of all kinds, through the public face: what people write comes back as they wrote it, in NFC; what is measured are the
 * characters that people see; what is no text is refused.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../shared/ids.js';
import { Face } from './town/face.js';
import { PASSWORD, startSystem, type System } from './system.js';

let system: System;
let face: Face;
let accessToken: string;
let username: string;
let authorId: string;
beforeAll(async () => {
  system = await startSystem();
  face = new Face(system);
  const author = await system.author();
  ({ username, id: authorId } = author);
  accessToken = author.client.accessToken!;
  face.remember(author.client.consistencyToken!);
});
afterAll(() => system?.stop());

interface Payload {
  status: string;
  userErrors: { code: string; field: string[] }[];
  consistencyToken: string | null;
  cheep?: Cheep | null;
  author?: Record<string, string | null> | null;
}
interface Cheep {
  id: string;
  version: number;
  message: string;
  mentions: { start: number; end: number; author: { id: string } }[];
  links: { start: number; end: number; url: string }[];
}

const RECEIPT = 'status consistencyToken userErrors { code field }';
const CHEEP = 'cheep { id version message mentions { start end author { id } } links { start end url } }';

async function mutate(document: string, input: object): Promise<Payload> {
  const { payload } = await face.read<{ payload: Payload }>(document, { input }, accessToken);
  if (payload.consistencyToken) face.remember(payload.consistencyToken);

  return payload;
}
const post = (message: string) =>
  mutate(`mutation ($input: PostCheepInput!) { payload: postCheep(input: $input) { ${RECEIPT} ${CHEEP} } }`, { message });
const edit = (cheepId: string, message: string) =>
  mutate(`mutation ($input: EditCheepInput!) { payload: editCheep(input: $input) { ${RECEIPT} ${CHEEP} } }`, { cheepId, message });
const update = (fields: object) =>
  mutate(
    `mutation ($input: UpdateProfileInput!) { payload: updateProfile(input: $input) { ${RECEIPT} author { name biography location } } }`,
    fields,
  );
const read = async (id: string) => {
  const { cheep } = await face.read<{ cheep: Cheep }>(`query ($id: ID!) { ${CHEEP.replace('cheep', 'cheep(id: $id)')} }`, { id }, null);
  return cheep;
};
const refusedWith = (code: string, field: string) => ({ status: 'REJECTED', userErrors: [{ code, field: [field] }] });

const FAMILY = '👨‍👩‍👧‍👦'; // 7 code points, 25 bytes, one character
const E_NFC = '\u00e9';
const E_NFD = 'e\u0301';

const WRITTEN = {
  'families, joined by zero-width joiners': `${FAMILY}👩🏽‍🚀`,
  flags: '🇩🇰🇫🇴🇬🇱🏴‍☠️',
  'Hebrew and Arabic, from right to left': 'שלום עולם، مرحبا',
  'marks of a direction beside Hebrew': 'שלום\u200f! C\u200e++',
  'combining marks without a composed form': 'x\u0323\u0307 q\u0307\u0323'.normalize('NFC'),
  'Devanagari and Thai': 'नमस्ते สวัสดี',
  'joiners of Devanagari and Persian': 'क्‍ष می‌خواهم',
  'forms of emoji, keycaps and the flag of a region': '❤️‍🔥1️⃣☺︎🏴󠁧󠁢󠁥󠁮󠁧󠁿',
  'characters outside of the basic plane': '𝒳𐍈𠜎',
};
const NOT_TEXT = {
  'a lone high surrogate': 'a\ud83d',
  'a lone low surrogate': '\udc4da',
  'surrogates in the wrong order': 'a\udc4d\ud83db',
  'a null character': 'a\u0000b',
  'an escape': 'a\u001bb',
  'a tab': 'a\tb',
  'a carriage return': 'a\r\nb',
  'a C1 control character': 'a\u0085b',
  'a delete character': 'a\u007fb',
  'a separator of lines': 'a\u2028b',
  'a separator of paragraphs': 'a\u2029b',
  'a noncharacter': 'a\uffffb',
  'a zero-width space inside a word': 'a\u200bb',
  'a joiner inside a word': 'a\u200db',
  'a byte order mark': '\ufeffa',
  'a soft hyphen': 'a\u00adb',
  'a filler inside a word': 'a\u3164b',
  'a mark of a direction in a text that has one': 'a\u200fb',
  'an override of the direction': 'a\u202eb',
  'an isolate': 'ש\u2067c\u2069',
  'tags outside of a flag': 'a\u{e0041}',
};
const BLANK = {
  nothing: '',
  spaces: '  ',
  'spaces of other scripts': '\u3000\u2003\u00a0',
  'zero-width characters': '\u200b\u200c\u200d\u2060\ufeff',
  'fillers that show nothing': '\u3164\u115f\uffa0',
  'variation selectors alone': '\ufe0f\ufe0e',
};

describe('a message', () => {
  it.each(Object.entries(WRITTEN))('comes back as it was written: %s', async (_, message) => {
    const { cheep, ...receipt } = await post(message);

    expect(receipt).toMatchObject({ status: 'COMMITTED', userErrors: [] });
    expect(cheep!.message).toBe(message);
    expect((await read(cheep!.id)).message).toBe(message);
  });

  it('keeps its lines', async () => {
    expect((await post('one\n\ntwo\n')).cheep!.message).toBe('one\n\ntwo\n');
  });

  it('comes back composed (NFC), and is the same message however it was composed', async () => {
    const { cheep } = await post(`caf${E_NFD} 각`.normalize('NFD'));
    expect(cheep!.message).toBe(`caf${E_NFC} 각`);

    const same = await edit(cheep!.id, `caf${E_NFD} 각`.normalize('NFD'));
    expect(same).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: { version: 1 } });
    const events = await system.sql<{ type: string }>('SELECT type FROM journal WHERE body LIKE ? ORDER BY position', [`%${cheep!.id}%`]);
    expect(events.map(({ type }) => type)).toEqual(['CheepPosted']);
    expect((await edit(cheep!.id, 'cafe')).cheep).toMatchObject({ version: 2, message: 'cafe' });
  });

  it.each([
    ['letters', 'x'],
    ['composed letters', E_NFC],
    ['letters to be composed', E_NFD],
    ['letters of two code units', '𝒳'],
  ])('has 260 characters at the most, as people count: %s', async (_, character) => {
    expect((await post(character.repeat(260))).cheep!.message).toBe(character.repeat(260).normalize('NFC'));
    expect(await post(character.repeat(261))).toMatchObject(refusedWith('TOO_LONG', 'message'));
  });

  it('has 2 KiB of UTF-8 at the most, however few characters that are', async () => {
    const families = FAMILY.repeat(81); // 81 × 25 = 2,025 bytes
    expect(Buffer.byteLength(families)).toBe(2_025);

    expect((await post(families + 'x'.repeat(23))).cheep!.message).toHaveLength(81 * 11 + 23);
    expect(await post(families + 'x'.repeat(24))).toMatchObject(refusedWith('TOO_LONG', 'message'));
    expect(await post('x' + '\u0323'.repeat(1_023))).toMatchObject({ status: 'COMMITTED' }); // 1 + 2,046 bytes, before they are composed
    expect(await post('q' + '\u0307'.repeat(1_024))).toMatchObject(refusedWith('TOO_LONG', 'message'));
  });

  it('is measured after it is composed', async () => {
    const typed = '각'.normalize('NFD').repeat(240);
    expect(Buffer.byteLength(typed)).toBe(2_160);

    expect((await post(typed)).cheep!.message).toBe('각'.repeat(240));
  });

  it.each(Object.entries(NOT_TEXT))('is refused when it is no text: %s', async (_, message) => {
    expect(await post(message)).toMatchObject({ ...refusedWith('INVALID', 'message'), cheep: null });
  });

  it.each(Object.entries(BLANK))('is refused when there is nothing to see: %s', async (_, message) => {
    expect(await post(message)).toMatchObject({ ...refusedWith('TOO_SHORT', 'message'), cheep: null });
  });

  it('of one cheep is refused by the same rules when it is edited', async () => {
    const { cheep } = await post('0');
    expect(cheep!.message).toBe('0');

    expect(await edit(cheep!.id, 'a\ud83d')).toMatchObject(refusedWith('INVALID', 'message'));
    expect(await edit(cheep!.id, '\u200b')).toMatchObject(refusedWith('TOO_SHORT', 'message'));
    expect(await edit(cheep!.id, 'x'.repeat(261))).toMatchObject(refusedWith('TOO_LONG', 'message'));
    expect(await read(cheep!.id)).toMatchObject({ message: '0', version: 1 });
  });

  it.each([
    ['characters of two code units', '𝒳 👍🏽 '],
    ['a family', `${FAMILY} `],
    ['letters from right to left', 'שלום '],
    ['a bidi mark right before', 'שלום \u200f'],
    ['a letter of a script without spaces', 'の'],
    ['an emoji with a selector', '❤️'],
    ['an emoji right before', '👍'],
  ])('names an author in UTF-16 code units: after %s', async (_, before) => {
    const { cheep } = await post(`${before}@${username} 👍`);

    expect(cheep!.mentions).toEqual([{ start: before.length, end: before.length + 1 + username.length, author: { id: authorId } }]);
    const [{ start, end }] = cheep!.mentions as [Cheep['mentions'][number]];
    expect(cheep!.message.slice(start, end)).toBe(`@${username}`);
  });

  it('names an author where it stands once it is composed', async () => {
    const { cheep } = await post(`${E_NFD.repeat(5)} @${username}`);

    expect(cheep!.mentions).toMatchObject([{ start: 6, end: 7 + username.length }]);
  });

  it.each([
    ['a letter', `é@NAME`],
    ['a combining mark', `x\u0323@NAME`],
    ['a digit of another script', `٣@NAME`],
  ])('names nobody inside of a word: after %s', async (_, message) => {
    expect((await post(message.replace('NAME', username))).cheep!.mentions).toEqual([]);
  });

  it.each([
    'https://example.org/@NAME',
    'https://example.org/?q=a,@NAME',
    'x=@NAME',
    'a/@NAME',
    '#@NAME',
    '@@NAME',
    '@NAME@elsewhere',
    '@NAME.smith',
    '@NAME-smith',
    'joe+x@NAME.org',
  ])('names nobody inside of an address or a longer handle: %s', async (message) => {
    expect((await post(message.replace('NAME', username))).cheep!.mentions).toEqual([]);
  });

  it.each(['Hi @NAME.', '(@NAME)', '@NAME, you', '@NAME’s', '“@NAME”', '@NAME…', 'RT @NAME: x', '.@NAME', '你好@NAME，', '＠NAME'])(
    'names an author beside anything else: %s',
    async (text) => {
      const start = text.search(/[@＠]/);
      const { cheep } = await post(text.replace('NAME', username));
      expect(cheep!.mentions).toEqual([{ start, end: start + 1 + username.length, author: { id: authorId } }]);
    },
  );

  it('delivers links as ranges too, which no mention is in, when it is posted, edited and read', async () => {
    const message = `👍 @${username}: HTTPS://Example.org/@${username}_(é). javascript:alert(1) (http://bücher.example)`;
    const url = `HTTPS://Example.org/@${username}_(é)`;
    const links = [
      { start: message.indexOf(url), end: message.indexOf(url) + url.length, url: `https://example.org/@${username}_(%C3%A9)` },
      { start: message.length - 22, end: message.length - 1, url: 'http://xn--bcher-kva.example/' },
    ];
    const { cheep } = await post(message);
    expect(cheep).toMatchObject({ links, mentions: [{ start: 3, end: 4 + username.length }] });
    expect((await read(cheep!.id)).links).toEqual(links);

    expect((await edit(cheep!.id, 'none')).cheep!.links).toEqual([]);
    expect((await edit(cheep!.id, message)).cheep!.links).toEqual(links);
  });

  it('with a mention that an earlier release found in an address keeps it, and then has no link there', async () => {
    const { cheep } = await post(`https://example.org/@${username} https://example.org`);
    const shard = (await system.redis.keys(`*:cheep:${cheep!.id}`))[0]!;
    await system.redis.hset(shard, 'mentions', JSON.stringify([{ start: 20, end: 21 + username.length, authorId }]));

    const { mentions, links } = await read(cheep!.id);
    expect([mentions, links]).toMatchObject([[{ start: 20 }], [{ start: 22 + username.length }]]);
  });

  it('names nobody when a mark or a letter of any script goes on after the name', async () => {
    expect((await post(`@${username}é @${username}\u0323 @${username}ش`)).cheep!.mentions).toEqual([]);
  });
});

describe.each([
  ['name', 50, false],
  ['biography', 280, true],
  ['location', 100, false],
] as const)('%s', (field, most, hasLines) => {
  it.each(Object.entries(WRITTEN))('comes back as it was written: %s', async (_, text) => {
    expect(await update({ [field]: text })).toMatchObject({ status: 'COMMITTED', userErrors: [], author: { [field]: text } });
  });

  it('comes back composed (NFC), and is the same however it was composed', async () => {
    expect((await update({ [field]: `Zo${E_NFD}` })).author![field]).toBe(`Zo${E_NFC}`);
    const version = async () =>
      (await face.read<{ viewer: { version: number } }>('{ viewer { version } }', {}, accessToken)).viewer.version;
    const before = await version();
    expect((await update({ [field]: `Zo${E_NFC}` })).status).toBe('COMMITTED');
    expect((await update({ [field]: `Zo${E_NFD}` })).status).toBe('COMMITTED');
    expect(await version()).toBe(before);
  });

  it(`has ${most} characters at the most, as people count`, async () => {
    // (280 flags would be more than 2 KiB, and so would 100 families.)
    for (const character of ['x', E_NFD, '𝒳', ...(most <= 100 ? ['🇩🇰'] : []), ...(most <= 50 ? [FAMILY] : [])]) {
      expect((await update({ [field]: character.repeat(most) })).author![field]).toBe(character.repeat(most).normalize('NFC'));
      expect(await update({ [field]: character.repeat(most + 1) })).toMatchObject(refusedWith('TOO_LONG', field));
    }
  });

  it('has 2 KiB of UTF-8 at the most', async () => {
    const marks = (n: number) => 'q' + '\u0307'.repeat(n);
    expect((await update({ [field]: marks(1_023) })).author![field]).toBe(marks(1_023));
    expect(await update({ [field]: marks(1_024) })).toMatchObject(refusedWith('TOO_LONG', field));
  });

  it.each(Object.entries(NOT_TEXT))('is refused when it is no text: %s', async (_, text) => {
    expect(await update({ [field]: text })).toMatchObject(refusedWith('INVALID', field));
  });

  it.each(Object.entries(BLANK))('is refused when there is nothing to see: %s', async (_, text) => {
    expect(await update({ [field]: text })).toMatchObject(refusedWith('TOO_SHORT', field));
  });

  it(hasLines ? 'may have lines' : 'has one line', async () => {
    expect(await update({ [field]: 'one\ntwo' })).toMatchObject(
      hasLines ? { status: 'COMMITTED', author: { [field]: 'one\ntwo' } } : refusedWith('INVALID', field),
    );
  });
});

it('a sign-up is measured by the same rules, all faults at once', async () => {
  const input = {
    username: 'zoe_1',
    email: 'zoe@example.org',
    password: PASSWORD,
    name: 'a\ud83d',
    biography: '\u200b',
    location: 'x'.repeat(101),
  };
  const { payload } = await face.read<{ payload: Payload }>(
    `mutation ($input: SignUpInput!) { payload: signUp(input: $input) { ${RECEIPT} } }`,
    { input },
    null,
  );

  expect(payload.status).toBe('REJECTED');
  expect(payload.userErrors).toHaveLength(3);
  expect(payload.userErrors).toEqual(
    expect.arrayContaining([
      { code: 'INVALID', field: ['name'] },
      { code: 'TOO_SHORT', field: ['biography'] },
      { code: 'TOO_LONG', field: ['location'] },
    ]),
  );
});

describe('who signed up', () => {
  const signUp = async (input: object) =>
    (
      await face.read<{ payload: Payload }>(
        `mutation ($input: SignUpInput!) { payload: signUp(input: $input) { ${RECEIPT} } }`,
        { input },
        null,
      )
    ).payload;
  const logIn = async (usernameOrEmail: string, password = PASSWORD) => {
    const { payload } = await face.read<{ payload: { author: { username: string } | null } }>(
      `mutation ($input: LogInInput!) { payload: logIn(input: $input) { author { username } } }`,
      { input: { usernameOrEmail, password } },
      null,
    );
    return payload.author?.username ?? null;
  };
  let n = 0;
  const name = () => `uni_${++n}_${username.slice(1, 7)}`;

  it.each([
    ['in capitals', 'NAME@Example.ORG', 'name@example.org'],
    ['composed or not', 'u\u0308NAME@bu\u0308cher.example', 'üname@BÜCHER.example'],
    ['as the domain is encoded', 'NAME@xn--bcher-kva.example', 'name@bücher.example'],
    ['with full-width letters in the domain', 'NAME@ｅxample．org', 'name@example.org'],
    ['with letters whose lower case is to be composed', 'İNAME@example.org', 'i\u0307name@example.org'],
  ])('logs in with the address as it was typed, and however else it is written: %s', async (_, typed, other) => {
    const own = name();
    expect(await signUp({ username: own, email: typed.replace('NAME', own), password: PASSWORD })).toMatchObject({ status: 'COMMITTED' });

    const forms = [typed.replace('NAME', own), other.replace('name', own)];
    for (const form of [...forms, ...forms.map((text) => text.normalize('NFD')), ...forms.map((text) => text.toUpperCase())]) {
      expect([form, await logIn(form)]).toEqual([form, own]);
    }
    const taken = await signUp({ username: name(), email: other.replace('name', own), password: PASSWORD });
    expect(taken).toMatchObject(refusedWith('EMAIL_TAKEN', 'email'));
  });

  it.each([
    'a\ud800@example.org',
    'a\u200bb@example.org',
    'a\u00adb@example.org',
    'ab@exam\ufeffple.org',
    '"a"@example.org',
    'a\u202eb@example.org',
  ])('cannot have had the address %j', async (email) => {
    expect(await signUp({ username: name(), email, password: PASSWORD })).toMatchObject(refusedWith('INVALID', 'email'));
    expect(
      await mutate(`mutation ($input: ChangeEmailInput!) { payload: changeEmail(input: $input) { ${RECEIPT} } }`, { email }),
    ).toMatchObject(refusedWith('INVALID', 'email'));
    expect(await logIn(email)).toBeNull();
  });

  it('by the rules of an earlier release logs in as before', async () => {
    for (const email of ['old\u200bone@example.org', 'old@xn--bcher-kva.example', '"o l d"@example.org']) {
      const own = name();
      await signUp({ username: own, email: `${own}@example.org`, password: PASSWORD });
      await system.sql('UPDATE authors SET email = ? WHERE username = ?', [email, own]);
      expect([await logIn(email), await logIn(email.toUpperCase()), await logIn(own)]).toEqual([own, own, own]);
    }
  });

  it('has a website as the URL parser writes it', async () => {
    const website = async (typed: string) => {
      const { author, ...receipt } = await mutate(
        `mutation ($input: UpdateProfileInput!) { payload: updateProfile(input: $input) { ${RECEIPT} author { website } } }`,
        { website: typed },
      );
      return { ...receipt, website: author?.website };
    };
    expect(await website('HTTPS://Bücher.example:443/a/../ü')).toMatchObject({ website: 'https://xn--bcher-kva.example/%C3%BC' });
    expect(await website('https://example.org')).toMatchObject({ website: 'https://example.org/' });
    for (const bad of [
      'https:example.org',
      'https:/example.org',
      'https://example.org/\0',
      'https://example.org/\u001b',
      'https://e\ud800.org',
      'https:\\\\example.org',
    ]) {
      expect(await website(bad)).toMatchObject(refusedWith('INVALID', 'website'));
    }
  });
});

describe('a retry that differs only by what the rules make the same', () => {
  it.each<[string, string, Record<string, string>, object]>([
    ['postCheep', 'PostCheepInput', { message: `caf${E_NFC}` }, { message: `caf${E_NFD}` }],
    [
      'updateProfile',
      'UpdateProfileInput',
      { name: E_NFD, website: 'https://example.org' },
      { name: E_NFC, website: 'HTTPS://EXAMPLE.org/' },
    ],
    ['changeEmail', 'ChangeEmailInput', { email: 'Some.Body@bu\u0308cher.example' }, { email: 'some.body@XN--BCHER-KVA.example' }],
  ])('is the same command: %s', async (mutation, type, first, again) => {
    const document = `mutation ($input: ${type}!) { payload: ${mutation}(input: $input) { ${RECEIPT} } }`;
    const commandId = newId();
    const answer = await mutate(document, { ...first, commandId });
    expect(answer).toMatchObject({ status: 'COMMITTED' });
    for (const input of [first, again]) {
      expect(await mutate(document, { ...input, commandId: commandId.toUpperCase() })).toEqual(answer);
    }
    const other = Object.fromEntries(Object.entries(first).map(([field, value]) => [field, field === 'email' ? `x${value}` : `${value}x`]));
    expect(await mutate(document, { ...other, commandId })).toMatchObject(refusedWith('COMMAND_ID_REUSED', 'commandId'));
  });

  it('is the same command: ids in capitals, of a reply, a follow, a like and an edit', async () => {
    const { cheep } = await post('parent');
    const other = await system.author();
    const inputs: [string, string, Record<string, string>][] = [
      ['postCheep', 'PostCheepInput', { message: 'x', inReplyTo: cheep!.id, cheepId: newId() }],
      ['followAuthor', 'FollowAuthorInput', { authorId: other.id }],
      ['unfollowAuthor', 'UnfollowAuthorInput', { authorId: other.id }],
      ['likeCheep', 'LikeCheepInput', { cheepId: cheep!.id }],
      ['unlikeCheep', 'UnlikeCheepInput', { cheepId: cheep!.id }],
      ['editCheep', 'EditCheepInput', { cheepId: cheep!.id, message: 'y' }],
      ['deleteCheep', 'DeleteCheepInput', { cheepId: cheep!.id }],
    ];
    for (const [mutation, type, input] of inputs) {
      const document = `mutation ($input: ${type}!) { payload: ${mutation}(input: $input) { ${RECEIPT} } }`;
      const commandId = newId();
      const answer = await mutate(document, { ...input, commandId });
      expect(answer).toMatchObject({ status: 'COMMITTED' });
      const loud = Object.fromEntries(
        Object.entries(input).map(([field, value]) => [field, field === 'message' ? value : value.toUpperCase()]),
      );
      expect(await mutate(document, { ...loud, commandId })).toEqual(answer);
    }
  });

  it('is the same command: a sign-up, its password too', async () => {
    const document = `mutation ($input: SignUpInput!) { payload: signUp(input: $input) { ${RECEIPT} session { accessToken } } }`;
    const sign = async (input: object) =>
      (await face.read<{ payload: Payload & { session: object | null } }>(document, { input }, null)).payload;
    const [commandId, authorId, own] = [newId(), newId(), `retry_${username.slice(1, 7)}`];
    const first = {
      commandId,
      authorId,
      username: own,
      email: `${own}@example.org`,
      password: `Z${E_NFC}rich is nice`,
      website: 'https://example.org',
    };
    const { session, ...answer } = await sign(first);
    expect([answer.status, session]).toEqual(['COMMITTED', expect.anything()]);

    const again = {
      authorId: authorId.toUpperCase(),
      email: first.email.toUpperCase(),
      password: first.password.normalize('NFD'),
      website: 'https://EXAMPLE.org/',
    };
    expect(await sign({ ...first, ...again })).toEqual({ ...answer, session: expect.anything() });
    expect(await sign({ ...first, password: 'another password' })).toMatchObject({
      ...refusedWith('COMMAND_ID_REUSED', 'commandId'),
      session: null,
    });
  });
});
