/** What authors can change about themselves, who sees it, and how they are found. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  AuthorByUsernameDocument,
  AuthorDocument,
  AuthorProfileDocument,
  ChangeEmailDocument,
  ChangeUsernameDocument,
  CommandDocument,
  LogInDocument,
  PostCheepDocument,
  SearchAuthorsDocument,
  UpdateProfileDocument,
  type UpdateProfileInput,
} from '../client/operations.js';
import { newId } from '../shared/ids.js';
import type { CheeperClient } from '../client/client.js';
import { PASSWORD, startSystem, type System } from './system.js';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

type Somebody = Awaited<ReturnType<System['author']>>;
const word = () => `u${randomBytes(6).toString('hex')}`;
const updateProfile = async ({ client }: Somebody, input: UpdateProfileInput) =>
  (await client.request(UpdateProfileDocument, { input })).updateProfile;
const rename = async ({ client }: Somebody, username: string, commandId?: string) =>
  (await client.request(ChangeUsernameDocument, { input: { username, commandId } })).changeUsername;
const changeEmail = async ({ client }: Somebody, email: string) =>
  (await client.request(ChangeEmailDocument, { input: { email } })).changeEmail;
const byUsername = async (client: CheeperClient, username: string) =>
  (await client.request(AuthorByUsernameDocument, { username })).authorByUsername;
const logIn = async (usernameOrEmail: string) =>
  (await system.client().request(LogInDocument, { input: { usernameOrEmail, password: PASSWORD } })).logIn;
const effectsOf = async (commandId: string) => {
  const rows = await system.sql<{ type: string }>('SELECT type FROM journal WHERE body LIKE ? ORDER BY position', [
    `%"commandId":"${commandId}"%`,
  ]);
  return rows.map(({ type }) => type);
};
const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
const today = new Date().toISOString().slice(0, 10);

describe('updateProfile', () => {
  it.each<[string, string, string]>([
    ['name', '', 'TOO_SHORT'],
    ['name', ' \u200b', 'TOO_SHORT'],
    ['name', 'x'.repeat(51), 'TOO_LONG'],
    ['name', 'a\nb', 'INVALID'],
    ['location', 'x'.repeat(101), 'TOO_LONG'],
    ['location', 'a\u0007b', 'INVALID'],
    ['biography', 'x'.repeat(281), 'TOO_LONG'],
    ['biography', 'a\tb', 'INVALID'],
    ['website', 'example.org', 'INVALID'],
    ['website', 'javascript:alert(1)', 'INVALID'],
    ['website', `https://example.org/${'x'.repeat(240)}`, 'TOO_LONG'],
    ['birthDate', tomorrow, 'INVALID'],
    ['birthDate', today, 'INVALID'],
  ])('refuses %s %j at the door', async (field, value, code) => {
    const somebody = await system.author();
    const { commandId, status, userErrors, author } = await updateProfile(somebody, { [field]: value });
    expect({ commandId, status, author }).toEqual({ commandId: null, status: 'REJECTED', author: null });
    expect(userErrors).toMatchObject([{ code, field: [field] }]);
  });

  it('tells all faults at once, and leaves the commandId free', async () => {
    const somebody = await system.author();
    const commandId = newId();
    const wrong = await updateProfile(somebody, { name: '', website: 'no', birthDate: tomorrow, commandId });
    expect(wrong.userErrors.map(({ field }) => field![0]).toSorted()).toEqual(['birthDate', 'name', 'website']);
    expect((await updateProfile(somebody, { name: 'Somebody', commandId })).status).toBe('COMMITTED');
  });

  it('takes no date that is none', async () => {
    const { client } = await system.author();
    const { errors } = await client.ask(UpdateProfileDocument, { input: { birthDate: '2001-02-30' } });
    expect(errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' } }]);
  });

  it('changes what is named, clears what is null, and leaves the rest', async () => {
    const somebody = await system.author();
    const all = {
      name: 'Some Body',
      biography: 'Hello\nyou',
      location: 'Here',
      website: 'https://example.org/me',
      birthDate: '1999-12-31',
    };
    const first = await updateProfile(somebody, all);
    expect(first).toMatchObject({ status: 'COMMITTED', userErrors: [], author: { ...all, version: 2, username: somebody.username } });

    const second = await updateProfile(somebody, { name: null, location: 'There', birthDate: null });
    expect(second.author).toMatchObject({ ...all, name: null, location: 'There', birthDate: null, version: 3 });
    // Others see the same.
    const seen = await system
      .client({ consistencyToken: somebody.client.consistencyToken })
      .request(AuthorProfileDocument, { id: somebody.id });
    expect(seen.author).toEqual({ ...second.author, email: null });
  });

  it('of what is so already has no effect, and of nothing is NOTHING_TO_CHANGE', async () => {
    const somebody = await system.author();
    await updateProfile(somebody, { name: 'Same' });
    const [again, cleared, nothing] = [newId(), newId(), newId()];
    expect(await updateProfile(somebody, { name: 'Same', commandId: again })).toMatchObject({
      status: 'COMMITTED',
      author: { version: 2 },
    });
    expect((await updateProfile(somebody, { location: null, commandId: cleared })).status).toBe('COMMITTED');
    for (const commandId of [again, cleared]) expect(await effectsOf(commandId)).toEqual(['CommandHadNoEffect']);

    const refused = await updateProfile(somebody, { commandId: nothing });
    expect(refused).toMatchObject({ status: 'REJECTED', author: null, userErrors: [{ code: 'NOTHING_TO_CHANGE', field: null }] });
    expect((await somebody.client.request(CommandDocument, { id: nothing })).command).toMatchObject({
      name: 'UpdateProfile',
      status: 'REJECTED',
    });
  });

  it('tells a retry from another wish: null is not absent', async () => {
    const somebody = await system.author();
    const commandId = newId();
    await updateProfile(somebody, { name: 'Somebody', location: null, commandId });
    expect((await updateProfile(somebody, { name: 'Somebody', location: null, commandId })).status).toBe('COMMITTED');
    expect((await updateProfile(somebody, { name: 'Somebody', commandId })).userErrors).toMatchObject([{ code: 'COMMAND_ID_REUSED' }]);
    expect(await effectsOf(commandId)).toEqual(['AuthorProfileUpdated']);
  });
});

describe('nobody who is signed in', () => {
  it('changes nothing', async () => {
    const client = system.client();
    const answers = [
      await client.ask(UpdateProfileDocument, { input: { name: 'X' } }),
      await client.ask(ChangeUsernameDocument, { input: { username: word() } }),
      await client.ask(ChangeEmailDocument, { input: { email: 'x@example.org' } }),
    ];
    for (const { errors } of answers) expect(errors).toMatchObject([{ extensions: { code: 'UNAUTHENTICATED' } }]);
  });
});

describe('changeUsername', () => {
  it.each([
    ['ab', 'TOO_SHORT'],
    ['x'.repeat(31), 'TOO_LONG'],
    ['with-hyphen', 'INVALID'],
    ['ümlaut', 'INVALID'],
  ])('refuses %s at the door', async (username, code) => {
    const { commandId, userErrors } = await rename(await system.author(), username);
    expect(commandId).toBeNull();
    expect(userErrors).toMatchObject([{ code, field: ['username'] }]);
  });

  it('takes everything along, lets the author in by the new name alone, and leaves the old one to anybody at once', async () => {
    const somebody = await system.author();
    const { postCheep } = await somebody.client.request(PostCheepDocument, { input: { message: 'Hello' } });
    expect(postCheep.cheep!.author.username).toBe(somebody.username);
    const username = `New_${word()}`;
    expect(await rename(somebody, username)).toMatchObject({ status: 'COMMITTED', author: { id: somebody.id, username, version: 2 } });

    for (const name of [username, username.toUpperCase(), username.toLowerCase()]) {
      expect(await byUsername(somebody.client, name)).toMatchObject({ id: somebody.id, username, cheepsCount: 1 });
    }
    expect(await byUsername(somebody.client, somebody.username)).toBeNull();
    expect((await logIn(username)).author!.id).toBe(somebody.id);
    expect((await logIn(somebody.username)).userErrors).toMatchObject([{ code: 'WRONG_CREDENTIALS' }]);

    const heir = await system.author();
    expect((await rename(heir, somebody.username.toUpperCase())).status).toBe('COMMITTED');
    expect((await byUsername(heir.client, somebody.username))!.id).toBe(heir.id);
  });

  it('to the same name in another case is a change, and one finds it as before', async () => {
    const somebody = await system.author();
    const username = somebody.username.toUpperCase();
    expect((await rename(somebody, username)).author).toMatchObject({ username, version: 2 });
    expect(await byUsername(somebody.client, somebody.username)).toMatchObject({ id: somebody.id, username });
    expect((await somebody.client.request(SearchAuthorsDocument, { prefix: username })).searchAuthors).toMatchObject({
      totalCount: 1,
      nodes: [{ id: somebody.id }],
    });
  });

  it('to the name that one has has no effect; to somebody else’s, in any case, is refused', async () => {
    const [somebody, other] = [await system.author(), await system.author()];
    const commandId = newId();
    expect((await rename(somebody, somebody.username, commandId)).status).toBe('COMMITTED');
    expect(await effectsOf(commandId)).toEqual(['CommandHadNoEffect']);
    const refused = await rename(somebody, other.username.toUpperCase());
    expect(refused).toMatchObject({ status: 'REJECTED', author: null, userErrors: [{ code: 'USERNAME_TAKEN', field: ['username'] }] });
  });

  it('by many at once, in circles, leaves each name with one author, who is found by it alone', async () => {
    const authors = await Promise.all(Array.from({ length: 6 }, () => system.author()));
    const names = authors.map(({ username }) => username);
    const spare = word();
    // Everybody wants everybody's name, and one is free: some are lucky.
    await rename(authors[0]!, spare);
    for (let round = 1; round <= 4; round++) {
      await Promise.all(authors.map((author, i) => rename(author, names[(i + round) % names.length]!)));
    }
    const client = system.client({ consistencyToken: authors.map((author) => author.client.consistencyToken).join(',') });
    const owners = await system.sql<{ id: string; username: string; version: number }>(
      'SELECT id, username, version FROM authors WHERE id IN (?)',
      [authors.map(({ id }) => id)],
    );
    expect(owners.some(({ version }) => version > 2)).toBe(true);
    for (const { id, username, version } of owners) {
      expect(await byUsername(client, username)).toMatchObject({ id, username, version });
      expect((await client.request(SearchAuthorsDocument, { prefix: username })).searchAuthors.nodes).toEqual([{ id }]);
    }
    for (const name of [...names, spare]) {
      const owner = owners.find(({ username }) => username === name);
      expect((await byUsername(client, name))?.id).toBe(owner?.id);
      expect((await client.request(SearchAuthorsDocument, { prefix: name })).searchAuthors.totalCount).toBe(owner ? 1 : 0);
    }
  });
});

describe('changeEmail', () => {
  it.each([
    ['nobody', 'INVALID'],
    ['a b@example.org', 'INVALID'],
    [`${'x'.repeat(250)}@example.org`, 'TOO_LONG'],
  ])('refuses %s at the door', async (email, code) => {
    const { commandId, userErrors } = await changeEmail(await system.author(), email);
    expect(commandId).toBeNull();
    expect(userErrors).toMatchObject([{ code, field: ['email'] }]);
  });

  it('lets the author in by the new address alone, in lower case, and shows it to nobody else', async () => {
    const somebody = await system.author();
    const email = `New.${word()}@Example.org`;
    expect(await changeEmail(somebody, email)).toMatchObject({
      status: 'COMMITTED',
      author: { email: email.toLowerCase(), username: somebody.username, version: 2 },
    });
    expect((await logIn(email.toUpperCase())).author!.id).toBe(somebody.id);
    expect((await logIn(`${somebody.username}@example.org`)).userErrors).toMatchObject([{ code: 'WRONG_CREDENTIALS' }]);

    const other = await system.author();
    other.client.consistencyToken = somebody.client.consistencyToken;
    for (const client of [other.client, system.client({ consistencyToken: somebody.client.consistencyToken })]) {
      expect((await client.request(AuthorProfileDocument, { id: somebody.id })).author).toMatchObject({ version: 2, email: null });
    }
  });

  it('to somebody else’s address, in any case, is refused; to one’s own it has no effect; what was left is free', async () => {
    const [somebody, other] = [await system.author(), await system.author()];
    const old = `${somebody.username}@example.org`;
    expect((await changeEmail(other, old.toUpperCase())).userErrors).toMatchObject([{ code: 'EMAIL_TAKEN', field: ['email'] }]);
    expect((await changeEmail(somebody, old.toUpperCase())).author).toMatchObject({ version: 1 });
    await changeEmail(somebody, `${word()}@example.org`);
    expect((await changeEmail(other, old)).author).toMatchObject({ email: old, version: 2 });
  });
});

describe('author(minVersion)', () => {
  it('knows every change of the author as a version', async () => {
    const somebody = await system.author();
    await updateProfile(somebody, { name: 'Once' });
    await rename(somebody, word());
    await changeEmail(somebody, `${word()}@example.org`);
    const { author } = await system.client().request(AuthorDocument, { id: somebody.id, minVersion: 4 });
    expect(author!.version).toBe(4);
  });
});

describe('searchAuthors', () => {
  // Bytes: digits, then the underscore, then letters.
  const NAMES = ['zq0', 'ZQ_', 'zq_9', 'zqA', 'zqab', 'Zqb'];
  const ordered = ['zq0', 'zq_', 'zq_9', 'zqa', 'zqab', 'zqb'];
  let client: CheeperClient;
  const search = async (prefix: string, first?: number, after?: string | null) =>
    (await client.request(SearchAuthorsDocument, { prefix, first, after })).searchAuthors;
  const namesOf = (page: Awaited<ReturnType<typeof search>>) => page.edges.map(({ node }) => node.username.toLowerCase());
  /** All pages of a size, one after another. */
  async function all(prefix: string, size: number, between: () => Promise<unknown> = () => Promise.resolve()) {
    const names: string[] = [];
    for (let after: string | null = null; ;) {
      const page = await search(prefix, size, after);
      expect(page.pageInfo.hasPreviousPage).toBe(after !== null && page.edges.length > 0);
      names.push(...namesOf(page));
      if (!page.pageInfo.hasNextPage) return names;
      after = page.pageInfo.endCursor!;
      await between();
    }
  }
  beforeAll(async () => {
    client = system.client();
    // Not in the order in which they are found.
    for (const name of NAMES.toReversed()) client.consistencyToken = (await system.author(name)).client.consistencyToken;
  });

  it('finds by the beginning of the name, in any case, in alphabetical order of lower case', async () => {
    for (const prefix of ['zq', 'ZQ', 'Zq']) {
      const page = await search(prefix);
      expect(namesOf(page)).toEqual(ordered);
      expect(page).toMatchObject({ totalCount: 6, pageInfo: { hasNextPage: false, hasPreviousPage: false } });
      expect(page.nodes).toEqual(page.edges.map(({ node }) => ({ id: node.id })));
      expect(page.pageInfo).toMatchObject({ startCursor: page.edges[0]!.cursor, endCursor: page.edges.at(-1)!.cursor });
    }
    expect(namesOf(await search('ZQ_'))).toEqual(['zq_', 'zq_9']);
    expect(namesOf(await search('zqa'))).toEqual(['zqa', 'zqab']);
  });

  it.each([1, 2, 5, 6, 100])('comes in pages of %d without a gap or a double', async (size) => {
    expect(await all('zq', size)).toEqual(ordered);
  });

  it('with nothing to begin with lists everybody, in the same order', async () => {
    const rows = await system.sql<{ username: string }>('SELECT LOWER(username) AS username FROM authors');
    const everybody = rows.map(({ username }) => username).toSorted((a, b) => (a < b ? -1 : 1));
    expect(everybody.length).toBeGreaterThan(20);
    expect(await all('', 7)).toEqual(everybody);
    expect((await search('', 1)).totalCount).toBe(everybody.length);
  });

  it.each(['zq-', 'zq ', 'é', '*', '[', 'K', 'zq\u0000', 'x'.repeat(31), 'zqnobody'])('finds nobody by %j', async (prefix) => {
    expect(await search(prefix)).toEqual({
      totalCount: 0,
      edges: [],
      nodes: [],
      pageInfo: { hasNextPage: false, hasPreviousPage: false, startCursor: null, endCursor: null },
    });
  });

  it('refuses a page of no size, and a cursor that is none, whatever is looked for', async () => {
    for (const variables of [
      { prefix: 'zq', first: 0 },
      { prefix: 'zq', first: 101 },
      { prefix: '-', first: -1 },
      { prefix: 'zq', after: 'x' },
      { prefix: '-', after: Buffer.from('{"at":1}').toString('base64url') },
    ]) {
      const { errors } = await client.ask(SearchAuthorsDocument, variables);
      expect(errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' } }]);
    }
  });

  it('goes on where it was while names change: who stays comes once', async () => {
    const stays = ['zz_a', 'zz_c', 'zz_e', 'zz_g'];
    for (const name of stays) await system.author(name);
    const restless = await system.author('zz_b');
    client.consistencyToken = restless.client.consistencyToken;
    const places = ['zz_f', 'zz_a0', 'zz_h', 'zz_d', 'zz_b'];
    const seen = await all('zz_', 1, async () => {
      await rename(restless, places.shift() ?? 'zz_b');
      client.consistencyToken = restless.client.consistencyToken;
    });
    expect(seen.filter((name) => stays.includes(name))).toEqual(stays);
    expect(seen).toEqual(seen.toSorted());
  });
});
