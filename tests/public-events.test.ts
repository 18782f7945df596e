/**
 * The public stream: whatever of the journal the outside may know, each event once and in order, as CloudEvents; whatever is
 * killed or emptied.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { headers } from '@nats-io/transport-node';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { CloudEvent as CheckedCloudEvent, type CloudEventV1 } from 'cloudevents';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { newId, partOf } from '../shared/ids.js';
import { connectNats, type Nats } from '../shared/jetstream.js';
import { HEADERS, lockNames, natsNames, type NatsNames } from '../shared/names.js';
import type { CommandMessage } from '../shared/messages/command.js';
import { commands, type CommandName, type CommandPayload } from '../shared/messages/commands.js';
import type { JournalEntry } from '../shared/messages/event.js';
import { cloudEventType, publicEventList, publicEvents, type CloudEvent } from '../write-side/public-events/public-events.js';
import { load, type Author } from './load.js';
import { eventually, startSystem, type System } from './system.js';

const LANES = 16;
const SECRET = '$argon2id$v=19$m=19456,t=2,p=1$c2VjcmV0c2FsdA$c2VjcmV0aGFzaA';

let system: System;
let nats: Nats;
let names: NatsNames;
let epoch: string;
let stream: string;
beforeAll(async () => {
  system = await startSystem({ writeSides: 2 });
  nats = await connectNats(system.env.NATS_URL, 'test');
  names = natsNames(system.namespace);
  const [head] = await system.sql<{ epoch: string }>('SELECT epoch FROM journal_head');
  epoch = head!.epoch;
  stream = names.publicEvents(epoch);
});
afterAll(async () => {
  await nats?.close();
  await system?.stop();
});

/** Sends a command as a gateway would, and settles when it has left its entry in the journal. */
async function send<Name extends CommandName>(name: Name, payload: CommandPayload<Name>): Promise<void> {
  const message: CommandMessage = {
    name,
    commandId: newId(),
    fingerprint: 'x',
    sentAt: new Date().toISOString(),
    correlationId: 'test',
    causationId: null,
    traceparent: null,
    payload,
  };
  const lane = partOf(commands[name].laneKey(payload as never), LANES);
  await nats.js.publish(names.command(lane, name), JSON.stringify(message));
  await eventually(
    async () => (await system.sql(`SELECT 1 FROM journal WHERE JSON_EXTRACT(body, '$.commandId') = ?`, [message.commandId])).length,
    `${name} is settled`,
  );
}

/** The connection of the process that publishes; null for none. */
async function holder(): Promise<number | null> {
  const [row] = await system.sql<{ id: number | null }>('SELECT IS_USED_LOCK(?) AS id', [lockNames(system.namespace).publicEvents]);

  return row!.id;
}

interface Published {
  sequence: number;
  subject: string;
  bytes: string;
  headers: Record<string, string>;
  event: CloudEvent;
}

/** Everything in the public stream, in order. */
async function published(): Promise<Published[]> {
  const { state } = await nats.jsm.streams.info(stream);
  if (state.messages === 0) return [];
  const consumer = await nats.js.consumers.get(stream);
  const all: Published[] = [];
  for await (const message of await consumer.fetch({ max_messages: state.messages, expires: 10_000 })) {
    const { headers: h, subject, seq: sequence } = message;
    const bytes = message.string();
    const isEvent = h?.has(HEADERS.position);
    all.push({
      sequence,
      subject,
      bytes,
      headers: Object.fromEntries(h?.keys().map((key) => [key, h.get(key)]) ?? []),
      event: (isEvent ? JSON.parse(bytes) : null) as CloudEvent,
    });
  }

  return all;
}

interface JournalRow {
  position: number;
  entryId: string;
  type: keyof typeof publicEvents;
}

/** Those entries of the journal that the outside may know. */
async function publicEntries(): Promise<JournalRow[]> {
  const rows = await system.sql<JournalRow>('SELECT position, entry_id AS entryId, type FROM journal ORDER BY position');

  return rows.filter(({ type }) => 'name' in publicEvents[type]);
}

/** Waits until the stream has as many events as it should, and says that they are the right ones, each once and in order. */
async function expectAllPublished(): Promise<Published[]> {
  const wanted = await publicEntries();
  await eventually(
    async () => (await published()).filter(({ event }) => event).at(-1)?.event.id === wanted.at(-1)!.entryId,
    'the newest event is published',
  );
  const events = (await published()).filter(({ event }) => event);
  expect(events.map(({ event }) => [event.id, Number(event.sequence)])).toEqual(
    wanted.map(({ entryId, position }) => [entryId, Number(position)]),
  );

  return events;
}

const authorId = newId();
const otherId = newId();
const cheepId = newId();
const email = 'very.private@example.org';
const nobody = { name: null, biography: null, location: null, website: null, birthDate: null };

describe('the public stream', () => {
  it('has every kind of public event once, in the order of the journal, and with nothing but new values', async () => {
    await send('SignUp', { ...nobody, name: 'Alice', birthDate: '1999-12-31', authorId, username: 'alice', email, passwordHash: SECRET });
    await send('SignUp', { ...nobody, authorId: otherId, username: 'bob', email: `bob.${email}`, passwordHash: SECRET });
    await send('SignUp', { ...nobody, authorId: newId(), username: 'BOB', email: `refused.${email}`, passwordHash: SECRET });
    await send('UpdateProfile', { authorId, name: null, biography: 'Hello' });
    await send('ChangeUsername', { authorId, username: 'alice2' });
    await send('ChangeEmail', { authorId, email: `new.${email}` });
    await send('FollowAuthor', { followerId: authorId, followedId: otherId });
    await send('UnfollowAuthor', { followerId: authorId, followedId: otherId });
    await send('UnfollowAuthor', { followerId: authorId, followedId: otherId });
    await send('PostCheep', { authorId, cheepId, message: 'Hello @bob', inReplyTo: null });
    await send('EditCheep', { authorId, cheepId, message: 'Bye' });
    await send('LikeCheep', { likerId: otherId, cheepId });
    await send('UnlikeCheep', { likerId: otherId, cheepId });
    await send('NotifyAuthor', { recipientId: authorId, notice: { kind: 'FOLLOW', followerId: otherId } });
    await send('DeleteCheep', { authorId, cheepId });

    const events = (await expectAllPublished()).map(({ event }) => event);
    expect(events.map(({ type, subject, data }) => [type, subject, data])).toEqual([
      ['org.cheeper.author.signed-up.v1', authorId, { ...nobody, authorId, username: 'alice', name: 'Alice', birthDate: '1999-12-31' }],
      ['org.cheeper.author.signed-up.v1', otherId, { ...nobody, authorId: otherId, username: 'bob' }],
      ['org.cheeper.author.profile-changed.v1', authorId, { authorId, name: null, biography: 'Hello' }],
      ['org.cheeper.author.username-changed.v1', authorId, { authorId, username: 'alice2' }],
      ['org.cheeper.author.followed.v1', otherId, { followerId: authorId, followedId: otherId }],
      ['org.cheeper.author.unfollowed.v1', otherId, { followerId: authorId, followedId: otherId }],
      [
        'org.cheeper.cheep.posted.v1',
        cheepId,
        {
          cheepId,
          authorId,
          message: 'Hello @bob',
          mentions: [{ start: 6, end: 10, authorId: otherId }],
          inReplyTo: null,
          inReplyToAuthorId: null,
          threadId: cheepId,
        },
      ],
      ['org.cheeper.cheep.edited.v1', cheepId, { cheepId, authorId, message: 'Bye', mentions: [], threadId: cheepId }],
      ['org.cheeper.cheep.liked.v1', cheepId, { likerId: otherId, cheepId, authorId }],
      ['org.cheeper.cheep.unliked.v1', cheepId, { likerId: otherId, cheepId, authorId }],
      ['org.cheeper.cheep.deleted.v1', cheepId, { cheepId, authorId, inReplyTo: null, threadId: cheepId }],
    ]);
    // As docs/public-events.md says how to find it.
    expect(await nats.jsm.streams.names(`${system.namespace}.public.>`).next()).toEqual([stream]);
    expect(new Set(events.map(({ type }) => type))).toEqual(new Set(publicEventList.map(cloudEventType)));
  });

  it('has events that are CloudEvents, with data as their schemas in docs/public-events say', async () => {
    const folder = join(import.meta.dirname, '..', 'docs', 'public-events');
    // CommonJS: its types say that the function is the default's default.
    const ajv = (addFormats as unknown as typeof addFormats.default)(new Ajv2020({ strict: true, allErrors: true }));
    const schemas = new Map<string, { validate: ValidateFunction; fields: string[] }>();
    for (const file of readdirSync(folder)) {
      const schema = JSON.parse(readFileSync(join(folder, file), 'utf8')) as { $id: string; properties: Record<string, unknown> };
      schemas.set(schema.$id, { validate: ajv.compile(schema), fields: Object.keys(schema.properties) });
    }
    const bodies = await system.sql<{ body: string }>('SELECT body FROM journal');
    const entries = new Map(
      bodies.map(({ body }) => JSON.parse(body) as JournalEntry).map((entry): [string, JournalEntry] => [entry.entryId, entry]),
    );

    for (const { event, headers: h, subject } of await published()) {
      expect(() => new CheckedCloudEvent(event as unknown as CloudEventV1<unknown>).validate()).not.toThrow();
      expect(Object.keys(event)).toEqual(expect.arrayContaining(['specversion', 'id', 'source', 'type', 'subject', 'time', 'data']));
      expect(event).toMatchObject({ specversion: '1.0', datacontenttype: 'application/json', source: `/cheeper/${system.namespace}` });
      expect(event.time).toBe(entries.get(event.id)!.at);
      expect(event.sequence).toMatch(/^\d{16}$/);
      expect(h['Content-Type']).toBe('application/cloudevents+json');
      expect(`org.cheeper.${subject.replace(`${system.namespace}.public.${epoch}.`, '')}.v1`).toBe(event.type);
      const schema = schemas.get(event.dataschema)!;
      expect([schema.validate(event.data), schema.validate.errors]).toEqual([true, null]);
      expect(schema.fields).toEqual(expect.arrayContaining(Object.keys(event.data)));
    }
  });

  it('has no address, no hash and nothing of commands in any of its bytes', async () => {
    const all = await published();
    expect(all.length).toBeGreaterThan(10);
    const bodies = await system.sql<{ body: string }>('SELECT body FROM journal');
    const commandIds = bodies.map(({ body }) => (JSON.parse(body) as JournalEntry).commandId);
    for (const { bytes, headers: h, subject } of all) {
      const everything = `${subject} ${JSON.stringify(h)} ${bytes}`;
      expect(everything).not.toMatch(/example\.org|argon2|secret|password|email|command/i);
      expect(commandIds.filter((id) => everything.includes(id))).toEqual([]);
    }
  });
});

describe('in a burst', () => {
  it('no event is left out or published twice when who publishes is stopped, is replaced after its lease, and goes on', async () => {
    const authors: Author[] = await Promise.all(Array.from({ length: 8 }, () => system.author()));
    const [victim, ...others] = system.writeSides.filter((writeSide) => writeSide.log(10_000).includes('publishing public events'));
    expect(others).toEqual([]);
    const before = await holder();
    const { committed, stop } = load(system, authors);
    await eventually(() => committed() > 50, 'the load runs');
    victim!.signal('SIGSTOP');
    await eventually(async () => ![null, before].includes(await holder()), 'the other one publishes');
    const then = committed();
    await eventually(() => committed() > then + 50, 'the load goes on');
    victim!.signal('SIGCONT');
    await eventually(() => committed() > then + 200, 'the load goes on with both');
    await stop();
    await expectAllPublished();
  });

  it('no event is left out or published twice when the write side that publishes is killed with -9, and then the other one', async () => {
    const authors: Author[] = await Promise.all(Array.from({ length: 8 }, () => system.author()));
    const before = (await published()).length;
    const { committed, stop } = load(system, authors);
    for (const victim of system.writeSides) {
      const then = committed();
      await eventually(() => committed() > then + 50, 'the load runs');
      await victim.stop('SIGKILL');
      victim.start();
      await victim.ready();
    }
    await eventually(holder, 'somebody publishes again');
    const then = committed();
    await eventually(() => committed() > then + 50, 'the load goes on');
    await stop();
    expect((await expectAllPublished()).length).toBeGreaterThan(before + 100);
  });
});

describe('a public stream', () => {
  it.each(['purged', 'deleted'] as const)('that was %s is filled again, the same as before', async (how) => {
    const before = await expectAllPublished();
    if (how === 'purged') await nats.jsm.streams.purge(stream);
    else await nats.jsm.streams.delete(stream);
    await eventually(async () => (await published().catch(() => [])).length === before.length, 'it is as long as before');
    const after = await expectAllPublished();
    expect(after.map(({ subject, bytes }) => `${subject} ${bytes}`)).toEqual(before.map(({ subject, bytes }) => `${subject} ${bytes}`));
  });

  it('is whole also when the stream of events has lost some', async () => {
    const before = await expectAllPublished();
    const events = await nats.jsm.streams.info(names.events(epoch));
    for (let sequence = 1; sequence <= 5; sequence++) await nats.jsm.streams.deleteMessage(names.events(epoch), sequence);
    for (let sequence = 20; sequence <= 40; sequence++) await nats.jsm.streams.deleteMessage(names.events(epoch), sequence);
    expect(events.state.last_seq).toBeGreaterThan(40);
    await nats.jsm.streams.delete(stream);
    await eventually(async () => (await published().catch(() => [])).length === before.length, 'it is as long as before');
    await expectAllPublished();
  });

  it('goes on after what somebody has put into it by hand', async () => {
    const h = headers();
    h.set('X-Note', 'by hand');
    await nats.js.publish(names.publicEvent(epoch, 'cheep.posted'), 'not an event', { headers: h });
    for (let i = 0; i < 5; i++) await send('PostCheep', { authorId, cheepId: newId(), message: `after it ${i}`, inReplyTo: null });
    await expectAllPublished();
    await nats.js.publish(names.publicEvent(epoch, 'cheep.posted'), 'nor this', { headers: h });
    await Promise.all(system.writeSides.map((writeSide) => writeSide.stop()));
    for (const writeSide of system.writeSides) writeSide.start();
    await Promise.all(system.writeSides.map((writeSide) => writeSide.ready()));
    await send('PostCheep', { authorId, cheepId: newId(), message: 'after that', inReplyTo: null });
    await expectAllPublished();
  });
});
