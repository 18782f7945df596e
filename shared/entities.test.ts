/** Cases after those that twitter-text publishes (extract.yml, autolink.yml, validate.yml), where our rules are the same. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { entitiesIn } from './entities.js';

const names = (message: string) => entitiesIn(message).names.map(({ start, end }) => message.slice(start, end));
const links = (message: string) => entitiesIn(message).links.map(({ start, end }) => message.slice(start, end));

const times = (n: number) => Array.from({ length: n }, () => '@bob');

describe('a name', () => {
  it.each([
    ['at the beginning, at the end, and in between', '@bob and @alice met @charlie', ['@bob', '@alice', '@charlie']],
    ['on lines', '@bob\n@alice', ['@bob', '@alice']],
    ['with digits and underscores', '@12345 @user_name @MixedCase', ['@12345', '@user_name', '@MixedCase']],
    ['before punctuation', '@bob. @bob, @bob! @bob? @bob: @bob; @bob) @bob… @bob... @bob— @bob/', times(11)],
    ['in brackets and quotes', '(@bob) [@bob] “@bob” «@bob» 「@bob」 "@bob" <@bob> ‘@bob’', times(8)],
    ['in the genitive', "@bob's @bob’s", ['@bob', '@bob']],
    [
      'after punctuation',
      '.@bob great.@bob ¿@bob? -@bob cc:@bob,@alice;@bob /@bob',
      ['@bob', '@bob', '@bob', '@bob', '@bob', '@alice', '@bob', '@bob'],
    ],
    ['beside scripts without spaces', 'の@bobに到着を待っている 你好@bob，@bob님 สวัสดี@bob', times(4)],
    ['beside emoji', '👍@bob👍 ❤️@bob 1️⃣@bob 👩‍👩‍👧@bob', times(4)],
    ['after RT', 'RT@bob rt:@bob RT @bob: x', times(3)],
    [
      'one after another',
      '@bob/@alice @bob,@alice @bob-@alice @bob:@alice',
      ['@bob', '@alice', '@bob', '@alice', '@bob', '@alice', '@bob', '@alice'],
    ],
    ['with a full-width @', '＠bob', ['＠bob']],
    ['before a hyphen that nothing follows', '@bob- @bob -x @bob--', ['@bob', '@bob', '@bob']],
    ['before a slash and a digit', '@bob/1st', ['@bob']],
    ['after a link', 'https://example.org @bob https://example.org, @bob', ['@bob', '@bob']],
    ['where a link has ended', 'https://example.org。@bob （https://example.org/a）@bob', ['@bob', '@bob']],
    ['beside the mark of a direction', '\u200f@bob\u200f', ['@bob']],
  ])('is found %s', (_, message, found) => expect(names(message)).toEqual(found));

  it.each([
    ['a URL', ['https://example.org/@bob', 'HTTPS://EXAMPLE.ORG/@bob', 'https://example.org/?q=a,@bob#x', 'https://example.org/(@bob)']],
    ['a URL of another kind', ['ftp://example.org/,@bob', 'git+ssh://host/:@bob', 'https://localhost/.@bob', 'http://127.0.0.1:80/;@bob']],
    ['a URL in another script', ['https://例え.テスト/@bob', 'https://example.org/ü,@bob', '見てhttps://example.org/:@bob']],
    ['a URL without its scheme', ['example.org/@bob', 'example.org/a,@bob', 'www.example.org?x;@bob', 'example.org:80/.@bob']],
    ['the credentials of a URL', ['https://user:@bob', 'https://user:secret@bob.org/', 'http://bob@example.org']],
    ['an e-mail address', ['joe@bob', 'joe@bob.com', 'a.b-c+d@bob.example', 'mailto:joe@bob', '"joe"@bob.com', 'x_@bob', '7@bob']],
    ['an address of another system', ['@bob@elsewhere', '@bob@elsewhere.social', '@bob＠elsewhere', '@bob:elsewhere.org', '@@bob']],
    ['a longer handle', ['@bob.smith', '@bob-smith', '@bob.5', '@bob‑smith', '@bob‐smith', '@bob/list', '@bob/list-name', '@bob.é']],
    [
      'a path or an assignment',
      ['a/@bob', './@bob', '~/@bob', 'C:\\@bob', 'x=@bob', 'a+@bob', 'a~@bob', '#@bob', '$@bob', '%@bob', '&@bob'],
    ],
    ['a sign', ['*@bob', '!@bob', 'f!@bob', 'f$@bob', 'f*@bob', '@bob://x', '@http://example.org']],
    ['a word', ['é@bob', 'x\u0323@bob', '٣@bob', '@bobé', '@bobe\u0301', '@bobش', '@bobа', '@bob\u0323', 'meet@the beach']],
    ['a word, with something unseen between', ['x\ufe0f@bob', 'x\u200d@bob', '@bob\u200dx', '@bob\u200bx']],
    ['what is too short or too long', ['@bo', '@_@', '@ bob', '@', `@${'a'.repeat(31)}`]],
  ])('is not inside of %s', (_, messages) => {
    for (const message of messages) expect({ message, names: names(message) }).toEqual({ message, names: [] });
  });
});

describe('a link', () => {
  it.each([
    'http://example.com',
    'https://example.com/path/to/resource?search=foo&lang=en',
    'HTTPS://www.ExaMPLE.COM/index.html',
    'http://twitter.com/#!/twitter',
    'http://foobar.com/#',
    'http://foo.com?#foo',
    'http://somehost.com:3000/a',
    'http://a.b.cd',
    'http://a_b.c-d.com',
    'http://xo.com/~matthew+%ff-,.;x',
    'http://en.wikipedia.org/wiki/Primer_(film)',
    'http://example.com/foo_(bar)_(baz(1))',
    'http://msdn.microsoft.com/ja-jp/library/request(v=VS.100).aspx',
    'http://www.foo.com/bar-path/some.stm?param1=foo;param2=P1|0||P2|0',
    'https://www.youtube.com/watch?v=LOxOAuDHzaw&list=PLPoq910Q9jXhuH6pit_KwIsck9fEz_9U-',
    'https://en.m.wikipedia.org/wiki/Hatfield–McCoy_feud',
    'http://example.com/Русские_слова',
    'http://example.com/עברית/é',
    'http://☃.net/',
    'http://あ-あ.com',
    'http://exampleこれは日本語です.com/path/index.html',
    'http://foobar.みんな/',
    'http://foobar.پاکستان/',
    'http://xn--ls8h.XN--ls8h.la/',
    'http://192.168.0.1/index.html?src=asdf',
    'http://[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:80/index.html',
    'https://example.org/@bob',
  ])('is the whole of %s', (url) => {
    for (const message of [
      url,
      `text ${url} text`,
      `(${url})`,
      `“${url}”`,
      `${url}.`,
      `${url}, and`,
      `見て${url}`,
      `${url}。`,
      `"${url}"`,
    ]) {
      expect(entitiesIn(message)).toEqual({
        links: [{ start: message.indexOf(url), end: message.indexOf(url) + url.length, url: new URL(url).href }],
        names: [],
      });
    }
  });

  it.each([
    ['http://example.com/path......', 'http://example.com/path'],
    ['http://example.com/,,,,,,', 'http://example.com/'],
    ['http://example.com/path/!!!!', 'http://example.com/path/'],
    ['http://example.com/.', 'http://example.com/'],
    ['http://example.com...', 'http://example.com'],
    ['http://example.com?', 'http://example.com'],
    ['(see http://example.com/foo_(bar))', 'http://example.com/foo_(bar)'],
    ['http://example.com/foo_(bar', 'http://example.com/foo_'],
    ['http://example.com/foo)bar', 'http://example.com/foo'],
    ['http://example.comだよね.comtest/hogehoge', 'http://example.com'],
    ['http://twitter.com/これは日本語です', 'http://twitter.com/'],
    ['http://example.com’s', 'http://example.com'],
    ["http://example.com's", 'http://example.com'],
    ['**http://example.com/a**', 'http://example.com/a'],
    ['<http://example.com/a>', 'http://example.com/a'],
    ['http://example.com/a\u2028b', 'http://example.com/a'],
    ['http://example.com:hello', 'http://example.com'],
    ['http:// example.com http://example.org', 'http://example.org'],
    ['See this.http://example.com', 'http://example.com'],
    ['https://example.org@ https://example.com', 'https://example.com'],
  ])('ends before what belongs to the sentence: %s', (message, link) => expect(links(message)).toEqual([link]));

  it.each([
    'example.org www.example.org/a foo.co.jp',
    'ftp://example.org mailto:bob@example.org javascript://example.org/%0aalert(1) data:text/html,x',
    'http://localhost http://no-tld http://tld-too-short.x http://1.2 http://256.1.2.3/',
    'http://domain.com-that-you-should-have-put-a-space-after',
    'http://-a.example.org http://a-.example.org http://_a.example.org http://a._example.org http://exam_ple.org http://example.o_g',
    `http://${'a'.repeat(64)}.com http://${'あ'.repeat(60)}.com http://${'a.'.repeat(130)}com`,
    'http://%e2%98%83.net/ http://xn--はじめよう.com/index.html',
    '#http://example.org @http://example.org $http://example.org xhttp://example.org 9http://example.org',
    'https://user:secret@example.org/ https://paypal.com@example.org/ https://paypal.com:x@example.org',
    'http://example.org:99999/ http:/example.org http:example.org http:\\\\example.org',
  ])('is none of %s', (message) => expect(links(message)).toEqual([]));

  it('has the form of the URL Standard', () => {
    const message = 'HTTPS://BÜCHER.example:443/ü/../é?q=[1]#x and http://example.org';
    expect(entitiesIn(message).links.map(({ url }) => url)).toEqual([
      'https://xn--bcher-kva.example/%C3%A9?q=[1]#x',
      'http://example.org/',
    ]);
  });
});

const piece = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom('@', '@bob', 'https://', 'http://example.org', '/', '.', ':', '(', ')', '?', '#', ' ', 'a', '-', '_'),
  },
  fc.constantFrom(
    '＠',
    'の',
    'é',
    '👍',
    '\ufe0f',
    '\u200d',
    '\u0301',
    '\ud83d',
    'RT',
    '=',
    '[::1]',
    '1.2.3.4',
    'example.com',
    '\n',
    '%',
    '\\',
  ),
  fc.string({ unit: 'grapheme', maxLength: 3 }),
);

it('ranges are in order, never overlap, and are what they say', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const message = pieces.join('');
      const entities = entitiesIn(message);
      for (const { start, end, username } of entities.names) expect(message.slice(start, end)).toMatch(new RegExp(`^[@＠]${username}$`));
      for (const { start, end, url } of entities.links) {
        const { href, protocol, username, password } = new URL(message.slice(start, end));
        expect([href, username, password]).toEqual([url, '', '']);
        expect(['http:', 'https:']).toContain(protocol);
        expect(message.slice(start, end)).toMatch(/^https?:\/\/[^\s<>"]+$/iu);
      }
      let last = 0;
      for (const { start, end } of [...entities.links, ...entities.names].toSorted((a, b) => a.start - b.start)) {
        expect(start).toBeGreaterThanOrEqual(last);
        expect(end).toBeGreaterThan(start);
        last = end;
      }
      expect(last).toBeLessThanOrEqual(message.length);
    }),
    { numRuns: 2_000 },
  );
});

it('a message takes time in proportion to its length, whatever it holds', () => {
  const units = [
    '@',
    '.',
    '/',
    '(',
    '@bob',
    '@bob.',
    '@a/',
    'a.',
    'a-',
    'é',
    'あ@',
    'x@',
    '\u200d@',
    'http',
    '://',
    'http://',
    'http://a',
    'http://a.',
  ];
  units.push(
    'http://a.bc/',
    'http://a.bc/(',
    'http://a.bc/(x)',
    'http://a:',
    'http://é',
    'http://a.comあ',
    'http://a.b_cあ.',
    'a.co/',
    'a.co/(',
    'http://[',
  );
  const time = (message: string) => {
    const tries = Array.from({ length: 5 }, () => {
      const start = performance.now();
      entitiesIn(message);
      return performance.now() - start;
    });
    return Math.min(...tries);
  };
  for (const unit of units) {
    const text = (length: number) => unit.repeat(length / unit.length);
    time(text(5_000));
    // 16 times as long: in square time, 256 times.
    expect({ unit, isSlow: time(text(80_000)) > 64 * time(text(5_000)) + 5 }).toEqual({ unit, isSlow: false });
  }
});
