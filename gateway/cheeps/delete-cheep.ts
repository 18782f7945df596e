import { Arg, Ctx, Field, FieldResolver, ID, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { DeleteCheep } from '../../shared/messages/cheep.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';

@InputType()
export class DeleteCheepInput extends CommandInput {
  @Field(() => ID)
  cheepId!: string;
}

@ObjectType({ implements: CommandPayload })
export class DeleteCheepPayload extends CommandPayload {
  deletedId!: string;
}

@Resolver(() => DeleteCheepPayload)
export class DeleteCheepMutation {
  @Mutation(() => DeleteCheepPayload, { description: 'One’s own, for good. Its replies stay.' })
  async deleteCheep(@Arg('input') input: DeleteCheepInput, @Ctx() context: Context): Promise<DeleteCheepPayload> {
    const authorId = context.signedIn();
    const receipt = await runCommand(context, DeleteCheep, input, {
      senderId: authorId,
      payload: () => ({ authorId, cheepId: input.cheepId }),
    });

    return Object.assign(new DeleteCheepPayload(), receipt, { deletedId: input.cheepId.toLowerCase() });
  }

  /** Waits for nothing: there is nothing left to read. */
  @FieldResolver(() => ID, { nullable: true, description: 'Of the cheep that is deleted now.' })
  cheepId(@Root() { status, deletedId, position }: DeleteCheepPayload) {
    return status === 'REJECTED' || position === null ? null : deletedId;
  }
}
