/** The timelines' shard beside its definition: the cheeps of those whom one follows, newest first. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { newId } from '../../shared/ids.js';
import type { Event, JournalEntry } from '../../shared/messages/event.js';
import { createApply, type Apply, type PositionedWrite } from '../apply.js';
import { APPLIED, LOG_LENGTH, prefixOf, type Shard, type Space } from '../shard.js';
import { timelines } from './projection.js';
import { readTimeline, readTimelineChanges, readTimelineStart, TIMELINE_LENGTH, TIMELINES } from './query.js';

let redis: Redis;
beforeAll(() => {
  redis = new Redis(process.env.TEST_REDIS_URL!);
});
afterAll(() => redis?.disconnect());

/** One shard that holds everybody, and a model of it. */
class Bench {
  readonly space: Space = { namespace: `t${randomBytes(6).toString('hex')}`, epoch: 'e', shards: 1 };
  readonly shard: Shard = { projection: TIMELINES, number: 0 };
  private readonly apply: Apply = createApply(redis, this.space, [timelines]);
  private readonly following = new Map<string, Set<string>>();
  private readonly posts: { authorId: string; cheepId: string; position: number }[] = [];
  position = 0;

  async begin(): Promise<void> {
    await redis.set(prefixOf(this.space, this.shard) + APPLIED, 0);
  }

  /** Applies events as one batch, as often as `times` says from the same place (as after failures in the middle). */
  async run(events: Event[], times = 1): Promise<void> {
    const from = this.position;
    const writes: PositionedWrite[] = events.flatMap((event, i) =>
      timelines.writes({ event, position: from + i + 1 } as JournalEntry).map(({ write }) => ({ position: from + i + 1, write })),
    );
    for (let time = 0; time < times; time++) {
      if (time > 0) await redis.set(prefixOf(this.space, this.shard) + APPLIED, from);
      for (let applied = from; applied < from + events.length;) {
        const left = writes.filter(({ position }) => position > applied);
        const result = await this.apply(this.shard, applied, from + events.length, left);
        expect(result.status).toBe('applied');
        applied = result.applied!;
      }
    }
    for (const event of events) {
      this.position += 1;
      if (event.type === 'AuthorFollowed') this.followed(event.followerId).add(event.followedId);
      if (event.type === 'AuthorUnfollowed') this.followed(event.followerId).delete(event.followedId);
      if (event.type === 'CheepPosted') this.posts.push({ ...event, position: this.position });
    }
  }

  followed(reader: string): Set<string> {
    const set = this.following.get(reader) ?? new Set();
    this.following.set(reader, set);
    return set;
  }

  /** By the definition: newest first. */
  timelineOf(reader: string): { id: string; position: number }[] {
    return this.posts
      .filter(({ authorId }) => this.followed(reader).has(authorId))
      .map(({ cheepId, position }) => ({ id: cheepId, position }))
      .reverse();
  }

  async readAll(reader: string, first: number) {
    const items: { id: string; position: number }[] = [];
    for (let after: number | null = null; ;) {
      const { value, applied } = await readTimeline(redis, this.space, reader, { first, after });
      expect(applied).toBe(this.position);
      items.push(...value.items);
      if (!value.hasNextPage) return items;
      after = value.items.at(-1)!.position;
    }
  }
}

const readers = [newId(), newId()];
const authors = [newId(), newId(), newId()];
const post = (authorId: string): Event => ({ type: 'CheepPosted', authorId, cheepId: newId(), message: 'm', inReplyTo: null });
const follow = (followerId: string, followedId: string): Event => ({ type: 'AuthorFollowed', followerId, followedId });
const unfollow = (followerId: string, followedId: string): Event => ({ type: 'AuthorUnfollowed', followerId, followedId });

/** All that can be paged through is right, and it is at least as long as a timeline is kept. */
async function expectNewest(bench: Bench, reader: string) {
  const all = await bench.readAll(reader, 100);
  expect(all.length).toBeGreaterThanOrEqual(TIMELINE_LENGTH);
  expect(all).toEqual(bench.timelineOf(reader).slice(0, all.length));
}

describe('a timelines shard', () => {
  it('holds what the definition says, as long as no list was trimmed, whatever is applied twice', async () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ author: fc.constantFrom(...authors), n: fc.integer({ min: 1, max: 20 }) }) },
      { weight: 2, arbitrary: fc.record({ reader: fc.constantFrom(...readers), author: fc.constantFrom(...authors), on: fc.boolean() }) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ step, times: fc.integer({ min: 1, max: 2 }) }), { maxLength: 25 }),
        fc.integer({ min: 1, max: 7 }),
        async (steps, first) => {
          const bench = new Bench();
          await bench.begin();
          for (const { step, times } of steps) {
            if ('n' in step)
              await bench.run(
                Array.from({ length: step.n }, () => post(step.author)),
                times,
              );
            else await bench.run([step.on ? follow(step.reader, step.author) : unfollow(step.reader, step.author)], times);
          }
          for (const reader of readers) expect(await bench.readAll(reader, first)).toEqual(bench.timelineOf(reader));
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);

  it('keeps the newest of a long timeline, and what it keeps is right after follows and unfollows', async () => {
    const bench = new Bench();
    await bench.begin();
    const [reader] = readers as [string];
    const [a, b, c] = authors as [string, string, string];
    await bench.run([follow(reader, a), follow(reader, b)]);
    for (let i = 0; i < 30; i++) await bench.run(Array.from({ length: 60 }, (_, n) => post(n % 2 ? a : b)));
    await expectNewest(bench, reader);
    await bench.run(Array.from({ length: 20 }, () => post(c)));
    await bench.run([follow(reader, c)]);
    await expectNewest(bench, reader);
    await bench.run([unfollow(reader, a)]);
    await expectNewest(bench, reader);
  }, 60_000);

  it('goes on below the floor that a long list has left, in the lists of those who are followed now', async () => {
    const bench = new Bench();
    await bench.begin();
    const [reader] = readers as [string];
    const [celebrity, dave, eve] = authors as [string, string, string];
    await bench.run([post(dave), post(eve), post(dave), post(eve), post(dave)]);
    await bench.run([follow(reader, celebrity)]);
    for (let i = 0; i < 10; i++) await bench.run(Array.from({ length: 250 }, () => post(celebrity)));
    await bench.run([unfollow(reader, celebrity), follow(reader, dave)]);
    expect(await bench.readAll(reader, 2)).toEqual(bench.timelineOf(reader));
    await bench.run([follow(reader, eve), post(dave), post(eve)]);
    for (const first of [1, 2, 3, 100]) expect(await bench.readAll(reader, first)).toEqual(bench.timelineOf(reader));
  }, 60_000);

  it('logs each change once, in order, and says when a cursor is older than the log', async () => {
    const bench = new Bench();
    await bench.begin();
    const [reader] = readers as [string];
    const [a, b] = authors as [string, string];
    await bench.run([follow(reader, a), post(a), post(b), post(a)], 2);
    const { value } = await readTimelineStart(redis, bench.space, reader, { position: 0, index: 0 });
    expect(value.isTorn).toBe(false);
    expect(value.following).toEqual(new Set([a]));
    expect(value.changes.map(({ id, type }) => [id.position, type])).toEqual([
      [1, 'followed'],
      [2, 'posted'],
      [4, 'posted'],
    ]);

    for (let i = 0; i < 25; i++) await bench.run(Array.from({ length: 400 }, () => post(a)));
    const read = (position: number) => readTimelineChanges(redis, bench.space, bench.shard, { position, index: 0 }, 10);
    expect((await read(2)).value.isTorn).toBe(true);
    expect((await read(4)).value.isTorn).toBe(false);
    expect(await redis.xlen(`${prefixOf(bench.space, bench.shard)}log`)).toBe(LOG_LENGTH);
  }, 60_000);

  it('refuses a batch that does not begin where it stands, and changes nothing', async () => {
    const bench = new Bench();
    await bench.begin();
    await bench.run([follow(readers[0]!, authors[0]!)]);
    const apply = createApply(redis, bench.space, [timelines]);
    expect(await apply(bench.shard, 0, 5, [])).toEqual({ status: 'moved', applied: 1 });
    expect(await apply(bench.shard, 7, 8, [])).toEqual({ status: 'moved', applied: 1 });
  });
});
