/** The funnel: how far those got who signed up in some time, and how fast, from what happened alone. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import mysql from 'mysql2/promise';
import {
  FollowAuthorReceiptDocument,
  FunnelDocument,
  PostCheepReceiptDocument,
  UnfollowAuthorDocument,
  type FunnelQuery,
} from '../client/operations.js';
import { FUNNEL, SIGNED_UP } from '../read-side/funnel/query.js';
import { packId, prefixOf, type Space } from '../read-side/shard.js';
import { newId } from '../shared/ids.js';
import type { EntryBody, Event } from '../shared/messages/event.js';
import { schemaVersionOf } from '../shared/messages/upcast.js';
import { eventually, startSystem, type System } from './system.js';

const DAY_MS = 86_400_000;
const SECOND_MS = 1_000;

let system: System;
let space: Space;
beforeAll(async () => {
  system = await startSystem();
  const [head] = await system.sql<{ epoch: string }>('SELECT epoch FROM journal_head');
  space = { namespace: system.namespace, epoch: head!.epoch, shards: 8 };
});
afterAll(() => system?.stop());

type FunnelOf = FunnelQuery['funnel'];
const stepsOf = ({ steps }: FunnelOf) =>
  steps.map(({ name, reached, medianSeconds, p90Seconds }) => [name, reached, medianSeconds, p90Seconds]);

const period = (from: number, to: number) => ({ from: new Date(from).toISOString(), to: new Date(to).toISOString() });
const ask = async (from: number, to: number): Promise<FunnelOf> => (await system.client().request(FunnelDocument, period(from, to))).funnel;

/** What has happened long ago: entries of the journal, each with its own moment, written as the write side does. */
async function happened(events: { at: number; event: Event }[]): Promise<void> {
  const connection = await mysql.createConnection(system.env.MYSQL_URL);
  await connection.beginTransaction();
  await connection.query('UPDATE journal_head SET position = LAST_INSERT_ID(position + ?)', [events.length]);
  const [[head]] = await connection.query<mysql.RowDataPacket[]>('SELECT LAST_INSERT_ID() AS position');
  const rows = events.map(({ at, event }, i) => {
    const entry: EntryBody = {
      entryId: newId(),
      schemaVersion: schemaVersionOf(event.type),
      aggregate: null,
      actorId: newId(),
      commandId: newId(),
      commandName: 'Test',
      fingerprint: null,
      correlationId: 'test',
      causationId: 'test',
      traceparent: null,
      at: new Date(at).toISOString(),
      event,
    };
    return [Number(head!.position) - events.length + i + 1, entry.entryId, event.type, JSON.stringify(entry)];
  });
  await connection.query('INSERT INTO journal (position, entry_id, type, body) VALUES ?', [rows]);
  await connection.commit();
  await connection.end();
}

const signUp = (authorId: string): Event => ({
  type: 'AuthorSignedUp',
  authorId,
  username: `u${authorId.slice(-12)}`,
  email: `${authorId}@example.org`,
  name: null,
  biography: null,
  location: null,
  website: null,
  birthDate: null,
});
const post = (authorId: string, cheepId = newId()): Event => ({
  type: 'CheepPosted',
  authorId,
  cheepId,
  message: 'm',
  mentions: [],
  inReplyTo: null,
  inReplyToAuthorId: null,
  threadId: cheepId,
});

describe('the funnel', () => {
  it('counts what real authors did, as of the token that it is asked with', async () => {
    const from = Date.now();
    const [alice, bob] = [await system.author(), await system.author()];
    await system.author();
    await bob.client.request(FollowAuthorReceiptDocument, { input: { authorId: alice.id } });
    await bob.client.request(UnfollowAuthorDocument, { input: { authorId: alice.id } });
    for (const { client } of [alice, bob]) {
      const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: 'Hello' } });
      const reader = system.client({ consistencyToken: postCheep.consistencyToken! });
      const { funnel } = await reader.request(FunnelDocument, period(from, from + DAY_MS));
      expect(funnel.signedUp).toBe(3);
      const [followed, posted, again] = funnel.steps;
      expect([followed!.reached, posted!.reached, again]).toEqual([
        1,
        client === alice.client ? 1 : 2,
        { name: 'POSTED_ON_ANOTHER_DAY', reached: 0, medianSeconds: null, p90Seconds: null },
      ]);
      for (const { medianSeconds, p90Seconds } of [followed!, posted!]) {
        expect(medianSeconds).toBeGreaterThan(0);
        expect(p90Seconds).toBeGreaterThanOrEqual(medianSeconds!);
        expect(p90Seconds).toBeLessThan((Date.now() - from) / 1_000);
      }
      expect(Date.parse(funnel.asOf)).toBeGreaterThan(from);
      expect(Date.parse(funnel.asOf)).toBeLessThanOrEqual(Date.now());
    }
    const now = Date.now();
    await eventually(async () => Date.parse((await ask(from, now)).asOf) >= now, 'what is there now is in it');
  });

  it('knows days, halves and nine tenths, of those alone who signed up in [from, to), from the first day of the journal', async () => {
    const start = Date.UTC(2020, 0, 31, 23);
    const ten = Array.from({ length: 10 }, () => newId());
    const late = newId();
    await happened([
      ...ten.map((id) => ({ at: start, event: signUp(id) })),
      { at: start + DAY_MS, event: signUp(late) },
      { at: start + DAY_MS, event: post(late) },
      ...ten.map((id, i) => ({ at: start + (i + 1) * SECOND_MS, event: post(id) })),
      { at: start + 60 * SECOND_MS, event: post(ten[0]!) },
      // An hour later it is February: another day.
      { at: start + 3_600 * SECOND_MS, event: post(ten[0]!) },
      { at: start + 30 * DAY_MS, event: post(ten[0]!) },
      { at: start + 2 * SECOND_MS, event: { type: 'AuthorFollowed', followerId: ten[1]!, followedId: late } },
      { at: start + 4 * SECOND_MS, event: { type: 'AuthorUnfollowed', followerId: ten[1]!, followedId: late } },
      { at: start + 9 * SECOND_MS, event: { type: 'AuthorFollowed', followerId: ten[1]!, followedId: late } },
    ]);
    const wanted = [
      ['FOLLOWED_SOMEBODY', 1, 2, 2],
      ['POSTED', 10, 5, 9],
      ['POSTED_ON_ANOTHER_DAY', 1, 3_600, 3_600],
    ];
    await eventually(async () => (await ask(start, start + DAY_MS)).steps[0]!.reached === 1, 'the last of it is applied');
    const found = await ask(start, start + DAY_MS);
    expect([found.signedUp, ...stepsOf(found)]).toEqual([10, ...wanted]);
    expect((await ask(start, start + DAY_MS + 1)).signedUp).toBe(11);
    expect((await ask(start - DAY_MS, start)).signedUp).toBe(0);

    // Built anew, it is as complete as before.
    for (let number = 0; number < space.shards; number++) {
      const keys = await system.redis.keys(`${prefixOf(space, { projection: FUNNEL, number })}*`);
      if (keys.length > 0) await system.redis.del(keys);
    }
    await happened([{ at: start + 60 * DAY_MS, event: post(late) }]); // The read side sees with the next event that they are gone.
    await eventually(
      async () => (await system.client().ask(FunnelDocument, period(start, start + DAY_MS))).data?.funnel.signedUp === 10,
      'it is there again',
    );
    expect(stepsOf(await ask(start, start + DAY_MS))).toEqual(wanted);
  });

  it('reads a long period in parts, and refuses one with more sign-ups than it can read', async () => {
    const start = Date.UTC(2019, 5, 1);
    const put = async (at: number, number: number, count: number) => {
      const key = prefixOf(space, { projection: FUNNEL, number }) + SIGNED_UP;
      for (let i = 0; i < count; i += 1_000) {
        await system.redis.zadd(key, ...Array.from({ length: Math.min(1_000, count - i) }, () => [at, packId(newId())]).flat());
      }
    };
    await put(start, 3, 2_500);
    await put(start + 1, 5, 1_000);
    expect((await ask(start, start + 2)).signedUp).toBe(3_500);

    for (const number of [1, 2]) await put(start + 5, number, 50_000);
    expect((await ask(start + 5, start + 6)).signedUp).toBe(100_000);
    await put(start + 5, 0, 1);
    await expect(ask(start + 5, start + 6)).rejects.toThrow(/100001 signed up .* ask for a shorter period/);
  });

  it('refuses a period that is none, and too many questions at once', async () => {
    const client = system.client();
    for (const to of [-1, 0]) {
      const { errors } = await client.ask(FunnelDocument, {
        from: new Date(DAY_MS).toISOString(),
        to: new Date(DAY_MS + to).toISOString(),
      });
      expect(errors[0]).toMatchObject({ message: '`from` must be before `to`.', extensions: { code: 'BAD_USER_INPUT', argument: 'from' } });
    }
    const times = async (n: number) => {
      const fields = Array.from(
        { length: n },
        (_, i) => `f${i}: funnel(from: "2020-01-01T00:00:00Z", to: "2020-01-02T00:00:00Z") { signedUp }`,
      );
      const response = await fetch(system.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query: `{ ${fields.join(' ')} }` }),
      });
      return (await response.json()) as { errors?: { extensions: { code: string } }[] };
    };
    expect((await times(5)).errors).toBeUndefined();
    expect((await times(6)).errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT');
  });
});
