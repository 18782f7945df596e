import { describe, expect, it } from '@jest/globals';
import { newId } from '../ids.js';
import { decodeEntry, schemaVersionOf } from './upcast.js';

const ids = { cheepId: newId(), authorId: newId() };
const body = (schemaVersion: number, event: object) => ({
  entryId: newId(),
  schemaVersion,
  aggregate: { type: 'Cheep', id: ids.cheepId, version: 1 },
  at: '2026-01-01T00:00:00.000Z',
  event: { ...ids, message: 'Hello', ...event },
});

describe('an entry', () => {
  it('of today’s form is what it was stored as', () => {
    const stored = body(schemaVersionOf('CheepPosted'), {
      type: 'CheepPosted',
      mentions: [{ start: 0, end: 4, authorId: newId() }],
      inReplyTo: null,
      inReplyToAuthorId: null,
      threadId: ids.cheepId,
    });

    expect(decodeEntry(JSON.stringify(stored))).toEqual(stored);
  });

  it('of an older form has its event in today’s, and goes on telling in which it was written', () => {
    const parent = newId();
    const alone = body(1, { type: 'CheepPosted', inReplyTo: null });
    const reply = body(1, { type: 'CheepPosted', inReplyTo: parent });

    expect(decodeEntry(JSON.stringify(alone))).toEqual({
      ...alone,
      event: { ...alone.event, mentions: [], inReplyToAuthorId: null, threadId: ids.cheepId },
    });
    expect(decodeEntry(JSON.stringify(reply))).toEqual({
      ...reply,
      event: { ...reply.event, mentions: [], inReplyToAuthorId: null, threadId: parent },
    });
  });

  it('of a form that is newer than this process is refused', () => {
    expect(() => decodeEntry(JSON.stringify(body(3, { type: 'CheepPosted' })))).toThrow(
      'schema version 3, and this process knows 2 at most',
    );
    expect(() => decodeEntry(JSON.stringify(body(2, { type: 'CheepDeleted' })))).toThrow(
      'schema version 2, and this process knows 1 at most',
    );
  });
});
