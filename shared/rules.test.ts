import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
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

  it.each(['', ' ', '\n\n', '\u00a0\u2003', '\u200b\u200d\ufeff', '\u3164', '\u00ad'])(
    'of nothing to be seen (%j) is TOO_SHORT',
    (text) => {
      expect(judge(rules.message, text)).toEqual({ fault: 'TOO_SHORT' });
    },
  );

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
    expect(timed(() => graphemeCount(long, 260)) * 5).toBeLessThan(timed(() => graphemeCount(long)));
  });
});

describe('an id', () => {
  it('is any UUID, in lower case', () => {
    fc.assert(
      fc.property(fc.uuid({ version: [1, 4, 5, 7] }), (id) => {
        expect(judge(rules.id, id.toUpperCase())).toEqual({ kept: id });
      }),
    );
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

  it.each(['a@b.co', 'First.Last+tag@sub.example.org', "o'neil@example.org", 'jürgen@bücher.example'])('is %s', (address) => {
    expect(judge(rules.email, address)).toEqual({ kept: address.toLowerCase() });
  });

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
    'a@example.org, b@example.org',
  ])('is not %j', (address) => expect(judge(rules.email, address)).toEqual({ fault: 'INVALID' }));

  it('has at most 254 characters', () => {
    expect(judge(rules.email, `${'a'.repeat(250)}@b.co`)).toEqual({ fault: 'TOO_LONG' });
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
          const { protocol, username, password } = new URL(text);
          expect(['http:', 'https:']).toContain(protocol);
          expect([username, password]).toEqual(['', '']);
          expect(text.length).toBeLessThanOrEqual(255);
          expect(text).not.toMatch(/[\s<>"]/);
        },
      ),
    );
  });

  it.each(['https://example.org', 'http://localhost:8080/~me?a=b#c', 'https://xn--bcher-kva.example/', 'https://bücher.example/ü'])(
    'is %s',
    (url) => {
      expect(judge(rules.website, url)).toEqual({ kept: url });
    },
  );

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
