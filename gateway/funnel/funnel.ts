/** A question about behaviour, answered from what happened alone. */
import { Arg, Ctx, Field, Float, Int, ObjectType, Query, registerEnumType, Resolver } from 'type-graphql';
import {
  FUNNEL_STEPS,
  funnelShards,
  funnelSteps,
  readFunnelChunk,
  type ChunkStart,
  type FunnelStepName as StepName,
  type Period,
  type SignUp,
} from '../../read-side/funnel/query.js';
import type { Shard } from '../../read-side/shard.js';
import type { Context } from '../context.js';
import { fault } from '../errors.js';
import { DateTime } from '../scalars.js';

/** In one period. Each is read, in steps of a bounded size. */
const MAX_SIGN_UPS = 100_000;
/** In objects of an answer, for the bound on an operation: it reads more than it shows. */
const COMPLEXITY = 2_000;

const FunnelStepName = Object.fromEntries(FUNNEL_STEPS.map((name) => [name, name])) as { [Name in StepName]: Name };
registerEnumType(FunnelStepName, {
  name: 'FunnelStepName',
  valuesConfig: { POSTED_ON_ANOTHER_DAY: { description: 'Another day (UTC) than that of the first post.' } },
});

@ObjectType()
export class FunnelStep {
  @Field(() => FunnelStepName)
  name!: StepName;

  @Field(() => Int)
  reached!: number;

  @Field(() => Float, { nullable: true, description: 'Null when nobody got there.' })
  medianSeconds!: number | null;

  @Field(() => Float, { nullable: true, description: 'Null when nobody got there.' })
  p90Seconds!: number | null;
}

@ObjectType({
  description:
    'Of those who signed up in [from, to): how many got to each step, and how long half of them and nine tenths of them took, in seconds.',
})
export class Funnel {
  @Field(() => Int)
  signedUp!: number;

  @Field(() => [FunnelStep], { description: 'Each counts for itself: nobody must have done one to have done another.' })
  steps!: FunnelStep[];

  @Field(() => DateTime, { description: 'Everything that happened until then is in it.' })
  asOf!: Date;
}

@Resolver()
export class FunnelQueries {
  @Query(() => Funnel, { description: 'Up to 100,000 sign-ups; a period with more is BAD_USER_INPUT.', complexity: COMPLEXITY })
  async funnel(@Arg('from', () => DateTime) from: Date, @Arg('to', () => DateTime) to: Date, @Ctx() context: Context): Promise<Funnel> {
    const period = { from: from.getTime(), to: to.getTime() };
    if (period.from >= period.to) throw fault('BAD_USER_INPUT', '`from` must be before `to`.', { argument: 'from' });
    const { progress, reads } = context.services;
    const startedAt = Date.now();
    const parts = funnelShards(reads.space).map((shard) => new Part(context, shard, period));
    await Promise.all(parts.map((part) => part.readMore()));
    const count = parts.reduce((sum, part) => sum + part.count, 0);
    if (count > MAX_SIGN_UPS) {
      const what = `${count} signed up in this time, and ${MAX_SIGN_UPS} is the most: ask for a shorter period.`;
      throw fault('BAD_USER_INPUT', what, { argument: 'to' });
    }
    await Promise.all(
      parts.map(async (part) => {
        while (part.next) await part.readMore();
      }),
    );
    const applied = Math.min(...parts.map((part) => part.applied));
    const signUps = parts.flatMap((part) => [...part.signUps.values()]);

    return Object.assign(new Funnel(), {
      signedUp: signUps.length,
      steps: funnelSteps(signUps),
      // Of what is not in it, the first was committed so long ago; what was committed since the beginning may not be either.
      asOf: new Date(Math.min(startedAt, Date.now() - progress.lagMs(applied))),
    });
  }
}

/** What one shard knows, read a chunk at a time. */
class Part {
  readonly signUps = new Map<string, SignUp>();
  count = 0;
  /** The position that all of it is as of, at least. */
  applied = Infinity;
  next: ChunkStart | null;

  constructor(
    private readonly context: Context,
    private readonly shard: Shard,
    private readonly period: Period,
  ) {
    this.next = { at: period.from, skip: 0 };
  }

  async readMore(): Promise<void> {
    const start = this.next;
    if (!start) return;
    const { consistency, services } = this.context;
    const { value, applied } = await services.reads.read(consistency, this.shard, (redis, space) =>
      readFunnelChunk(redis, space, this.shard, this.period, start),
    );
    for (const signUp of value.signUps) this.signUps.set(signUp.authorId, signUp);
    this.count = value.count;
    this.next = value.next;
    this.applied = Math.min(this.applied, applied);
  }
}
