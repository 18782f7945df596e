/** Pages of lists, as Relay's connections. A cursor is the position of the event that put the item into the list. */
import { Field, Int, ObjectType, ArgsType } from 'type-graphql';
import { z } from 'zod';
import type { Page, PageRequest } from '../read-side/list.js';
import { BadTokenError, decode, encode } from '../shared/token.js';
import { fault } from './errors.js';

const MOST_ON_A_PAGE = 100;

@ArgsType()
export class PageArgs {
  @Field(() => Int, { nullable: true, defaultValue: 20 })
  first?: number | null;

  @Field(() => String, { nullable: true })
  after?: string | null;
}

@ObjectType()
export class PageInfo {
  @Field()
  hasNextPage!: boolean;

  @Field()
  hasPreviousPage!: boolean;

  @Field(() => String, { nullable: true })
  startCursor!: string | null;

  @Field(() => String, { nullable: true })
  endCursor!: string | null;
}

/** What a connection's resolvers work on: the list's items, not yet loaded. */
export interface Listed {
  id: string;
  cursor: string;
  /** Rows may be as of any position from here on: that of the list. */
  floor: number;
}

export interface ListedPage {
  items: Listed[];
  pageInfo: PageInfo;
  totalCount: number;
}

const cursorShape = z.strictObject({ at: z.number().int().min(0) });

/** @throws BAD_USER_INPUT for a size out of range, or a cursor that is none */
export function pageRequest({ first, after }: PageArgs): PageRequest {
  const size = first ?? 20;
  if (size < 1 || size > MOST_ON_A_PAGE) throw fault('BAD_USER_INPUT', `\`first\` is from 1 to ${MOST_ON_A_PAGE}.`, { argument: 'first' });
  if (after === null || after === undefined) return { first: size, after: null };
  try {
    return { first: size, after: decode(after, cursorShape, 'cursor of this list').at };
  } catch (error) {
    if (error instanceof BadTokenError) throw fault('BAD_USER_INPUT', error.message, { argument: 'after' });
    throw error;
  }
}

export function listedPage(page: Page, request: PageRequest, floor: number): ListedPage {
  const items = page.items.map(({ id, position }) => ({ id, cursor: encode({ at: position }), floor }));

  return {
    items,
    pageInfo: Object.assign(new PageInfo(), {
      hasNextPage: page.hasNextPage,
      hasPreviousPage: request.after !== null && items.length > 0,
      startCursor: items[0]?.cursor ?? null,
      endCursor: items.at(-1)?.cursor ?? null,
    }),
    totalCount: page.totalCount,
  };
}
