import type { GraphQLResolveInfo } from 'graphql';
import { Args, createUnionType, Ctx, Field, FieldResolver, ID, Info, Int, ObjectType, Resolver, Root } from 'type-graphql';
import type { Redis } from 'ioredis';
import { CHEEP_LISTS, cheepShard, readIsDeleted, readReplies } from '../../read-side/cheeps/query.js';
import type { ListedPages } from '../../read-side/list.js';
import type { Snapshot, Space } from '../../read-side/shard.js';
import { MAX_ANCESTORS, readAncestors, threadShard } from '../../read-side/threads/query.js';
import { entitiesIn } from '../../shared/entities.js';
import type { Mention as MentionedAt } from '../../shared/messages/cheep.js';
import { id as idRule } from '../../shared/rules.js';
import { Author, requireAuthor } from '../authors/author.js';
import type { Context } from '../context.js';
import { fault, GoneMeanwhile } from '../errors.js';
import { isThere, type LoadedCheep } from '../loaders.js';
import { Node } from '../node.js';
import { PageArgs, pageOf, pageRequest, pagesBelow } from '../pages.js';
import { lackOfVersion, type ReadOptions } from '../reads.js';
import { resumeCursor } from '../resume-cursor.js';
import { DateTime } from '../scalars.js';
import { selectedFields } from '../selection.js';
import { CheepConnection, cheepConnection, cheepPage } from './cheep-connection.js';

/** A link has 11 characters at least (`http://a.bc`), and one before the next: no message has more. */
const MAX_LINKS = 21;
const NO_COUNTS: ReadonlySet<never> = new Set();

@ObjectType({ implements: Node })
export class Cheep extends Node {
  @Field(() => Int, { description: 'Counts its changes, from 1.' })
  version!: number;

  @Field()
  message!: string;

  @Field(() => DateTime)
  postedAt!: string;

  @Field(() => DateTime, { nullable: true })
  editedAt!: string | null;

  @Field(() => Int)
  likesCount!: number;

  @Field(() => Boolean, { nullable: true, description: 'Null when nobody is signed in.' })
  likedByViewer!: boolean | null;

  @Field(() => Int)
  repliesCount!: number;

  authorId!: string;
  /** Where it was loaded with a list of cheeps. */
  loadedAuthor?: Author | undefined;
  inReplyToId!: string | null;
  threadId!: string;
  mentionedAt!: MentionedAt[];
  /** What is read for it is as of this position or later. */
  floor!: number;
  /** As of which it was read itself, with these pages of its replies. */
  applied!: number;
  pages?: ListedPages;
}

@ObjectType({ description: 'An author who is named in a message, and where: UTF-16 code units, `end` exclusive; the @ is inside.' })
export class Mention {
  @Field(() => Int)
  start!: number;

  @Field(() => Int)
  end!: number;

  authorId!: string;
  floor!: number;
}

@ObjectType({ description: 'A web address in a message, and where: UTF-16 code units, `end` exclusive. No mention is inside of it.' })
export class Link {
  @Field(() => Int)
  start!: number;

  @Field(() => Int)
  end!: number;

  @Field({ description: 'Absolute, http or https, in the form of the URL Standard.' })
  url!: string;
}

@ObjectType({ implements: Node, description: 'Stands where a cheep was that its author has deleted.' })
export class DeletedCheep extends Node {
  @Field(() => ID, { description: 'The id that the cheep had.' })
  cheepId!: string;
}

/**
 * The id of a `DeletedCheep` begins with this. Caches that normalise by id take two objects with one id for one object, so it must differ
 * from the id of the cheep. It is no UUID, so no caller can choose it for something else.
 */
const DELETED_CHEEP = 'DeletedCheep:';

const toDeletedCheep = (cheepId: string): DeletedCheep => Object.assign(new DeletedCheep(), { id: `${DELETED_CHEEP}${cheepId}`, cheepId });

export const Reply = createUnionType({ name: 'Reply', types: () => [Cheep, DeletedCheep] as const });

export function toCheep({ row, isFlagged, floor, applied }: LoadedCheep, loadedAuthor?: Author): Cheep {
  const { inReplyTo, mentions } = row;

  return Object.assign(new Cheep(), row, {
    inReplyToId: inReplyTo,
    mentionedAt: mentions,
    likedByViewer: isFlagged,
    loadedAuthor,
    floor,
    applied,
  });
}

/** The cheep with this id, as of `floor` or later; null when there is none, or no longer. `info` is of the field that it stands in. */
export async function loadCheep(context: Context, id: string, floor: number, info: GraphQLResolveInfo): Promise<Cheep | null> {
  const found = await context.loaders.findCheep(id, floor, selectedFields(info), pagesBelow(info, 'Cheep', CHEEP_LISTS));

  return isThere(found) ? toCheep(found) : null;
}

/** The deleted cheep with this id, one that begins with `DeletedCheep:`; null when there is none. */
export async function loadDeletedCheep(context: Context, id: string): Promise<DeletedCheep | null> {
  const known = id.startsWith(DELETED_CHEEP) ? idRule.safeParse(id.slice(DELETED_CHEEP.length)) : null;
  if (!known?.success) return null;
  const { reads } = context.services;
  const { value: isDeleted } = await reads.read(context.consistency, cheepShard(known.data, reads.space), (redis, space) =>
    readIsDeleted(redis, space, known.data),
  );

  return isDeleted ? toDeletedCheep(known.data) : null;
}

/** Of a deleted cheep too; 0 when there is none. */
function readVersion({ consistency, services: { reads } }: Context, id: string, options: ReadOptions<number>) {
  const run = async (redis: Redis, space: Space): Promise<Snapshot<number>> => {
    const { value, ...asOf } = await reads.cheepVersions.read(redis, space, cheepShard(id, space), {
      ids: [id],
      counts: NO_COUNTS,
      viewerId: null,
    });

    return { ...asOf, value: value.rows.get(id)?.version ?? 0 };
  };

  return reads.read(consistency, cheepShard(id, reads.space), run, options);
}

/** As `loadCheep`, after waiting until the cheep has this version at least: a deletion makes one too. */
export async function awaitCheep(context: Context, id: string, minVersion: number, info: GraphQLResolveInfo): Promise<Cheep | null> {
  const { applied } = await readVersion(context, id, { lacking: (version) => lackOfVersion(`cheep ${id}`, version, minVersion) });

  return loadCheep(context, id, applied, info);
}

/** The cheep that a frame of a subscription is about. @throws GoneMeanwhile when it was deleted after that */
export async function cheepOfFrame(context: Context, id: string, floor: number, info: GraphQLResolveInfo): Promise<Cheep> {
  const cheep = await loadCheep(context, id, floor, info);
  if (!cheep) throw new GoneMeanwhile(`cheep ${id} was deleted after position ${floor}`);

  return cheep;
}

@Resolver(() => Cheep)
export class CheepResolver {
  @FieldResolver(() => Author)
  author(@Root() { authorId, loadedAuthor, floor }: Cheep, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return loadedAuthor ?? requireAuthor(context, authorId, floor, info);
  }

  @FieldResolver(() => Reply, {
    nullable: true,
    description: 'What it answers: null when it answers nothing, a DeletedCheep when that was taken back.',
  })
  async inReplyTo(
    @Root() { inReplyToId, floor }: Cheep,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<Cheep | DeletedCheep | null> {
    return inReplyToId === null ? null : loadReply(context, inReplyToId, floor, info);
  }

  @FieldResolver(() => [Reply], {
    description: `From the start of the thread to the cheep before this one: the nearest ${MAX_ANCESTORS}, past deleted ones.`,
    complexity: ({ childComplexity }) => 1 + MAX_ANCESTORS * (1 + childComplexity),
  })
  async ancestors(
    @Root() { id, inReplyToId, threadId, floor }: Cheep,
    @Ctx() context: Context,
    @Info() info: GraphQLResolveInfo,
  ): Promise<(typeof Reply)[]> {
    if (inReplyToId === null) return [];
    const { reads } = context.services;
    const { value, applied } = await reads.read(
      context.consistency,
      threadShard(threadId, reads.space),
      (redis, space) => readAncestors(redis, space, threadId, id),
      { floor },
    );

    return Promise.all(value.map((ancestorId) => loadReply(context, ancestorId, applied, info)));
  }

  @FieldResolver(() => [Mention], {
    description: 'Who is named with @ in the message: the first 20 names, as far as they were somebody’s when it was written.',
    complexity: ({ childComplexity }) => 1 + 20 * childComplexity,
  })
  mentions(@Root() { mentionedAt, floor }: Cheep): Mention[] {
    return mentionedAt.map((mention) => Object.assign(new Mention(), mention, { floor }));
  }

  @FieldResolver(() => [Link], {
    description: 'What begins with http:// or https:// in the message and is a web address, in order.',
    complexity: ({ childComplexity }) => 1 + MAX_LINKS * childComplexity,
  })
  links(@Root() { message, mentionedAt }: Cheep): Link[] {
    const { links } = entitiesIn(message);
    // A mention that an earlier release found inside of an address stays one.
    return mentionedAt.length === 0
      ? links
      : links.filter((link) => mentionedAt.every(({ start, end }) => end <= link.start || link.end <= start));
  }

  @FieldResolver(() => CheepConnection)
  async replies(@Root() cheep: Cheep, @Args(() => PageArgs) args: PageArgs, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    const { id, floor } = cheep;
    const request = pageRequest(args);
    const { consistency, services } = context;
    const { reads } = services;
    const shard = cheepShard(id, reads.space);
    const page = await cheepPage(
      context,
      info,
      request,
      async (from) =>
        pageOf(cheep, { list: 'replies', request }, from) ??
        reads.read(consistency, shard, (redis, space) => readReplies(redis, space, id, request), {
          floor: Math.max(floor, from),
          isBase: false,
        }),
    );
    // The subscription tells of the cheep itself too: what was shown of it must be what it was as of the cursor.
    if (page.applied > cheep.applied && selectedFields(info).has('resumeCursor')) {
      const { value: version } = await readVersion(context, id, { floor: page.applied });
      if (version !== cheep.version) throw fault('NOT_CAUGHT_UP', 'The cheep was changed while its replies were read. Try again.');
    }

    return cheepConnection(page, resumeCursor(reads.space.epoch, { position: page.applied, index: null }));
  }
}

@Resolver(() => Mention)
export class MentionResolver {
  @FieldResolver(() => Author)
  author(@Root() { authorId, floor }: Mention, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return requireAuthor(context, authorId, floor, info);
  }
}

async function loadReply(context: Context, id: string, floor: number, info: GraphQLResolveInfo): Promise<typeof Reply> {
  return (await loadCheep(context, id, floor, info)) ?? toDeletedCheep(id);
}
