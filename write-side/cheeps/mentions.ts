/** Who is named in a message, by the names that `entitiesIn` finds. Resolved when the message is written, to the author of then. */
import { entitiesIn } from '../../shared/entities.js';
import type { Mention } from '../../shared/messages/cheep.js';
import type { State } from '../state.js';

/** Names in one message that count; what comes after is text. */
const MAX_NAMES = 20;

const namesIn = (message: string) => entitiesIn(message).names.slice(0, MAX_NAMES);

/** The usernames, as they are written: not yet known to be anybody's. */
export const mentionedUsernames = (message: string): string[] => namesIn(message).map(({ username }) => username);

/** The names that are somebody's, in order. */
export const mentionsIn = (message: string, state: Pick<State, 'authorByUsername'>): Mention[] =>
  namesIn(message).flatMap(({ start, end, username }) => {
    const author = state.authorByUsername(username);

    return author ? [{ start, end, authorId: author.id }] : [];
  });
