/** What follows from each kind of event. */
import { describe, expect, it } from '@jest/globals';
import { newId } from '../../shared/ids.js';
import { commandMessage } from '../../shared/messages/command.js';
import type { Event, JournalEntry } from '../../shared/messages/event.js';
import { NotifyAuthor } from '../../shared/messages/notification.js';
import { reactionsTo } from './reactions.js';

const [alice, bob, carol, cheepId, parentId] = [newId(), newId(), newId(), newId(), newId()];
const NOW = new Date('2026-11-21T12:00:00.000Z');

const entryOf = (event: Event): JournalEntry => ({
  position: 7,
  entryId: newId(),
  schemaVersion: 1,
  aggregate: null,
  actorId: alice,
  commandId: newId(),
  commandName: 'Whatever',
  fingerprint: null,
  correlationId: newId(),
  causationId: newId(),
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  at: NOW.toISOString(),
  event,
});
const told = (event: Event) => reactionsTo(entryOf(event), NOW).map(({ payload }) => payload);
const mention = (authorId: string, start = 0) => ({ start, end: start + 4, authorId });
const posted = (by: string, inReplyToAuthorId: string | null, mentions: string[]): Event => ({
  type: 'CheepPosted',
  cheepId,
  authorId: by,
  message: 'm',
  mentions: mentions.map((id, i) => mention(id, 5 * i)),
  inReplyTo: inReplyToAuthorId && parentId,
  inReplyToAuthorId,
  threadId: parentId,
});

describe('an event', () => {
  it('of a sign-up welcomes the author', () => {
    const event: Event = {
      ...{ type: 'AuthorSignedUp', authorId: alice, username: 'alice', email: 'alice@example.org' },
      ...{ name: null, biography: null, location: null, website: null, birthDate: null },
    };
    expect(told(event)).toEqual([{ recipientId: alice, notice: { kind: 'WELCOME' } }]);
  });

  it('of a follow tells who is followed', () => {
    expect(told({ type: 'AuthorFollowed', followerId: alice, followedId: bob })).toEqual([
      { recipientId: bob, notice: { kind: 'FOLLOW', followerId: alice } },
    ]);
  });

  it('of a post tells whom it answers, and each who is mentioned, each of one thing: the answer first', () => {
    expect(told(posted(alice, null, []))).toEqual([]);
    expect(told(posted(alice, bob, [carol, bob, carol]))).toEqual([
      { recipientId: bob, notice: { kind: 'REPLY', cheepId } },
      { recipientId: carol, notice: { kind: 'MENTION', cheepId } },
    ]);
  });

  it('of an edit tells each who is mentioned', () => {
    const changes = { message: { from: 'a', to: 'b' } };
    const edited: Event = {
      type: 'CheepEdited',
      cheepId,
      authorId: alice,
      inReplyTo: parentId,
      threadId: parentId,
      changes,
      mentions: [mention(bob), mention(bob, 5)],
    };
    expect(told(edited)).toEqual([{ recipientId: bob, notice: { kind: 'MENTION', cheepId } }]);
  });

  it('of a like tells the author of the cheep', () => {
    expect(told({ type: 'CheepLiked', cheepId, authorId: bob, likerId: alice })).toEqual([
      { recipientId: bob, notice: { kind: 'LIKE', cheepId, likerId: alice } },
    ]);
  });

  it('tells nobody of what they did themselves', () => {
    expect(told(posted(alice, alice, [alice]))).toEqual([]);
    expect(told({ type: 'CheepLiked', cheepId, authorId: alice, likerId: alice })).toEqual([]);
  });

  it('of any other kind has no reaction', () => {
    expect(told({ type: 'AuthorUnfollowed', followerId: alice, followedId: bob })).toEqual([]);
    expect(told({ type: 'CheepUnliked', cheepId, authorId: bob, likerId: alice })).toEqual([]);
    expect(told({ type: 'CheepDeleted', cheepId, authorId: alice, inReplyTo: parentId, threadId: parentId })).toEqual([]);
    expect(told({ type: 'CommandHadNoEffect' })).toEqual([]);
    const notice = { kind: 'WELCOME' } as const;
    expect(told({ type: 'AuthorNotified', notificationId: newId(), recipientId: bob, sequence: 1, notice })).toEqual([]);
  });
});

describe('the commands that follow from an entry', () => {
  it('are right, say what caused them, and are the same whenever they are made', () => {
    const entry = entryOf(posted(alice, bob, [carol]));
    const commands = reactionsTo(entry, NOW);
    for (const command of commands) {
      expect(commandMessage.parse(command)).toEqual(command);
      expect(NotifyAuthor.schema.parse(command.payload)).toEqual(command.payload);
      expect(command).toMatchObject({ correlationId: entry.correlationId, causationId: entry.entryId, traceparent: entry.traceparent });
    }
    expect(reactionsTo(structuredClone(entry), NOW)).toEqual(commands);
    const another = reactionsTo({ ...entry, entryId: newId() }, NOW);
    expect(new Set([...commands, ...another].map(({ commandId }) => commandId)).size).toBe(4);
  });
});
