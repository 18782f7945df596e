import { Refused } from '../../shared/refused.js';
import type { UnfollowAuthor } from '../../shared/messages/follow.js';
import type { CommandHandler } from '../command-handler.js';

export const unfollowAuthor: CommandHandler<UnfollowAuthor> = {
  needs: (command) => ({
    authors: [command.followerId, command.followedId],
    follows: [command],
    // Kept true for a follow that comes later in the same batch.
    followingCounts: [command.followerId],
  }),
  decide({ followerId, followedId }, state) {
    if (!state.authors.has(followerId)) throw new Refused('AUTHOR_NOT_FOUND');
    if (!state.authors.has(followedId)) throw new Refused('AUTHOR_NOT_FOUND', ['authorId']);
    if (!state.isFollowing(followerId, followedId)) return [];

    return [{ type: 'AuthorUnfollowed', followerId, followedId }];
  },
};
