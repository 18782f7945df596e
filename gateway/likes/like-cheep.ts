import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, ID, Info, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { LikeCheep } from '../../shared/messages/like.js';
import { Cheep, loadCheep } from '../cheeps/cheep.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';

@InputType()
export class LikeCheepInput extends CommandInput {
  @Field(() => ID)
  cheepId!: string;
}

@ObjectType({ implements: CommandPayload })
export class LikeCheepPayload extends CommandPayload {
  cheepId!: string;
}

@Resolver(() => LikeCheepPayload)
export class LikeCheepMutation {
  @Mutation(() => LikeCheepPayload, { description: 'One’s own too. To like what one likes has no effect.' })
  async likeCheep(@Arg('input') input: LikeCheepInput, @Ctx() context: Context): Promise<LikeCheepPayload> {
    const likerId = context.signedIn();
    const receipt = await runCommand(context, LikeCheep, input, {
      senderId: likerId,
      payload: () => ({ likerId, cheepId: input.cheepId }),
    });

    return Object.assign(new LikeCheepPayload(), receipt, { cheepId: input.cheepId.toLowerCase() });
  }

  /** Null also when it was deleted since. */
  @FieldResolver(() => Cheep, { nullable: true })
  cheep(@Root() { status, cheepId, position }: LikeCheepPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return status === 'REJECTED' || position === null ? null : loadCheep(context, cheepId, position, info);
  }
}
