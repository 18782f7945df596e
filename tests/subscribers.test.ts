/** Many subscribers on one gateway, slow ones among them: nobody sees what is another's, and nobody loses anything. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { EditCheepDocument, FollowAuthorReceiptDocument, LikeCheepDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import type { Author } from './load.js';
import { RawSocket, type Result } from './raw-socket.js';
import { eventually, startSystem, type ServiceProcess, type System } from './system.js';

const SOCKETS = 2_000;
const READERS = 20;

let system: System;
let writer: Author;
beforeAll(async () => {
  system = await startSystem({ gateways: 2, readSides: 2 });
  writer = await system.author();
});
afterAll(() => system?.stop());

const authorization = ({ client }: Author) => ({ authorization: `Bearer ${client.accessToken}` });
const post = async (message: string, { client } = writer) => {
  const cheepId = newId();
  const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message, cheepId } });
  expect(postCheep.status).toBe('COMMITTED');

  return cheepId;
};

async function readers(n: number): Promise<Author[]> {
  const all = await Promise.all(Array.from({ length: n }, () => system.author()));
  await Promise.all(all.map(({ client }) => client.request(FollowAuthorReceiptDocument, { input: { authorId: writer.id } })));

  return all;
}

interface Frame {
  __typename: string;
  cursor: string;
  reason?: string;
  cheep?: { message: string; likedByViewer?: boolean | null; likesCount?: number };
}
const frameOf = (result: Result) => result.data!.timeline as Frame;

const LIVE = 'subscription ($after: String) { timeline(after: $after) { __typename cursor ... on CheepAdded { cheep { message } } } }';

describe('what many ask for alike', () => {
  it('is told to each as it is for that one', async () => {
    const [liker, other] = await readers(2);
    const cheepId = await post('to be liked');
    await liker!.client.request(LikeCheepDocument, { input: { cheepId } });
    const query = 'subscription { timeline { __typename ... on CheepEdited { cheep { likesCount likedByViewer } } } }';
    const sockets = await Promise.all(
      [liker!, other!, null].map((reader) => RawSocket.ready(system.url, reader ? authorization(reader) : {})),
    );
    const aliceReads = `subscription { timeline(authorId: "${liker!.id}") ${query.slice(query.indexOf('{', 15))}`;
    for (const [i, socket] of sockets.entries()) {
      socket.subscribe('live', i < 2 ? query : aliceReads);
      expect(frameOf(await socket.result('live')).__typename).toBe('TimelineLive');
    }
    await writer.client.request(EditCheepDocument, { input: { cheepId, message: 'liked' } });
    const frames = await Promise.all(sockets.map(async (socket) => frameOf(await socket.result('live'))));
    expect(frames.map(({ cheep }) => cheep)).toEqual([true, false, null].map((likedByViewer) => ({ likesCount: 1, likedByViewer })));
    for (const socket of sockets) socket.close();
  });
});

describe('a reader that has stalled', () => {
  it('is given a reset when it goes on, by either transport, and misses nothing after that', async () => {
    const [reader] = await readers(1);
    // Much in each frame, so that what the network keeps for who does not read is soon full.
    const much = Array.from({ length: 100 }, (_, i) => `m${i}: message`).join(' ');
    const query = `subscription { timeline { __typename ... on CheepAdded { cheep { message ${much} } } ... on TimelineReset { reason } } }`;
    const socket = await RawSocket.ready(system.url, authorization(reader!));
    socket.subscribe('live', query);
    expect(frameOf(await socket.result('live')).__typename).toBe('TimelineLive');
    const stream = await fetch(`${system.url}/stream`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...authorization(reader!) },
      body: JSON.stringify({ query }),
    });
    socket.websocket.pause();

    const posts = 1_400;
    let next = 0;
    const postNext = async () => {
      while (next < posts) await post(`${next++} ${'x'.repeat(240)}`);
    };
    await Promise.all(Array.from({ length: 24 }, postNext));
    await post('the last');

    const overSocket: Frame[] = [];
    socket.websocket.resume();
    while (overSocket.at(-1)?.cheep?.message !== 'the last') overSocket.push(frameOf(await socket.result('live')));
    socket.close();
    const overStream: Frame[] = [];
    let text = '';
    const decoder = new TextDecoder();
    reading: for await (const chunk of stream.body!) {
      text += decoder.decode(chunk, { stream: true });
      const events = text.split('\n\n');
      text = events.pop()!;
      for (const event of events) {
        const data = /^data: (.+)$/m.exec(event)?.[1];
        if (data) overStream.push(frameOf(JSON.parse(data) as Result));
        if (overStream.at(-1)?.cheep?.message === 'the last') break reading;
      }
    }
    const journal = await system.sql<{ message: string }>(
      `SELECT JSON_UNQUOTE(JSON_EXTRACT(body, '$.event.message')) AS message FROM journal WHERE type = 'CheepPosted' ORDER BY position`,
    );
    const messages = journal.map(({ message }) => message.trimEnd().replace(/ x+$/, ''));
    for (const frames of [overSocket, overStream]) {
      const at = frames.findLastIndex(({ __typename }) => __typename === 'TimelineReset');
      expect(frames[at]).toMatchObject({ reason: 'TOO_SLOW' });
      const after = frames.slice(at + 1).map(({ cheep }) => cheep!.message.replace(/ x+$/, ''));
      expect(after.length).toBeGreaterThan(0);
      expect(after.join(' ')).toEqual(messages.slice(-after.length).join(' '));
      // So much less than all was kept.
      expect(frames.length).toBeLessThan(posts);
    }
  });
});

describe(`${SOCKETS} subscribers of a gateway that is killed`, () => {
  it('go on at the other one, from their cursors, and each sees every cheep once and in order', async () => {
    const authors = await readers(READERS);
    const [first, second] = system.gateways as [ServiceProcess, ServiceProcess];
    const subscribers = Array.from({ length: SOCKETS }, (_, i) => ({
      reader: authors[i % READERS]!,
      seen: [] as string[],
      cursor: null as string | null,
    }));
    const sockets = new Set<RawSocket>();
    let isOver = false;
    let resumed = 0;
    const watch = async (subscriber: (typeof subscribers)[number], gateway: ServiceProcess): Promise<void> => {
      const socket = await RawSocket.ready(system.urlOf(gateway), authorization(subscriber.reader));
      sockets.add(socket);
      socket.subscribe('live', LIVE, { after: subscriber.cursor });
      if (subscriber.cursor) resumed += 1;
      try {
        while (!isOver) {
          const frame = frameOf(await socket.result('live'));
          subscriber.cursor = frame.cursor;
          if (frame.cheep) subscriber.seen.push(frame.cheep.message);
          else expect(frame.__typename).toBe('TimelineLive');
        }
      } catch (error) {
        // With the gateway; and the other one has what it was not told any more.
        if (!isOver && !(error as Error).message.startsWith('closed')) throw error;
      } finally {
        sockets.delete(socket);
      }
      if (!isOver) return watch(subscriber, second);
    };
    const watching = subscribers.map((subscriber) => watch(subscriber, first));
    await eventually(() => subscribers.every(({ cursor }) => cursor), 'all of them are live');

    const posted: string[] = [];
    const postNext = async () => {
      await post(`cheep ${posted.length}`);
      posted.push(`cheep ${posted.length}`);
    };
    writer.client.url = system.urlOf(second);
    while (posted.length < 5) await postNext();
    await first.stop('SIGKILL');
    while (posted.length < 30) await postNext();
    await eventually(() => subscribers.every(({ seen }) => seen.length >= posted.length), 'all of them have all of it');
    expect(resumed).toBe(SOCKETS);
    for (const { seen } of subscribers) expect(seen).toEqual(posted);

    isOver = true;
    for (const socket of sockets) socket.close();
    await Promise.all(watching);
    first.start();
    await first.ready();
  });
});
