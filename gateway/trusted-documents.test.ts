/** Which text a request has, from manifests in every form that tools write, and which requests are not executed for it. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { GraphQLError } from 'graphql';
import { createLog, type Logger } from '../shared/log.js';
import { Operations } from './operations.js';
import { createSchema } from './schema.js';
import { MAX_DOCUMENTS, MAX_MANIFESTS, TrustedDocuments, type Asked, type TrustedDocumentsMode } from './trusted-documents.js';

const VIEWER = 'query Viewer { viewer { id } }';
const AUTHOR = 'query Author($id: ID!) { author(id: $id) { id } }';
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const hash = sha256(VIEWER);
const apq = (sha256Hash: unknown, version: unknown = 1) => ({ extensions: { persistedQuery: { version, sha256Hash } } });

const operations = new Operations(createSchema());
let folder: string;
let logged: { level: string; fields: Record<string, unknown>; message: string }[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cheeper-manifests-'));
  logged = [];
});
afterEach(() => {
  jest.useRealTimers();
  rmSync(folder, { recursive: true, force: true });
});

const log = () => {
  const at = (level: string) => (fields: Record<string, unknown>, message: string) => void logged.push({ level, fields, message });

  return Object.assign(createLog('gateway', 'silent'), { info: at('info'), warn: at('warn'), error: at('error') }) as Logger;
};
const write = (file: string, content: unknown) =>
  writeFileSync(join(folder, file), typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content));
const read = (mode: TrustedDocumentsMode = 'enforce') =>
  TrustedDocuments.read(folder, (text) => operations.faultsOf(text), { mode, log: log() });
const withManifest = (mode: TrustedDocumentsMode, texts: Record<string, string> = { [`sha256:${hash}`]: VIEWER }) => {
  write('app.json', texts);

  return read(mode);
};
/** The text that is executed, or the code of what is said in its place. */
const outcome = (documents: TrustedDocuments, asked: Asked) => {
  const resolved = documents.resolve(asked);

  return resolved instanceof GraphQLError ? resolved.extensions.code : resolved.query;
};

describe('a manifest', () => {
  it.each([
    ['of the client preset', { [`sha256:${hash}`]: VIEWER }, `sha256:${hash}`],
    [
      'of the client preset, with SHA-1',
      { '29d9aa3e4dd2d4a7cf9ea1b94cbed2d1ecb4ca7a': VIEWER },
      '29d9aa3e4dd2d4a7cf9ea1b94cbed2d1ecb4ca7a',
    ],
    ['of Relay’s compiler', { '0123456789abcdef0123456789abcdef': VIEWER }, '0123456789abcdef0123456789abcdef'],
    [
      'of Apollo’s tools',
      {
        format: 'apollo-persisted-query-manifest',
        version: 1,
        operations: [{ id: 'Viewer-1', name: 'Viewer', type: 'query', body: VIEWER }],
      },
      'Viewer-1',
    ],
    ['with ids of its own', { 'x-app:viewer': VIEWER }, 'x-app:viewer'],
    ['with an id that objects have', JSON.stringify({ constructor: VIEWER }), 'constructor'],
    ['with an id that objects are made by', `{"__proto__": ${JSON.stringify(VIEWER)}}`, '__proto__'],
    ['that begins with a byte order mark', `\uFEFF${JSON.stringify({ viewer: VIEWER })}`, 'viewer'],
  ])('%s names texts by its ids, and by their SHA-256', async (_, manifest, id) => {
    write('app.json', manifest);
    const documents = await read();
    for (const documentId of [id, `sha256:${hash}`, hash]) {
      expect(documents.resolve({ documentId, variables: { a: 1 } } as Asked)).toEqual({ query: VIEWER, variables: { a: 1 } });
      expect(documents.resolve(apq(documentId))).toEqual({ query: VIEWER });
    }
  });

  it('of each version of an application counts, in as many files as there are', async () => {
    write('web-1.json', { one: VIEWER });
    write('web-2.json', { one: VIEWER, two: AUTHOR });
    write('notes.txt', 'no manifest');
    const documents = await read();
    expect([outcome(documents, { documentId: 'one' }), outcome(documents, { documentId: 'two' })]).toEqual([VIEWER, AUTHOR]);
    expect(logged).toMatchObject([{ level: 'info', fields: { manifests: ['web-1.json', 'web-2.json'], documents: 2, invalid: 0 } }]);
  });

  it('may have documents that are not valid any more: they are logged, and whoever asks for them hears why', async () => {
    const old = 'query Old { viewer { shoeSize } }';
    write('app.json', { old, viewer: VIEWER });
    const documents = await read();
    expect(logged[0]).toMatchObject({ level: 'error', fields: { manifest: 'app.json', count: 1 } });
    expect(JSON.stringify(logged[0]!.fields)).toContain('shoeSize');
    expect(outcome(documents, { documentId: 'old' })).toBe(old);
    expect(operations.check({ query: old }, { network: '192.0.2.1', isLoopback: false })).toMatchObject([
      { extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } },
    ]);
  });

  it.each([
    ['that is no JSON', 'app.json', '{', 'app.json is no manifest'],
    ['that is no UTF-8', 'app.json', Buffer.from([0x7b, 0xff, 0x7d]), 'app.json is no manifest'],
    ['that is a list', 'app.json', [VIEWER], 'app.json is no manifest'],
    ['that is null', 'app.json', null, 'app.json is no manifest'],
    ['with something else than texts', 'app.json', { a: { b: VIEWER } }, 'app.json is no manifest'],
    [
      'of Apollo’s, in another version',
      'app.json',
      { format: 'apollo-persisted-query-manifest', version: 2, operations: [] },
      'is no manifest',
    ],
    [
      'of Apollo’s, without texts',
      'a.json',
      { format: 'apollo-persisted-query-manifest', version: 1, operations: [{ id: 'a' }] },
      'is no manifest',
    ],
    ['whose text was changed', 'app.json', { [`sha256:${hash}`]: AUTHOR }, `sha256:${hash} is not the SHA-256 of its text`],
    ['whose text was changed, without the prefix', 'app.json', { [hash]: AUTHOR }, `${hash} is not the SHA-256 of its text`],
    ['with an id that is too long', 'app.json', { ['a'.repeat(257)]: VIEWER }, 'an id has 1 to 256 characters'],
    ['without any document', 'app.json', {}, 'there is no document in it'],
  ])('%s stops the start, with the reason', async (_, file, content, fault) => {
    write(file, content);
    await expect(read()).rejects.toThrow(fault);
    await expect(read()).rejects.toThrow(/^TRUSTED_DOCUMENTS_FOLDER is .*$/);
  });

  it('that gives a text to an id which names another one stops the start, with both files', async () => {
    write('web-1.json', { a: VIEWER });
    write('web-2.json', { a: AUTHOR });
    await expect(read('off')).rejects.toThrow('web-2.json: a names another text in web-1.json');
  });

  it('that is not there, or is one of too many, or has too many documents, stops the start', async () => {
    const { [0]: at, [1]: faultsOf, [2]: options } = [join(folder, 'none'), () => [], { mode: 'log', log: log() }] as const;
    await expect(TrustedDocuments.read(at, faultsOf, options)).rejects.toThrow('it cannot be read (ENOENT)');
    await expect(TrustedDocuments.read(undefined, faultsOf, options)).rejects.toThrow('TRUSTED_DOCUMENTS_FOLDER must name the manifests');
    write('many.json', Object.fromEntries(Array.from({ length: MAX_DOCUMENTS + 1 }, (_, i) => [`id${i}`, `{ a${i} }`])));
    await expect(TrustedDocuments.read(folder, faultsOf, options)).rejects.toThrow('more than 10000 documents');
    write('many.json', { a: 'a'.repeat(16 * 1024 * 1024) });
    await expect(TrustedDocuments.read(folder, faultsOf, options)).rejects.toThrow('more than 16777216 bytes');
    for (let i = 0; i < MAX_MANIFESTS; i++) write(`${i}.json`, {});
    await expect(TrustedDocuments.read(folder, faultsOf, options)).rejects.toThrow('more than 200 manifests');
  });
});

describe('a request', () => {
  const MODES = ['off', 'log', 'enforce'] as const;
  const UNKNOWN = sha256(AUTHOR);

  it.each(MODES)('(%s) for an unknown id is answered so, by which clients know that they are to send the text', async (mode) => {
    const documents = await withManifest(mode);
    const asked = [
      { documentId: 'a' },
      { documentId: `sha256:${UNKNOWN}` },
      apq(UNKNOWN),
      { documentId: '__proto__' },
      { documentId: 'toString' },
    ];
    for (const one of [...asked, { documentId: hash.toUpperCase() }, { documentId: 'a'.repeat(200_000) }, { query: '', ...apq(UNKNOWN) }]) {
      const refused = documents.resolve(one) as GraphQLError;
      expect(refused.toJSON()).toEqual({ message: 'PersistedQueryNotFound', extensions: { code: 'PERSISTED_QUERY_NOT_FOUND' } });
    }
    expect(documents.counts).toEqual({ unknownIds: 8, untrusted: 0 });
  });

  it('with a text that is in no manifest is executed, logged or refused', async () => {
    const outcomes = [];
    for (const mode of MODES) {
      const documents = await withManifest(mode);
      outcomes.push([
        outcome(documents, { query: AUTHOR }),
        documents.counts.untrusted,
        logged.filter(({ level }) => level === 'warn').length,
      ]);
      expect(outcome(documents, { query: VIEWER })).toBe(VIEWER);
    }
    expect(outcomes).toEqual([
      [AUTHOR, 0, 0],
      [AUTHOR, 1, 1],
      ['DOCUMENT_NOT_TRUSTED', 1, 2],
    ]);
  });

  it.each([
    ['spaces', `${VIEWER} `],
    ['a comment', `${VIEWER}#`],
    ['another operation', `${VIEWER} query Other { viewer { email } }`],
    ['nothing but what introspection needs', '{ __schema { types { name } } }'],
    ['nothing', '{ __typename }'],
  ])('with a text that is a trusted one but for %s is refused', async (_, query) => {
    const documents = await withManifest('enforce');
    for (const ids of [{}, { documentId: 'unknown' }, apq(sha256(query)), { documentId: `sha256:${sha256(query)}` }])
      expect(outcome(documents, { query, ...ids })).toBe('DOCUMENT_NOT_TRUSTED');
    // Nothing was kept of it.
    expect(outcome(documents, apq(sha256(query)))).toBe('PERSISTED_QUERY_NOT_FOUND');
  });

  it.each(MODES)('(%s) whose id is not that of the text that comes with it is refused', async (mode) => {
    const documents = await withManifest(mode, { viewer: VIEWER, author: AUTHOR });
    const wrong: Asked[] = [
      { query: AUTHOR, documentId: 'viewer' },
      { query: AUTHOR, documentId: `sha256:${hash}` },
      { query: AUTHOR, ...apq(hash) },
      { query: VIEWER, ...apq('f'.repeat(64)) },
      { query: VIEWER, documentId: `sha256:${'f'.repeat(64)}` },
      { documentId: 'viewer', ...apq(sha256(AUTHOR)) },
      { query: VIEWER, documentId: 'viewer', ...apq(sha256(AUTHOR)) },
    ];
    expect(wrong.map((asked) => outcome(documents, asked))).toEqual(wrong.map(() => 'BAD_REQUEST'));
    const right: Asked[] = [
      { query: VIEWER, documentId: 'viewer' },
      { query: VIEWER, documentId: `sha256:${hash}` },
      { query: VIEWER, ...apq(hash) },
      { query: VIEWER, ...apq('viewer') },
      // Of an id that means something to somebody else, nothing is known.
      { query: VIEWER, documentId: 'unknown' },
      { documentId: 'viewer', ...apq(hash) },
    ];
    expect(right.map((asked) => outcome(documents, asked))).toEqual(right.map(() => VIEWER));
  });

  it.each([
    ['a number', { documentId: 1 }],
    ['a list', { documentId: [hash, hash] }],
    ['an object', { documentId: { toString: 'a' } }],
    ['a hash of another version', apq(hash, 2)],
    ['a hash without a version', { extensions: { persistedQuery: { sha256Hash: hash } } }],
    ['a hash that is none', apq(1)],
    ['an empty hash', apq('')],
    ['something else than a hash', { extensions: { persistedQuery: 1 } }],
  ])('whose id is %s is refused, whatever text comes with it', async (_, asked) => {
    const documents = await withManifest('enforce');
    expect([outcome(documents, asked), outcome(documents, { ...asked, query: VIEWER })]).toEqual(['BAD_REQUEST', 'BAD_REQUEST']);
  });

  it('without an id is left as it is, and what is empty is none', async () => {
    const documents = await withManifest('off');
    for (const none of [
      {},
      { documentId: null },
      { documentId: '' },
      { extensions: null },
      { extensions: {} },
      { extensions: { persistedQuery: null } },
    ]) {
      const asked = { query: AUTHOR, ...none };
      expect(documents.resolve(asked)).toBe(asked);
    }
    for (const query of [1, ['a'], { kind: 'Document' }, true])
      expect(documents.resolve({ query, documentId: hash })).toMatchObject({ query });
    expect(documents.resolve({})).toEqual({});
  });

  it('keeps its other extensions', async () => {
    const documents = await withManifest('enforce');
    const extensions = { ...apq(hash).extensions, 'x-cheeper-consistency': 'token' };
    expect(documents.resolve({ extensions, operationName: 'Viewer' })).toEqual({
      query: VIEWER,
      operationName: 'Viewer',
      extensions: { 'x-cheeper-consistency': 'token' },
    });
  });
});

describe('what is in no manifest', () => {
  it('is logged once for each operation of a client, by name and hash and never by text, and counted each time', async () => {
    const documents = await withManifest('log');
    const query = 'mutation Change { signUp(input: {password: "secret"}) { status } }';
    for (let i = 0; i < 10; i++) for (const client of ['web', 'phone']) documents.resolve({ query }, client);
    documents.resolve({ query, operationName: 'Named' }, 'web');
    documents.resolve({ documentId: 'some-id' }, 'c'.repeat(10_000));
    expect(logged.slice(1).map(({ fields }) => fields)).toEqual([
      { operation: 'Change', sha256: sha256(query), client: 'web' },
      { operation: 'Change', sha256: sha256(query), client: 'phone' },
      { operation: 'Named', sha256: sha256(query), client: 'web' },
      { id: 'some-id', operation: undefined, client: 'c'.repeat(100) },
    ]);
    expect(JSON.stringify(logged)).not.toContain('secret');
    expect(documents.counts).toEqual({ unknownIds: 1, untrusted: 21 });
  });

  it('fills neither log nor memory, and is counted by the minute', async () => {
    jest.useFakeTimers();
    const documents = await withManifest('enforce');
    for (let i = 0; i < 5_000; i++) {
      documents.resolve({ query: `query Q${i} { viewer { id } }` });
      documents.resolve({ documentId: `id${i}` });
    }
    expect(logged).toHaveLength(1 + 20);
    jest.advanceTimersByTime(60_000);
    expect(logged.at(-1)).toMatchObject({ level: 'warn', fields: { unknownIds: 5_000, untrusted: 5_000 } });
    documents.resolve({ documentId: 'one more' });
    jest.advanceTimersByTime(60_000);
    expect(logged.at(-1)!.fields).toMatchObject({ unknownIds: 1, untrusted: 0, sinceStart: { unknownIds: 5_001, untrusted: 5_000 } });
    expect(logged).toHaveLength(1 + 20 + 1 + 1 + 1);
    // Nothing is said where nothing happens.
    jest.advanceTimersByTime(600_000);
    expect(logged).toHaveLength(24);
  });
});
