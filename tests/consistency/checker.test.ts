/** The checker itself: it finds nothing in honest histories, and every fault that is planted in them, by its name. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { CommandRefused, CommandHadNoEffect, Event } from '../../shared/messages/event.js';
import { SYSTEM } from '../../shared/ids.js';
import { check, type ViolationKind } from './checker.js';
import type { Handover, LiveFrame, LiveLog, LiveStep, Read, SeenCheep, SeenPage, Write } from './history.js';
import { honest, longHonest, type Honest } from './honest.js';

const RUNS = 200;

describe('an honest history', () => {
  it('has no violation', () => {
    fc.assert(
      fc.property(honest(), ({ journal, history }) => {
        expect(check(journal, history)).toEqual([]);
      }),
      { numRuns: 5 * RUNS },
    );
  });

  it('is checked in a time that grows as its length does', () => {
    const bestMs = (length: number) => {
      const { journal, history } = longHonest(length);
      const times = Array.from({ length: 4 }, () => {
        const start = performance.now();
        expect(check(journal, history)).toEqual([]);
        return performance.now() - start;
      });

      return Math.min(...times);
    };
    bestMs(2_000); // Compiled by then.
    // Ten times the history; the square of that would be a hundred times the time.
    expect(bestMs(20_000)).toBeLessThan(30 * bestMs(2_000));
  });
});

// ---- What can be planted somewhere

/** One of the things that there are, by a number; the run does not count where there is none. */
function oneOf<T>(things: T[], n: number): T {
  fc.pre(things.length > 0);

  return things[n % things.length]!;
}

const reads = ({ history }: Honest) => history.operations.filter((one): one is Read => one.kind === 'read');
const writes = ({ history }: Honest) => history.operations.filter((one): one is Write => one.kind === 'write');
const known = (world: Honest) => writes(world).filter(({ report }) => report !== null);
const pages = (world: Honest) => reads(world).flatMap(({ seen }) => seen.filter((one): one is SeenPage => one.type === 'page'));
const rows = (world: Honest) =>
  [...reads(world), ...writes(world)].flatMap(({ seen }) =>
    seen.filter((one): one is SeenCheep => one.type === 'cheep' && one.row !== null),
  );
const entryOf = ({ journal }: Honest, { report }: Write) => journal[report!.position - 1]!;
const isNews = (one: LiveStep | undefined): one is LiveFrame => one?.type === 'frame' && one.kind !== 'live' && one.kind !== 'reset';
const isReset = (one: LiveStep): one is LiveFrame => one.type === 'frame' && one.kind === 'reset';

/** A step of a log, by what it is. */
function stepOf(world: Honest, n: number, is: (step: LiveStep, i: number, log: LiveLog) => boolean): { log: LiveLog; i: number } {
  return oneOf(
    world.history.logs.flatMap((log) => log.steps.flatMap((step, i) => (is(step, i, log) ? [{ log, i }] : []))),
    n,
  );
}

/** Pairs of one session's operations, the first before the second. */
function pairs<A extends { session: string }, B extends { session: string }>(
  { history }: Honest,
  isFirst: (one: unknown) => one is A,
  isSecond: (one: unknown) => one is B,
): [A, B][] {
  return history.operations.flatMap((first, i) =>
    isFirst(first)
      ? history.operations
          .slice(i + 1)
          .flatMap((second): [A, B][] => (isSecond(second) && second.session === first.session ? [[first, second]] : []))
      : [],
  );
}
const isRead = (one: unknown): one is Read & { report: object } => (one as Read).kind === 'read';
const isKnownWrite = (one: unknown): one is Write => (one as Write).kind === 'write' && (one as Write).report !== null;
const isHandover = (one: unknown): one is Handover => (one as Handover).kind === 'handover' && (one as Handover).token > 0;

const nothing: CommandHadNoEffect = { type: 'CommandHadNoEffect' };
const refused: CommandRefused = { type: 'CommandRefused', code: 'INVALID', field: null };

/** Two entries of the journal change places, and the answers that told of them too. */
function exchange(world: Honest, a: Write, b: Write): void {
  const [one, other] = [entryOf(world, a), entryOf(world, b)];
  [one.position, other.position] = [other.position, one.position];
  world.journal.sort((x, y) => x.position - y.position);
  const told = (write: Write, position: number) => {
    write.report = { ...write.report!, position, token: position };
    write.seen = [];
  };
  const [from, to] = [a.report!.position, b.report!.position];
  told(a, to);
  told(b, from);
}

const faults: [string, ViolationKind[], (world: Honest, n: number) => void][] = [
  // ---- Effects
  ['a gap in the journal', ['gap in the journal'], ({ journal }, n) => void journal.splice(n % (journal.length - 1), 1)],
  [
    'a lost write',
    ['lost write'],
    (world, n) => {
      const entry = entryOf(world, oneOf(known(world), n));
      Object.assign(entry, { actorId: SYSTEM, commandId: 'another', event: nothing });
    },
  ],
  [
    'a doubled write',
    ['doubled write'],
    (world, n) => void world.journal.push({ ...entryOf(world, oneOf(known(world), n)), position: world.journal.length + 1 }),
  ],
  [
    'a phantom write',
    ['phantom write'],
    (world, n) =>
      void world.journal.push({
        ...entryOf(world, oneOf(known(world), n)),
        position: world.journal.length + 1,
        commandId: 'nobody sent it',
      }),
  ],
  [
    'a write that was done, and refused',
    ['another effect'],
    (world, n) => {
      const write = oneOf(known(world), n);
      write.outcome = write.outcome === 'COMMITTED' ? 'REJECTED' : 'COMMITTED';
    },
  ],
  [
    'a write that became something else',
    ['another effect'],
    (world, n) => {
      const posts = known(world).filter((write) => entryOf(world, write).event.type === 'CheepPosted');
      const entry = entryOf(world, oneOf(posts, n));
      entry.event = { ...entry.event, message: 'nobody said so' } as Event;
    },
  ],
  ['an answer with another position', ['another effect'], (world, n) => void (oneOf(known(world), n).report!.position -= 1)],
  [
    'a command that was answered in two ways',
    ['another effect'],
    (world, n) => {
      const write = oneOf(known(world), n);
      write.twin = { outcome: write.outcome, position: write.report!.position + 1 };
    },
  ],
  [
    'a refusal without a reason',
    ['wrong decision'],
    (world, n) => {
      const write = oneOf(
        known(world).filter(({ outcome }) => outcome === 'COMMITTED'),
        n,
      );
      write.outcome = 'REJECTED';
      entryOf(world, write).event = refused;
    },
  ],
  [
    'an effect that was forgotten',
    ['wrong decision'],
    (world, n) => {
      const liked = known(world).filter((write) => entryOf(world, write).event.type === 'CheepLiked');
      entryOf(world, oneOf(liked, n)).event = nothing;
    },
  ],

  // ---- Sessions
  [
    'a read that is older than the session’s write',
    ['read your writes'],
    (world, n) => {
      const [write, read] = oneOf(pairs(world, isKnownWrite, isRead), n);
      read.report.position = write.report!.position - 1;
    },
  ],
  [
    'a read that is older than the session’s last read',
    ['monotonic reads'],
    (world, n) => {
      const [first, second] = oneOf(pairs(world, isRead, isRead), n);
      second.report.position = first.report.token - 1;
    },
  ],
  [
    'a read that is older than a friend’s token',
    ['stale after a handover'],
    (world, n) => {
      const [handover, read] = oneOf(pairs(world, isHandover, isRead), n);
      read.report.position = handover.token - 1;
    },
  ],
  ['a stale answer that nobody allowed', ['read your writes'], (world, n) => void (oneOf(reads(world), n).report!.satisfied = false)],
  [
    'a session’s writes in another order',
    ['monotonic writes'],
    (world, n) => exchange(world, ...oneOf(pairs(world, isKnownWrite, isKnownWrite), n)),
  ],
  [
    'two sessions’ writes in another order than they were made',
    ['real-time order'],
    (world, n) => {
      const all = known(world);
      const i = n % Math.max(1, all.length - 1);
      fc.pre(all[i] !== undefined && all[i + 1] !== undefined && all[i].session !== all[i + 1]!.session);
      exchange(world, all[i], all[i + 1]!);
    },
  ],
  [
    'a write that stands before what its session had read',
    ['writes follow reads'],
    (world, n) => {
      const [read, write] = oneOf(pairs(world, isRead, isKnownWrite), n);
      read.report.token = write.report!.position;
    },
  ],
  [
    'a token that goes back',
    ['token'],
    (world, n) => {
      const [first, second] = oneOf(pairs(world, isKnownWrite, isRead), n);
      second.report = { ...second.report, position: 0, token: first.report!.position - 1 };
    },
  ],

  // ---- Pages and rows
  [
    'a page without one of its items',
    // Without its newest, it is what it was.
    ['page: missing item', 'page: stale'],
    (world, n) =>
      void oneOf(
        pages(world).filter(({ items }) => items.length > 1),
        n,
      ).items.splice(n % 2, 1),
  ],
  [
    'a page with an item twice',
    ['page: repeated item'],
    (world, n) => {
      const { items } = oneOf(
        pages(world).filter((page) => page.items.length > 0),
        n,
      );
      items.splice(n % items.length, 0, items[n % items.length]!);
    },
  ],
  [
    'a page with two items in the wrong order',
    ['page: out of order'],
    (world, n) => {
      const { items } = oneOf(
        pages(world).filter((page) => page.items.length > 1),
        n,
      );
      const i = n % (items.length - 1);
      items.splice(i, 2, items[i + 1]!, items[i]!);
    },
  ],
  [
    'a page with a cheep that nobody posted',
    ['page: phantom item'],
    (world, n) => {
      const { items } = oneOf(pages(world), n);
      items.splice(n % (items.length + 1), 0, { id: 'phantom', place: 1 });
    },
  ],
  [
    'a page with somebody else’s cheep',
    ['page: item of another time'],
    (world, n) => {
      const page = oneOf(
        pages(world).filter(({ list, hasNextPage }) => list === 'cheeps' && !hasNextPage),
        n,
      );
      const others = world.journal.flatMap(({ event, position }) =>
        event.type === 'CheepPosted' && event.authorId !== page.id ? [{ id: event.cheepId, place: position }] : [],
      );
      page.items.push(oneOf(others, n));
    },
  ],
  [
    'a page that is older than it says',
    ['page: stale'],
    (world, n) => {
      const stale = pages(world).flatMap((page) => {
        const { list, id, from, to, first, after } = page;
        const old = world.town.seePage(list, id, Math.max(0, from - 1 - (n % 9)), first, after);
        const isSo = (position: number) => sameItems(old, world.town.seePage(list, id, position, first, after));
        const isSoSomewhere = Array.from({ length: to - from + 1 }, (_, i) => from + i).some(isSo);

        return isSoSomewhere ? [] : [{ page, old }];
      });
      const { page, old } = oneOf(stale, n);
      Object.assign(page, { ...old, from: page.from, to: page.to });
    },
  ],
  [
    'a wrong count',
    // One more may be right: the page may be as of any of several positions.
    ['page: wrong count'],
    (world, n) =>
      void (oneOf(
        pages(world).filter(({ totalCount }) => totalCount !== undefined),
        n,
      ).totalCount! += 1_000),
  ],
  [
    'a row that is older than its list',
    ['row: stale'],
    (world, n) => {
      const stale = rows(world).flatMap((row) => {
        const { id, viewerId, from, to } = row;
        const see = (position: number) => JSON.stringify(world.town.seeCheep(id, viewerId!, 0, position).row);
        const old = world.town.seeCheep(id, viewerId!, 0, Math.max(0, from - 1 - (n % 9)));
        const isSo = Array.from({ length: to - from + 1 }, (_, i) => from + i).some(
          (position) => see(position) === JSON.stringify(old.row),
        );

        return isSo ? [] : [{ row, old }];
      });
      const { row, old } = oneOf(stale, n);
      row.row = old.row;
    },
  ],
  ['a row that never was', ['row: wrong'], (world, n) => void (oneOf(rows(world), n).row!.message = 'nobody said so')],
  ['a count of likes that never was', ['row: wrong'], (world, n) => void (oneOf(rows(world), n).row!.likesCount += 5)],
  ['a row of a cheep that nobody posted', ['row: phantom'], (world, n) => void (oneOf(rows(world), n).id = 'phantom')],

  // ---- Subscriptions
  [
    'a frame that was dropped',
    ['frame: missing', 'incomplete'],
    (world, n) => {
      const { log, i } = stepOf(world, n, isNews);
      log.steps.splice(i, 1);
    },
  ],
  [
    'a frame that came twice',
    ['frame: repeated'],
    (world, n) => {
      const { log, i } = stepOf(world, n, isNews);
      log.steps.splice(i + 1, 0, log.steps[i]!);
    },
  ],
  [
    'two frames that changed places',
    ['frame: out of order'],
    (world, n) => {
      const { log, i } = stepOf(world, n, (step, at, { steps }) => isNews(step) && isNews(steps[at + 1]));
      log.steps.splice(i, 2, log.steps[i + 1]!, log.steps[i]!);
    },
  ],
  [
    'a frame about a cheep that nobody posted',
    ['frame: phantom', 'frame: wrong'],
    (world, n) => {
      const { log, i } = stepOf(world, n, (step) => isNews(step) && step.at.position < world.journal.length);
      const position = (log.steps[i] as LiveFrame).at.position + 1;
      fc.pre(!log.steps.some((step) => step.type === 'frame' && step.at.position === position));
      const phantom: LiveFrame = {
        type: 'frame',
        kind: 'added',
        at: { position, index: 0 },
        token: position,
        subject: 'phantom',
        reason: null,
        seen: null,
      };
      log.steps.splice(i + 1, 0, phantom);
    },
  ],
  [
    'a frame of after the journal’s end',
    ['frame: phantom'],
    (world, n) => {
      const { log, i } = stepOf(world, n, isNews);
      const frame = log.steps[i] as LiveFrame;
      log.steps.push({ ...frame, at: { position: world.journal.length + 1, index: 0 } });
    },
  ],
  [
    'a frame that tells something else',
    ['frame: wrong'],
    (world, n) => {
      const { log, i } = stepOf(world, n, isNews);
      const frame = log.steps[i] as LiveFrame;
      log.steps[i] = { ...frame, kind: frame.kind === 'edited' ? 'added' : 'edited' };
    },
  ],
  [
    'a frame with a token that goes back',
    ['token'],
    (world, n) => {
      const { log, i } = stepOf(world, n, (step, at, { steps }) => isNews(step) && isNews(steps[at - 1]));
      (log.steps[i] as LiveFrame).token -= 1;
    },
  ],
  [
    'a frame with a row that is older than it',
    ['row: stale', 'row: wrong'],
    (world, n) => {
      const { log, i } = stepOf(
        world,
        n,
        (step) => isNews(step) && step.kind === 'edited' && step.seen?.type === 'cheep' && step.seen.row !== null,
      );
      const { seen } = log.steps[i] as LiveFrame & { seen: SeenCheep };
      seen.row!.version -= 1;
    },
  ],
  [
    'a count of unread notifications that never was',
    ['frame: wrong'],
    (world, n) => {
      const { log, i } = stepOf(world, n, (step) => step.type === 'frame' && step.unreadCount !== undefined);
      (log.steps[i] as LiveFrame).unreadCount! += 1;
    },
  ],
  [
    'a reset that nothing caused',
    ['reset without a cause'],
    (world, n) => {
      const { log, i } = stepOf(
        world,
        n,
        (step, at, { steps }) => step.type === 'frame' && step.kind === 'live' && !isReset(steps[at - 2] ?? step),
      );
      const { at, token } = log.steps[i] as LiveFrame;
      const reason = oneOf(['FOLLOWED', 'UNFOLLOWED', 'CURSOR_TOO_OLD', 'TOO_SLOW', 'CHEEP_DELETED'], n);
      log.steps.splice(i + 1, 0, { type: 'frame', kind: 'reset', at, token, subject: null, reason, seen: null });
    },
  ],
  [
    'a reset for another reason',
    ['reset without a cause'],
    (world, n) => {
      const { log, i } = stepOf(world, n, isReset);
      const frame = log.steps[i] as LiveFrame;
      log.steps[i] = { ...frame, reason: frame.reason === 'FOLLOWED' ? 'UNFOLLOWED' : 'FOLLOWED' };
    },
  ],
  [
    'a reset that was dropped',
    ['frame: missing', 'incomplete'],
    (world, n) => {
      const { log, i } = stepOf(world, n, isReset);
      log.steps.splice(i, 1);
    },
  ],
  [
    'a reset after which nobody fetched the page',
    ['reset without a page'],
    (world, n) => {
      const { log, i } = stepOf(world, n, (step, at, { steps }) => isReset(step) && !steps.slice(at + 2).some(isReset));
      fc.pre(log.steps[i + 1]?.type === 'page');
      log.steps.splice(i + 1, 1);
    },
  ],
  [
    'a page after a reset that is older than it',
    ['page: stale'],
    (world, n) => {
      const { log, i } = stepOf(world, n, (step, at, { steps }) => isReset(step) && steps[at + 1]?.type === 'page');
      const { page } = log.steps[i + 1] as LiveStep & { type: 'page' };
      const { list, id, from, first } = page;
      log.steps[i + 1] = { type: 'page', page: world.town.seePage(list, id, from - 1, first, null), root: null };
    },
  ],
  [
    'a subscription that ends too early',
    ['incomplete'],
    (world, n) => {
      const { log, i } = stepOf(world, n, (step, at, { steps }) => isNews(step) && steps.slice(0, at).some(isNews));
      log.steps.splice(i);
    },
  ],
  [
    'a thread’s page that shows its cheep as it was before an edit that no frame tells',
    ['row: stale'],
    (world, n) => {
      const { log, i } = stepOf(world, n, (step) => {
        return step.type === 'page' && step.root?.row?.version !== undefined && step.root.row.version > 1;
      });
      const { page, root } = log.steps[i] as LiveStep & { type: 'page'; root: SeenCheep };
      const edited = world.journal.findLast(
        ({ position, event }) => position <= page.from && event.type === 'CheepEdited' && event.cheepId === root.id,
      )!;
      const old = world.town.seeCheep(root.id, 'ann', edited.position - 1, edited.position - 1);
      log.steps[i] = { type: 'page', page, root: { ...old, to: page.from } };
    },
  ],
  [
    'a page that lacks what no frame brings',
    ['page and frames do not make the later page'],
    (world, n) => {
      const isDeleted = (id: string) => world.journal.some(({ event }) => event.type === 'CheepDeleted' && event.cheepId === id);
      const isIt = (step: LiveStep) =>
        step.type === 'page' && step.page.list === 'timeline' && step.page.items.length > 1 && !isDeleted(step.page.items[0]!.id);
      const { log, i } = stepOf(world, n, isIt);
      const { page } = log.steps[i] as LiveStep & { type: 'page' };
      page.items.splice(0, 1);
    },
  ],
];

const sameItems = (one: SeenPage, other: SeenPage) =>
  JSON.stringify({ ...one, from: 0, to: 0 }) === JSON.stringify({ ...other, from: 0, to: 0 });

describe('a planted fault is found:', () => {
  it.each(faults)('%s', (_, kinds, plant) => {
    fc.assert(
      fc.property(honest(), fc.nat(9_999), ({ journal, history, town }, n) => {
        const world: Honest = { ...structuredClone({ journal, history }), town };
        plant(world, n);
        const found = check(world.journal, world.history);
        if (!found.some(({ kind }) => kinds.includes(kind))) throw new Error(`found only ${JSON.stringify(found, null, 1)}`);
      }),
      { numRuns: RUNS },
    );
  });
});
