/** Looking cheeps up. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, ID, Info, Int, Query, Resolver } from 'type-graphql';
import { id as idRule } from '../../shared/rules.js';
import type { Context } from '../context.js';
import { checkVersion } from '../reads.js';
import { awaitCheep, Cheep, loadCheep } from './cheep.js';

@Resolver()
export class CheepQueries {
  @Query(() => Cheep, { nullable: true })
  async cheep(
    @Arg('id', () => ID) id: string,
    @Arg('minVersion', () => Int, { nullable: true }) minVersion: number | null | undefined,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<Cheep | null> {
    const known = idRule.safeParse(id);
    if (!known.success) return null;

    checkVersion(context, minVersion);

    return minVersion ? awaitCheep(context, known.data, minVersion, info) : loadCheep(context, known.data, 0, info);
  }
}
