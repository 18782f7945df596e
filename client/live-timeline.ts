/**
 * A list on a screen that is always what a page of it would be now. The law that makes it so: a page, and the events after its
 * `resumeCursor` in order, are what the page would be now. After a reset the page is fetched again. Notifications, an author and
 * a thread go the same way.
 */
import type { CheeperClient } from './client.js';
import { LiveTimelineDocument, TimelineDocument, type CheepSummaryFragment, type LiveTimelineSubscription } from './operations.js';

type Cheeps = readonly CheepSummaryFragment[];

/** The newest cheeps of a timeline, at most `first`: now, and again after each change, until it is left or the client is closed. */
export async function* liveTimeline(
  client: CheeperClient,
  { authorId, first = 20 }: { authorId?: string; first?: number } = {},
): AsyncGenerator<Cheeps, undefined> {
  for (let isReset = true; isReset;) {
    isReset = false;
    // A reset's token is part of the session by now, so this page is not older than the reset.
    const { timeline: page } = await client.query(TimelineDocument, { authorId, first });
    let cheeps: Cheeps = page.edges.map(({ node }) => node);
    yield cheeps;
    for await (const { timeline: event } of client.follow(LiveTimelineDocument, { authorId, after: page.resumeCursor })) {
      isReset = event.__typename === 'TimelineReset';
      if (isReset) break;
      if (event.__typename === 'TimelineLive') continue;
      cheeps = after(cheeps, event).slice(0, first);
      yield cheeps;
    }
  }
}

/** What a list becomes by an event. What an event is about may have left the list, at its end. */
function after(cheeps: Cheeps, event: LiveTimelineSubscription['timeline']): Cheeps {
  switch (event.__typename) {
    case 'CheepAdded':
      return [event.cheep, ...cheeps];
    case 'CheepEdited':
      return cheeps.map((cheep) => (cheep.id === event.cheep.id ? event.cheep : cheep));
    case 'CheepRemoved':
      return cheeps.filter(({ id }) => id !== event.cheepId);
    default:
      return cheeps;
  }
}
