import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, ID, Info, Query, Resolver } from 'type-graphql';
import { id as idRule } from '../shared/rules.js';
import { loadAuthor } from './authors/author.js';
import { loadCheep } from './cheeps/cheep.js';
import type { Context } from './context.js';
import { Node } from './node.js';

@Resolver()
export class NodeQueries {
  @Query(() => Node, { nullable: true, description: 'The author or the cheep with this id.' })
  async node(@Arg('id', () => ID) id: string, @Ctx() context: Context, @Info() info: GraphQLResolveInfo): Promise<Node | null> {
    const known = idRule.safeParse(id);
    if (!known.success) return null;
    // Both at once: an id belongs to one of them, or to nothing.
    const [author, cheep] = await Promise.all([loadAuthor(context, known.data, 0, info), loadCheep(context, known.data, 0, info)]);

    return author ?? cheep;
  }
}
