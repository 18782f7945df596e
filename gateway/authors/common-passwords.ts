/**
 * Passwords that everybody tries first (NIST SP 800-63B, 3.1.1.2: known, repetitive and sequential ones are refused). The list is that of
 * zxcvbn-ts, from several breaches.
 */
import { dictionary } from '@zxcvbn-ts/language-common';

/** A password has as many characters at least, so shorter words are not kept. */
const SHORTEST = 8;
/** What is longer is no pattern that somebody else would try. */
const LONGEST_PATTERN = 32;
const COMMON: ReadonlySet<string> = new Set(dictionary['passwords-common'].filter((word) => word.length >= SHORTEST));

/** @param password in NFC, of 128 code points at the most */
export function isCommonPassword(password: string): boolean {
  const word = password.toLowerCase();

  if (COMMON.has(word) || COMMON.has([...word].reverse().join(''))) return true;

  return word.length <= LONGEST_PATTERN && (isRepetition(word) || isSequence(word));
}

/** `aaaaaaaa`, `12121212`, `abcabcab`: a piece of so many characters at the most, again and again. */
const LONGEST_PIECE = 4;

function isRepetition(word: string): boolean {
  const characters = [...word];
  const repeats = (length: number) => characters.every((character, i) => i < length || character === characters[i - length]);

  return Array.from({ length: LONGEST_PIECE }, (_, i) => i + 1).some(repeats);
}

/** `abcdefgh`, `98765432`, `0123456789`: each character is the next one, or the one before; after 9 comes 0. */
function isSequence(word: string): boolean {
  const steps = new Set<number>();
  const codes = [...word].map((character) => character.codePointAt(0)!);
  for (let i = 1; i < codes.length; i++) {
    const step = codes[i]! - codes[i - 1]!;
    // From 9 to 0, and from 0 to 9.
    steps.add(step === -9 ? 1 : step === 9 ? -1 : step);
  }

  return steps.size === 1 && Math.abs([...steps][0]!) === 1;
}
