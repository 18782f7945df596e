/** What projections have in common. Whatever else they do, each must bear that its writes are run again. */
import { describe, expect, it } from '@jest/globals';
import { newId } from '../shared/ids.js';
import type { EventOf, EventType, JournalEntry } from '../shared/messages/event.js';
import { allShards } from './progress.js';
import { createProjections } from './projections.js';
import { shardName } from './shard.js';

/** One of each kind. */
const events: { [Type in EventType]: EventOf<Type> } = {
  AuthorSignedUp: {
    type: 'AuthorSignedUp',
    authorId: newId(),
    username: 'Alice',
    email: 'alice@example.org',
    name: null,
    biography: 'Hello',
    location: null,
    website: null,
    birthDate: '1999-12-31',
  },
  AuthorFollowed: { type: 'AuthorFollowed', followerId: newId(), followedId: newId() },
  AuthorUnfollowed: { type: 'AuthorUnfollowed', followerId: newId(), followedId: newId() },
  AuthorProfileUpdated: {
    type: 'AuthorProfileUpdated',
    authorId: newId(),
    changes: { name: { from: null, to: 'Alice' }, biography: { from: 'Hello', to: null } },
  },
  AuthorUsernameChanged: { type: 'AuthorUsernameChanged', authorId: newId(), changes: { username: { from: 'Alice', to: 'alice2' } } },
  AuthorEmailChanged: {
    type: 'AuthorEmailChanged',
    authorId: newId(),
    changes: { email: { from: 'a@example.org', to: 'b@example.org' } },
  },
  CheepPosted: {
    type: 'CheepPosted',
    cheepId: newId(),
    authorId: newId(),
    message: 'Hello @bob',
    mentions: [{ start: 6, end: 10, authorId: newId() }],
    inReplyTo: newId(),
    inReplyToAuthorId: newId(),
    threadId: newId(),
  },
  CheepEdited: {
    type: 'CheepEdited',
    cheepId: newId(),
    authorId: newId(),
    inReplyTo: newId(),
    threadId: newId(),
    changes: { message: { from: 'Hello', to: 'Bye' } },
    mentions: [],
  },
  CheepDeleted: { type: 'CheepDeleted', cheepId: newId(), authorId: newId(), inReplyTo: newId(), threadId: newId() },
  CheepLiked: { type: 'CheepLiked', likerId: newId(), cheepId: newId(), authorId: newId() },
  CheepUnliked: { type: 'CheepUnliked', likerId: newId(), cheepId: newId(), authorId: newId() },
  AuthorNotified: {
    type: 'AuthorNotified',
    notificationId: newId(),
    recipientId: newId(),
    sequence: 3,
    notice: { kind: 'LIKE', cheepId: newId(), likerId: newId() },
  },
  NotificationsRead: { type: 'NotificationsRead', authorId: newId(), upTo: 3 },
  CommandRefused: { type: 'CommandRefused', code: 'AUTHOR_NOT_FOUND', field: ['authorId'] },
  CommandHadNoEffect: { type: 'CommandHadNoEffect' },
};

const entryOf = (event: EventOf<EventType>, position = 7): JournalEntry => ({
  position,
  entryId: newId(),
  schemaVersion: 1,
  aggregate: { type: 'Cheep', id: newId(), version: 3 },
  actorId: newId(),
  commandId: newId(),
  fingerprint: null,
  commandName: 'Whatever',
  correlationId: newId(),
  causationId: newId(),
  traceparent: null,
  at: new Date(0).toISOString(),
  event,
});

const types = Object.keys(events) as EventType[];
const projections = createProjections({ HOT_FOLLOWERS: 1_000 });
const named = projections.map((projection) => ({ name: projection.id.name, projection }));

/** Run again with the same arguments, they change nothing: none counts, appends or draws lots. */
const REPEATABLE = new Set(['SET', 'DEL', 'UNLINK', 'HSET', 'HDEL', 'SADD', 'SREM', 'ZADD', 'ZREM']);
/** In Lua also those that only read, trim, or make a set from sets. `log` has its own way to be run again. */
const REPEATABLE_IN_LUA = new Set([
  ...REPEATABLE,
  ...[
    'GET',
    'HGET',
    'HEXISTS',
    'HLEN',
    'SMEMBERS',
    'SISMEMBER',
    'SCARD',
    'ZCARD',
    'ZCOUNT',
    'ZSCORE',
    'ZRANGE',
    'ZRANGEBYSCORE',
    'ZREVRANGE',
    'EXISTS',
  ],
  // To a list is only added what is newer than its newest, or after its end was taken away: timelines fail in the middle in their test.
  ...['LLEN', 'LINDEX', 'LRANGE', 'LTRIM', 'RPUSH', 'SDIFF'],
  // How many merge an author is counted only where SADD or SREM says that it has changed the set.
  'HINCRBY',
  ...['ZREMRANGEBYRANK', 'ZREMRANGEBYSCORE', 'ZUNIONSTORE', 'ZINTERSTORE', 'ZDIFFSTORE', 'ZRANGESTORE'],
]);

describe.each(named)('$name', ({ projection }) => {
  const functions = new Set([...projection.lua.matchAll(/^functions\.(\w+) = function/gm)].map(([, name]) => name!));

  it.each(types)('writes for %s only what can be written again, and the same each time', (type) => {
    const entry = entryOf(events[type]);
    const before = structuredClone(entry);
    const writes = projection.writes(entry);

    for (const { id, write } of writes) {
      const [command, key, ...args] = write;
      expect(functions.has(command) || REPEATABLE.has(command) ? command : `${command} cannot be run again`).toBe(command);
      expect(key).not.toBe('');
      for (const part of [id ?? '', key, ...args]) expect(String(part)).not.toMatch(/undefined|NaN|\[object/);
    }
    expect(projection.writes(structuredClone(before))).toEqual(writes);
    expect(entry).toEqual(before);
  });

  it('has Lua that can be run again too', () => {
    const called = [...projection.lua.matchAll(/redis\.p?call\(([^,)]*)/g)].map(([, command]) => command!);
    for (const command of called) expect(REPEATABLE_IN_LUA).toContain(command.slice(1, -1));
  });

  // Members of one score are in alphabetical order.
  const score = projection.id.name === 'search' ? 0 : 1_234;
  it(score === 0 ? 'lists in alphabetical order' : 'scores what it lists by the position of the event', () => {
    for (const type of types) {
      for (const { write } of projection.writes(entryOf(events[type], 1_234))) if (write[0] === 'ZADD') expect(write[2]).toBe(score);
    }
  });
});

describe('the projections', () => {
  it('whose progress the gateway waits for are all that there are', () => {
    const shards = 3;
    const wanted = projections.flatMap(({ id }) => Array.from({ length: shards }, (_, number) => shardName({ projection: id, number })));

    expect(allShards({ namespace: 'n', epoch: 'e', shards }).map(shardName).toSorted()).toEqual(wanted.toSorted());
    expect(new Set(wanted).size).toBe(wanted.length);
  });

  it('hear of every kind of event: what came of a command is always told', () => {
    for (const type of types)
      expect(projections.flatMap((projection) => projection.writes(entryOf(events[type]))).length).toBeGreaterThan(0);
  });
});
