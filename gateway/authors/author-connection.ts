import type { GraphQLResolveInfo } from 'graphql';
import { Field, FieldResolver, Int, ObjectType, Resolver, Root } from 'type-graphql';
import type { Page, PageRequest } from '../../read-side/list.js';
import type { Context } from '../context.js';
import type { LoadedAuthor } from '../loaders.js';
import { exactPage, PageInfo, rowOf, type Listed, type ListedPage, type ReadList } from '../pages.js';
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

export type ListedAuthors = ListedPage<LoadedAuthor>;

/** A page of a list of authors, and their rows. `info` is of the connection's field; `read` reads the page as of `floor` or later. */
export const authorPage = (
  context: Context,
  info: GraphQLResolveInfo,
  request: PageRequest,
  read: (floor: number) => Promise<ReadList<Page>>,
): Promise<ListedAuthors> =>
  exactPage(context, info, request, read, (id, floor, selected) => context.loaders.findAuthor(id, floor, selected));

@Resolver(() => AuthorEdge)
export class AuthorEdgeResolver {
  @FieldResolver(() => Author)
  node(@Root() item: Listed<LoadedAuthor>) {
    return toAuthor(rowOf(item));
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
    return page.items.map((item) => toAuthor(rowOf(item)));
  }
}
