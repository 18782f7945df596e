/** Lists: sorted sets of packed ids, by the position of the event that put each there. A page's cursor is a position. */
import type { ChainableCommander } from 'ioredis';
import { unpackId } from './shard.js';

export interface PageRequest {
  /** How many, at the most. */
  first: number;
  /** Only what comes after this item's position in the list; null for the beginning. */
  after: number | null;
}

/** A page of one of an entity's lists, by the list's name: read with the entity, it is as of the same position. */
export interface ListRequest {
  list: string;
  request: PageRequest;
}

/** The pages that were read with an entity. */
export type ListedPages = ReadonlyMap<string, Page>;
export const listKey = ({ list, request: { first, after } }: ListRequest): string => `${list}/${first}/${after ?? ''}`;

export interface ListItem {
  id: string;
  /** Where it is in the list, and its cursor. */
  position: number;
}

export interface Page {
  items: ListItem[];
  /** Is there more after the last one? */
  hasNextPage: boolean;
  totalCount: number;
}

/** Two commands; `decodePage` takes their replies. */
export function askPage(multi: ChainableCommander, key: string, request: PageRequest, order: 'newest first' | 'oldest first'): void {
  const [from, to] = order === 'newest first' ? ['+inf', '-inf'] : ['-inf', '+inf'];
  const start = request.after === null ? from : `(${request.after}`;
  const direction = order === 'newest first' ? ['REV'] : [];
  // One more than asked for tells whether there is a next page.
  multi.callBuffer('ZRANGE', key, start, to, 'BYSCORE', ...direction, 'LIMIT', 0, request.first + 1, 'WITHSCORES');
  multi.zcard(key);
}

export function decodePage([range, count]: unknown[], request: PageRequest): Page {
  const flat = range as Buffer[];
  const items: ListItem[] = [];
  for (let i = 0; i < flat.length; i += 2) items.push({ id: unpackId(flat[i]!), position: Number(flat[i + 1]!.toString()) });

  return { items: items.slice(0, request.first), hasNextPage: items.length > request.first, totalCount: Number(count) };
}

/** Takes the replies to several `askPage` from the beginning of `replies`. */
export function takePages(replies: unknown[], lists: ListRequest[] | undefined): ListedPages | null {
  if (!lists?.length) return null;

  return new Map(lists.map((one) => [listKey(one), decodePage(replies.splice(0, 2), one.request)]));
}
