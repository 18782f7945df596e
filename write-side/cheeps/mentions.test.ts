import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Author } from '../authors/author.js';
import { mentionedUsernames, mentionsIn } from './mentions.js';

const people = ['bob', 'alice', 'Under_Score9', 'a'.repeat(30)];
const state = {
  authorByUsername: (username: string) => {
    const known = people.find((name) => name.toLowerCase() === username.toLowerCase());

    return known === undefined ? undefined : Object.assign(new Author(), { id: `id of ${known}`, username: known });
  },
};
const named = (message: string) => mentionsIn(message, state).map(({ start, end, authorId }) => [message.slice(start, end), authorId]);

describe('mentions', () => {
  it('are names after an @, in any case, in order, each time that they stand there', () => {
    expect(named('@bob and @ALICE, (@bob)! @under_score9.')).toEqual([
      ['@bob', 'id of bob'],
      ['@ALICE', 'id of alice'],
      ['@bob', 'id of bob'],
      ['@under_score9', 'id of Under_Score9'],
    ]);
  });

  it.each([
    'bob@bob.com',
    'é@bob',
    'x_@bob',
    '7@bob',
    '@bobby',
    '@bob_',
    '@bobé',
    '@bobe\u0301',
    '@ bob',
    '@bo',
    'bob',
    `@${'a'.repeat(31)}`,
    '@nobody',
  ])('are not inside a word, nor of who is not there: %s', (message) => {
    expect(named(message)).toEqual([]);
  });

  it.each(['https://example.org/@bob', 'x=@bob', 'a/@bob', '#@bob', '@bob@elsewhere', '@bob@bob.com', '@@bob', '@bob.smith', '@bob-smith'])(
    'are not inside of something longer: %s',
    (message) => {
      expect(named(message)).toEqual([]);
    },
  );

  it.each(['@bob', '@bob\n', '\n@bob', '.@bob.', '@bob-', '@bob’s', '👩‍👩‍👧@bob👍', '❤️@bob', '「@bob」', 'の@bobに', '(@bob)', 'RT @bob:'])(
    'may stand beside anything else: %s',
    (message) => {
      expect(named(message)).toEqual([['@bob', 'id of bob']]);
    },
  );

  it('may have a full-width @', () => {
    expect(named('＠bob')).toEqual([['＠bob', 'id of bob']]);
  });

  it('count as UTF-16 does', () => {
    expect(mentionsIn('👍🏽 @bob', state)).toEqual([{ start: 5, end: 9, authorId: 'id of bob' }]);
  });

  it('are the first 20 names, known or not', () => {
    expect(mentionedUsernames('@nobody '.repeat(19) + '@bob @alice')).toHaveLength(20);
    expect(named('@nobody '.repeat(19) + '@bob @alice')).toEqual([['@bob', 'id of bob']]);
  });

  it('never overlap, lie inside the message, and ask only for what may be a username', () => {
    const text = fc.array(fc.oneof(fc.constantFrom('@', 'bob', '@alice', ' ', '_', 'é', '👍', '\n', '.'), fc.string({ unit: 'grapheme' })));
    fc.assert(
      fc.property(text, (parts) => {
        const message = parts.join('');
        let last = 0;
        for (const { start, end } of mentionsIn(message, state)) {
          expect(start).toBeGreaterThanOrEqual(last);
          expect('@＠').toContain(message[start]);
          expect(end).toBeLessThanOrEqual(message.length);
          last = end;
        }
        for (const username of mentionedUsernames(message)) expect(username).toMatch(/^\w{3,30}$/);
      }),
    );
  });
});
