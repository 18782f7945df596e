/** Timelines, live: what each change of a timelines shard is to those whom it concerns. See feed.ts. */
import { decodeTimelineChange, followingKey, TIMELINES, type TimelineChange } from '../../read-side/timelines/query.js';
import { Feed, type FeedDefinition, type Frame } from '../feed.js';

export type TimelineNews = { type: 'added' | 'edited' | 'removed'; cheepId: string };
export type TimelineFrame = Frame<TimelineNews>;
export type TimelineFeed = Feed<TimelineChange, TimelineNews>;

const ofReader = (readerId: string) => `reader:${readerId}`;

export const timelineFeed: FeedDefinition<TimelineChange, TimelineNews> = {
  projection: TIMELINES,
  decode: decodeTimelineChange,
  // To what they do themselves, and to everybody whom they follow.
  topics: (readerId) => ({ own: ofReader(readerId), set: followingKey(readerId) }),
  topicOf: (change) => ('readerId' in change ? ofReader(change.readerId) : change.authorId),
  tell(change) {
    switch (change.type) {
      case 'posted':
        return { type: 'added', cheepId: change.cheepId };
      case 'edited':
        return { type: 'edited', cheepId: change.cheepId };
      case 'deleted':
        return { type: 'removed', cheepId: change.cheepId };
      case 'followed':
        return { type: 'reset', reason: 'FOLLOWED' };
      case 'unfollowed':
        return { type: 'reset', reason: 'UNFOLLOWED' };
    }
  },
  move: (change) => ('readerId' in change ? { topic: change.authorId, isOn: change.type === 'followed' } : null),
};
