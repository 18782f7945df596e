import type { GraphQLResolveInfo } from 'graphql';
import { Field, FieldResolver, Int, ObjectType, Resolver, Root } from 'type-graphql';
import { authorShard, readFollowPosition } from '../../read-side/authors/query.js';
import type { Page, PageRequest } from '../../read-side/list.js';
import type { Context } from '../context.js';
import { isThere } from '../loaders.js';
import { cursorAt, exactPage, nodeOf, PageInfo, type Listed, type ListedPage, type ReadList } from '../pages.js';
import { selectedAt } from '../selection.js';
import { Author, toAuthor } from './author.js';

@ObjectType()
export class AuthorEdge {
  @Field()
  cursor!: string;
}

@ObjectType()
export class AuthorConnection {
  @Field(() => PageInfo)
  pageInfo!: PageInfo;

  @Field(() => Int)
  totalCount!: number;
}

export type ListedAuthors = ListedPage<Author>;

/** A page of a list of authors. `info` is of the connection's field; `read` reads the page as of `floor` or later. */
export const authorPage = (
  context: Context,
  info: GraphQLResolveInfo,
  request: PageRequest,
  read: (floor: number) => Promise<ReadList<Page>>,
): Promise<ListedAuthors> =>
  exactPage(
    context,
    info,
    request,
    read,
    (ids, floor, selected) => context.loaders.findAuthors(ids, floor, selected),
    (rows) => rows.map(toAuthor),
  );

/**
 * The edge of a follow: the same cursor in the `followers` of the one and in the `following` of the other. Null when it does not hold
 * any more. `info` is of the edge's field.
 * @param nodeId who stands at it
 * @param floor the edge is as of this position or later
 */
export async function loadFollowEdge(
  context: Context,
  { followerId, followedId }: { followerId: string; followedId: string },
  nodeId: string,
  floor: number,
  info: GraphQLResolveInfo,
): Promise<Listed<Author> | null> {
  const { reads } = context.services;
  const [{ value: position }, author] = await Promise.all([
    reads.read(
      context.consistency,
      authorShard(followedId, reads.space),
      (redis, space) => readFollowPosition(redis, space, followerId, followedId),
      { floor },
    ),
    context.loaders.findAuthor(nodeId, floor, selectedAt(info, 'node') ?? new Set()),
  ]);

  return position !== null && isThere(author) ? { id: nodeId, cursor: cursorAt(position), node: toAuthor(author) } : null;
}

@Resolver(() => AuthorEdge)
export class AuthorEdgeResolver {
  @FieldResolver(() => Author)
  node(@Root() item: Listed<Author>) {
    return nodeOf(item);
  }
}

@Resolver(() => AuthorConnection)
export class AuthorConnectionResolver {
  @FieldResolver(() => [AuthorEdge])
  edges(@Root() page: ListedAuthors) {
    return page.items;
  }

  @FieldResolver(() => [Author])
  nodes(@Root() page: ListedAuthors) {
    return page.items.map(nodeOf);
  }
}
