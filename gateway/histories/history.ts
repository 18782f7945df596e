/** What has happened to an author or a cheep, for nobody but the author. */
import { Args, Ctx, Field, FieldResolver, Int, ObjectType, Resolver, Root } from 'type-graphql';
import { historyShard, readHistory, type FieldChange } from '../../read-side/histories/query.js';
import { Author } from '../authors/author.js';
import { Cheep } from '../cheeps/cheep.js';
import type { Context } from '../context.js';
import { cursorAt, PageArgs, PageInfo, pageInfo, pageRequest } from '../pages.js';
import { DateTime } from '../scalars.js';

@ObjectType({ description: 'What a field was, and what it became; null for nothing.' })
export class Change {
  @Field()
  field!: string;

  @Field(() => String, { nullable: true })
  from!: string | null;

  @Field(() => String, { nullable: true })
  to!: string | null;
}

@ObjectType()
export class HistoryEntry {
  @Field({ description: 'In the journal.' })
  position!: string;

  @Field({ description: 'The name of the event, such as `AuthorEmailChanged`.' })
  event!: string;

  @Field(() => Int, { description: 'That of the form in which the event was written.' })
  schemaVersion!: number;

  @Field(() => DateTime)
  at!: string;

  @Field(() => [Change])
  changes!: FieldChange[];
}

@ObjectType()
export class HistoryEdge {
  @Field()
  cursor!: string;

  @Field(() => HistoryEntry)
  node!: HistoryEntry;
}

@ObjectType()
export class HistoryConnection {
  @Field(() => [HistoryEdge])
  edges!: HistoryEdge[];

  @Field(() => [HistoryEntry])
  nodes!: HistoryEntry[];

  @Field(() => PageInfo)
  pageInfo!: PageInfo;
}

@Resolver(() => Author)
export class AuthorHistoryResolver {
  @FieldResolver(() => HistoryConnection, {
    nullable: true,
    description: 'Everything that happened to it, newest first; for the author itself, null for others.',
  })
  history(@Root() author: Author, @Args(() => PageArgs) args: PageArgs, @Ctx() context: Context): Promise<HistoryConnection> | null {
    return author.id === context.viewerId ? historyOf(author, args, context) : null;
  }
}

@Resolver(() => Cheep)
export class CheepHistoryResolver {
  @FieldResolver(() => HistoryConnection, {
    nullable: true,
    description: 'Every version of the message, newest first; for its author, null for others.',
  })
  history(@Root() cheep: Cheep, @Args(() => PageArgs) args: PageArgs, @Ctx() context: Context): Promise<HistoryConnection> | null {
    return cheep.authorId === context.viewerId ? historyOf(cheep, args, context) : null;
  }
}

/** A page, as of the position that the thing itself was read at, or later. */
async function historyOf({ id, floor }: { id: string; floor: number }, args: PageArgs, context: Context): Promise<HistoryConnection> {
  const request = pageRequest(args);
  const { reads } = context.services;
  const { value, applied } = await reads.read(
    context.consistency,
    historyShard(id, reads.space),
    (redis, space) => readHistory(redis, space, id, request),
    { floor },
  );
  const edges = value.items.map((row) => ({
    cursor: cursorAt(row.position),
    node: Object.assign(new HistoryEntry(), { ...row, position: String(row.position) }),
  }));

  return { edges, nodes: edges.map(({ node }) => node), pageInfo: pageInfo(edges, value.hasNextPage, request, applied) };
}
