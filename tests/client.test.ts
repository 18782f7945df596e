/**
 * What `client/` promises to who copies it, over two gateways: what is lost is asked for again and done once, what is live goes on
 * without a gap or a repeat, and what was seen is never forgotten. A proxy between the two loses what it is told to lose.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { CheeperClient, ConnectionLostError, GraphQLRequestError } from '../client/client.js';
import { liveTimeline } from '../client/live-timeline.js';
import {
  AuthorDocument,
  DeleteCheepDocument,
  EditCheepDocument,
  FollowAuthorReceiptDocument,
  LiveTimelineDocument,
  PostCheepDocument,
  PostCheepReceiptDocument,
  SettledCommandDocument,
  TimelineDocument,
  UnfollowAuthorDocument,
  ViewerDocument,
  type LiveTimelineSubscription,
} from '../client/operations.js';
import { Sessions } from '../gateway/sessions.js';
import { newId } from '../shared/ids.js';
import { decodeToken } from '../shared/token.js';
import { LossyProxy } from './lossy-proxy.js';
import { eventually, freePort, SIGNING_KEY, startSystem, type System } from './system.js';

let system: System;
let urls: string[];
beforeAll(async () => {
  system = await startSystem({ gateways: 2 });
  urls = system.gateways.map((gateway) => system.urlOf(gateway));
});
afterAll(() => system?.stop());

afterEach(() => LossyProxy.closeAll());

type Author = Awaited<ReturnType<System['author']>>;

/** A follower, and whom they follow. */
async function readerAndWriter(): Promise<{ reader: Author; writer: Author }> {
  const [reader, writer] = await Promise.all([system.author(), system.author()]);
  await reader.client.request(FollowAuthorReceiptDocument, { input: { authorId: writer.id } });

  return { reader, writer };
}

/** Somebody’s other client. */
const otherOf = ({ client: { accessToken, consistencyToken } }: Author, options: Partial<ConstructorParameters<typeof CheeperClient>[0]>) =>
  system.client({ accessToken, consistencyToken, ...options });

const post = async (client: CheeperClient, message: string): Promise<string> => {
  const { postCheep } = await client.mutate(PostCheepReceiptDocument, { input: { message } });
  expect(postCheep).toMatchObject({ status: 'COMMITTED', userErrors: [] });

  return message;
};
/** How many cheeps the journal has of somebody. */
const postedBy = async ({ id }: Author): Promise<number> => {
  const [row] = await system.sql<{ n: number }>(
    `SELECT COUNT(*) AS n FROM journal WHERE type = 'CheepPosted' AND JSON_VALUE(body, '$.actorId') = ?`,
    [id],
  );

  return Number(row!.n);
};

describe('a command whose answer is lost', () => {
  it('is sent again until it is answered, and is done once', async () => {
    const author = await system.author();
    const proxy = await LossyProxy.to(system.gateways[0]!.port);
    proxy.answersToLose = 3;
    const client = otherOf(author, { url: proxy.url });

    const { postCheep } = await client.mutate(PostCheepDocument, { input: { message: 'said once' } });

    expect(postCheep).toMatchObject({ status: 'COMMITTED', userErrors: [], cheep: { message: 'said once' } });
    expect(proxy.answersToLose).toBe(0);
    expect(await postedBy(author)).toBe(1);
  });

  it('is not sent again sooner than Retry-After allows, but to another gateway at once', async () => {
    const author = await system.author();
    const proxy = await LossyProxy.to(system.gateways[0]!.port);
    proxy.toRefuse = 1;
    const startedAt = performance.now();
    await post(otherOf(author, { url: proxy.url }), 'later');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1_000);

    proxy.toRefuse = 1;
    const client = otherOf(author, { url: [proxy.url, urls[1]!], deadlineMs: 900 });
    await post(client, 'elsewhere');
    expect(client.url).toBe(urls[1]);
    expect(await postedBy(author)).toBe(2);
  });

  it('is sent to another gateway, when it was lost with its own', async () => {
    const author = await system.author();
    const client = otherOf(author, { url: [`http://127.0.0.1:${await freePort()}/graphql`, ...urls] });

    await post(client, 'there');

    expect(client.url).toBe(urls[0]);
  });

  it('is given up at the deadline, and by close', async () => {
    const nobody = `http://127.0.0.1:${await freePort()}/graphql`;
    const input = { message: 'for nobody' };
    const hasty = new CheeperClient({ url: nobody, deadlineMs: 300 });
    const startedAt = performance.now();
    await expect(hasty.mutate(PostCheepReceiptDocument, { input })).rejects.toThrow(ConnectionLostError);
    expect(performance.now() - startedAt).toBeLessThan(20_000);

    const patient = new CheeperClient({ url: nobody, deadlineMs: 600_000 });
    const lost = expect(patient.mutate(PostCheepReceiptDocument, { input })).rejects.toThrow(ConnectionLostError);
    await patient.close();
    await lost;
  });

  it('leaves its receipt, when it is done and only its effect cannot be read yet', async () => {
    const author = await system.author();
    const client = otherOf(author, { headers: { 'x-cheeper-wait-ms': '0' }, deadlineMs: 1_000 });
    for (const readSide of system.readSides) readSide.signal('SIGSTOP');
    try {
      const told = client.mutate(PostCheepDocument, { input: { message: 'not read yet' } });
      await expect(told).rejects.toMatchObject({ code: 'NOT_CAUGHT_UP', data: { postCheep: { status: 'COMMITTED', cheep: null } } });
    } finally {
      for (const readSide of system.readSides) readSide.signal('SIGCONT');
    }
    expect(await postedBy(author)).toBe(1);
  });
});

describe('what does not pass', () => {
  it('is asked for once, and told at once', async () => {
    const author = await system.author();
    const proxy = await LossyProxy.to(system.gateways[0]!.port);
    const client = otherOf(author, { url: proxy.url });
    const stranger = system.client({ url: proxy.url });

    await expect(client.query(TimelineDocument, { first: 0 })).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
    await expect(stranger.mutate(PostCheepReceiptDocument, { input: { message: '?' } })).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    stranger.consistencyToken = 'forged';
    await expect(stranger.query(AuthorDocument, { id: author.id })).rejects.toMatchObject({ code: 'BAD_TOKEN' });
    expect(proxy.asked).toBe(3);
    const { postCheep } = await client.mutate(PostCheepReceiptDocument, { input: { message: '' } });
    expect(postCheep.userErrors).toMatchObject([{ code: 'TOO_SHORT' }]);
    expect(proxy.asked).toBe(4);

    await expect(client.follow(LiveTimelineDocument, { after: 'forged' }).next()).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
    await expect(stranger.follow(SettledCommandDocument, { id: newId() }).next()).rejects.toBeInstanceOf(GraphQLRequestError);
  });
});

describe('tokens', () => {
  const position = ({ consistencyToken }: CheeperClient) =>
    Math.max(...consistencyToken!.split(',').map((token) => decodeToken(token).position));

  it('do not go back when an old answer comes late', async () => {
    const author = await system.author();
    const proxy = await LossyProxy.to(system.gateways[0]!.port);
    const client = otherOf(author, { url: proxy.url });
    const held = proxy.holdAnswers();
    const late = client.query(ViewerDocument, {});
    await held.arrived;
    client.url = urls[1]!;
    await post(client, 'meanwhile');
    const seen = position(client);
    held.release();
    await late;

    expect(position(client)).toBe(seen);
    // The next answer covers both.
    await client.query(ViewerDocument, {});
    expect(client.consistencyToken).not.toContain(',');
    expect(position(client)).toBeGreaterThanOrEqual(seen);
  });

  it('never go back, whatever is asked at the same time', async () => {
    const author = await system.author();
    const client = otherOf(author, { url: urls });
    let highest = 0;
    await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        for (let i = 0; i < 5; i++) {
          if (n % 2 === 0) await post(client, `${n}/${i}`);
          else await client.query(AuthorDocument, { id: author.id });
          const now = position(client);
          expect(now).toBeGreaterThanOrEqual(highest);
          highest = now;
        }
      }),
    );
    const { author: seen } = await client.query(AuthorDocument, { id: author.id });
    expect(seen!.cheepsCount).toBe(100);
  });

  it('of more friends than can be sent at once are remembered, all of them', async () => {
    const friends = await Promise.all(Array.from({ length: 20 }, () => system.author()));
    const client = system.client();
    for (const { client: friend } of friends) client.remember((await post(friend, 'hello'), friend.consistencyToken!));

    for (const { id } of friends) expect((await client.query(AuthorDocument, { id })).author!.cheepsCount).toBe(1);
    expect(position(client)).toBeGreaterThanOrEqual(Math.max(...friends.map((friend) => position(friend.client))));
    expect(client.consistencyToken).not.toContain(',');
  });
});

/** Takes messages of a followed timeline, until it has so many. */
async function messages(events: AsyncIterable<LiveTimelineSubscription>, count: number, seen: string[] = []): Promise<string[]> {
  for await (const { timeline: event } of events) {
    seen.push(event.__typename === 'CheepAdded' ? event.cheep.message : event.__typename);
    if (seen.length === count) break;
  }

  return seen;
}

describe('what is followed', () => {
  it('goes on where it was, each event once and in order, however often its connection is cut', async () => {
    const { reader, writer } = await readerAndWriter();
    const proxy = await LossyProxy.to(system.gateways[0]!.port);
    const seen: string[] = [];
    const following = messages(otherOf(reader, { url: proxy.url }).follow(LiveTimelineDocument, {}), 61, seen);
    await eventually(() => seen.length === 1, 'it is live');
    const posted: string[] = [];
    for (let i = 0; i < 60; i++) {
      posted.push(await post(writer.client, `cut ${i}`));
      if (i % 6 === 0) proxy.cut();
    }

    expect(await following).toEqual(['TimelineLive', ...posted]);
  });

  it('goes on at another gateway when its own is killed, and back again when that one is stopped', async () => {
    const { reader, writer } = await readerAndWriter();
    const seen: string[] = [];
    const events = otherOf(reader, { url: urls }).follow(LiveTimelineDocument, {});
    const following = messages(events, 91, seen);
    await eventually(() => seen.length === 1, 'it is live');
    const poster = otherOf(writer, { url: urls });
    const posted: string[] = [];
    const some = async () => {
      for (let i = 0; i < 30; i++) posted.push(await post(poster, `kill ${posted.length}`));
    };
    const [one, other] = system.gateways;
    try {
      await Promise.all([some(), one!.stop('SIGKILL')]);
      await eventually(
        () => seen.length === 31,
        () => `all is heard of: ${seen.at(-1)}`,
      );
      one!.start();
      await one!.ready();
      const [, exitCode] = await Promise.all([some(), other!.stop('SIGTERM')]);
      expect(exitCode).toBe(0);
    } finally {
      other!.start();
      await other!.ready();
    }
    await some();

    expect(await following).toEqual(['TimelineLive', ...posted]);
  });

  it('goes on elsewhere when its gateway is silent, and so do questions', async () => {
    const { reader, writer } = await readerAndWriter();
    const client = otherOf(reader, { url: urls });
    const events = client.follow(LiveTimelineDocument, {});
    expect(await messages({ [Symbol.asyncIterator]: () => ({ next: () => events.next() }) }, 1)).toEqual(['TimelineLive']);
    system.gateways[0]!.signal('SIGSTOP');
    try {
      await post(otherOf(writer, { url: urls[1]! }), 'still heard');
      const [asked, heard] = await Promise.all([client.query(ViewerDocument, {}), messages(events, 1)]);
      expect(asked.viewer!.id).toBe(reader.id);
      expect(heard).toEqual(['still heard']);
    } finally {
      system.gateways[0]!.signal('SIGCONT');
    }
  });

  it.each([
    ['1000, as if all were over', 1000],
    ['1001, because the gateway goes away', 1001],
    ['1012, because the gateway is started anew', 1012],
  ])('goes on after the close code %s', async (_, code) => {
    const { reader, writer } = await readerAndWriter();
    const proxy = await LossyProxy.to(system.gateways[0]!.port);
    const seen: string[] = [];
    const { timeline } = await reader.client.query(TimelineDocument, {});
    const events = otherOf(reader, { url: proxy.url }).follow(LiveTimelineDocument, { after: timeline.resumeCursor });
    const following = messages(events, 3, seen);
    await eventually(() => seen.length === 1, 'it is live');
    await post(writer.client, 'one');
    await eventually(() => seen.length === 2, 'the first is heard of');
    proxy.closeSockets(code);
    await post(writer.client, 'two');

    expect(await following).toEqual(['TimelineLive', 'one', 'two']);
    expect(proxy.upgrades).toBe(2);
  });

  it('ends with what came of a command, and after `return` while it waits, and on close', async () => {
    const { reader, writer } = await readerAndWriter();
    const commandId = newId();
    const { postCheep } = await writer.client.mutate(PostCheepReceiptDocument, {
      input: { message: 'soon', commandId, waitFor: 'ACCEPTED' },
    });
    expect(postCheep.commandId).toBe(commandId);
    const told = [];
    for await (const { command } of writer.client.follow(SettledCommandDocument, { id: commandId })) told.push(command.status);
    expect(told).toEqual(['COMMITTED']);

    const over = { value: undefined, done: true };
    const left = reader.client.follow(LiveTimelineDocument, {});
    await left.next();
    const waiting = [left.next(), left.next()];
    // Both may have been on their way.
    await left.return(undefined);
    expect((await Promise.all(waiting)).at(-1)).toEqual(over);

    const closed = reader.client.follow(LiveTimelineDocument, { after: null });
    await closed.next();
    const last = closed.next();
    await reader.client.close();
    expect([await last, await closed.next()].at(-1)).toEqual(over);
  });
});

describe('access that runs out', () => {
  const sessions = (hours: number) => new Sessions(SIGNING_KEY, system.namespace, hours);
  const expired = async ({ id }: Author) => (await sessions(-1).issue(id)).accessToken;

  it('is renewed once, for all who notice, and then nobody has noticed', async () => {
    const { reader, writer } = await readerAndWriter();
    let renewals = 0;
    const renewAccessToken = async () => {
      renewals += 1;
      // Long enough for all three to notice: one that then asks for another is what this is about.
      await new Promise((resolve) => setTimeout(resolve, 500));
      return reader.client.accessToken!;
    };
    const client = otherOf(reader, { accessToken: await expired(reader), renewAccessToken });
    const seen: string[] = [];
    const [first, second] = [client.query(ViewerDocument, {}), client.query(ViewerDocument, {})];
    const following = messages(client.follow(LiveTimelineDocument, {}), 2, seen);
    await eventually(() => seen.length === 1, 'it is live');
    await post(writer.client, 'for who is signed in');

    expect([(await first).viewer!.id, (await second).viewer!.id]).toEqual([reader.id, reader.id]);
    expect(await following).toEqual(['TimelineLive', 'for who is signed in']);
    expect(renewals).toBe(1);
  });

  it('while something is followed, is renewed, and nothing is missed', async () => {
    const { reader, writer } = await readerAndWriter();
    const { accessToken } = await sessions(3 / 3_600).issue(reader.id);
    const renewal = Promise.withResolvers<void>();
    const renewAccessToken = async () => {
      renewal.resolve();
      return reader.client.accessToken!;
    };
    const seen: string[] = [];
    const following = messages(otherOf(reader, { accessToken, renewAccessToken }).follow(LiveTimelineDocument, {}), 3, seen);
    await eventually(() => seen.length === 1, 'it is live');
    await post(writer.client, 'before');
    await renewal.promise;
    await post(writer.client, 'after');

    expect(await following).toEqual(['TimelineLive', 'before', 'after']);
  });

  it('is told, when there is no other, or the other is no better', async () => {
    const author = await system.author();
    const accessToken = await expired(author);
    for (const renewAccessToken of [undefined, async () => accessToken]) {
      const client = otherOf(author, { accessToken, renewAccessToken });
      await expect(client.query(ViewerDocument, {})).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
      await expect(client.follow(LiveTimelineDocument, {}).next()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    }
  });
});

describe('a live timeline', () => {
  it('is always what its page would be now, through edits, deletions, resets, and cuts', async () => {
    const { reader, writer } = await readerAndWriter();
    const proxy = await LossyProxy.to(system.gateways[0]!.port);
    const client = otherOf(reader, { url: proxy.url });
    const cheepIds = await Promise.all(
      ['a', 'b', 'c'].map(async (message) => {
        const { postCheep } = await writer.client.mutate(PostCheepDocument, { input: { message } });
        return postCheep.cheep!.id;
      }),
    );
    client.remember(writer.client.consistencyToken!);
    let shown: string[] = [];
    const watching = (async () => {
      for await (const cheeps of liveTimeline(client, { first: 4 })) shown = cheeps.map(({ message }) => message);
    })();
    const shows = (expected: string[]) =>
      eventually(
        () => JSON.stringify(shown) === JSON.stringify(expected),
        () => `${JSON.stringify(expected)} is shown, in place of ${JSON.stringify(shown)}`,
      );
    await eventually(() => shown.length === 3, 'a page');
    const [c, b, a] = shown;
    await writer.client.mutate(EditCheepDocument, { input: { cheepId: cheepIds[['a', 'b', 'c'].indexOf(b!)]!, message: 'edited' } });
    await shows([c!, 'edited', a!]);
    proxy.cut();
    await writer.client.mutate(DeleteCheepDocument, { input: { cheepId: cheepIds[['a', 'b', 'c'].indexOf(c!)]! } });
    for (const message of ['d', 'e', 'f']) await post(writer.client, message);
    await shows(['f', 'e', 'd', 'edited']);
    const stranger = await system.author();
    await post(stranger.client, 'of a stranger');
    await reader.client.request(FollowAuthorReceiptDocument, { input: { authorId: stranger.id } });
    await shows(['of a stranger', 'f', 'e', 'd']);
    await reader.client.request(UnfollowAuthorDocument, { input: { authorId: writer.id } });
    await shows(['of a stranger']);
    await client.close();
    await watching;
  });
});
