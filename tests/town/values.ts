/** What people type: values for fields, right and wrong, each with what becomes of it. */
import fc from 'fast-check';

/** What is sent, and how it is kept, or the code that it is refused with at the door. */
export interface Typed<T = string> {
  sent: T;
  kept: T;
  fault: string | null;
}

const right = <T>(sent: T, kept = sent): Typed<T> => ({ sent, kept, fault: null });
const wrong = <T>(sent: T, fault: string): Typed<T> => ({ sent, kept: sent, fault });

const BLANK = [wrong('', 'TOO_SHORT'), wrong(' \u3000', 'TOO_SHORT'), wrong('\u200b\u2060', 'TOO_SHORT')];
const NOT_TEXT = ['a\u0007b', 'a\ud800b', 'a\u200bb', 'a\u202eb', 'a\u2028b'].map((text) => wrong(text, 'INVALID'));

export const WRONG_MESSAGES = [...BLANK, ...NOT_TEXT, wrong('x'.repeat(261), 'TOO_LONG'), wrong('👩‍👩‍👧‍👦'.repeat(100), 'TOO_LONG')];
export const WRONG_USERNAMES = [
  wrong('', 'TOO_SHORT'),
  wrong('ab', 'TOO_SHORT'),
  wrong('a'.repeat(31), 'TOO_LONG'),
  wrong('with space', 'INVALID'),
  wrong('bob@example', 'INVALID'),
  wrong('zoë', 'INVALID'),
];
export const WRONG_EMAILS = [
  wrong('bob', 'INVALID'),
  wrong('bob@', 'INVALID'),
  wrong('b\u200bob@example.org', 'INVALID'),
  wrong(`${'x'.repeat(250)}@example.org`, 'TOO_LONG'),
];
export const WRONG_PASSWORDS = [wrong('1234567', 'TOO_SHORT'), wrong('p'.repeat(129), 'TOO_LONG')];

const cleared = right<string | null>(null);
const profileTexts = {
  name: [
    right('Bob'),
    right('Zoe\u0308', 'Zoë'),
    right('👩‍👩‍👧 & Co'),
    ...BLANK,
    ...NOT_TEXT,
    wrong('a\nb', 'INVALID'),
    wrong('n'.repeat(51), 'TOO_LONG'),
  ],
  biography: [right('I like\nlines'), right('b'.repeat(280)), ...BLANK, ...NOT_TEXT, wrong('b'.repeat(281), 'TOO_LONG')],
  location: [right('Aarhus'), right('שלום'), ...BLANK, ...NOT_TEXT, wrong('l'.repeat(101), 'TOO_LONG')],
  website: [
    right('https://example.org/~bob'),
    right('http://localhost:8080', 'http://localhost:8080/'),
    right('HTTPS://Example.org:443/ü', 'https://example.org/%C3%BC'),
    wrong('https:example.org', 'INVALID'),
    wrong('ftp://example.org', 'INVALID'),
    wrong('example.org', 'INVALID'),
    wrong(`https://example.org/${'w'.repeat(255)}`, 'TOO_LONG'),
  ],
  birthDate: [right('1990-02-28'), right('2000-02-29'), wrong('2999-01-01', 'INVALID')],
};
/** Each field of a profile, or null to clear it; a wrong one now and then. */
const profileField = (values: Typed[]) => {
  const [good, bad] = [values.filter(({ fault }) => !fault), values.filter(({ fault }) => fault)];

  return fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom<Typed<string | null>[]>(cleared, ...good) },
    { weight: 1, arbitrary: fc.constantFrom<Typed<string | null>[]>(...bad) },
  );
};

/** Some of the fields; one that is absent is not named. */
export const profile = fc.record(
  {
    name: profileField(profileTexts.name),
    biography: profileField(profileTexts.biography),
    location: profileField(profileTexts.location),
    website: profileField(profileTexts.website),
    birthDate: profileField(profileTexts.birthDate),
  },
  { requiredKeys: [] },
);

/** Pieces of a message: words, or somebody's name of now or of once, which is only known when it is written. */
export type Piece = { text: string } | { name: number; isLoud: boolean } | { formerName: number } | { crowd: number };

/** What may stand before a name, or in its way. */
const BESIDE_NAMES = ['/', '=', '#', 'の', '＠', '-', 'https://example.org/', 'https://example.org/a,'];

export const pieces = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .constantFrom(
          'hello',
          'é',
          'e\u0301',
          '👩‍👩‍👧',
          '🇩🇰',
          'שלום',
          '\n',
          ' ',
          '.',
          'bob@example.org',
          '@nobody_here',
          '@ab',
          '@',
          'x',
          '_',
          ...BESIDE_NAMES,
        )
        .map((text): Piece => ({ text })),
    },
    { weight: 6, arbitrary: fc.record({ name: fc.nat(20), isLoud: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ formerName: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ crowd: fc.integer({ min: 18, max: 22 }) }) },
  ),
  { minLength: 1, maxLength: 8, size: 'max' },
);

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** The pieces in a row, as many as fit into a message. */
export function written(pieces: Piece[], nameOf: (piece: { name: number } | { formerName: number }) => string): Typed {
  let message = '';
  for (const piece of pieces) {
    const text =
      'text' in piece
        ? piece.text
        : 'crowd' in piece
          ? '@abc '.repeat(piece.crowd)
          : `@${'name' in piece && piece.isLoud ? nameOf(piece).toUpperCase() : nameOf(piece)} `;
    const longer = message + text;
    if ([...graphemes.segment(longer.normalize('NFC'))].length > 260) break;
    message = longer;
  }
  if (message.trim() === '') message += '0';

  return right(message, message.normalize('NFC'));
}
