/** Pages of lists, as Relay's connections. A cursor is the position of the event that put the item into the list. */
import { getArgumentValues, GraphQLError, type GraphQLObjectType, type GraphQLResolveInfo } from 'graphql';
import { Field, Int, ObjectType, ArgsType } from 'type-graphql';
import { z } from 'zod';
import { listKey, type ListedPages, type ListRequest, type Page, type PageRequest } from '../read-side/list.js';
import type { Consistency } from './consistency.js';
import type { Context } from './context.js';
import { BadTokenError, decode, encode } from '../shared/token.js';
import { fault } from './errors.js';
import type { FoundById, Loaded } from './loaders.js';
import { selectedAt, selectedFields, selectionsOf } from './selection.js';

const MAX_ON_A_PAGE = 100;

@ArgsType()
export class PageArgs {
  @Field(() => Int, { nullable: true, defaultValue: 20, description: '1 to 100.' })
  first?: number | null;

  @Field(() => String, { nullable: true, description: 'The cursor of an item: what follows it in the list.' })
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

  @Field(() => String, {
    description:
      'The list is exactly that of this position of the journal, in decimal; its rows are no older. (Of a search without a prefix, its oldest part is.)',
  })
  position!: string;
}

/** An item of a list, where it stands, and what is shown of it. */
export interface Listed<Node> {
  id: string;
  readonly cursor: string;
  /** Null when neither `nodes` nor `edges { node }` was selected: then nothing was loaded. */
  node: Node | null;
}

/** What a connection's resolvers work on. */
export interface ListedPage<Node> {
  items: Listed<Node>[];
  pageInfo: PageInfo;
  totalCount: number;
  /** The position that all of it is as of; its rows may be newer. */
  applied: number;
}

const cursorShape = z.strictObject({ at: z.number().int().min(0) });

/** @throws BAD_USER_INPUT for a size out of range, or a cursor that is none */
export function pageRequest(args: PageArgs): PageRequest {
  const { first, after } = pageRequestOf(args, cursorShape);

  return { first, after: after && after.at };
}

/** As `pageRequest`, of a list whose cursors are something else. */
export function pageRequestOf<Cursor>({ first, after }: PageArgs, cursor: z.ZodType<Cursor>): { first: number; after: Cursor | null } {
  const size = first ?? 20;
  if (size < 1 || size > MAX_ON_A_PAGE) throw fault('BAD_USER_INPUT', `\`first\` is from 1 to ${MAX_ON_A_PAGE}.`, { argument: 'first' });
  if (after === null || after === undefined) return { first: size, after: null };
  try {
    return { first: size, after: decode(after, cursor, 'cursor of this list') };
  } catch (error) {
    if (error instanceof BadTokenError) throw fault('BAD_USER_INPUT', error.message, { argument: 'after' });
    throw error;
  }
}

/**
 * The pages of these lists that are selected directly below a field: read together with what stands there, they are as of the
 * same position.
 * @param type of what stands there
 */
export function pagesBelow(info: GraphQLResolveInfo, type: string, lists: readonly string[]): ListRequest[] {
  const selected = selectedFields(info);
  const requests = lists.flatMap((list) => {
    if (!selected.has(list)) return [];

    return selectionsOf(info, list).flatMap((node): ListRequest[] => {
      const field = (info.schema.getType(type) as GraphQLObjectType).getFields()[list]!;
      try {
        return [{ list, request: pageRequest(getArgumentValues(field, node, info.variableValues)) }];
      } catch (error) {
        // Its own resolver says what is wrong.
        if (error instanceof GraphQLError) return [];
        throw error;
      }
    });
  });
  if (requests.length < 2) return requests;

  return [...new Map(requests.map((request) => [listKey(request), request])).values()];
}

/** A page that was read together with its owner, if it is good enough; null when it must be read for itself. */
export function pageOf(owner: { applied: number; pages?: ListedPages }, request: ListRequest, floor: number): ReadList<Page> | null {
  const value = floor <= owner.applied ? owner.pages?.get(listKey(request)) : undefined;

  return value ? { value, applied: owner.applied } : null;
}

/** A list as of a position, as `Reads.read` returns it. */
export interface ReadList<List> {
  value: List;
  applied: number;
}

/** Rows that are deleted between a list and its rows, time after time, for so long: then it is the caller's to try again. */
const MAX_TRIES = 5;

/**
 * Reads a list and what its items stand for, so that the two belong together.
 *
 * A list is exact as of its position, but its rows are read a moment later, and a cheep may have been deleted in between. Then the
 * list is read again, as of that deletion at least: there the item is gone from the list too, and the page is exact again, at a
 * newer position. What is not about pages of ids uses it directly, as notifications do:
 *
 *     const cheepFields = selectedAt(info, 'nodes.cheep', 'edges.node.cheep') ?? new Set();
 *     const { value, applied, rows } = await readExactly(
 *       consistency,
 *       (floor) => reads.read(consistency, shard, (redis, space) => readNotifications(redis, space, …), { floor, isBase: false }),
 *       (list) => list.items,
 *       ({ cheepId }) => cheepId,
 *       (ids, floor) => context.loaders.findCheeps(ids, floor, cheepFields),
 *     );
 *
 * @param consistency hears which list stands: the answer is as of that one, not as of those that were read in vain
 * @param read the list, as of `floor` or later; it must not be a base (see `ReadOptions`)
 * @param itemsOf those items of it that have a row to be found
 * @param idOf an item's row
 * @param find rows, as of `floor` or later; null for rows that nobody asked for
 * @returns the list, its position, and `rows` in the order of the items; null when there was no `find`
 * @throws NOT_CAUGHT_UP also when rows went away each time that it was tried
 */
export async function readExactly<List, Item, Row>(
  consistency: Consistency,
  read: (floor: number) => Promise<ReadList<List>>,
  itemsOf: (list: List) => Item[],
  idOf: (item: Item) => string,
  find: ((ids: string[], floor: number) => Promise<FoundById<Row>>) | null,
): Promise<ReadList<List> & { rows: Loaded<Row>[] | null }> {
  let floor = 0;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const list = await read(floor);
    const stands = (rows: Loaded<Row>[] | null) => {
      consistency.saw(list.applied, 0, true);

      return { ...list, rows };
    };
    if (!find) return stands(null);
    const items = itemsOf(list.value);
    const byId = await find(items.map(idOf), list.applied);
    const found = items.map((item) => {
      const one = byId.get(idOf(item))!;
      if (one instanceof Error) throw one;

      return one;
    });
    const gone = found.filter(({ row }) => row === null);
    if (gone.length === 0) return stands(found as Loaded<Row>[]);
    const ghost = found.findIndex(({ row, applied }) => row === null && applied <= list.applied);
    // An epoch that ends between the two reads looks like that for a moment; what stays so is a bug.
    if (ghost !== -1 && tries === MAX_TRIES - 1) {
      throw new Error(`a list has an item without a row, both as of position ${list.applied}: ${JSON.stringify(items[ghost])}`);
    }
    floor = Math.max(...gone.map(({ applied }) => applied));
  }
  throw fault('NOT_CAUGHT_UP', 'What is on this page is deleted faster than it can be read. Try again.');
}

/**
 * A page of a connection, with the rows of its items if `nodes` or `edges { node }` is selected: see `readExactly`.
 * @param info of the connection's field
 * @param read the page, as of `floor` or later
 * @param find `context.loaders.findCheeps`, say: the rows of items, with what is selected of them
 * @param show what they are shown as, in their order
 * @throws as `readExactly`
 */
export async function exactPage<Row, Node>(
  { consistency }: Context,
  info: GraphQLResolveInfo,
  request: PageRequest,
  read: (floor: number) => Promise<ReadList<Page>>,
  find: (ids: string[], floor: number, selected: ReadonlySet<string>) => Promise<FoundById<Row>>,
  show: (rows: Loaded<Row>[], floor: number) => Node[] | Promise<Node[]>,
): Promise<ListedPage<Node>> {
  const selected = selectedAt(info, 'nodes', 'edges.node');
  const { value, applied, rows } = await readExactly(
    consistency,
    read,
    (page) => page.items,
    ({ id }) => id,
    selected && ((ids, floor) => find(ids, floor, selected)),
  );

  return listedPage(value, request, applied, rows && (await show(rows, applied)));
}

/** @param nodes those of the page's items, in their order; null when nothing was loaded */
export function listedPage<Node>(page: Page, request: PageRequest, applied: number, nodes: Node[] | null): ListedPage<Node> {
  const items = page.items.map(({ id, position }, i) => new Item(id, position, nodes?.[i] ?? null));

  return { items, pageInfo: pageInfo(items, page.hasNextPage, request, applied), totalCount: page.totalCount, applied };
}

class Item<Node> implements Listed<Node> {
  constructor(
    readonly id: string,
    private readonly position: number,
    readonly node: Node | null,
  ) {}

  /** Made when it is asked for: most who ask for a page ask for the last one's alone. */
  get cursor(): string {
    return cursorAt(this.position);
  }
}

/** The cursor that `pageRequest` takes. */
export const cursorAt = (position: number): string => encode({ at: position });

/** Of a page of forward pagination: there was something before it when it has a cursor that it comes after. */
export function pageInfo(items: { cursor: string }[], hasNextPage: boolean, { after }: { after: unknown }, applied: number): PageInfo {
  return Object.assign(new PageInfo(), {
    hasNextPage,
    hasPreviousPage: after !== null && items.length > 0,
    startCursor: items[0]?.cursor ?? null,
    endCursor: items.at(-1)?.cursor ?? null,
    position: String(applied),
  });
}

/** The node of an item, which is selected, and was loaded for that. */
export function nodeOf<Node>({ id, node }: Listed<Node>): Node {
  if (node === null) throw new Error(`the row of ${id} was not loaded: neither \`nodes\` nor \`edges { node }\` seemed to be selected`);

  return node;
}
