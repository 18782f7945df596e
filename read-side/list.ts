/** Lists: sorted sets of packed ids, by the position of the event that put each there. A page's cursor is a position. */
import { numberIn, unpackId, type Read, type Reply } from './shard.js';

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
export function askPage(read: Read, name: string, request: PageRequest, order: 'newest first' | 'oldest first'): void {
  const [from, to] = order === 'newest first' ? ['+inf', '-inf'] : ['-inf', '+inf'];
  const start = request.after === null ? from : `(${request.after}`;
  const direction = order === 'newest first' ? ['REV'] : [];
  // One more than asked for tells whether there is a next page.
  read('ZRANGE', name, start, to, 'BYSCORE', ...direction, 'LIMIT', 0, request.first + 1, 'WITHSCORES');
  read('ZCARD', name);
}

export function decodePage([range, count]: Reply[], request: PageRequest): Page {
  const flat = range as Buffer[];
  const items: ListItem[] = [];
  for (let i = 0; i < flat.length; i += 2) items.push({ id: unpackId(flat[i]!), position: numberIn(flat[i + 1]) });

  return { items: items.slice(0, request.first), hasNextPage: items.length > request.first, totalCount: numberIn(count) };
}
