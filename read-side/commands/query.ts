/**
 * What came of that command? Asked by who sent it.
 *
 * | key                | what                                     |
 * |--------------------|------------------------------------------|
 * | command:SENDER:ID  | JSON of a `CommandRow` without its id    |
 */
import type { Redis } from 'ioredis';
import type { ErrorCode } from '../../shared/refused.js';
import { readShard, shardOf, textIn, type Shard, type Snapshot, type Space } from '../shard.js';

export const COMMANDS = { name: 'commands', version: 1 };

export const commandKey = (senderId: string, commandId: string) => `command:${senderId}:${commandId}`;

export interface CommandRow {
  id: string;
  name: string;
  fingerprint: string | null;
  /** Of its journal entry. */
  position: number;
  settledAt: string;
  /** Null when it was done. */
  refusal: { code: ErrorCode; field: string[] | null } | null;
}

export const commandShard = (senderId: string, space: Space): Shard => shardOf(COMMANDS, senderId, space);

/** Null for what was never received, is not settled yet, or is somebody else's. */
export async function readCommand(redis: Redis, space: Space, senderId: string, commandId: string): Promise<Snapshot<CommandRow | null>> {
  const { value, ...snapshot } = await readCommands(redis, space, commandShard(senderId, space), [{ senderId, commandId }]);

  return { ...snapshot, value: value[0]! };
}

/** As `readCommand`, of several in one shard. */
export function readCommands(
  redis: Redis,
  space: Space,
  shard: Shard,
  commands: readonly { senderId: string; commandId: string }[],
): Promise<Snapshot<(CommandRow | null)[]>> {
  return readShard(
    redis,
    space,
    shard,
    (read) => {
      for (const { senderId, commandId } of commands) read('GET', commandKey(senderId, commandId));
    },
    (replies) =>
      replies.map((reply, i) => {
        const row = textIn(reply);

        return row === null ? null : { id: commands[i]!.commandId, ...(JSON.parse(row) as Omit<CommandRow, 'id'>) };
      }),
  );
}
