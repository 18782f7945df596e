/**
 * The consistency token: "I have seen the journal up to here". Opaque to clients; inside, the journal's epoch and a
 * position for each of its partitions. There is one partition today, named 0; the form leaves room for more.
 */
import { z } from 'zod';

export interface Token {
  epoch: string;
  /** The highest position seen; 0 for nothing. */
  position: number;
}

/** What is not a token, or belongs to another epoch. */
export class BadTokenError extends Error {
  override name = 'BadTokenError';
}

export const EPOCH = /^[a-z0-9]{1,16}$/;

const shape = z.strictObject({
  e: z.string().regex(EPOCH),
  p: z.strictObject({ 0: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER) }),
});

export function encodeToken(token: Token): string {
  return encode({ e: token.epoch, p: { 0: token.position } });
}

/** @throws BadTokenError */
export function decodeToken(text: string): Token {
  const { e, p } = decode(text, shape, 'consistency token');

  return { epoch: e, position: p[0] };
}

/** The one token that says what several say together: their maximum. All must be of `epoch`. @throws BadTokenError */
export function mergeTokens(texts: string[], epoch: string): Token {
  let position = 0;
  for (const text of texts) {
    const token = decodeToken(text);
    if (token.epoch !== epoch) throw new BadTokenError('This consistency token is of another epoch of the journal.');
    position = Math.max(position, token.position);
  }

  return { epoch, position };
}

/** Opaque text for a cursor or a token. */
export const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** @throws BadTokenError when `text` was not made by `encode` from something of that shape */
export function decode<T>(text: string, schema: z.ZodType<T>, what: string): T {
  try {
    if (text.length <= 1_024 && /^[\w-]+$/.test(text)) {
      const value = schema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
      // Base64 and JSON are lenient; what only happens to mean something was made by nobody.
      if (encode(value) === text) return value;
    }
  } catch {
    // Not JSON, or not of the shape: the caller hears of it below, like any other wrong text.
  }
  throw new BadTokenError(`This is not a ${what}.`);
}
