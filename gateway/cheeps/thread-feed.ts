/** A cheep and its replies, live. See feed.ts. */
import { CHEEPS, decodeThreadChange, type ThreadChange } from '../../read-side/cheeps/query.js';
import { Feed, type FeedDefinition, type Frame } from '../feed.js';

export type ThreadNews = { type: 'replied' | 'edited' | 'deleted'; cheepId: string };
export type ThreadFrame = Frame<ThreadNews>;
export type ThreadFeed = Feed<ThreadChange, ThreadNews>;

export const threadFeed: FeedDefinition<ThreadChange, ThreadNews> = {
  projection: CHEEPS,
  decode: decodeThreadChange,
  topics: (cheepId) => ({ own: cheepId, set: null }),
  topicOf: ({ watchedId }) => watchedId,
  tell: ({ type, cheepId }) => ({ type, cheepId }),
};
