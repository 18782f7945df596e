import { describe, expect, it } from '@jest/globals';
import { faultIn, MAX_JSON_LEVELS } from './json.js';

const isTooDeep = (text: string) => faultIn(text)?.code === 'BAD_USER_INPUT';
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

  it('has any brackets in its texts, and as many beside each other as there may be values', () => {
    expect(faultIn(`[${'[],{},'.repeat(2_000)}0]`)).toBeNull();
    expect(isTooDeep(JSON.stringify({ text: '[{'.repeat(1_000), quoted: '\\"[{\\'.repeat(1_000), [`{"[`.repeat(500)]: 1 }))).toBe(false);
    expect(isTooDeep(`"${'['.repeat(1_000)}`)).toBe(false); // which is no JSON
  });

  it('that is closed more often than opened is left to the parser, and does not hide what follows', () => {
    expect(isTooDeep(']'.repeat(1_000))).toBe(false);
    expect(isTooDeep(']'.repeat(1_000) + '['.repeat(1_000))).toBe(true);
  });
});

it.each(['\\\\', '\\"', '\\\\\\"', 'a\\\\'])('has a string that ends where the parser ends it: %s', (inside) => {
  expect(JSON.parse(`["${inside}"]`)).toHaveLength(1);
  expect(faultIn(`["${inside}",${'['.repeat(200)}`)?.code).toBe('BAD_USER_INPUT');
  expect(faultIn(`["${inside}${'['.repeat(200)}"]`)).toBeNull();
});

it('has a bounded number of fields, whatever its texts say', () => {
  const object = (n: number) => JSON.stringify(Object.fromEntries(Array.from({ length: n }, (_, i) => [`:${i}"`, ':::'])));
  expect(faultIn(object(1_000))).toBeNull();
  expect(faultIn(object(1_001))).toEqual({ code: 'BAD_REQUEST', message: expect.stringMatching(/at most 1000 fields/) });
  expect(faultIn(JSON.stringify({ query: ':'.repeat(100_000), list: Array.from({ length: 9_000 }, () => 1) }))).toBeNull();
});

it.each(['1', '[]', '{}', '",,,"'])('has a bounded number of values, such as %s', (value) => {
  const list = (n: number) => `[${Array.from({ length: n }, () => value).join(',')}]`;
  expect(faultIn(list(4_990))).toBeNull();
  expect(faultIn(list(10_001))).toEqual({ code: 'BAD_REQUEST', message: expect.stringMatching(/at most 10000 values/) });
});
