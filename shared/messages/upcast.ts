/**
 * Upcasting: an entry is journalled once and never rewritten, so whoever reads one makes of an event's older form what it
 * would be today. Nobody else knows that there were older forms.
 */
import type { EntryBody, EventType } from './event.js';

/** Of events that have changed their form; all others are at 1. */
const SCHEMA_VERSIONS: { [Type in EventType]?: number } = { CheepPosted: 2 };

export const schemaVersionOf = (type: EventType): number => SCHEMA_VERSIONS[type] ?? 1;

type Fields = Record<string, unknown>;

/** From one version to the next, by type and the version that it was written in. */
const UPCASTS: { [Type in EventType]?: Record<number, (event: Fields) => Fields> } = {
  CheepPosted: {
    // Version 1 had no mentions, did not say whom it answered, nor in which thread: the thread is known to the parent.
    1: (event) => ({ ...event, mentions: [], inReplyToAuthorId: null, threadId: event.inReplyTo ?? event.cheepId }),
  },
};

/**
 * An entry as it was stored, with its event in today's form; `schemaVersion` goes on telling the form in which it was written.
 * @throws for an event from a version of Cheeper that is newer than this
 */
export function decodeEntry(body: string): EntryBody {
  const entry = JSON.parse(body) as EntryBody;
  const { type } = entry.event;
  const current = schemaVersionOf(type);
  if (entry.schemaVersion === current) return entry;
  if (entry.schemaVersion > current) {
    throw new Error(`${type} is of schema version ${entry.schemaVersion}, and this process knows ${current} at most`);
  }
  let event = entry.event as unknown as Fields;
  for (let version = entry.schemaVersion; version < current; version++) event = UPCASTS[type]![version]!(event);

  return { ...entry, event: event as unknown as EntryBody['event'] };
}
