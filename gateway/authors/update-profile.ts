import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, Info, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { UpdateProfile } from '../../shared/messages/author.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';
import { CalendarDate } from '../scalars.js';
import { Author, loadAuthor } from './author.js';

@InputType({ description: 'A field that is absent stays as it is; one that is null is cleared.' })
export class UpdateProfileInput extends CommandInput {
  @Field(() => String, { nullable: true })
  name?: string | null;

  @Field(() => String, { nullable: true })
  biography?: string | null;

  @Field(() => String, { nullable: true })
  location?: string | null;

  @Field(() => String, { nullable: true })
  website?: string | null;

  @Field(() => CalendarDate, { nullable: true })
  birthDate?: string | null;
}

@ObjectType({ implements: CommandPayload })
export class UpdateProfilePayload extends CommandPayload {
  authorId!: string;
}

@Resolver(() => UpdateProfilePayload)
export class UpdateProfileMutation {
  @Mutation(() => UpdateProfilePayload, { description: 'Only what is named. What is so already has no effect.' })
  async updateProfile(@Arg('input') input: UpdateProfileInput, @Ctx() context: Context): Promise<UpdateProfilePayload> {
    const authorId = context.signedIn();
    const { name, biography, location, website, birthDate } = input;
    const fields = { name, biography, location, website, birthDate };
    const receipt = await runCommand(context, UpdateProfile, input, {
      senderId: authorId,
      payload: () => ({ authorId, ...fields }),
      // Null and absent are two different wishes here, so what is named stands in a list of its own.
      fingerprinted: (kept) => ({
        named: Object.keys(fields)
          .filter((field) => kept[field] !== undefined)
          .map((field) => [field, kept[field]]),
      }),
    });

    return Object.assign(new UpdateProfilePayload(), receipt, { authorId });
  }

  @FieldResolver(() => Author, { nullable: true })
  author(@Root() { status, authorId, position }: UpdateProfilePayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return status === 'REJECTED' || position === null ? null : loadAuthor(context, authorId, position, info);
  }
}
