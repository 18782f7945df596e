/**
 * Honest histories, made from nothing but numbers: a small town's journal, sessions that read it with all kinds of lag, and live logs
 * with cuts, replays and resets. For the checker's own tests, which plant faults in them.
 *
 * The state as of every position is kept whole, so that nothing here needs the cleverness of `Past`, and none of its code.
 */
import fc from 'fast-check';
import { SYSTEM } from '../../shared/ids.js';
import type { Event, JournalEntry } from '../../shared/messages/event.js';
import type { ErrorCode } from '../../shared/refused.js';
import type {
  Cursor,
  FrameKind,
  History,
  LiveFrame,
  LiveLog,
  Seen,
  SeenAuthor,
  SeenCheep,
  SeenPage,
  SentCommand,
  Topic,
} from './history.js';

interface State {
  authors: { id: string; name: string | null; version: number }[];
  follows: { follower: string; followed: string; at: number }[];
  cheeps: { id: string; authorId: string; message: string; version: number; at: number; inReplyTo: string | null; likers: string[] }[];
  /** Ids of all that ever were. */
  posted: { id: string; authorId: string }[];
  notices: { id: string; readerId: string; sequence: number; cheepId: string | null }[];
  noticesEver: Record<string, number>;
  readUpTo: Record<string, number>;
}

const AUTHORS = ['ann', 'bob', 'cy', 'dee'];
const SESSIONS = 6;

/** One thing that happens: what, and numbers to decide the rest by. */
export interface Step {
  what: 'post' | 'reply' | 'edit' | 'delete' | 'like' | 'unlike' | 'follow' | 'unfollow' | 'rename' | 'look' | 'handover' | 'markRead';
  n: number;
  m: number;
  lag: number;
}

const step = fc.record({
  what: fc.constantFrom<Step['what'][]>(
    ...([
      'post',
      'post',
      'post',
      'reply',
      'edit',
      'delete',
      'like',
      'unlike',
      'follow',
      'follow',
      'unfollow',
      'rename',
      'markRead',
    ] as const),
    ...(['look', 'look', 'look', 'look', 'look', 'look', 'handover'] as const),
  ),
  n: fc.nat(9_999),
  m: fc.nat(9_999),
  lag: fc.nat(3),
});

export interface Honest {
  journal: JournalEntry[];
  history: History;
  /** What was to be seen, at any position. */
  town: Pick<Town, 'seePage' | 'seeCheep'>;
}

/** @param length steps, at the least and at the most */
export const honest = ({ minLength = 30, maxLength = 120 } = {}): fc.Arbitrary<Honest> =>
  fc
    .tuple(fc.array(step, { minLength, maxLength, size: 'max' }), fc.array(fc.nat(9_999), { minLength: 40, maxLength: 40 }))
    .map(([steps, numbers]) => new Town(steps).live(numbers));

/** As `honest`, of any length, and always the same. */
export function longHonest(length: number): Honest {
  const numbers = fc.sample(fc.nat(9_999), { numRuns: 40, seed: 1 });

  return new Town(fc.sample(step, { numRuns: length, seed: 1 }), { keepsStates: 400 }).live(numbers);
}

class Town {
  readonly journal: JournalEntry[] = [];
  readonly history: History = { began: 0, ended: 0, operations: [], logs: [] };
  /** As of each position, 0 first. */
  private readonly states = new Map<number, State>([
    [0, { authors: [], follows: [], cheeps: [], posted: [], notices: [], noticesEver: {}, readUpTo: {} }],
  ]);
  private readonly floors = new Map<string, number>();
  private now = 0;
  private ids = 0;

  constructor(
    steps: Step[],
    private readonly options = { keepsStates: Infinity },
  ) {
    for (const id of AUTHORS) {
      const fields = { username: id, email: id, name: null, biography: null, location: null, website: null, birthDate: null };
      this.happen(id, 'SignUp', this.id(), { type: 'AuthorSignedUp', authorId: id, ...fields });
    }
    this.history.began = this.end;
    for (const one of steps) this.run(one);
  }

  get end(): number {
    return this.journal.length;
  }

  private at(position: number): State {
    return this.states.get(position)!;
  }

  private id(): string {
    return `#${this.ids++}`;
  }

  // ---- What happens

  private run({ what, n, m, lag }: Step): void {
    const number = n % SESSIONS;
    const session = `session ${number}`;
    const me = AUTHORS[number % AUTHORS.length]!;
    if (what === 'look') return this.look(session, me, m, lag);
    if (what === 'handover') {
      const from = `session ${m % SESSIONS}`;
      const token = this.floors.get(from) ?? 0;
      this.history.operations.push({ kind: 'handover', session, from, token, ...this.time() });
      this.saw(session, token);
      return;
    }
    const now = this.at(this.end);
    const cheep = now.posted[m % Math.max(1, now.posted.length)];
    const own = now.posted.filter(({ authorId }) => authorId === me);
    const mine = own[m % Math.max(1, own.length)];
    const other = AUTHORS[m % AUTHORS.length]!;
    const base = { commandId: this.id(), actorId: me };
    switch (what) {
      case 'post':
        return this.write(session, { ...base, name: 'PostCheep', cheepId: this.id(), message: `m${m}`, inReplyTo: null });
      case 'reply':
        if (!cheep) return;
        return this.write(session, { ...base, name: 'PostCheep', cheepId: this.id(), message: `m${m}`, inReplyTo: cheep.id });
      case 'edit':
        // Somebody else's, at times.
        if (!mine || !cheep) return;
        return this.write(session, { ...base, name: 'EditCheep', cheepId: lag === 0 ? cheep.id : mine.id, message: `e${m % 5}` });
      case 'delete':
        if (!mine) return;
        return this.write(session, { ...base, name: 'DeleteCheep', cheepId: mine.id });
      case 'like':
      case 'unlike':
        if (!cheep) return;
        return this.write(session, { ...base, name: what === 'like' ? 'LikeCheep' : 'UnlikeCheep', cheepId: cheep.id });
      case 'follow':
      case 'unfollow':
        return this.write(session, { ...base, name: what === 'follow' ? 'FollowAuthor' : 'UnfollowAuthor', authorId: other });
      case 'rename':
        return this.write(session, { ...base, name: 'UpdateProfile', fullName: `n${m % 4}` });
      case 'markRead': {
        const notices = now.notices.filter(({ readerId }) => readerId === me);
        if (notices.length === 0) return;
        return this.write(session, { ...base, name: 'MarkNotificationsRead', upTo: notices[m % notices.length]!.id });
      }
    }
  }

  private write(session: string, command: SentCommand): void {
    const { start, end } = this.time();
    const event = this.decide(command);
    this.happen(command.actorId, command.name, command.commandId, event);
    const position = this.end;
    const outcome = event.type === 'CommandRefused' ? 'REJECTED' : 'COMMITTED';
    const seen: Seen[] = 'cheepId' in command ? [this.seeCheep(command.cheepId, command.actorId, position, position)] : [];
    const report = { position, token: position, satisfied: true };
    // Now and then the answer is lost for good.
    if (this.ids % 17 === 0) {
      this.history.operations.push({
        kind: 'write',
        session,
        command,
        start,
        end: Infinity,
        outcome: 'unknown',
        twin: null,
        report: null,
        seen: [],
      });
    } else {
      this.history.operations.push({ kind: 'write', session, command, start, end, outcome, twin: null, report, seen });
      this.saw(session, position);
    }
    this.react(event);
  }

  private decide(command: SentCommand): Event {
    const { cheeps, posted, follows, authors, notices, readUpTo } = this.at(this.end);
    const { actorId: me } = command;
    const refused = (code: ErrorCode): Event => ({ type: 'CommandRefused', code, field: null });
    const nothing: Event = { type: 'CommandHadNoEffect' };
    const known = 'cheepId' in command ? posted.find(({ id }) => id === command.cheepId) : undefined;
    const live = cheeps.find(({ id }) => id === known?.id);
    const thread = { inReplyTo: live?.inReplyTo ?? null, threadId: 'thread' };
    switch (command.name) {
      case 'PostCheep': {
        const { cheepId, message, inReplyTo } = command;
        if (inReplyTo && !cheeps.some(({ id }) => id === inReplyTo)) return refused('CHEEP_DELETED');
        const inReplyToAuthorId = posted.find(({ id }) => id === inReplyTo)?.authorId ?? null;

        return { type: 'CheepPosted', cheepId, authorId: me, message, mentions: [], inReplyTo, inReplyToAuthorId, threadId: 'thread' };
      }
      case 'EditCheep':
      case 'DeleteCheep':
        if (known!.authorId !== me) return refused('NOT_YOUR_CHEEP');
        if (command.name === 'EditCheep') {
          if (!live) return refused('CHEEP_DELETED');
          if (live.message === command.message) return nothing;
          const changes = { message: { from: live.message, to: command.message } };

          return { type: 'CheepEdited', cheepId: live.id, authorId: me, ...thread, changes, mentions: [] };
        }

        return live ? { type: 'CheepDeleted', cheepId: live.id, authorId: me, ...thread } : nothing;
      case 'LikeCheep':
        if (!live) return refused('CHEEP_DELETED');

        return live.likers.includes(me) ? nothing : { type: 'CheepLiked', likerId: me, cheepId: live.id, authorId: live.authorId };
      case 'UnlikeCheep':
        return live?.likers.includes(me) ? { type: 'CheepUnliked', likerId: me, cheepId: live.id, authorId: live.authorId } : nothing;
      case 'FollowAuthor':
      case 'UnfollowAuthor': {
        const isOn = command.name === 'FollowAuthor';
        if (isOn && command.authorId === me) return refused('CANNOT_FOLLOW_SELF');
        const isFollowing = follows.some(({ follower, followed }) => follower === me && followed === command.authorId);
        if (isFollowing === isOn) return nothing;

        return { type: isOn ? 'AuthorFollowed' : 'AuthorUnfollowed', followerId: me, followedId: command.authorId };
      }
      case 'MarkNotificationsRead': {
        const { sequence } = notices.find(({ id }) => id === command.upTo)!;

        return sequence <= (readUpTo[me] ?? 0) ? nothing : { type: 'NotificationsRead', authorId: me, upTo: sequence };
      }
      case 'UpdateProfile': {
        const from = authors.find(({ id }) => id === me)!.name;
        const changes = { name: { from, to: command.fullName } };

        return from === command.fullName ? nothing : { type: 'AuthorProfileUpdated', authorId: me, changes };
      }
    }
  }

  private react(event: Event): void {
    const tell = (readerId: string, cheepId: string | null) => {
      const sequence = (this.at(this.end).noticesEver[readerId] ?? 0) + 1;
      const notice = cheepId ? ({ kind: 'REPLY', cheepId } as const) : ({ kind: 'WELCOME' } as const);
      const notified = { type: 'AuthorNotified', notificationId: this.id(), recipientId: readerId, sequence, notice } as const;
      this.happen(SYSTEM, 'NotifyAuthor', this.id(), notified);
    };
    if (event.type === 'AuthorFollowed') tell(event.followedId, null);
    if (event.type === 'CheepPosted' && event.inReplyToAuthorId) tell(event.inReplyToAuthorId, event.cheepId);
  }

  private happen(actorId: string, commandName: string, commandId: string, event: Event): void {
    const position = this.end + 1;
    const aggregate = null;
    const about = {
      entryId: commandId,
      schemaVersion: 1,
      aggregate,
      fingerprint: null,
      correlationId: '',
      causationId: '',
      traceparent: null,
    };
    this.journal.push({ position, ...about, actorId, commandId, commandName, at: '', event });
    this.states.set(position, next(this.at(position - 1), position, event));
    // For long ones: nobody reads what is so old.
    this.states.delete(position - this.options.keepsStates);
  }

  // ---- What is seen

  private look(session: string, viewerId: string, m: number, lag: number): void {
    const from = this.lagging(this.floors.get(session) ?? 0, lag);
    const to = this.lagging(from, lag - 1);
    const { posted } = this.at(from);
    const cheepId = posted[m % Math.max(1, posted.length)]?.id;
    const authorId = AUTHORS[m % AUTHORS.length]!;
    const first = 1 + (m % 7);
    const pages: [SeenPage['list'], string][] = [
      ['timeline', authorId],
      ['cheeps', authorId],
      ['followers', authorId],
      ['following', authorId],
      ['notifications', authorId],
      ...(cheepId ? [['replies', cheepId] as [SeenPage['list'], string]] : []),
    ];
    const [list, id] = pages[m % pages.length]!;
    const items = this.itemsOf(list, id, from);
    const after = m % 5 === 0 ? (items[m % 3]?.place ?? null) : null;
    const page = this.seePage(list, id, from, first, after);
    const isExact = list === 'timeline' || list === 'replies' || list === 'notifications';
    const seen: Seen[] = [{ ...page, to: isExact ? from : to }];
    for (const item of page.items) {
      if (list === 'followers' || list === 'following') seen.push(this.seeAuthor(item.id, viewerId, from, to));
      else if (list !== 'notifications') seen.push(this.seeCheep(item.id, viewerId, from, to));
    }
    if (cheepId) seen.push(this.seeCheep(cheepId, viewerId, from, to));
    seen.push(this.seeAuthor(authorId, viewerId, from, to));
    // A page with a row that is gone by then is read again.
    if (page.items.some((item) => seen.some((one) => one.type === 'cheep' && one.id === item.id && one.row === null))) return;
    const report = { position: from, token: to, satisfied: true };
    this.history.operations.push({ kind: 'read', session, name: list, ...this.time(), report, staleOk: false, seen });
    this.saw(session, to);
  }

  itemsOf(list: SeenPage['list'], id: string, position: number): { id: string; place: number }[] {
    const { cheeps, follows, notices } = this.at(position);
    const placed = (all: State['cheeps']) => all.map((cheep) => ({ id: cheep.id, place: cheep.at }));
    const following = follows.filter(({ follower }) => follower === id);
    switch (list) {
      case 'timeline':
        return placed(cheeps.filter(({ authorId }) => following.some(({ followed }) => followed === authorId))).reverse();
      case 'cheeps':
        return placed(cheeps.filter(({ authorId }) => authorId === id)).reverse();
      case 'replies':
        return placed(cheeps.filter(({ inReplyTo }) => inReplyTo === id));
      case 'following':
        return following.map(({ followed, at }) => ({ id: followed, place: at })).reverse();
      case 'followers':
        return follows.flatMap(({ follower, followed, at }) => (followed === id ? [{ id: follower, place: at }] : [])).reverse();
      case 'notifications':
        return notices.flatMap((notice) => (notice.readerId === id ? [{ id: notice.id, place: notice.sequence }] : [])).reverse();
    }
  }

  seePage(list: SeenPage['list'], id: string, position: number, first: number, after: number | null): SeenPage {
    const all = this.itemsOf(list, id, position);
    const rest = all.filter(({ place }) => after === null || (list === 'replies' ? place > after : place < after));
    const items = rest.slice(0, first);
    const counts = {
      ...(list === 'followers' || list === 'following' ? { totalCount: all.length } : {}),
      ...(list === 'notifications' ? { unreadCount: this.unread(id, position) } : {}),
    };

    return { type: 'page', list, id, first, after, items, hasNextPage: rest.length > first, from: position, to: position, ...counts };
  }

  seeCheep(id: string, viewerId: string, from: number, to: number): SeenCheep {
    const { cheeps } = this.at(to);
    const cheep = cheeps.find((one) => one.id === id);
    const row = cheep && {
      version: cheep.version,
      message: cheep.message,
      likesCount: cheep.likers.length,
      repliesCount: cheeps.filter(({ inReplyTo }) => inReplyTo === id).length,
      likedByViewer: cheep.likers.includes(viewerId),
    };

    return { type: 'cheep', id, viewerId, row: row ?? null, from, to };
  }

  seeAuthor(id: string, viewerId: string, from: number, to: number): SeenAuthor {
    const { authors, follows, cheeps } = this.at(to);
    const author = authors.find((one) => one.id === id);
    const row = author && {
      version: author.version,
      name: author.name,
      followersCount: follows.filter(({ followed }) => followed === id).length,
      followingCount: follows.filter(({ follower }) => follower === id).length,
      cheepsCount: cheeps.filter(({ authorId }) => authorId === id).length,
      isFollowedByViewer: follows.some(({ follower, followed }) => follower === viewerId && followed === id),
    };

    return { type: 'author', id, viewerId, row: row ?? null, from, to };
  }

  private unread(readerId: string, position: number): number {
    const { notices, readUpTo } = this.at(position);

    return notices.filter((notice) => notice.readerId === readerId && notice.sequence > (readUpTo[readerId] ?? 0)).length;
  }

  /** A position between a floor and now. */
  private lagging(floor: number, lag: number): number {
    return Math.max(floor, this.end - Math.max(0, lag));
  }

  private saw(session: string, position: number): void {
    this.floors.set(session, Math.max(position, this.floors.get(session) ?? 0));
  }

  private time(): { start: number; end: number } {
    this.now += 2;

    return { start: this.now, end: this.now + 1 };
  }

  // ---- Live

  /** Four subscribers of each kind, each with cuts of its own. */
  live(numbers: number[]): Honest {
    this.history.ended = this.end;
    const began = Math.max(this.history.began, this.end - this.options.keepsStates + 1);
    const { posted } = this.at(this.end);
    const random = (i: number) => numbers[i % numbers.length]!;
    const feeds: Topic['feed'][] = ['timeline', 'timeline', 'author', 'thread', 'notifications'];
    for (let i = 0; i < 10; i++) {
      const feed = feeds[i % feeds.length]!;
      if (feed === 'thread' && posted.length === 0) continue;
      const id = feed === 'thread' ? posted[random(i) % posted.length]!.id : AUTHORS[random(i) % AUTHORS.length]!;
      const from = began + (random(i + 10) % Math.max(1, this.end - began));
      this.history.logs.push(this.follow(`subscriber ${i}`, { feed, id }, from, (k) => random(i * 7 + k)));
    }

    return { journal: this.journal, history: this.history, town: this };
  }

  private follow(subscriber: string, topic: Topic, from: number, random: (k: number) => number): LiveLog {
    const log: LiveLog = { subscriber, topic, steps: [] };
    const { steps } = log;
    const page = (position: number) => {
      const list = topic.feed === 'thread' ? 'replies' : topic.feed;
      if (list !== 'author') {
        const root = topic.feed === 'thread' ? this.seeCheep(topic.id, 'ann', position, position) : null;
        steps.push({ type: 'page', page: this.seePage(list, topic.id, position, 1 + (random(position) % 9), null), root });
      }
    };
    const frame = (kind: FrameKind, position: number, index: number | null, more: Partial<LiveFrame> = {}) =>
      steps.push({ type: 'frame', kind, at: { position, index }, token: this.end, subject: null, reason: null, seen: null, ...more });
    const lastCursor = (): Cursor => {
      const last = steps.findLast((step) => step.type === 'page' || step.type === 'frame')!;

      return last.type === 'page' ? { position: last.page.from, index: null } : last.at;
    };
    let at = from;
    page(at);
    if (topic.feed === 'author') {
      steps.push({ type: 'subscribed', after: null });
      frame('live', at, null);
    }
    let isNew = topic.feed !== 'author';
    for (let k = 0; at < this.end || isNew; k++) {
      const goesTo = Math.min(this.end, at + 1 + (random(k) % 9));
      // A new socket, now and then: what was missed comes first.
      if (isNew || random(k + 3) % 3 === 0) {
        isNew = false;
        steps.push({ type: 'subscribed', after: lastCursor() });
        const news = this.newsOf(topic, at, goesTo);
        const reset = news.findLast(({ kind }) => kind === 'reset');
        if (reset) {
          frame('reset', goesTo, null, { reason: reset.reason });
          page(goesTo);
        } else {
          for (const { position, kind, ...more } of news) frame(kind, position, 0, this.withRow(more, kind, position, random(k + 5)));
        }
        frame('live', goesTo, null);
      } else {
        for (const { position, kind, ...more } of this.newsOf(topic, at, goesTo)) {
          frame(kind, position, 0, this.withRow(more, kind, position, random(k + 5)));
          if (kind === 'reset') page(position);
        }
      }
      at = goesTo;
    }

    return log;
  }

  /** What it is to the topic that these positions have, but for what is about a cheep that is gone at the end. */
  private newsOf({ feed, id }: Topic, after: number, upTo: number) {
    const { cheeps, posted } = this.at(this.end);
    const isGone = (cheepId: string | null) =>
      posted.some((cheep) => cheep.id === cheepId) && !cheeps.some((cheep) => cheep.id === cheepId);

    return this.journal.slice(after, upTo).flatMap(({ position, event }) => {
      const before = this.at(position - 1);
      type News = { position: number; kind: FrameKind; subject: string | null; reason: string | null; unreadCount?: number };
      const news = (kind: FrameKind, subject: string | null, reason: string | null = null): News[] => [{ position, kind, subject, reason }];
      const isCheeps = event.type === 'CheepPosted' || event.type === 'CheepEdited' || event.type === 'CheepDeleted';
      const kind = event.type === 'CheepPosted' ? 'added' : event.type === 'CheepEdited' ? 'edited' : 'removed';
      if (feed === 'timeline') {
        if (event.type === 'AuthorFollowed' && event.followerId === id) return news('reset', null, 'FOLLOWED');
        if (event.type === 'AuthorUnfollowed' && event.followerId === id) return news('reset', null, 'UNFOLLOWED');
        if (!isCheeps || !before.follows.some(({ follower, followed }) => follower === id && followed === event.authorId)) return [];

        return kind !== 'removed' && isGone(event.cheepId) ? [] : news(kind, event.cheepId);
      }
      if (feed === 'thread') {
        if (!isCheeps || (event.cheepId !== id && event.inReplyTo !== id)) return [];
        if (kind !== 'removed' && isGone(event.cheepId)) return [];

        return news(kind === 'added' && event.cheepId === id ? 'edited' : kind, event.cheepId);
      }
      if (feed === 'notifications') {
        const unreadCount = this.unread(id, position);
        if (event.type === 'NotificationsRead' && event.authorId === id) return [{ ...news('read', null)[0]!, unreadCount }];
        if (event.type === 'AuthorNotified' && event.recipientId === id) {
          if ('cheepId' in event.notice && isGone(event.notice.cheepId)) return [];

          return [{ ...news('added', event.notificationId)[0]!, unreadCount }];
        }
        const isAbout = (cheepId: string) => before.notices.some((notice) => notice.readerId === id && notice.cheepId === cheepId);

        return event.type === 'CheepDeleted' && isAbout(event.cheepId) ? news('reset', null, 'CHEEP_DELETED') : [];
      }
      const ids = Object.entries(event).flatMap(([field, value]) =>
        /^(author|follower|followed)Id$/.test(field) ? [value as string] : [],
      );
      const isOfAuthor = /^(Author(?!Notified)|CheepPosted|CheepDeleted)/.test(event.type);

      return isOfAuthor && ids.includes(id) ? news('changed', id) : [];
    });
  }

  private withRow<F extends { subject: string | null }>(frame: F, kind: FrameKind, position: number, number: number) {
    const to = Math.min(this.end, position + (number % 4));
    const { subject } = frame;
    const isCheep = subject !== null && this.at(this.end).cheeps.some(({ id }) => id === subject);
    if (kind === 'changed') return { ...frame, seen: this.seeAuthor(subject!, 'ann', position, to) };

    return isCheep && kind !== 'removed' ? { ...frame, seen: this.seeCheep(subject, 'ann', position, to) } : frame;
  }
}

/** The state after an event at a position. */
function next(state: State, at: number, event: Event): State {
  const changeCheep = (cheepId: string, change: (cheep: State['cheeps'][number]) => Partial<State['cheeps'][number]>) => ({
    ...state,
    cheeps: state.cheeps.map((cheep) => (cheep.id === cheepId ? { ...cheep, ...change(cheep) } : cheep)),
  });
  switch (event.type) {
    case 'AuthorSignedUp':
      return { ...state, authors: [...state.authors, { id: event.authorId, name: null, version: 1 }] };
    case 'AuthorProfileUpdated': {
      const name = event.changes.name!.to;
      const authors = state.authors.map((author) =>
        author.id === event.authorId ? { ...author, name, version: author.version + 1 } : author,
      );

      return { ...state, authors };
    }
    case 'AuthorFollowed':
      return { ...state, follows: [...state.follows, { follower: event.followerId, followed: event.followedId, at }] };
    case 'AuthorUnfollowed': {
      const isIt = (one: State['follows'][number]) => one.follower === event.followerId && one.followed === event.followedId;

      return { ...state, follows: state.follows.filter((one) => !isIt(one)) };
    }
    case 'CheepPosted': {
      const { cheepId: id, authorId, message, inReplyTo } = event;
      const cheep = { id, authorId, message, version: 1, at, inReplyTo, likers: [] };

      return { ...state, cheeps: [...state.cheeps, cheep], posted: [...state.posted, { id, authorId }] };
    }
    case 'CheepEdited':
      return changeCheep(event.cheepId, ({ version }) => ({ message: event.changes.message.to, version: version + 1 }));
    case 'CheepDeleted': {
      const cheeps = state.cheeps.filter(({ id }) => id !== event.cheepId);

      return { ...state, cheeps, notices: state.notices.filter(({ cheepId }) => cheepId !== event.cheepId) };
    }
    case 'CheepLiked':
      return changeCheep(event.cheepId, ({ likers }) => ({ likers: [...likers, event.likerId] }));
    case 'CheepUnliked':
      return changeCheep(event.cheepId, ({ likers }) => ({ likers: likers.filter((id) => id !== event.likerId) }));
    case 'AuthorNotified': {
      const { notificationId: id, recipientId: readerId, sequence, notice } = event;
      const notices = [...state.notices, { id, readerId, sequence, cheepId: 'cheepId' in notice ? notice.cheepId : null }];

      return { ...state, notices, noticesEver: { ...state.noticesEver, [readerId]: sequence } };
    }
    case 'NotificationsRead':
      return { ...state, readUpTo: { ...state.readUpTo, [event.authorId]: event.upTo } };
    default:
      return state;
  }
}
