/** An author, live. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, ID, Info, InterfaceType, ObjectType, Resolver, Root, Subscription } from 'type-graphql';
import { id as idRule } from '../../shared/rules.js';
import type { Context } from '../context.js';
import { fault } from '../errors.js';
import { ResetReason } from '../feed.js';
import { parseResumeCursor } from '../resume-cursor.js';
import type { AuthorFrame } from './author-feed.js';
import { Author, requireAuthor } from './author.js';

@InterfaceType({ description: 'Everything after its cursor, each change once and in order.' })
export abstract class AuthorEvent {
  @Field()
  cursor!: string;
}

@ObjectType({ implements: AuthorEvent, description: 'What was missed has been sent; from here on it happens now.' })
export class AuthorLive extends AuthorEvent {}

@ObjectType({ implements: AuthorEvent, description: 'The profile, or one of the counts.' })
export class AuthorChanged extends AuthorEvent {
  authorId!: string;
  floor!: number;
}

@ObjectType({ implements: AuthorEvent, description: 'The cursor was too old: fetch the author again, then go on from here.' })
export class AuthorReset extends AuthorEvent {
  @Field(() => ResetReason)
  reason!: ResetReason;
}

@Resolver(() => AuthorChanged)
export class AuthorChangedResolver {
  @FieldResolver(() => Author, { description: 'As of this frame, or newer.' })
  author(@Root() { authorId, floor }: AuthorChanged, @Ctx() context: Context, @Info() info: GraphQLResolveInfo): Promise<Author> {
    return requireAuthor(context, authorId, floor, info);
  }
}

interface AuthorArgs {
  id: string;
  after?: string | null;
}

/** @throws BAD_USER_INPUT, NOT_CAUGHT_UP */
async function follow({ id, after }: AuthorArgs, context: Context): Promise<AsyncIterableIterator<AuthorFrame>> {
  const known = idRule.safeParse(id);
  if (!known.success) throw fault('BAD_USER_INPUT', 'This is nobody’s id.', { argument: 'id' });

  return context.services.authorFeed.follow(
    context.consistency,
    known.data,
    after ? parseResumeCursor(after) : null,
    context.address.network,
  );
}

@Resolver()
export class AuthorSubscription {
  @Subscription(() => AuthorEvent, { subscribe: ({ args, context }) => follow(args as AuthorArgs, context as Context) })
  author(
    @Arg('id', () => ID) _id: string,
    @Arg('after', () => String, { nullable: true }) _after: string | null | undefined,
    @Root() frame: AuthorFrame,
    @Ctx() { consistency }: Context,
  ): AuthorEvent {
    const { cursor } = frame;
    consistency.saw(frame.at.position, 0, true);
    switch (frame.type) {
      case 'live':
        return Object.assign(new AuthorLive(), { cursor });
      case 'changed':
        return Object.assign(new AuthorChanged(), { cursor, authorId: frame.authorId, floor: frame.at.position });
      case 'reset':
        return Object.assign(new AuthorReset(), { cursor, reason: frame.reason });
    }
  }
}
