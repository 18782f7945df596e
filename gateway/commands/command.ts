import { Arg, Ctx, Field, ID, ObjectType, Query, Resolver } from 'type-graphql';
import { commandShard, readCommand } from '../../read-side/commands/query.js';
import { REASONS } from '../../shared/refused.js';
import { id as idRule } from '../../shared/rules.js';
import { CommandStatus, UserError } from '../command-payload.js';
import type { Context } from '../context.js';
import { DateTime } from '../scalars.js';

@ObjectType({ description: 'What came of a command; readable by its sender alone.' })
export class Command {
  @Field(() => ID)
  id!: string;

  @Field()
  name!: string;

  @Field(() => CommandStatus)
  status!: CommandStatus;

  @Field(() => [UserError])
  userErrors!: UserError[];

  @Field(() => DateTime, { nullable: true })
  settledAt!: Date | null;
}

@Resolver()
export class CommandQueries {
  @Query(() => Command, { nullable: true })
  async command(@Arg('id', () => ID) id: string, @Ctx() context: Context): Promise<Command | null> {
    const known = idRule.safeParse(id);
    const { viewerId } = context;
    if (!known.success || !viewerId) return null;
    const { reads } = context.services;
    const { value } = await reads.read(context.consistency, commandShard(viewerId, reads.space), (redis, space) =>
      readCommand(redis, space, viewerId, known.data),
    );
    if (!value) return null;
    const { refusal } = value;

    return Object.assign(new Command(), {
      id: value.id,
      name: value.name,
      status: refusal ? 'REJECTED' : 'COMMITTED',
      userErrors: refusal ? [{ ...refusal, message: REASONS[refusal.code] }] : [],
      settledAt: new Date(value.settledAt),
    });
  }
}
