import { Refused } from '../../shared/refused.js';
import type { SignUp } from '../../shared/messages/author.js';
import type { CommandHandler } from '../command-handler.js';
import { PasswordHash } from './author.js';

/** Across authors, unique keys hold what is checked here: of two sign-ups at once with one name, the later is run again and refused. */
export const signUp: CommandHandler<SignUp> = {
  needs: (command) => ({ newIds: [command.authorId], usernames: [command.username], emails: [command.email] }),
  decide({ passwordHash: _, ...command }, state) {
    if (state.authorByUsername(command.username)) throw new Refused('USERNAME_TAKEN', ['username']);
    if (state.authorByEmail(command.email)) throw new Refused('EMAIL_TAKEN', ['email']);
    if (state.isTaken(command.authorId)) throw new Refused('AUTHOR_ALREADY_EXISTS', ['authorId']);

    return [{ type: 'AuthorSignedUp', ...command }];
  },
  keepSecret(command, em) {
    em.persist(Object.assign(new PasswordHash(), { authorId: command.authorId, hash: command.passwordHash }));
  },
};
