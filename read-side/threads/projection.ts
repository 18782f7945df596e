import { adds, defineProjection } from '../projection.js';
import { packId } from '../shard.js';
import { threadKey, THREADS } from './query.js';

export const threads = defineProjection(THREADS, {
  // What was deleted goes on standing above what answered it, so nothing is ever taken out.
  CheepPosted: ({ cheepId, inReplyTo, threadId }) =>
    inReplyTo ? [adds(threadId, 'HSET', threadKey(threadId), packId(cheepId), packId(inReplyTo))] : [],
});
