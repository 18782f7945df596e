/**
 * What an operation demands and answers, as a plain model of it: positions and maxima. (The token's own form, and merging, are
 * in shared/token.test.ts.) Whatever clients send, in whatever order, the answer is never less than what they had, and what
 * nobody gave out is said to be wrong, and does nothing else.
 */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { GraphQLError } from 'graphql';
import { Consistency, type ConsistencyRequest } from '../../gateway/consistency.js';
import { parseResumeCursor, resumeCursor } from '../../gateway/resume-cursor.js';
import { decodeToken, encode, encodeToken } from '../../shared/token.js';
import { runs } from './runs.js';

const EPOCH = 'e1';
const READ_DEADLINE_MS = 1_000;

const epoch = fc.stringMatching(/^[a-z0-9]{1,16}$/);
const position = fc.oneof(fc.nat(20), fc.nat(), fc.maxSafeNat());
const token = (position: number, epoch = EPOCH) => encodeToken({ epoch, position });
const positionIn = (text: string): number => decodeToken(text).position;
const operation = (request: ConsistencyRequest) => Consistency.of(request, EPOCH, READ_DEADLINE_MS);

/** The code that it throws with; null when it does not. Anything but a fault of ours goes through. */
function codeOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    if (error instanceof GraphQLError) return error.extensions.code;
    throw error;
  }

  return null;
}

/** What somebody may try who has seen a true one: cut, turned over, prolonged, sent twice, or of something else. */
const tampered = (made: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof(
    fc.tuple(made, fc.nat()).map(([text, at]) => text.slice(0, at % text.length)),
    fc.tuple(made, fc.nat(), fc.nat(7)).map(([text, at, bit]) => {
      const bytes = Buffer.from(text);
      bytes[at % bytes.length]! ^= 1 << bit;
      return bytes.toString('latin1');
    }),
    fc.tuple(made, fc.nat(), fc.nat(7)).map(([text, at, bit]) => {
      const inside = Buffer.from(text, 'base64url');
      inside[at % inside.length]! ^= 1 << bit;
      return inside.toString('base64url');
    }),
    made.map((text) => text + text),
    fc.tuple(made, fc.string({ minLength: 1 })).map(([text, more]) => text + more),
    fc.string({ unit: 'binary', minLength: 1 }),
    fc.json().map((json) => Buffer.from(json).toString('base64url')),
    fc
      .tuple(epoch, fc.bigInt({ min: 2n ** 53n }))
      .map(([epoch, huge]) => Buffer.from(`{"e":"${epoch}","p":{"0":${huge}}}`).toString('base64url')),
    fc
      .tuple(epoch, fc.bigInt({ min: 2n ** 53n }))
      .map(([epoch, huge]) => Buffer.from(`{"e":"${epoch}","p":${huge},"i":0}`).toString('base64url')),
    fc.constantFrom('', 'null', 'e30', 'undefined', encode({ e: EPOCH, p: { 0: 1e300 } }), encode({ e: EPOCH, p: 1e300, i: 0 })),
  );

describe('an operation', () => {
  const sent = fc.record({
    header: fc.array(position, { maxLength: 16 }),
    cookie: fc.option(fc.record({ epoch: fc.constantFrom(EPOCH, 'e2'), position })),
    separator: fc.constantFrom(',', ', ', ' ,', ',,', ' , ,'),
  });

  it('demands the latest of all that it came with, and answers no less, beside another of the same request: 3,000 requests', () => {
    const step = fc.record({
      kind: fc.constantFrom('saw' as const, 'settled' as const),
      by: fc.nat(1),
      position,
      isBase: fc.boolean(),
    });
    fc.assert(
      fc.property(sent, fc.array(step, { maxLength: 12 }), ({ header, cookie, separator }, steps) => {
        const first = operation({
          header: header.map((position) => token(position)).join(separator),
          cookie: cookie ? token(cookie.position, cookie.epoch) : undefined,
        });
        const kept = cookie?.epoch === EPOCH ? cookie.position : 0;
        const floor = Math.max(0, kept, ...header);
        const operations = [first, first.sibling()].map((made) => ({
          made,
          happened: [] as number[],
          bases: [] as number[],
          committed: null as number | null,
        }));

        const answers = [];
        const right = [];
        for (const { kind, by, position, isBase } of steps) {
          const one = operations[by]!;
          if (kind === 'saw') {
            one.made.saw(position, 0, isBase);
            if (isBase) one.bases.push(position);
          } else {
            one.made.settled(position);
            one.committed = position;
          }
          one.happened.push(position);
          const ofBoth = operations.flatMap(({ happened }) => happened);
          for (const { made, happened, bases, committed } of operations) {
            const { token: answered, position: asOf } = made.report();
            answers.push([made.floor, answered, asOf, made.header(), made.cookie()]);
            right.push([
              floor,
              token(Math.max(floor, ...happened)),
              String(committed ?? (bases.length > 0 ? Math.min(...bases) : floor)),
              token(Math.max(floor, ...ofBoth)),
              // What only a header said is no truth, so it must not stay with a browser.
              token(Math.max(kept, ...ofBoth)),
            ]);
          }
        }
        expect(answers).toEqual(right);
      }),
      runs(3_000),
    );
  });

  it('waits no longer than it may in all, and what waits at once waits once: 1,000 of them', () => {
    // Each waits from a moment for some time.
    const wait = fc.record({ from: fc.nat(300), forMs: fc.nat(100) });
    fc.assert(
      fc.property(fc.array(wait, { minLength: 1, maxLength: 10 }), (waits) => {
        const made = operation({});
        const moments = waits
          .flatMap(({ from, forMs }, i) => [
            { at: from, i, begins: true },
            { at: from + forMs, i, begins: false },
          ])
          // What ends and begins at one moment goes on.
          .toSorted((a, b) => a.at - b.at || Number(b.begins) - Number(a.begins));
        const isWaiting = (ms: number) => waits.some(({ from, forMs }) => from <= ms && ms < from + forMs);
        const waitedBefore = (ms: number) => Array.from({ length: ms }, (_, i) => i).filter(isWaiting).length;
        for (const { at, begins } of moments) {
          if (!begins) made.endWaiting(at);
          else expect(made.beginWaiting(at)).toBe(at + READ_DEADLINE_MS - waitedBefore(at));
        }
        expect(made.report().waitedMs).toBe(waitedBefore(400));
      }),
      runs(1_000),
    );
  });

  it("of a session that echoes what it was answered is never behind an earlier one, nor behind a friend's: 1,500 sessions", () => {
    const request = fc.record({
      how: fc.constantFrom('header' as const, 'cookie' as const, 'both' as const),
      friend: fc.option(position),
      saw: fc.array(fc.nat(50), { maxLength: 3 }),
      settled: fc.option(fc.nat(50)),
    });
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 8 }), (requests) => {
        let header = '';
        let cookie = '';
        for (const { how, friend, saw, settled } of requests) {
          const mine = how === 'cookie' ? '' : header;
          const made = operation({
            header: friend === null ? mine : `${mine},${token(friend)}`,
            cookie: how === 'header' ? undefined : cookie,
          });
          const before = Math.max(friend ?? 0, mine ? positionIn(mine) : 0, how !== 'header' && cookie ? positionIn(cookie) : 0);
          expect(made.floor).toBe(before);
          for (const position of saw) made.saw(position, 0, true);
          if (settled !== null) made.settled(settled);
          // A client keeps the newest answer; a browser replaces its cookie.
          const answered = made.report().token;
          expect(positionIn(answered)).toBeGreaterThanOrEqual(before);
          expect(positionIn(made.cookie())).toBeLessThanOrEqual(positionIn(answered));
          if (how !== 'header' && cookie) expect(positionIn(made.cookie())).toBeGreaterThanOrEqual(positionIn(cookie));
          header = answered;
          cookie = made.cookie();
        }
      }),
      runs(1_500),
    );
  });

  it('that comes with what is no token of this journal is BAD_TOKEN, whatever else it comes with: 2,500 forgeries', () => {
    const made = fc.tuple(fc.constantFrom(EPOCH, EPOCH, 'e2'), position).map(([epoch, position]) => token(position, epoch));
    fc.assert(
      fc.property(tampered(made), fc.array(position, { maxLength: 2 }), fc.boolean(), (wrong, others, isFirst) => {
        const right = others.map((position) => token(position));
        const header = (isFirst ? [wrong, ...right] : [...right, wrong]).join(',');
        const texts = header
          .split(',')
          .map((text) => text.trim())
          .filter(Boolean);
        // Tampering may make one that could have been ours: then it means what it says, to the bit.
        const isOurs = texts.every((text) => isTokenOf(text, EPOCH)) && texts.length <= 16;
        expect(codeOf(() => operation({ header }))).toBe(isOurs ? null : 'BAD_TOKEN');
        if (isOurs) expect(operation({ header }).floor).toBe(Math.max(0, ...texts.map(positionIn)));
        // Nobody chose a cookie: that one is as none.
        expect(operation({ header: right.join(','), cookie: wrong }).floor).toBe(
          Math.max(0, ...others, isTokenOf(wrong, EPOCH) ? positionIn(wrong) : 0),
        );
      }),
      runs(2_500),
    );
  });

  it('can bring sixteen tokens, and no more', () => {
    const header = (n: number) => Array.from({ length: n }, (_, i) => token(i)).join(',');
    expect(operation({ header: header(16) }).floor).toBe(15);
    expect(codeOf(() => operation({ header: header(17) }))).toBe('BAD_TOKEN');
  });
});

/** By the definition: what `encodeToken` makes, and nothing else. */
function isTokenOf(text: string, epoch: string): boolean {
  const inside = /^\{"e":"([a-z0-9]{1,16})","p":\{"0":(\d+)\}\}$/.exec(Buffer.from(text, 'base64url').toString('latin1'));

  return inside !== null && inside[1] === epoch && Number.isSafeInteger(Number(inside[2])) && token(Number(inside[2]), epoch) === text;
}

describe('a cursor of a subscription', () => {
  const place = fc.record({ position, index: fc.option(position) });

  it('comes back as it was: 1,000 of them', () => {
    fc.assert(
      fc.property(epoch, place, (epoch, place) => {
        expect(parseResumeCursor(resumeCursor(epoch, place))).toEqual({ epoch, ...place });
        expect(resumeCursor(epoch, place)).toMatch(/^[\w-]{1,100}$/);
      }),
      runs(1_000),
    );
  });

  it('is BAD_USER_INPUT when nobody made it: 2,000 forgeries', () => {
    const made = fc.tuple(epoch, place).map(([epoch, place]) => resumeCursor(epoch, place));
    fc.assert(
      fc.property(tampered(made), (text) => {
        const inside = /^\{"e":"([a-z0-9]{1,16})","p":(\d+),"i":(null|\d+)\}$/.exec(Buffer.from(text, 'base64url').toString('latin1'));
        const [p, i] = [Number(inside?.[2]), inside?.[3] === 'null' ? null : Number(inside?.[3])];
        const isOurs =
          inside !== null && [p, i ?? 0].every(Number.isSafeInteger) && resumeCursor(inside[1]!, { position: p, index: i }) === text;
        expect(codeOf(() => parseResumeCursor(text))).toBe(isOurs ? null : 'BAD_USER_INPUT');
        if (isOurs) expect(resumeCursor(inside[1]!, parseResumeCursor(text))).toBe(text);
      }),
      runs(2_000),
    );
  });
});
