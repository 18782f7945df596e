/**
 * JSON from clients. `JSON.parse` takes any depth, but what walks through its result (`JSON.stringify`, graphql-js) is recursive, and
 * overflows the stack at some thousand levels. So the text is refused before it is parsed.
 */

/** Arrays and objects within each other, in a request's body, in a parameter of a URL, or in a socket's message. */
export const MAX_JSON_LEVELS = 100;
export const TOO_DEEP = `JSON has at most ${MAX_JSON_LEVELS} levels here.`;

const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [...'"\\[]{}'].map((one) => one.charCodeAt(0));

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
