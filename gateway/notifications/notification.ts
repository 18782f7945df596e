/** What an author is told of: five kinds, each with what it is about. */
import type { GraphQLResolveInfo } from 'graphql';
import { Ctx, Field, FieldResolver, ID, Info, InterfaceType, ObjectType, Resolver, Root } from 'type-graphql';
import type { NotificationRow } from '../../read-side/notifications/query.js';
import { Author, requireAuthor } from '../authors/author.js';
import { Cheep, cheepOfFrame, toCheep } from '../cheeps/cheep.js';
import type { Context } from '../context.js';
import type { LoadedCheep } from '../loaders.js';
import { DateTime } from '../scalars.js';

@InterfaceType()
export abstract class Notification {
  @Field(() => ID)
  id!: string;

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

@ObjectType({ implements: Notification })
export class WelcomeNotification extends Notification {}

@ObjectType({ implements: Notification })
export class FollowNotification extends Notification {
  followerId!: string;
}

@ObjectType({ implements: Notification })
export class ReplyNotification extends CheepNotification {}

@ObjectType({ implements: Notification })
export class MentionNotification extends CheepNotification {}

@ObjectType({ implements: Notification })
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
