/** An author, live: its profile and its counts. See feed.ts. */
import { AUTHORS, decodeAuthorChange, type AuthorChange } from '../../read-side/authors/query.js';
import { Feed, type FeedDefinition, type Frame } from '../feed.js';

export type AuthorNews = { type: 'changed'; authorId: string };
export type AuthorFrame = Frame<AuthorNews>;
export type AuthorFeed = Feed<AuthorChange, AuthorNews>;

export const authorFeed: FeedDefinition<AuthorChange, AuthorNews> = {
  projection: AUTHORS,
  decode: decodeAuthorChange,
  topics: (authorId) => ({ own: authorId, set: null }),
  topicOf: ({ authorId }) => authorId,
  tell: ({ authorId }) => ({ type: 'changed', authorId }),
};
