/**
 * The rules for single fields, as schemas: the gateway checks input with them before a command exists, so there is one place
 * to change a rule. Each first puts a value into its own form (`overwrite`) and then checks that: what is accepted is kept as it
 * was checked, and is accepted again unchanged. What one types in two ways that differ only by that form is the same.
 *
 * The write side checks commands with `received`: those of an earlier release of the gateway, which wait in the stream while
 * the system is upgraded, are not refused by a rule that is newer than they are.
 *
 * A fault's code is INVALID, TOO_SHORT, TOO_LONG or RESERVED. Text is in NFC, and measured in what people call characters: grapheme
 * clusters (UAX #29), by `Intl.Segmenter`.
 */
import { domainToASCII, domainToUnicode } from 'node:url';
import validator from 'validator';
import { z } from 'zod';
import { hasMisplaced, hasUnseen, isBlank } from './characters.js';
import { NOBODY, SYSTEM, UUID } from './ids.js';
import { isOfficialName, isReservedUsername } from './look-alikes.js';
import type { ErrorCode } from './refused.js';

type FieldCode = Extract<ErrorCode, 'INVALID' | 'TOO_SHORT' | 'TOO_LONG' | 'RESERVED' | 'TOO_COMMON'>;

/** Text in the database and on every wire has this bound too: a single grapheme may have any number of code points. */
const MAX_BYTES = 2_048;
const MAX_EMAIL = 254;
const MAX_WEBSITE = 255;
/** Of an address before it is put into its own form, which may be shorter. */
const MAX_TYPED = 2_048;

const rule = (code: FieldCode, holds: (value: string) => boolean) =>
  z.check<string>((context) => {
    if (!holds(context.value)) {
      context.issues.push({ code: 'custom', input: context.value, params: { code } });
    }
  });

const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });

/** How many grapheme clusters; stops counting above `most`, so that a huge input costs no more than a long one. */
export function graphemeCount(text: string, most = Infinity): number {
  let n = 0;
  for (const _ of graphemes.segment(text)) if (++n > most) break;

  return n;
}

/** No grapheme is shorter than a UTF-16 code unit, and counting those takes no 10 µs, as segmenting a short message does. */
const fits = (text: string, most: number) =>
  Buffer.byteLength(text) <= MAX_BYTES && (text.length <= most || graphemeCount(text, most) <= most);

const ANY_CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]/u;
const CONTROL_BUT_NEWLINE = /(?!\n)[\p{Cc}\p{Zl}\p{Zp}]/u;

/**
 * A longer text is left as it is. It is too long in NFC too, in which a byte stands for two UTF-16 code units at the most. ICU puts marks into order
 * by insertion: 120,000 of them on one letter, which fit into a request, blocked the process for 11 seconds.
 */
const MAX_NORMALISED = 2 * 2_048;
const nfc = (value: string) => (value.length > MAX_NORMALISED ? value : value.normalize('NFC'));

const text = (most: number, controls: RegExp) =>
  z
    .string()
    .overwrite(nfc)
    .check(
      rule('INVALID', (value) => value.isWellFormed() && !controls.test(value)),
      rule('TOO_SHORT', (value) => !isBlank(value)),
      rule('INVALID', (value) => !hasMisplaced(value)),
      rule('TOO_LONG', (value) => fits(value, most)),
    );

const LOCAL_PART = /^(?!\p{M})(?:[a-z0-9!#$%&'*+/=?^_`{|}~.-]|(?!\p{ASCII})[\p{L}\p{M}\p{N}])+$/u;
/**
 * No space, and not the blank Braille pattern, which looks like one. Of ASCII only letters, digits, dots and hyphens: `domainToASCII` does not
 * refuse a path or a port.
 */
const DOMAIN = /^(?:[A-Za-z0-9.-]|(?!\p{ASCII})[^\p{Z}\p{C}\u2800])+$/u;
/** A scheme, `//` and a host: what the URL parser would mend is refused, and so are credentials. */
const WEBSITE = /^https?:\/\/[^@/\\?#]+(?:[/?#]|$)/i;
/** The URL parser drops some of these, and encodes others. */
const NOT_IN_A_URL = /[\p{Cc}\p{Z}\u2800\\]/u;

/** Any UUID but the nil one and the greatest, which stand for nobody and for the system itself. */
export const id = z
  .string()
  .overwrite((value) => value.toLowerCase())
  .check(rule('INVALID', (value) => UUID.test(value) && value !== NOBODY && value !== SYSTEM));
/** One that somebody may have had since before some were reserved. */
export const anyUsername = z.string().check(
  rule('INVALID', (value) => /^\w*$/.test(value)),
  rule('TOO_SHORT', (value) => value.length >= 3),
  rule('TOO_LONG', (value) => value.length <= 30),
);
export const username = anyUsername.check(rule('RESERVED', (value) => !isReservedUsername(value)));
/** In lower case, its domain in the form that people read (`bücher.example`, not `xn--…`), at most 254 characters. */
export const email = z
  .string()
  .overwrite((value) => canonicalEmail(value) ?? nfc(nfc(value).toLowerCase()))
  .check(
    rule('INVALID', (value) => value.length > MAX_EMAIL || canonicalEmail(value) === value),
    rule('TOO_LONG', (value) => value.length <= MAX_EMAIL),
  );
/** 8 to 128 code points. NFC, so that keyboards that compose differently type the same password. */
export const password = z
  .string()
  .overwrite(nfc)
  .check(
    rule('INVALID', (value) => value.isWellFormed()),
    rule('TOO_SHORT', (value) => [...value].length >= 8),
    rule('TOO_LONG', (value) => value.length <= 512 && [...value].length <= 128),
  );
export const name = text(50, ANY_CONTROL).check(rule('RESERVED', (value) => value.length > MAX_BYTES || !isOfficialName(value)));
export const location = text(100, ANY_CONTROL);
export const biography = text(280, CONTROL_BUT_NEWLINE);
/** As the URL parser writes it: the host in lower case and ASCII, everything else percent-encoded. */
export const website = z
  .string()
  .overwrite((value) => canonicalWebsite(value) ?? value)
  .check(
    rule('INVALID', (value) => value.length > MAX_WEBSITE || canonicalWebsite(value) === value),
    rule('TOO_LONG', (value) => value.length <= MAX_WEBSITE),
  );
/** `YYYY-MM-DD`, before today (UTC). That it is a real date is the scalar's business; here only that it has the form. */
export const birthDate = z
  .string()
  .check(rule('INVALID', (value) => /^\d{4}-\d\d-\d\d$/.test(value) && value < new Date().toISOString().slice(0, 10)));
export const message = text(260, CONTROL_BUT_NEWLINE);

/**
 * The form in which an e-mail address is kept, and looked up; null for what is none. A domain is the same however it is
 * written: composed or not, full-width, in capitals, as `xn--…`. The local part has letters, digits and marks of any script and
 * the signs of RFC 5322, without quotes; letters that look like others by compatibility (`ﬁ`, `ａ`) are refused.
 */
function canonicalEmail(typed: string): string | null {
  const at = typed.lastIndexOf('@');
  if (at < 0 || typed.length > MAX_TYPED || !typed.isWellFormed() || hasUnseen(typed)) return null;
  const local = nfc(nfc(typed.slice(0, at)).toLowerCase());
  const domain = typed.slice(at + 1);
  if (!LOCAL_PART.test(local) || local.normalize('NFKC') !== local || !DOMAIN.test(domain)) return null;
  const ascii = domainToASCII(domain);
  if (!validator.isEmail(`${local}@${ascii}`)) return null;
  const readable = nfc(domainToUnicode(ascii));

  // What stays encoded is the encoding of nothing.
  return /(?:^|\.)xn--/.test(readable) ? null : `${local}@${readable}`;
}

/** The form in which a website is kept; null for what is no absolute http(s) URL, or has credentials. */
function canonicalWebsite(typed: string): string | null {
  if (
    typed.length > MAX_TYPED ||
    !typed.isWellFormed() ||
    !WEBSITE.test(typed) ||
    NOT_IN_A_URL.test(typed) ||
    hasUnseen(typed) ||
    !URL.canParse(typed)
  )
    return null;
  const { href } = new URL(typed);

  return validator.isURL(href, { protocols: ['http', 'https'], require_protocol: true, require_tld: false, disallow_auth: true })
    ? href
    : null;
}

/**
 * What an account may be found by, of what somebody typed to log in: first as an earlier release kept an address, which may
 * break the rules of today, then as `email` keeps it.
 */
export function emailsToLookUp(typed: string): string[] {
  return [...new Set([nfc(typed).toLowerCase(), canonicalEmail(typed) ?? ''])].filter((value) => value !== '' && value.isWellFormed());
}

/** What an earlier release checked commands with: any of these may still come out of the stream. */
const formerText = (most: number, controls: RegExp) =>
  z
    .string()
    .overwrite(nfc)
    .check(
      rule('INVALID', (value) => value.isWellFormed() && !controls.test(value)),
      rule('TOO_SHORT', (value) => !isBlank(value)),
      rule('TOO_LONG', (value) => fits(value, most)),
    );

export const typed = { id, username, email, name, location, biography, website, birthDate, message };
export type FieldRules = typeof typed;
/** The bounds that tables and wires rely on, and no more. */
export const received: FieldRules = {
  ...typed,
  username: anyUsername,
  email: z.string().check(rule('INVALID', (value) => value.isWellFormed() && value.includes('@') && value.length <= MAX_EMAIL)),
  website: z.string().check(rule('INVALID', (value) => value.isWellFormed() && value.length <= MAX_WEBSITE)),
  name: formerText(50, /\p{Cc}/u),
  location: formerText(100, /\p{Cc}/u),
  biography: formerText(280, /(?!\n)\p{Cc}/u),
  message: formerText(260, /(?!\n)\p{Cc}/u),
};

export interface FieldFault {
  code: FieldCode;
  field: string[];
}

/** The faults in a failed parse, as our codes; what is not one of our rules (a wrong type) is INVALID. */
export function faultsOf(error: z.ZodError): FieldFault[] {
  return error.issues.map((issue) => ({
    code: ((issue.code === 'custom' && (issue.params?.code as FieldCode)) || 'INVALID') satisfies FieldCode,
    field: issue.path.map(String),
  }));
}
