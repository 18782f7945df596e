import { Refused } from '../../shared/refused.js';
import type { EditCheep } from '../../shared/messages/cheep.js';
import type { CommandHandler } from '../command-handler.js';
import { mentionedUsernames, mentionsIn } from './mentions.js';

export const editCheep: CommandHandler<EditCheep> = {
  needs: ({ cheepId, message }) => ({ cheeps: [cheepId], heldUsernames: mentionedUsernames(message) }),
  decide({ authorId, cheepId, message }, state) {
    const cheep = state.cheeps.get(cheepId);
    if (!cheep) throw new Refused('CHEEP_NOT_FOUND', ['cheepId']);
    if (cheep.authorId !== authorId) throw new Refused('NOT_YOUR_CHEEP', ['cheepId']);
    if (cheep.deleted) throw new Refused('CHEEP_DELETED', ['cheepId']);
    if (cheep.message === message) return [];
    const changes = { message: { from: cheep.message, to: message } };

    const { inReplyTo, threadId } = cheep;

    return [{ type: 'CheepEdited', cheepId, authorId, inReplyTo, threadId, changes, mentions: mentionsIn(message, state) }];
  },
};
