/** Relay, with operations that its own compiler has compiled, on a real gateway: its store accepts all answers without a warning. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, print } from 'graphql';
import {
  commitMutation,
  ConnectionHandler,
  createOperationDescriptor,
  Environment,
  fetchQuery,
  Network,
  RecordSource,
  Store,
  type ConcreteRequest,
  type GraphQLResponse,
  type MutationParameters,
  type OperationType,
  type Variables,
} from 'relay-runtime';
import { DeleteCheepDocument, PostCheepReceiptDocument } from '../../client/operations.js';
import { newId } from '../../shared/ids.js';
import { eventually, startSystem, type System } from '../system.js';
import DeleteMutation, { type operationsDeleteMutation } from './__generated__/operationsDeleteMutation.graphql.js';
import FollowMutation, { type operationsFollowMutation } from './__generated__/operationsFollowMutation.graphql.js';
import NodesQuery, { type operationsNodesQuery } from './__generated__/operationsNodesQuery.graphql.js';
import NotificationsQuery, { type operationsNotificationsQuery } from './__generated__/operationsNotificationsQuery.graphql.js';
import PostMutation, { type operationsPostMutation } from './__generated__/operationsPostMutation.graphql.js';
import ProfileQuery, { type operationsProfileQuery } from './__generated__/operationsProfileQuery.graphql.js';
import ThreadQuery, { type operationsThreadQuery } from './__generated__/operationsThreadQuery.graphql.js';

type Author = Awaited<ReturnType<System['author']>>;

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

/** What Relay complains of: it warns on the console. */
const warned = jest.fn();
beforeEach(() => {
  warned.mockClear();
  jest.spyOn(console, 'error').mockImplementation(warned);
  jest.spyOn(console, 'warn').mockImplementation(warned);
});
afterEach(() => {
  jest.restoreAllMocks();
});

/** An application of this author's. @param change what becomes of each answer on its way */
function application({ client }: Author, change = (answer: string) => answer) {
  const send = async (query: string, variables: Variables) => {
    const response = await fetch(system.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${client.accessToken}`,
        ...(client.consistencyToken ? { 'x-cheeper-consistency': client.consistencyToken } : {}),
      },
      body: JSON.stringify({ query, variables }),
    });
    client.consistencyToken = response.headers.get('x-cheeper-consistency') ?? client.consistencyToken;

    return JSON.parse(change(await response.text())) as GraphQLResponse;
  };
  const environment = new Environment({
    network: Network.create(({ text }, variables) => send(text!, variables)),
    store: new Store(new RecordSource()),
  });
  /** What the store shows of it now. */
  const read = <Query extends OperationType>(query: ConcreteRequest, variables: Query['variables']) =>
    environment.lookup(createOperationDescriptor(query, variables).fragment).data as Query['response'];

  return {
    read,
    query: async <Query extends OperationType>(query: ConcreteRequest, variables: Query['variables']) => {
      environment.retain(createOperationDescriptor(query, variables));
      await fetchQuery<Query>(environment, query, variables).toPromise();

      return read<Query>(query, variables);
    },
    mutate: <Mutation extends MutationParameters>(mutation: ConcreteRequest, variables: Mutation['variables']) =>
      new Promise<Mutation['response']>((resolve, reject) => {
        commitMutation<Mutation>(environment, {
          mutation,
          variables,
          onCompleted: (data, errors) => (errors?.length ? reject(new Error(JSON.stringify(errors))) : resolve(data)),
          onError: reject,
        });
      }),
  };
}

async function post({ client }: Author, message: string, inReplyTo: string | null = null): Promise<string> {
  const cheepId = newId();
  await client.mutate(PostCheepReceiptDocument, { input: { message, cheepId, inReplyTo } });

  return cheepId;
}

/** Shows a thread, and once more after the cheep in its middle was deleted by its author. Returns what the store has of its ancestors. */
async function watchADeletion(change?: (answer: string) => string) {
  const [alice, bob] = await Promise.all([system.author(), system.author()]);
  const question = await post(alice, 'What is it?');
  bob.client.consistencyToken = alice.client.consistencyToken;
  const answer = await post(bob, 'This.', question);
  const thanks = await post(bob, 'Thanks.', answer);
  const app = application(bob, change);
  const thread = () => app.query<operationsThreadQuery>(ThreadQuery, { id: thanks, count: 10 });
  const before = (await thread()).cheep!.ancestors;
  await bob.client.mutate(DeleteCheepDocument, { input: { cheepId: answer } });
  const after = (await thread()).cheep!.ancestors;

  return { app, question, answer, before, after };
}

describe('Relay', () => {
  it('was compiled with the operations that are here', () => {
    const source = readFileSync(join(import.meta.dirname, 'operations.ts'), 'utf8');
    const hashes = [...source.matchAll(/^ {2}graphql`([^`]+)`/gm)].map(([, text]) =>
      createHash('md5')
        .update(print(parse(text!).definitions[0]!))
        .digest('hex'),
    );
    const compiled = [DeleteMutation, FollowMutation, NodesQuery, NotificationsQuery, PostMutation, ProfileQuery, ThreadQuery];
    expect(compiled.map((request) => (request as { hash?: string }).hash).toSorted()).toEqual(hashes.toSorted());
  });

  it('takes a cheep, and what stands in its place when it is deleted, for two things', async () => {
    const { app, answer, before, after } = await watchADeletion();
    expect(before).toMatchObject([{ message: 'What is it?' }, { __typename: 'Cheep', message: 'This.' }]);
    expect(after).toMatchObject([{ message: 'What is it?' }, { __typename: 'DeletedCheep', cheepId: answer }]);
    const deleted = `DeletedCheep:${answer}`;
    const { nodes } = await app.query<operationsNodesQuery>(NodesQuery, { ids: [deleted, answer] });
    expect(nodes).toMatchObject([{ __typename: 'DeletedCheep', id: deleted, cheepId: answer }, null]);
    expect(warned).not.toHaveBeenCalled();
  });

  it('would warn if both had one id', async () => {
    await watchADeletion((answer) => answer.replaceAll('"DeletedCheep:', '"'));
    expect(warned).toHaveBeenCalledWith(expect.stringContaining('violated the globally unique id requirement'));
  });

  it('adds to its lists by the edges of mutations, and goes on from their cursors', async () => {
    const [alice, bob] = await Promise.all([system.author(), system.author()]);
    const [first, second] = [await post(alice, 'first'), await post(alice, 'second')];
    await post(alice, 'a reply', first);
    const app = application(alice);
    const profile = { id: alice.id, count: 10 };
    const thread = { id: first, count: 10 };
    await app.query<operationsProfileQuery>(ProfileQuery, profile);
    await app.query<operationsProfileQuery>(ProfileQuery, { ...profile, id: bob.id });
    await app.query<operationsThreadQuery>(ThreadQuery, thread);
    const list = (owner: string, key: string) => ConnectionHandler.getConnectionID(owner, key);

    await app.mutate<operationsPostMutation>(PostMutation, {
      input: { message: 'third', inReplyTo: first },
      cheeps: [list(alice.id, 'Profile_cheeps')],
      replies: [list(first, 'Thread_replies')],
    });
    await app.mutate<operationsFollowMutation>(FollowMutation, {
      input: { authorId: bob.id },
      followers: [list(bob.id, 'Profile_followers')],
      following: [list(alice.id, 'Profile_following')],
    });
    const shown = () => ({
      cheeps: app.read<operationsProfileQuery>(ProfileQuery, profile).author!.cheeps.edges,
      following: app.read<operationsProfileQuery>(ProfileQuery, profile).author!.following.edges,
      followers: app.read<operationsProfileQuery>(ProfileQuery, { ...profile, id: bob.id }).author!.followers.edges,
      replies: app.read<operationsThreadQuery>(ThreadQuery, thread).cheep!.replies.edges,
    });
    const added = shown();
    expect(added.cheeps.map(({ node }) => node.message)).toEqual(['third', 'a reply', 'second', 'first']);
    expect(added.replies.map(({ node }) => node.message)).toEqual(['a reply', 'third']);
    expect(added.following.map(({ node }) => node.username)).toEqual([bob.username]);
    expect(added.followers.map(({ node }) => node.username)).toEqual([alice.username]);

    // The gateway says the same, with the same cursors.
    await app.query<operationsProfileQuery>(ProfileQuery, profile);
    await app.query<operationsProfileQuery>(ProfileQuery, { ...profile, id: bob.id });
    await app.query<operationsThreadQuery>(ThreadQuery, thread);
    const places = (edges: readonly { cursor: string; node: { id: string } }[]) => edges.map(({ cursor, node }) => [cursor, node.id]);
    const [now, then] = [shown(), added].map((lists) => Object.values(lists).map(places));
    expect(now).toEqual(then);
    expect(then!.map((list) => list.length)).toEqual([4, 1, 1, 2]);

    await app.mutate<operationsDeleteMutation>(DeleteMutation, { input: { cheepId: second } });
    expect(shown().cheeps.map((edge) => edge?.node?.message)).not.toContain('second');
    expect(warned).not.toHaveBeenCalled();
  });

  it('shows notifications, and finds each thing again by its id', async () => {
    const [alice, bob] = await Promise.all([system.author(), system.author()]);
    const cheepId = await post(alice, 'hello');
    bob.client.consistencyToken = alice.client.consistencyToken;
    await post(bob, 'hello yourself', cheepId);
    const app = application(alice);
    const { notifications } = await eventually(async () => {
      const data = await app.query<operationsNotificationsQuery>(NotificationsQuery, { count: 10 });

      return data.notifications.edges.length === 2 ? data : null;
    }, 'a welcome and a reply');
    expect(notifications.edges.map(({ node }) => node.__typename)).toEqual(['ReplyNotification', 'WelcomeNotification']);
    const ids = [...notifications.edges.map(({ node }) => node.id), alice.id, cheepId];
    const { nodes } = await app.query<operationsNodesQuery>(NodesQuery, { ids });
    expect(nodes.map((node) => node?.__typename)).toEqual(['ReplyNotification', 'WelcomeNotification', 'Author', 'Cheep']);
    expect(warned).not.toHaveBeenCalled();
  });
});
