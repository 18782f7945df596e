/** The funnel's shard beside its definition, and the arithmetic of what it answers. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { newId } from '../../shared/ids.js';
import type { Event, JournalEntry } from '../../shared/messages/event.js';
import { createApply, type PositionedWrite } from '../apply.js';
import { APPLIED, prefixOf, type Shard, type Space } from '../shard.js';
import { funnel } from './projection.js';
import { FUNNEL, FUNNEL_STEPS, funnelSteps, MAX_IN_A_CHUNK, nearestRank, readFunnelChunk, type ChunkStart, type SignUp } from './query.js';

const DAY_MS = 86_400_000;

let redis: Redis;
beforeAll(() => {
  redis = new Redis(process.env.TEST_REDIS_URL!);
});
afterAll(() => redis?.disconnect());

/** When, by an arbitrary clock, and who did what. */
type Step = { author: number; at: number } & ({ kind: 'signUp' | 'post' } | { kind: 'follow'; whom: number });

const authors = Array.from({ length: 6 }, () => newId());
const idOf = (author: number) => (authors[author] ??= newId());

function eventOf(step: Step): Event {
  const authorId = idOf(step.author);
  if (step.kind === 'follow') return { type: 'AuthorFollowed', followerId: authorId, followedId: idOf(step.whom) };
  if (step.kind === 'post') {
    const cheepId = newId();
    const reply = { inReplyTo: null, inReplyToAuthorId: null, threadId: cheepId };
    return { type: 'CheepPosted', authorId, cheepId, message: 'm', mentions: [], ...reply };
  }
  const fields = { name: null, biography: null, location: null, website: null, birthDate: null };
  return { type: 'AuthorSignedUp', authorId, username: 'u', email: 'e@example.org', ...fields };
}

class Bench {
  readonly space: Space = { namespace: `t${randomBytes(6).toString('hex')}`, epoch: 'e', shards: 1 };
  readonly shard: Shard = { projection: FUNNEL, number: 0 };
  private readonly apply = createApply(redis, this.space, [funnel]);
  private position = 0;

  async begin(): Promise<void> {
    await redis.set(prefixOf(this.space, this.shard) + APPLIED, 0);
  }

  /** One batch. `failAfter`: first so many of its events, as if the script had failed there; then all of it. */
  async run(steps: Step[], failAfter = 0): Promise<void> {
    const from = this.position;
    const upTo = from + steps.length;
    const writes: PositionedWrite[] = steps.flatMap((step, i) => {
      const entry = { event: eventOf(step), position: from + i + 1, at: new Date(step.at).toISOString() } as JournalEntry;
      return funnel.writes(entry).map(({ write }) => ({ position: entry.position, write }));
    });
    if (failAfter > 0) {
      const until = from + failAfter;
      const part = writes.filter(({ position }) => position <= until);
      expect(await this.apply(this.shard, from, until, part)).toEqual({ status: 'applied', applied: until });
      await redis.set(prefixOf(this.space, this.shard) + APPLIED, from);
    }
    for (let applied = from; applied < upTo;) {
      const left = writes.filter(({ position }) => position > applied);
      const result = await this.apply(this.shard, applied, upTo, left);
      expect(result.status).toBe('applied');
      applied = result.applied!;
    }
    this.position = upTo;
  }

  async read(from: number, to: number): Promise<SignUp[]> {
    const found = new Map<string, SignUp>();
    for (let next: ChunkStart | null = { at: from, skip: 0 }; next;) {
      const { value, applied } = await readFunnelChunk(redis, this.space, this.shard, { from, to }, next);
      expect(applied).toBe(this.position);
      expect(value.signUps.length).toBeLessThanOrEqual(MAX_IN_A_CHUNK);
      for (const signUp of value.signUps) {
        expect(found.has(signUp.authorId)).toBe(false);
        found.set(signUp.authorId, signUp);
      }
      expect(value.count).toBeGreaterThanOrEqual(found.size);
      if (!value.next) expect(value.count).toBe(found.size);
      next = value.next;
    }

    return [...found.values()];
  }
}

/** By the definition: the first of each, in the order of the journal; the other day is another than that of the first post. */
function model(steps: Step[], from: number, to: number): SignUp[] {
  const day = (at: number) => new Date(at).toISOString().slice(0, 10);

  return steps
    .filter(({ kind, at }) => kind === 'signUp' && from <= at && at < to)
    .map(({ author, at }) => {
      const own = steps.filter((step) => step.author === author);
      const posts = own.filter(({ kind }) => kind === 'post').map((post) => post.at);
      const otherDay = posts.find((post) => day(post) !== day(posts[0]!));
      return {
        authorId: idOf(author),
        at,
        steps: {
          FOLLOWED_SOMEBODY: own.find(({ kind }) => kind === 'follow')?.at ?? null,
          POSTED: posts[0] ?? null,
          POSTED_ON_ANOTHER_DAY: otherDay ?? null,
        },
      };
    });
}

const byId = (signUps: SignUp[]) => signUps.toSorted((a, b) => (a.authorId < b.authorId ? -1 : 1));

describe('a funnel shard', () => {
  it('holds what the definition says, whatever the clocks say and whatever is applied twice', async () => {
    const moment = fc.integer({ min: -3 * DAY_MS, max: 3 * DAY_MS });
    const author = fc.nat({ max: 5 });
    const deed = fc.oneof(
      fc.record({ author, at: moment, kind: fc.constant('post' as const) }),
      fc.record({ author, at: moment, kind: fc.constant('follow' as const), whom: author }),
    );
    const signUps = fc.array(moment, { minLength: 6, maxLength: 6 });
    const batches = fc.array(fc.record({ deeds: fc.array(deed, { minLength: 1, maxLength: 12 }), failAfter: fc.nat({ max: 12 }) }), {
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(signUps, batches, moment, moment, async (signedUpAt, batches, one, other) => {
        const bench = new Bench();
        await bench.begin();
        const first = signedUpAt.map((at, author): Step => ({ author, at, kind: 'signUp' }));
        await bench.run(first, 3);
        for (const { deeds, failAfter } of batches) await bench.run(deeds, Math.min(failAfter, deeds.length));
        const all = [...first, ...batches.flatMap(({ deeds }): Step[] => deeds)];
        for (const [from, to] of [[-10 * DAY_MS, 10 * DAY_MS] as const, [Math.min(one, other), Math.max(one, other)] as const]) {
          expect(byId(await bench.read(from, to))).toEqual(byId(model(all, from, to)));
        }
      }),
      { numRuns: 150 },
    );
  });

  it('is read in chunks, and leaves nobody out who signed up in the same moment as others', async () => {
    const bench = new Bench();
    await bench.begin();
    const signUps = Array.from({ length: 3_500 }, (_, author): Step => ({ author, at: author < 1_000 ? author : 5_000, kind: 'signUp' }));
    await bench.run([...signUps, { author: 3_499, at: 6_000, kind: 'post' }]);
    const all = await bench.read(0, 10_000);
    expect(all).toHaveLength(3_500);
    expect(funnelSteps(all)[1]).toEqual({ name: 'POSTED', reached: 1, medianSeconds: 1, p90Seconds: 1 });
    expect(await bench.read(5_000, 5_001)).toHaveLength(2_500);
    expect(await bench.read(500, 5_000)).toHaveLength(500);
    expect(await bench.read(5_001, 10_000)).toEqual([]);
  });
});

describe('the steps of a funnel', () => {
  const signUp = (at: number, steps: Partial<SignUp['steps']>): SignUp => ({
    authorId: newId(),
    at,
    steps: { FOLLOWED_SOMEBODY: null, POSTED: null, POSTED_ON_ANOTHER_DAY: null, ...steps },
  });

  it('tell how many got there, and in what time half and nine tenths of them did', () => {
    const signUps = [
      ...Array.from({ length: 10 }, (_, i) => signUp(1_000, { POSTED: 1_000 + (10 - i) * 500 })),
      signUp(1_000, { FOLLOWED_SOMEBODY: 400 }), // by another clock
      signUp(1_000, {}),
    ];
    expect(funnelSteps(signUps)).toEqual([
      { name: 'FOLLOWED_SOMEBODY', reached: 1, medianSeconds: 0, p90Seconds: 0 },
      { name: 'POSTED', reached: 10, medianSeconds: 2.5, p90Seconds: 4.5 },
      { name: 'POSTED_ON_ANOTHER_DAY', reached: 0, medianSeconds: null, p90Seconds: null },
    ]);
    expect(funnelSteps([]).map(({ name, reached }) => [name, reached])).toEqual(FUNNEL_STEPS.map((name) => [name, 0]));
  });

  it('take the least time that at least so many did not exceed', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 100 }), (values, percent) => {
        const found = nearestRank(
          values.toSorted((a, b) => a - b),
          percent,
        )!;
        const share = (limit: number) => (100 * values.filter((value) => value <= limit).length) / values.length;
        expect(values).toContain(found);
        expect(share(found)).toBeGreaterThanOrEqual(percent);
        for (const value of values) if (value < found) expect(share(value)).toBeLessThan(percent);
      }),
    );
    expect(nearestRank([], 50)).toBeNull();
  });
});
