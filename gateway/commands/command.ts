import { Arg, Ctx, Field, ID, ObjectType, Query, Resolver, Root, Subscription } from 'type-graphql';
import { commandShard, readCommand, type CommandRow } from '../../read-side/commands/query.js';
import { REASONS } from '../../shared/refused.js';
import { id as idRule } from '../../shared/rules.js';
import { CommandStatus, UserError } from '../command-payload.js';
import type { Context } from '../context.js';
import { fault } from '../errors.js';
import { Node } from '../node.js';
import { DateTime } from '../scalars.js';

@ObjectType({ implements: Node, description: 'What came of a command; readable by its sender alone.' })
export class Command extends Node {
  @Field(() => ID, { description: 'The `commandId`. Use a new UUID for each command and for each thing, so that no two have the same id.' })
  declare id: string;

  @Field()
  name!: string;

  @Field(() => CommandStatus, { description: 'COMMITTED or REJECTED: what is not settled yet is not told of.' })
  status!: CommandStatus;

  @Field(() => [UserError])
  userErrors!: UserError[];

  @Field(() => DateTime, { nullable: true })
  settledAt!: string | null;
}

function toCommand({ id, name, refusal, settledAt }: CommandRow): Command {
  return Object.assign(new Command(), {
    id,
    name,
    status: refusal ? 'REJECTED' : 'COMMITTED',
    userErrors: refusal ? [{ ...refusal, message: REASONS[refusal.code] }] : [],
    settledAt,
  });
}

/** The command with this id; null for what was never received, is not settled yet, or was sent by somebody else. */
export async function loadCommand(context: Context, senderId: string, id: string): Promise<Command | null> {
  const row = await read(context, senderId, id);

  return row && toCommand(row);
}

async function read(context: Context, senderId: string, id: string): Promise<CommandRow | null> {
  const { reads } = context.services;
  const { value } = await reads.read(context.consistency, commandShard(senderId, reads.space), (redis, space) =>
    readCommand(redis, space, senderId, id),
  );

  return value;
}

/**
 * One frame, as soon as the command is settled. What waits in the stream has left no trace in any projection yet, so until
 * then there is nothing to tell: the sender has the receipt that says ACCEPTED.
 * @throws UNAUTHENTICATED, BAD_USER_INPUT, and as any read
 */
async function settled(givenId: string, context: Context): Promise<AsyncIterableIterator<CommandRow>> {
  const senderId = context.signedIn();
  const known = idRule.safeParse(givenId);
  if (!known.success) throw fault('BAD_USER_INPUT', 'This is no command’s id.', { argument: 'id' });
  const found = Promise.withResolvers<CommandRow | null>();
  // Before the first read: what is applied between the two would never be heard of.
  const leave = context.services.awaitedCommands.wait({ senderId, commandId: known.data, settled: found.resolve });
  const row = await read(context, senderId, known.data).catch((error: unknown) => {
    leave();
    throw error;
  });
  if (row) found.resolve(row);
  let isOver = false;
  const over = () => {
    isOver = true;
    leave();
    found.resolve(null);
  };

  const frames: AsyncIterableIterator<CommandRow> = {
    next: async () => {
      const value = await found.promise;
      if (isOver || !value) return { value: undefined, done: true };
      over();

      return { value, done: false };
    },
    return: async () => {
      over();

      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]: () => frames,
  };

  return frames;
}

@Resolver()
export class CommandQueries {
  @Query(() => Command, { nullable: true, description: 'Null for what was never received, is not settled yet, or is somebody else’s.' })
  async command(@Arg('id', () => ID) id: string, @Ctx() context: Context): Promise<Command | null> {
    const known = idRule.safeParse(id);
    const viewerId = context.signedInOrNobody();

    return known.success && viewerId ? loadCommand(context, viewerId, known.data) : null;
  }
}

@Resolver()
export class CommandSubscription {
  @Subscription(() => Command, {
    description: 'What came of a command of one’s own, as soon as it is settled; then it ends.',
    subscribe: ({ args, context }) => settled((args as { id: string }).id, context as Context),
  })
  command(@Arg('id', () => ID) _id: string, @Root() row: CommandRow, @Ctx() context: Context): Command {
    context.consistency.saw(row.position, 0, true);

    return toCommand(row);
  }
}
