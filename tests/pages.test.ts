/** Pages are exact while cheeps are deleted between a list and its rows, and cost the same round trips whatever the data's size. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { parseResumeCursor } from '../gateway/resume-cursor.js';
import { newId } from '../shared/ids.js';
import type { Event } from '../shared/messages/event.js';
import { deleted, posted, Projected, signedUp } from './projected.js';
import { eventually } from './system.js';

let projected: Projected;
afterEach(() => projected?.end());

interface CheepPage {
  edges: { cursor: string; node: { id: string } }[];
  nodes: { id: string; author: { username: string } }[];
  pageInfo: { hasNextPage: boolean };
  resumeCursor: string | null;
}

const PAGE = '{ edges { cursor node { id } } nodes { id author { username } } pageInfo { hasNextPage } resumeCursor }';

/** Alice follows Bob, who has answered Alice's question five times. */
async function begin() {
  projected = await Projected.begin();
  const [alice, bob, question] = [newId(), newId(), newId()];
  const answers = Array.from({ length: 5 }, () => newId());
  await projected.happened([
    signedUp(alice, 'alice'),
    signedUp(bob, 'bob'),
    { type: 'AuthorFollowed', followerId: alice, followedId: bob },
    posted(alice, question),
    ...answers.map((id) => posted(bob, id, question)),
  ]);

  return { alice, bob, question, answers };
}
type Begun = Awaited<ReturnType<typeof begin>>;

/** Each list of cheeps (read with its owner): how it is asked for, in which wave its rows are read, and whether the newest come first. */
const lists: [string, number, boolean, (begun: Begun) => string, (data: Record<string, unknown>) => CheepPage][] = [
  ['timeline', 2, true, ({ alice }) => `{ timeline(authorId: "${alice}", first: 3) ${PAGE} }`, (data) => data.timeline as CheepPage],
  [
    'cheeps',
    2,
    true,
    ({ bob }) => `{ author(id: "${bob}") { cheeps(first: 3) ${PAGE} } }`,
    (data) => (data.author as { cheeps: CheepPage }).cheeps,
  ],
  [
    'replies',
    2,
    false,
    ({ question }) => `{ cheep(id: "${question}") { replies(first: 3) ${PAGE} } }`,
    (data) => (data.cheep as { replies: CheepPage }).replies,
  ],
];

describe.each(lists)('a page of %s', (name, rowsWave, isNewestFirst, query, pageOf) => {
  const inOrder = (ids: string[]) => (isNewestFirst ? ids.toReversed() : ids);

  /** Deletes the list's second each time that its rows are about to be read, up to `times` times. */
  function deleteMeanwhile({ bob, question, answers }: Begun, times: number, ...known: string[]) {
    const live = inOrder(answers);
    projected.beforeWave = async (wave) => {
      // Each time the list is read in one wave, and its rows in the next.
      if (wave < rowsWave || (wave - rowsWave) % 2 === 1 || times === 0) return;
      times -= 1;
      const [gone] = live.splice(1, 1);
      await projected.happened([deleted(bob, gone!, question)], ...known);
    };

    return live;
  }

  it('is what it was as of its position, edges and nodes alike', async () => {
    const begun = await begin();
    const { data, errors } = await projected.ask(query(begun));
    expect(errors).toBeUndefined();
    const page = pageOf(data!);
    expect(page.nodes.map(({ id }) => id)).toEqual(inOrder(begun.answers).slice(0, 3));
    expect(page.nodes.every(({ author }) => author.username === 'bob')).toBe(true);
    expect(page.edges.map(({ node }) => node.id)).toEqual(page.nodes.map(({ id }) => id));
    expect(page.pageInfo.hasNextPage).toBe(true);
  });

  it('is whole, at a newer position, when one is deleted between the list and its rows', async () => {
    const begun = await begin();
    const before = projected.position;
    const live = deleteMeanwhile(begun, 1);
    const { data, errors } = await projected.ask(query(begun));
    expect(errors).toBeUndefined();
    const page = pageOf(data!);
    expect(projected.position).toBe(before + 1);
    expect(page.nodes.map(({ id }) => id)).toEqual(live.slice(0, 3));
    expect(page.edges.map(({ node }) => node.id)).toEqual(live.slice(0, 3));
    expect(page.pageInfo.hasNextPage).toBe(true);
    if (name === 'timeline') expect(parseResumeCursor(page.resumeCursor!).position).toBe(before + 1);
  });

  it('is whole when that happens again and again, and asks to be asked again when it does not end', async () => {
    const begun = await begin();
    const before = projected.position;
    const live = deleteMeanwhile(begun, 3);
    const { data, errors } = await projected.ask(query(begun));
    expect(errors).toBeUndefined();
    expect(projected.position).toBe(before + 3);
    expect(pageOf(data!).nodes.map(({ id }) => id)).toEqual(live);
    expect(pageOf(data!).pageInfo.hasNextPage).toBe(false);

    const more = Array.from({ length: 8 }, () => newId());
    await projected.happened(more.map((id) => posted(begun.bob, id, begun.question)));
    deleteMeanwhile({ ...begun, answers: more }, 8);
    if (!isNewestFirst) await projected.happened(begun.answers.map((id) => deleted(begun.bob, id, begun.question)));
    const { errors: endless } = await projected.ask(query(begun));
    expect(endless).toMatchObject([{ extensions: { code: 'NOT_CAUGHT_UP', retryable: true } }]);
  });

  it('loads nothing when neither nodes nor edges are asked for', async () => {
    const begun = await begin();
    const whole = query(begun);
    const bare = whole.replace(PAGE, '{ edges { cursor } pageInfo { endCursor } }');
    expect((await projected.ask(whole)).errors).toBeUndefined();
    const all = Math.max(...projected.sent.map(({ wave }) => wave));
    const { errors } = await projected.ask(bare);
    expect(errors).toBeUndefined();
    // Neither rows nor their authors.
    expect(Math.max(...projected.sent.map(({ wave }) => wave))).toBe(all - 2);
  });

  it('loads a row once, however often it is selected', async () => {
    const begun = await begin();
    await projected.ask(query(begun).replace(PAGE, '{ nodes { id message likesCount } }'));
    const once = projected.sent.length;
    const often = '{ n: nodes { id } nodes { message } edges { node { ...F } } }';
    const { errors } = await projected.ask(`query ${query(begun).replace(PAGE, often)} fragment F on Cheep { likesCount }`);
    expect(errors).toBeUndefined();
    expect(projected.sent).toHaveLength(once);
  });
});

describe('a timeline whose shard is behind those of its cheeps', () => {
  /** One cheep of the page is deleted before its rows are read, and only their projection knows yet. */
  async function beginBehind() {
    const { alice, bob, question, answers } = await begin();
    projected.beforeWave = async (wave) => {
      if (wave === 2) await projected.happened([deleted(bob, answers[3]!, question)], 'cheeps');
    };

    return { query: `{ timeline(authorId: "${alice}", first: 3) ${PAGE} }`, answers };
  }

  it('is waited for', async () => {
    const { query, answers } = await beginBehind();
    const asked = projected.ask(query, { waitMs: 5_000 });
    await eventually(() => projected.sent.some(({ wave }) => wave === 3), 'the list is read again');
    await projected.catchUp();
    const { data, errors } = await asked;
    expect(errors).toBeUndefined();
    expect((data!.timeline as CheepPage).nodes.map(({ id }) => id)).toEqual([answers[4], answers[2], answers[1]]);
  });

  it('is NOT_CAUGHT_UP at the deadline', async () => {
    const { query } = await beginBehind();
    const { errors } = await projected.ask(query, { waitMs: 100 });
    expect(errors).toMatchObject([{ extensions: { code: 'NOT_CAUGHT_UP' } }]);
  });
});

describe('the authors of a page of cheeps', () => {
  const query = (alice: string) => `{
    timeline(authorId: "${alice}", first: 3) {
      nodes { id author { username } again: author { id followersCount isFollowedByViewer } }
      edges { cursor node { author { followingCount } } }
    }
  }`;

  it('are read in one round trip, by whatever names they are shown', async () => {
    const { alice, bob } = await begin();
    const { data, errors } = await projected.ask(query(alice), { viewerId: alice });
    expect(errors).toBeUndefined();
    expect(data!.timeline).toMatchObject({
      nodes: Array.from({ length: 3 }, () => ({
        author: { username: 'bob' },
        again: { id: bob, followersCount: 1, isFollowedByViewer: true },
      })),
      edges: Array.from({ length: 3 }, () => ({ node: { author: { followingCount: 0 } } })),
    });
    // The list; its rows; their authors.
    expect(Math.max(...projected.sent.map(({ wave }) => wave))).toBe(3);
  });

  it('are waited for when they are behind the list', async () => {
    const { alice, bob } = await begin();
    const newest = newId();
    await projected.happened([posted(bob, newest)], 'timelines', 'cheeps');
    const asked = projected.ask(query(alice), { viewerId: alice, waitMs: 5_000 });
    await eventually(() => projected.sent.some(({ wave }) => wave === 4), 'authors are read again');
    await projected.catchUp();
    const { data, errors } = await asked;
    expect(errors).toBeUndefined();
    expect((data!.timeline as CheepPage).nodes[0]).toMatchObject({ id: newest, author: { username: 'bob' } });
  });

  it('are NOT_CAUGHT_UP where they are asked for', async () => {
    const { alice, bob } = await begin();
    await projected.happened([posted(bob, newId())], 'timelines', 'cheeps');
    const { errors } = await projected.ask(query(alice), { viewerId: alice, waitMs: 100 });
    expect(errors![0]).toMatchObject({ path: ['timeline', 'nodes', 0, 'author'], extensions: { code: 'NOT_CAUGHT_UP' } });
  });
});

describe('a timeline page of 20 cheeps with their authors, counts, viewer flags and parents', () => {
  const QUERY = `{
    timeline(first: 20) {
      nodes {
        id message likesCount repliesCount likedByViewer
        author { username followersCount isFollowedByViewer }
        mentions { author { username } }
        inReplyTo { ... on Cheep { message likesCount likedByViewer author { username followersCount isFollowedByViewer } } }
      }
      pageInfo { hasNextPage }
      resumeCursor
    }
  }`;
  const viewer = newId();
  // The same in both sizes, so that they are in the same shards.
  const authors = Array.from({ length: 10 }, () => newId());
  const askers = Array.from({ length: 10 }, () => newId());
  const parents = Array.from({ length: 20 }, () => newId());
  const page = Array.from({ length: 20 }, () => newId());

  /** The same page, over a small town or one of `times` as many followers, likes, replies and older cheeps. */
  async function measure(times: number) {
    projected = await Projected.begin();
    const follow = (followerId: string, followedId: string): Event => ({ type: 'AuthorFollowed', followerId, followedId });
    const like = (cheepId: string, likerId: string): Event => ({ type: 'CheepLiked', cheepId, likerId, authorId: authors[0]! });
    const crowd = Array.from({ length: times }, () => newId());
    await projected.happened([
      ...[viewer, ...authors, ...askers].map((id, i) => signedUp(id, `author${i}`)),
      ...[...authors, ...askers].flatMap((author) =>
        [...crowd, ...(authors.includes(author) ? [viewer] : [])].map((follower) => follow(follower, author)),
      ),
      ...authors.flatMap((author) => Array.from({ length: times }, () => posted(author, newId()))),
      ...parents.map((id, i) => posted(askers[i % 10]!, id)),
      ...page.map((id, i) => ({
        ...posted(authors[i % 10]!, id, parents[i]),
        mentions: [{ start: 0, end: 2, authorId: authors[i % 7]! }],
      })),
      ...page.flatMap((id) => Array.from({ length: times }, () => posted(crowd[0]!, newId(), id))),
      ...[...parents, ...page].flatMap((id) => [...crowd, viewer].map((liker) => like(id, liker))),
    ]);
    const { data, errors } = await projected.ask(QUERY, { viewerId: viewer });
    expect(errors).toBeUndefined();
    expect(data!.timeline).toMatchObject({
      nodes: page.toReversed().map((id) => ({
        id,
        likesCount: crowd.length + 1,
        repliesCount: times,
        likedByViewer: true,
        author: { followersCount: crowd.length + 1, isFollowedByViewer: true },
        inReplyTo: { likesCount: crowd.length + 1, author: { followersCount: crowd.length, isFollowedByViewer: false } },
      })),
      pageInfo: { hasNextPage: true },
    });
    const { sent } = projected;

    return { waves: Math.max(...sent.map(({ wave }) => wave)), sent: sent.map(({ command, wave }) => `${wave} ${command}`).toSorted() };
  }

  it('takes four round trips, and the same commands with a hundred times the data', async () => {
    const small = await measure(1);
    await projected.end();
    // The list; its rows; their authors, parents and whom they mention; the parents' authors.
    expect(small.waves).toBe(4);
    expect(await measure(100)).toEqual(small);
  });
});
