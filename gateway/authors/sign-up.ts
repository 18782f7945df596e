import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, ID, Info, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { NOBODY } from '../../shared/ids.js';
import { SignUp } from '../../shared/messages/author.js';
import { faultsOf, password as passwordRule } from '../../shared/rules.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';
import { CalendarDate } from '../scalars.js';
import { Author, loadAuthor } from './author.js';
import { isCommonPassword } from './common-passwords.js';
import { Session } from './session.js';

@InputType()
export class SignUpInput extends CommandInput {
  @Field()
  username!: string;

  @Field()
  email!: string;

  @Field()
  password!: string;

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

  @Field(() => ID, { nullable: true })
  authorId?: string | null;
}

@ObjectType({ implements: CommandPayload })
export class SignUpPayload extends CommandPayload {
  @Field(() => Session, { nullable: true })
  session!: Session | null;

  authorId!: string;
}

// Stands in for the hash while the other fields are checked.
const NOT_YET_HASHED = '$argon2id$';

@Resolver(() => SignUpPayload)
export class SignUpMutation {
  @Mutation(() => SignUpPayload, { description: 'Makes the author, and begins its first session.' })
  async signUp(@Arg('input') input: SignUpInput, @Ctx() context: Context): Promise<SignUpPayload> {
    const { passwords, sessions, rates } = context.services;
    const password = passwordRule.safeParse(input.password);
    const codes = password.success
      ? isCommonPassword(password.data)
        ? ['TOO_COMMON' as const]
        : []
      : faultsOf(password.error).map(({ code }) => code);
    const faults = codes.map((code) => ({ code, field: ['password'] }));
    let authorId = '';

    const receipt = await runCommand(context, SignUp, input, {
      senderId: NOBODY,
      payload: (derived) => {
        const { username, email, name = null, biography = null, location = null, website = null, birthDate = null } = input;
        authorId = (input.authorId ?? derived).toLowerCase();

        return { authorId, username, email, passwordHash: NOT_YET_HASHED, name, biography, location, website, birthDate };
      },
      complete: async (payload) => {
        // Retries count: each of them has a password hashed.
        if (rates.areFor(context.address)) await rates.chargingRefusals(context, async () => rates.signUp(context.address));

        return { ...payload, passwordHash: await passwords.hash(password.data!, context) };
      },
      faults,
      // The password itself goes nowhere; with its digest a retry with another one is another sign-up.
      fingerprinted: (fields) => ({ ...fields, password: password.success ? sessions.digest(password.data) : '' }),
    });
    const isIn = receipt.status === 'COMMITTED' || receipt.status === 'PROJECTED';
    // A retry is given a session only like anybody who signs in: for the password.
    const mayEnter = isIn && (!receipt.replayed || (await passwords.verify(authorId, input.password, context)));
    const session = mayEnter ? await sessions.issue(authorId) : null;
    if (session) {
      context.signIn({ authorId, expiresAtMs: session.expiresAt.getTime() });
      context.transport?.setSession(session);
    }

    return Object.assign(new SignUpPayload(), receipt, { session, authorId });
  }

  @FieldResolver(() => Author, { nullable: true })
  author(@Root() { status, authorId, position }: SignUpPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return status === 'REJECTED' || position === null ? null : loadAuthor(context, authorId, position, info);
  }
}
