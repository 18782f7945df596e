import type { JournalEntry } from '../../shared/messages/event.js';
import { at, defineProjection } from '../projection.js';
import { commandKey, COMMANDS, type CommandRow } from './query.js';

const settled = ({ actorId, commandId, commandName, fingerprint, at: settledAt, position, event }: JournalEntry) => {
  const row: Omit<CommandRow, 'id'> = {
    name: commandName,
    fingerprint,
    position,
    settledAt,
    refusal: event.type === 'CommandRefused' ? { code: event.code, field: event.field } : null,
  };

  return [at(actorId, 'SET', commandKey(actorId, commandId), JSON.stringify(row))];
};

/** Every entry tells what came of a command; the last of several tells where it ended. */
export const commands = defineProjection(COMMANDS, {
  AuthorSignedUp: (_, entry) => settled(entry),
  AuthorFollowed: (_, entry) => settled(entry),
  AuthorUnfollowed: (_, entry) => settled(entry),
  CheepPosted: (_, entry) => settled(entry),
  CommandRefused: (_, entry) => settled(entry),
  CommandHadNoEffect: (_, entry) => settled(entry),
});
