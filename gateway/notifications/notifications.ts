/** The viewer's notifications, a page at a time. */
import type { GraphQLResolveInfo } from 'graphql';
import { Args, Ctx, Field, Info, Int, ObjectType, Query, Resolver } from 'type-graphql';
import { notificationShard, readNotifications } from '../../read-side/notifications/query.js';
import type { Context } from '../context.js';
import { cursorAt, PageArgs, PageInfo, pageInfo, pageRequest } from '../pages.js';
import { resumeCursor } from '../resume-cursor.js';
import { selectedAt } from '../selection.js';
import { exactNotifications, Notification } from './notification.js';

@ObjectType()
export class NotificationEdge {
  @Field()
  cursor!: string;

  @Field(() => Notification)
  node!: Notification;
}

@ObjectType()
export class NotificationConnection {
  @Field(() => [NotificationEdge])
  edges!: NotificationEdge[];

  @Field(() => [Notification])
  nodes!: Notification[];

  @Field(() => PageInfo)
  pageInfo!: PageInfo;

  @Field(() => Int, { description: 'Of all of them, not only of this page.' })
  unreadCount!: number;

  @Field(() => String, { nullable: true, description: 'Where a subscription goes on from this page.' })
  resumeCursor!: string | null;
}

@Resolver()
export class NotificationQueries {
  @Query(() => NotificationConnection, {
    description: 'The viewer’s own, newest first; the newest 10,000 are kept. UNAUTHENTICATED when nobody is signed in.',
  })
  async notifications(
    @Args(() => PageArgs) args: PageArgs,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<NotificationConnection> {
    const request = pageRequest(args);
    const viewerId = context.signedIn();
    const { reads } = context.services;
    const { value, applied, notifications } = await exactNotifications(
      context,
      (floor) =>
        reads.read(
          context.consistency,
          notificationShard(viewerId, reads.space),
          (redis, space) => readNotifications(redis, space, viewerId, request),
          { floor, isBase: false },
        ),
      selectedAt(info, 'nodes.cheep', 'edges.node.cheep'),
    );
    const edges = value.items.map(({ sequence }, i) =>
      Object.assign(new NotificationEdge(), { cursor: cursorAt(sequence), node: notifications[i]! }),
    );

    return Object.assign(new NotificationConnection(), {
      edges,
      nodes: notifications,
      pageInfo: pageInfo(edges, value.hasNextPage, request, applied),
      unreadCount: value.unreadCount,
      resumeCursor: resumeCursor(reads.space.epoch, { position: applied, index: null }),
    });
  }
}
