/** Things by their ids, of whatever type they are: what a client needs that keeps a cache by id, such as Relay. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, ID, Info, Query, Resolver } from 'type-graphql';
import { id as idRule } from '../shared/rules.js';
import { loadAuthor } from './authors/author.js';
import { loadCheep, loadDeletedCheep } from './cheeps/cheep.js';
import { loadCommand } from './commands/command.js';
import type { Context } from './context.js';
import { fault } from './errors.js';
import { Node } from './node.js';
import { loadNotifications } from './notifications/notification.js';

/** Ids in one `nodes`. */
const MAX_IDS = 100;

@Resolver()
export class NodeQueries {
  @Query(() => Node, {
    nullable: true,
    description:
      'The author, the cheep or the deleted cheep with this id, or the viewer’s own notification or command. Null for what is not there, and for what is somebody else’s own. A deleted cheep has another id than the cheep had.',
  })
  async node(@Arg('id', () => ID) id: string, @Ctx() context: Context, @Info() info: GraphQLResolveInfo): Promise<Node | null> {
    return (await loadNodes(context, [id], info)).get(id) ?? null;
  }

  @Query(() => [Node], {
    nullable: 'items',
    description: `As \`node\`, of up to ${MAX_IDS} ids: in their order, each as often as it is named.`,
    complexity: ({ args, childComplexity }) => 1 + (args as { ids: string[] }).ids.length * (1 + childComplexity),
  })
  async nodes(@Arg('ids', () => [ID]) ids: string[], @Ctx() context: Context, @Info() info: GraphQLResolveInfo): Promise<(Node | null)[]> {
    if (ids.length > MAX_IDS)
      throw fault('BAD_USER_INPUT', `\`ids\` has ${ids.length} ids, and the maximum is ${MAX_IDS}.`, { argument: 'ids' });
    const nodes = await loadNodes(context, ids, info);

    return ids.map((id) => nodes.get(id) ?? null);
  }
}

/** What was found, by the ids as they were given. `info` is of the field that they stand in. */
async function loadNodes(context: Context, given: string[], info: GraphQLResolveInfo): Promise<Map<string, Node>> {
  const ids = new Map(given.map((id) => [id, idRule.safeParse(id).data ?? id]));
  const nodes = new Map<string, Node>();
  const missing: string[] = [];
  await Promise.all(
    [...new Set(ids.values())].map(async (id) => {
      const node = await loadPublicNode(context, id, info);
      if (node) nodes.set(id, node);
      else if (idRule.safeParse(id).success) missing.push(id);
    }),
  );
  // Read only then, so that what is public is the same answer for everybody.
  const viewerId = missing.length > 0 ? context.viewerId : null;
  if (viewerId !== null) {
    const [notifications, commands] = await Promise.all([
      loadNotifications(context, viewerId, missing, info),
      Promise.all(missing.map((id) => loadCommand(context, viewerId, id))),
    ]);
    for (const node of [...commands, ...notifications]) if (node) nodes.set(node.id, node);
  }

  return new Map([...ids].flatMap(([id, known]) => (nodes.has(known) ? [[id, nodes.get(known)!]] : [])));
}

async function loadPublicNode(context: Context, id: string, info: GraphQLResolveInfo): Promise<Node | null> {
  if (!idRule.safeParse(id).success) return loadDeletedCheep(context, id);
  // Both at once: an id belongs to one of them, or to neither.
  const [author, cheep] = await Promise.all([loadAuthor(context, id, 0, info), loadCheep(context, id, 0, info)]);

  return author ?? cheep;
}
