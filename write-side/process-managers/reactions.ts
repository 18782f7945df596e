/** What follows from an event: whom it is told to. Never to the one who did it, and to each once. */
import { derivedId } from '../../shared/ids.js';
import type { CommandMessage } from '../../shared/messages/command.js';
import type { JournalEntry } from '../../shared/messages/event.js';
import { NotifyAuthor, type Notice } from '../../shared/messages/notification.js';
import type { ProcessManagerOptions } from './process-manager.js';
import type { ReactionSender } from './reaction-sender.js';

/** The same entry always gives the same commands under the same ids, so that it may come any number of times. */
export function reactionsTo(entry: JournalEntry, now: Date): (CommandMessage & { payload: NotifyAuthor })[] {
  return noticesOf(entry).map(([recipientId, notice]) => ({
    name: NotifyAuthor.name,
    commandId: derivedId(entry.entryId, recipientId),
    // The id says it all: another command cannot have it.
    fingerprint: entry.entryId,
    sentAt: now.toISOString(),
    correlationId: entry.correlationId,
    causationId: entry.entryId,
    traceparent: entry.traceparent,
    payload: { recipientId, notice },
  }));
}

/** Commands under way at once, at the most, but for those of one last entry. */
const MAX_UNDER_WAY = 256;

/** The process manager that tells authors what happened. It has done so for an entry when each of its commands has an outcome. */
export const reactions = (sender: ReactionSender): Pick<ProcessManagerOptions, 'name' | 'mostUnderWay' | 'react'> => ({
  name: 'reactions',
  mostUnderWay: MAX_UNDER_WAY,
  react: (entry, signal) => {
    const commands = reactionsTo(entry, new Date());
    if (commands.length === 0) return null;

    return Promise.all(commands.map((command) => sender.send(NotifyAuthor, command, signal))).then(() => undefined);
  },
});

/** By recipient. */
function noticesOf({ event }: JournalEntry): [string, Notice][] {
  switch (event.type) {
    case 'AuthorSignedUp':
      return [[event.authorId, { kind: 'WELCOME' }]];
    case 'AuthorFollowed':
      return toOthers(event.followerId, [[event.followedId, { kind: 'FOLLOW', followerId: event.followerId }]]);
    case 'CheepPosted': {
      const { authorId, cheepId, mentions, inReplyToAuthorId } = event;
      const replied: [string, Notice][] = inReplyToAuthorId ? [[inReplyToAuthorId, { kind: 'REPLY', cheepId }]] : [];

      return toOthers(authorId, [...replied, ...mentioned(mentions, cheepId)]);
    }
    case 'CheepEdited':
      // Those who were told of this cheep before are known to the handler, which does not tell them again.
      return toOthers(event.authorId, mentioned(event.mentions, event.cheepId));
    case 'CheepLiked':
      return toOthers(event.likerId, [[event.authorId, { kind: 'LIKE', cheepId: event.cheepId, likerId: event.likerId }]]);
    default:
      return [];
  }
}

const mentioned = (mentions: { authorId: string }[], cheepId: string): [string, Notice][] =>
  mentions.map(({ authorId }) => [authorId, { kind: 'MENTION', cheepId }]);

/** Of several to one person the first counts: the reply, before the mention. */
function toOthers(actorId: string, notices: [string, Notice][]): [string, Notice][] {
  const first = new Map<string, Notice>();
  for (const [recipientId, notice] of notices) if (recipientId !== actorId && !first.has(recipientId)) first.set(recipientId, notice);

  return [...first];
}
