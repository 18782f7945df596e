/** What an author is told of: five kinds, each with what it is about. */
import type { GraphQLResolveInfo } from 'graphql';
import { Ctx, Field, FieldResolver, Info, InterfaceType, ObjectType, Resolver, Root } from 'type-graphql';
import { notificationShard, readNotificationsById, type NotificationRow } from '../../read-side/notifications/query.js';
import { Author, requireAuthor } from '../authors/author.js';
import { Cheep, cheepOfFrame, toCheep } from '../cheeps/cheep.js';
import type { Context } from '../context.js';
import type { LoadedCheep } from '../loaders.js';
import { Node } from '../node.js';
import { readExactly, type ReadList } from '../pages.js';
import { DateTime } from '../scalars.js';
import { selectedAt } from '../selection.js';

@InterfaceType({ implements: Node })
export abstract class Notification extends Node {
  @Field(() => DateTime)
  at!: string;

  @Field()
  read!: boolean;

  /** Not in the schema: what is read for it is as of this position or later. */
  floor!: number;
}

abstract class CheepNotification extends Notification {
  cheepId!: string;
  /** Null where it was not loaded with the list. */
  cheepRow!: LoadedCheep | null;
}

@ObjectType({ implements: [Node, Notification] })
export class WelcomeNotification extends Notification {}

@ObjectType({ implements: [Node, Notification] })
export class FollowNotification extends Notification {
  followerId!: string;
}

@ObjectType({ implements: [Node, Notification] })
export class ReplyNotification extends CheepNotification {}

@ObjectType({ implements: [Node, Notification] })
export class MentionNotification extends CheepNotification {}

@ObjectType({ implements: [Node, Notification] })
export class LikeNotification extends CheepNotification {
  likerId!: string;
}

/** @param cheepRow of the cheep that it is about, when that was loaded */
export function toNotification(
  { id, at, read, notice }: NotificationRow,
  floor: number,
  cheepRow: LoadedCheep | null = null,
): Notification {
  const common = { id, at, read, floor };
  switch (notice.kind) {
    case 'WELCOME':
      return Object.assign(new WelcomeNotification(), common);
    case 'FOLLOW':
      return Object.assign(new FollowNotification(), common, { followerId: notice.followerId });
    case 'REPLY':
      return Object.assign(new ReplyNotification(), common, { cheepId: notice.cheepId, cheepRow });
    case 'MENTION':
      return Object.assign(new MentionNotification(), common, { cheepId: notice.cheepId, cheepRow });
    case 'LIKE':
      return Object.assign(new LikeNotification(), common, { cheepId: notice.cheepId, cheepRow, likerId: notice.likerId });
  }
}

/**
 * Notifications with the cheeps that they are about, if anything of these is selected.
 * @param read rows, as of `floor` or later; it must not be a base (see `ReadOptions`)
 * @param cheepFields what is selected of their cheeps; null for nothing
 * @returns what was read, with `notifications` in the order of its items
 * @throws as `readExactly`
 */
export async function exactNotifications<List extends { items: NotificationRow[] }>(
  context: Context,
  read: (floor: number) => Promise<ReadList<List>>,
  cheepFields: ReadonlySet<string> | null,
): Promise<ReadList<List> & { notifications: Notification[] }> {
  const aboutCheep = ({ items }: List) => items.flatMap(({ id, notice }) => ('cheepId' in notice ? [{ id, cheepId: notice.cheepId }] : []));
  const { value, applied, rows } = await readExactly(
    context.consistency,
    read,
    aboutCheep,
    ({ cheepId }) => cheepId,
    cheepFields && ((ids, floor) => context.loaders.findCheeps(ids, floor, cheepFields)),
  );
  const cheeps = new Map(aboutCheep(value).map(({ id }, i) => [id, rows?.[i] ?? null]));

  return { value, applied, notifications: value.items.map((item) => toNotification(item, applied, cheeps.get(item.id) ?? null)) };
}

/** Those of the reader's own notifications that have these ids. `info` is of the field that they stand in. */
export async function loadNotifications(
  context: Context,
  readerId: string,
  ids: string[],
  info: GraphQLResolveInfo,
): Promise<Notification[]> {
  const { reads } = context.services;
  const { notifications } = await exactNotifications(
    context,
    (floor) =>
      reads.read(
        context.consistency,
        notificationShard(readerId, reads.space),
        (redis, space) => readNotificationsById(redis, space, readerId, ids),
        { floor, isBase: false },
      ),
    selectedAt(info, 'cheep'),
  );

  return notifications;
}

/** @throws GoneMeanwhile when it was deleted since the notification was read */
function cheepOf({ cheepId, cheepRow, floor }: CheepNotification, context: Context, info: GraphQLResolveInfo): Cheep | Promise<Cheep> {
  return cheepRow ? toCheep(cheepRow) : cheepOfFrame(context, cheepId, floor, info);
}

@Resolver(() => FollowNotification)
export class FollowNotificationResolver {
  @FieldResolver(() => Author)
  follower(@Root() { followerId, floor }: FollowNotification, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return requireAuthor(context, followerId, floor, info);
  }
}

@Resolver(() => ReplyNotification)
export class ReplyNotificationResolver {
  @FieldResolver(() => Cheep, { description: 'The reply.' })
  cheep(@Root() notification: ReplyNotification, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return cheepOf(notification, context, info);
  }
}

@Resolver(() => MentionNotification)
export class MentionNotificationResolver {
  @FieldResolver(() => Cheep, { description: 'Where the viewer is mentioned.' })
  cheep(@Root() notification: MentionNotification, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return cheepOf(notification, context, info);
  }
}

@Resolver(() => LikeNotification)
export class LikeNotificationResolver {
  @FieldResolver(() => Cheep)
  cheep(@Root() notification: LikeNotification, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return cheepOf(notification, context, info);
  }

  @FieldResolver(() => Author, { description: 'Who likes it, or did.' })
  author(@Root() { likerId, floor }: LikeNotification, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return requireAuthor(context, likerId, floor, info);
  }
}
