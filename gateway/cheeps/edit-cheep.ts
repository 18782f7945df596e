import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, ID, Info, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { EditCheep } from '../../shared/messages/cheep.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';
import { Cheep, loadCheep } from './cheep.js';

@InputType()
export class EditCheepInput extends CommandInput {
  @Field(() => ID)
  cheepId!: string;

  @Field()
  message!: string;
}

@ObjectType({ implements: CommandPayload })
export class EditCheepPayload extends CommandPayload {
  cheepId!: string;
}

@Resolver(() => EditCheepPayload)
export class EditCheepMutation {
  @Mutation(() => EditCheepPayload, { description: 'The message of one’s own cheep; its place in the lists stays.' })
  async editCheep(@Arg('input') input: EditCheepInput, @Ctx() context: Context): Promise<EditCheepPayload> {
    const authorId = context.signedIn();
    const receipt = await runCommand(context, EditCheep, input, {
      senderId: authorId,
      payload: () => ({ authorId, cheepId: input.cheepId, message: input.message }),
    });

    return Object.assign(new EditCheepPayload(), receipt, { cheepId: input.cheepId.toLowerCase() });
  }

  @FieldResolver(() => Cheep, { nullable: true })
  cheep(@Root() { status, cheepId, position }: EditCheepPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return status === 'REJECTED' || position === null ? null : loadCheep(context, cheepId, position, info);
  }
}
