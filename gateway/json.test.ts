import { describe, expect, it } from '@jest/globals';
import { isTooDeep, tooManyFields, MAX_JSON_LEVELS } from './json.js';

const deep = (levels: number, open: string, close: string) => open.repeat(levels) + close.repeat(levels);

describe('JSON from a client', () => {
  it.each([
    ['[', ']'],
    ['{"a":', '}'],
    ['[{"a":[', ']}]'],
  ])('has a bounded depth: %s', (open, close) => {
    const levels = Math.floor(MAX_JSON_LEVELS / (open.match(/[[{]/g)?.length ?? 1));
    expect(isTooDeep(deep(levels, open, close))).toBe(false);
    expect(isTooDeep(`[[${deep(levels, open, close)}]]`)).toBe(true);
    expect(isTooDeep(open.repeat(100_000))).toBe(true);
  });

  it('may be as wide as it likes, and have any brackets in its texts', () => {
    expect(isTooDeep(`[${'[],{},'.repeat(10_000)}0]`)).toBe(false);
    expect(isTooDeep(JSON.stringify({ text: '[{'.repeat(1_000), quoted: '\\"[{\\'.repeat(1_000), [`{"[`.repeat(500)]: 1 }))).toBe(false);
    expect(isTooDeep(`"${'['.repeat(1_000)}`)).toBe(false); // which is no JSON
  });

  it('that is closed more often than opened is left to the parser, and does not hide what follows', () => {
    expect(isTooDeep(']'.repeat(1_000))).toBe(false);
    expect(isTooDeep(']'.repeat(1_000) + '['.repeat(1_000))).toBe(true);
  });
});

it('has a bounded number of fields, whatever its texts say', () => {
  const object = (n: number) => JSON.stringify(Object.fromEntries(Array.from({ length: n }, (_, i) => [`:${i}"`, ':::'])));
  expect(tooManyFields(object(2_000))).toBeNull();
  expect(tooManyFields(object(2_001))).toMatch(/at most 2000 fields/);
  expect(tooManyFields(JSON.stringify({ query: ':'.repeat(100_000), list: Array.from({ length: 10_000 }, () => 1) }))).toBeNull();
});
