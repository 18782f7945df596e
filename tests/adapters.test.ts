/**
 * The link, the exchange and the network of `cheeper-client`, each behind its own client: Apollo Client, urql and Relay. What they promise
 * holds for documents that know nothing of it: without a `commandId`, a cursor or `__typename`.
 */
import { ApolloClient, gql, InMemoryCache } from '@apollo/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { cacheExchange, createClient } from '@urql/core';
import { commitMutation, Environment, fetchQuery, RecordSource, requestSubscription, Store, type GraphQLTaggedNode } from 'relay-runtime';
import { cheeperLink } from '../client/apollo.js';
import { CheeperClient, type ClientOptions } from '../client/client.js';
import { cheeperNetwork } from '../client/relay.js';
import { cheeperExchange } from '../client/urql.js';
import { Sessions } from '../gateway/sessions.js';
import { LossyProxy } from './lossy-proxy.js';
import { compiled } from './relay-compiler.js';
import { eventually, SIGNING_KEY, startSystem, type System } from './system.js';

type Variables = Record<string, unknown>;
type Data = Record<string, unknown>;

/** One of the three, with what the tests need of it. */
interface Adapter {
  query(document: string, variables?: Variables): Promise<Data>;
  mutate(document: string, variables?: Variables): Promise<Data>;
  /** @returns what ends it */
  subscribe(document: string, variables: Variables, sink: { next(data: Data): void; end(error?: unknown): void }): () => void;
}

function apollo(client: CheeperClient): Adapter {
  const apollo = new ApolloClient({ link: cheeperLink(client), cache: new InMemoryCache() });

  return {
    query: async (document, variables = {}) =>
      (await apollo.query<Data>({ query: gql(document), variables, fetchPolicy: 'network-only' })).data!,
    mutate: async (document, variables = {}) => (await apollo.mutate<Data>({ mutation: gql(document), variables })).data!,
    subscribe: (document, variables, { next, end }) => {
      const subscription = apollo.subscribe<Data>({ query: gql(document), variables }).subscribe({
        next: ({ data, error }) => (error ? end(error) : next(data!)),
        error: end,
        complete: () => end(),
      });
      return () => subscription.unsubscribe();
    },
  };
}

function urql(client: CheeperClient): Adapter {
  const urql = createClient({ url: client.url, exchanges: [cacheExchange, cheeperExchange(client)] });
  const dataOf = ({ data, error }: { data?: Data; error?: Error }) => {
    if (error) throw error;
    return data!;
  };

  return {
    query: async (document, variables = {}) =>
      dataOf(await urql.query<Data>(document, variables, { requestPolicy: 'network-only' }).toPromise()),
    mutate: async (document, variables = {}) => dataOf(await urql.mutation<Data>(document, variables).toPromise()),
    subscribe: (document, variables, { next, end }) => {
      const subscription = urql
        .subscription<Data>(document, variables)
        .subscribe(({ data, error }) => (error ? end(error) : next(data as Data)));
      return () => subscription.unsubscribe();
    },
  };
}

function relay(client: CheeperClient): Adapter {
  const environment = new Environment({ network: cheeperNetwork(client), store: new Store(new RecordSource()) });
  const node = (text: string) => compiled(text) as unknown as GraphQLTaggedNode;

  return {
    query: async (document, variables = {}) =>
      (await fetchQuery(environment, node(document), variables, { fetchPolicy: 'network-only' }).toPromise()) as Data,
    mutate: (document, variables = {}) =>
      new Promise((resolve, reject) => {
        commitMutation(environment, {
          mutation: node(document),
          variables,
          onCompleted: (data, errors) => (errors ? reject(new Error(errors[0]!.message)) : resolve(data as Data)),
          onError: reject,
        });
      }),
    subscribe: (document, variables, { next, end }) =>
      requestSubscription(environment, {
        subscription: node(document),
        variables,
        onNext: (data) => next(data as Data),
        onError: end,
        onCompleted: () => end(),
      }).dispose,
  };
}

const POST = 'mutation Test($message: String!) { postCheep(input: {message: $message}) { status userErrors { code } } }';
const POST_INPUT = 'mutation Test($input: PostCheepInput!) { postCheep(input: $input) { status cheep { id message } } }';
const VIEWER = 'query Test { viewer { __typename id cheepsCount } }';
const AUTHOR = 'query Test($id: ID!) { author(id: $id) { __typename id isFollowedByViewer } }';
const FOLLOW = 'mutation Test($id: ID!) { followAuthor(input: {authorId: $id}) { status } }';
const TIMELINE = 'query Test { timeline(first: 1) { resumeCursor } }';
const LIVE = `subscription Test($after: String) {
  timeline(after: $after) { __typename ... on CheepAdded { cheep { id message } } ... on TimelineReset { reason } }
}`;
const LIVE_OF = 'subscription Test($id: ID!) { timeline(authorId: $id) { __typename ... on CheepAdded { cheep { id message } } } }';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());
const subscriptions: (() => void)[] = [];
afterEach(async () => {
  for (const end of subscriptions.splice(0)) end();
  await LossyProxy.closeAll();
});

type Author = Awaited<ReturnType<System['author']>>;
const sessions = (seconds: number) => new Sessions(SIGNING_KEY, system.namespace, seconds / 3_600);
const cheepsOf = async ({ id, client }: Author): Promise<number> => {
  const answer = await client.execute<{ author: { cheepsCount: number } }>({
    query: 'query ($id: ID!) { author(id: $id) { cheepsCount } }',
    variables: { id },
  });
  return answer.data!.author.cheepsCount;
};

describe.each([
  ['Apollo Client', apollo],
  ['urql', urql],
  ['Relay', relay],
])('%s', (_, adapterOf) => {
  /** Somebody’s client, through a proxy that loses what it is told to lose. */
  async function behindProxy({ client }: Author, options: Partial<ClientOptions> = {}) {
    const proxy = await LossyProxy.to(system.gateways[0]!.port);
    const { accessToken } = client;
    const own = system.client({ url: proxy.url, accessToken, ...options });

    return { proxy, client: own, adapter: adapterOf(own) };
  }

  /** What a timeline brings, each event as its message or its type. */
  function listen(adapter: Adapter, document: string, variables: Variables = {}) {
    const seen: string[] = [];
    const ends: unknown[] = [];
    const next = ({ timeline }: Data) => {
      const { __typename: type, cheep, ...rest } = timeline as { __typename: string; cheep?: { message: string } };
      expect(Object.keys(rest).filter((key) => key !== 'reason')).toEqual([]);
      seen.push(cheep?.message ?? type);
    };
    subscriptions.push(adapter.subscribe(document, variables, { next, end: (error) => ends.push(error ?? 'complete') }));

    return { seen, ends };
  }

  /** A reader who follows a writer, and where their timeline stands. */
  async function readerAndWriter() {
    const [reader, writer] = await Promise.all([system.author(), system.author()]);
    const adapter = adapterOf(reader.client);
    await adapter.mutate(FOLLOW, { id: writer.id });
    const { timeline } = (await adapter.query(TIMELINE)) as { timeline: { resumeCursor: string } };
    const post = async (message: string) => (await adapterOf(writer.client).mutate(POST, { message }), message);

    return { reader, writer, post, after: timeline.resumeCursor };
  }

  it('reads its own writes: what was answered goes along with what is asked next', async () => {
    const { adapter, client, proxy } = await behindProxy(await system.author());
    for (let count = 1; count <= 5; count++) {
      await adapter.mutate(POST, { message: `${count}` });
      const written = client.consistencyToken;
      expect(await adapter.query(VIEWER)).toMatchObject({ viewer: { cheepsCount: count } });
      expect(proxy.tokens.at(-1)).toBe(written);
    }
  });

  it('sends a command again when its answer was lost, as the same command', async () => {
    const author = await system.author();
    const { adapter, proxy } = await behindProxy(author);
    proxy.answersToLose = 2;
    expect(await adapter.mutate(POST, { message: 'once' })).toMatchObject({ postCheep: { status: 'COMMITTED', userErrors: [] } });
    proxy.answersToLose = 2;
    const input = { message: 'and once more' };
    expect(await adapter.mutate(POST_INPUT, { input })).toMatchObject({ postCheep: { status: 'COMMITTED', cheep: input } });
    expect(proxy.answersToLose).toBe(0);
    // What the application sends twice is two commands.
    await adapter.mutate(POST_INPUT, { input });
    expect(await cheepsOf(author)).toBe(3);
  });

  it('tells of what does not pass, once', async () => {
    const { adapter, proxy } = await behindProxy(await system.author(), { accessToken: null });
    await expect(adapter.mutate(POST, { message: 'by nobody' })).rejects.toThrow();
    const { ends } = listen(adapter, LIVE, { after: 'forged' });
    await eventually(() => ends.length > 0, 'the subscription has failed');
    expect(String(ends[0])).not.toBe('complete');
    expect(proxy.asked).toBe(1);
    expect(proxy.upgrades).toBe(1);
  });

  it('goes on after the last event of a subscription, however often its connection is cut', async () => {
    const { reader, writer, post, after } = await readerAndWriter();
    const { adapter, client, proxy } = await behindProxy(reader);
    const before = await post('before it begins');
    // Else the timeline may be live before this has come into it, and it comes after that.
    client.remember(writer.client.consistencyToken!);
    const { seen, ends } = listen(adapter, LIVE, { after });
    await eventually(() => seen.includes('TimelineLive'), 'it is live');
    const posted: string[] = [];
    for (let i = 0; i < 12; i++) {
      posted.push(await post(`cheep ${i}`));
      if (i % 3 === 0) proxy.cut();
      if (i === 7) proxy.closeSockets(1000);
    }
    await eventually(
      () => seen.includes(posted.at(-1)!),
      () => `the last of ${posted.length} events, ${JSON.stringify(seen)}`,
    );
    expect(seen).toEqual([before, 'TimelineLive', ...posted]);
    expect(ends).toEqual([]);
    expect(proxy.upgrades).toBeGreaterThan(2);
  });

  it('delivers a reset, and tells the client of it', async () => {
    const { reader, post, after } = await readerAndWriter();
    const [stranger, resets] = [await system.author(), [] as string[]];
    const { adapter, proxy } = await behindProxy(reader, { onReset: ({ field, type }) => resets.push(`${field} ${type}`) });
    const { seen } = listen(adapter, LIVE, { after });
    await eventually(() => seen.length === 1, 'it is live');
    await adapter.mutate(FOLLOW, { id: stranger.id });
    await eventually(() => seen.length === 2, 'the reset');
    proxy.cut();
    await post('after the reset');
    await eventually(() => seen.length === 3, 'what comes after it');
    expect(seen).toEqual(['TimelineLive', 'TimelineReset', 'after the reset']);
    expect(resets).toEqual(['timeline TimelineReset']);
  });

  it('renews an access token that was refused, once, for all who need it', async () => {
    const { reader, post, after } = await readerAndWriter();
    const { accessToken } = await sessions(-60).issue(reader.id);
    let renewals = 0;
    const renewAccessToken = async () => ((renewals += 1), (await sessions(60).issue(reader.id)).accessToken);
    const { adapter } = await behindProxy(reader, { accessToken, renewAccessToken });
    const { seen } = listen(adapter, LIVE, { after });
    const [viewer, posted] = await Promise.all([adapter.query(VIEWER), adapter.mutate(POST, { message: 'signed in' })]);
    expect(viewer).toMatchObject({ viewer: { id: reader.id } });
    expect(posted).toMatchObject({ postCheep: { status: 'COMMITTED' } });
    const message = await post('for who is signed in');
    await eventually(() => seen.includes(message), 'the event');
    expect(renewals).toBe(1);
  });

  it('renews an access token that was refused for what everybody may read, too: there is more in it for who is signed in', async () => {
    const { reader, writer } = await readerAndWriter();
    const { accessToken } = await sessions(-60).issue(reader.id);
    const renewAccessToken = async () => (await sessions(60).issue(reader.id)).accessToken;
    const { adapter } = await behindProxy(reader, { accessToken, renewAccessToken });
    expect(await adapter.query(AUTHOR, { id: writer.id })).toMatchObject({ author: { isFollowedByViewer: true } });
  });

  it('drops a token of another epoch, with which nothing would ever be answered', async () => {
    const { adapter, client } = await behindProxy(await system.author(), { consistencyToken: 'of another epoch' });
    expect(await adapter.query(VIEWER)).toMatchObject({ viewer: { cheepsCount: 0 } });
    expect(client.consistencyToken).not.toContain('epoch');
  });

  it('ends with its client', async () => {
    const { reader, after } = await readerAndWriter();
    const { adapter, client } = await behindProxy(reader);
    const { seen, ends } = listen(adapter, LIVE, { after });
    await eventually(() => seen.length === 1, 'it is live');
    await client.close();
    // urql tells nobody of the end of a subscription.
    if (adapterOf !== urql) await eventually(() => ends.length === 1, 'the end');
    expect(ends).toEqual(adapterOf === urql ? [] : ['complete']);
  });

  it('renews an access token before it expires, and again when its socket was closed for it', async () => {
    const { reader, post, after } = await readerAndWriter();
    const { accessToken } = await sessions(2).issue(reader.id);
    const renewed: number[] = [];
    const renewAccessToken = async () => (renewed.push(Date.now()), (await sessions(2).issue(reader.id)).accessToken);
    const { adapter, proxy } = await behindProxy(reader, { accessToken, renewAccessToken });
    const { seen, ends } = listen(adapter, LIVE, { after });
    await eventually(() => seen.length === 1, 'it is live');
    const posted: string[] = [];
    // Until the token of the first socket, and that of the second, have run out.
    while (renewed.length < 2) {
      posted.push(await post(`cheep ${posted.length}`));
      expect(await adapter.query(VIEWER)).toMatchObject({ viewer: { id: reader.id } });
    }
    posted.push(await post('the last'));
    await eventually(() => seen.includes('the last'), 'the last event');
    expect(seen).toEqual(['TimelineLive', ...posted]);
    expect(ends).toEqual([]);
    expect(proxy.upgrades).toBeGreaterThan(1);
  });

  it('opens a new socket for whoever signs in', async () => {
    const { reader, writer, post, after } = await readerAndWriter();
    const { adapter, client, proxy } = await behindProxy(reader, { accessToken: null });
    const anybody = listen(adapter, LIVE_OF, { id: reader.id });
    await eventually(() => anybody.seen.length === 1, 'everybody’s is live');
    client.accessToken = reader.client.accessToken;
    const { seen } = listen(adapter, LIVE, { after });
    const message = await post('seen by both');
    await eventually(() => seen.includes(message) && anybody.seen.includes(message), 'the event, twice');
    expect(anybody.seen).toEqual(['TimelineLive', message]);
    expect(proxy.upgrades).toBe(2);
    expect(writer.id).not.toBe(reader.id);
  });

  it('ends a subscription with its last event, or when it is left', async () => {
    const { reader, post, after } = await readerAndWriter();
    const { adapter } = await behindProxy(reader);
    const first = listen(adapter, LIVE, { after });
    await eventually(() => first.seen.length === 1, 'it is live');
    subscriptions.pop()!();
    const second = listen(adapter, LIVE, { after });
    const message = await post('after the first has gone');
    await eventually(() => second.seen.includes(message), 'the event');
    expect(first.seen).toEqual(['TimelineLive']);
  });
});
