/** Everything that can be asked, compared with what the model says. */
import { expect } from '@jest/globals';
import { eventually } from '../system.js';
import { AUTHOR, CHEEP, FUNNEL, NODES, PAGES, UNKNOWN } from './face.js';
import { percentile, type Author, type Cheep, type FunnelStep, type Listed, type Town } from './model.js';
import type { World } from './world.js';

/** Who looks; null for nobody who is signed in. */
export type Viewer = string | null;

// ---- Things, as the public face shows them

/** The id of what stands where a cheep was. */
const deletedId = (cheepId: string) => `DeletedCheep:${cheepId}`;

const nameTag = (town: Town, id: string) => ({ id, username: town.author(id).username });

/** An author as `viewerId` sees it; null when there is none. */
export function authorView(town: Town, author: Author | undefined, viewerId: Viewer) {
  if (!author) return null;
  const { id, version, username, email, profile, signedUpAt, following } = author;

  return {
    id,
    version,
    username,
    ...profile,
    email: id === viewerId ? email : null,
    signedUpAt,
    followersCount: town.followersOf(id).length,
    followingCount: following.size,
    cheepsCount: town.cheepsOf(id).length,
    isFollowedByViewer: viewerId && town.author(viewerId).following.has(id),
  };
}

function cardView(town: Town, cheep: Cheep, viewerId: Viewer) {
  const { id, version, message, postedAt, editedAt, likers, authorId } = cheep;

  return {
    id,
    version,
    message,
    postedAt,
    editedAt,
    likesCount: likers.size,
    likedByViewer: viewerId && likers.has(viewerId),
    repliesCount: town.repliesTo(id).length,
    author: nameTag(town, authorId),
  };
}

/** A cheep as `viewerId` sees it; null when there is none, or none any more. */
export function cheepView(town: Town, cheep: Cheep | undefined, viewerId: Viewer) {
  if (!cheep || cheep.isDeleted) return null;
  const reply = ({ id, message, isDeleted }: Cheep) =>
    isDeleted ? { __typename: 'DeletedCheep', id: deletedId(id), cheepId: id } : { __typename: 'Cheep', id, message };
  const ancestors = town.ancestorsOf(cheep.id).map(reply);

  return {
    ...cardView(town, cheep, viewerId),
    mentions: cheep.mentions.map(({ start, end, authorId }) => ({ start, end, author: nameTag(town, authorId) })),
    inReplyTo: ancestors.at(-1) ?? null,
    ancestors,
  };
}

// ---- Lists

export type ListName = keyof typeof PAGES;

interface List {
  /** The whole list, in its order; null where the face shows null instead of a list. */
  items: (town: Town, of: string, viewerId: Viewer) => Listed[] | null;
  isAscending?: boolean;
  /** What a node shows. */
  node: (town: Town, item: Listed, of: string, viewerId: Viewer) => unknown;
  counts?: (town: Town, of: string, items: Listed[]) => object;
}

const cardNode: List['node'] = (town, { id }, _, viewerId) => cardView(town, town.cheeps.get(id)!, viewerId);
const personNode: List['node'] = (town, { id }, _, viewerId) => ({
  ...nameTag(town, id),
  followersCount: town.followersOf(id).length,
  isFollowedByViewer: viewerId && town.author(viewerId).following.has(id),
});
const totalCount: List['counts'] = (_, __, items) => ({ totalCount: items.length });

function happeningNode(history: { position: number; at: string; event: string; changes: object[] }[], place: number | string) {
  const { position, at, event, changes } = history.find((happening) => happening.position === place)!;

  return { position: String(position), event, schemaVersion: expect.any(Number), at, changes: expect.arrayContaining(changes) };
}
const happeningsOf = (history: { position: number }[]) =>
  history.map(({ position }) => ({ id: String(position), place: position })).reverse();

const LISTS: Record<ListName, List> = {
  followers: { items: (town, id) => town.followersOf(id), node: personNode, counts: totalCount },
  following: { items: (town, id) => town.followingOf(id), node: personNode, counts: totalCount },
  cheeps: { items: (town, id) => town.cheepsOf(id), node: cardNode },
  replies: { items: (town, id) => town.repliesTo(id), isAscending: true, node: cardNode },
  timeline: { items: (town, id) => town.timelineOf(id), node: cardNode },
  search: { items: (town, prefix) => town.search(prefix), isAscending: true, node: personNode, counts: totalCount },
  authorHistory: {
    items: (town, id, viewerId) => (id === viewerId ? happeningsOf(town.author(id).history) : null),
    node: (town, { place }, id) => happeningNode(town.author(id).history, place),
  },
  cheepHistory: {
    items: (town, id, viewerId) => (town.cheeps.get(id)!.authorId === viewerId ? happeningsOf(town.cheeps.get(id)!.history) : null),
    node: (town, { place }, id) => happeningNode(town.cheeps.get(id)!.history, place),
  },
  notifications: {
    items: (town, id) => town.notificationsOf(id),
    node: (town, item) => noticeView(town, item as ReturnType<Town['notificationsOf']>[number]),
    counts: (town, id) => ({ unreadCount: town.unreadCountOf(id) }),
  },
};

function noticeView(town: Town, { notice, isRead }: ReturnType<Town['notificationsOf']>[number]) {
  const cheep = (id: string) => ({ id, message: town.cheeps.get(id)!.message });
  const base = { id: expect.any(String), at: expect.any(String), read: isRead };
  switch (notice.kind) {
    case 'WELCOME':
      return { __typename: 'WelcomeNotification', ...base };
    case 'FOLLOW':
      return { __typename: 'FollowNotification', ...base, follower: nameTag(town, notice.followerId) };
    case 'REPLY':
      return { __typename: 'ReplyNotification', ...base, cheep: cheep(notice.cheepId) };
    case 'MENTION':
      return { __typename: 'MentionNotification', ...base, cheep: cheep(notice.cheepId) };
    case 'LIKE':
      return { __typename: 'LikeNotification', ...base, cheep: cheep(notice.cheepId), author: nameTag(town, notice.likerId) };
  }
}

interface Connection {
  edges: { cursor: string; node: { id?: string; position?: string } }[];
  nodes: { id?: string; position?: string }[];
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null };
}

/** Where a page ended. */
export interface Bookmark {
  cursor: string;
  place: number | string;
}

/** Reads the page after `after` and compares it: which items, in which order, what each shows. Where to go on; null at the end. */
export async function readPage(
  { face, town, tokens }: World,
  name: ListName,
  of: string,
  viewerId: Viewer,
  first: number,
  after: Bookmark | null,
): Promise<Bookmark | null> {
  const list = LISTS[name];
  const all = list.items(town, of, viewerId);
  const variables = { id: of, first, after: after?.cursor ?? null };
  type Data = { list?: Connection | null; owner?: { list: Connection | null } };
  const data = await face.read<Data>(PAGES[name], variables, tokens.get(viewerId ?? '') ?? null);
  const connection = 'owner' in data ? data.owner!.list : data.list!;
  const what = { list: name, variables, viewerId };
  if (all === null || connection === null) {
    expect({ ...what, connection }).toEqual({ ...what, connection: all });

    return null;
  }
  const isBeyond = ({ place }: Listed) => after === null || (list.isAscending ? place > after.place : place < after.place);
  const rest = all.filter(isBeyond);
  const items = rest.slice(0, first);
  const cursors = connection.edges.map(({ cursor }) => cursor);
  expect({ ...what, ...connection }).toEqual({
    ...what,
    edges: connection.nodes.map(({ id, position }) => ({ cursor: expect.any(String), node: id === undefined ? { position } : { id } })),
    nodes: items.map((item) => list.node(town, item, of, viewerId)),
    pageInfo: {
      hasNextPage: rest.length > first,
      hasPreviousPage: after === null ? false : expect.any(Boolean),
      startCursor: cursors[0] ?? null,
      endCursor: cursors.at(-1) ?? null,
    },
    ...list.counts?.(town, of, all),
  });
  expect(new Set(cursors).size).toBe(cursors.length);
  if (name === 'notifications') learnIds(town, of, items, connection);
  const last = items.at(-1);

  return rest.length > first && last ? { cursor: cursors.at(-1)!, place: last.place } : null;
}

/** Leafs through the whole list. */
async function readAll(world: World, name: ListName, of: string, viewerId: Viewer, first: number): Promise<void> {
  let after: Bookmark | null = null;
  do after = await readPage(world, name, of, viewerId, first, after);
  while (after);
}

/** One notice has one id for ever, and no other has it. */
function learnIds(town: Town, recipientId: string, items: Listed[], { nodes }: Connection): void {
  items.forEach(({ place }, i) => {
    const notice = { recipientId, index: place as number };
    const { id } = nodes[i]!;
    expect({ id, ...(town.noticeIds.get(id!) ?? notice) }).toEqual({ id, ...notice });
    const known = [...town.noticeIds].find(([, { recipientId: to, index }]) => to === recipientId && index === place);
    expect(known?.[0] ?? id).toBe(id);
    town.noticeIds.set(id!, notice);
  });
}

/** Waits until the newest of an author's notifications are all there, and not one more. */
export async function notificationsArrive({ face, town, tokens }: World, authorId: string): Promise<void> {
  const expected = () => ({
    kinds: town
      .notificationsOf(authorId)
      .slice(0, 100)
      .map(({ notice }) => `${notice.kind[0]}${notice.kind.slice(1).toLowerCase()}Notification`),
    unreadCount: town.unreadCountOf(authorId),
  });
  let seen: unknown;
  await eventually(
    async () => {
      const { list } = await face.read<{ list: { nodes: { __typename: string }[]; unreadCount: number } }>(
        PAGES.notifications,
        { first: 100 },
        tokens.get(authorId)!,
      );
      seen = { kinds: list.nodes.map(({ __typename }) => __typename), unreadCount: list.unreadCount };

      return JSON.stringify(seen) === JSON.stringify(expected());
    },
    () => `the notifications of ${authorId} are ${JSON.stringify(expected())}: they are ${JSON.stringify(seen)}`,
    15_000,
  );
}

// ---- All of it

/** Some number below `n`, another one each time, the same in each replay. */
function turns(start: number): (n: number) => number {
  let turn = start;

  return (n) => (turn = (turn * 31 + 7) % 9_973) % n;
}

/** Compares everything that there is with the model; `from` decides who looks at what, and in pages of which size. */
export async function lookAround(world: World, from: number): Promise<void> {
  const { town, face, tokens } = world;
  const turn = turns(from);
  const people = [...town.authors.keys()];
  const someViewer = (): Viewer => [null, ...people][turn(people.length + 1)]!;
  const someSize = () => 1 + turn(turn(3) === 0 ? 100 : 7);
  const looks: (() => Promise<void>)[] = [];
  const lists = (of: string, viewerId: Viewer, ...names: ListName[]) => {
    for (const name of names) {
      const size = someSize();
      looks.push(() => readAll(world, name, of, viewerId, size));
    }
  };

  for (const author of town.authors.values()) {
    const { id } = author;
    const viewerId = someViewer();
    const username = turn(2) ? author.username.toUpperCase() : author.username.toLowerCase();
    looks.push(async () => {
      const data = await face.read(AUTHOR, { id, username }, tokens.get(viewerId ?? '') ?? null);
      const view = authorView(town, author, viewerId);
      const viewer = authorView(town, viewerId === null ? undefined : town.author(viewerId), viewerId);
      expect({ id, viewerId, data }).toEqual({
        id,
        viewerId,
        data: { author: view, authorByUsername: view, node: { __typename: 'Author', id }, viewer },
      });
    });
    lists(id, viewerId, 'followers', 'following', 'cheeps', 'timeline', 'authorHistory');
    lists(id, id, 'authorHistory');
    looks.push(async () => {
      await notificationsArrive(world, id);
      await readAll(world, 'notifications', id, id, 1 + (author.notices.length % 5));
      await lookAtNodes(world, id, viewerId);
    });
  }
  for (const cheep of town.cheeps.values()) {
    const { id } = cheep;
    const viewerId = turn(3) === 0 ? cheep.authorId : someViewer();
    looks.push(async () => {
      const data = await face.read(CHEEP, { id, deletedId: deletedId(id) }, tokens.get(viewerId ?? '') ?? null);
      const view = cheepView(town, cheep, viewerId);
      const deleted = cheep.isDeleted ? { __typename: 'DeletedCheep', id: deletedId(id), cheepId: id } : null;
      expect({ id, viewerId, data }).toEqual({ id, viewerId, data: { cheep: view, node: view && { __typename: 'Cheep', id }, deleted } });
    });
    if (!cheep.isDeleted) lists(id, viewerId, 'replies', 'cheepHistory');
  }
  const { username } = town.author(people[turn(people.length)]!);
  for (const prefix of [world.tag, username.slice(0, 4 + turn(4)), username.toUpperCase(), `${username}_x`])
    lists(prefix, someViewer(), 'search');
  looks.push(
    () => lookAtNobody(world),
    () => lookAtFunnel(world, turn),
  );

  await inTurn(looks, 24);
}

/** Notifications by their ids: their reader's, and nobody else's. */
async function lookAtNodes({ town, face, tokens, unknownId }: World, readerId: string, viewerId: Viewer): Promise<void> {
  const places = new Map(town.notificationsOf(readerId).map(({ place, notice }) => [place, notice]));
  const told = [...town.noticeIds].flatMap(([id, { recipientId, index }]) => {
    const { kind } = (recipientId === readerId && places.get(index)) || {};

    return kind ? [{ id, __typename: `${kind[0]}${kind.slice(1).toLowerCase()}Notification` }] : [];
  });
  const own = told.slice(0, 40);
  const ids = [readerId, unknownId, ...own.map(({ id }) => id), readerId.toUpperCase()];
  for (const who of [readerId, viewerId]) {
    const { nodes } = await face.read<{ nodes: unknown[] }>(NODES, { ids }, tokens.get(who ?? '') ?? null);
    const reader = { __typename: 'Author', id: readerId };
    expect({ ids, who, nodes }).toEqual({ ids, who, nodes: [reader, null, ...own.map((one) => (who === readerId ? one : null)), reader] });
  }
}

/** Ids and names that are nobody's: what was never there, and names that somebody had once. */
async function lookAtNobody({ town, face, unknownId, formerNames }: World): Promise<void> {
  const free = formerNames.filter((name) => !town.byUsername(name));
  for (const username of ['nobody_at_all', 'no name', ...free.slice(-3)]) {
    const data = await face.read(UNKNOWN, { id: unknownId, username }, null);
    expect({ username, data }).toEqual({
      username,
      data: { author: null, authorByUsername: null, cheep: null, node: null, command: null, timeline: { nodes: [] } },
    });
  }
}

async function lookAtFunnel({ town, face }: World, turn: (n: number) => number): Promise<void> {
  const moments = [...town.authors.values()].map(({ signedUpAt }) => Date.parse(signedUpAt)).sort((a, b) => a - b);
  const begin = moments[turn(moments.length)]!;
  const end = Math.max(begin + 1, moments[turn(moments.length)]!);
  for (const [from, to] of [
    [moments[0]!, moments.at(-1)! + 1],
    [begin, end],
  ] as const) {
    const variables = { from: new Date(from), to: new Date(to) };
    const { funnel } = await face.read<{ funnel: unknown }>(FUNNEL, variables, null);
    const { signedUp, steps } = town.funnel(from, to);
    const step = (name: FunnelStep) => ({
      name,
      reached: steps[name].length,
      medianSeconds: percentile(steps[name], 0.5),
      p90Seconds: percentile(steps[name], 0.9),
    });
    expect({ variables, funnel }).toEqual({
      variables,
      funnel: { signedUp, steps: [step('FOLLOWED_SOMEBODY'), step('POSTED'), step('POSTED_ON_ANOTHER_DAY')], asOf: expect.any(String) },
    });
  }
}

/** A few at a time; nothing is under way any more when it throws. */
async function inTurn(tasks: (() => Promise<void>)[], atOnce: number): Promise<void> {
  const waiting = tasks.values();
  const hands = await Promise.allSettled(
    Array.from({ length: atOnce }, async () => {
      for (const task of waiting) await task();
    }),
  );
  const failed = hands.find((hand) => hand.status === 'rejected');
  if (failed) throw failed.reason;
}
