/**
 * Says what in a recorded history breaks the promises of docs/consistency.md, given the journal as it was at the end.
 *
 * - **Effects**: what was answered `COMMITTED` or `REJECTED` stands in the journal once, where the answer said, as what was sent;
 *   it was decided by the rules, as of its place; nothing else stands there.
 * - **Session guarantees**: read your writes, monotonic reads, monotonic writes, writes follow reads, also with a token that somebody
 *   handed over. And a write that was answered before another was sent stands before it in the journal, whoever sent them.
 * - **Exact pages**: a list is the fold of the journal as of the position that it names, and each row is what it was at one
 *   position from there to the answer's token.
 * - **Subscriptions**: see `subscriptions.ts`.
 *
 * The time that it takes grows as the history does: each operation is looked at once, and compared with `Past` in the time of a binary
 * search and of what was seen. Only a violation is looked at longer, to say what it is.
 */
import type { EventType, JournalEntry } from '../../shared/messages/event.js';
import type { ErrorCode } from '../../shared/refused.js';
import { NOBODY, SYSTEM } from '../../shared/ids.js';
import type { History, Operation, Read, Seen, SeenAuthor, SeenCheep, SeenPage, SentCommand, Write } from './history.js';
import { Past, type PageThen } from './past.js';
import { checkSubscriptions } from './subscriptions.js';

export type ViolationKind =
  // Effects
  | 'gap in the journal'
  | 'lost write'
  | 'doubled write'
  | 'phantom write'
  | 'another effect'
  | 'wrong decision'
  // Sessions
  | 'not a sequence'
  | 'read your writes'
  | 'monotonic reads'
  | 'stale after a handover'
  | 'monotonic writes'
  | 'writes follow reads'
  | 'real-time order'
  | 'token'
  // Pages and rows
  | 'page: missing item'
  | 'page: repeated item'
  | 'page: out of order'
  | 'page: phantom item'
  | 'page: item of another time'
  | 'page: stale'
  | 'page: wrong count'
  | 'row: stale'
  | 'row: phantom'
  | 'row: wrong'
  // Subscriptions
  | 'frame: missing'
  | 'frame: repeated'
  | 'frame: out of order'
  | 'frame: phantom'
  | 'frame: wrong'
  | 'reset without a cause'
  | 'reset without a page'
  | 'page and frames do not make the later page'
  | 'incomplete';

export interface Violation {
  kind: ViolationKind;
  /** Who, doing what, saw what. */
  sentence: string;
}

export type Report = (kind: ViolationKind, sentence: string) => void;

/** No violation: an empty list. */
export function check(journal: JournalEntry[], history: History): Violation[] {
  const violations: Violation[] = [];
  const report: Report = (kind, sentence) => violations.push({ kind, sentence });
  journal.forEach(({ position }, i) => {
    if (position !== i + 1) report('gap in the journal', `position ${position} stands where ${i + 1} was to be expected`);
  });
  if (violations.length > 0) return violations;

  const past = new Past(journal);
  const operations = history.operations.toSorted((a, b) => a.start - b.start);
  checkEffects(past, history.began, operations, report);
  checkRealTime(past, operations, report);
  for (const steps of Map.groupBy(operations, ({ session }) => session).values()) checkSession(steps, report);
  for (const operation of operations) {
    if (operation.kind === 'handover' || operation.report === null) continue;
    checkReport(past, operation, report);
    for (const seen of operation.seen) checkSeen(past, seen, () => describe(operation), report);
  }
  checkSubscriptions(past, history, report);

  return violations;
}

// ---- Effects

function checkEffects(past: Past, began: number, operations: Operation[], report: Report): void {
  const writes = operations.filter((operation) => operation.kind === 'write');
  const unexplained = new Map<string, JournalEntry[]>();
  for (const entry of past.journal.slice(began)) {
    // What nobody asked for comes from reactions, under ids of their own.
    if (entry.actorId === SYSTEM) continue;
    const key = `${entry.actorId} ${entry.commandId}`;
    const entries = unexplained.get(key) ?? [];
    entries.push(entry);
    unexplained.set(key, entries);
  }
  for (const write of writes) {
    const { command, outcome } = write;
    const key = `${command.actorId} ${command.commandId}`;
    const [entry, ...more] = unexplained.get(key) ?? [];
    unexplained.delete(key);
    if (more.length > 0) {
      report('doubled write', `${describe(write)} stands at positions ${[entry!, ...more].map(({ position }) => position).join(', ')}`);
    } else if (!entry) {
      if (outcome !== 'unknown') report('lost write', `${describe(write)} was ${outcome}, and is not in the journal`);
    } else {
      checkEffect(past, write, entry, report);
    }
  }
  for (const entries of unexplained.values()) {
    const [{ position, actorId, commandName, commandId }] = entries as [JournalEntry];
    const who = actorId === NOBODY ? 'nobody' : actorId;
    report('phantom write', `position ${position} has a ${commandName} of ${who} that was never sent: ${commandId}`);
  }
}

function checkEffect(past: Past, write: Write, entry: JournalEntry, report: Report): void {
  const { command, outcome, report: said } = write;
  const { event, position } = entry;
  const isRefused = event.type === 'CommandRefused';
  const complain = (what: string) => report('another effect', `${describe(write)} ${what}`);
  if (outcome !== 'unknown' && isRefused !== (outcome === 'REJECTED')) {
    return complain(`was answered ${outcome}, and position ${position} says ${event.type}`);
  }
  if (said && said.position !== position) complain(`is said to be at ${said.position}, and is at ${position}`);
  const { twin } = write;
  if (twin && outcome !== 'unknown' && (twin.outcome !== outcome || twin.position !== position)) {
    complain(`was answered ${twin.outcome} at ${twin.position}, too`);
  }
  if (entry.commandName !== command.name || !isOfCommand(past, command, entry)) {
    return complain(`is not what stands at ${position}: ${JSON.stringify(event)}`);
  }
  const decided = event.type === 'CommandRefused' ? event.code : event.type;
  const expected = decision(past, command, position - 1);
  if (decided !== expected) {
    report('wrong decision', `${describe(write)} became ${decided} at ${position}, where the rules say ${expected}`);
  }
}

/** Whether the event, where it is one of the domain, says what the command said. */
function isOfCommand(past: Past, command: SentCommand, { event }: JournalEntry): boolean {
  switch (event.type) {
    case 'CommandRefused':
    case 'CommandHadNoEffect':
      return true;
    case 'CheepPosted':
      return (
        command.name === 'PostCheep' &&
        event.cheepId === command.cheepId &&
        event.authorId === command.actorId &&
        event.message === command.message &&
        event.inReplyTo === command.inReplyTo
      );
    case 'CheepEdited':
      return command.name === 'EditCheep' && event.cheepId === command.cheepId && event.changes.message.to === command.message;
    case 'CheepDeleted':
      return command.name === 'DeleteCheep' && event.cheepId === command.cheepId;
    case 'CheepLiked':
    case 'CheepUnliked':
      return 'cheepId' in command && event.cheepId === command.cheepId && event.likerId === command.actorId;
    case 'AuthorFollowed':
    case 'AuthorUnfollowed':
      return 'authorId' in command && event.followedId === command.authorId && event.followerId === command.actorId;
    case 'AuthorProfileUpdated':
      return command.name === 'UpdateProfile' && event.changes.name?.to === command.fullName;
    case 'NotificationsRead':
      return (
        command.name === 'MarkNotificationsRead' &&
        event.authorId === command.actorId &&
        event.upTo === past.notification(command.upTo)?.sequence
      );
    default:
      return false;
  }
}

/** What the rules make of a command on the state as of a position: an event, or a refusal's code. */
function decision(past: Past, command: SentCommand, position: number): EventType | ErrorCode {
  const cheep = (id: string) => past.cheep(id)?.asOf(position);
  const { actorId } = command;
  switch (command.name) {
    case 'PostCheep': {
      const parent = command.inReplyTo === null ? null : cheep(command.inReplyTo);
      if (cheep(command.cheepId)) return 'CHEEP_ALREADY_EXISTS';
      if (parent === undefined) return 'CHEEP_NOT_FOUND';

      return parent?.isDeleted ? 'CHEEP_DELETED' : 'CheepPosted';
    }
    case 'EditCheep': {
      const then = cheep(command.cheepId);
      if (!then) return 'CHEEP_NOT_FOUND';
      if (then.authorId !== actorId) return 'NOT_YOUR_CHEEP';
      if (then.isDeleted) return 'CHEEP_DELETED';

      return then.message === command.message ? 'CommandHadNoEffect' : 'CheepEdited';
    }
    case 'DeleteCheep': {
      const then = cheep(command.cheepId);
      if (!then) return 'CHEEP_NOT_FOUND';
      if (then.authorId !== actorId) return 'NOT_YOUR_CHEEP';

      return then.isDeleted ? 'CommandHadNoEffect' : 'CheepDeleted';
    }
    case 'LikeCheep': {
      const then = cheep(command.cheepId);
      if (!then) return 'CHEEP_NOT_FOUND';
      if (then.isDeleted) return 'CHEEP_DELETED';

      return past.isLiking(actorId, command.cheepId, position) ? 'CommandHadNoEffect' : 'CheepLiked';
    }
    case 'UnlikeCheep': {
      const then = cheep(command.cheepId);
      if (!then) return 'CHEEP_NOT_FOUND';

      return !then.isDeleted && past.isLiking(actorId, command.cheepId, position) ? 'CheepUnliked' : 'CommandHadNoEffect';
    }
    case 'FollowAuthor':
      if (command.authorId === actorId) return 'CANNOT_FOLLOW_SELF';
      if (!past.author(command.authorId)?.asOf(position)) return 'AUTHOR_NOT_FOUND';

      return past.isFollowing(actorId, command.authorId, position) ? 'CommandHadNoEffect' : 'AuthorFollowed';
    case 'UnfollowAuthor':
      if (!past.author(command.authorId)?.asOf(position)) return 'AUTHOR_NOT_FOUND';

      return past.isFollowing(actorId, command.authorId, position) ? 'AuthorUnfollowed' : 'CommandHadNoEffect';
    case 'MarkNotificationsRead': {
      const notification = past.notification(command.upTo);
      if (notification?.readerId !== actorId || notification.since > position) return 'INVALID';

      return past.isRead(notification, position) ? 'CommandHadNoEffect' : 'NotificationsRead';
    }
    case 'UpdateProfile':
      return past.author(actorId)?.asOf(position)?.name === command.fullName ? 'CommandHadNoEffect' : 'AuthorProfileUpdated';
  }
}

// ---- Sessions

/** A write that was over before another began stands before it in the journal: one sweep, in the journal's order. */
function checkRealTime(past: Past, operations: Operation[], report: Report): void {
  const writes = operations.flatMap((operation) => {
    return operation.kind === 'write' && operation.outcome !== 'unknown' && operation.report
      ? [{ ...operation, at: operation.report.position }]
      : [];
  });
  let latest: (Write & { at: number }) | null = null;
  for (const write of writes.sort((a, b) => a.at - b.at)) {
    if (latest && write.end < latest.start) {
      report('real-time order', `${describe(write)} was over before ${describe(latest)}, and stands after it: ${write.at}, ${latest.at}`);
    }
    if (!latest || write.start > latest.start) latest = write;
  }
}

function checkSession(steps: Operation[], report: Report): void {
  // The newest that the session wrote, read, and was told.
  let [written, read, told] = [0, 0, 0];
  let lastEnd = -Infinity;
  for (const step of steps) {
    if (step.start < lastEnd) report('not a sequence', `${describe(step)} began before the session's last operation was over`);
    lastEnd = step.end;
    if (step.kind === 'handover') {
      told = Math.max(told, step.token);
      continue;
    }
    if (step.report === null) {
      // Nobody knows: whatever comes next in this session may come before it.
      if (step.end === Infinity) lastEnd = step.start;
      continue;
    }
    const { position, token, satisfied } = step.report;
    const newest = Math.max(written, read, told);
    if (token < newest) report('token', `${describe(step)} was answered with the token ${token}, after ${newest} had been seen`);
    if (step.kind === 'write') {
      if (position <= written) report('monotonic writes', `${describe(step)} is at ${position}, after a write at ${written}`);
      if (position <= Math.max(read, told)) {
        report('writes follow reads', `${describe(step)} is at ${position}, after ${Math.max(read, told)} had been read`);
      }
      written = Math.max(written, position);
    } else if (satisfied) {
      if (position < written) report('read your writes', `${describe(step)} is as of ${position}, after a write at ${written}`);
      if (position < read) report('monotonic reads', `${describe(step)} is as of ${position}, after ${read} had been read`);
      if (position < told) report('stale after a handover', `${describe(step)} is as of ${position}, after ${told} had been handed over`);
    } else if (!step.staleOk) {
      report('read your writes', `${describe(step)} was answered with something stale, which it had not said it would take`);
    }
    // What a mutation shows beside its command was read.
    read = Math.max(read, token);
  }
}

function checkReport(past: Past, operation: Read | Write, report: Report): void {
  const { position, token } = operation.report!;
  if (position > token || token > past.last) {
    report('token', `${describe(operation)} is as of ${position}, has the token ${token}, and the journal ends at ${past.last}`);
  }
  for (const { from, to } of operation.seen) {
    if (from < position || to > token) {
      report('token', `${describe(operation)} has seen ${from} to ${to}, and says ${position} to ${token}`);
    }
  }
}

// ---- Pages and rows

/** @param whose who saw it, for the sentence of a violation */
export function checkSeen(past: Past, seen: Seen, whose: () => string, report: Report): void {
  switch (seen.type) {
    case 'page':
      return checkPage(past, seen, whose, report);
    case 'cheep':
      return checkCheep(past, seen, whose, report);
    case 'author':
      return checkAuthor(past, seen, whose, report);
  }
}

function checkPage(past: Past, seen: SeenPage, whose: () => string, report: Report): void {
  const { list, id, from, to } = seen;
  if (isPage(past, seen, from)) return;
  for (const position of past.changesOf(list, id, from, to)) if (isPage(past, seen, position)) return;
  const said = `${whose()} saw ${list} of ${id} as of ${from === to ? from : `${from} to ${to}`}`;
  report(...whatIsWrong(past, seen, said));
}

/** Whether the page is what it was as of a position. */
function isPage(past: Past, seen: SeenPage, position: number): boolean {
  const { list, id, first, after, items, totalCount, unreadCount } = seen;
  const then = past.page(list, id, position, first, after);

  return (
    isSameList(seen, then) &&
    items.every(({ place }, i) => place === then.items[i]!.place) &&
    (totalCount === undefined || list === 'timeline' || totalCount === past.list(list, id).sizeAsOf(position)) &&
    (unreadCount === undefined || unreadCount === past.unreadCount(id, position))
  );
}

const isSameList = (seen: SeenPage, then: PageThen) =>
  seen.items.length === then.items.length &&
  seen.hasNextPage === then.hasNextPage &&
  seen.items.every(({ id }, i) => id === then.items[i]!.id);

/** How far back a page is looked for that is only too old. */
const FAR_BACK = 2_000;

/** A page that is not what it should be: in what way. */
function whatIsWrong(past: Past, seen: SeenPage, said: string): [ViolationKind, string] {
  const { list, id, from, items, first, after } = seen;
  const then = past.page(list, id, from, first, after);
  const ids = items.map((item) => item.id);
  const repeated = ids.find((item, i) => ids.indexOf(item) !== i);
  if (repeated) return ['page: repeated item', `${said}, with ${repeated} twice`];
  const phantom = ids.find((item) => !exists(past, list, item, Infinity));
  if (phantom) return ['page: phantom item', `${said}, with ${phantom}, which nobody made`];
  for (let position = from - 1; position >= Math.max(0, from - FAR_BACK); position--) {
    if (isPage(past, seen, position)) return ['page: stale', `${said}, and it is as of ${position}`];
  }
  const expected = new Set(then.items.map((item) => item.id));
  const missing = [...expected].find((item) => !ids.includes(item));
  const other = ids.find((item) => !expected.has(item));
  // What is missing moves those up that come after it.
  if (missing && (!other || then.items.findIndex((item) => item.id === missing) < ids.indexOf(other))) {
    return ['page: missing item', `${said}, without ${missing}`];
  }
  if (other) return ['page: item of another time', `${said}, with ${other}, which is not in that list then`];
  if (ids.some((item, i) => item !== then.items[i]!.id)) return ['page: out of order', `${said}: ${ids.join(', ')}`];

  return ['page: wrong count', `${said}: ${JSON.stringify({ ...seen, items: items.length })}`];
}

function exists(past: Past, list: SeenPage['list'], id: string, position: number): boolean {
  if (list === 'followers' || list === 'following') return past.author(id)?.asOf(position) !== undefined;
  if (list === 'notifications') return past.notification(id) !== undefined;

  return past.cheep(id)?.asOf(position) !== undefined;
}

function checkCheep(past: Past, { id, viewerId, row, from, to }: SeenCheep, whose: () => string, report: Report): void {
  const versions = past.cheep(id);
  const isSo = (at: number, then: ReturnType<NonNullable<typeof versions>['asOf']>): boolean => {
    if (row === null || !then || then.isDeleted) return row === null && (!then || then.isDeleted);

    return (
      row.message === then.message &&
      row.version === then.version &&
      row.likesCount === then.likes &&
      row.repliesCount === then.replies &&
      (row.likedByViewer === undefined || row.likedByViewer === (viewerId === null ? null : past.isLiking(viewerId, id, at)))
    );
  };
  if (!versions) {
    if (row !== null) report('row: phantom', `${whose()} saw the cheep ${id}, which nobody posted`);
    return;
  }
  for (const { at, value } of versions.between(from, to)) if (isSo(at, value)) return;
  const said = `${whose()} saw the cheep ${id} from ${from} to ${to} as ${JSON.stringify(row)}`;
  for (const { at, value } of versions.between(0, from)) if (isSo(at, value)) return report('row: stale', `${said}: that was so at ${at}`);
  report('row: wrong', `${said}, and it was ${JSON.stringify(versions.asOf(from) ?? null)} at ${from}`);
}

function checkAuthor(past: Past, { id, viewerId, row, from, to }: SeenAuthor, whose: () => string, report: Report): void {
  const versions = past.author(id);
  const isSo = (at: number, then: ReturnType<NonNullable<typeof versions>['asOf']>): boolean => {
    if (row === null || !then) return row === null && !then;

    return (
      row.name === then.name &&
      row.version === then.version &&
      row.followersCount === then.followers &&
      row.followingCount === then.following &&
      row.cheepsCount === then.cheeps &&
      (row.isFollowedByViewer === undefined || row.isFollowedByViewer === (viewerId === null ? null : past.isFollowing(viewerId, id, at)))
    );
  };
  if (!versions) {
    if (row !== null) report('row: phantom', `${whose()} saw the author ${id}, who never signed up`);
    return;
  }
  for (const { at, value } of versions.between(from, to)) if (isSo(at, value)) return;
  const said = `${whose()} saw the author ${id} from ${from} to ${to} as ${JSON.stringify(row)}`;
  for (const { at, value } of versions.between(0, from)) if (isSo(at, value)) return report('row: stale', `${said}: that was so at ${at}`);
  report('row: wrong', `${said}, and it was ${JSON.stringify(versions.asOf(from) ?? null)} at ${from}`);
}

function describe(operation: Operation): string {
  const what =
    operation.kind === 'write'
      ? `${operation.command.name} ${operation.command.commandId}`
      : operation.kind === 'read'
        ? operation.name
        : `the handover from ${operation.from}`;

  return `${operation.session}'s ${what} at ${Math.round(operation.start)} ms`;
}
