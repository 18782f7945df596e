import type { GraphQLResolveInfo } from 'graphql';
import { Args, createUnionType, Ctx, Field, FieldResolver, ID, Info, Int, ObjectType, Resolver, Root } from 'type-graphql';
import { CHEEP_PARTS, cheepShard, readCheeps, readReplies, type CheepRow } from '../../read-side/cheeps/query.js';
import { Author, requireAuthor } from '../authors/author.js';
import type { Context } from '../context.js';
import type { Loaded } from '../loaders.js';
import { Node } from '../node.js';
import { listedPage, PageArgs, pageRequest } from '../pages.js';
import { DateTime } from '../scalars.js';
import { selectedFields } from '../selection.js';
import { CheepConnection, cheepConnection } from './cheep-connection.js';

@ObjectType({ implements: Node })
export class Cheep extends Node {
  @Field(() => Int)
  version!: number;

  @Field()
  message!: string;

  @Field(() => DateTime)
  postedAt!: Date;

  @Field(() => DateTime, { nullable: true })
  editedAt!: Date | null;

  @Field(() => Int)
  likesCount!: number;

  @Field(() => Boolean, { nullable: true })
  likedByViewer!: boolean | null;

  @Field(() => Int)
  repliesCount!: number;

  authorId!: string;
  inReplyToId!: string | null;
  /** What is read for it is as of this position or later. */
  floor!: number;
}

@ObjectType()
export class DeletedCheep {
  @Field(() => ID)
  id!: string;
}

export const Reply = createUnionType({ name: 'Reply', types: () => [Cheep, DeletedCheep] as const });

export function toCheep({ inReplyTo, ...row }: Loaded<CheepRow>, viewerId: string | null): Cheep {
  return Object.assign(new Cheep(), {
    ...row,
    postedAt: new Date(row.postedAt),
    editedAt: row.editedAt === null ? null : new Date(row.editedAt),
    inReplyToId: inReplyTo,
    // There are no likes yet.
    likesCount: 0,
    likedByViewer: viewerId === null ? null : false,
  });
}

/** The cheep with this id, as of `floor` or later; null when there is none. `info` is of the field that it stands in. */
export async function loadCheep(context: Context, id: string, floor: number, info: GraphQLResolveInfo): Promise<Cheep | null> {
  const row = await context.loaders.cheep(id, floor, selectedFields(info));

  return row && toCheep(row, context.viewerId);
}

/** As `loadCheep`, after waiting until the cheep is there and has this version at least. */
export async function awaitCheep(context: Context, id: string, minVersion: number, info: GraphQLResolveInfo): Promise<Cheep | null> {
  const { reads } = context.services;
  const shard = cheepShard(id, reads.space);
  const selected = selectedFields(info);
  const parts = new Set(CHEEP_PARTS.filter((part) => selected.has(part)));
  const { value } = await reads.read(context.consistency, shard, (redis, space) => readCheeps(redis, space, shard, [id], parts), {
    accept: ([row]) => (row?.version ?? 0) >= minVersion,
  });

  return value[0] ? toCheep({ ...value[0], floor: 0 }, context.viewerId) : null;
}

/** As `loadCheep`, where there must be one. */
export async function requireCheep(context: Context, id: string, floor: number, info: GraphQLResolveInfo): Promise<Cheep> {
  const cheep = await loadCheep(context, id, floor, info);
  if (!cheep) throw new Error(`cheep ${id} is in a list as of position ${floor}, and has no row`);

  return cheep;
}

@Resolver(() => Cheep)
export class CheepResolver {
  @FieldResolver(() => Author)
  author(@Root() { authorId, floor }: Cheep, @Ctx() context: Context, @Info() info: GraphQLResolveInfo) {
    return requireAuthor(context, authorId, floor, info);
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
    if (inReplyToId === null) return null;

    return (await loadCheep(context, inReplyToId, floor, info)) ?? Object.assign(new DeletedCheep(), { id: inReplyToId });
  }

  @FieldResolver(() => CheepConnection)
  async replies(@Root() { id, floor }: Cheep, @Args(() => PageArgs) args: PageArgs, @Ctx() context: Context) {
    const request = pageRequest(args);
    const { reads } = context.services;
    const { value, applied } = await reads.read(
      context.consistency,
      cheepShard(id, reads.space),
      (redis, space) => readReplies(redis, space, id, request),
      { floor },
    );

    return cheepConnection(listedPage(value, request, applied));
  }
}
