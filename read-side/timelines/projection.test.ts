/** The timelines' shard beside its definition: every live cheep of those whom one follows, newest first. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { newId } from '../../shared/ids.js';
import type { Event, JournalEntry } from '../../shared/messages/event.js';
import { Findings } from '../../shared/findings.js';
import { createApply, type Apply, type PositionedWrite } from '../apply.js';
import { readChanges, readStart } from '../changes.js';
import { compareCopies, readMoving, type Copy } from '../differences.js';
import type { ListItem } from '../list.js';
import type { Projection } from '../projection.js';
import { APPLIED, LOG_LENGTH, prefixOf, TARGET, unpackId, UNMADE, type Shard, type Space } from '../shard.js';
import { createTimelines, type TimelineLimits } from './projection.js';
import { decodeTimelineChange, followingKey, readTimeline, TIMELINE_LENGTH, TIMELINES } from './query.js';

let redis: Redis;
beforeAll(() => {
  redis = new Redis(process.env.TEST_REDIS_URL!);
});
afterAll(() => redis?.disconnect());

interface Post extends ListItem {
  authorId: string;
  isDeleted: boolean;
}

/** One shard that holds everybody, and a model of it. */
class Bench {
  readonly space: Space = { namespace: `t${randomBytes(6).toString('hex')}`, epoch: 'e', shards: 1 };
  readonly shard: Shard = { projection: TIMELINES, number: 0 };
  private readonly projection: Projection;
  private readonly apply: Apply;
  private readonly following = new Map<string, Set<string>>();
  private readonly posts: Post[] = [];
  private readonly events: Event[] = [];
  position = 0;

  private constructor(readonly limits: Required<TimelineLimits>) {
    this.projection = createTimelines(limits);
    this.apply = createApply(redis, this.space, [this.projection]);
  }

  static async begin(limits: Partial<TimelineLimits> = {}): Promise<Bench> {
    const bench = new Bench({ hotFollowers: 1_000, timelineLength: TIMELINE_LENGTH, ...limits });
    await redis.set(bench.key(APPLIED), 0);

    return bench;
  }

  key(name: string): string {
    return prefixOf(this.space, this.shard) + name;
  }

  /** Applies events as one batch, as often as `times` says from the same place; what is not the last time may fail after some. */
  async run(events: Event[], times = 1, failsAfter: number | null = null): Promise<void> {
    const from = this.position;
    const upTo = from + events.length;
    const writes: PositionedWrite[] = events.flatMap((event, i) =>
      this.projection.writes({ event, position: from + i + 1 } as JournalEntry).map(({ write }) => ({ position: from + i + 1, write })),
    );
    for (let time = 0; time < times; time++) {
      if (time < times - 1 && failsAfter !== null && events.length > 0) {
        // `applied` is no list.
        const broken = { position: from + failsAfter + 1, write: ['SADD', APPLIED, 'x'] as const };
        const some = writes.filter(({ position }) => position < broken.position);
        await expect(this.applyAll(from, upTo, [...some, broken])).rejects.toThrow('WRONGTYPE');
        continue;
      }
      await redis.set(this.key(APPLIED), from);
      await this.applyAll(from, upTo, writes);
    }
    for (const event of events) {
      this.position += 1;
      this.events.push(event);
      if (event.type === 'AuthorFollowed') this.followed(event.followerId).add(event.followedId);
      if (event.type === 'AuthorUnfollowed') this.followed(event.followerId).delete(event.followedId);
      if (event.type === 'CheepPosted')
        this.posts.push({ id: event.cheepId, authorId: event.authorId, position: this.position, isDeleted: false });
      if (event.type === 'CheepDeleted') for (const post of this.posts) post.isDeleted ||= post.id === event.cheepId;
    }
  }

  private async applyAll(from: number, upTo: number, writes: PositionedWrite[]): Promise<void> {
    for (let applied = from; applied < upTo;) {
      const left = writes.filter(({ position }) => position > applied);
      const result = await this.apply(this.shard, applied, upTo, left);
      expect(result.status).toBe('applied');
      applied = result.applied!;
    }
  }

  followed(reader: string): Set<string> {
    const set = this.following.get(reader) ?? new Set();
    this.following.set(reader, set);

    return set;
  }

  /** By the definition: newest first. */
  timelineOf(reader: string): ListItem[] {
    return this.posts
      .filter(({ authorId, isDeleted }) => this.followed(reader).has(authorId) && !isDeleted)
      .map(({ id, position }) => ({ id, position }))
      .reverse();
  }

  /** Every page to the end. None is short but the last, and the last is not empty, unless it is the first. */
  async readAll(reader: string, first: number): Promise<ListItem[]> {
    const items: ListItem[] = [];
    for (let after: number | null = null; ;) {
      const { value, applied } = await readTimeline(redis, this.space, reader, { first, after }, this.limits.timelineLength);
      expect(applied).toBe(this.position);
      if (value.hasNextPage) expect(value.items).toHaveLength(first);
      if (after !== null) expect(value.items).not.toHaveLength(0);
      items.push(...value.items);
      expect(items.length).toBeLessThanOrEqual(this.posts.length);
      if (!value.hasNextPage) return items;
      after = value.items.at(-1)!.position;
    }
  }

  async expectExact(reader: string, sizes = [1, 2, 3, 100]): Promise<void> {
    const expected = this.timelineOf(reader);
    for (const first of sizes) expect(await this.readAll(reader, first)).toEqual(expected);
  }

  /** What is kept ready is bounded, and follows from who follows whom and what was posted: not from how it came to be. */
  async expectBounded(readers: string[], authors: string[]): Promise<void> {
    for (const reader of readers) {
      const kept = await redis.lrangeBuffer(this.key(`timeline:${reader}`), 0, -1);
      const merged = new Set(await redis.smembers(this.key(`merges:${reader}`)));
      const posts = this.posts.filter(({ authorId }) => this.followed(reader).has(authorId) && !merged.has(authorId));
      expect(kept.map((entry) => ({ position: Number(entry.readBigUInt64BE()), id: unpackId(entry.subarray(8)) }))).toEqual(
        posts.slice(-this.limits.timelineLength).map(({ position, id }) => ({ position, id })),
      );
    }
    for (const author of authors) expect(await redis.scard(this.key(`followers:${author}`))).toBeLessThanOrEqual(this.limits.hotFollowers);
  }

  /** A shard that builds itself from all these events, up to a target at once, and then on, is the same; each batch may fail first. */
  async expectSameBuiltUpTo(target: number, batch: number, failsAfter: number | null = null): Promise<void> {
    const built = await Bench.begin(this.limits);
    await redis.set(built.key(TARGET), target);
    for (let i = 0; i < this.events.length; i += batch) {
      const events = this.events.slice(i, i + batch);
      await built.run(events, failsAfter === null ? 1 : 2, failsAfter);
    }
    expect(await redis.exists(built.key(UNMADE))).toBe(0);
    const findings = new Findings();
    const copies: [Copy, Copy] = [{ space: this.space }, { space: built.space }];
    const read = readMoving(redis, TIMELINES, copies);
    await compareCopies(redis, TIMELINES, copies, read, findings, { signal: new AbortController().signal, onProgress: () => undefined });
    expect(findings).toMatchObject({ differing: 0 });
    expect(findings.looked).toBeGreaterThan(0);
  }

  /** Do the author's cheeps go into the reader's timeline? */
  async isFannedOut(reader: string, author: string): Promise<boolean> {
    const isMerged = await redis.sismember(this.key(`merges:${reader}`), author);
    const isFannedOut = await redis.sismember(this.key(`followers:${author}`), reader);
    expect(isMerged + isFannedOut).toBe(this.followed(reader).has(author) ? 1 : 0);

    return isFannedOut === 1;
  }

  changesAfter(position: number, most = LOG_LENGTH) {
    return readChanges(redis, this.space, this.shard, { position, index: 0 }, most, decodeTimelineChange);
  }
}

const ids = (n: number) => Array.from({ length: n }, newId);
const [alice, bob, carol] = ids(3) as [string, string, string];
const [dave, eve, frank] = ids(3) as [string, string, string];

const post = (authorId: string, cheepId = newId()): Event => ({
  type: 'CheepPosted',
  authorId,
  cheepId,
  message: 'm',
  mentions: [],
  inReplyTo: null,
  inReplyToAuthorId: null,
  threadId: cheepId,
});
const posts = (authorId: string, n: number) => Array.from({ length: n }, () => post(authorId));
const edit = (authorId: string, cheepId: string): Event => ({
  type: 'CheepEdited',
  authorId,
  cheepId,
  inReplyTo: null,
  threadId: cheepId,
  changes: { message: { from: 'm', to: 'n' } },
  mentions: [],
});
const remove = (authorId: string, cheepId: string): Event => ({
  type: 'CheepDeleted',
  authorId,
  cheepId,
  inReplyTo: null,
  threadId: cheepId,
});
const follow = (followerId: string, followedId: string): Event => ({ type: 'AuthorFollowed', followerId, followedId });
const unfollow = (followerId: string, followedId: string): Event => ({ type: 'AuthorUnfollowed', followerId, followedId });

describe('a timelines shard', () => {
  it('holds what the definition says, whatever the limits, whatever is applied twice or fails in the middle', async () => {
    const everybody = ids(6);
    const who = fc.nat({ max: everybody.length - 1 });
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('post' as const), who, n: fc.integer({ min: 1, max: 5 }) }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('follow' as const), who, whom: who }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('unfollow' as const), which: fc.nat() }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), which: fc.nat() }) },
    );
    const batch = fc.record({
      steps: fc.array(step, { minLength: 1, maxLength: 8 }),
      times: fc.integer({ min: 1, max: 2 }),
      failsAfter: fc.option(fc.nat({ max: 8 })),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(batch, { minLength: 4, maxLength: 12 }),
        fc.constantFrom(
          { timelineLength: 3, hotFollowers: 2 },
          { timelineLength: 4, hotFollowers: 0 },
          { timelineLength: 3, hotFollowers: 9 },
        ),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (batches, limits, target) => {
          const bench = await Bench.begin(limits);
          // Who follows whom, and what there is, as the write side would know it: nothing happens that is so already.
          const pairs = new Set<string>();
          const cheeps: [author: string, cheep: string][] = [];
          for (const { steps, times, failsAfter } of batches) {
            const events = steps.flatMap((step): Event[] => {
              if (step.kind === 'post') {
                return posts(everybody[step.who]!, step.n).map((event) => {
                  if (event.type === 'CheepPosted') cheeps.push([event.authorId, event.cheepId]);
                  return event;
                });
              }
              if (step.kind === 'delete') {
                const [cheep] = cheeps.splice(step.which % Math.max(1, cheeps.length), 1);
                return cheep ? [remove(...cheep)] : [];
              }
              if (step.kind === 'follow') {
                const pair = `${everybody[step.who]} ${everybody[step.whom]}`;
                if (step.who === step.whom || pairs.has(pair)) return [];
                pairs.add(pair);
                return [follow(everybody[step.who]!, everybody[step.whom]!)];
              }
              const pair = [...pairs][step.which % Math.max(1, pairs.size)];
              if (!pair) return [];
              pairs.delete(pair);
              return [unfollow(...(pair.split(' ') as [string, string]))];
            });
            await bench.run(events, times, failsAfter === null ? null : Math.min(failsAfter, events.length));
            for (const reader of everybody) await bench.expectExact(reader, [100]);
          }
          for (const reader of everybody) await bench.expectExact(reader, [1, 2, 3, 4, 7]);
          await bench.expectBounded(everybody, everybody);
          await bench.expectSameBuiltUpTo(Math.round(target * bench.position), 7, 3);
          for (const reader of everybody) for (const author of everybody) await bench.isFannedOut(reader, author);
        },
      ),
      {
        numRuns: 60,
        // Whom nobody merges is not hot, not even when what is applied again takes another turn for a moment.
        examples: [
          [
            [
              [{ kind: 'follow' as const, who: 1, whom: 4 }],
              [
                { kind: 'follow' as const, who: 2, whom: 4 },
                { kind: 'unfollow' as const, which: 1 },
                { kind: 'follow' as const, who: 0, whom: 4 },
              ],
            ].map((steps) => ({ steps, times: 2, failsAfter: null })),
            { timelineLength: 3, hotFollowers: 2 },
            0,
          ],
        ],
      },
    );
  });

  it('keeps the newest of a long timeline ready, and pages go on below to the true end', async () => {
    const bench = await Bench.begin();
    await bench.run([follow(alice, dave), follow(alice, eve)]);
    for (let i = 0; i < 30; i++) await bench.run(Array.from({ length: 60 }, (_, n) => post(n % 2 ? dave : eve)));
    await bench.expectBounded([alice], [dave, eve]);
    await bench.expectExact(alice, [100, 99]);
    expect(bench.timelineOf(alice)).toHaveLength(1_800);
    expect(await redis.llen(bench.key(`timeline:${alice}`))).toBe(TIMELINE_LENGTH);
  });

  it.each([2, 3, 4])('is exact when a timeline that is kept to 3 gets its cheep number %i, and loses it again', async (n) => {
    const bench = await Bench.begin({ timelineLength: 3 });
    const all = posts(dave, n);
    await bench.run([follow(alice, dave), ...all]);
    await bench.expectExact(alice);
    await bench.run([remove(dave, (all.at(-1) as { cheepId: string }).cheepId)]);
    await bench.expectExact(alice);
    expect(await redis.llen(bench.key(`timeline:${alice}`))).toBe(Math.min(n, 3));
    await bench.run(posts(dave, 2));
    await bench.expectExact(alice);
  });

  it.each([2, 3, 4, 9])(
    'follows somebody with %i cheeps, newer and older than a timeline that was trimmed, and unfollows again',
    async (n) => {
      const bench = await Bench.begin({ timelineLength: 3 });
      await bench.run([...posts(eve, n), follow(alice, dave), ...posts(dave, 5), ...posts(eve, n), follow(alice, eve)]);
      await bench.expectExact(alice);
      await bench.run([unfollow(alice, dave)]);
      await bench.expectExact(alice);
      await bench.run([follow(alice, dave), post(dave), unfollow(alice, eve)]);
      await bench.expectExact(alice);
      await bench.run([unfollow(alice, dave)]);
      await bench.expectExact(alice);
      await bench.run([follow(alice, eve), post(eve)]);
      await bench.expectExact(alice);
      await bench.expectBounded([alice], [dave, eve]);
    },
  );

  it('makes the timelines of a shard that builds itself when it comes to its target, a few at a time', async () => {
    const bench = await Bench.begin();
    const [readers, authors] = [ids(20), ids(9)];
    await bench.run(readers.flatMap((reader) => authors.map((author) => follow(reader, author))));
    // The last one posts as much as all others.
    const all = Array.from({ length: 1_800 }, (_, n) => post(authors[n % 2 ? 8 : (n / 2) % 8]!));
    await bench.run(all);
    await bench.run(all.filter((_, n) => n % 7 === 3).map((event) => event.type === 'CheepPosted' && remove(event.authorId, event.cheepId)).filter((event) => event !== false)); // prettier-ignore
    await bench.run([unfollow(readers[0]!, authors[8]!), unfollow(readers[1]!, authors[0]!)]);
    await bench.expectBounded(readers, authors);
    await bench.expectExact(readers[0]!, [100]);

    await bench.expectSameBuiltUpTo(bench.position, bench.position);
    await bench.expectSameBuiltUpTo(bench.position - 1, 500);
    await bench.expectSameBuiltUpTo(1_000, bench.position);
  });

  it('merges who follows after an author has become hot, and changes nothing for who followed before', async () => {
    const bench = await Bench.begin({ hotFollowers: 2, timelineLength: 3 });
    await bench.run([...posts(dave, 2), follow(alice, dave), follow(bob, dave), follow(carol, dave), ...posts(dave, 5)]);
    expect(await Promise.all([alice, bob, carol].map((reader) => bench.isFannedOut(reader, dave)))).toEqual([true, true, false]);
    for (const reader of [alice, bob, carol]) await bench.expectExact(reader);
    expect(await redis.exists(bench.key(`timeline:${carol}`))).toBe(0);
    await bench.run([follow(carol, eve), ...posts(eve, 2), post(dave), post(eve), post(dave), ...posts(eve, 4)]);
    await bench.expectExact(carol);
  });

  it('gives the place of who unfollows a hot author to the next who follows, and nobody is told twice', async () => {
    const bench = await Bench.begin({ hotFollowers: 1, timelineLength: 3 });
    const fannedOut = async () => Promise.all([alice, bob, carol].map((reader) => bench.isFannedOut(reader, dave)));
    await bench.run([follow(alice, dave), follow(bob, dave), ...posts(dave, 4)]);
    expect(await fannedOut()).toEqual([true, false, false]);
    await bench.run([unfollow(alice, dave), follow(carol, dave), post(dave)], 2);
    expect(await fannedOut()).toEqual([false, false, true]);
    await bench.run([follow(alice, dave), post(dave)], 2);
    expect(await fannedOut()).toEqual([false, false, true]);
    await bench.run([unfollow(carol, dave), unfollow(alice, dave), follow(alice, dave), post(dave)], 2);
    expect(await fannedOut()).toEqual([true, false, false]);
    await bench.run([unfollow(bob, dave), follow(bob, dave), post(dave)], 2);
    expect(await fannedOut()).toEqual([true, false, false]);
    await bench.run([follow(carol, dave), unfollow(alice, dave), post(dave)], 2);
    expect(await fannedOut()).toEqual([false, false, false]);
    for (const reader of [alice, bob, carol]) await bench.expectExact(reader);
  });

  it('merges hundreds of hot authors, among them silent and busy ones, and some who are not hot', async () => {
    const bench = await Bench.begin({ hotFollowers: 1, timelineLength: 20 });
    const authors = ids(300);
    await bench.run(authors.slice(0, 250).map((author) => follow(bob, author)));
    await bench.run(authors.map((author) => follow(alice, author)));
    const random = (n: number, seed: number) => (seed * 7_919 + 104_729) % n;
    for (let i = 0; i < 6; i++) {
      // A few post much more than the others, and one of them in a row.
      await bench.run(Array.from({ length: 250 }, (_, n) => post(authors[random(n % 3 ? 300 : 5, 250 * i + n)]!)));
      await bench.run(posts(authors[7]!, 15));
    }
    expect(await redis.scard(bench.key(`merges:${alice}`))).toBe(250);
    await bench.expectExact(alice, [7, 100]);
    await bench.expectExact(bob, [100]);
  });

  it('takes a deleted cheep out of timelines, from below their floor, and out of what is merged', async () => {
    const bench = await Bench.begin({ hotFollowers: 1, timelineLength: 3 });
    const cheeps = ids(8);
    await bench.run([follow(alice, dave), follow(bob, dave), ...cheeps.map((id) => post(dave, id))]);
    await bench.run([post(eve), follow(alice, eve), follow(bob, eve)]);
    for (const gone of [7, 0, 5, 6, 4]) {
      await bench.run([remove(dave, cheeps[gone]!)], 2);
      for (const reader of [alice, bob]) await bench.expectExact(reader);
    }
    // There is room again in the timeline, but not for what is older than its floor.
    await bench.run([post(eve), follow(alice, frank), remove(dave, cheeps[3]!), post(dave)], 2);
    for (const reader of [alice, bob]) await bench.expectExact(reader);
    expect(await redis.zcount(bench.key(`posts:${dave}`), '(0', '+inf')).toBe(3);
    expect(await redis.scard(bench.key('deleted'))).toBe(6);
    await bench.expectBounded([alice, bob], [dave, eve]);
    await bench.expectSameBuiltUpTo(bench.position, 100);
  });

  it('logs each change once, in order, only where somebody follows, and says when a cursor is older than the log', async () => {
    const bench = await Bench.begin({ hotFollowers: 1 });
    const cheep = newId();
    await bench.run([follow(alice, dave), post(dave, cheep), post(eve), post(dave), edit(dave, cheep), remove(dave, cheep)], 2);
    await bench.run([edit(eve, newId()), remove(eve, newId()), follow(alice, eve), follow(bob, eve), unfollow(alice, eve), post(eve)], 2);
    const set = followingKey(alice);
    const { value } = await readStart(redis, bench.space, bench.shard, set, { position: 0, index: 0 }, 1_000, decodeTimelineChange);
    expect(value.isTorn).toBe(false);
    expect(value.members).toEqual([dave]);
    expect(value.changes.map(({ id, type }) => [id.position, type])).toEqual([
      [1, 'followed'],
      [2, 'posted'],
      [4, 'posted'],
      [5, 'edited'],
      [6, 'deleted'],
      [9, 'followed'],
      [10, 'followed'],
      [11, 'unfollowed'],
      // Only bob is left, who merges.
      [12, 'posted'],
    ]);

    for (let i = 0; i < 25; i++) await bench.run(posts(dave, 400));
    expect((await bench.changesAfter(11, 10)).value.isTorn).toBe(true);
    expect((await bench.changesAfter(12, 10)).value.isTorn).toBe(false);
    expect(await redis.xlen(bench.key('log'))).toBe(LOG_LENGTH);
  });

  it('refuses a batch that does not begin where it stands, and changes nothing', async () => {
    const bench = await Bench.begin();
    await bench.run([follow(alice, dave)]);
    const apply = createApply(redis, bench.space, [createTimelines(bench.limits)]);
    expect(await apply(bench.shard, 0, 5, [])).toEqual({ status: 'moved', applied: 1 });
    expect(await apply(bench.shard, 7, 8, [])).toEqual({ status: 'moved', applied: 1 });
  });
});
