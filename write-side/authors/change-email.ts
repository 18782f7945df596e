import { Refused } from '../../shared/refused.js';
import type { ChangeEmail } from '../../shared/messages/author.js';
import type { CommandHandler } from '../command-handler.js';

/** The unique key holds what is checked here, as for a username. */
export const changeEmail: CommandHandler<ChangeEmail> = {
  needs: ({ authorId, email }) => ({ authors: [authorId], emails: [email] }),
  decide({ authorId, email }, state) {
    const author = state.authors.get(authorId);
    if (!author) throw new Refused('AUTHOR_NOT_FOUND');
    if (author.email === email) return [];
    if (state.authorByEmail(email)) throw new Refused('EMAIL_TAKEN', ['email']);

    return [{ type: 'AuthorEmailChanged', authorId, changes: { email: { from: author.email, to: email } } }];
  },
};
