import { newId } from '../../shared/ids.js';
import type { NotifyAuthor } from '../../shared/messages/notification.js';
import type { CommandHandler } from '../command-handler.js';
import { notificationId } from './notification.js';

/** Once for ever, whatever causes it again. The cheep that it is about is held: a deleted one takes its notifications with it. */
export const notifyAuthor: CommandHandler<NotifyAuthor> = {
  needs: ({ recipientId, notice }) => ({
    notifications: [notificationId(recipientId, notice)],
    newIds: [notificationId(recipientId, notice)],
    notificationLists: [recipientId],
    ...('cheepId' in notice ? { heldCheeps: [notice.cheepId] } : {}),
  }),
  decide({ recipientId, notice }, state) {
    const id = notificationId(recipientId, notice);
    if (state.notifications.has(id)) return [];
    if ('cheepId' in notice && (state.cheeps.get(notice.cheepId)?.deleted ?? true)) return [];
    const sequence = (state.notificationLists.get(recipientId)?.newest ?? 0) + 1;

    // Anybody can know the id beforehand, and choose it for a cheep. That must not keep the recipient from being told.
    return [{ type: 'AuthorNotified', notificationId: state.isTaken(id) ? newId() : id, recipientId, sequence, notice }];
  },
};
