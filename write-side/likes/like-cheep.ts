import { Refused } from '../../shared/refused.js';
import type { LikeCheep } from '../../shared/messages/like.js';
import type { CommandHandler } from '../command-handler.js';

/** The cheep is held, so that it cannot be deleted meanwhile. One may like one's own. */
export const likeCheep: CommandHandler<LikeCheep> = {
  needs: (command) => ({ authors: [command.likerId], heldCheeps: [command.cheepId], likes: [command] }),
  decide({ likerId, cheepId }, state) {
    if (!state.authors.has(likerId)) throw new Refused('AUTHOR_NOT_FOUND');
    const cheep = state.cheeps.get(cheepId);
    if (!cheep) throw new Refused('CHEEP_NOT_FOUND', ['cheepId']);
    if (cheep.deleted) throw new Refused('CHEEP_DELETED', ['cheepId']);
    if (state.isLiking(likerId, cheepId)) return [];

    return [{ type: 'CheepLiked', likerId, cheepId, authorId: cheep.authorId }];
  },
};
