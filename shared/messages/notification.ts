import { z } from 'zod';
import { SYSTEM } from '../ids.js';
import { id } from '../rules.js';
import { defineCommand, type PayloadOf } from './command.js';

/** What an author is told of. */
export const notice = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('WELCOME') }),
  z.object({ kind: z.literal('FOLLOW'), followerId: id }),
  z.object({ kind: z.literal('REPLY'), cheepId: id }),
  z.object({ kind: z.literal('MENTION'), cheepId: id }),
  z.object({ kind: z.literal('LIKE'), cheepId: id, likerId: id }),
]);
export type Notice = z.infer<typeof notice>;

/** A reaction: nobody sends it but the process manager, under an id that derives from the event that caused it. */
export const NotifyAuthor = defineCommand('NotifyAuthor', () => z.object({ recipientId: id, notice }), {
  sender: () => SYSTEM,
  laneKey: (command) => command.recipientId,
});
export type NotifyAuthor = PayloadOf<typeof NotifyAuthor>;

/** `upTo`: the id of a notification; all up to and including it. */
export const MarkNotificationsRead = defineCommand('MarkNotificationsRead', () => z.object({ authorId: id, upTo: id }), {
  sender: (command) => command.authorId,
  laneKey: (command) => command.authorId,
});
export type MarkNotificationsRead = PayloadOf<typeof MarkNotificationsRead>;

export interface AuthorNotified {
  type: 'AuthorNotified';
  notificationId: string;
  recipientId: string;
  /** 1, 2, 3, … for each recipient. */
  sequence: number;
  notice: Notice;
}

export interface NotificationsRead {
  type: 'NotificationsRead';
  authorId: string;
  /** The sequence of the newest that is read. */
  upTo: number;
}

export type NotificationEvent = AuthorNotified | NotificationsRead;
