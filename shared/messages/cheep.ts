import { z } from 'zod';
import { defineCommand, type PayloadOf } from './command.js';
import type { Change } from './event.js';

// One author's commands share a lane, so that its cheeps keep their order.
const keys = {
  sender: (command: { authorId: string }) => command.authorId,
  laneKey: (command: { authorId: string }) => command.authorId,
};

export const PostCheep = defineCommand(
  'PostCheep',
  ({ id, message }) => z.object({ authorId: id, cheepId: id, message, inReplyTo: id.nullable() }),
  keys,
);
export type PostCheep = PayloadOf<typeof PostCheep>;

export const EditCheep = defineCommand('EditCheep', ({ id, message }) => z.object({ authorId: id, cheepId: id, message }), keys);
export type EditCheep = PayloadOf<typeof EditCheep>;

export const DeleteCheep = defineCommand('DeleteCheep', ({ id }) => z.object({ authorId: id, cheepId: id }), keys);
export type DeleteCheep = PayloadOf<typeof DeleteCheep>;

/** Who is named with @, and where: UTF-16 code units of the message, `end` exclusive; the @ is inside. */
export interface Mention {
  start: number;
  end: number;
  authorId: string;
}

/** Schema version 2; see `upcast.ts` for what is made of version 1. */
export interface CheepPosted {
  type: 'CheepPosted';
  cheepId: string;
  authorId: string;
  message: string;
  mentions: Mention[];
  inReplyTo: string | null;
  /** Who wrote what this answers. */
  inReplyToAuthorId: string | null;
  /** The cheep that the thread began with; its own id when it answers nothing. */
  threadId: string;
}

export interface CheepEdited {
  type: 'CheepEdited';
  cheepId: string;
  authorId: string;
  inReplyTo: string | null;
  threadId: string;
  changes: { message: Change<string> };
  /** In the new message. */
  mentions: Mention[];
}

export interface CheepDeleted {
  type: 'CheepDeleted';
  cheepId: string;
  authorId: string;
  inReplyTo: string | null;
  threadId: string;
}

export type CheepEvent = CheepPosted | CheepEdited | CheepDeleted;
