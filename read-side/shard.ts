/**
 * A shard: the part of a projection that holds what is asked about some ids. All its keys carry one hash tag, so it is one
 * slot of a Redis Cluster, and everything in it is read or changed in one atomic step, together with the position that it
 * has `applied`.
 */
import type { ChainableCommander, Redis } from 'ioredis';
import { partOf } from '../shared/ids.js';

/** Which journal's projections, and where. */
export interface Space {
  namespace: string;
  epoch: string;
  /** Shards in each projection. */
  shards: number;
  /** Which generation of a projection is read, by `projectionName`; 1 where none is named. */
  live?: ReadonlyMap<string, number>;
}

/** A projection's name, and the version of its keys' shapes: a new version builds itself beside the old one. */
export interface ProjectionId {
  name: string;
  version: number;
}

export interface Shard {
  projection: ProjectionId;
  number: number;
  /** Counts the times that the projection was built anew beside the live one; the first is 1, and is meant when none is named. */
  generation?: number;
}

/** `timelines.3`: while versions are changed, there are both. */
export const projectionName = ({ name, version }: ProjectionId): string => `${name}.${version}`;

const generationText = (generation: number | undefined) => (generation === undefined || generation === 1 ? '' : `~${generation}`);

/** `timelines.3:3`, or `timelines.3~5:3` for a later generation than the first. */
export const shardName = ({ projection, number, generation }: Shard): string =>
  `${projectionName(projection)}${generationText(generation)}:${number}`;

/** A shard's name without its generation. */
export const anyGeneration = (name: string): string => name.replace(/~\d+:/, ':');

/** A shard of the generation that is read. */
export const liveShard = (projection: ProjectionId, number: number, { live }: Space): Shard => {
  const generation = live?.get(projectionName(projection));

  return generation === undefined ? { projection, number } : { projection, number, generation };
};

/** The shard that is asked about this id. */
export const shardOf = (projection: ProjectionId, id: string, space: Space): Shard =>
  liveShard(projection, partOf(id, space.shards), space);

/** What all keys of a shard begin with; the braces are Redis Cluster's hash tag. */
export const prefixOf = (space: Space, { projection, number, generation }: Shard): string =>
  `${space.namespace}:${space.epoch}:{${projection.name}:${number}}:${projection.version}${generationText(generation)}:`;

/** The position up to which everything in the shard is applied. */
export const APPLIED = 'applied';
/** Where the journal stood when the shard began to build itself: below that, what it holds is not yet the whole. */
export const TARGET = 'target';

/** Set of the ids for which a shard that builds itself has something left to make when it comes to its target. */
export const UNMADE = 'unmade';

/** The shard's log of changes, a Redis stream with ids POSITION-INDEX, for those who follow it live. */
export const LOG = 'log';
export const LOG_LENGTH = 10_000;
/** Changes up to this position are not in the log: they were long ago when the shard began to build itself. */
export const LOGGED_AFTER = 'logged-after';
/** Positions before its target whose changes a shard logs: what is older would mostly be trimmed again. */
export const MOST_LOGGED_BEFORE_TARGET = 100_000;
/** The id of the newest change that the log no longer has: cursors below it are too old. */
export const LOG_TRIMMED = 'log-trimmed';

/** How many shards the projections of this epoch were begun with: it decides where everything is. */
export const shardsKey = ({ namespace, epoch }: Space): string => `${namespace}:${epoch}:shards`;

/** The newest entry that was applied, POSITION ENTRY_ID: if the journal has another there, it is not what the projections are of. */
export const newestKey = ({ namespace, epoch }: Space): string => `${namespace}:${epoch}:newest`;

/** What HOT_FOLLOWERS was in the read sides of this epoch, a blank before each, the newest last: it decides how timelines are kept. */
export const hotFollowersKey = ({ namespace, epoch }: Space): string => `${namespace}:${epoch}:hot-followers`;

/** Where the newest epoch is found by those who only read. */
export const epochKey = (namespace: string): string => `${namespace}:epoch`;

/** What was read, all at one moment, and as of which position. */
export interface Snapshot<T> {
  /** −1: the shard is not there, so `value` means nothing. */
  applied: number;
  target: number;
  value: T;
}

/**
 * Reads a shard in one MULTI, so that what is read and `applied` belong together (in a plain pipeline they may not).
 * @param ask adds commands to the transaction; `key` makes a key of the shard from its name
 * @param decode makes the value from the commands' replies, in order
 * @throws the first error that a command answered with
 */
export async function readShard<T>(
  redis: Redis,
  space: Space,
  shard: Shard,
  ask: (multi: ChainableCommander, key: (name: string) => string) => void,
  decode: (replies: unknown[]) => T,
): Promise<Snapshot<T>> {
  const prefix = prefixOf(space, shard);
  const multi = redis.multi().mget(prefix + APPLIED, prefix + TARGET);
  ask(multi, (name) => prefix + name);
  const results = await multi.exec();
  if (!results) throw new Error('a read without WATCH cannot be aborted');
  const replies = results.map(([error, reply]) => {
    if (error) throw error;
    return reply;
  });
  const [applied, target] = replies[0] as [string | null, string | null];
  if (applied === null) return { applied: -1, target: 0, value: decode(replies.slice(1)) };

  return { applied: Number(applied), target: Number(target ?? 0), value: decode(replies.slice(1)) };
}

/** A UUID as 16 bytes, as members of large collections are kept: a third of the memory. */
export const packId = (id: string): Buffer => Buffer.from(id.replaceAll('-', ''), 'hex');

export const unpackId = (bytes: Buffer): string => {
  const hex = bytes.toString('hex');

  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};
