import { Refused } from '../../shared/refused.js';
import type { FollowAuthor } from '../../shared/messages/follow.js';
import type { CommandHandler } from '../command-handler.js';

const MAX_FOLLOWED = 5_000;

/** One follower's commands run one after another in one lane, so the count below is exact. Authors are never deleted. */
export const followAuthor: CommandHandler<FollowAuthor> = {
  needs: (command) => ({
    authors: [command.followerId, command.followedId],
    follows: [command],
    followingCounts: [command.followerId],
  }),
  decide({ followerId, followedId }, state) {
    if (followerId === followedId) throw new Refused('CANNOT_FOLLOW_SELF', ['authorId']);
    if (!state.authors.has(followerId)) throw new Refused('AUTHOR_NOT_FOUND');
    if (!state.authors.has(followedId)) throw new Refused('AUTHOR_NOT_FOUND', ['authorId']);
    if (state.isFollowing(followerId, followedId)) return [];
    if (state.followingCount(followerId) >= MAX_FOLLOWED) throw new Refused('FOLLOWING_TOO_MANY', ['authorId']);

    return [{ type: 'AuthorFollowed', followerId, followedId }];
  },
};
