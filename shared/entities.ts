/**
 * The entities of a message: links (`https://…`) and names (`@bob`), as ranges that never overlap. Links and names are
 * found in one pass, so that the `@bob` inside of `https://example.org/@bob` is part of the link and names nobody.
 *
 * The rules are those that twitter-text publishes with its conformance suite, except where docs/rules.md says otherwise.
 * Ranges are in UTF-16 code units, `end` exclusive. The time is linear in the length of the message, whatever it holds:
 * every pattern is sticky or has a bounded length, and each character is scanned a bounded number of times.
 */

export interface Link {
  start: number;
  end: number;
  /** Absolute, http or https, in the form of the URL Standard (`new URL(…).href`). */
  url: string;
}

/** An @ and what may be a username; `start` is that of the @. */
export interface Name {
  start: number;
  end: number;
  username: string;
}

export interface Entities {
  links: Link[];
  names: Name[];
}

// Scripts that are written without spaces between words, or (Hangul) with particles joined to names: a letter of these stands
// beside a name or a link, and is no part of it.
const unspaced = ['Han', 'Hiragana', 'Katakana', 'Bopomofo', 'Hangul', 'Thai', 'Lao', 'Khmer', 'Myanmar', 'Tibetan'];
const inOneOf = (property: string) => unspaced.map((script) => `\\p{${property}=${script}}`).join('');
// Letters that several of them share, such as ー, have none of these as their script; marks are shared with others too.
const UNSPACED = `[${inOneOf('Script')}[\\p{L}&&[${inOneOf('Script_Extensions')}]]]`;
const OF_A_WORD = `[[\\p{L}\\p{N}\\p{Mn}\\p{Mc}_]--[\\p{Default_Ignorable_Code_Point}${UNSPACED}]]`;
/** The last character of a word, with what is not seen after it (variation selectors, bidi marks). */
const AFTER_A_WORD = new RegExp(`${OF_A_WORD}\\p{Default_Ignorable_Code_Point}*$`, 'v');
const GOES_ON = new RegExp(`\\p{Default_Ignorable_Code_Point}*(?:${OF_A_WORD}|[\\p{M}--\\p{Default_Ignorable_Code_Point}])`, 'vy');

const USERNAME = /[@＠](\w{3,30})/y;
/** No name follows these directly. */
const BEFORE_NO_NAME = /[!#$%&*@＠]$/;
/** Nor these, within an address, a path or an assignment; at the beginning of a word they are punctuation. */
const INSIDE_AN_ADDRESS = /[^\s\p{Ps}\p{Pi}"'][/\\=+~]$/u;
/** RT is no word that a name is part of: `RT@bob`, as retweets were once written. */
const RETWEET = /(?:^|[^\w+~.-])RT$/i;
/**
 * What goes on after a name makes it a part of something longer: `@bob@elsewhere`, `@http://`, `@bob/list`, `@bob.smith`,
 * `@bob-smith`, `@bob:elsewhere.org`.
 */
const LONGER = [/[@＠]|:\/\/|\/[A-Za-z]|:[\w-]{1,63}\.[A-Za-z]/y, new RegExp(`[.\\-\\u2010\\u2011]${OF_A_WORD}`, 'vy')];

const AT = /[@＠]/g;
/** Where an address goes on after its scheme, or after the domain that it begins with: what is before that is read backwards. */
const IN_AN_ADDRESS = /:\/\/|\.[A-Za-z]{2,63}(?::\d{1,5})?(?=[/?#])/g;
const SCHEME = /[A-Za-z0-9+-]/;
const DOMAIN = /[A-Za-z0-9.-]/;
const MAX_SCHEME = 64;
const HTTP = /https?$/i;
/** No link follows these directly. */
const BEFORE_NO_LINK = /[A-Za-z0-9@＠$#＃]/;
/** Parentheses in parentheses: no more, as what is not closed in the end is scanned again. */
const MAX_OPEN = 2;
const MAX_LABEL = 63;
const MAX_HOST = 253;

const LETTER = `[[\\p{L}\\p{M}\\p{N}]--[${UNSPACED}]]`;
/** What a path or a query may hold, besides parentheses, and what may end it: not the punctuation of a sentence. */
const IN_A_PATH = new RegExp(`[A-Za-z0-9!*';:=+,.$\\/%#\\[\\]\\-_~@\\|&\\u2013]|${LETTER}`, 'v');
const ENDS_A_PATH = new RegExp(`[A-Za-z0-9=_#\\/+\\-]|${LETTER}`, 'v');
const ENDS_A_QUERY = new RegExp(`[A-Za-z0-9=_#\\/&\\-]|${LETTER}`, 'v');

const IN_A_LABEL = /[A-Za-z0-9_-]|(?!\p{ASCII})[\p{L}\p{M}\p{N}\p{S}]/u;
/** With - and _, but not at an end. */
const LABEL = /^[^_-](?:.*[^_-])?$/su;
const TLD = /^(?:[a-z]{2,63}|xn--[a-z0-9-]{2,59}|(?:(?!\p{ASCII})[\p{L}\p{M}]){2,63})$/iu;
const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;
const IPV6 = /\[[0-9a-f:.]{2,45}\]/iy;
const PORT = /:\d{1,5}(?!\d)/y;
const HAS_CREDENTIALS = /(?::[^\s/?#@＠]{0,255})?[@＠]/y;
/** Where letters of a script without spaces follow directly, a top-level domain is one of these, or any of a country. */
const KNOWN_TLD =
  /^(?:[a-z]{2}|com|net|org|edu|gov|mil|int|info|biz|name|pro|aero|asia|coop|museum|app|dev|xyz|shop|blog|online|site|tech)$/i;

const matchesAt = (pattern: RegExp, text: string, at: number): boolean => {
  pattern.lastIndex = at;

  return pattern.test(text);
};
/** Whether a character is of a class; nearly all that are asked for are ASCII, and looked up (a link took 12 µs without it). */
function classOf(pattern: RegExp): (point: number) => boolean {
  const ascii = Array.from({ length: 128 }, (_, point) => pattern.test(String.fromCodePoint(point)));

  return (point) => (point < 128 ? ascii[point]! : pattern.test(String.fromCodePoint(point)));
}
const isInAPath = classOf(IN_A_PATH);
const endsAPath = classOf(ENDS_A_PATH);
const endsAQuery = classOf(ENDS_A_QUERY);
const isInALabel = classOf(IN_A_LABEL);
const lengthOf = (point: number): number => (point > 0xffff ? 2 : 1);

/** As many characters before `at` as the patterns that end in `$` look at. */
const before = (text: string, at: number): string => text.slice(Math.max(0, at - 16), at);

/** The links and names of a message, each in order. Names are not yet known to be anybody's. */
export function entitiesIn(message: string): Entities {
  if (!message.includes('://') && !message.includes('@') && !message.includes('＠')) return { links: [], names: [] };
  const links: Link[] = [];
  const names: Name[] = [];
  const addresses = addressesIn(message, links);
  let next = 0;
  for (const { index } of message.matchAll(AT)) {
    while (next < addresses.length && addresses[next]!.end <= index) next++;
    if (next < addresses.length && addresses[next]!.start <= index) continue;
    const name = nameAt(message, index, names.at(-1));
    if (name) names.push(name);
  }

  return { links, names };
}

function nameAt(message: string, start: number, previous: Name | undefined): Name | null {
  USERNAME.lastIndex = start;
  const username = USERNAME.exec(message)?.[1];
  if (!username) return null;
  const end = start + 1 + username.length;
  if (matchesAt(GOES_ON, message, end) || LONGER.some((pattern) => matchesAt(pattern, message, end))) return null;
  const left = before(message, start);
  if (BEFORE_NO_NAME.test(left)) return null;
  if (AFTER_A_WORD.test(left) && !RETWEET.test(left)) return null;
  // `@alice/@bob` are two.
  if (INSIDE_AN_ADDRESS.test(left) && !(message[start - 1] === '/' && previous?.end === start - 1)) return null;

  return { start, end, username };
}

/** The ranges of all that is an address, in order; those that are links are added to `links`. */
function addressesIn(message: string, links: Link[]): { start: number; end: number }[] {
  const addresses: { start: number; end: number }[] = [];
  let end = 0;
  for (const { 0: beginning, index } of message.matchAll(IN_AN_ADDRESS)) {
    if (index < end) continue;
    const hasScheme = beginning === '://';
    const from = index + beginning.length;
    let start = index;
    const [least, character] = hasScheme ? [Math.max(end, index - MAX_SCHEME), SCHEME] : [Math.max(end, index - MAX_HOST), DOMAIN];
    while (start > least && character.test(message[start - 1]!)) start--;
    const http = hasScheme ? HTTP.exec(message.slice(start, index)) : null;
    const link = http && linkAt(message, start + http.index, from);
    if (link) links.push(link);
    // The part after the @ of an e-mail address begins nothing.
    else if (!hasScheme && /[@＠_]/.test(message[start - 1] ?? '')) continue;
    end = link ? link.end : pathEnd(message, from);
    addresses.push({ start: link ? link.start : start, end });
  }

  return addresses;
}

/** The link that begins at `start`, with its host at `host`. */
function linkAt(message: string, start: number, host: number): Link | null {
  if (BEFORE_NO_LINK.test(message[start - 1] ?? '')) return null;
  const afterHost = hostEnd(message, host);
  if (afterHost === null || matchesAt(HAS_CREDENTIALS, message, afterHost)) return null;
  const afterPort = matchesAt(PORT, message, afterHost) ? PORT.lastIndex : afterHost;
  const end = /[/?#]/.test(message[afterPort] ?? '') ? pathEnd(message, afterPort) : afterPort;
  const text = message.slice(start, end);
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  const { hostname } = url;
  // The URL parser takes `1.2` for an address of numbers, and labels of any length.
  if (IPV4.test(hostname) && !text.includes(hostname)) return null;
  if (hostname.length > MAX_HOST || hostname.split('.').some((label) => label.length > MAX_LABEL)) return null;

  return { start, end, url: url.href };
}

/** Where the host ends that begins there; null when none does that others can reach: `http://localhost` is no link. */
function hostEnd(message: string, start: number): number | null {
  if (matchesAt(IPV6, message, start)) return IPV6.lastIndex;
  let parent = '';
  for (let [at, labels] = [start, 1]; ; labels++) {
    const end = labelEnd(message, at);
    const label = message.slice(at, end);
    // `example.comです` is `example.com`, and text.
    const ascii = /^\p{ASCII}*/u.exec(label)![0];
    const isChild = labels > 1 && !parent.includes('_');
    if (isChild && ascii !== label && KNOWN_TLD.test(ascii)) return at + ascii.length;
    if (message[end] === '.' && labelEnd(message, end + 1) > end + 1) {
      if (!LABEL.test(label)) return null;
      [parent, at] = [label, end + 1];
      continue;
    }
    if (labels === 4 && IPV4.test(message.slice(start, end))) return end;
    if (isChild && TLD.test(label)) return end;

    return isChild && TLD.test(ascii) ? at + ascii.length : null;
  }
}

function labelEnd(message: string, start: number): number {
  let end = start;
  for (;;) {
    const point = message.codePointAt(end);
    if (point === undefined || !isInALabel(point)) return end;
    end += lengthOf(point);
  }
}

/**
 * Where a path and query end that begin there: at the first character that none has, without the punctuation before it, and
 * before a parenthesis that is not closed in it, or was opened before it.
 */
function pathEnd(message: string, start: number): number {
  let end = start;
  let open = 0;
  let isQuery = false;
  for (let at = start; at < message.length;) {
    const character = message[at];
    if (character === '(') {
      if (open === MAX_OPEN) break;
      open += 1;
      at += 1;
    } else if (character === ')') {
      if (open === 0 || message[at - 1] === '(') break;
      open -= 1;
      at += 1;
      if (open === 0) end = at;
    } else if (character === '?') {
      isQuery = true;
      at += 1;
    } else {
      const point = message.codePointAt(at)!;
      if (!isInAPath(point)) break;
      at += lengthOf(point);
      if (open === 0 && (isQuery ? endsAQuery(point) : endsAPath(point))) end = at;
    }
  }

  return end;
}
