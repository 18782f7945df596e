/**
 * The law of subscriptions: a page, and the frames after it in order, are the later page. So from where a log begins, frame by frame,
 * it must be the journal's changes that concern its topic: each once, in order, none left out and none besides; across sockets,
 * gateways and resets, up to the end.
 *
 * Two things are excused: a frame about a cheep that was deleted later (the deletion's own frame is not), and all that a reset with a
 * cause stands for; after that a page must be fetched.
 */
import type { JournalEntry } from '../../shared/messages/event.js';
import { checkSeen, type Report } from './checker.js';
import type { FrameKind, History, LiveFrame, LiveLog, LiveStep, SeenCheep, SeenPage, Topic } from './history.js';
import type { Past, Placed } from './past.js';

/** Changes that a shard's log keeps at least: a cursor is too old only when more than these came after it. */
const KEPT_CHANGES = 10_000;
/** Frames that wait for one subscriber: only when there are more is it too slow. */
const MAX_WAITING = 1_000;

/** What a frame is to tell, of one position of the journal. */
export interface Change {
  position: number;
  kind: Exclude<FrameKind, 'live'>;
  subject: string | null;
  /** Of a reset. */
  reason: string | null;
}

const keyOf = ({ feed, id }: Topic) => `${feed} ${id}`;

/** All that concerns each of the topics, in order: one walk over the journal. At one position there is one change of a topic at most. */
export function changesOf(past: Past, topics: Topic[]): Map<string, Change[]> {
  const changes = new Map(topics.map((topic) => [keyOf(topic), [] as Change[]]));
  const timelinesOf = new Map<string, Set<string>>();
  const tell = (feed: Topic['feed'], id: string, change: Change) => changes.get(keyOf({ feed, id }))?.push(change);
  const tellReaders = (authorId: string, change: Change) => {
    for (const readerId of timelinesOf.get(authorId) ?? []) tell('timeline', readerId, change);
  };
  const move = (entry: JournalEntry, followerId: string, followedId: string, isOn: boolean) => {
    const { position } = entry;
    const readers = timelinesOf.get(followedId) ?? new Set();
    timelinesOf.set(followedId, readers);
    if (!changes.has(keyOf({ feed: 'timeline', id: followerId }))) return;
    if (isOn) readers.add(followerId);
    else readers.delete(followerId);
    tell('timeline', followerId, { position, kind: 'reset', subject: null, reason: isOn ? 'FOLLOWED' : 'UNFOLLOWED' });
  };
  for (const entry of past.journal) {
    const { position, event } = entry;
    const change = (kind: Change['kind'], subject: string | null): Change => ({ position, kind, subject, reason: null });
    const author = (id: string) => tell('author', id, change('changed', id));
    switch (event.type) {
      case 'AuthorSignedUp':
      case 'AuthorProfileUpdated':
      case 'AuthorUsernameChanged':
      case 'AuthorEmailChanged':
        author(event.authorId);
        break;
      case 'AuthorFollowed':
      case 'AuthorUnfollowed':
        author(event.followerId);
        author(event.followedId);
        move(entry, event.followerId, event.followedId, event.type === 'AuthorFollowed');
        break;
      case 'CheepPosted':
        author(event.authorId);
        tellReaders(event.authorId, change('added', event.cheepId));
        // Whoever watches it may have been there before it.
        tell('thread', event.cheepId, change('edited', event.cheepId));
        if (event.inReplyTo) tell('thread', event.inReplyTo, change('added', event.cheepId));
        break;
      case 'CheepEdited':
        tellReaders(event.authorId, change('edited', event.cheepId));
        for (const id of [event.cheepId, event.inReplyTo]) if (id) tell('thread', id, change('edited', event.cheepId));
        break;
      case 'CheepDeleted':
        author(event.authorId);
        tellReaders(event.authorId, change('removed', event.cheepId));
        for (const id of [event.cheepId, event.inReplyTo]) if (id) tell('thread', id, change('removed', event.cheepId));
        for (const readerId of past.readersToldOf(event.cheepId)) {
          tell('notifications', readerId, { position, kind: 'reset', subject: null, reason: 'CHEEP_DELETED' });
        }
        break;
      case 'AuthorNotified':
        tell('notifications', event.recipientId, change('added', event.notificationId));
        break;
      case 'NotificationsRead':
        tell('notifications', event.authorId, change('read', null));
        break;
      case 'CheepLiked':
      case 'CheepUnliked':
      case 'CommandRefused':
      case 'CommandHadNoEffect':
        break;
    }
  }

  return changes;
}

/** Whether the change's frame may be left out: what it is about was deleted later. */
function mayBeLeftOut(past: Past, { kind, subject, position }: Change, feed: Topic['feed']): boolean {
  if (subject === null || (kind !== 'added' && kind !== 'edited')) return false;
  const cheepId = feed === 'notifications' ? past.notification(subject)?.cheepId : subject;

  return cheepId ? (past.deletedAt(cheepId) ?? 0) > position : false;
}

/** The logs that have not yet come to the end of what concerns them: those are waited for before a history is checked. */
export function unfinished(past: Past, logs: LiveLog[]): LiveLog[] {
  const changes = changesOf(
    past,
    logs.map(({ topic }) => topic),
  );

  return logs.filter(({ topic, steps }) => {
    const last = changes.get(keyOf(topic))!.findLast((change) => !mayBeLeftOut(past, change, topic.feed));
    const frame = steps.findLast((step) => step.type === 'frame');
    const isReplaying =
      steps.findLast((step) => step.type === 'subscribed' || (step.type === 'frame' && step.kind === 'live'))?.type !== 'frame';
    // After a reset, the page has to come too.
    const isPageOrReset = (step: LiveStep) =>
      step.type === 'page' || step.type === 'gone' || (step.type === 'frame' && step.kind === 'reset');
    const isReset = steps.findLast(isPageOrReset)?.type === 'frame';

    const isLate = last !== undefined && last.position > (frame?.at.position ?? 0);

    return isReplaying || isLate || (isReset && topic.feed !== 'author');
  });
}

export function checkSubscriptions(past: Past, { logs, ended }: History, report: Report): void {
  const changes = changesOf(
    past,
    logs.map(({ topic }) => topic),
  );
  for (const log of logs) new LogCheck(past, log, changes.get(keyOf(log.topic))!, report).run(ended);
}

class LogCheck {
  /** How many of the changes are settled: told, or excused. */
  private settled = 0;
  /** The position up to which all is told; null until a page, or a first frame, says where the log begins. */
  private at: number | null = null;
  /** The newest that was seen on this socket. */
  private token = 0;
  private readonly told = new Set<number>();
  /** Changes that were passed over; told later, they were only out of order. */
  private readonly missing = new Map<number, Change>();
  /** No `live` frame has come since it subscribed. */
  private isReplaying = true;
  /** A reset at this position waits for its page. */
  private owesPage: number | null = null;
  private view: View | null = null;

  constructor(
    private readonly past: Past,
    private readonly log: LiveLog,
    private readonly changes: Change[],
    private readonly report: Report,
  ) {}

  /** @param ended up to where the log should be complete */
  run(ended: number): void {
    for (const step of this.log.steps) {
      switch (step.type) {
        case 'page':
          this.page(step.page, step.root);
          break;
        case 'gone':
          // Whether that is true was checked where it was read.
          this.checkView();
          this.view = null;
          this.owesPage = null;
          break;
        case 'subscribed':
          this.isReplaying = true;
          // Another socket may be another client.
          this.token = 0;
          if (step.after) this.resume(step.after.position);
          break;
        case 'frame':
          this.frame(step);
          break;
      }
    }
    for (const { kind, subject, position } of this.missing.values()) {
      this.report('frame: missing', `${this.name} was not told at ${position} that ${subject} was ${kind}`);
    }
    const left = this.changes.slice(this.settled).find((change) => !mayBeLeftOut(this.past, change, this.log.topic.feed));
    if (left && left.position <= ended && this.at !== null) {
      this.report('incomplete', `${this.name} was never told what was ${left.kind} at ${left.position}: it ends at ${this.at}`);
    }
    if (this.isReplaying) this.report('incomplete', `${this.name} was never told that it is live: it ends at ${this.at}`);
    if (this.owesPage !== null) this.report('reset without a page', `${this.name} was reset at ${this.owesPage}, and no page was fetched`);
    this.checkView();
  }

  private get name(): string {
    return `${this.log.subscriber} (${keyOf(this.log.topic)})`;
  }

  private page(page: SeenPage, root: SeenCheep | null): void {
    checkSeen(this.past, page, () => this.name, this.report);
    if (root) this.root(root, page.from);
    this.checkView();
    if (this.owesPage !== null && page.from < this.owesPage) {
      this.report('page: stale', `${this.name} was reset at ${this.owesPage}, and the page after that is as of ${page.from}`);
    }
    this.owesPage = null;
    // The first one says where the log begins. Later ones come beside frames, which go on as they were.
    if (this.at === null) this.skipTo(page.from);
    // The later pages of replies are at the other end.
    this.view = page.list === 'replies' && page.hasNextPage ? null : new View(page);
  }

  /** The cheep that a thread is about, as it was fetched with a page: no frame tells how it was edited before the page's position. */
  private root({ id, row, to }: SeenCheep, from: number): void {
    for (const { value } of this.past.cheep(id)?.between(from, to) ?? []) if (value?.version === row?.version || value?.isDeleted) return;
    this.report('row: stale', `${this.name} saw version ${row?.version} of it, with a page as of ${from}`);
  }

  /** After a cursor: all up to there has been told. */
  private resume(position: number): void {
    if (this.at === null) return this.skipTo(position);
    this.passUpTo(position);
    this.at = Math.max(this.at, position);
  }

  private frame(frame: LiveFrame): void {
    const { position } = frame.at;
    if (frame.token < this.token) {
      this.report('token', `${this.name} was told of ${position} with the token ${frame.token}, after ${this.token} had been seen`);
    }
    this.token = Math.max(this.token, frame.token);
    if (frame.seen) checkSeen(this.past, frame.seen, () => `${this.name}, in the frame at ${position},`, this.report);
    if (position > this.past.last) return this.report('frame: phantom', `${this.name} was told of ${position}, after the journal's end`);
    if (frame.kind === 'live') return this.live(frame);
    if (frame.kind === 'reset') return this.reset(frame);
    this.news(frame);
  }

  private news(frame: LiveFrame): void {
    const { position } = frame.at;
    if (this.at === null) return this.report('frame: wrong', `${this.name} was told of ${position} before it had said where it begins`);
    if (position <= this.at) {
      const late = this.missing.get(position);
      this.missing.delete(position);
      const isRepeated = this.told.has(position);
      this.told.add(position);
      if (isRepeated) return this.report('frame: repeated', `${this.name} was told of ${position} again, after ${this.at}`);
      if (late) return this.report('frame: out of order', `${this.name} was told of ${position} after ${this.at}`);

      return this.report('frame: phantom', `${this.name} was told of ${position} after ${this.at}, and nothing happened to it there`);
    }
    this.passUpTo(position - 1);
    const change = this.changes[this.settled];
    if (change?.position !== position) {
      return this.report('frame: phantom', `${this.name} was told that ${frame.subject} was ${frame.kind} at ${position}, and nothing was`);
    }
    this.settled += 1;
    this.at = position;
    this.told.add(position);
    if (change.kind !== frame.kind || (change.subject !== null && change.subject !== frame.subject)) {
      return this.report(
        'frame: wrong',
        `${this.name} was told that ${frame.subject} was ${frame.kind} at ${position}: ${change.subject} was ${change.kind}`,
      );
    }
    if (frame.unreadCount !== undefined) {
      const unread = this.past.unreadCount(this.log.topic.id, position);
      if (frame.unreadCount !== unread) {
        this.report('frame: wrong', `${this.name} was told of ${frame.unreadCount} unread at ${position}, and ${unread} were`);
      }
    }
    this.view?.apply(frame);
  }

  /** All that was missed has been told by now. */
  private live({ at: { position } }: LiveFrame): void {
    if (!this.isReplaying) this.report('frame: repeated', `${this.name} was told a second time that it is live, at ${position}`);
    this.isReplaying = false;
    if (this.at === null) return this.skipTo(position);
    if (position < this.at) return this.report('frame: out of order', `${this.name} is said to be live at ${position}, after ${this.at}`);
    this.passUpTo(position);
    this.at = position;
    this.view?.reached(position);
  }

  private reset({ at: { position }, reason }: LiveFrame): void {
    const from = this.at ?? 0;
    if (position < from) return this.report('frame: out of order', `${this.name} was reset at ${position}, after ${from}`);
    const passed = this.changes.slice(this.settled, this.indexAfter(position));
    const cause = passed.findLast(({ kind }) => kind === 'reset');
    // In the midst of what happens it is a change as others are; in place of what was missed it stands for all of that.
    const isOneChange = !this.isReplaying && cause?.position === position && cause.reason === reason;
    const isInPlaceOfAll =
      (reason === 'CURSOR_TOO_OLD' && position - from > KEPT_CHANGES) ||
      (reason === 'TOO_SLOW' && (passed.length > MAX_WAITING || position - from > KEPT_CHANGES)) ||
      (this.isReplaying && cause?.reason === reason);
    if (!isOneChange && !isInPlaceOfAll) {
      this.report('reset without a cause', `${this.name} was reset at ${position} (${reason}), after ${from}`);
    }
    this.checkView();
    this.view = null;
    if (isOneChange) {
      this.passUpTo(position - 1);
      this.told.add(position);
    }
    this.skipTo(position);
    this.owesPage = position;
  }

  /** Changes up to here have been told, or may be left out; if not, they are missing. */
  private passUpTo(position: number): void {
    for (; (this.changes[this.settled]?.position ?? Infinity) <= position; this.settled++) {
      const change = this.changes[this.settled]!;
      if (!mayBeLeftOut(this.past, change, this.log.topic.feed)) this.missing.set(change.position, change);
    }
  }

  /** What came up to here needs no telling. */
  private skipTo(position: number): void {
    this.settled = Math.max(this.settled, this.indexAfter(position));
    this.at = position;
  }

  private indexAfter(position: number): number {
    let [low, high] = [0, this.changes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.changes[middle]!.position <= position) low = middle + 1;
      else high = middle;
    }

    return low;
  }

  /** What the client would show by now, and what the page would be. */
  private checkView(): void {
    const { view } = this;
    if (!view) return;
    const { list, id, from } = view.page;
    const shown = view.ids();
    const isShown = new Set(shown);
    const expected = this.past
      .all(list, id, view.at, view.floor)
      .filter((item) => isShown.has(item.id) || !this.isSoonGone(item, from))
      .map((item) => item.id);
    if (shown.length === expected.length && shown.every((item, i) => item === expected[i])) return;
    this.report(
      'page and frames do not make the later page',
      `${this.name} shows at ${view.at}, from a page of ${view.page.from}, ${shown.join(', ')} in place of ${expected.join(', ')}`,
    );
  }

  /** It came after the page, and went again: its frame may have been left out, and that it is gone will be told. */
  private isSoonGone({ id, place }: Placed, from: number): boolean {
    const { feed } = this.log.topic;
    const cheepId = feed === 'notifications' ? this.past.notification(id)?.cheepId : id;
    const isNew = feed === 'notifications' || place > from;

    return isNew && !!cheepId && this.past.deletedAt(cheepId) !== undefined;
  }
}

/** What a client shows that has fetched a page, and applies the frames after it. */
class View {
  at: number;
  /** What stands in the list above this place is shown, whatever comes; below it are later pages. */
  readonly floor: number;
  private readonly shown: Set<string>;

  constructor(readonly page: SeenPage) {
    this.at = page.from;
    // In the order in which they came into the list.
    const items = page.list === 'replies' ? page.items : page.items.toReversed();
    this.shown = new Set(items.map(({ id }) => id));
    this.floor = page.hasNextPage ? page.items.at(-1)!.place : 0;
  }

  apply({ at: { position }, kind, subject }: LiveFrame): void {
    if (position <= this.page.from) return;
    this.at = position;
    if (kind === 'added') this.shown.add(subject!);
    if (kind === 'removed') this.shown.delete(subject!);
  }

  reached(position: number): void {
    this.at = Math.max(this.at, position);
  }

  /** In the order of the list. */
  ids(): string[] {
    return this.page.list === 'replies' ? [...this.shown] : [...this.shown].reverse();
  }
}
