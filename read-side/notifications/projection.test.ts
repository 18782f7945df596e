/** The notifications' shard beside its definition: what each reader was told of, but for cheeps that are deleted. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { newId } from '../../shared/ids.js';
import type { Event, JournalEntry } from '../../shared/messages/event.js';
import type { AuthorNotified, Notice } from '../../shared/messages/notification.js';
import { createApply, type Apply, type PositionedWrite } from '../apply.js';
import { readChanges } from '../changes.js';
import { APPLIED, prefixOf, type Shard, type Space } from '../shard.js';
import { notifications } from './projection.js';
import { decodeNotificationChange, MAX_NOTIFICATIONS, NOTIFICATIONS, readNotifications, type NotificationRow } from './query.js';

let redis: Redis;
beforeAll(() => {
  redis = new Redis(process.env.TEST_REDIS_URL!);
});
afterAll(() => redis?.disconnect());

const AT = '2026-11-21T12:00:00.000Z';

/** One shard that holds everybody, and a model of it. */
class Bench {
  readonly space: Space = { namespace: `t${randomBytes(6).toString('hex')}`, epoch: 'e', shards: 1 };
  readonly shard: Shard = { projection: NOTIFICATIONS, number: 0 };
  private readonly apply: Apply = createApply(redis, this.space, [notifications]);
  private readonly told = new Map<string, AuthorNotified[]>();
  private readonly readUpTo = new Map<string, number>();
  private readonly deleted = new Set<string>();
  position = 0;

  begin = () => redis.set(prefixOf(this.space, this.shard) + APPLIED, 0);

  listOf(reader: string): AuthorNotified[] {
    const list = this.told.get(reader) ?? [];
    this.told.set(reader, list);

    return list;
  }

  /** As the write side would number it. */
  notified(recipientId: string, notice: Notice): Event {
    const list = this.listOf(recipientId);
    const event: AuthorNotified = { type: 'AuthorNotified', notificationId: newId(), recipientId, sequence: list.length + 1, notice };
    list.push(event);

    return event;
  }

  read(authorId: string, upTo: number): Event {
    this.readUpTo.set(authorId, upTo);

    return { type: 'NotificationsRead', authorId, upTo };
  }

  delete(cheepId: string): Event {
    this.deleted.add(cheepId);

    return { type: 'CheepDeleted', cheepId, authorId: newId(), inReplyTo: null, threadId: cheepId };
  }

  /** Applies events as one batch, as often as `times` says from the same place (as after failures in the middle). */
  async run(events: Event[], times = 1): Promise<void> {
    const from = this.position;
    const writes: PositionedWrite[] = events.flatMap((event, i) =>
      notifications
        .writes({ event, position: from + i + 1, at: AT } as JournalEntry)
        .map(({ write }) => ({ position: from + i + 1, write })),
    );
    this.position += events.length;
    for (let time = 0; time < times; time++) {
      if (time > 0) await redis.set(prefixOf(this.space, this.shard) + APPLIED, from);
      for (let applied = from; applied < this.position;) {
        const left = writes.filter(({ position }) => position > applied);
        const result = await this.apply(this.shard, applied, this.position, left);
        expect(result.status).toBe('applied');
        applied = result.applied!;
      }
    }
  }

  readTo = (reader: string): number => this.readUpTo.get(reader) ?? 0;

  /** By the definition. */
  expected(reader: string): NotificationRow[] {
    return this.listOf(reader)
      .filter(({ notice }) => !('cheepId' in notice && this.deleted.has(notice.cheepId)))
      .map(({ notificationId: id, sequence, notice }) => ({
        ...{ id, sequence, notice, at: AT },
        read: sequence <= this.readTo(reader),
      }))
      .toReversed();
  }

  async readAll(reader: string, first: number) {
    const items: NotificationRow[] = [];
    for (let after: number | null = null; ;) {
      const { value, applied } = await readNotifications(redis, this.space, reader, { first, after });
      expect(applied).toBe(this.position);
      items.push(...value.items);
      if (!value.hasNextPage) return { items, unreadCount: value.unreadCount, totalCount: value.totalCount };
      after = value.items.at(-1)!.sequence;
    }
  }

  async changesOf(reader: string) {
    const from = { position: 0, index: 0 };
    const { value } = await readChanges(redis, this.space, this.shard, from, 10_000, decodeNotificationChange);

    return value.changes.filter(({ readerId }) => readerId === reader);
  }
}

const readers = [newId(), newId(), newId()];

describe('a notifications shard', () => {
  it('holds what the definition says, whatever is applied twice, and its log tells each change once, with what was unread then', async () => {
    const step = fc.record({
      reader: fc.constantFrom(...readers),
      what: fc.oneof(
        { weight: 4, arbitrary: fc.constantFrom('LIKE', 'REPLY', 'MENTION', 'FOLLOW') },
        { weight: 1, arbitrary: fc.constantFrom('read', 'delete') },
      ),
      cheep: fc.integer({ min: 0, max: 3 }),
      share: fc.double({ min: 0.01, max: 1, noNaN: true }),
    });
    const batch = fc.record({ steps: fc.array(step, { minLength: 1, maxLength: 12 }), times: fc.integer({ min: 1, max: 3 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { maxLength: 8 }), fc.integer({ min: 1, max: 5 }), async (batches, first) => {
        const bench = new Bench();
        await bench.begin();
        const cheeps = Array.from({ length: 4 }, () => newId());
        const unreadThen = new Map<string, number[]>(readers.map((reader) => [reader, []]));
        const note = (reader: string) => unreadThen.get(reader)!.push(bench.expected(reader).filter(({ read }) => !read).length);
        for (const { steps, times } of batches) {
          const events: Event[] = [];
          for (const { reader, what, cheep, share } of steps) {
            const cheepId = cheeps[cheep]!;
            if (what === 'delete') {
              const before = readers.map((one) => bench.expected(one).length);
              events.push(bench.delete(cheepId));
              readers.forEach((one, i) => bench.expected(one).length < before[i]! && note(one));
              // Nobody is told of a deleted one.
              cheeps[cheep] = newId();
            } else if (what === 'read') {
              const upTo = Math.ceil(share * bench.listOf(reader).length);
              // The write side does not let it go back.
              if (upTo <= bench.readTo(reader)) continue;
              events.push(bench.read(reader, upTo));
              note(reader);
            } else {
              const notice: Notice =
                what === 'FOLLOW'
                  ? { kind: what, followerId: newId() }
                  : what === 'LIKE'
                    ? { kind: what, cheepId, likerId: newId() }
                    : { kind: what, cheepId };
              events.push(bench.notified(reader, notice));
              note(reader);
            }
          }
          if (events.length > 0) await bench.run(events, times);
        }
        for (const reader of readers) {
          const items = bench.expected(reader);
          const unreadCount = items.filter(({ read }) => !read).length;
          expect(await bench.readAll(reader, first)).toEqual({ items, unreadCount, totalCount: items.length });
          expect((await bench.changesOf(reader)).map((change) => change.unreadCount)).toEqual(unreadThen.get(reader));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('keeps the newest of a long list, and lets go of a cheep that very many liked', async () => {
    const bench = new Bench();
    await bench.begin();
    const [reader] = readers as [string];
    const [popular, forgotten] = [newId(), newId()];
    await bench.run([bench.notified(reader, { kind: 'REPLY', cheepId: forgotten })]);
    const likes = Array.from({ length: MAX_NOTIFICATIONS - 1 }, () =>
      bench.notified(reader, { kind: 'LIKE', cheepId: popular, likerId: newId() }),
    );
    for (let i = 0; i < likes.length; i += 250) await bench.run(likes.slice(i, i + 250));
    expect((await bench.readAll(reader, 1_000)).items).toEqual(bench.expected(reader));

    await bench.run([bench.notified(reader, { kind: 'FOLLOW', followerId: newId() })], 2);
    const { items, unreadCount } = await bench.readAll(reader, 1_000);
    expect(items).toEqual(bench.expected(reader).slice(0, MAX_NOTIFICATIONS));
    expect(unreadCount).toBe(MAX_NOTIFICATIONS);
    // What was let go of is in no key any more.
    expect(await redis.exists(`${prefixOf(bench.space, bench.shard)}about:${forgotten}`)).toBe(0);
    expect(await redis.hlen(`${prefixOf(bench.space, bench.shard)}rows:${reader}`)).toBe(MAX_NOTIFICATIONS);

    await bench.run([bench.delete(popular)], 2);
    expect((await bench.readAll(reader, 1_000)).items.map(({ notice }) => notice.kind)).toEqual(['FOLLOW']);
    expect(await redis.exists(`${prefixOf(bench.space, bench.shard)}about:${popular}`)).toBe(0);
  });
});
