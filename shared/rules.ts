/**
 * The rules for single fields, as schemas: the gateway checks input with them before a command exists, the write side
 * checks commands with the same ones, so there is one place to change a rule.
 *
 * A fault's code is INVALID, TOO_SHORT or TOO_LONG. Text is put into NFC first, and measured in what people call
 * characters: grapheme clusters (UAX #29), by `Intl.Segmenter`.
 */
import validator from 'validator';
import { z } from 'zod';
import { NOBODY, SYSTEM, UUID } from './ids.js';
import type { ErrorCode } from './refused.js';

type FieldCode = Extract<ErrorCode, 'INVALID' | 'TOO_SHORT' | 'TOO_LONG'>;

/** Text in the database and on every wire has this bound too: a single grapheme may have any number of code points. */
const MOST_BYTES = 2_048;

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

// White space, and what Unicode says is not to be seen at all (zero-width spaces, fillers).
const isBlank = (text: string) => /^[\p{White_Space}\p{Default_Ignorable_Code_Point}]*$/u.test(text);
/** No grapheme is shorter than a UTF-16 code unit, and counting those takes no 10 µs, as segmenting a short message does. */
const fits = (text: string, most: number) =>
  Buffer.byteLength(text) <= MOST_BYTES && (text.length <= most || graphemeCount(text, most) <= most);

const text = (most: number, controls: RegExp) =>
  z
    .string()
    .overwrite((value) => value.normalize('NFC'))
    .check(
      rule('INVALID', (value) => value.isWellFormed() && !controls.test(value)),
      rule('TOO_SHORT', (value) => !isBlank(value)),
      rule('TOO_LONG', (value) => fits(value, most)),
    );

const ANY_CONTROL = /\p{Cc}/u;
const CONTROL_BUT_NEWLINE = /(?!\n)\p{Cc}/u;

/** Any UUID but the nil one and the greatest, which stand for nobody and for the system itself. */
export const id = z
  .string()
  .overwrite((value) => value.toLowerCase())
  .check(rule('INVALID', (value) => UUID.test(value) && value !== NOBODY && value !== SYSTEM));
export const username = z.string().check(
  rule('INVALID', (value) => /^\w*$/.test(value)),
  rule('TOO_SHORT', (value) => value.length >= 3),
  rule('TOO_LONG', (value) => value.length <= 30),
);
export const email = z
  .string()
  .overwrite((value) => value.normalize('NFC').toLowerCase())
  .check(
    rule('INVALID', (value) => value.length > 254 || (value.isWellFormed() && validator.isEmail(value))),
    rule('TOO_LONG', (value) => value.length <= 254),
  );
/** 8 to 128 code points. NFC, so that keyboards that compose differently type the same password. */
export const password = z
  .string()
  .overwrite((value) => value.normalize('NFC'))
  .check(
    rule('INVALID', (value) => value.isWellFormed()),
    rule('TOO_SHORT', (value) => [...value].length >= 8),
    rule('TOO_LONG', (value) => value.length <= 512 && [...value].length <= 128),
  );
export const name = text(50, ANY_CONTROL);
export const location = text(100, ANY_CONTROL);
export const biography = text(280, CONTROL_BUT_NEWLINE);
export const website = z.string().check(
  rule('INVALID', (value) => value.length > 255 || isWebsite(value)),
  rule('TOO_LONG', (value) => value.length <= 255),
);
/** `YYYY-MM-DD`, before today (UTC). That it is a real date is the scalar's business; here only that it has the form. */
export const birthDate = z
  .string()
  .check(rule('INVALID', (value) => /^\d{4}-\d\d-\d\d$/.test(value) && value < new Date().toISOString().slice(0, 10)));
export const message = text(260, CONTROL_BUT_NEWLINE);

const isWebsite = (value: string) =>
  validator.isURL(value, { protocols: ['http', 'https'], require_protocol: true, require_tld: false, disallow_auth: true }) &&
  URL.canParse(value);

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
