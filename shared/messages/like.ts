import { z } from 'zod';
import { id } from '../rules.js';
import { defineCommand, type PayloadOf } from './command.js';

const pair = z.object({ likerId: id, cheepId: id });
const keys = {
  sender: (command: z.infer<typeof pair>) => command.likerId,
  laneKey: (command: z.infer<typeof pair>) => command.likerId,
};

export const LikeCheep = defineCommand('LikeCheep', () => pair, keys);
export type LikeCheep = PayloadOf<typeof LikeCheep>;

export const UnlikeCheep = defineCommand('UnlikeCheep', () => pair, keys);
export type UnlikeCheep = PayloadOf<typeof UnlikeCheep>;

export interface CheepLiked {
  type: 'CheepLiked';
  likerId: string;
  cheepId: string;
  /** Who wrote it. */
  authorId: string;
}

export interface CheepUnliked {
  type: 'CheepUnliked';
  likerId: string;
  cheepId: string;
  authorId: string;
}

export type LikeEvent = CheepLiked | CheepUnliked;
