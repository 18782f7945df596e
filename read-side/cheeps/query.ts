/**
 * What does that cheep say, and who answered it? Asked by cheep id.
 *
 * | key          | what                                                               |
 * |--------------|--------------------------------------------------------------------|
 * | cheep:ID     | hash; `cheep`: JSON of a `CheepRow` without its id and counts      |
 * | replies:ID   | sorted set of packed cheep ids, by the position of the post        |
 */
import type { Redis } from 'ioredis';
import { askPage, decodePage, type Page, type PageRequest } from '../list.js';
import { readShard, shardOf, type Shard, type Snapshot, type Space } from '../shard.js';

export const CHEEPS = { name: 'cheeps', version: 1 };

export const cheepKey = (id: string) => `cheep:${id}`;
export const repliesKey = (id: string) => `replies:${id}`;

export const CHEEP_PARTS = ['repliesCount'] as const;
export type CheepPart = (typeof CHEEP_PARTS)[number];

export interface CheepRow {
  id: string;
  version: number;
  authorId: string;
  message: string;
  inReplyTo: string | null;
  postedAt: string;
  editedAt: string | null;
  repliesCount?: number;
}

export const cheepShard = (id: string, space: Space): Shard => shardOf(CHEEPS, id, space);

/** Cheeps of one shard, in the order of `ids`; null where there is none. */
export function readCheeps(
  redis: Redis,
  space: Space,
  shard: Shard,
  ids: string[],
  parts: ReadonlySet<CheepPart>,
): Promise<Snapshot<(CheepRow | null)[]>> {
  const asked = CHEEP_PARTS.filter((part) => parts.has(part));

  return readShard(
    redis,
    space,
    shard,
    (multi, key) => {
      for (const id of ids) {
        multi.hget(key(cheepKey(id)), 'cheep');
        for (const part of asked) if (part === 'repliesCount') multi.zcard(key(repliesKey(id)));
      }
    },
    (replies) =>
      ids.map((id, i) => {
        const [cheep, ...values] = replies.slice(i * (1 + asked.length), (i + 1) * (1 + asked.length));
        if (cheep === null) return null;
        const row: CheepRow = { id, ...(JSON.parse(cheep as string) as Omit<CheepRow, 'id'>) };
        asked.forEach((part, j) => (row[part] = Number(values[j])));

        return row;
      }),
  );
}

/** Ids of the replies to a cheep, oldest first. */
export function readReplies(redis: Redis, space: Space, cheepId: string, request: PageRequest): Promise<Snapshot<Page>> {
  return readShard(
    redis,
    space,
    cheepShard(cheepId, space),
    (multi, key) => askPage(multi, key(repliesKey(cheepId)), request, 'oldest first'),
    (replies) => decodePage(replies, request),
  );
}
