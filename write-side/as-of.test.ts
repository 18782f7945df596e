import { describe, expect, it } from '@jest/globals';
import { newId } from '../shared/ids.js';
import type { DomainEvent, JournalEntry } from '../shared/messages/event.js';
import { difference, fold, until } from './as-of.js';

const cheepId = newId();
const authorId = newId();
const at = (seconds: number) => `2026-01-01T00:00:0${seconds}.000Z`;

const entry = (position: number, version: number, event: DomainEvent, seconds = position): JournalEntry => ({
  position,
  entryId: newId(),
  schemaVersion: 1,
  aggregate: { type: 'Cheep', id: cheepId, version },
  actorId: authorId,
  commandId: newId(),
  commandName: 'Whatever',
  fingerprint: null,
  correlationId: newId(),
  causationId: newId(),
  traceparent: null,
  at: at(seconds),
  event,
});
const posted: DomainEvent = {
  ...{ type: 'CheepPosted', cheepId, authorId, message: 'One', mentions: [] },
  ...{ inReplyTo: null, inReplyToAuthorId: null, threadId: cheepId },
};
const edited: DomainEvent = {
  ...{ type: 'CheepEdited', cheepId, authorId, inReplyTo: null, threadId: cheepId, mentions: [] },
  changes: { message: { from: 'One', to: 'Two' } },
};

describe('an aggregate as of a moment', () => {
  const entries = [entry(3, 1, posted), entry(5, 2, edited)];

  it('has all that happened by then', () => {
    for (const [moment, count] of [
      [{ position: 2 }, 0],
      [{ position: 3 }, 1],
      [{ position: 4 }, 1],
      [{ position: 5 }, 2],
      [{ at: Date.parse(at(3)) - 1 }, 0],
      [{ at: Date.parse(at(3)) }, 1],
      [{ at: Date.parse(at(5)) }, 2],
    ] as const) {
      expect(until(entries, moment)).toEqual(entries.slice(0, count));
    }
    expect(fold([])).toBeNull();
    expect(fold(entries.slice(0, 1))).toMatchObject({ message: 'One', version: 1, postedAt: at(3) });
    expect(fold(entries)).toMatchObject({ message: 'Two', version: 2, postedAt: at(3) });
  });

  it('is whole also when a clock went back', () => {
    const backwards = [entry(3, 1, posted, 4), entry(5, 2, edited, 2)];
    expect(until(backwards, { at: Date.parse(at(3)) })).toEqual([]);
    expect(until(backwards, { at: Date.parse(at(4)) })).toEqual(backwards);
  });

  it('is not made of entries that are not all there', () => {
    expect(() => fold([entry(3, 2, posted)])).toThrow('said to be at version 2');
    expect(() => fold([entry(5, 2, edited)])).toThrow('CheepEdited comes before there is a Cheep');
    expect(() => fold([entry(3, 1, { type: 'NotificationsRead', authorId, upTo: 1 })])).toThrow('no event of an aggregate with a history');
  });
});

describe('the difference of two states', () => {
  it('names the fields that are not the same', () => {
    expect(difference({ a: 1, b: null, c: 'x' }, { a: 2, b: null, c: 'x' })).toEqual([{ field: 'a', from: 1, to: 2 }]);
    expect(difference(null, { a: 2, b: null })).toEqual([{ field: 'a', from: null, to: 2 }]);
    expect(difference({ a: 2 }, null)).toEqual([{ field: 'a', from: 2, to: null }]);
    expect(difference(null, null)).toEqual([]);
  });
});
