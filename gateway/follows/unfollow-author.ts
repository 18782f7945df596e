import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, ID, Info, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { UnfollowAuthor } from '../../shared/messages/follow.js';
import { Author, loadAuthor } from '../authors/author.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';

@InputType()
export class UnfollowAuthorInput extends CommandInput {
  @Field(() => ID)
  authorId!: string;
}

@ObjectType({ implements: CommandPayload })
export class UnfollowAuthorPayload extends CommandPayload {
  authorId!: string;
}

@Resolver(() => UnfollowAuthorPayload)
export class UnfollowAuthorMutation {
  @Mutation(() => UnfollowAuthorPayload, { description: 'To unfollow whom one does not follow has no effect.' })
  async unfollowAuthor(@Arg('input') input: UnfollowAuthorInput, @Ctx() context: Context): Promise<UnfollowAuthorPayload> {
    const followerId = context.signedIn();
    const receipt = await runCommand(context, UnfollowAuthor, input, {
      senderId: followerId,
      payload: () => ({ followerId, followedId: input.authorId }),
      renamed: { followedId: 'authorId' },
    });

    return Object.assign(new UnfollowAuthorPayload(), receipt, { authorId: input.authorId.toLowerCase() });
  }

  /** The one who is not followed any more. */
  @FieldResolver(() => Author, { nullable: true })
  author(@Root() { status, authorId, position }: UnfollowAuthorPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return status === 'REJECTED' || position === null ? null : loadAuthor(context, authorId, position, info);
  }
}
