import { z } from 'zod';
import { id, message } from '../rules.js';
import { defineCommand, type PayloadOf } from './command.js';

export const PostCheep = defineCommand('PostCheep', z.object({ authorId: id, cheepId: id, message, inReplyTo: id.nullable() }), {
  sender: (command) => command.authorId,
  laneKey: (command) => command.authorId,
});
export type PostCheep = PayloadOf<typeof PostCheep>;

export interface CheepPosted {
  type: 'CheepPosted';
  cheepId: string;
  authorId: string;
  message: string;
  inReplyTo: string | null;
}

export type CheepEvent = CheepPosted;
