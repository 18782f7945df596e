/**
 * What clients did and saw, as they saw it: the material of the checker. A history is recorded at the public face alone (see
 * `recorder.ts`); the one thing that is not the clients' own is that tokens and cursors, opaque to them, stand here as the
 * positions that they name.
 */

/** What was sent, in the words of the domain. `actorId` is who sent it. */
export type SentCommand = { commandId: string; actorId: string } & (
  | { name: 'PostCheep'; cheepId: string; message: string; inReplyTo: string | null }
  | { name: 'EditCheep'; cheepId: string; message: string }
  | { name: 'DeleteCheep' | 'LikeCheep' | 'UnlikeCheep'; cheepId: string }
  | { name: 'FollowAuthor' | 'UnfollowAuthor'; authorId: string }
  | { name: 'UpdateProfile'; fullName: string }
  | { name: 'MarkNotificationsRead'; upTo: string }
);

/** `extensions.consistency` of an answer. */
export interface Report {
  /** The newest that the answer has seen. */
  token: number;
  /** The oldest that went into it; of a mutation, its command's. */
  position: number;
  /** False when the deadline came first, and the client had said that it would take what there is. */
  satisfied: boolean;
}

export type ListName = 'timeline' | 'cheeps' | 'replies' | 'followers' | 'following' | 'notifications';

/** Something was seen that was so at one position at least, from `from` to `to`; the same number twice names it exactly. */
interface SeenThing {
  from: number;
  to: number;
}

export interface SeenPage extends SeenThing {
  type: 'page';
  list: ListName;
  /** Whose, or of what. */
  id: string;
  first: number;
  /** The place after which the page begins; null for the beginning of the list. */
  after: number | null;
  /** In order. */
  items: { id: string; place: number }[];
  hasNextPage: boolean;
  /** Of the whole list, where the page tells. */
  totalCount?: number;
  /** Of notifications. */
  unreadCount?: number;
}

export interface SeenCheep extends SeenThing {
  type: 'cheep';
  id: string;
  /** Who looked; what is the viewer's own is absent from the row when it was not asked for. */
  viewerId: string | null;
  /** Null: there was none, or no longer. */
  row: { version: number; message: string; likesCount: number; repliesCount: number; likedByViewer?: boolean | null } | null;
}

export interface SeenAuthor extends SeenThing {
  type: 'author';
  id: string;
  viewerId: string | null;
  row: {
    version: number;
    name: string | null;
    followersCount: number;
    followingCount: number;
    cheepsCount: number;
    isFollowedByViewer?: boolean | null;
  } | null;
}

export type Seen = SeenPage | SeenCheep | SeenAuthor;

/** Something that a session did. A session does one thing after another. */
interface Step {
  session: string;
  /** When it began and was over, in milliseconds on one clock for all sessions. */
  start: number;
  end: number;
}

export interface Read extends Step {
  kind: 'read';
  name: string;
  /** Null when it failed, and nothing was seen. */
  report: Report | null;
  /** The client would take what there is at the deadline. */
  staleOk: boolean;
  seen: Seen[];
}

export type Outcome = 'COMMITTED' | 'REJECTED' | 'unknown';

/** A command, from its first sending to its last answer, with all retries in between. */
export interface Write extends Step {
  kind: 'write';
  command: SentCommand;
  /** `unknown`: it may have been done, or may yet be. Its `end` is then Infinity. */
  outcome: Outcome;
  /** What the same command was answered elsewhere, where it was sent twice at once. */
  twin: { outcome: Outcome; position: number } | null;
  report: Report | null;
  seen: Seen[];
}

/** Somebody else's token came into the session. */
export interface Handover extends Step {
  kind: 'handover';
  from: string;
  token: number;
}

export type Operation = Read | Write | Handover;

/** What a subscription is about: a reader, an author, a cheep, a reader. */
export interface Topic {
  feed: 'timeline' | 'author' | 'thread' | 'notifications';
  id: string;
}

/** A subscription's cursor: a change of the journal's event at `position`; `index` is null after all of its changes. */
export interface Cursor {
  position: number;
  index: number | null;
}

export type FrameKind = 'added' | 'edited' | 'removed' | 'changed' | 'read' | 'live' | 'reset';

export interface LiveFrame {
  type: 'frame';
  kind: FrameKind;
  at: Cursor;
  /** The newest that it has seen. */
  token: number;
  /** The cheep, author or notification that it is about; null for none. */
  subject: string | null;
  /** Of a reset. */
  reason: string | null;
  /** Of notifications. */
  unreadCount?: number;
  /** The row that came with it. */
  seen: SeenCheep | SeenAuthor | null;
}

export type LiveStep =
  /** The list was fetched; frames up to its position are dropped from here on. `root`: the cheep that a thread is about. */
  | { type: 'page'; page: SeenPage; root: SeenCheep | null }
  /** What the list stands in was deleted: there is no page of it any more. */
  | { type: 'gone' }
  /** Subscribed: after a cursor, or from now on. */
  | { type: 'subscribed'; after: Cursor | null }
  | LiveFrame;

/** Everything that one subscriber saw of its subscription, in order, however many sockets it took. */
export interface LiveLog {
  subscriber: string;
  topic: Topic;
  steps: LiveStep[];
}

export interface History {
  /** What stands in the journal up to here was there before: nobody's operations. */
  began: number;
  /** What concerns the topics of the logs up to here has been waited for. */
  ended: number;
  operations: Operation[];
  logs: LiveLog[];
}
