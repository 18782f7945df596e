/**
 * Trusted documents, by the clients that people have: Apollo Client, urql, Relay, graphql-ws and graphql-sse, each as it sends ids by itself,
 * and `cheeper-client` with its adapters. Manifests are those that GraphQL Code Generator and `cheeper-client/manifest` make.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from '@apollo/client';
import { BatchHttpLink } from '@apollo/client/link/batch-http';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { cacheExchange, createClient as createUrql, createRequest, fetchExchange, formatDocument } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { getIntrospectionQuery, parse, print, type DocumentNode } from 'graphql';
import { createClient as createSse } from 'graphql-sse';
import { createClient as createSocket } from 'graphql-ws';
import {
  commitMutation,
  Environment,
  fetchQuery,
  Network,
  RecordSource,
  requestSubscription,
  Store,
  type GraphQLTaggedNode,
} from 'relay-runtime';
import { pipe, subscribe } from 'wonka';
import { WebSocket } from 'ws';
import { cheeperLink } from '../client/apollo.js';
import type { CheeperClient } from '../client/client.js';
import { manifestOf } from '../client/manifest.js';
import { FollowAuthorReceiptDocument, LiveTimelineDocument, PostCheepReceiptDocument, ViewerDocument } from '../client/operations.js';
import { cheeperNetwork } from '../client/relay.js';
import { cheeperExchange } from '../client/urql.js';
import { newId } from '../shared/ids.js';
import { RawSocket } from './raw-socket.js';
import { compiled } from './relay-compiler.js';
import { eventually, freePort, ServiceProcess, SIGNING_KEY, startSystem, type System } from './system.js';

const ROOT = join(import.meta.dirname, '..');
/** What an application's files say, from which the client preset makes documents and the manifest. */
const VIEWER = 'query AppViewer { viewer { id username cheepsCount } }';
const OTHER_VIEWER = 'query AppViewerOfOldVersion { viewer { id } }';
const AUTHOR = 'query AppAuthor($id: ID!) { author(id: $id) { id username } }';
const POST = 'mutation AppPost($input: PostCheepInput!) { postCheep(input: $input) { status cheep { id message } } }';
const POST_TEXT = 'mutation AppPostText($message: String!) { postCheep(input: {message: $message}) { status cheep { id message } } }';
const LIVE =
  'subscription AppLive($authorId: ID, $after: String) { timeline(authorId: $authorId, after: $after) { __typename ... on CheepAdded { cheep { id message } } } }';
/** As one that is trusted, but for one field. */
const CHANGED = VIEWER.replace('cheepsCount', 'cheepsCount email');
const DOCUMENTS = [VIEWER, AUTHOR, POST, POST_TEXT, LIVE];

type Named = DocumentNode & { __meta__: { hash: string } };
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

let folder: string;
let manifests: string;
let system: System;
let enforcing: string;
let logging: string;
let logged: ServiceProcess;
/** Those of the application, as the client preset makes them: with the id of each in it. */
let named: Record<'AppViewer' | 'AppAuthor' | 'AppPost' | 'AppPostText' | 'AppLive', Named>;
/** Its manifest: texts by id. */
let manifest: Record<string, string>;
let author: Awaited<ReturnType<System['author']>>;
/** Who follows the author, and whose timeline is watched. */
let reader: typeof author;
const others: ServiceProcess[] = [];

async function generate(): Promise<void> {
  const at = join(folder, 'app/');
  mkdirSync(at);
  writeFileSync(join(at, 'documents.graphql'), DOCUMENTS.join('\n'));
  const config = {
    schema: join(ROOT, 'schema.graphql'),
    documents: join(at, 'documents.graphql'),
    generates: { [join(at, 'gql/')]: { preset: 'client', presetConfig: { persistedDocuments: true, fragmentMasking: false } } },
  };
  writeFileSync(join(at, 'codegen.json'), JSON.stringify(config));
  const cli = join(ROOT, 'node_modules/@graphql-codegen/cli/esm/bin.js');
  const child = spawn(process.execPath, [cli, '--config', join(at, 'codegen.json')], {
    cwd: ROOT,
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said += data));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(said);
  manifest = JSON.parse(readFileSync(join(at, 'gql/persisted-documents.json'), 'utf8')) as Record<string, string>;
  const module = readFileSync(join(at, 'gql/graphql.ts'), 'utf8');
  const found = [...module.matchAll(/^export const (\w+)Document = (\{.*\}) as unknown as/gm)];
  named = Object.fromEntries(found.map(([, name, json]) => [name!, JSON.parse(json!) as Named])) as typeof named;
}

/** Another gateway of the system. */
async function startGateway(env: NodeJS.ProcessEnv): Promise<ServiceProcess> {
  const port = await freePort();
  const all = { ...process.env, NODE_OPTIONS: '', ...system.env, SIGNING_KEY, PORT: String(port), HOST: '127.0.0.1', ...env };
  const gateway = new ServiceProcess('gateway', port, all, join(folder, `gateway-${port}.log`));
  others.push(gateway);
  gateway.start();
  await gateway.ready();

  return gateway;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cheeper-trusted-'));
  manifests = join(folder, 'manifests');
  mkdirSync(manifests);
  const [started] = await Promise.all([startSystem(), generate()]);
  system = started;
  writeFileSync(join(manifests, 'app-2.json'), JSON.stringify(manifest));
  // The version before, whose tool was Apollo's.
  const operations = [{ id: 'viewer-of-old-version', name: 'AppViewerOfOldVersion', type: 'query', body: OTHER_VIEWER }];
  writeFileSync(join(manifests, 'app-1.json'), JSON.stringify({ format: 'apollo-persisted-query-manifest', version: 1, operations }));
  // Another application, which uses cheeper-client: by itself, under Apollo Client, under urql, and under Relay.
  const texts = [...DOCUMENTS, ...DOCUMENTS.map(apolloText), ...DOCUMENTS.map(urqlText)];
  writeFileSync(join(manifests, 'web.json'), JSON.stringify(await manifestOf(texts)));
  writeFileSync(join(manifests, 'client.json'), readFileSync(join(ROOT, 'client/persisted-documents.json')));
  const env = { TRUSTED_DOCUMENTS_FOLDER: manifests };
  logged = await startGateway({ ...env, TRUSTED_DOCUMENTS: 'log' });
  logging = system.urlOf(logged);
  enforcing = system.urlOf(await startGateway({ ...env, TRUSTED_DOCUMENTS: 'enforce' }));
  [author, reader] = [await system.author(), await system.author()];
  await reader.client.request(FollowAuthorReceiptDocument, { input: { authorId: author.id } });
});
const open: (() => void)[] = [];
afterEach(() => open.splice(0).forEach((close) => close()));
afterAll(async () => {
  await Promise.all(others.map((gateway) => gateway.stop()));
  await system?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** As Apollo Client and urql change a document before a link or an exchange gets it. */
const apolloText = (text: string) => print(new InMemoryCache().transformDocument(parse(text)));
const urqlText = (text: string) => print(formatDocument(createRequest(text, {}).query));

type Headers_ = Record<string, string>;
const bearer = (): Headers_ => ({
  authorization: `Bearer ${author.client.accessToken}`,
  'x-cheeper-consistency': author.client.consistencyToken ?? '',
});
interface Body {
  data?: Record<string, unknown> | null;
  errors?: { message: string; extensions: { code: string } }[];
}
/** What is answered to a request: data, or the codes of errors. */
const said = ({ data, errors }: Body) => (errors ? errors.map(({ extensions }) => extensions.code) : data);
const JSON_BODY = { 'content-type': 'application/json', accept: 'application/graphql-response+json' };
const post = async (url: string, body: unknown, headers: Headers_ = {}) => {
  const response = await fetch(url, { method: 'POST', headers: { ...JSON_BODY, ...bearer(), ...headers }, body: JSON.stringify(body) });

  return { status: response.status, body: (await response.json()) as Body & Body[] };
};
const get = async (url: string, parameters: Headers_, headers: Headers_ = {}) => {
  const response = await fetch(`${url}?${new URLSearchParams(parameters).toString()}`, {
    headers: { accept: 'application/graphql-response+json', ...bearer(), ...headers },
  });

  return { status: response.status, body: (await response.json()) as Body };
};
/** The events of a stream that ends. */
const stream = async (url: string, init: RequestInit): Promise<Body[]> => {
  const response = await fetch(url, init);
  const text = await response.text();

  return [...text.matchAll(/^data: (\{.*\})$/gm)].map(([, json]) => JSON.parse(json!) as Body);
};
/** What is answered to an operation on a socket of its own. */
const onSocket = async (url: string, payload: unknown): Promise<Body> => {
  const socket = await RawSocket.ready(url, bearer());
  open.push(() => socket.close());
  socket.send({ type: 'subscribe', id: '1', payload });
  const message = await socket.next();

  return message.type === 'error' ? { errors: message.payload as NonNullable<Body['errors']> } : (message.payload as Body);
};
const idOf = (name: keyof typeof named) => named[name].__meta__.hash;
const apq = (sha256Hash: string) => ({ persistedQuery: { version: 1, sha256Hash } });
const cheepsOf = async () => (await author.client.request(ViewerDocument, {})).viewer!.cheepsCount;

describe('a document that is asked for by its id', () => {
  it('is executed over HTTP, by POST and by GET, by `documentId` and by the hash of Apollo’s', async () => {
    const viewer = { viewer: { id: author.id, username: author.username, cheepsCount: await cheepsOf() } };
    const documentId = idOf('AppViewer');
    const hash = documentId.replace('sha256:', '');
    const answers = await Promise.all([
      post(enforcing, { documentId }),
      post(enforcing, { documentId, query: '' }),
      post(enforcing, { documentId: hash, query: null }),
      post(enforcing, { extensions: apq(hash) }),
      post(enforcing, { extensions: apq(documentId), documentId, query: manifest[documentId] }),
      get(enforcing, { documentId }),
      get(enforcing, { documentId, query: '', extensions: '' }),
      get(enforcing, { extensions: JSON.stringify(apq(hash)), operationName: '' }),
    ]);
    expect(answers).toEqual(answers.map(() => ({ status: 200, body: { data: viewer, extensions: expect.anything() } })));
    expect((await post(enforcing, { documentId: 'viewer-of-old-version' })).body.data).toEqual({ viewer: { id: author.id } });
  });

  it('has its variables and its limits as any other', async () => {
    const documentId = idOf('AppAuthor');
    const variables = { id: author.id };
    expect((await post(enforcing, { documentId, variables })).body.data).toMatchObject({ author: { username: author.username } });
    expect((await get(enforcing, { documentId, variables: JSON.stringify(variables) })).body.data).toMatchObject({
      author: { id: author.id },
    });
    expect(said((await post(enforcing, { documentId })).body)).toEqual(['BAD_USER_INPUT']);
    expect(said((await post(enforcing, { documentId, operationName: 'Other' })).body)).toEqual(['OPERATION_RESOLUTION_FAILURE']);
  });

  it('is never a mutation by GET, nor executed for a page that could have forged the request', async () => {
    const before = await cheepsOf();
    const variables = JSON.stringify({ input: { message: 'by GET' } });
    for (const url of [enforcing, `${enforcing}/stream`]) {
      const ids: Headers_[] = [{ documentId: idOf('AppPost') }, { extensions: JSON.stringify(apq(idOf('AppPost'))) }];
      for (const one of ids) expect((await get(url, { ...one, variables })).status).toBe(405);
    }
    const forged = await get(enforcing, { documentId: idOf('AppViewer') }, { accept: 'text/html', 'sec-fetch-site': 'cross-site' });
    expect([forged.status, said(forged.body)]).toEqual([400, ['BAD_REQUEST']]);
    const inStream = await get(`${enforcing}/stream`, { documentId: idOf('AppViewer') }, { accept: '*/*', 'sec-fetch-site': 'cross-site' });
    expect([inStream.status, said(inStream.body)]).toEqual([400, ['BAD_REQUEST']]);
    expect(await cheepsOf()).toBe(before);
  });

  it('is executed in a batch, in which each that is refused says so by itself', async () => {
    const documentId = idOf('AppViewer');
    const { status, body } = await post(enforcing, [
      { documentId },
      { documentId: 'unknown' },
      { query: CHANGED },
      { extensions: apq(documentId) },
      { documentId: [] },
      { query: '{ __typename }', documentId },
    ]);
    expect(status).toBe(200);
    expect(body.map(said)).toEqual([
      { viewer: expect.objectContaining({ id: author.id }) },
      ['PERSISTED_QUERY_NOT_FOUND'],
      ['DOCUMENT_NOT_TRUSTED'],
      { viewer: expect.objectContaining({ id: author.id }) },
      ['BAD_REQUEST'],
      ['BAD_REQUEST'],
    ]);
    expect(
      (
        await post(
          enforcing,
          Array.from({ length: 11 }, () => ({ documentId })),
        )
      ).status,
    ).toBe(400);
  });

  it('is executed on a socket, with `query` empty or without it', async () => {
    const documentId = idOf('AppViewer');
    for (const payload of [
      { documentId },
      { documentId, query: '' },
      { extensions: apq(documentId), query: null },
      { query: '', extensions: { persistedQuery: documentId, 'x-cheeper-consistency': author.client.consistencyToken } },
    ])
      expect(said(await onSocket(enforcing, payload))).toMatchObject({ viewer: { id: author.id } });
    expect(said(await onSocket(enforcing, { documentId: 'unknown' }))).toEqual(['PERSISTED_QUERY_NOT_FOUND']);
  });

  it('is executed in an event stream', async () => {
    const accept = { accept: 'text/event-stream' };
    const body = JSON.stringify({ documentId: idOf('AppViewer') });
    const byPost = { method: 'POST', headers: { ...JSON_BODY, ...bearer(), ...accept }, body };
    const byGet = { headers: { ...bearer(), ...accept } };
    const search = `?documentId=${idOf('AppViewer')}`;
    for (const events of await Promise.all([
      stream(`${enforcing}/stream`, byPost),
      stream(enforcing, byPost),
      stream(`${enforcing}/stream${search}`, byGet),
      stream(`${enforcing}${search}`, byGet),
    ]))
      expect(events.map(said)).toEqual([{ viewer: expect.objectContaining({ id: author.id }) }]);
  });

  it('and is not known is refused with the status that there is for a wrong document', async () => {
    const asked = { documentId: 'unknown' };
    expect((await post(enforcing, asked)).status).toBe(400);
    expect(await post(enforcing, asked, { accept: 'application/json' })).toEqual({
      status: 200,
      body: { errors: [{ message: 'PersistedQueryNotFound', extensions: { code: 'PERSISTED_QUERY_NOT_FOUND' } }] },
    });
    expect((await get(enforcing, asked)).status).toBe(400);
  });
});

describe('with TRUSTED_DOCUMENTS=enforce', () => {
  type Asked = { query: string; documentId?: string; extensions?: object };
  const parametersOf = ({ extensions = {}, ...others }: Asked): Headers_ => ({ ...others, extensions: JSON.stringify(extensions) });

  const MUTATION = 'mutation { postCheep(input: {message: "not trusted"}) { status } }';
  const TEXTS = [
    '{ __typename, x: __typename }',
    CHANGED,
    MUTATION,
    getIntrospectionQuery(),
    'subscription { timeline { __typename } }',
    '{',
  ];

  it.each(TEXTS.map((query) => [query.slice(0, 40), query]))('%s is executed by none of the doors', async (_, query) => {
    const before = await cheepsOf();
    const hash = sha256(query);
    const asked: Asked[] = [
      { query },
      { query, extensions: apq(hash) },
      { query, documentId: 'unknown' },
      { query, documentId: `sha256:${hash}` },
    ];
    const accept = { accept: 'text/event-stream' };
    const answers: Body[] = [];
    for (const one of asked) {
      answers.push((await post(enforcing, one)).body, ...(await post(enforcing, [one, one])).body);
      answers.push(await onSocket(enforcing, one), (await get(enforcing, parametersOf(one))).body);
      const init = { method: 'POST', headers: { ...JSON_BODY, ...bearer(), ...accept }, body: JSON.stringify(one) };
      answers.push(...(await stream(`${enforcing}/stream`, init)));
      if (!query.startsWith('mutation')) {
        const search = new URLSearchParams(parametersOf(one)).toString();
        answers.push(...(await stream(`${enforcing}/stream?${search}`, { headers: { ...bearer(), ...accept } })));
      }
    }
    const codes = answers.map(said);
    expect(codes.length).toBeGreaterThanOrEqual(4 * 6);
    // Of a mutation by GET it is said before that it is one.
    expect(codes.filter((one) => JSON.stringify(one) !== '["DOCUMENT_NOT_TRUSTED"]' && JSON.stringify(one) !== '["BAD_REQUEST"]')).toEqual(
      [],
    );
    expect(codes.filter((one) => JSON.stringify(one) === '["BAD_REQUEST"]')).toHaveLength(query.startsWith('mutation') ? 4 : 0);
    expect(await cheepsOf()).toBe(before);
  });

  it('neither a list of documents nor two parameters of a name are a way in', async () => {
    const trusted = encodeURIComponent(manifest[idOf('AppViewer')]!);
    for (const search of [
      `query=${trusted}&query=${encodeURIComponent('{ __typename }')}`,
      `documentId=${idOf('AppViewer')}&documentId=${idOf('AppAuthor')}`,
      `documentId=${idOf('AppViewer')}&query=a&query=b`,
    ]) {
      for (const url of [enforcing, `${enforcing}/stream`]) {
        const response = await fetch(`${url}?${search}`, { headers: { accept: 'application/json, text/event-stream', ...bearer() } });
        const text = await response.text();
        expect({ search, url, text }).toEqual({ search, url, text: expect.stringContaining('BAD_REQUEST') });
      }
    }
    for (const query of [['{ __typename }'], { kind: 'Document' }, 1])
      for (const url of [enforcing, `${enforcing}/stream`])
        expect((await post(url, { query, documentId: idOf('AppViewer') })).body.errors).toBeDefined();
  });
});

describe('with TRUSTED_DOCUMENTS=log', () => {
  it('everything is executed, and the log says what is in no manifest', async () => {
    const query = 'query NotYetInAManifest { viewer { id } }';
    for (let i = 0; i < 3; i++) {
      const { body } = await post(logging, { query }, { 'apollographql-client-name': 'an old version' });
      expect(body.data).toEqual({ viewer: { id: author.id } });
    }
    expect(said(await onSocket(logging, { query }))).toEqual({ viewer: { id: author.id } });
    await post(logging, { documentId: idOf('AppViewer') });
    const lines = logged
      .log(1_000)
      .split('\n')
      .filter((line) => line.includes('a document that is in no manifest'))
      .map((line) => JSON.parse(line) as { operation: string; client?: string; sha256: string })
      .filter(({ operation }) => operation === 'NotYetInAManifest');
    expect(lines).toMatchObject([{ sha256: sha256(query), client: 'an old version' }, { sha256: sha256(query) }]);
  });

  it('Apollo’s automatic persisted queries work, and nothing is kept of them', async () => {
    const query = 'query Automatic { viewer { id } }';
    const extensions = apq(sha256(query));
    for (const url of [logging, system.url]) {
      for (let i = 0; i < 2; i++) {
        expect(said((await post(url, { extensions })).body)).toEqual(['PERSISTED_QUERY_NOT_FOUND']);
        expect((await post(url, { query, extensions })).body.data).toEqual({ viewer: { id: author.id } });
      }
      expect(said((await post(url, { query: '{ viewer { id } }', extensions })).body)).toEqual(['BAD_REQUEST']);
    }
  });
});

describe('Apollo Client', () => {
  const connect = (
    terminating: ApolloLink,
    options: { useGETForHashedQueries?: boolean; generateHash?: (document: DocumentNode) => string } = {},
  ) => {
    const persisted = new PersistedQueryLink({ generateHash: (document: DocumentNode) => (document as Named).__meta__.hash, ...options });
    return new ApolloClient({ link: ApolloLink.from([persisted, terminating]), cache: new InMemoryCache() });
  };

  it.each([true, false])('sends the ids of the client preset, by its own link (GET: %s)', async (useGETForHashedQueries) => {
    const client = connect(new HttpLink({ uri: enforcing, headers: bearer() }), { useGETForHashedQueries });
    expect((await client.query({ query: named.AppAuthor, variables: { id: author.id } })).data).toMatchObject({
      author: { id: author.id },
    });
    const variables = { input: { message: 'by Apollo' } };
    expect((await client.mutate({ mutation: named.AppPost, variables })).data).toMatchObject({ postCheep: { status: 'COMMITTED' } });
  });

  it('sends the text of what is not known, in batches too', async () => {
    for (const link of [new HttpLink({ uri: logging, headers: bearer() }), new BatchHttpLink({ uri: logging, headers: bearer() })]) {
      const client = connect(link, { generateHash: (document: DocumentNode) => sha256(print(document)) });
      const queries = ['query A { viewer { id } }', 'query B { viewer { username } }'].map((text) => client.query({ query: parse(text) }));
      expect((await Promise.all(queries)).map(({ data }) => data)).toMatchObject([
        { viewer: { id: author.id } },
        { viewer: { username: author.username } },
      ]);
    }
  });
});

describe('urql', () => {
  it('sends the ids of the client preset, by its own exchange: queries, mutations, and subscriptions in event streams', async () => {
    const urql = createUrql({
      url: enforcing,
      fetchOptions: () => ({ headers: bearer() }),
      fetchSubscriptions: true,
      exchanges: [
        persistedExchange({
          enforcePersistedQueries: true,
          enableForMutation: true,
          enableForSubscriptions: true,
          generateHash: async (_, document) => (document as unknown as Named).__meta__.hash,
        }),
        fetchExchange,
      ],
    });
    expect((await urql.query(named.AppAuthor, { id: author.id }).toPromise()).data).toMatchObject({ author: { id: author.id } });
    const seen: string[] = [];
    const { unsubscribe } = pipe(
      urql.subscription(named.AppLive, { authorId: reader.id }),
      subscribe(({ data, error }) => seen.push(error?.message ?? JSON.stringify(data))),
    );
    open.push(unsubscribe);
    await eventually(() => seen.length === 1, 'it is live');
    expect((await urql.mutation(named.AppPost, { input: { message: 'by urql' } }).toPromise()).data).toMatchObject({
      postCheep: { status: 'COMMITTED' },
    });
    await eventually(
      () => seen.length === 2,
      () => `the event: ${seen.join()}`,
    );
    expect(seen[1]).toContain('by urql');
  });

  it('sends the text of what is not known', async () => {
    const exchanges = [persistedExchange({ preferGetForPersistedQueries: true }), fetchExchange];
    const urql = createUrql({ url: logging, fetchOptions: () => ({ headers: bearer() }), exchanges });
    expect((await urql.query('query C { viewer { id } }', {}).toPromise()).data).toMatchObject({ viewer: { id: author.id } });
  });
});

it('Relay’s ids are sent by whatever network an application has', async () => {
  const request = compiled(AUTHOR);
  const params = { ...request.params, id: idOf('AppAuthor'), text: null };
  const fetchFunction = async ({ id }: { id: string | null }, variables: object) =>
    (await post(enforcing, { documentId: id, variables })).body;
  const network = Network.create(fetchFunction as never);
  const environment = new Environment({ network, store: new Store(new RecordSource()) });
  const node = { ...request, params } as unknown as GraphQLTaggedNode;
  expect(await fetchQuery(environment, node, { id: author.id }).toPromise()).toMatchObject({ author: { username: author.username } });
});

it('graphql-ws and graphql-sse send ids for subscriptions', async () => {
  const seen: string[] = [];
  const sink = {
    next: ({ data }: { data?: unknown }) => void seen.push(JSON.stringify(data)),
    error: (error: unknown) => void seen.push(JSON.stringify(error)),
    complete: () => undefined,
  };
  const variables = { authorId: reader.id };
  const socket = createSocket({ url: enforcing.replace('http', 'ws'), webSocketImpl: WebSocket, connectionParams: bearer() });
  open.push(() => void socket.dispose());
  // Its recipe for persisted queries; and GraphQL over HTTP's parameter.
  socket.subscribe({ query: '', variables, extensions: { persistedQuery: idOf('AppLive') } }, sink);
  socket.subscribe({ query: '', variables, documentId: idOf('AppLive') } as never, sink);
  const sse = createSse({ url: `${enforcing}/stream`, headers: bearer() });
  open.push(() => sse.dispose());
  sse.subscribe({ documentId: idOf('AppLive'), variables } as never, sink);
  await eventually(
    () => seen.length === 3,
    () => `three are live: ${seen.join()}`,
  );
  await author.client.request(PostCheepReceiptDocument, { input: { message: 'to all three', cheepId: newId() } });
  await eventually(
    () => seen.filter((event) => event.includes('to all three')).length === 3,
    () => seen.join(),
  );
});

describe('cheeper-client', () => {
  /** What each request has in place of a text. */
  const behind = (url: string): { client: CheeperClient; asked: ('id' | 'text')[] } => {
    const asked: ('id' | 'text')[] = [];
    const spy: typeof fetch = (input, init) => {
      asked.push('documentId' in (JSON.parse(init!.body as string) as object) ? 'id' : 'text');
      return fetch(input, init);
    };
    const { accessToken, consistencyToken } = author.client;

    return { client: system.client({ url, accessToken, consistencyToken, sendDocumentIds: true, fetch: spy }), asked };
  };
  type Data = Record<string, unknown>;
  const all = (client: CheeperClient) => {
    const apollo = new ApolloClient({ link: cheeperLink(client), cache: new InMemoryCache() });
    const urql = createUrql({ url: client.url, exchanges: [cacheExchange, cheeperExchange(client)] });
    const texts = Object.fromEntries(DOCUMENTS.map((text) => [`id of ${text}`, text]));
    const relay = new Environment({ network: cheeperNetwork(client, texts), store: new Store(new RecordSource()) });
    const node = (text: string) => {
      const request = compiled(text);
      return { ...request, params: { ...request.params, id: `id of ${text}`, text: null } } as unknown as GraphQLTaggedNode;
    };
    const run = (query: string, variables: Data, next: (data: Data) => void) =>
      client.run(
        { query, variables },
        { next: ({ data, errors }) => next(data ?? { errors }), error: (error) => next({ error }), complete: () => undefined },
      );

    return {
      itself: {
        ask: async (query: string, variables: Data) => (await client.execute({ query, variables })).data as Data,
        live: (variables: Data, next: (data: Data) => void) => run(LIVE, variables, next),
      },
      'Apollo’s link': {
        ask: async (text: string, variables: Data) =>
          (text.startsWith('mutation')
            ? (await apollo.mutate<Data>({ mutation: parse(text), variables })).data
            : (await apollo.query<Data>({ query: parse(text), variables })).data) as Data,
        live: (variables: Data, next: (data: Data) => void) => {
          const subscription = apollo
            .subscribe<Data>({ query: parse(LIVE), variables })
            .subscribe(({ data, error }) => next(data ?? { error }));
          return () => subscription.unsubscribe();
        },
      },
      'urql’s exchange': {
        ask: async (text: string, variables: Data) =>
          (text.startsWith('mutation') ? await urql.mutation<Data>(text, variables) : await urql.query<Data>(text, variables).toPromise())
            .data!,
        live: (variables: Data, next: (data: Data) => void) =>
          urql.subscription<Data>(LIVE, variables).subscribe(({ data, error }) => next(data ?? { error })).unsubscribe,
      },
      'Relay’s network': {
        ask: async (text: string, variables: Data) =>
          text.startsWith('mutation')
            ? new Promise<Data>((resolve, reject) => {
                commitMutation(relay, { mutation: node(text), variables, onCompleted: (data) => resolve(data), onError: reject });
              })
            : ((await fetchQuery(relay, node(text), variables).toPromise()) as Data),
        live: (variables: Data, next: (data: Data) => void) =>
          requestSubscription(relay, {
            subscription: node(LIVE),
            variables,
            onNext: (data) => next(data as Data),
            onError: (error) => next({ error }),
          }).dispose,
      },
    };
  };

  it.each(['itself', 'Apollo’s link', 'urql’s exchange', 'Relay’s network'] as const)(
    'sends ids of what it makes of documents, where nothing else is executed: %s',
    async (which) => {
      const { client, asked } = behind(enforcing);
      const { ask, live } = all(client)[which];
      const seen: string[] = [];
      open.push(live({ authorId: reader.id }, (data) => seen.push(JSON.stringify(data))));
      await eventually(() => seen.length === 1, 'it is live');
      expect(await ask(AUTHOR, { id: author.id })).toMatchObject({ author: { id: author.id } });
      expect(await ask(POST_TEXT, { message: `by ${which}` })).toMatchObject({ postCheep: { status: 'COMMITTED' } });
      expect(await ask(POST, { input: { message: `once more by ${which}` } })).toMatchObject({ postCheep: { status: 'COMMITTED' } });
      await eventually(
        () => seen.some((event) => event.includes(`once more by ${which}`)),
        () => seen.join(),
      );
      expect(new Set(asked)).toEqual(new Set(['id']));
    },
  );

  it('sends its own documents by their ids, which its package has a manifest of, and what it asks by itself', async () => {
    const { client, asked } = behind(enforcing);
    expect((await client.query(ViewerDocument, {})).viewer).toMatchObject({ id: author.id });
    const writer = await system.author();
    await client.mutate(FollowAuthorReceiptDocument, { input: { authorId: writer.id } });
    const events = client.follow(LiveTimelineDocument, {});
    expect((await events.next()).value!.timeline.__typename).toBe('TimelineLive');
    await events.return(undefined);
    // So many tokens are made one by a question of the client’s own.
    for (let i = 0; i < 17; i++) client.remember((await system.author()).client.consistencyToken!);
    expect((await client.query(ViewerDocument, {})).viewer).toMatchObject({ id: author.id });
    expect(new Set(asked)).toEqual(new Set(['id']));
  });

  it('sends the text of what a gateway does not know, over HTTP and sockets, and from then on at once', async () => {
    const { client, asked } = behind(system.url);
    for (let i = 0; i < 2; i++) expect((await client.query(ViewerDocument, {})).viewer).toMatchObject({ id: author.id });
    expect(asked).toEqual(['id', 'text', 'text']);
    for (let i = 0; i < 2; i++) {
      const events = client.follow(LiveTimelineDocument, {});
      expect((await events.next()).value!.timeline.__typename).toBe('TimelineLive');
      await events.return(undefined);
    }
  });

  it('says that a document is not trusted, and does not try again', async () => {
    const { client, asked } = behind(enforcing);
    const query = '{ viewer { email } }';
    expect((await client.execute({ query })).errors).toMatchObject([{ extensions: { code: 'DOCUMENT_NOT_TRUSTED' } }]);
    expect(asked).toEqual(['id', 'text']);
  });
});
