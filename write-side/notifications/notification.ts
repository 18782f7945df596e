import { defineEntity, p } from '@mikro-orm/core';
import { derivedId, SYSTEM } from '../../shared/ids.js';
import type { AuthorNotified, Notice, NotificationsRead } from '../../shared/messages/notification.js';

/** What one author was told of, and how far it has read. The aggregate of all its notifications. */
export class NotificationList {
  declare authorId: string;
  declare version: number;
  /** The sequence of the newest; 0 for none. */
  declare newest: number;
  declare readUpTo: number;

  static empty(authorId: string): NotificationList {
    return Object.assign(new NotificationList(), { authorId, version: 0, newest: 0, readUpTo: 0 });
  }

  add({ sequence }: AuthorNotified): void {
    this.newest = sequence;
    this.version += 1;
  }

  read({ upTo }: NotificationsRead): void {
    this.readUpTo = upTo;
    this.version += 1;
  }
}

/** That an author was told of something, for ever, so that it is told of it once. */
export class Notification {
  /** One of `storedIds`. */
  declare id: string;
  declare recipientId: string;
  declare sequence: number;

  static of({ recipientId, sequence }: AuthorNotified, id: string): Notification {
    return Object.assign(new Notification(), { id, recipientId, sequence });
  }
}

/** The same for all that is told once only: a reply and a mention in one cheep are one thing to its reader. */
export function notificationId(recipientId: string, notice: Notice): string {
  const about = {
    WELCOME: () => 'welcome',
    FOLLOW: (n: Extract<Notice, { kind: 'FOLLOW' }>) => `follow/${n.followerId}`,
    REPLY: (n: Extract<Notice, { kind: 'REPLY' }>) => `cheep/${n.cheepId}`,
    MENTION: (n: Extract<Notice, { kind: 'MENTION' }>) => `cheep/${n.cheepId}`,
    LIKE: (n: Extract<Notice, { kind: 'LIKE' }>) => `like/${n.cheepId}/${n.likerId}`,
  }[notice.kind] as (notice: Notice) => string;

  return derivedId(SYSTEM, `${recipientId}/${about(notice)}`);
}

/** The ids under which a notification is stored: its own, and the one by which it is known when the same is to be told again. */
export const storedIds = ({ notificationId: id, recipientId, notice }: AuthorNotified): string[] => [
  ...new Set([id, notificationId(recipientId, notice)]),
];

export const notificationListEntity = defineEntity({
  class: NotificationList,
  tableName: 'notification_lists',
  properties: {
    authorId: p.string().primary(),
    version: p.integer().concurrencyCheck(),
    newest: p.integer(),
    readUpTo: p.integer(),
  },
});

export const notificationEntity = defineEntity({
  class: Notification,
  tableName: 'notifications',
  properties: { id: p.string().primary(), recipientId: p.string(), sequence: p.integer() },
});
