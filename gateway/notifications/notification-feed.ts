/** Notifications, live: what each change of a notifications shard is to its reader. See feed.ts. */
import {
  decodeNotificationChange,
  NOTIFICATIONS,
  type NotificationChange,
  type StoredNotification,
} from '../../read-side/notifications/query.js';
import { Feed, type FeedDefinition, type Frame } from '../feed.js';

export type NotificationNews =
  { type: 'added'; notification: StoredNotification; unreadCount: number } | { type: 'read'; unreadCount: number };
export type NotificationFrame = Frame<NotificationNews>;
export type NotificationFeed = Feed<NotificationChange, NotificationNews>;

export const notificationFeed: FeedDefinition<NotificationChange, NotificationNews> = {
  projection: NOTIFICATIONS,
  decode: decodeNotificationChange,
  topics: (readerId) => ({ own: readerId, set: null }),
  topicOf: ({ readerId }) => readerId,
  tell(change) {
    const { unreadCount } = change;
    switch (change.type) {
      case 'added':
        return { type: 'added', notification: change.notification, unreadCount };
      case 'read':
        return { type: 'read', unreadCount };
      case 'removed':
        // Any number of notifications were about that cheep, and a client may have any of them on its page.
        return { type: 'reset', reason: 'CHEEP_DELETED' };
    }
  },
};
