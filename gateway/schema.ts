/** Every resolver there is: start here to find what a field does. */
import 'reflect-metadata';
import type { GraphQLSchema } from 'graphql';
import { buildSchemaSync, getMetadataStorage } from 'type-graphql';
import { AuthorConnectionResolver, AuthorEdgeResolver } from './authors/author-connection.js';
import { AuthorResolver } from './authors/author.js';
import { AuthorChanged, AuthorChangedResolver, AuthorLive, AuthorReset, AuthorSubscription } from './authors/author-subscription.js';
import { AuthorQueries } from './authors/authors.js';
import { ChangeEmailMutation } from './authors/change-email.js';
import { ChangeUsernameMutation } from './authors/change-username.js';
import { LogInMutation } from './authors/log-in.js';
import { SearchAuthorsQuery } from './authors/search-authors.js';
import { SignUpMutation } from './authors/sign-up.js';
import { UpdateProfileMutation } from './authors/update-profile.js';
import { CheepConnectionResolver, CheepEdgeResolver } from './cheeps/cheep-connection.js';
import { CheepResolver, DeletedCheep, MentionResolver } from './cheeps/cheep.js';
import { CheepQueries } from './cheeps/cheeps.js';
import { DeleteCheepMutation } from './cheeps/delete-cheep.js';
import { EditCheepMutation } from './cheeps/edit-cheep.js';
import { PostCheepMutation } from './cheeps/post-cheep.js';
import {
  ReplyAddedResolver,
  ThreadCheepChangedResolver,
  ThreadCheepDeleted,
  ThreadLive,
  ThreadReset,
  ThreadSubscription,
} from './cheeps/thread-subscription.js';
import { CommandQueries, CommandSubscription } from './commands/command.js';
import { FollowAuthorMutation } from './follows/follow-author.js';
import { UnfollowAuthorMutation } from './follows/unfollow-author.js';
import { FunnelQueries } from './funnel/funnel.js';
import { LikeCheepMutation } from './likes/like-cheep.js';
import { UnlikeCheepMutation } from './likes/unlike-cheep.js';
import { AuthorHistoryResolver, CheepHistoryResolver } from './histories/history.js';
import { MarkNotificationsReadMutation } from './notifications/mark-notifications-read.js';
import {
  FollowNotificationResolver,
  LikeNotificationResolver,
  MentionNotificationResolver,
  ReplyNotificationResolver,
  WelcomeNotification,
} from './notifications/notification.js';
import {
  NotificationAdded,
  NotificationsLive,
  NotificationsRead,
  NotificationsReset,
  NotificationSubscription,
} from './notifications/notification-subscription.js';
import { NotificationQueries } from './notifications/notifications.js';
import { NodeQueries } from './nodes.js';
import { DateTime } from './scalars.js';
import {
  CheepAddedResolver,
  CheepEdited,
  CheepEditedResolver,
  CheepRemoved,
  TimelineLive,
  TimelineReset,
  TimelineSubscription,
} from './timelines/timeline-subscription.js';
import { TimelineQueries } from './timelines/timeline.js';

// type-graphql insists on one; our subscriptions bring their own sources.
const NOT_USED = {
  publish: () => {
    throw new Error('there is no PubSub: subscriptions follow the projections');
  },
  subscribe: () => {
    throw new Error('there is no PubSub: subscriptions follow the projections');
  },
};

export function createSchema(): GraphQLSchema {
  // A field without a resolver of ours is a property. Its name is the same, so nothing need be called for it.
  for (const field of getMetadataStorage().fields) field.simple ??= field.name === field.schemaName;

  return buildSchemaSync({
    resolvers: [
      AuthorQueries,
      AuthorResolver,
      AuthorConnectionResolver,
      AuthorEdgeResolver,
      SignUpMutation,
      LogInMutation,
      UpdateProfileMutation,
      ChangeUsernameMutation,
      ChangeEmailMutation,
      SearchAuthorsQuery,
      AuthorHistoryResolver,
      AuthorSubscription,
      AuthorChangedResolver,

      CheepQueries,
      CheepResolver,
      MentionResolver,
      CheepConnectionResolver,
      CheepEdgeResolver,
      CheepHistoryResolver,
      PostCheepMutation,
      EditCheepMutation,
      DeleteCheepMutation,
      ThreadSubscription,
      ReplyAddedResolver,
      ThreadCheepChangedResolver,

      LikeCheepMutation,
      UnlikeCheepMutation,

      FollowAuthorMutation,
      UnfollowAuthorMutation,

      TimelineQueries,
      TimelineSubscription,
      CheepAddedResolver,
      CheepEditedResolver,

      NotificationQueries,
      FollowNotificationResolver,
      ReplyNotificationResolver,
      MentionNotificationResolver,
      LikeNotificationResolver,
      MarkNotificationsReadMutation,
      NotificationSubscription,

      CommandQueries,
      CommandSubscription,
      FunnelQueries,
      NodeQueries,
    ],
    orphanedTypes: [
      DeletedCheep,
      AuthorLive,
      AuthorChanged,
      AuthorReset,
      ThreadLive,
      ThreadCheepDeleted,
      ThreadReset,
      TimelineLive,
      CheepEdited,
      CheepRemoved,
      TimelineReset,
      WelcomeNotification,
      NotificationsLive,
      NotificationAdded,
      NotificationsRead,
      NotificationsReset,
    ],
    scalarsMap: [{ type: Date, scalar: DateTime }],
    // Fields are checked by shared/rules.ts, the same here and on the write side.
    validate: false,
    pubSub: NOT_USED,
  });
}
