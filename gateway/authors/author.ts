import { Args, Ctx, Field, FieldResolver, Info, Int, ObjectType, Resolver, Root } from 'type-graphql';
import type { GraphQLResolveInfo } from 'graphql';
import {
  AUTHOR_LISTS,
  AUTHOR_COUNTS,
  authorShard,
  readCheepsOfAuthor,
  readFollowers,
  readFollowing,
} from '../../read-side/authors/query.js';
import type { ListedPages, Page, PageRequest } from '../../read-side/list.js';
import { isThere, type LoadedAuthor } from '../loaders.js';
import { CheepConnection, cheepConnection, cheepPage } from '../cheeps/cheep-connection.js';
import type { Context } from '../context.js';
import { Node } from '../node.js';
import { PageArgs, pageOf, pageRequest, pagesBelow, type ReadList } from '../pages.js';
import { lackOfVersion } from '../reads.js';
import { CalendarDate, DateTime } from '../scalars.js';
import { selectedFields } from '../selection.js';
import { AuthorConnection, authorPage } from './author-connection.js';

@ObjectType({ implements: Node })
export class Author extends Node {
  @Field(() => Int, { description: 'Counts its changes, from 1.' })
  version!: number;

  @Field()
  username!: string;

  @Field(() => String, { nullable: true })
  name!: string | null;

  @Field(() => String, { nullable: true })
  biography!: string | null;

  @Field(() => String, { nullable: true })
  location!: string | null;

  @Field(() => String, { nullable: true })
  website!: string | null;

  @Field(() => CalendarDate, { nullable: true })
  birthDate!: string | null;

  @Field(() => String, { nullable: true, description: 'Only for the author itself; null for everybody else.' })
  email!: string;

  @Field(() => DateTime)
  signedUpAt!: string;

  @Field(() => Int)
  followersCount!: number;

  @Field(() => Int)
  followingCount!: number;

  @Field(() => Int)
  cheepsCount!: number;

  @Field(() => Boolean, { nullable: true, description: 'Null when nobody is signed in.' })
  isFollowedByViewer!: boolean | null;

  /** Not in the schema: what is read for it is as of this position or later. */
  floor!: number;
  /** As of which it was read itself, with these pages of its lists. */
  applied!: number;
  pages?: ListedPages;
}

export const toAuthor = ({ row, isFlagged, floor, applied }: LoadedAuthor): Author =>
  Object.assign(new Author(), row, { isFollowedByViewer: isFlagged, floor, applied });

/** The author with this id, as of `floor` or later; null when there is none. `info` is of the field that it stands in. */
export async function loadAuthor({ loaders }: Context, id: string, floor: number, info: GraphQLResolveInfo): Promise<Author | null> {
  const found = await loaders.findAuthor(id, floor, selectedFields(info), pagesBelow(info, 'Author', AUTHOR_LISTS));

  return isThere(found) ? toAuthor(found) : null;
}

/** As `loadAuthor`, after waiting until the author is there and has this version at least. */
export async function awaitAuthor(context: Context, id: string, minVersion: number, info: GraphQLResolveInfo): Promise<Author | null> {
  const { reads } = context.services;
  const shard = authorShard(id, reads.space);
  const selected = selectedFields(info);
  const counts = new Set(AUTHOR_COUNTS.filter((count) => selected.has(count)));
  const viewerId = selected.has('isFollowedByViewer') ? context.viewerId : null;
  const { value, applied } = await reads.read(
    context.consistency,
    shard,
    (redis, space) => reads.authors.read(redis, space, authorShard(id, space), { ids: [id], counts, viewerId }),
    { lacking: ({ rows }) => lackOfVersion(`author ${id}`, rows.get(id)?.version ?? 0, minVersion) },
  );
  const row = value.rows.get(id);
  const isFlagged = viewerId === null ? null : value.isFlagged(viewerId, id);

  return row ? toAuthor({ row, isFlagged, floor: 0, applied }) : null;
}

/** As `loadAuthor`, where there must be one: authors are never deleted. */
export async function requireAuthor(context: Context, id: string, floor: number, info: GraphQLResolveInfo): Promise<Author> {
  const author = await loadAuthor(context, id, floor, info);
  if (!author) throw new Error(`author ${id} is in a list as of position ${floor}, and has no row`);

  return author;
}

@Resolver(() => Author)
export class AuthorResolver {
  @FieldResolver()
  email(@Root() { id, email }: Author, @Ctx() context: Context): string | null {
    return id === context.viewerId ? email : null;
  }

  @FieldResolver(() => AuthorConnection)
  followers(@Root() author: Author, @Args(() => PageArgs) args: PageArgs, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    const request = pageRequest(args);

    return authorPage(context, info, request, readList(context, author, 'followers', request, readFollowers));
  }

  @FieldResolver(() => AuthorConnection)
  following(@Root() author: Author, @Args(() => PageArgs) args: PageArgs, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    const request = pageRequest(args);

    return authorPage(context, info, request, readList(context, author, 'following', request, readFollowing));
  }

  @FieldResolver(() => CheepConnection)
  async cheeps(@Root() author: Author, @Args(() => PageArgs) args: PageArgs, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    const request = pageRequest(args);

    return cheepConnection(await cheepPage(context, info, request, readList(context, author, 'cheeps', request, readCheepsOfAuthor)));
  }
}

/** How to read a page of one of the author's lists, as of `floor` or later. */
const readList =
  ({ consistency, services: { reads } }: Context, author: Author, list: string, request: PageRequest, read: typeof readFollowers) =>
  async (floor: number): Promise<ReadList<Page>> =>
    pageOf(author, { list, request }, floor) ??
    reads.read(consistency, authorShard(author.id, reads.space), (redis, space) => read(redis, space, author.id, request), {
      floor: Math.max(author.floor, floor),
      isBase: false,
    });
