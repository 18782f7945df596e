/** The timeline, live. */
import type { GraphQLResolveInfo } from 'graphql';
import {
  Arg,
  Ctx,
  Field,
  FieldResolver,
  ID,
  Info,
  InterfaceType,
  ObjectType,
  registerEnumType,
  Resolver,
  Root,
  Subscription,
} from 'type-graphql';
import { Cheep, requireCheep } from '../cheeps/cheep.js';
import type { Context } from '../context.js';
import { fault } from '../errors.js';
import { parseResumeCursor, resumeCursor } from './resume-cursor.js';
import { readerOf } from './timeline.js';
import type { Frame, ResetReason as ResetReasonName } from './timeline-feed.js';

export const ResetReason = {
  FOLLOWED: 'FOLLOWED',
  UNFOLLOWED: 'UNFOLLOWED',
  CURSOR_TOO_OLD: 'CURSOR_TOO_OLD',
  TOO_SLOW: 'TOO_SLOW',
} satisfies { [Name in ResetReasonName]: Name };
registerEnumType(ResetReason, { name: 'ResetReason' });

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
  reason!: ResetReasonName;
}

@Resolver(() => CheepAdded)
export class CheepAddedResolver {
  @FieldResolver(() => Cheep)
  cheep(@Root() { cheepId, floor }: CheepAdded, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return requireCheep(context, cheepId, floor, info);
  }
}

@Resolver(() => CheepEdited)
export class CheepEditedResolver {
  @FieldResolver(() => Cheep)
  cheep(@Root() { cheepId, floor }: CheepEdited, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return requireCheep(context, cheepId, floor, info);
  }
}

interface TimelineArgs {
  authorId?: string | null;
  after?: string | null;
}

/** @throws UNAUTHENTICATED, BAD_USER_INPUT, NOT_CAUGHT_UP */
async function follow({ authorId, after }: TimelineArgs, context: Context): Promise<AsyncIterableIterator<Frame>> {
  const readerId = readerOf(authorId, context);
  if (readerId === null) throw fault('BAD_USER_INPUT', 'This is nobody’s id.', { argument: 'authorId' });

  return context.services.timelineFeed.follow(context.consistency, readerId, after ? parseResumeCursor(after) : null);
}

@Resolver()
export class TimelineSubscription {
  @Subscription(() => TimelineEvent, { subscribe: ({ args, context }) => follow(args as TimelineArgs, context as Context) })
  timeline(
    @Arg('authorId', () => ID, { nullable: true }) _authorId: string | null | undefined,
    @Arg('after', () => String, { nullable: true }) _after: string | null | undefined,
    @Root() frame: Frame,
    @Ctx() context: Context,
  ): TimelineEvent {
    const { consistency, services } = context;
    const cursor = resumeCursor(services.reads.space.epoch, frame.at);
    consistency.saw(frame.at.position, 0);
    switch (frame.type) {
      case 'live':
        return Object.assign(new TimelineLive(), { cursor });
      case 'added':
        return Object.assign(new CheepAdded(), { cursor, cheepId: frame.cheepId, floor: frame.at.position });
      case 'reset':
        return Object.assign(new TimelineReset(), { cursor, reason: frame.reason });
    }
  }
}
