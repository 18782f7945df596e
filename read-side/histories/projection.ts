import type { Change, JournalEntry } from '../../shared/messages/event.js';
import { at, defineProjection, type PlacedWrite } from '../projection.js';
import { HISTORIES, historyKey, type FieldChange, type HistoryRow } from './query.js';

/** Every event of authors and cheeps, but for what is deleted: of that nothing stays, so that its text is nowhere. */
export const histories = defineProjection(HISTORIES, {
  AuthorSignedUp: ({ type: _, authorId, ...fields }, entry) => [happened(authorId, entry, begun(fields))],
  AuthorProfileUpdated: ({ authorId, changes }, entry) => [happened(authorId, entry, changed(changes))],
  AuthorUsernameChanged: ({ authorId, changes }, entry) => [happened(authorId, entry, changed(changes))],
  AuthorEmailChanged: ({ authorId, changes }, entry) => [happened(authorId, entry, changed(changes))],
  CheepPosted: ({ cheepId, message, inReplyTo }, entry) => [happened(cheepId, entry, begun({ message, inReplyTo }))],
  CheepEdited: ({ cheepId, changes }, entry) => [happened(cheepId, entry, changed(changes))],
  CheepDeleted: ({ cheepId }) => [at(cheepId, 'DEL', historyKey(cheepId))],
});

/** The position makes each row another, also when the same changes once more. */
function happened(id: string, { position, event, schemaVersion, at: happenedAt }: JournalEntry, changes: FieldChange[]): PlacedWrite {
  const row: HistoryRow = { position, event: event.type, schemaVersion, at: happenedAt, changes };

  return at(id, 'ZADD', historyKey(id), position, JSON.stringify(row));
}

const changed = (changes: Record<string, Change<string | null>>): FieldChange[] =>
  Object.entries(changes).map(([field, { from, to }]) => ({ field, from, to }));

/** What a new thing has, has come from nothing. */
const begun = (fields: Record<string, string | null>): FieldChange[] =>
  Object.entries(fields)
    .filter(([, value]) => value !== null)
    .map(([field, to]) => ({ field, from: null, to }));
