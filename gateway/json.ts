/**
 * JSON from clients. `JSON.parse` takes any depth, but what walks through its result (`JSON.stringify`, graphql-js) is recursive, and
 * overflows the stack at some thousand levels. So the text is refused before it is parsed.
 */

/** Arrays and objects within each other, in a request's body, in a parameter of a URL, or in a socket's message. */
export const MAX_JSON_LEVELS = 100;
export const TOO_DEEP = `JSON has at most ${MAX_JSON_LEVELS} levels here.`;
/** Over HTTP. A socket is closed, as after every message of a wrong form. */
export const TOO_DEEP_CODE = 'BAD_USER_INPUT';

/** Fields of all objects in it: to make an object with 20,000 fields takes `JSON.parse` 20 ms. */
const MAX_JSON_FIELDS = 2_000;
/** One that is shorter has no more. */
const SHORT_CHARACTERS = 3 * MAX_JSON_FIELDS;
const SHOWN_CHARACTERS = 40;

const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT, COLON] = [...'"\\[]{}:'].map((one) => one.charCodeAt(0));

/** Has this text more levels than MAX_JSON_LEVELS? It need not be JSON: then the parser finds that out. */
export function isTooDeep(text: string): boolean {
  let level = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text.charCodeAt(i);
    if (character === QUOTE) {
      for (i++; i < text.length && text.charCodeAt(i) !== QUOTE; i++) if (text.charCodeAt(i) === BACKSLASH) i++;
    } else if (character === OPEN_ARRAY || character === OPEN_OBJECT) {
      level += 1;
      if (level > MAX_JSON_LEVELS) return true;
    } else if (character === CLOSE_ARRAY || character === CLOSE_OBJECT) {
      if (level > 0) level -= 1;
    }
  }

  return false;
}

/** What is wrong with a text that has too many fields; null for others. As `isTooDeep`, it does not look whether it is JSON. */
export function tooManyFields(text: string): string | null {
  if (text.length <= SHORT_CHARACTERS) return null;
  let fields = 0;
  for (let i = 0; i < text.length && fields <= MAX_JSON_FIELDS; i++) {
    const character = text.charCodeAt(i);
    if (character === QUOTE) {
      for (i++; i < text.length && text.charCodeAt(i) !== QUOTE; i++) if (text.charCodeAt(i) === BACKSLASH) i++;
    } else if (character === COLON) {
      fields += 1;
    }
  }

  return fields <= MAX_JSON_FIELDS
    ? null
    : `JSON has at most ${MAX_JSON_FIELDS} fields here, and this has more: ${text.slice(0, SHOWN_CHARACTERS).toWellFormed()}…`;
}
