/**
 * JSON from clients. `JSON.parse` takes any depth, but what walks through its result (`JSON.stringify`, graphql-js) is recursive, and
 * overflows the stack at some thousand levels; and what it makes of a text can take twenty times the memory of that text. So a text is looked
 * through once, and refused, before it is parsed.
 */

/** Arrays and objects within each other, in a request's body, in a parameter of a URL, or in a socket's message. */
export const MAX_JSON_LEVELS = 100;
/** Fields of all objects in it: to make an object with 2,000 fields takes `JSON.parse` 2 ms, and with 20,000 fields 20 ms. */
const MAX_JSON_FIELDS = 1_000;
/**
 * Values of all kinds in it, about as many as ten operations may have in their variables. 80,000 empty arrays, which fit into one body, are 5 MB of
 * small objects: with twenty such requests at a time, each collection of the young heap took 100 ms.
 */
const MAX_JSON_VALUES = 10_000;
const SHOWN_CHARACTERS = 40;

/** What is wrong with a text. Over HTTP it is answered with the code; a socket is closed, as after every message of a wrong form. */
export interface JsonFault {
  code: 'BAD_USER_INPUT' | 'BAD_REQUEST';
  message: string;
}

const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT, COLON, COMMA] = [...'"\\[]{}:,'].map((one) =>
  one.charCodeAt(0),
);

/** Null for what may be parsed. The text need not be JSON: then the parser finds that out. */
export function faultIn(text: string): JsonFault | null {
  let level = 0;
  let fields = 0;
  /** Each but the first of an array or object has a comma before it. */
  let values = 1;
  for (let i = 0; i < text.length; i++) {
    const character = text.charCodeAt(i);
    if (character === QUOTE) {
      i = endOfString(text, i + 1);
    } else if (character === OPEN_ARRAY || character === OPEN_OBJECT) {
      level += 1;
      values += 1;
      if (level > MAX_JSON_LEVELS) return { code: 'BAD_USER_INPUT', message: `JSON has at most ${MAX_JSON_LEVELS} levels here.` };
    } else if (character === CLOSE_ARRAY || character === CLOSE_OBJECT) {
      if (level > 0) level -= 1;
    } else if (character === COLON) {
      fields += 1;
      if (fields > MAX_JSON_FIELDS) return tooMany(MAX_JSON_FIELDS, 'fields', text);
    } else if (character === COMMA) {
      values += 1;
    }
    if (values > MAX_JSON_VALUES) return tooMany(MAX_JSON_VALUES, 'values', text);
  }

  return null;
}

/** Of the quote that ends it. V8 looks for a character in a long text ten times as fast as a loop does. */
function endOfString(text: string, from: number): number {
  for (let end = text.indexOf('"', from); end >= 0; end = text.indexOf('"', end + 1)) {
    let start = end;
    while (start > from && text.charCodeAt(start - 1) === BACKSLASH) start -= 1;
    if ((end - start) % 2 === 0) return end;
  }

  return text.length;
}

const tooMany = (most: number, what: string, text: string): JsonFault => ({
  code: 'BAD_REQUEST',
  message: `JSON has at most ${most} ${what} here, and this has more: ${text.slice(0, SHOWN_CHARACTERS).toWellFormed()}…`,
});
