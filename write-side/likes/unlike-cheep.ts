import { Refused } from '../../shared/refused.js';
import type { UnlikeCheep } from '../../shared/messages/like.js';
import type { CommandHandler } from '../command-handler.js';

/** The cheep is held: with it, all its likes are gone. */
export const unlikeCheep: CommandHandler<UnlikeCheep> = {
  needs: (command) => ({ heldCheeps: [command.cheepId], likes: [command] }),
  decide({ likerId, cheepId }, state) {
    const cheep = state.cheeps.get(cheepId);
    if (!cheep) throw new Refused('CHEEP_NOT_FOUND', ['cheepId']);
    if (cheep.deleted || !state.isLiking(likerId, cheepId)) return [];

    return [{ type: 'CheepUnliked', likerId, cheepId, authorId: cheep.authorId }];
  },
};
