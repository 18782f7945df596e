/**
 * The inbox: what came of each command, for ever, under (sender, commandId). It is written in the transaction of the
 * command's effect, so it is also the lanes' checkpoint: whatever is sent or delivered again finds its outcome here.
 */
import { isSameCommand, type CommandMessage, type Outcome } from '../shared/messages/command.js';

export interface InboxRow {
  senderId: string;
  commandId: string;
  fingerprint: string;
  /** Of the command's journal entry. */
  position: number;
  /** JSON of a `RecordedOutcome`. */
  outcome: string;
}

/** What of an outcome is not known otherwise. */
export type RecordedOutcome =
  | Pick<Extract<Outcome, { status: 'COMMITTED' }>, 'status' | 'version'>
  | Pick<Extract<Outcome, { status: 'REJECTED' }>, 'status' | 'code' | 'field'>;

export const inboxKey = (senderId: string, commandId: string): string => `${senderId}/${commandId}`;

/** The answer to a command whose key is in the inbox: its own outcome again, or that the key was used for another one. */
export function replay(row: InboxRow, message: CommandMessage, epoch: string): Outcome {
  const { position } = row;
  if (!isSameCommand(row.fingerprint, message)) {
    return { status: 'REJECTED', code: 'COMMAND_ID_REUSED', field: ['commandId'], epoch, position, replayed: true };
  }

  return { ...(JSON.parse(row.outcome) as RecordedOutcome), epoch, position, replayed: true };
}
