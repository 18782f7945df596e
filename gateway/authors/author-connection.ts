import type { GraphQLResolveInfo } from 'graphql';
import { Field, FieldResolver, Int, ObjectType, Resolver, Root } from 'type-graphql';
import type { Page, PageRequest } from '../../read-side/list.js';
import type { Context } from '../context.js';
import { exactPage, nodeOf, PageInfo, type Listed, type ListedPage, type ReadList } from '../pages.js';
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
