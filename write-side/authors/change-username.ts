import { Refused } from '../../shared/refused.js';
import type { ChangeUsername } from '../../shared/messages/author.js';
import type { CommandHandler } from '../command-handler.js';

/** The unique key holds what is checked here: of two at once who want one name, the later is run again and refused. */
export const changeUsername: CommandHandler<ChangeUsername> = {
  needs: ({ authorId, username }) => ({ authors: [authorId], usernames: [username] }),
  decide({ authorId, username }, state) {
    const author = state.authors.get(authorId);
    if (!author) throw new Refused('AUTHOR_NOT_FOUND');
    if (author.username === username) return [];
    const owner = state.authorByUsername(username);
    // One's own name in another case is another name.
    if (owner && owner !== author) throw new Refused('USERNAME_TAKEN', ['username']);

    return [{ type: 'AuthorUsernameChanged', authorId, changes: { username: { from: author.username, to: username } } }];
  },
};
