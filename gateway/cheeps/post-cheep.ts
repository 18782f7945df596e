import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, ID, Info, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { PostCheep } from '../../shared/messages/cheep.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';
import { Cheep, loadCheep } from './cheep.js';
import { CheepEdge, loadCheepEdge } from './cheep-connection.js';

@InputType()
export class PostCheepInput extends CommandInput {
  @Field()
  message!: string;

  @Field(() => ID, { nullable: true })
  inReplyTo?: string | null;

  @Field(() => ID, { nullable: true })
  cheepId?: string | null;
}

@ObjectType({ implements: CommandPayload })
export class PostCheepPayload extends CommandPayload {
  cheepId!: string;
}

@Resolver(() => PostCheepPayload)
export class PostCheepMutation {
  @Mutation(() => PostCheepPayload, { description: 'A cheep, or with `inReplyTo` the answer to one.' })
  async postCheep(@Arg('input') input: PostCheepInput, @Ctx() context: Context): Promise<PostCheepPayload> {
    const authorId = context.signedIn();
    let cheepId = '';
    const receipt = await runCommand(context, PostCheep, input, {
      senderId: authorId,
      payload: (derived) => {
        cheepId = (input.cheepId ?? derived).toLowerCase();

        return { authorId, cheepId, message: input.message, inReplyTo: input.inReplyTo ?? null };
      },
    });

    return Object.assign(new PostCheepPayload(), receipt, { cheepId });
  }

  @FieldResolver(() => Cheep, { nullable: true })
  cheep(@Root() { status, cheepId, position }: PostCheepPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return status === 'REJECTED' || position === null ? null : loadCheep(context, cheepId, position, info);
  }

  @FieldResolver(() => CheepEdge, {
    nullable: true,
    description: 'The new cheep’s edge: the same in its author’s `cheeps`, in the `replies` to what it answers, and in timelines.',
  })
  cheepEdge(@Root() { status, cheepId, position }: PostCheepPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return status === 'REJECTED' || position === null ? null : loadCheepEdge(context, cheepId, position, info);
  }
}
