/** A cheep and its replies, live: what the cheep's own page shows. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, ID, Info, InterfaceType, ObjectType, Resolver, Root, Subscription } from 'type-graphql';
import { id as idRule } from '../../shared/rules.js';
import type { Context } from '../context.js';
import { fault } from '../errors.js';
import { ResetReason } from '../feed.js';
import { parseResumeCursor } from '../resume-cursor.js';
import { Cheep, cheepOfFrame } from './cheep.js';
import type { ThreadFrame } from './thread-feed.js';

@InterfaceType({ description: 'Everything after its cursor, each change once and in order.' })
export abstract class ThreadEvent {
  @Field()
  cursor!: string;
}

@ObjectType({ implements: ThreadEvent, description: 'What was missed has been sent; from here on it happens now.' })
export class ThreadLive extends ThreadEvent {}

/** A frame about a cheep: its row is as of the frame's position or later. */
abstract class ThreadCheepEvent extends ThreadEvent {
  cheepId!: string;
  floor!: number;
}

@ObjectType({ implements: ThreadEvent })
export class ReplyAdded extends ThreadCheepEvent {}

@ObjectType({ implements: ThreadEvent, description: 'The cheep itself, or one of its replies, was edited.' })
export class ThreadCheepChanged extends ThreadCheepEvent {}

@ObjectType({ implements: ThreadEvent, description: 'The cheep itself, or one of its replies.' })
export class ThreadCheepDeleted extends ThreadEvent {
  @Field(() => ID)
  cheepId!: string;
}

@ObjectType({ implements: ThreadEvent, description: 'The cursor was too old: fetch the page again, then go on from here.' })
export class ThreadReset extends ThreadEvent {
  @Field(() => ResetReason)
  reason!: ResetReason;
}

@Resolver(() => ReplyAdded)
export class ReplyAddedResolver {
  @FieldResolver(() => Cheep)
  cheep(@Root() { cheepId, floor }: ReplyAdded, @Ctx() context: Context, @Info() info: GraphQLResolveInfo): Promise<Cheep> {
    return cheepOfFrame(context, cheepId, floor, info);
  }
}

@Resolver(() => ThreadCheepChanged)
export class ThreadCheepChangedResolver {
  @FieldResolver(() => Cheep)
  cheep(@Root() { cheepId, floor }: ThreadCheepChanged, @Ctx() context: Context, @Info() info: GraphQLResolveInfo): Promise<Cheep> {
    return cheepOfFrame(context, cheepId, floor, info);
  }
}

interface ThreadArgs {
  cheepId: string;
  after?: string | null;
}

/** @throws BAD_USER_INPUT, NOT_CAUGHT_UP */
async function follow({ cheepId, after }: ThreadArgs, context: Context): Promise<AsyncIterableIterator<ThreadFrame>> {
  const known = idRule.safeParse(cheepId);
  if (!known.success) throw fault('BAD_USER_INPUT', 'This is no cheep’s id.', { argument: 'cheepId' });

  return context.services.threadFeed.follow(
    context.consistency,
    known.data,
    after ? parseResumeCursor(after) : null,
    context.address.network,
  );
}

@Resolver()
export class ThreadSubscription {
  @Subscription(() => ThreadEvent, {
    description: 'A cheep and its direct replies; begins after the `resumeCursor` of its `replies`.',
    subscribe: ({ args, context }) => follow(args as ThreadArgs, context as Context),
  })
  thread(
    @Arg('cheepId', () => ID) _cheepId: string,
    @Arg('after', () => String, { nullable: true }) _after: string | null | undefined,
    @Root() frame: ThreadFrame,
    @Ctx() { consistency }: Context,
  ): ThreadEvent {
    const { cursor } = frame;
    consistency.saw(frame.at.position, 0, true);
    switch (frame.type) {
      case 'live':
        return Object.assign(new ThreadLive(), { cursor });
      case 'replied':
        return Object.assign(new ReplyAdded(), { cursor, cheepId: frame.cheepId, floor: frame.at.position });
      case 'edited':
        return Object.assign(new ThreadCheepChanged(), { cursor, cheepId: frame.cheepId, floor: frame.at.position });
      case 'deleted':
        return Object.assign(new ThreadCheepDeleted(), { cursor, cheepId: frame.cheepId });
      case 'reset':
        return Object.assign(new ThreadReset(), { cursor, reason: frame.reason });
    }
  }
}
