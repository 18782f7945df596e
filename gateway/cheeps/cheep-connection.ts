import type { GraphQLResolveInfo } from 'graphql';
import { Field, FieldResolver, ObjectType, Resolver, Root } from 'type-graphql';
import type { Page, PageRequest } from '../../read-side/list.js';
import type { Context } from '../context.js';
import type { LoadedCheep } from '../loaders.js';
import { exactPage, PageInfo, rowOf, type Listed, type ListedPage, type ReadList } from '../pages.js';
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

type ListedCheep = Listed<LoadedCheep>;
export type ListedCheeps = ListedPage<LoadedCheep> & { resumeCursor: string | null };

/**
 * A page of a list of cheeps, and their rows: all of them live. `info` is of the connection's field.
 * @param read the page, as of `floor` or later
 * @throws as `readExactly`
 */
export const cheepPage = (
  context: Context,
  info: GraphQLResolveInfo,
  request: PageRequest,
  read: (floor: number) => Promise<ReadList<Page>>,
): Promise<ListedPage<LoadedCheep>> =>
  exactPage(context, info, request, read, (id, floor, selected) => context.loaders.findCheep(id, floor, selected));

export const cheepConnection = (page: ListedPage<LoadedCheep>, resumeCursor: string | null = null): ListedCheeps => ({
  ...page,
  resumeCursor,
});

@Resolver(() => CheepEdge)
export class CheepEdgeResolver {
  @FieldResolver(() => Cheep)
  node(@Root() item: ListedCheep) {
    return toCheep(rowOf(item));
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
    return page.items.map((item) => toCheep(rowOf(item)));
  }
}
