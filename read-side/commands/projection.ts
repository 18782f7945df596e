import { SYSTEM } from '../../shared/ids.js';
import type { EventType, JournalEntry } from '../../shared/messages/event.js';
import { at, defineProjection, type PlacedWrite } from '../projection.js';
import { commandKey, COMMANDS, type CommandRow } from './query.js';

function settled(entry: JournalEntry): PlacedWrite[] {
  const { actorId, commandId, commandName, fingerprint, at: settledAt, position, event } = entry;
  // A reaction has no sender who could ask.
  if (actorId === SYSTEM) return [];
  const row: Omit<CommandRow, 'id'> = {
    name: commandName,
    fingerprint,
    position,
    settledAt,
    refusal: event.type === 'CommandRefused' ? { code: event.code, field: event.field } : null,
  };

  return [at(actorId, 'SET', commandKey(actorId, commandId), JSON.stringify(row))];
}

type Teller = (event: unknown, entry: JournalEntry) => PlacedWrite[];
const outcome: Teller = (_, entry) => settled(entry);

/** Every entry tells what came of a command; the last of several tells where it ended. */
export const commands = defineProjection(COMMANDS, {
  AuthorSignedUp: outcome,
  AuthorProfileUpdated: outcome,
  AuthorUsernameChanged: outcome,
  AuthorEmailChanged: outcome,
  AuthorFollowed: outcome,
  AuthorUnfollowed: outcome,
  CheepPosted: outcome,
  CheepEdited: outcome,
  CheepDeleted: outcome,
  CheepLiked: outcome,
  CheepUnliked: outcome,
  AuthorNotified: outcome,
  NotificationsRead: outcome,
  CommandRefused: outcome,
  CommandHadNoEffect: outcome,
} satisfies Record<EventType, Teller>);
