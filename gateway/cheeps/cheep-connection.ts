import type { GraphQLResolveInfo } from 'graphql';
import { Field, FieldResolver, ObjectType, Resolver, Root } from 'type-graphql';
import { AUTHOR_LISTS } from '../../read-side/authors/query.js';
import type { Page, PageRequest } from '../../read-side/list.js';
import { toAuthor, type Author } from '../authors/author.js';
import type { Context } from '../context.js';
import { isThere, type LoadedCheep } from '../loaders.js';
import { cursorAt, exactPage, nodeOf, PageInfo, type Listed, type ListedPage, type ReadList } from '../pages.js';
import { selectedAt } from '../selection.js';
import { Cheep, toCheep } from './cheep.js';

@ObjectType()
export class CheepEdge {
  @Field()
  cursor!: string;
}

@ObjectType()
export class CheepConnection {
  @Field(() => PageInfo)
  pageInfo!: PageInfo;

  @Field(() => String, {
    nullable: true,
    description: 'Where a subscription goes on from this page; null where no subscription exists for the list.',
  })
  resumeCursor!: string | null;
}

export type ListedCheeps = ListedPage<Cheep> & { resumeCursor: string | null };

/**
 * A page of a list of cheeps: all of them live. `info` is of the connection's field.
 * @param read the page, as of `floor` or later
 * @throws as `readExactly`
 */
export const cheepPage = (
  context: Context,
  info: GraphQLResolveInfo,
  request: PageRequest,
  read: (floor: number) => Promise<ReadList<Page>>,
): Promise<ListedPage<Cheep>> =>
  exactPage(
    context,
    info,
    request,
    read,
    (ids, floor, selected) => context.loaders.findCheeps(ids, floor, selected),
    (rows, floor) => withAuthors(context, info, rows, floor),
  );

/** Fields of a cheep that take reads of their own: authors are read in the same round trip with these, each for itself. */
const READ_BY_FIELDS = ['inReplyTo', 'ancestors', 'mentions', 'replies'];

/**
 * Cheeps with their authors, which most who show a list of cheeps ask for, and nothing else: loaded before they are asked for, all
 * together, they take no promise each (0.72 times the processor time of a page of 20, pages a second 1.22 times as many).
 * An author that could not be found is left to its field, which says what is wrong.
 */
async function withAuthors(context: Context, info: GraphQLResolveInfo, rows: LoadedCheep[], floor: number): Promise<Cheep[]> {
  const ofCheep = selectedAt(info, 'nodes', 'edges.node')!;
  const ofAuthor = selectedAt(info, 'nodes.author', 'edges.node.author');
  // Pages of an author's lists come with arguments, which the field knows.
  const isLeft = READ_BY_FIELDS.some((field) => ofCheep.has(field)) || AUTHOR_LISTS.some((list) => ofAuthor?.has(list));
  if (!ofAuthor || isLeft) return rows.map((row) => toCheep(row));
  const ids = [...new Set(rows.map(({ row }) => row.authorId))];
  const authors = new Map<string, Author>();
  for (const [id, found] of await context.loaders.findAuthors(ids, floor, ofAuthor)) {
    if (!(found instanceof Error) && isThere(found)) authors.set(id, toAuthor(found));
  }

  return rows.map((row) => toCheep(row, authors.get(row.row.authorId)));
}

export const cheepConnection = (page: ListedPage<Cheep>, resumeCursor: string | null = null): ListedCheeps => ({
  ...page,
  resumeCursor,
});

/**
 * The edge of a cheep that was posted at this position, as all lists of cheeps have it: their cursors are positions of posts. Null when
 * it was deleted since. `info` is of the edge's field.
 */
export async function loadCheepEdge(
  { loaders }: Context,
  id: string,
  position: number,
  info: GraphQLResolveInfo,
): Promise<Listed<Cheep> | null> {
  const found = await loaders.findCheep(id, position, selectedAt(info, 'node') ?? new Set());

  return isThere(found) ? { id, cursor: cursorAt(position), node: toCheep(found) } : null;
}

@Resolver(() => CheepEdge)
export class CheepEdgeResolver {
  @FieldResolver(() => Cheep)
  node(@Root() item: Listed<Cheep>) {
    return nodeOf(item);
  }
}

@Resolver(() => CheepConnection)
export class CheepConnectionResolver {
  @FieldResolver(() => [CheepEdge])
  edges(@Root() page: ListedCheeps) {
    return page.items;
  }

  @FieldResolver(() => [Cheep])
  nodes(@Root() page: ListedCheeps) {
    return page.items.map(nodeOf);
  }
}
