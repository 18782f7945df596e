import { Refused } from '../../shared/refused.js';
import type { DeleteCheep } from '../../shared/messages/cheep.js';
import type { CommandHandler } from '../command-handler.js';

export const deleteCheep: CommandHandler<DeleteCheep> = {
  needs: ({ cheepId }) => ({ cheeps: [cheepId] }),
  decide({ authorId, cheepId }, state) {
    const cheep = state.cheeps.get(cheepId);
    if (!cheep) throw new Refused('CHEEP_NOT_FOUND', ['cheepId']);
    if (cheep.authorId !== authorId) throw new Refused('NOT_YOUR_CHEEP', ['cheepId']);
    if (cheep.deleted) return [];

    return [{ type: 'CheepDeleted', cheepId, authorId, inReplyTo: cheep.inReplyTo, threadId: cheep.threadId }];
  },
};
