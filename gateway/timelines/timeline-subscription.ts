/** The timeline, live. */
import type { GraphQLResolveInfo } from 'graphql';
import { Arg, Ctx, Field, FieldResolver, ID, Info, InterfaceType, ObjectType, Resolver, Root, Subscription } from 'type-graphql';
import { Cheep, cheepOfFrame } from '../cheeps/cheep.js';
import type { Context } from '../context.js';
import { fault } from '../errors.js';
import { ResetReason } from '../feed.js';
import { parseResumeCursor } from '../resume-cursor.js';
import { readerOf } from './timeline.js';
import type { TimelineFrame } from './timeline-feed.js';

@InterfaceType({ description: 'Everything after its cursor, each change once and in order.' })
export abstract class TimelineEvent {
  @Field()
  cursor!: string;
}

@ObjectType({ implements: TimelineEvent, description: 'What was missed has been sent; from here on it happens now.' })
export class TimelineLive extends TimelineEvent {}

/** A frame about a cheep: its row is as of the frame's position or later. */
abstract class CheepEvent extends TimelineEvent {
  cheepId!: string;
  floor!: number;
}

@ObjectType({ implements: TimelineEvent })
export class CheepAdded extends CheepEvent {}

@ObjectType({ implements: TimelineEvent })
export class CheepEdited extends CheepEvent {}

@ObjectType({ implements: TimelineEvent })
export class CheepRemoved extends TimelineEvent {
  @Field(() => ID)
  cheepId!: string;
}

@ObjectType({
  implements: TimelineEvent,
  description: 'The list changed in bulk, or the cursor was too old: fetch the page again, then go on from here.',
})
export class TimelineReset extends TimelineEvent {
  @Field(() => ResetReason)
  reason!: ResetReason;
}

@Resolver(() => CheepAdded)
export class CheepAddedResolver {
  @FieldResolver(() => Cheep)
  cheep(@Root() { cheepId, floor }: CheepAdded, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return cheepOfFrame(context, cheepId, floor, info);
  }
}

@Resolver(() => CheepEdited)
export class CheepEditedResolver {
  @FieldResolver(() => Cheep)
  cheep(@Root() { cheepId, floor }: CheepEdited, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return cheepOfFrame(context, cheepId, floor, info);
  }
}

interface TimelineArgs {
  authorId?: string | null;
  after?: string | null;
}

/** @throws UNAUTHENTICATED, BAD_USER_INPUT, NOT_CAUGHT_UP */
async function follow({ authorId, after }: TimelineArgs, context: Context): Promise<AsyncIterableIterator<TimelineFrame>> {
  const readerId = readerOf(authorId, context);
  if (readerId === null) throw fault('BAD_USER_INPUT', 'This is nobody’s id.', { argument: 'authorId' });

  return context.services.timelineFeed.follow(
    context.consistency,
    readerId,
    after ? parseResumeCursor(after) : null,
    context.address.network,
  );
}

@Resolver()
export class TimelineSubscription {
  @Subscription(() => TimelineEvent, { subscribe: ({ args, context }) => follow(args as TimelineArgs, context as Context) })
  timeline(
    @Arg('authorId', () => ID, { nullable: true }) _authorId: string | null | undefined,
    @Arg('after', () => String, { nullable: true }) _after: string | null | undefined,
    @Root() frame: TimelineFrame,
    @Ctx() { consistency }: Context,
  ): TimelineEvent {
    const { cursor } = frame;
    consistency.saw(frame.at.position, 0, true);
    switch (frame.type) {
      case 'live':
        return Object.assign(new TimelineLive(), { cursor });
      case 'added':
        return Object.assign(new CheepAdded(), { cursor, cheepId: frame.cheepId, floor: frame.at.position });
      case 'edited':
        return Object.assign(new CheepEdited(), { cursor, cheepId: frame.cheepId, floor: frame.at.position });
      case 'removed':
        return Object.assign(new CheepRemoved(), { cursor, cheepId: frame.cheepId });
      case 'reset':
        return Object.assign(new TimelineReset(), { cursor, reason: frame.reason });
    }
  }
}
