/** Who is named in a message: `@` and a username, not inside a word. Resolved when the message is written, to the author of then. */
import type { Mention } from '../../shared/messages/cheep.js';
import type { State } from '../state.js';

/** Names in one message that count; what comes after is text. */
const MOST_NAMES = 20;

// A letter, digit or mark of any script makes it part of a word, which an e-mail address is too.
const NAME = /(?<![\p{L}\p{N}\p{M}_])@([A-Za-z0-9_]{3,30})(?![\p{L}\p{N}\p{M}_])/gu;

const namesIn = (message: string) => [...message.matchAll(NAME)].slice(0, MOST_NAMES);

/** The usernames, as they are written: not yet known to be anybody's. */
export const mentionedUsernames = (message: string): string[] => namesIn(message).map(([, username]) => username!);

/** The names that are somebody's, in order. */
export const mentionsIn = (message: string, state: Pick<State, 'authorByUsername'>): Mention[] =>
  namesIn(message).flatMap(({ 0: text, 1: username, index }) => {
    const author = state.authorByUsername(username!);

    return author ? [{ start: index, end: index + text.length, authorId: author.id }] : [];
  });
