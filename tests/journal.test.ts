/** Positions have no gap and are the order of the stream, under 64 writers at once over two write sides. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { FollowAuthorReceiptDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId, SYSTEM } from '../shared/ids.js';
import { connectNats, type Nats } from '../shared/jetstream.js';
import { HEADERS, natsNames } from '../shared/names.js';
import type { EntryBody } from '../shared/messages/event.js';
import { eventually, startSystem, type System } from './system.js';

const WRITERS = 64;

let system: System;
let nats: Nats;
let authors: Awaited<ReturnType<System['author']>>[];
beforeAll(async () => {
  system = await startSystem({ writeSides: 2, gateways: 2 });
  nats = await connectNats(system.env.NATS_URL, 'test');
  authors = await Promise.all(Array.from({ length: 16 }, () => system.author()));
});
afterAll(async () => {
  await nats?.close();
  await system?.stop();
});

describe('under 64 concurrent writers', () => {
  it('every command has one outcome and one entry, sent once or several times, done or refused', async () => {
    const outcomes = new Map<string, Set<string>>();
    await Promise.all(
      Array.from({ length: WRITERS }, async (_, n) => {
        const client = system.client({
          accessToken: authors[n % authors.length]!.client.accessToken,
          url: system.urlOf(system.gateways[n % 2]!),
        });
        for (let i = 0; i < 10; i++) {
          const commandId = newId();
          const send = async () => {
            if (i % 5 === 4) {
              // Nobody has this id: refused.
              const { followAuthor } = await client.request(FollowAuthorReceiptDocument, { input: { authorId: commandId, commandId } });
              return followAuthor;
            }
            return (await client.request(PostCheepReceiptDocument, { input: { message: `${n}/${i}`, commandId } })).postCheep;
          };
          // The same at once, through several lanes' queues and gateways' publishes.
          const receipts = await Promise.all(i % 3 === 0 ? [send(), send(), send()] : [send()]);
          outcomes.set(commandId, new Set(receipts.map(({ status, consistencyToken }) => `${status} ${consistencyToken}`)));
        }
      }),
    );
    expect([...outcomes.values()].filter((answers) => answers.size !== 1)).toEqual([]);
    const rows = await system.sql<{ commandId: string; n: number }>(
      `SELECT JSON_UNQUOTE(JSON_EXTRACT(body, '$.commandId')) AS commandId, COUNT(*) AS n FROM journal
       WHERE JSON_VALUE(body, '$.actorId') <> ? GROUP BY commandId`,
      [SYSTEM],
    );
    const entries = new Map(rows.map(({ commandId, n }) => [commandId, Number(n)]));
    expect([...outcomes.keys()].filter((commandId) => entries.get(commandId) !== 1)).toEqual([]);
    expect(rows.length).toBe(outcomes.size + authors.length);
  });

  it('positions have no gap, and the stream holds the journal, entry for entry', async () => {
    // In one statement, as of one moment: reactions may still come.
    const journal = await system.sql<{ position: number; body: string; epoch: string; head: number }>(
      `SELECT journal.position, body, epoch, head.position AS head FROM journal, journal_head head ORDER BY journal.position`,
    );
    expect(journal.map(({ position }) => Number(position))).toEqual(journal.map((_, i) => i + 1));
    const { epoch, head } = journal[0]!;
    expect(Number(head)).toBe(journal.length);

    const stream = natsNames(system.namespace).events(epoch);
    await eventually(async () => (await nats.jsm.streams.info(stream)).state.last_seq >= journal.length, 'the relay has published all');
    const consumer = await nats.js.consumers.get(stream);
    const published: string[] = [];
    const messages = await consumer.fetch({ max_messages: journal.length, expires: 10_000 });
    for await (const message of messages) {
      expect(message.headers?.get(HEADERS.position)).toBe(String(message.seq));
      expect(message.json<EntryBody>().entryId).toBe(message.headers?.get(HEADERS.entryId));
      published.push(message.string());
    }
    expect(published).toEqual(journal.map(({ body }) => body));
  });

  it('commands share commits, and both write sides have lanes', async () => {
    const [shared] = await system.sql<{ entries: number; commits: number }>(
      `SELECT COUNT(*) AS entries, COUNT(DISTINCT JSON_EXTRACT(body, '$.at')) AS commits FROM journal`,
    );
    expect(Number(shared!.commits)).toBeLessThan(Number(shared!.entries));
    const locks = Array.from({ length: 16 }, (_, lane) => `IS_USED_LOCK('${system.namespace}.lane.${lane}') AS l${lane}`);
    const [owners] = await system.sql<Record<string, number>>(`SELECT ${locks.join(', ')}`);
    const counts = Map.groupBy(Object.values(owners!), (owner) => owner);
    expect([...counts.values()].map((lanes) => lanes.length)).toEqual([8, 8]);
  });

  it('what was handled leaves the stream of commands', async () => {
    await eventually(
      async () => (await nats.jsm.streams.info(natsNames(system.namespace).commands)).state.messages === 0,
      'the stream of commands is empty',
    );
  });
});
