import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, Info, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { ChangeEmail } from '../../shared/messages/author.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';
import { Author, loadAuthor } from './author.js';

@InputType()
export class ChangeEmailInput extends CommandInput {
  @Field()
  email!: string;
}

@ObjectType({ implements: CommandPayload })
export class ChangeEmailPayload extends CommandPayload {
  authorId!: string;
}

@Resolver(() => ChangeEmailPayload)
export class ChangeEmailMutation {
  @Mutation(() => ChangeEmailPayload, { description: 'The new address is for logging in, and for mails, at once.' })
  async changeEmail(@Arg('input') input: ChangeEmailInput, @Ctx() context: Context): Promise<ChangeEmailPayload> {
    const authorId = context.signedIn();
    const receipt = await runCommand(context, ChangeEmail, input, {
      senderId: authorId,
      payload: () => ({ authorId, email: input.email }),
    });

    return Object.assign(new ChangeEmailPayload(), receipt, { authorId });
  }

  @FieldResolver(() => Author, { nullable: true })
  author(@Root() { status, authorId, position }: ChangeEmailPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return status === 'REJECTED' || position === null ? null : loadAuthor(context, authorId, position, info);
  }
}
