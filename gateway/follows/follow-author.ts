import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, ID, Info, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { FollowAuthor } from '../../shared/messages/follow.js';
import { Author, loadAuthor } from '../authors/author.js';
import { AuthorEdge, loadFollowEdge } from '../authors/author-connection.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';

@InputType()
export class FollowAuthorInput extends CommandInput {
  @Field(() => ID)
  authorId!: string;
}

@ObjectType({ implements: CommandPayload })
export class FollowAuthorPayload extends CommandPayload {
  followerId!: string;
  authorId!: string;
}

@Resolver(() => FollowAuthorPayload)
export class FollowAuthorMutation {
  @Mutation(() => FollowAuthorPayload, { description: 'Up to 5,000. To follow whom one follows has no effect.' })
  async followAuthor(@Arg('input') input: FollowAuthorInput, @Ctx() context: Context): Promise<FollowAuthorPayload> {
    const followerId = context.signedIn();
    const receipt = await runCommand(context, FollowAuthor, input, {
      senderId: followerId,
      payload: () => ({ followerId, followedId: input.authorId }),
      renamed: { followedId: 'authorId' },
    });

    return Object.assign(new FollowAuthorPayload(), receipt, { followerId, authorId: input.authorId.toLowerCase() });
  }

  /** The one who is followed. */
  @FieldResolver(() => Author, { nullable: true })
  author(@Root() { status, authorId, position }: FollowAuthorPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return status === 'REJECTED' || position === null ? null : loadAuthor(context, authorId, position, info);
  }

  @FieldResolver(() => AuthorEdge, {
    nullable: true,
    description: 'The viewer’s edge in the `followers` of the author. Null also when the viewer has unfollowed the author since.',
  })
  followerEdge(@Root() payload: FollowAuthorPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return edge(payload, payload.followerId, context, info);
  }

  @FieldResolver(() => AuthorEdge, {
    nullable: true,
    description: 'The author’s edge in the `following` of the viewer. Null also when the viewer has unfollowed the author since.',
  })
  followingEdge(@Root() payload: FollowAuthorPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return edge(payload, payload.authorId, context, info);
  }
}

function edge(
  { status, followerId, authorId: followedId, position }: FollowAuthorPayload,
  nodeId: string,
  context: Context,
  info: GraphQLResolveInfo,
) {
  return status === 'REJECTED' || position === null ? null : loadFollowEdge(context, { followerId, followedId }, nodeId, position, info);
}
