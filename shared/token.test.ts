import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BadTokenError, decodeToken, encode, encodeToken, mergeTokens } from './token.js';

const epoch = fc.stringMatching(/^[a-z0-9]{1,16}$/);
const position = fc.oneof(fc.nat(), fc.maxSafeNat());

describe('a token', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(epoch, position, (epoch, position) => {
        expect(decodeToken(encodeToken({ epoch, position }))).toEqual({ epoch, position });
      }),
    );
  });

  it('is fit for a header, a cookie and a list with commas', () => {
    fc.assert(fc.property(epoch, position, (epoch, position) => expect(encodeToken({ epoch, position })).toMatch(/^[\w-]{1,100}$/)));
  });

  it('is only what was made as one: garbage is a BadTokenError, never something, and never another error', () => {
    const made = fc.tuple(epoch, position).map(([epoch, position]) => encodeToken({ epoch, position }));
    const garbage = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.base64String(),
      fc.json().map((json) => Buffer.from(json).toString('base64url')),
      fc
        .record({ e: fc.oneof(epoch, fc.string()), p: fc.oneof(fc.record({ 0: fc.oneof(fc.double(), position) }), fc.anything()) })
        .map((value) => encode(value)),
      // Nearly one: a character more, less or other.
      fc
        .tuple(made, fc.nat(120), fc.constantFrom('', 'A', 'x', '=', '_', ' '), fc.nat(1))
        .map(([text, at, char, less]) => text.slice(0, at) + char + text.slice(at + less)),
    );
    fc.assert(
      fc.property(garbage, (text) => {
        let token;
        try {
          token = decodeToken(text);
        } catch (error) {
          expect(error).toBeInstanceOf(BadTokenError);
          return;
        }
        expect(encodeToken(token)).toBe(text);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    { e: 'a', p: { 0: -1 } },
    { e: 'a', p: { 0: 1.5 } },
    { e: 'a', p: { 0: 2 ** 53 } },
    { e: 'a', p: { 0: '1' } },
    { e: 'a', p: { 0: 1, 1: 1 } },
    { e: 'a', p: {} },
    { e: 'A', p: { 0: 1 } },
    { e: '', p: { 0: 1 } },
    { e: 'a', p: { 0: 1 }, x: 1 },
  ])('is not %j', (value) => {
    expect(() => decodeToken(encode(value))).toThrow(BadTokenError);
  });

  it('is not read at all when it is long', () => {
    expect(() => decodeToken(encode({ e: 'a', p: { 0: 1 }, padding: 'x'.repeat(10_000_000) }))).toThrow(BadTokenError);
  });
});

describe('merging tokens', () => {
  const EPOCH = 'e';
  const token = position.map((position) => encodeToken({ epoch: EPOCH, position }));
  const merge = (...texts: string[]) => encodeToken(mergeTokens(texts, EPOCH));

  it('is the maximum: in any order, in any grouping, however often', () => {
    fc.assert(
      fc.property(token, token, token, (a, b, c) => {
        expect(decodeToken(merge(a, b)).position).toBe(Math.max(decodeToken(a).position, decodeToken(b).position));
        expect(merge(a, b)).toBe(merge(b, a));
        expect(merge(merge(a, b), c)).toBe(merge(a, merge(b, c)));
        expect(merge(a, a)).toBe(a);
        expect(merge(a)).toBe(a);
        expect(merge(a, b, c)).toBe(merge(c, merge(b, a)));
      }),
    );
  });

  it('of none is the beginning', () => {
    expect(mergeTokens([], EPOCH)).toEqual({ epoch: EPOCH, position: 0 });
    fc.assert(fc.property(token, (a) => expect(merge(a, merge())).toBe(a)));
  });

  it('fails when one is of another epoch, or none', () => {
    fc.assert(
      fc.property(token, epoch, position, (a, epoch, position) => {
        fc.pre(epoch !== EPOCH);
        const other = encodeToken({ epoch, position });
        for (const wrong of [other, 'x', '']) {
          expect(() => mergeTokens([a, wrong], EPOCH)).toThrow(BadTokenError);
          expect(() => mergeTokens([wrong, a], EPOCH)).toThrow(BadTokenError);
        }
      }),
    );
  });
});
