import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Args, Ctx, Info, Query, Resolver } from 'type-graphql';
import { z } from 'zod';
import { readUsernames, searchShards, type UsernamePage } from '../../read-side/search/query.js';
import { encode } from '../../shared/token.js';
import type { Context } from '../context.js';
import { isThere } from '../loaders.js';
import { PageArgs, pageInfo, pageRequestOf } from '../pages.js';
import { selectedAt } from '../selection.js';
import { toAuthor } from './author.js';
import { AuthorConnection, type ListedAuthors } from './author-connection.js';

const cursorShape = z.strictObject({ username: z.string().regex(/^[a-z0-9_]{1,30}$/) });
/** What a username can begin with, in any case. */
const PREFIX = /^[A-Za-z0-9_]{0,30}$/;

@Resolver()
export class SearchAuthorsQuery {
  @Query(() => AuthorConnection, { description: 'Usernames that begin with it, any case, in alphabetical order.' })
  async searchAuthors(
    @Arg('prefix') prefix: string,
    @Args(() => PageArgs) args: PageArgs,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<ListedAuthors> {
    const { first, after } = pageRequestOf(args, cursorShape);
    if (!PREFIX.test(prefix)) return { items: [], pageInfo: pageInfo([], false, { after }, 0), totalCount: 0, applied: 0 };
    const request = { prefix: prefix.toLowerCase(), first, after: after && after.username };
    const { reads } = context.services;
    // With a prefix, this is one shard, and the page is as of one position. Without, each of its names is as of its shard's.
    const parts = await Promise.all(
      searchShards(request.prefix, reads.space).map((shard) =>
        reads.read(context.consistency, shard, (redis, space) => readUsernames(redis, space, shard, request)),
      ),
    );
    const page = merge(parts, first);
    const selected = selectedAt(info, 'nodes', 'edges.node');
    const found =
      selected && (await Promise.all(page.items.map(({ authorId, floor }) => context.loaders.findAuthor(authorId, floor, selected))));
    const items = page.items.map(({ authorId, username }, i) => {
      const one = found?.[i];

      return { id: authorId, cursor: encode({ username }), node: one && isThere(one) ? toAuthor(one) : null };
    });

    return {
      items,
      pageInfo: pageInfo(items, page.hasNextPage, { after }, page.applied),
      totalCount: page.totalCount,
      applied: page.applied,
    };
  }
}

/** One page of the first pages of several shards. Each name is in one of them, and each part is in order already. */
function merge(parts: { value: UsernamePage; applied: number }[], first: number) {
  const all = parts
    .flatMap(({ value, applied }) => value.items.map((item) => ({ ...item, floor: applied })))
    .toSorted((a, b) => (a.username < b.username ? -1 : 1));

  return {
    items: all.slice(0, first),
    hasNextPage: all.length > first || parts.some(({ value }) => value.hasNextPage),
    totalCount: parts.reduce((sum, { value }) => sum + value.totalCount, 0),
    applied: Math.min(...parts.map(({ applied }) => applied)),
  };
}
