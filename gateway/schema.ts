/** Every resolver there is: start here to find what a field does. */
import 'reflect-metadata';
import { buildSchemaSync } from 'type-graphql';
import { AuthorConnectionResolver, AuthorEdgeResolver } from './authors/author-connection.js';
import { AuthorResolver } from './authors/author.js';
import { AuthorQueries } from './authors/authors.js';
import { LogInMutation } from './authors/log-in.js';
import { SignUpMutation } from './authors/sign-up.js';
import { CheepConnectionResolver, CheepEdgeResolver } from './cheeps/cheep-connection.js';
import { CheepResolver, DeletedCheep } from './cheeps/cheep.js';
import { CheepQueries } from './cheeps/cheeps.js';
import { PostCheepMutation } from './cheeps/post-cheep.js';
import { CommandQueries } from './commands/command.js';
import { FollowAuthorMutation } from './follows/follow-author.js';
import { UnfollowAuthorMutation } from './follows/unfollow-author.js';
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

export const createSchema = () =>
  buildSchemaSync({
    resolvers: [
      AuthorQueries,
      AuthorResolver,
      AuthorConnectionResolver,
      AuthorEdgeResolver,
      SignUpMutation,
      LogInMutation,

      CheepQueries,
      CheepResolver,
      CheepConnectionResolver,
      CheepEdgeResolver,
      PostCheepMutation,

      FollowAuthorMutation,
      UnfollowAuthorMutation,

      TimelineQueries,
      TimelineSubscription,
      CheepAddedResolver,
      CheepEditedResolver,

      CommandQueries,
      NodeQueries,
    ],
    orphanedTypes: [DeletedCheep, TimelineLive, CheepEdited, CheepRemoved, TimelineReset],
    scalarsMap: [{ type: Date, scalar: DateTime }],
    // Fields are checked by shared/rules.ts, the same here and on the write side.
    validate: false,
    pubSub: NOT_USED,
  });
