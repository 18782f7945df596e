/**
 * The examples of the guide, docs/consistency.md, as a program: each shows a guarantee, and fails when it does not hold. The guide
 * quotes them word for word.
 *
 * `npm run demo -- guarantees` starts a system for them and throws it away; CHEEPER_URL names another one, or several gateways of
 * it, with commas. Everybody in it is new, so it may be run any number of times.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { CheeperClient, GraphQLRequestError } from '../client/client.js';
import { liveTimeline } from '../client/live-timeline.js';
import {
  AuthorDocument,
  CheepDocument,
  FollowAuthorReceiptDocument,
  LiveTimelineDocument,
  PostCheepDocument,
  PostCheepReceiptDocument,
  SettledCommandDocument,
  SignUpDocument,
  TimelineDocument,
  ViewerDocument,
} from '../client/operations.js';
import type { Story } from './story.js';

/** alice follows bob, and carol knows nobody. */
interface People {
  alice: CheeperClient;
  bob: CheeperClient;
  carol: CheeperClient;
  bobId: string;
}

const examples = ({ alice, bob, carol, bobId }: People): Record<string, () => Promise<void>> => ({
  async 'A session reads its own writes'() {
    await alice.mutate(PostCheepReceiptDocument, { input: { message: 'My first cheep' } });

    const { viewer } = await alice.query(ViewerDocument, {});
    assert.equal(viewer?.cheepsCount, 1);
  },

  async 'A mutation shows what it has written'() {
    const { postCheep } = await alice.mutate(PostCheepDocument, { input: { message: 'Read at once' } });

    assert.equal(postCheep.cheep?.message, 'Read at once');
  },

  async 'The reads of a session never go back'() {
    const posting = Promise.all(
      ['one', 'two', 'three', 'four', 'five'].map((message) => bob.mutate(PostCheepReceiptDocument, { input: { message } })),
    );
    let seen = 0;
    for (let i = 0; i < 20; i++) {
      const { author } = await alice.query(AuthorDocument, { id: bobId });
      assert.ok(author!.cheepsCount >= seen);
      seen = author!.cheepsCount;
    }
    await posting;
  },

  async 'What an author writes is done in the order in which it was sent'() {
    for (const message of ['first', 'second', 'third']) {
      await bob.mutate(PostCheepReceiptDocument, { input: { message, waitFor: 'ACCEPTED' } });
    }
    await bob.mutate(PostCheepReceiptDocument, { input: { message: 'fourth' } });

    alice.remember(bob.consistencyToken!);
    const { timeline } = await alice.query(TimelineDocument, { first: 4 });
    assert.deepEqual(
      timeline.edges.map(({ node }) => node.message),
      ['fourth', 'third', 'second', 'first'],
    );
  },

  async 'A write comes after all that its writer had read'() {
    const { timeline } = await alice.query(TimelineDocument, { first: 1 });
    const read = timeline.edges[0]!.node;
    const { postCheep } = await alice.mutate(PostCheepReceiptDocument, { input: { message: 'Indeed', inReplyTo: read.id } });

    carol.remember(postCheep.consistencyToken!);
    const { cheep } = await carol.query(CheepDocument, { id: read.id });
    assert.equal(cheep?.repliesCount, 1);
  },

  async 'A friend’s token shows what the friend has seen'() {
    await bob.mutate(PostCheepReceiptDocument, { input: { message: 'Look at this' } });

    alice.remember(bob.consistencyToken!);
    const { timeline } = await alice.query(TimelineDocument, { first: 1 });
    assert.equal(timeline.edges[0]?.node.message, 'Look at this');
  },

  async 'What cannot be had in time is said, and one may take less'() {
    const versionToCome = { id: bobId, minVersion: 1_000 };
    const strict = await alice.ask(AuthorDocument, versionToCome, { 'x-cheeper-wait-ms': '50' });
    assert.equal(strict.errors[0]?.extensions?.code, 'NOT_CAUGHT_UP');

    const stale = await alice.ask(AuthorDocument, versionToCome, { 'x-cheeper-wait-ms': '50', 'x-cheeper-read': 'stale-ok' });
    assert.equal(stale.extensions.consistency?.satisfied, false);
    assert.equal(stale.data?.author?.version, 1);
  },

  async 'A command is done once, however often it is sent'() {
    const input = { message: 'Once', commandId: crypto.randomUUID() };
    const first = await alice.mutate(PostCheepReceiptDocument, { input });
    const again = await alice.mutate(PostCheepReceiptDocument, { input });

    assert.deepEqual(again, first);
  },

  async 'What came of an accepted command is told'() {
    const { postCheep } = await alice.mutate(PostCheepReceiptDocument, { input: { message: 'Later', waitFor: 'ACCEPTED' } });

    for await (const { command } of alice.follow(SettledCommandDocument, { id: postCheep.commandId! })) {
      assert.equal(command.status, 'COMMITTED');
    }
  },

  async 'Pages leave nothing out and repeat nothing, whatever is written between them'() {
    const before = await alice.query(TimelineDocument, { first: 5 });
    await bob.mutate(PostCheepReceiptDocument, { input: { message: 'Between two pages' } });
    const rest = await alice.query(TimelineDocument, { first: 100, after: before.timeline.pageInfo.endCursor });

    alice.remember(bob.consistencyToken!);
    const all = await alice.query(TimelineDocument, { first: 100 });
    const ids = [...before.timeline.edges, ...rest.timeline.edges].map(({ node }) => node.id);
    assert.deepEqual(
      ids,
      all.timeline.edges.slice(1).map(({ node }) => node.id),
    );
  },

  async 'A page and the events after it are what the page would be now'() {
    const { timeline } = await alice.query(TimelineDocument, {});
    await bob.mutate(PostCheepReceiptDocument, { input: { message: 'Told live' } });

    for await (const { timeline: event } of alice.follow(LiveTimelineDocument, { after: timeline.resumeCursor })) {
      if (event.__typename !== 'CheepAdded') continue;
      assert.equal(event.cheep.message, 'Told live');
      break;
    }
  },

  async 'A list on a screen stays what it would be now'() {
    const screens = liveTimeline(alice, { first: 10 });
    await screens.next();
    await bob.mutate(PostCheepReceiptDocument, { input: { message: 'On the screen' } });

    const { value: cheeps } = await screens.next();
    assert.equal(cheeps?.[0]?.message, 'On the screen');
    await screens.return(undefined);
  },

  async 'A cursor that nobody gave out is refused'() {
    const events = alice.follow(LiveTimelineDocument, { after: 'forged' });

    await assert.rejects(events.next(), (error) => error instanceof GraphQLRequestError && error.code === 'BAD_USER_INPUT');
  },
});

/** Shows all of them, at one gateway or several. */
export async function showGuarantees(story: Story, urls: string[]): Promise<void> {
  story.chapter('What a client may rely on, one example each');
  const [alice, bob, carol] = [await newcomer('alice', urls), await newcomer('bob', urls), await newcomer('carol', urls)];
  const clients = { alice: alice.client, bob: bob.client, carol: carol.client };
  await clients.alice.mutate(FollowAuthorReceiptDocument, { input: { authorId: bob.id } });
  for (const [title, hold] of Object.entries(examples({ ...clients, bobId: bob.id }))) {
    story.check(title, await hold().then(() => 'it holds', String), 'it holds');
  }
  // Nothing is left open by it: the program ends by itself.
  await Promise.all(Object.values(clients).map((client) => client.close()));
}

/** Somebody new, signed in. */
async function newcomer(name: string, url: string[]): Promise<{ client: CheeperClient; id: string }> {
  const username = `${name}_${randomBytes(6).toString('hex')}`;
  const [email, password] = [`${username}@example.org`, randomBytes(16).toString('base64url')];

  const client = new CheeperClient({ url });
  const { signUp } = await client.mutate(SignUpDocument, { input: { username, email, password } });
  client.accessToken = signUp.session!.accessToken;

  return { client, id: signUp.author!.id };
}
