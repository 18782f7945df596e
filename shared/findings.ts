/** What a check has found: how much it looked at, how much of it is not as it should be, and the first of that. */

export interface Difference {
  /** What is not the same, such as `position 17` or `timelines.3:3 hot`. */
  what: string;
  /** Null where there is nothing. */
  is: string | null;
  /** Null where there should be nothing. */
  shouldBe: string | null;
  /** Of the journal: where it is, or as of which both were read; null for none. */
  position: number | null;
}

/** Differences that are told in words; the others are only counted. */
export const MAX_TOLD = 10;
/** Characters of a value that are told. */
const MAX_CHARACTERS = 300;

export class Findings {
  /** Things that were looked at. */
  looked = 0;
  /** Of them, those that are not as they should be. */
  differing = 0;
  /** The first of them. */
  readonly first: Difference[] = [];
  /** What is worth knowing, and is no fault. */
  readonly notes: string[] = [];

  /** @param words fewer are told than are counted, so they are only made when they are */
  differ(words: () => Difference): void {
    this.differing += 1;
    if (this.first.length >= MAX_TOLD) return;
    const { what, is, shouldBe, position } = words();
    this.first.push({ what, is: shortened(is), shouldBe: shortened(shouldBe), position });
  }
}

const shortened = (text: string | null): string | null =>
  text !== null && text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}… (${text.length} characters)` : text;
