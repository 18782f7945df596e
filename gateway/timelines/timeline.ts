/** The timeline, a page at a time. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Args, Ctx, ID, Info, Query, Resolver } from 'type-graphql';
import { readTimeline, timelineShard } from '../../read-side/timelines/query.js';
import { id as idRule } from '../../shared/rules.js';
import { CheepConnection, cheepConnection, cheepPage, type ListedCheeps } from '../cheeps/cheep-connection.js';
import type { Context } from '../context.js';
import { listedPage, PageArgs, pageRequest } from '../pages.js';
import { resumeCursor } from '../resume-cursor.js';

/** Whose timeline is meant: the one that is named, or the viewer's own. Null for an id that can be nobody's. @throws UNAUTHENTICATED */
export function readerOf(authorId: string | null | undefined, context: Context): string | null {
  if (authorId === null || authorId === undefined) return context.signedIn();
  const known = idRule.safeParse(authorId);

  return known.success ? known.data : null;
}

@Resolver()
export class TimelineQueries {
  @Query(() => CheepConnection, {
    description: "The viewer's own when no author is named. Timelines are public, as in the book.",
  })
  async timeline(
    @Arg('authorId', () => ID, { nullable: true }) authorId: string | null | undefined,
    @Args(() => PageArgs) args: PageArgs,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<ListedCheeps> {
    const request = pageRequest(args);
    const readerId = readerOf(authorId, context);
    if (readerId === null) return cheepConnection(listedPage({ items: [], hasNextPage: false, totalCount: 0 }, request, 0, []));

    const { reads } = context.services;
    const page = await cheepPage(context, info, request, (floor) =>
      reads.read(
        context.consistency,
        timelineShard(readerId, reads.space),
        (redis, space) => readTimeline(redis, space, readerId, request),
        { floor, isBase: false },
      ),
    );

    return cheepConnection(page, resumeCursor(reads.space.epoch, { position: page.applied, index: null }));
  }
}
