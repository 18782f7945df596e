import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { domainToASCII } from 'node:url';
import { z } from 'zod';
import * as rules from './rules.js';
import { faultsOf, graphemeCount } from './rules.js';

/** What a rule makes of a value: the value as it is kept, or its fault. */
const judge = (rule: z.ZodType<string>, value: unknown): { kept: string } | { fault: string } => {
  const { data, error } = rule.safeParse(value);
  return error ? { fault: faultsOf(error)[0]!.code } : { kept: data };
};
const isKept = (rule: z.ZodType<string>, value: unknown) => 'kept' in judge(rule, value);

// From letters to control characters, halves of pairs, marks without letters, and families.
const anyText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)), maxLength: 40 }),
  fc.string({
    unit: fc.constantFrom('a', ' ', '\n', '\t', '\u200b', '\u0301', '\ud83d', '\udc68', '\u200d', '👨‍👩‍👧‍👦', '🇩🇪', 'ü', 'ש'),
    maxLength: 300,
  }),
);

/** All of Unicode, but of its large uniform parts (ideographs, Hangul, private and unassigned ones) each 97th. */
const characters = Array.from({ length: 0x110000 }, (_, point) => point)
  .filter(
    (point) => point % 97 === 0 || !/[\p{Script=Han}\p{Script=Hangul}\p{Co}\p{Cn}]|\p{Script=Tangut}/u.test(String.fromCodePoint(point)),
  )
  .concat([0x115f, 0x1160, 0x3164, 0xffa0, 0xfffe, 0xffff, 0xfdd0, 0x2065, 0xfff0, 0xe0fff])
  .map((point) => String.fromCodePoint(point));
const nameOf = (character: string) => `U+${character.codePointAt(0)!.toString(16)}`;

it.each(Object.entries(rules.typed))('%s is judged at once, however many marks there are to put into order', (_, rule) => {
  const marks = (n: number) => 'a' + '\u0301'.repeat(n) + '\u0323'.repeat(n);
  const start = performance.now();
  for (const text of [marks(60_000), `${marks(60_000)}@example.org`]) expect(judge(rule, text)).toHaveProperty('fault');
  expect(performance.now() - start).toBeLessThan(3_000);
});

it('a text of 4,096 code units, or more, has 2,048 bytes in NFC, or more', () => {
  for (const character of characters) {
    const parts = character.normalize('NFD').length;
    if (parts > 2 * Buffer.byteLength(character.normalize('NFC'))) throw new Error(nameOf(character));
  }
});

describe('a text', () => {
  const texts = {
    message: { rule: rules.message, most: 260, lines: true },
    biography: { rule: rules.biography, most: 280, lines: true },
    location: { rule: rules.location, most: 100, lines: false },
    name: { rule: rules.name, most: 50, lines: false },
  };

  it.each(Object.entries(texts))(
    '(%s) that is taken is in NFC, well-formed, not blank, and within its bounds',
    (_, { rule, most, lines }) => {
      fc.assert(
        fc.property(anyText, (text) => {
          const judged = judge(rule, text);
          if ('fault' in judged) return;
          const { kept } = judged;
          expect(kept).toBe(text.normalize('NFC'));
          expect(judge(rule, kept)).toEqual({ kept });
          expect(kept.isWellFormed()).toBe(true);
          expect(kept.trim()).not.toBe('');
          expect([...new Intl.Segmenter('und').segment(kept)].length).toBeLessThanOrEqual(most);
          expect(Buffer.byteLength(kept)).toBeLessThanOrEqual(2_048);
          expect(kept.replaceAll(lines ? '\n' : '', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/); // eslint-disable-line no-control-regex
        }),
      );
    },
  );

  it.each(Object.entries(texts))('(%s) of printable letters is taken exactly up to its bound', (_, { rule, most }) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 * most }), fc.constantFrom('x', 'é', 'e\u0301', 'ש', '7'), (n, letter) => {
        expect(judge(rule, letter.repeat(n))).toEqual(n <= most ? { kept: letter.normalize('NFC').repeat(n) } : { fault: 'TOO_LONG' });
      }),
    );
  });

  it('is judged the same however it is composed, and taken again as it was kept', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const judged = judge(rules.message, text);
        expect(judge(rules.message, text.normalize('NFD'))).toEqual(judged);
        if ('kept' in judged) expect(judge(rules.message, judged.kept)).toEqual(judged);
      }),
    );
  });

  it.each(['', ' ', '\n\n', '\u2800', '\u00a0\u2003', '\u200b\u200d\ufeff', '\u3164', '\u00ad'])(
    'of nothing to be seen (%j) is TOO_SHORT',
    (text) => {
      expect(judge(rules.message, text)).toEqual({ fault: 'TOO_SHORT' });
    },
  );

  it.each([
    ['emoji of several parts', '👨‍👩‍👧‍👦👩🏽‍🚀🏴‍☠️❤️‍🔥🏳️‍🌈🏃🏽‍♀️‍➡️🐈‍⬛'],
    ['forms of emoji, keycaps, flags of regions', '☺️☺︎‼️1️⃣#️⃣🇩🇰🏴󠁧󠁢󠁥󠁮󠁧󠁿✌🏿'],
    ['joiners of Indic scripts', 'क्‍ष र्‍य ශ්‍රී നന്‍മ'],
    ['non-joiners of Persian', 'می‌خواهم'],
    ['spaces of Khmer that do not show', 'ខ្ញុំ\u200bទៅ'],
    ['marks of a direction beside letters from right to left', 'שלום\u200f! C\u200e++ عربي\u061c؟'],
    ['variants of ideographs', '葛\u{e0100}城'],
    ['signs around numbers', '\u0600١٢\u06dd'],
    ['private characters, and those of a later Unicode', '\uf8ff\u{1faff}'],
    ['white space that is seen', 'a\u00a0b\u3000c\u2003d'],
  ])('may have %s', (_, text) => expect(judge(rules.message, text)).toEqual({ kept: text.normalize('NFC') }));

  it.each([
    ['a zero-width space, joiner or non-joiner', ['a\u200bb', 'a\u200cb', 'a\u200db', 'a\u2060b', '\ufeffa', 'a\ufeff']],
    ['a joiner of nothing', ['👩\u200d', '\u200d👩', '👩\u200da', 'a\u200d👩', '👩\u200d\u200d👩', 'क्\u200d\u200d']],
    ['a soft hyphen, or what else never shows', ['a\u00adb', 'a\u034fb', 'a\u180eb', 'a\u2061b', 'a\u206ab', 'a\ufff9b', 'a\u{1d173}b']],
    ['a filler', ['a\u3164b', 'a\u115fb', 'a\u1160b', 'a\uffa0b', 'a\u17b4b']],
    ['marks of a direction in a text that has one', ['a\u200eb', 'a\u200fb', 'a\u061cb']],
    [
      'embeddings, overrides and isolates',
      ['\u202a', '\u202b', '\u202c', '\u202d', '\u202e', '\u2066', '\u2067', '\u2068', '\u2069'].map((c) => `ש${c}a`),
    ],
    ['a variant of what has none', ['a\ufe0f', 'é\ufe00', '☺\ufe0f\ufe0f', 'a\u{e0100}', '葛\u{e0100}\u{e0101}', '\ufe0fa']],
    [
      'tags outside of a flag',
      ['a\u{e0041}\u{e0042}', '🏴\u{e0067}\u{e0062}\u{e0065}', '👍\u{e0067}\u{e0062}\u{e0065}\u{e007f}', '\u{e0001}a'],
    ],
    ['noncharacters', ['a\ufffe', 'a\uffff', 'a\ufdd0', 'a\u{1fffe}', 'a\u{10ffff}']],
    ['lines that are no newline', ['a\u2028b', 'a\u2029b', 'a\u0085b', 'a\vb', 'a\fb', 'a\r\nb']],
  ])('has none of %s', (_, bad) => {
    for (const text of bad) {
      for (const rule of [rules.message, rules.biography, rules.location, rules.name])
        expect(judge(rule, text)).toEqual({ fault: 'INVALID' });
    }
  });

  it('with any character of Unicode is refused, or is kept in a form that is kept again', () => {
    for (const character of characters) {
      const { data } = rules.message.safeParse(`a${character}b`);
      if (data === undefined) continue;
      if (/[\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}\p{Default_Ignorable_Code_Point}]|(?!\n)\p{Cc}/u.test(data))
        throw new Error(nameOf(character));
      if (data !== data.normalize('NFC') || rules.message.safeParse(data).data !== data) throw new Error(nameOf(character));
    }
  });

  it('of a zero is a text', () => expect(judge(rules.message, '0')).toEqual({ kept: '0' }));

  it('has its first fault told: what is broken, before how long it is', () => {
    expect(judge(rules.message, `\0${'x'.repeat(300)}`)).toEqual({ fault: 'INVALID' });
    expect(judge(rules.username, 'é')).toEqual({ fault: 'INVALID' });
  });
});

describe('graphemeCount', () => {
  it('counts what people call characters', () => {
    expect(['', 'abc', 'e\u0301', '👨‍👩‍👧‍👦', '🇩🇪🇫🇷', '\r\n', 'नमस्ते', '각'].map((text) => graphemeCount(text))).toEqual([0, 3, 1, 1, 2, 1, 3, 1]);
  });

  it('stops just above the bound', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.nat({ max: 70 }), (text, most) => {
        const all = [...new Intl.Segmenter('und').segment(text)].length;
        expect(graphemeCount(text)).toBe(all);
        expect(graphemeCount(text, most)).toBe(Math.min(all, most + 1));
      }),
    );
    const timed = (work: () => unknown) => {
      const start = performance.now();
      work();
      return performance.now() - start;
    };
    const long = 'ab'.repeat(1_000_000);
    // One of them alone may be interrupted for longer than the whole text takes. (To begin takes a fifth of that: ICU looks at the whole text.)
    const shortest = Math.min(...Array.from({ length: 5 }, () => timed(() => graphemeCount(long, 260))));
    expect(shortest * 2).toBeLessThan(timed(() => graphemeCount(long)));
  });
});

describe('an id', () => {
  it('is any UUID, in lower case', () => {
    fc.assert(
      fc.property(fc.uuid({ version: [1, 4, 5, 7] }), (id) => {
        expect(judge(rules.id, id.toUpperCase())).toEqual({ kept: id });
      }),
    );
    for (const character of characters) {
      const { data } = rules.id.safeParse(`0198c5f0-7c1a-7000-8000-00000000000${character}`);
      if (data !== undefined && !/^[0-9a-f-]{36}$/.test(data)) throw new Error(nameOf(character));
    }
    // The nil UUID stands for nobody.
    expect(judge(rules.id, '00000000-0000-0000-0000-000000000000')).toEqual({ fault: 'INVALID' });
  });

  it('is nothing else', () => {
    const near = fc
      .tuple(fc.uuid(), fc.nat({ max: 36 }), fc.constantFrom('', ' ', 'g', '-', '{', '\n'))
      .map(([id, at, char]) => id.slice(0, at) + char + id.slice(at + 1));
    fc.assert(
      fc.property(fc.oneof(anyText, near), (text) => {
        fc.pre(!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text) || text.includes('\n'));
        expect(judge(rules.id, text)).toEqual({ fault: 'INVALID' });
      }),
    );
  });
});

describe('a username', () => {
  it('is 3 to 30 letters of ASCII, digits and underscores', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'Z', '0', '_', '-', 'é', ' ', '\n'), maxLength: 34 });
    const good = fc.string({ unit: fc.constantFrom('a', 'Z', '0', '_'), maxLength: 34 });
    fc.assert(
      fc.property(fc.oneof(word, good, anyText), (text) => {
        expect(isKept(rules.username, text)).toBe(/^[A-Za-z0-9_]{3,30}$/.test(text) && !text.includes('\n'));
      }),
    );
  });
});

describe('a password', () => {
  it('is 8 to 128 code points, in NFC, whatever they are', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, fc.string({ unit: 'binary', minLength: 100, maxLength: 150 })), (text) => {
        const nfc = text.normalize('NFC');
        const points = [...nfc].length;
        const fault = !nfc.isWellFormed() ? 'INVALID' : points < 8 ? 'TOO_SHORT' : points > 128 ? 'TOO_LONG' : null;
        expect(judge(rules.password, text)).toEqual(fault ? { fault } : { kept: nfc });
      }),
    );
  });
});

describe('an e-mail address', () => {
  it('is kept in lower case, and is then what it is', () => {
    fc.assert(
      fc.property(fc.emailAddress(), (address) => {
        const judged = judge(rules.email, address);
        if ('fault' in judged) return;
        expect(judged.kept).toBe(address.toLowerCase());
        expect(judge(rules.email, address.toUpperCase())).toEqual(judged);
        expect(judge(rules.email, judged.kept)).toEqual(judged);
      }),
    );
  });

  it('is the same however it is written', () => {
    const part = fc.string({
      unit: fc.oneof(
        fc.constantFrom('a', 'Z', '.', '-', 'ü', 'ß', 'Σ', 'İ', '例', '\u0323', '\u0307'),
        fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      ),
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(part, part, (local, domain) => {
        const judged = judge(rules.email, `${local}@${domain}.example`);
        if ('fault' in judged) return;
        const { kept } = judged;
        expect(kept).toBe(kept.normalize('NFC').toLowerCase());
        const other = `${local.normalize('NFD')}@${domainToASCII(domain).toUpperCase()}.EXAMPLE`;
        for (const typed of [kept, kept.normalize('NFD'), other]) expect(judge(rules.email, typed)).toEqual(judged);
        expect(rules.emailsToLookUp(`${local}@${domain}.example`)).toContain(kept);
      }),
      { numRuns: 3_000 },
    );
  });

  it.each([
    'a@b.co',
    'First.Last+tag@sub.example.org',
    "o'neil@example.org",
    'jürgen@bücher.example',
    '二@例え.jp',
    'a@faß.example',
    'i\u0307@x.example',
  ])('is %s', (address) => {
    expect(judge(rules.email, address)).toEqual({ kept: address.toLowerCase() });
  });

  it.each([
    ['x@xn--bcher-kva.example', 'x@bücher.example'],
    ['x@BU\u0308CHER.EXAMPLE', 'x@bücher.example'],
    ['x@ｂücher．example', 'x@bücher.example'],
    ['x@example。org', 'x@example.org'],
    ['U\u0308@example.org', 'ü@example.org'],
    ['\u212aarl@example.org', 'karl@example.org'],
  ])('%s is %s', (typed, kept) => expect(judge(rules.email, typed)).toEqual({ kept }));

  it.each([
    '',
    '@',
    'a@b',
    'a b@example.org',
    'a@example..org',
    'a@-example.org',
    '<a@example.org>',
    'a@example.org\n',
    'a@[127.0.0.1]',
    'a@127.0.0.1',
    'a@example.org, b@example.org',
    'a\ud800@example.org',
    'a@exam\udc00ple.org',
    '"a"@example.org',
    'a(b)@example.org',
    'a..b@example.org',
    'a@example.org.',
    'a@example.org:25',
    'a@example.org/b',
    'a@ex%61mple.org',
    'a@xn--a.org',
    'ａ@example.org',
    'ﬁ@example.org',
    'a＠example.org',
    '\u0301a@example.org',
  ])('is not %j', (address) => expect(judge(rules.email, address)).toEqual({ fault: 'INVALID' }));

  it('has no character that does not show, in either part', () => {
    for (const character of characters) {
      if (!/[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]/u.test(character)) continue;
      for (const address of [`a${character}b@example.org`, `ab${character}@example.org`, `ab@exam${character}ple.org`]) {
        if (rules.email.safeParse(address).success) throw new Error(`${nameOf(character)} in ${address}`);
      }
    }
  });

  it('has at most 254 characters', () => {
    expect(judge(rules.email, `${'a'.repeat(250)}@b.co`)).toEqual({ fault: 'TOO_LONG' });
  });

  it('of an earlier release is looked up as it was kept', () => {
    expect(rules.emailsToLookUp('A\u200bB@Example.org')).toEqual(['a\u200bb@example.org']);
    expect(rules.emailsToLookUp('x@XN--bcher-kva.example')).toEqual(['x@xn--bcher-kva.example', 'x@bücher.example']);
    expect(rules.emailsToLookUp('x@example.org')).toEqual(['x@example.org']);
    expect(rules.emailsToLookUp('x\ud800@example.org')).toEqual([]);
  });
});

describe('a website', () => {
  it('that is taken is a link that a page may show', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.webUrl({ withFragments: true, withQueryParameters: true, validSchemes: ['http', 'https', 'ftp', 'javascript'] }),
          anyText,
        ),
        (text) => {
          if (!isKept(rules.website, text)) return;
          const { kept } = judge(rules.website, text) as { kept: string };
          expect(judge(rules.website, kept)).toEqual({ kept });
          const { protocol, username, password, href } = new URL(text);
          expect(kept).toBe(href);
          expect(['http:', 'https:']).toContain(protocol);
          expect([username, password]).toEqual(['', '']);
          expect(kept.length).toBeLessThanOrEqual(255);
          expect(kept).toMatch(/^https?:\/\/[!-~]+$/);
          expect(kept).not.toMatch(/[\s<>"\\]/);
        },
      ),
    );
  });

  it.each([
    ['https://example.org/', 'https://example.org/'],
    ['http://localhost:8080/~me?a=b#c', 'http://localhost:8080/~me?a=b#c'],
    ['https://example.org', 'https://example.org/'],
    ['HTTPS://Example.ORG:443/a/../b', 'https://example.org/b'],
    ['https://bücher.example/ü?ü#ü', 'https://xn--bcher-kva.example/%C3%BC?%C3%BC#%C3%BC'],
    ['https://bu\u0308cher.example', 'https://xn--bcher-kva.example/'],
    ['https://раураl.example', 'https://xn--l-7sba6dbr.example/'],
    ['https://example.org/@bob', 'https://example.org/@bob'],
    ['http://[::1]:80/', 'http://[::1]/'],
    ['https://example.org/<b>"', 'https://example.org/%3Cb%3E%22'],
  ])('is %s, kept as %s', (url, kept) => {
    expect(judge(rules.website, url)).toEqual({ kept });
  });

  it('is measured as it is kept', () => {
    expect(judge(rules.website, `https://example.org/${'x'.repeat(235)}`)).toEqual({ kept: `https://example.org/${'x'.repeat(235)}` });
    expect(judge(rules.website, `https://example.org/${'x'.repeat(236)}`)).toEqual({ fault: 'TOO_LONG' });
    expect(judge(rules.website, `https://example.org/${'ü'.repeat(40)}`)).toEqual({ fault: 'TOO_LONG' });
    expect(judge(rules.website, `https://example.org/${'a/../'.repeat(60)}`)).toEqual({ kept: 'https://example.org/' });
  });

  it.each([
    '',
    'example.org',
    '//example.org',
    'ftp://example.org',
    'javascript:alert(1)',
    'data:text/html,x',
    'https://a:b@example.org',
    'https://',
    'https://exa mple.org',
    ' https://example.org',
    'https://example.org/a b',
    'https://example.org/\0',
    'https://example.org/\u001b[0m',
    'https://exam\tple.org',
    'https://example.org\n',
    'https://example.org/\u2028',
    'https://example.org/\ud800',
    'https://exa\u00admple.org',
    'https://example.org/\u202e',
    'https:example.org',
    'https:/example.org',
    'https:///example.org',
    'https:\\\\example.org',
    'https://example.org\\a',
    'https://a@example.org',
    'https://@example.org',
    'https://example.org:99999',
    'https://example..org',
  ])('is not %j', (url) => expect(judge(rules.website, url)).toEqual({ fault: 'INVALID' }));
});

describe('a birth date', () => {
  it('is in the past', () => {
    const today = new Date().toISOString().slice(0, 10);
    fc.assert(
      fc.property(fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }), (date) => {
        const text = date.toISOString().slice(0, 10);
        expect(judge(rules.birthDate, text)).toEqual(text < today ? { kept: text } : { fault: 'INVALID' });
      }),
    );
    expect(judge(rules.birthDate, today)).toEqual({ fault: 'INVALID' });
    for (const text of ['1999', '1999-1-1', '1.1.1999', '1999-01-01T00:00', ''])
      expect(judge(rules.birthDate, text)).toEqual({ fault: 'INVALID' });
  });
});

describe('a command that comes out of the stream', () => {
  it('may have been checked by an earlier release', () => {
    for (const [field, value] of [
      ['message', 'a\u200bb\u2028'],
      ['name', 'a\u202eb'],
      ['email', 'a\u00adb@example.org'],
      ['website', 'https:example.org'],
    ] as const) {
      expect(judge(rules.typed[field], value)).toEqual({ fault: 'INVALID' });
      expect(judge(rules.received[field], value)).toEqual({ kept: value });
    }
  });

  it('has all that is accepted today', () => {
    for (const [field, value] of [
      ['email', 'jürgen@bücher.example'],
      ['website', 'https://example.org/'],
      ['message', '👩‍🚀'],
    ] as const) {
      expect(judge(rules.received[field], value)).toEqual({ kept: value });
    }
  });

  it('is within the bounds of the tables all the same', () => {
    expect(judge(rules.received.message, ' ')).toEqual({ fault: 'TOO_SHORT' });
    expect(judge(rules.received.message, 'x'.repeat(261))).toEqual({ fault: 'TOO_LONG' });
    expect(judge(rules.received.email, `${'x'.repeat(254)}@example.org`)).toEqual({ fault: 'INVALID' });
    expect(judge(rules.received.website, 'x'.repeat(256))).toEqual({ fault: 'INVALID' });
    expect(judge(rules.received.email, 'a\ud800@example.org')).toEqual({ fault: 'INVALID' });
  });
});

describe('faultsOf', () => {
  it('tells each field’s fault by its path, and calls a wrong type INVALID', () => {
    const shape = z.object({ a: rules.username, b: z.object({ c: rules.message, d: rules.id }), e: rules.name.nullable() });
    const { error } = shape.safeParse({ a: 'x', b: { c: 1, d: 'x' }, e: null });

    expect(faultsOf(error!)).toEqual([
      { code: 'TOO_SHORT', field: ['a'] },
      { code: 'INVALID', field: ['b', 'c'] },
      { code: 'INVALID', field: ['b', 'd'] },
    ]);
  });
});
