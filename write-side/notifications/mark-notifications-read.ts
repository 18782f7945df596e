import { Refused } from '../../shared/refused.js';
import type { MarkNotificationsRead } from '../../shared/messages/notification.js';
import type { CommandHandler } from '../command-handler.js';

export const markNotificationsRead: CommandHandler<MarkNotificationsRead> = {
  needs: ({ authorId, upTo }) => ({ notifications: [upTo], notificationLists: [authorId] }),
  decide({ authorId, upTo }, state) {
    const notification = state.notifications.get(upTo);
    // Somebody else's is as unknown as none.
    if (notification?.recipientId !== authorId) throw new Refused('INVALID', ['upTo']);
    if (state.notificationLists.get(authorId)!.readUpTo >= notification.sequence) return [];

    return [{ type: 'NotificationsRead', authorId, upTo: notification.sequence }];
  },
};
