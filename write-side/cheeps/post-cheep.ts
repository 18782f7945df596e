import { Refused } from '../../shared/refused.js';
import type { PostCheep } from '../../shared/messages/cheep.js';
import type { CommandHandler } from '../command-handler.js';

/** Authors are never deleted, and neither are rows of cheeps: what is found here stays true without a lock. */
export const postCheep: CommandHandler<PostCheep> = {
  needs: (command) => ({ authors: [command.authorId, command.cheepId], cheeps: [command.cheepId, command.inReplyTo] }),
  decide(command, state) {
    if (!state.authors.has(command.authorId)) throw new Refused('AUTHOR_NOT_FOUND');
    // One id names one thing: node(id) asks for nothing else.
    if (state.cheeps.has(command.cheepId) || state.authors.has(command.cheepId)) throw new Refused('CHEEP_ALREADY_EXISTS', ['cheepId']);
    if (command.inReplyTo && !state.cheeps.has(command.inReplyTo)) throw new Refused('CHEEP_NOT_FOUND', ['inReplyTo']);

    return [{ type: 'CheepPosted', ...command }];
  },
};
