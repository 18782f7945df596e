import { z } from 'zod';
import { id } from '../rules.js';
import { defineCommand, type PayloadOf } from './command.js';

const pair = z.object({ followerId: id, followedId: id });
// One follower's commands share a lane, which also makes the count of those whom it follows exact.
const keys = {
  sender: (command: z.infer<typeof pair>) => command.followerId,
  laneKey: (command: z.infer<typeof pair>) => command.followerId,
};

export const FollowAuthor = defineCommand('FollowAuthor', () => pair, keys);
export type FollowAuthor = PayloadOf<typeof FollowAuthor>;

export const UnfollowAuthor = defineCommand('UnfollowAuthor', () => pair, keys);
export type UnfollowAuthor = PayloadOf<typeof UnfollowAuthor>;

export interface AuthorFollowed {
  type: 'AuthorFollowed';
  followerId: string;
  followedId: string;
}

export interface AuthorUnfollowed {
  type: 'AuthorUnfollowed';
  followerId: string;
  followedId: string;
}

export type FollowEvent = AuthorFollowed | AuthorUnfollowed;
