import { Arg, Ctx, Field, FieldResolver, ID, InputType, Int, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { notificationShard, readNotifications } from '../../read-side/notifications/query.js';
import { MarkNotificationsRead } from '../../shared/messages/notification.js';
import { CommandInput, CommandPayload } from '../command-payload.js';
import type { Context } from '../context.js';
import { runCommand } from '../mutation.js';

@InputType({ description: 'All up to and including this one.' })
export class MarkNotificationsReadInput extends CommandInput {
  @Field(() => ID)
  upTo!: string;
}

@ObjectType({ implements: CommandPayload })
export class MarkNotificationsReadPayload extends CommandPayload {
  readerId!: string;
}

@Resolver(() => MarkNotificationsReadPayload)
export class MarkNotificationsReadMutation {
  @Mutation(() => MarkNotificationsReadPayload, { description: 'The viewer’s own, up to one of them. What is read already stays so.' })
  async markNotificationsRead(
    @Arg('input') input: MarkNotificationsReadInput,
    @Ctx() context: Context,
  ): Promise<MarkNotificationsReadPayload> {
    const authorId = context.signedIn();
    const receipt = await runCommand(context, MarkNotificationsRead, input, {
      senderId: authorId,
      payload: () => ({ authorId, upTo: input.upTo }),
    });

    return Object.assign(new MarkNotificationsReadPayload(), receipt, { readerId: authorId });
  }

  /** As of the command or later. */
  @FieldResolver(() => Int, { nullable: true })
  async unreadCount(@Root() { status, position, readerId }: MarkNotificationsReadPayload, @Ctx() context: Context): Promise<number | null> {
    if (status === 'REJECTED' || position === null) return null;
    const { reads } = context.services;
    const { value } = await reads.read(
      context.consistency,
      notificationShard(readerId, reads.space),
      (redis, space) => readNotifications(redis, space, readerId, { first: 0, after: null }),
      { floor: position },
    );

    return value.unreadCount;
  }
}
