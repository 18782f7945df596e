/** The viewer's notifications, live. */
import { Arg, Ctx, Field, Int, InterfaceType, ObjectType, Resolver, Root, Subscription } from 'type-graphql';
import type { Context } from '../context.js';
import { ResetReason } from '../feed.js';
import { parseResumeCursor } from '../resume-cursor.js';
import type { NotificationFrame } from './notification-feed.js';
import { Notification, toNotification } from './notification.js';

@InterfaceType({ description: 'Everything after its cursor, each change once and in order.' })
export abstract class NotificationEvent {
  @Field()
  cursor!: string;
}

@ObjectType({ implements: NotificationEvent, description: 'What was missed has been sent; from here on it happens now.' })
export class NotificationsLive extends NotificationEvent {}

@ObjectType({ implements: NotificationEvent })
export class NotificationAdded extends NotificationEvent {
  @Field(() => Notification)
  notification!: Notification;

  @Field(() => Int, { description: 'As of this frame.' })
  unreadCount!: number;
}

@ObjectType({ implements: NotificationEvent, description: 'The viewer has read some, here or elsewhere.' })
export class NotificationsRead extends NotificationEvent {
  @Field(() => Int, { description: 'As of this frame.' })
  unreadCount!: number;
}

@ObjectType({
  implements: NotificationEvent,
  description: 'Some are gone with a cheep, or the cursor was too old: fetch the page again, then go on from here.',
})
export class NotificationsReset extends NotificationEvent {
  @Field(() => ResetReason)
  reason!: ResetReason;
}

/** @throws UNAUTHENTICATED, BAD_USER_INPUT, NOT_CAUGHT_UP */
async function follow({ after }: { after?: string | null }, context: Context): Promise<AsyncIterableIterator<NotificationFrame>> {
  return context.services.notificationFeed.follow(
    context.consistency,
    context.signedIn(),
    after ? parseResumeCursor(after) : null,
    context.address.network,
  );
}

@Resolver()
export class NotificationSubscription {
  @Subscription(() => NotificationEvent, {
    subscribe: ({ args, context }) => follow(args as { after?: string | null }, context as Context),
  })
  notifications(
    @Arg('after', () => String, { nullable: true }) _after: string | null | undefined,
    @Root() frame: NotificationFrame,
    @Ctx() { consistency }: Context,
  ): NotificationEvent {
    const { cursor } = frame;
    consistency.saw(frame.at.position, 0, true);
    switch (frame.type) {
      case 'live':
        return Object.assign(new NotificationsLive(), { cursor });
      case 'added': {
        const notification = toNotification({ ...frame.notification, read: false }, frame.at.position);

        return Object.assign(new NotificationAdded(), { cursor, notification, unreadCount: frame.unreadCount });
      }
      case 'read':
        return Object.assign(new NotificationsRead(), { cursor, unreadCount: frame.unreadCount });
      case 'reset':
        return Object.assign(new NotificationsReset(), { cursor, reason: frame.reason });
    }
  }
}
