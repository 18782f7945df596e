/** Looking authors up. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, ID, Info, Int, Query, Resolver } from 'type-graphql';
import { readAuthorIdByUsername, usernameShard } from '../../read-side/authors/query.js';
import { anyUsername, id as idRule } from '../../shared/rules.js';
import type { Context } from '../context.js';
import { checkVersion } from '../reads.js';
import { Author, awaitAuthor, loadAuthor } from './author.js';

@Resolver()
export class AuthorQueries {
  @Query(() => Author, { nullable: true })
  viewer(@Ctx() context: Context, @Info() info: GraphQLResolveInfo): Promise<Author | null> | null {
    const viewerId = context.signedInOrNobody();

    return viewerId === null ? null : loadAuthor(context, viewerId, 0, info);
  }

  @Query(() => Author, { nullable: true })
  async author(
    @Arg('id', () => ID) id: string,
    @Arg('minVersion', () => Int, { nullable: true }) minVersion: number | null | undefined,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<Author | null> {
    const known = idRule.safeParse(id);
    if (!known.success) return null;

    checkVersion(context, minVersion);

    return minVersion ? awaitAuthor(context, known.data, minVersion, info) : loadAuthor(context, known.data, 0, info);
  }

  @Query(() => Author, { nullable: true })
  async authorByUsername(
    @Arg('username') username: string,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<Author | null> {
    if (!anyUsername.safeParse(username).success) return null;
    const { reads } = context.services;
    const { value, applied } = await reads.read(context.consistency, usernameShard(username, reads.space), (redis, space) =>
      readAuthorIdByUsername(redis, space, username),
    );

    return value === null ? null : loadAuthor(context, value, applied, info);
  }
}
