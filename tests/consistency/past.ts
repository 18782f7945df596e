/**
 * The fold of the journal, kept so that it can be asked as of any position: one walk over the journal builds it, and each
 * question is a binary search and as many steps as the answer is long.
 *
 * It is written from the rules in words (docs/rules.md), and shares no code with the projections that it is compared with.
 */
import type { JournalEntry } from '../../shared/messages/event.js';
import type { ListName } from './history.js';

/** The values that something had, one after another, and from which position on. */
export class Versions<Value> {
  private readonly positions: number[] = [];
  private readonly values: Value[] = [];

  set(position: number, value: Value): void {
    this.positions.push(position);
    this.values.push(value);
  }

  /** Undefined before the first. */
  asOf(position: number): Value | undefined {
    return this.values[upTo(this.positions, position) - 1];
  }

  get latest(): Value | undefined {
    return this.values.at(-1);
  }

  /** All that it was from `from` to `to`, and at which position of these first. Undefined: it was nothing yet. */
  *between(from: number, to: number): Generator<{ at: number; value: Value | undefined }> {
    let i = upTo(this.positions, from);
    yield { at: from, value: this.values[i - 1] };
    for (; i < this.positions.length && this.positions[i]! <= to; i++) yield { at: this.positions[i]!, value: this.values[i] };
  }
}

export interface Placed {
  id: string;
  /** Where it stands in the list, and its cursor. */
  place: number;
}

/** A list whose items come in the order of their places, and may go again. */
export class PlacedList {
  private readonly items: (Placed & { since: number; until: number })[] = [];
  private readonly sinces: number[] = [];
  private readonly places: number[] = [];
  private readonly open = new Map<string, number>();
  /** Which of the items before an index were there when the next one came: not to pass over all that is long gone. */
  private readonly checkpoints: { index: number; open: number[] }[] = [{ index: 0, open: [] }];
  private readonly checkpointIndexes = [0];
  /** The positions at which it changed. */
  readonly changes: number[] = [];
  readonly sizes = new Versions<number>();

  add(position: number, id: string, place = position): void {
    if (this.items.length - this.checkpointIndexes.at(-1)! >= Math.max(64, this.open.size)) {
      this.checkpointIndexes.push(this.items.length);
      this.checkpoints.push({ index: this.items.length, open: [...this.open.values()] });
    }
    this.open.set(id, this.items.length);
    this.items.push({ id, place, since: position, until: Infinity });
    this.sinces.push(position);
    this.places.push(place);
    this.changed(position);
  }

  /** The item that goes; undefined when it is not there. */
  remove(position: number, id: string): Placed | undefined {
    const i = this.open.get(id);
    if (i === undefined) return undefined;
    this.items[i]!.until = position;
    this.open.delete(id);
    this.changed(position);

    return this.items[i];
  }

  sizeAsOf(position: number): number {
    return this.sizes.asOf(position) ?? 0;
  }

  /** As of a position, one after another, beginning beyond the place `after`. */
  *asOf(position: number, order: 'newest first' | 'oldest first', after: number | null = null): Generator<Placed> {
    const there = upTo(this.sinces, position);
    if (order === 'oldest first') {
      for (let i = after === null ? 0 : upTo(this.places, after); i < there; i++) yield* this.ifThere(i, position);
      return;
    }
    let i = Math.min(there, after === null ? there : upTo(this.places, after - 1)) - 1;
    const { index, open } = this.checkpoints[upTo(this.checkpointIndexes, Math.max(i, 0)) - 1]!;
    for (; i >= index; i--) yield* this.ifThere(i, position);
    for (i = open.length - 1; i >= 0; i--) yield* this.ifThere(open[i]!, position);
  }

  private *ifThere(i: number, position: number): Generator<Placed> {
    const { id, place, until } = this.items[i]!;
    if (until > position) yield { id, place };
  }

  private changed(position: number): void {
    this.changes.push(position);
    this.sizes.set(position, this.open.size);
  }
}

export interface CheepThen {
  authorId: string;
  message: string;
  version: number;
  likes: number;
  replies: number;
  isDeleted: boolean;
}

export interface AuthorThen {
  name: string | null;
  version: number;
  followers: number;
  following: number;
  cheeps: number;
}

export interface NotificationThen {
  readerId: string;
  sequence: number;
  since: number;
  /** What it is about; null for another kind. */
  cheepId: string | null;
}

export interface PageThen {
  items: Placed[];
  hasNextPage: boolean;
}

/** How many of a sorted list's numbers are no greater. */
function upTo(sorted: number[], limit: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= limit) low = middle + 1;
    else high = middle;
  }

  return low;
}

const EMPTY = new PlacedList();

export class Past {
  private readonly cheeps = new Map<string, Versions<CheepThen>>();
  private readonly authors = new Map<string, Versions<AuthorThen>>();
  private readonly lists = new Map<string, PlacedList>();
  private readonly relations = new Map<string, Versions<boolean>>();
  /** Reader to those whom it follows, or did. */
  private readonly everFollowed = new Map<string, Set<string>>();
  private readonly deletions = new Map<string, number>();
  private readonly unread = new Map<string, Versions<number>>();
  /** Reader to the notifications that it has not read, by sequence. */
  private readonly unreadNow = new Map<string, Map<number, string>>();
  /** Cheep to the notifications about it. */
  private readonly noticesAbout = new Map<string, { readerId: string; id: string; sequence: number }[]>();
  private readonly notifications = new Map<string, NotificationThen>();
  /** Reader to the sequence up to which all is read. */
  private readonly readUpTo = new Map<string, Versions<number>>();

  constructor(readonly journal: JournalEntry[]) {
    for (const entry of journal) this.apply(entry);
  }

  get last(): number {
    return this.journal.length;
  }

  cheep(id: string): Versions<CheepThen> | undefined {
    return this.cheeps.get(id);
  }

  author(id: string): Versions<AuthorThen> | undefined {
    return this.authors.get(id);
  }

  isLiking(likerId: string, cheepId: string, position: number): boolean {
    return this.relations.get(`${likerId} likes ${cheepId}`)?.asOf(position) ?? false;
  }

  isFollowing(followerId: string, followedId: string, position: number): boolean {
    return this.relations.get(`${followerId} follows ${followedId}`)?.asOf(position) ?? false;
  }

  /** Where the cheep was deleted; undefined when it never was. */
  deletedAt(cheepId: string): number | undefined {
    return this.deletions.get(cheepId);
  }

  notification(id: string): NotificationThen | undefined {
    return this.notifications.get(id);
  }

  isRead({ readerId, sequence }: NotificationThen, position: number): boolean {
    return sequence <= (this.readUpTo.get(readerId)?.asOf(position) ?? 0);
  }

  /** Whoever was told of something about the cheep. */
  readersToldOf(cheepId: string): Set<string> {
    return new Set(this.noticesAbout.get(cheepId)?.map(({ readerId }) => readerId));
  }

  unreadCount(readerId: string, position: number): number {
    return this.unread.get(readerId)?.asOf(position) ?? 0;
  }

  list(name: Exclude<ListName, 'timeline'>, id: string): PlacedList {
    return this.lists.get(`${name} ${id}`) ?? EMPTY;
  }

  /** A page of a list as of a position. */
  page(name: ListName, id: string, position: number, first: number, after: number | null): PageThen {
    const items: Placed[] = [];
    const found = name === 'timeline' ? this.timeline(id, position, first + 1, after) : this.inList(name, id, position, after);
    for (const item of found) {
      if (items.length === first) return { items, hasNextPage: true };
      items.push(item);
    }

    return { items, hasNextPage: false };
  }

  /** The positions, from `from` to `to`, at which a list may have been another than just before. */
  *changesOf(name: ListName, id: string, from: number, to: number): Generator<number> {
    if (name === 'timeline') {
      for (let position = from + 1; position <= to; position++) yield position;
      return;
    }
    const { changes } = this.list(name, id);
    for (let i = upTo(changes, from); i < changes.length && changes[i]! <= to; i++) yield changes[i]!;
  }

  /** All of a list as of a position, from its newest item down to the place `floor`, in the list's order. */
  all(name: ListName, id: string, position: number, floor: number): Placed[] {
    if (name === 'timeline') return this.timeline(id, position, Infinity, null, floor);
    const items: Placed[] = [];
    for (const item of this.list(name, id).asOf(position, 'newest first')) {
      if (item.place < floor) break;
      items.push(item);
    }

    return name === 'replies' ? items.reverse() : items;
  }

  /** The live cheeps of those whom the reader follows then, newest first, `most` at the most. */
  private timeline(readerId: string, position: number, most: number, after: number | null, floor = 0): Placed[] {
    const all: Placed[] = [];
    for (const id of this.everFollowed.get(readerId) ?? []) {
      if (!this.isFollowing(readerId, id, position)) continue;
      let left = most;
      for (const cheep of this.list('cheeps', id).asOf(position, 'newest first', after)) {
        if (left-- === 0 || cheep.place < floor) break;
        all.push(cheep);
      }
    }

    return all.sort((a, b) => b.place - a.place).slice(0, most);
  }

  private inList(name: Exclude<ListName, 'timeline'>, id: string, position: number, after: number | null): Iterable<Placed> {
    return this.list(name, id).asOf(position, name === 'replies' ? 'oldest first' : 'newest first', after);
  }

  private apply({ position, event }: JournalEntry): void {
    switch (event.type) {
      case 'AuthorSignedUp':
        this.changeAuthor(position, event.authorId, () => ({ name: event.name, version: 1, followers: 0, following: 0, cheeps: 0 }));
        return;
      case 'AuthorProfileUpdated':
      case 'AuthorUsernameChanged':
      case 'AuthorEmailChanged': {
        const name = 'name' in event.changes ? event.changes.name : undefined;
        this.changeAuthor(position, event.authorId, (then) => ({
          ...then,
          version: then.version + 1,
          name: name ? name.to : then.name,
        }));
        return;
      }
      case 'AuthorFollowed':
      case 'AuthorUnfollowed': {
        const { followerId, followedId } = event;
        const isOn = event.type === 'AuthorFollowed';
        this.relate(position, `${followerId} follows ${followedId}`, isOn);
        const [following, followers] = [this.listOf(`following ${followerId}`), this.listOf(`followers ${followedId}`)];
        if (isOn) {
          this.everFollowed.set(followerId, (this.everFollowed.get(followerId) ?? new Set()).add(followedId));
          following.add(position, followedId);
          followers.add(position, followerId);
        } else {
          following.remove(position, followedId);
          followers.remove(position, followerId);
        }
        this.changeAuthor(position, followerId, (then) => ({ ...then, following: following.sizeAsOf(position) }));
        this.changeAuthor(position, followedId, (then) => ({ ...then, followers: followers.sizeAsOf(position) }));
        return;
      }
      case 'CheepPosted': {
        const { cheepId, authorId, message, inReplyTo } = event;
        this.versionsOf(this.cheeps, cheepId).set(position, { authorId, message, version: 1, likes: 0, replies: 0, isDeleted: false });
        this.changeCheeps(position, authorId, (list) => list.add(position, cheepId));
        if (inReplyTo) this.changeReplies(position, inReplyTo, (list) => list.add(position, cheepId));
        return;
      }
      case 'CheepEdited':
        this.changeCheep(position, event.cheepId, (then) => ({ ...then, message: event.changes.message.to, version: then.version + 1 }));
        return;
      case 'CheepDeleted': {
        const { cheepId, authorId, inReplyTo } = event;
        this.deletions.set(cheepId, position);
        this.changeCheep(position, cheepId, (then) => ({ ...then, version: then.version + 1, isDeleted: true }));
        this.changeCheeps(position, authorId, (list) => list.remove(position, cheepId));
        if (inReplyTo) this.changeReplies(position, inReplyTo, (list) => list.remove(position, cheepId));
        for (const { readerId, id, sequence } of this.noticesAbout.get(cheepId) ?? []) {
          this.listOf(`notifications ${readerId}`).remove(position, id);
          this.unreadOf(readerId).delete(sequence);
          this.countUnread(position, readerId);
        }
        return;
      }
      case 'CheepLiked':
      case 'CheepUnliked': {
        const isOn = event.type === 'CheepLiked';
        this.relate(position, `${event.likerId} likes ${event.cheepId}`, isOn);
        this.changeCheep(position, event.cheepId, (then) => ({ ...then, likes: then.likes + (isOn ? 1 : -1) }));
        return;
      }
      case 'AuthorNotified': {
        const { notificationId: id, recipientId: readerId, sequence, notice } = event;
        this.listOf(`notifications ${readerId}`).add(position, id, sequence);
        this.unreadOf(readerId).set(sequence, id);
        this.countUnread(position, readerId);
        this.notifications.set(id, { readerId, sequence, since: position, cheepId: 'cheepId' in notice ? notice.cheepId : null });
        if (!('cheepId' in notice)) return;
        const about = this.noticesAbout.get(notice.cheepId) ?? [];
        about.push({ readerId, id, sequence });
        this.noticesAbout.set(notice.cheepId, about);
        return;
      }
      case 'NotificationsRead': {
        this.versionsOf(this.readUpTo, event.authorId).set(position, event.upTo);
        const unread = this.unreadOf(event.authorId);
        // Sequences go up, and a map keeps the order in which they came.
        for (const sequence of unread.keys()) {
          if (sequence > event.upTo) break;
          unread.delete(sequence);
        }
        this.countUnread(position, event.authorId);
        return;
      }
      case 'CommandRefused':
      case 'CommandHadNoEffect':
        return;
    }
  }

  private changeAuthor(position: number, id: string, change: (then: AuthorThen) => AuthorThen): void {
    const versions = this.versionsOf(this.authors, id);
    versions.set(position, change(versions.latest ?? { name: null, version: 0, followers: 0, following: 0, cheeps: 0 }));
  }

  private changeCheep(position: number, id: string, change: (then: CheepThen) => CheepThen): void {
    const versions = this.versionsOf(this.cheeps, id);
    // What nobody posted changes nothing; the checker says so elsewhere.
    if (versions.latest) versions.set(position, change(versions.latest));
  }

  private changeCheeps(position: number, authorId: string, change: (list: PlacedList) => void): void {
    const list = this.listOf(`cheeps ${authorId}`);
    change(list);
    this.changeAuthor(position, authorId, (then) => ({ ...then, cheeps: list.sizeAsOf(position) }));
  }

  private changeReplies(position: number, parentId: string, change: (list: PlacedList) => void): void {
    const list = this.listOf(`replies ${parentId}`);
    change(list);
    this.changeCheep(position, parentId, (then) => ({ ...then, replies: list.sizeAsOf(position) }));
  }

  private relate(position: number, relation: string, isOn: boolean): void {
    this.versionsOf(this.relations, relation).set(position, isOn);
  }

  private countUnread(position: number, readerId: string): void {
    this.versionsOf(this.unread, readerId).set(position, this.unreadOf(readerId).size);
  }

  private unreadOf(readerId: string): Map<number, string> {
    const unread = this.unreadNow.get(readerId) ?? new Map<number, string>();
    this.unreadNow.set(readerId, unread);

    return unread;
  }

  private listOf(name: string): PlacedList {
    const list = this.lists.get(name) ?? new PlacedList();
    this.lists.set(name, list);

    return list;
  }

  private versionsOf<Value>(all: Map<string, Versions<Value>>, id: string): Versions<Value> {
    const versions = all.get(id) ?? new Versions<Value>();
    all.set(id, versions);

    return versions;
  }
}
