/**
 * What the peers of the timeline page have in common: each is a process that serves the page below to whoever is signed in, in the way
 * that its own documentation says is fastest, and is measured as the gateway is.
 *
 * Three of them stand over the query functions of our read side and differ only in the server; one has tables as anybody would make
 * them, and joins. None of them waits for anything, or tells what its answer is as of.
 */
import { Redis } from 'ioredis';
import { Sessions } from '../../gateway/sessions.js';
import { authorShard, readAuthors, type AuthorRow } from '../../read-side/authors/query.js';
import { CHEEP_COUNTS, cheepShard, readCheeps, type CheepRow } from '../../read-side/cheeps/query.js';
import type { Rows } from '../../read-side/rows.js';
import { readTimeline } from '../../read-side/timelines/query.js';
import { shardName, type Shard, type Snapshot, type Space } from '../../read-side/shard.js';
import { required } from '../figures.js';
import { answer } from '../processes.js';

/** What every client asks for: the same text at the gateway and at all peers that speak GraphQL. */
export const PAGE_QUERY = `query TimelinePage($first: Int) {
  timeline(first: $first) {
    nodes {
      id message postedAt likesCount repliesCount likedByViewer
      author { id username name isFollowedByViewer }
    }
    pageInfo { hasNextPage endCursor }
  }
}`;
export const PAGE_SIZE = 20;

/** That part of our schema. */
export const PAGE_SCHEMA = `
  type Query { timeline(first: Int = 20): CheepConnection! }
  type CheepConnection { nodes: [Cheep!]! pageInfo: PageInfo! }
  type PageInfo { hasNextPage: Boolean! endCursor: String }
  type Cheep {
    id: ID! message: String! postedAt: String! likesCount: Int! repliesCount: Int! likedByViewer: Boolean author: Author!
  }
  type Author { id: ID! username: String! name: String isFollowedByViewer: Boolean }`;

export interface PageCheep {
  id: string;
  message: string;
  postedAt: string;
  likesCount: number;
  repliesCount: number;
  likedByViewer: boolean | null;
}

export interface PageAuthor {
  id: string;
  username: string;
  name: string | null;
  isFollowedByViewer: boolean | null;
}

/** The bench gives these to each peer. */
const { NAMESPACE, EPOCH, SHARDS, SIGNING_KEY } = Object.fromEntries(
  ['NAMESPACE', 'EPOCH', 'SHARDS', 'SIGNING_KEY'].map((name) => [name, process.env[name] ?? '']),
) as Record<string, string>;
const CHEEP_COUNTS_ASKED = new Set(CHEEP_COUNTS);
const space: Space = { namespace: NAMESPACE!, epoch: EPOCH!, shards: Number(SHARDS) };
const sessions = new Sessions(SIGNING_KEY!, NAMESPACE!, 1);

/** Who is signed in, as the gateway finds out. */
export async function viewerOf(authorization: string | null | undefined): Promise<string> {
  const viewer = authorization ? await sessions.verify(authorization.slice('Bearer '.length)) : null;
  if (!viewer || typeof viewer === 'string') throw new Error('nobody is signed in');

  return viewer.authorId;
}

/** The projections, by the query functions of the read side. */
export function openProjections() {
  const redis = new Redis(required('REDIS_URL'));

  return {
    timeline: async (viewerId: string, first: number) => (await readTimeline(redis, space, viewerId, { first, after: null })).value,

    cheeps: (ids: readonly string[], viewerId: string): Promise<(CheepRow & { likedByViewer: boolean })[]> =>
      byShard(
        ids,
        cheepShard,
        (shard, its) => readCheeps(redis, space, shard, { ids: its, counts: CHEEP_COUNTS_ASKED, viewers: new Map([[viewerId, its]]) }),
        (row, id, { isFlagged }) => Object.assign(row, { likedByViewer: isFlagged(viewerId, id) }),
      ),

    authors: (ids: readonly string[], viewerId: string): Promise<(AuthorRow & { isFollowedByViewer: boolean })[]> =>
      byShard(
        ids,
        authorShard,
        (shard, its) => readAuthors(redis, space, shard, { ids: its, viewers: new Map([[viewerId, its]]) }),
        (row, id, { isFlagged }) => Object.assign(row, { isFollowedByViewer: isFlagged(viewerId, id) }),
      ),
  };
}

/** Each shard is asked once, all at the same time; the rows come back in the order of the ids. */
async function byShard<Row, Shown>(
  ids: readonly string[],
  shardOf: (id: string, space: Space) => Shard,
  read: (shard: Shard, ids: string[]) => Promise<Snapshot<Rows<Row>>>,
  show: (row: Row, id: string, rows: Rows<Row>) => Shown,
): Promise<Shown[]> {
  const shown = new Map<string, Shown>();
  const shards = Map.groupBy(new Set(ids), (id) => shardName(shardOf(id, space)));
  await Promise.all(
    [...shards.values()].map(async (its) => {
      const { value } = await read(shardOf(its[0]!, space), its);
      for (const id of its) shown.set(id, show(value.rows.get(id)!, id, value));
    }),
  );

  return ids.map((id) => shown.get(id)!);
}

/** Tells the bench where it listens. */
export function serving(port: Promise<number>): void {
  answer({ port: () => port });
}
