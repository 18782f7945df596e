import type { GraphQLResolveInfo } from 'graphql';
import { Ctx, Field, FieldResolver, Info, ObjectType, Resolver, Root } from 'type-graphql';
import type { Context } from '../context.js';
import { PageInfo, type Listed, type ListedPage } from '../pages.js';
import { Cheep, requireCheep } from './cheep.js';

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

export type ListedCheeps = ListedPage & { resumeCursor: string | null };

export const cheepConnection = (page: ListedPage, resumeCursor: string | null = null): ListedCheeps => ({ ...page, resumeCursor });

@Resolver(() => CheepEdge)
export class CheepEdgeResolver {
  @FieldResolver(() => Cheep)
  node(@Root() { id, floor }: Listed, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return requireCheep(context, id, floor, info);
  }
}

@Resolver(() => CheepConnection)
export class CheepConnectionResolver {
  @FieldResolver(() => [CheepEdge])
  edges(@Root() page: ListedCheeps) {
    return page.items;
  }

  @FieldResolver(() => [Cheep])
  nodes(@Root() page: ListedCheeps, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return Promise.all(page.items.map(({ id, floor }) => requireCheep(context, id, floor, info)));
  }
}
