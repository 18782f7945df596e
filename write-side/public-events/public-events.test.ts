/** What the outside hears of an entry, whatever is in the entry. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { newId } from '../../shared/ids.js';
import type { JournalEntry } from '../../shared/messages/event.js';
import { cloudEventType, publicEventList, publicEvents, schemaId, toPublicMessage } from './public-events.js';

const entryOf = (event: object, position = 42): JournalEntry => ({
  position,
  entryId: newId(),
  schemaVersion: 1,
  aggregate: { type: 'Author', id: newId(), version: 1 },
  actorId: newId(),
  commandId: newId(),
  fingerprint: 'fingerprint',
  commandName: 'Whatever',
  correlationId: newId(),
  causationId: newId(),
  traceparent: '00-trace',
  at: '2026-01-02T03:04:05.678Z',
  event: event as JournalEntry['event'],
});

const id = fc.uuid();
const line = fc.option(fc.string());
const profile = { name: line, biography: line, location: line, website: line };
const authorSignedUp = fc.record({
  type: fc.constant('AuthorSignedUp'),
  authorId: id,
  username: fc.string(),
  ...profile,
  birthDate: fc.constant(null),
});
const change = (value: fc.Arbitrary<unknown>) => fc.record({ from: fc.constant('what it was'), to: value });
const authorProfileUpdated = fc.record({
  type: fc.constant('AuthorProfileUpdated'),
  authorId: id,
  changes: fc.record({ name: change(line), biography: change(line), location: change(line) }, { requiredKeys: [] }),
});
const cheepEdited = fc.record({
  type: fc.constant('CheepEdited'),
  cheepId: id,
  authorId: id,
  inReplyTo: id,
  threadId: id,
  changes: fc.record({ message: change(fc.string()) }),
  mentions: fc.array(fc.record({ start: fc.nat(), end: fc.nat(), authorId: id })),
});

describe('a public event', () => {
  it('says what its schema names, new values only, and nothing else that the entry holds', () => {
    const secrets = fc.record({ email: fc.constant('alice@example.org'), passwordHash: fc.constant('$argon2id$'), more: fc.object() });
    fc.assert(
      fc.property(fc.oneof(authorSignedUp, authorProfileUpdated, cheepEdited), secrets, (event, secret) => {
        const entry = entryOf({ ...secret, ...event });
        const { event: said } = toPublicMessage(entry, '/cheeper/test')!;
        const definition = publicEventList.find((each) => cloudEventType(each) === said.type)!;
        expect(Object.keys(definition.data.shape)).toEqual(expect.arrayContaining(Object.keys(said.data)));
        const text = JSON.stringify(said);
        for (const secret of [
          'alice@example.org',
          '$argon2id$',
          'what it was',
          entry.commandId,
          entry.actorId,
          'fingerprint',
          '00-trace',
        ]) {
          expect(text).not.toContain(secret);
        }
        if ('changes' in event) {
          for (const [field, { to }] of Object.entries(event.changes)) expect(said.data[field]).toEqual(to);
        }
      }),
    );
  });

  it('is the same of the same entry, and in text as in numbers in the order of positions', () => {
    const [event] = fc.sample(cheepEdited, 1);
    const entry = entryOf(event!);
    expect(toPublicMessage(structuredClone(entry), 's')).toEqual(toPublicMessage(entry, 's'));
    const position = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(position, position, (a, b) => {
        const [first, second] = [a, b].map((n) => toPublicMessage({ ...entry, position: n }, 's')!.event.sequence) as [string, string];
        expect(Number(first)).toBe(a);
        expect(first < second).toBe(a < b);
      }),
    );
  });

  it('is said of every kind of entry, or there is a reason why not', () => {
    for (const definition of Object.values(publicEvents)) {
      if ('internal' in definition) expect(definition.internal).toMatch(/^.{10,}\.$/);
      else expect(definition.name).toMatch(/^(author|cheep)\.[a-z]+(-[a-z]+)*$/);
    }
    const types = publicEventList.map(cloudEventType);
    expect(new Set(types).size).toBe(types.length);
    expect(new Set(publicEventList.map(schemaId)).size).toBe(types.length);
    expect(toPublicMessage(entryOf({ type: 'CommandHadNoEffect' }), 's')).toBeNull();
    expect(
      toPublicMessage(entryOf({ type: 'AuthorEmailChanged', authorId: newId(), changes: { email: { from: 'a', to: 'b' } } }), 's'),
    ).toBeNull();
  });
});
