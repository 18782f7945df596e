import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, Info, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { REASONS } from '../../shared/refused.js';
import { UserError } from '../command-payload.js';
import type { Context } from '../context.js';
import { Author, awaitAuthor } from './author.js';
import { Session } from './session.js';

@InputType()
export class LogInInput {
  @Field()
  usernameOrEmail!: string;

  @Field()
  password!: string;
}

@ObjectType({ description: 'Not a command: a question, answered at once.' })
export class LogInPayload {
  @Field(() => Session, { nullable: true })
  session!: Session | null;

  @Field(() => [UserError])
  userErrors!: UserError[];

  authorId!: string | null;
}

/** Longer than any name, address or password can be: not worth asking for. */
const MAX_CHARACTERS = 512;

/** As they are sent on: NFC may be longer than what was typed, and as short as a quarter of it. */
const isShort = (text: string) =>
  text.isWellFormed() && text.length <= 4 * MAX_CHARACTERS && text.normalize('NFC').length <= MAX_CHARACTERS;

@Resolver(() => LogInPayload)
export class LogInMutation {
  @Mutation(() => LogInPayload, { description: 'Begins a session: in the answer, and in a cookie.' })
  async logIn(@Arg('input') { usernameOrEmail, password }: LogInInput, @Ctx() context: Context): Promise<LogInPayload> {
    const { passwords, sessions, rates, logInTries } = context.services;
    const isPossible = [usernameOrEmail, password].every(isShort);
    const typed = usernameOrEmail.trim();
    const isCounted = isPossible && rates.areFor(context.address);
    const counted = isCounted ? await rates.chargingRefusals(context, () => logInTries.begin(typed, context.address)) : null;
    let authorId: string | null;
    try {
      authorId = isPossible ? await passwords.authenticate(typed, password, context, counted?.isKnown) : null;
    } catch (error) {
      await counted?.unknown();
      throw error;
    }
    await (authorId === null ? counted?.wrong() : counted?.right());
    const session = authorId === null ? null : await sessions.issue(authorId);
    if (authorId !== null && session) {
      context.signIn({ authorId, expiresAtMs: session.expiresAt.getTime() });
      context.transport?.setSession(session);
    }
    const userErrors = session ? [] : [{ code: 'WRONG_CREDENTIALS' as const, field: null, message: REASONS.WRONG_CREDENTIALS }];

    return Object.assign(new LogInPayload(), { session, userErrors, authorId });
  }

  @Mutation(() => Boolean, { description: 'Clears the cookie. An access token goes on until it expires.' })
  logOut(@Ctx() context: Context): boolean {
    context.signIn(null);
    context.transport?.setSession(null);

    return true;
  }

  @FieldResolver(() => Author, { nullable: true })
  author(@Root() { authorId }: LogInPayload, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    // Who can sign in has signed up, however late the projection is.
    return authorId ? awaitAuthor(context, authorId, 1, info) : null;
  }
}
