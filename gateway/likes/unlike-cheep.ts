import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, ID, Info, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { UnlikeCheep } from '../../shared/messages/like.js';
import { Cheep, loadCheep } from '../cheeps/cheep.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';

@InputType()
export class UnlikeCheepInput extends CommandInput {
  @Field(() => ID)
  cheepId!: string;
}

@ObjectType({ implements: CommandPayload })
export class UnlikeCheepPayload extends CommandPayload {
  cheepId!: string;
}

@Resolver(() => UnlikeCheepPayload)
export class UnlikeCheepMutation {
  @Mutation(() => UnlikeCheepPayload, { description: 'To unlike what one does not like, or what is deleted, has no effect.' })
  async unlikeCheep(@Arg('input') input: UnlikeCheepInput, @Ctx() context: Context): Promise<UnlikeCheepPayload> {
    const likerId = context.signedIn();
    const receipt = await runCommand(context, UnlikeCheep, input, {
      senderId: likerId,
      payload: () => ({ likerId, cheepId: input.cheepId }),
    });

    return Object.assign(new UnlikeCheepPayload(), receipt, { cheepId: input.cheepId.toLowerCase() });
  }

  /** Null also when it was deleted since. */
  @FieldResolver(() => Cheep, { nullable: true })
  cheep(@Root() { status, cheepId, position }: UnlikeCheepPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return status === 'REJECTED' || position === null ? null : loadCheep(context, cheepId, position, info);
  }
}
