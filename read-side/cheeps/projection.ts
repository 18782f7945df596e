import { at, defineProjection } from '../projection.js';
import { packId } from '../shard.js';
import { CHEEPS, cheepKey, repliesKey } from './query.js';

export const cheeps = defineProjection(CHEEPS, {
  CheepPosted: ({ type: _, cheepId, ...fields }, { at: postedAt, position }) => [
    at(cheepId, 'HSET', cheepKey(cheepId), 'cheep', JSON.stringify({ ...fields, version: 1, postedAt, editedAt: null })),
    ...(fields.inReplyTo ? [at(fields.inReplyTo, 'ZADD', repliesKey(fields.inReplyTo), position, packId(cheepId))] : []),
  ],
});
