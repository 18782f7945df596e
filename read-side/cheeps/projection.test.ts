/** What a cheeps shard and a threads shard hold is the fold of the events, however often parts of it are applied again. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { newId } from '../../shared/ids.js';
import type { Event, JournalEntry } from '../../shared/messages/event.js';
import { createApply } from '../apply.js';
import { readChanges } from '../changes.js';
import { APPLIED, prefixOf, type Shard, type Space } from '../shard.js';
import { threads } from '../threads/projection.js';
import { readAncestors, THREADS } from '../threads/query.js';
import { cheeps } from './projection.js';
import {
  CHEEP_COUNTS,
  CHEEPS,
  decodeThreadChange,
  likesKey,
  readCheeps,
  readCheepVersions,
  readReplies,
  type ThreadChange,
} from './query.js';

let redis: Redis;
beforeAll(() => {
  redis = new Redis(process.env.TEST_REDIS_URL!);
});
afterAll(() => redis?.disconnect());

interface Model {
  id: string;
  version: number;
  authorId: string;
  message: string;
  mentions: { start: number; end: number; authorId: string }[];
  inReplyTo: string | null;
  threadId: string;
  postedAt: string;
  editedAt: string | null;
  isDeleted: boolean;
  likes: Set<string>;
}

const people = [newId(), newId(), newId()];

/** One shard of each projection, and a model of both. */
class Bench {
  readonly space: Space = { namespace: `t${randomBytes(6).toString('hex')}`, epoch: 'e', shards: 1 };
  readonly all: Model[] = [];
  readonly told: ThreadChange[] = [];
  private readonly apply = createApply(redis, this.space, [cheeps, threads]);
  private readonly entries: JournalEntry[] = [];

  async begin(): Promise<void> {
    for (const shard of [this.shard(CHEEPS), this.shard(THREADS)]) await redis.set(prefixOf(this.space, shard) + APPLIED, 0);
  }

  shard = (projection: Shard['projection']): Shard => ({ projection, number: 0 });

  /** A step, as far as the write side would let it happen. */
  step(kind: 'post' | 'edit' | 'delete' | 'like' | 'unlike', who: number, which: number): void {
    const cheep = this.all.length > 0 ? this.all[which % this.all.length]! : null;
    const authorId = people[who]!;
    const at = new Date(this.entries.length).toISOString();
    if (kind === 'post' || !cheep) {
      const parent = cheep && !cheep.isDeleted ? cheep : null;
      const id = newId();
      const threadId = parent?.threadId ?? id;
      const mentions = [{ start: 0, end: 2, authorId: people[which % 3]! }];
      const fields = { authorId, message: `message ${id}`, mentions, inReplyTo: parent?.id ?? null, threadId };
      this.all.push({ id, ...fields, version: 1, postedAt: at, editedAt: null, isDeleted: false, likes: new Set() });
      this.happened({ type: 'CheepPosted', cheepId: id, ...fields, inReplyToAuthorId: parent?.authorId ?? null }, 1, at);
      this.told.push({ type: 'edited', watchedId: id, cheepId: id });
      if (parent) this.told.push({ type: 'replied', watchedId: parent.id, cheepId: id });
      return;
    }
    if (cheep.isDeleted) return;
    const { id: cheepId, threadId, inReplyTo } = cheep;
    if (kind === 'like' && !cheep.likes.has(authorId)) {
      cheep.likes.add(authorId);
      this.happened({ type: 'CheepLiked', cheepId, likerId: authorId, authorId: cheep.authorId }, 1, at);
    }
    if (kind === 'unlike' && cheep.likes.delete(authorId)) {
      this.happened({ type: 'CheepUnliked', cheepId, likerId: authorId, authorId: cheep.authorId }, 2, at);
    }
    if (kind === 'edit') {
      const changes = { message: { from: cheep.message, to: `edited at ${at}` } };
      Object.assign(cheep, { message: changes.message.to, mentions: [], editedAt: at, version: cheep.version + 1 });
      const edited = { cheepId, authorId: cheep.authorId, inReplyTo, threadId, changes, mentions: [] };
      this.happened({ type: 'CheepEdited', ...edited }, cheep.version, at);
      for (const watchedId of [cheepId, ...(inReplyTo ? [inReplyTo] : [])]) this.told.push({ type: 'edited', watchedId, cheepId });
    }
    if (kind === 'delete') {
      Object.assign(cheep, { isDeleted: true, version: cheep.version + 1 });
      this.happened({ type: 'CheepDeleted', cheepId, authorId: cheep.authorId, inReplyTo, threadId }, cheep.version, at);
      for (const watchedId of [cheepId, ...(inReplyTo ? [inReplyTo] : [])]) this.told.push({ type: 'deleted', watchedId, cheepId });
    }
  }

  /** Applies all that has happened since position `from`, as after a failure in the middle when some of it was applied before. */
  async run(from: number): Promise<void> {
    for (const projection of [cheeps, threads]) {
      const shard = this.shard(projection.id);
      await redis.set(prefixOf(this.space, shard) + APPLIED, from);
      const writes = this.entries
        .slice(from)
        .flatMap((entry) => projection.writes(entry).map(({ write }) => ({ position: entry.position, write })));
      expect(await this.apply(shard, from, this.entries.length, writes)).toEqual({ status: 'applied', applied: this.entries.length });
    }
  }

  get position(): number {
    return this.entries.length;
  }

  private happened(event: Event, version: number, at: string): void {
    const aggregate = { type: 'Cheep', id: 'cheepId' in event ? event.cheepId : '', version };
    this.entries.push({ event, position: this.entries.length + 1, at, aggregate } as JournalEntry);
  }
}

const kinds = fc.oneof(
  { weight: 4, arbitrary: fc.constant('post' as const) },
  { weight: 5, arbitrary: fc.constantFrom('edit' as const, 'delete' as const, 'like' as const, 'unlike' as const) },
);

describe('cheeps and threads', () => {
  it('hold what the events say: rows, counts, live replies, the way up, and what changed in which order', async () => {
    const step = fc.record({ kind: kinds, who: fc.nat(2), which: fc.nat(50), again: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const bench = new Bench();
        await bench.begin();
        let applied = 0;
        for (const { kind, who, which, again } of steps) {
          bench.step(kind, who, which);
          if (!again) continue;
          await bench.run(applied);
          await bench.run(applied);
          applied = bench.position;
        }
        await bench.run(applied);

        const shard = bench.shard(CHEEPS);
        const ids = [...bench.all.map(({ id }) => id), newId()];
        const counts = new Set(CHEEP_COUNTS);
        // Whoever asks with others is told the same as alone.
        const viewers = new Map(people.map((id) => [id, ids]));
        const { value } = await readCheeps(redis, bench.space, shard, { ids, counts, viewers });
        const versions = await readCheepVersions(redis, bench.space, shard, { ids });
        for (const { likes, isDeleted, ...model } of bench.all) {
          const live = bench.all.filter((cheep) => cheep.inReplyTo === model.id && !cheep.isDeleted);
          const counts = { repliesCount: live.length, likesCount: likes.size };
          expect(value.rows.get(model.id)).toEqual(isDeleted ? undefined : { ...model, ...counts });
          for (const id of isDeleted ? [] : people) expect(value.isFlagged(id, model.id)).toBe(likes.has(id));
          expect(versions.value.rows.get(model.id)).toEqual({ version: model.version });
          const replies = await readReplies(redis, bench.space, model.id, { first: 100, after: null });
          expect(replies.value.items.map(({ id }) => id)).toEqual(live.map(({ id }) => id));
          // Nobody can ask for the likes of what is deleted, so they must not stay.
          const isKept = await redis.exists(prefixOf(bench.space, shard) + likesKey(model.id));
          expect(isKept).toBe(!isDeleted && likes.size > 0 ? 1 : 0);
          const above: string[] = [];
          for (let at = model.inReplyTo; at !== null; at = bench.all.find(({ id }) => id === at)!.inReplyTo) above.unshift(at);
          expect((await readAncestors(redis, bench.space, model.threadId, model.id)).value).toEqual(above);
        }
        expect(value.rows.has(ids.at(-1)!)).toBe(false);
        const start = { position: 0, index: 0 };
        const log = await readChanges(redis, bench.space, shard, start, 1_000, decodeThreadChange);
        expect(log.value.changes.map(({ id: _, ...change }) => change)).toEqual(bench.told);
      }),
      { numRuns: 40 },
    );
  });

  it('go up from a reply of before threads were known only to what it answers', async () => {
    const bench = new Bench();
    await bench.begin();
    // As events of schema version 1 are upcast: the thread is what is answered.
    const [first, second, third] = [newId(), newId(), newId()];
    const entries = [
      [second, first],
      [third, second],
    ].map(([cheepId, parent], i) => ({
      position: i + 1,
      event: { type: 'CheepPosted', cheepId, inReplyTo: parent, threadId: parent, authorId: people[0], message: 'm', mentions: [] },
    }));
    const writes = entries.flatMap((entry) =>
      threads.writes(entry as unknown as JournalEntry).map(({ write }) => ({ position: entry.position, write })),
    );
    const apply = createApply(redis, bench.space, [threads]);
    await apply(bench.shard(THREADS), 0, 2, writes);
    expect((await readAncestors(redis, bench.space, second, third)).value).toEqual([second]);
    expect((await readAncestors(redis, bench.space, first, second)).value).toEqual([first]);
  });
});
