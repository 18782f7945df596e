/**
 * Characters that do not show: where they belong in a text, and where they are a trap.
 *
 * What is refused everywhere follows RFC 9839 (no surrogates, controls, noncharacters) and RFC 8264, 9.13 (no default
 * ignorable code points); what is allowed where follows UAX #31, 2.3 (joiners), UTS #51 (emoji sequences) and UAX #9 (bidi).
 */

const scripts = (names: string) =>
  names
    .split(' ')
    .map((name) => `\\p{Script=${name}}`)
    .join('');

/** Scripts in which a joiner or non-joiner changes how the letter before it is written. */
const JOINING = `\\u0640${scripts(
  'Arabic Syriac Nko Mandaic Manichaean Adlam Mongolian Phags_Pa Hanifi_Rohingya Devanagari Bengali Gurmukhi Gujarati Oriya Tamil ' +
    'Telugu Kannada Malayalam Sinhala Khmer Myanmar Tibetan Balinese Javanese Sundanese Meetei_Mayek Chakma Grantha Newa Tirhuta Kaithi',
)}`;
/** Scripts in which a zero-width space is what stands between two words. */
const UNSPACED = scripts('Khmer Lao Thai Myanmar Tai_Tham New_Tai_Lue Tai_Le Balinese Javanese');
const RIGHT_TO_LEFT = scripts('Hebrew Arabic Syriac Thaana Nko Samaritan Mandaic Adlam Hanifi_Rohingya');

// Invisible, but for the signs of Arabic and others that enclose the number after them.
const UNSEEN = new RegExp(
  '[[\\p{Cf}\\p{Default_Ignorable_Code_Point}\\p{Noncharacter_Code_Point}]--' +
    '[\\u0600-\\u0605\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u{110bd}\\u{110cd}]]',
  'v',
);

/** Each alternative is one kind of unseen character in its place. */
const IN_PLACE = new RegExp(
  [
    // Emoji: parts of one are joined by U+200D; U+FE0E and U+FE0F choose its form; a flag's region is written in tags.
    '(?<=\\p{Extended_Pictographic}[\\ufe0f\\p{Emoji_Modifier}]{0,2})\\u200d(?=\\p{Extended_Pictographic})',
    '(?<=[\\p{Emoji}\\p{S}\\p{Ideographic}\\p{Script=Myanmar}\\p{Script=Phags_Pa}\\u3001\\u3002\\uff01\\uff0c\\uff0e\\uff1a\\uff1b\\uff1f])[\\ufe00-\\ufe0f]',
    '(?<=\\u{1f3f4})[\\u{e0030}-\\u{e0039}\\u{e0061}-\\u{e007a}]{3,6}\\u{e007f}',
    // Variants of ideographs, of Mongolian letters; how hieroglyphs are put together.
    '(?<=\\p{Ideographic})[\\u{e0100}-\\u{e01ef}]',
    '(?<=[[\\p{L}]&&[\\p{Script=Mongolian}]])[\\u180b-\\u180d\\u180f]',
    '(?<=\\p{Script=Egyptian_Hieroglyphs})[\\u{13430}-\\u{1343f}]',
    `(?<=[[\\p{L}\\p{M}]&&[${JOINING}]])[\\u200c\\u200d]`,
    `(?<=[[\\p{L}\\p{M}]&&[${UNSPACED}]])\\u200b(?=[[\\p{L}]&&[${UNSPACED}]])`,
  ].join('|'),
  'gv',
);
const HAS_RIGHT_TO_LEFT = new RegExp(`[[\\p{L}]&&[${RIGHT_TO_LEFT}]]`, 'v');
const BIDI_MARKS = /[\u061c\u200e\u200f]/g;

/** Whether a text has any character that does not show, wherever it stands. */
export const hasUnseen = (text: string): boolean => UNSEEN.test(text);

/** Whether a text has a character that does not show, and does not belong where it stands. */
export function hasMisplaced(text: string): boolean {
  if (!UNSEEN.test(text)) return false;
  const rest = text.replace(IN_PLACE, '');

  return UNSEEN.test(HAS_RIGHT_TO_LEFT.test(text) ? rest.replace(BIDI_MARKS, '') : rest);
}

/** Nothing to be seen: white space, what never shows (zero-width spaces, fillers), and the empty Braille pattern. */
export const isBlank = (text: string): boolean => /^[\p{White_Space}\p{Default_Ignorable_Code_Point}\u2800]*$/u.test(text);
