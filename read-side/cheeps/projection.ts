import { adds, at, defineProjection, TELL, tells, versionOf, type PlacedWrite } from '../projection.js';
import { packId } from '../shard.js';
import { cheepKey, CHEEPS, likesKey, repliesKey, type CheepField, type ThreadChange } from './query.js';

/** Counts are the sizes of these sets, never increments, so nothing is ever counted twice. */
export const cheeps = defineProjection(
  CHEEPS,
  {
    CheepPosted: ({ cheepId, inReplyTo, ...event }, entry) => [
      at(
        cheepId,
        'HSET',
        cheepKey(cheepId),
        ...fields({
          version: versionOf(entry),
          authorId: event.authorId,
          message: event.message,
          mentions: JSON.stringify(event.mentions),
          threadId: event.threadId,
          postedAt: entry.at,
          ...(inReplyTo ? { inReplyTo } : {}),
        }),
      ),
      // Somebody may be waiting: ids are the caller's choice.
      tell({ type: 'edited', watchedId: cheepId, cheepId }),
      ...(inReplyTo
        ? [
            adds(inReplyTo, 'ZADD', repliesKey(inReplyTo), entry.position, packId(cheepId)),
            tell({ type: 'replied', watchedId: inReplyTo, cheepId }),
          ]
        : []),
    ],
    CheepEdited: ({ cheepId, inReplyTo, changes, mentions }, entry) => [
      at(
        cheepId,
        'HSET',
        cheepKey(cheepId),
        ...fields({
          version: versionOf(entry),
          message: changes.message.to,
          mentions: JSON.stringify(mentions),
          editedAt: entry.at,
        }),
      ),
      ...tellBoth('edited', cheepId, inReplyTo),
    ],
    // Nothing of the text stays, and none of the likes; the replies go on hanging there.
    CheepDeleted: ({ cheepId, inReplyTo }, entry) => [
      at(cheepId, 'DEL', cheepKey(cheepId)),
      at(cheepId, 'HSET', cheepKey(cheepId), ...fields({ version: versionOf(entry) })),
      at(cheepId, 'UNLINK', likesKey(cheepId)),
      ...(inReplyTo ? [at(inReplyTo, 'ZREM', repliesKey(inReplyTo), packId(cheepId))] : []),
      ...tellBoth('deleted', cheepId, inReplyTo),
    ],
    CheepLiked: ({ likerId, cheepId }, { position }) => [at(cheepId, 'ZADD', likesKey(cheepId), position, packId(likerId))],
    CheepUnliked: ({ likerId, cheepId }) => [at(cheepId, 'ZREM', likesKey(cheepId), packId(likerId))],
  },
  TELL,
);

/** Those who watch a cheep hear of it and of its replies. */
const tell = ({ type, watchedId, cheepId }: ThreadChange): PlacedWrite =>
  tells(watchedId, 'tell', 'type', type, 'watched', packId(watchedId), 'cheep', packId(cheepId));

const tellBoth = (type: ThreadChange['type'], cheepId: string, parentId: string | null): PlacedWrite[] =>
  [cheepId, ...(parentId ? [parentId] : [])].map((watchedId) => tell({ type, watchedId, cheepId }));

const fields = (values: { [Field in CheepField]?: string | number }): (string | number)[] => Object.entries(values).flat();
