import { Refused } from '../../shared/refused.js';
import type { PostCheep } from '../../shared/messages/cheep.js';
import type { CommandHandler } from '../command-handler.js';
import { mentionedUsernames, mentionsIn } from './mentions.js';

/** Authors are never deleted: what is found of them stays true. What is answered is held, so that it cannot be deleted meanwhile. */
export const postCheep: CommandHandler<PostCheep> = {
  needs: (command) => ({
    authors: [command.authorId],
    newIds: [command.cheepId],
    heldCheeps: [command.inReplyTo],
    heldUsernames: mentionedUsernames(command.message),
  }),
  decide(command, state) {
    if (!state.authors.has(command.authorId)) throw new Refused('AUTHOR_NOT_FOUND');
    if (state.isTaken(command.cheepId)) throw new Refused('CHEEP_ALREADY_EXISTS', ['cheepId']);
    const parent = command.inReplyTo ? state.cheeps.get(command.inReplyTo) : null;
    if (parent === undefined) throw new Refused('CHEEP_NOT_FOUND', ['inReplyTo']);
    if (parent?.deleted) throw new Refused('CHEEP_DELETED', ['inReplyTo']);

    return [
      {
        type: 'CheepPosted',
        ...command,
        mentions: mentionsIn(command.message, state),
        inReplyToAuthorId: parent?.authorId ?? null,
        threadId: parent?.threadId ?? command.cheepId,
      },
    ];
  },
};
