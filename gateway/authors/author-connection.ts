import type { GraphQLResolveInfo } from 'graphql';
import { Ctx, Field, FieldResolver, Info, Int, ObjectType, Resolver, Root } from 'type-graphql';
import type { Context } from '../context.js';
import { PageInfo, type Listed, type ListedPage } from '../pages.js';
import { Author, requireAuthor } from './author.js';

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

@Resolver(() => AuthorEdge)
export class AuthorEdgeResolver {
  @FieldResolver(() => Author)
  node(@Root() { id, floor }: Listed, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return requireAuthor(context, id, floor, info);
  }
}

@Resolver(() => AuthorConnection)
export class AuthorConnectionResolver {
  @FieldResolver(() => [AuthorEdge])
  edges(@Root() page: ListedPage) {
    return page.items;
  }

  @FieldResolver(() => [Author])
  nodes(@Root() page: ListedPage, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return Promise.all(page.items.map(({ id, floor }) => requireAuthor(context, id, floor, info)));
  }
}
