import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, Info, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { ChangeUsername } from '../../shared/messages/author.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';
import { Author, loadAuthor } from './author.js';

@InputType()
export class ChangeUsernameInput extends CommandInput {
  @Field()
  username!: string;
}

@ObjectType({ implements: CommandPayload })
export class ChangeUsernamePayload extends CommandPayload {
  authorId!: string;
}

@Resolver(() => ChangeUsernamePayload)
export class ChangeUsernameMutation {
  @Mutation(() => ChangeUsernamePayload, { description: 'The old name is free at once; cheeps, follows and mentions go with the author.' })
  async changeUsername(@Arg('input') input: ChangeUsernameInput, @Ctx() context: Context): Promise<ChangeUsernamePayload> {
    const authorId = context.signedIn();
    const receipt = await runCommand(context, ChangeUsername, input, {
      senderId: authorId,
      payload: () => ({ authorId, username: input.username }),
    });

    return Object.assign(new ChangeUsernamePayload(), receipt, { authorId });
  }

  @FieldResolver(() => Author, { nullable: true })
  author(@Root() { status, authorId, position }: ChangeUsernamePayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return status === 'REJECTED' || position === null ? null : loadAuthor(context, authorId, position, info);
  }
}
