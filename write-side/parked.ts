/**
 * What could not be run is kept whole, with its reason, before anything that came after it is run. A message is parked once,
 * however often it is delivered, and its row stays for ever: a lane that finds the message again must know.
 */
import type { JsMsg } from '@nats-io/jetstream';
import { HEADERS } from '../shared/names.js';

/** A message as a stream has it. */
type Stored = Pick<JsMsg, 'subject' | 'seq' | 'timestamp' | 'data' | 'headers'>;

/** The statement that parks `n` messages; its values are those of `parkingRow`, one after another. */
export const PARK = (n: number): string =>
  `INSERT IGNORE INTO parked (stream_created, sequence, stored_at, subject, headers, body, reason, attempts, parked_at, retry_of)
   VALUES ${Array.from({ length: n }, () => '(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)').join(', ')}`;

export function parkingRow(source: Stored, streamCreated: string, reason: string, attempts: number): unknown[] {
  const headers = source.headers ? Object.fromEntries(source.headers.keys().map((key) => [key, source.headers!.values(key)])) : {};

  return [
    streamCreated,
    source.seq,
    source.timestamp,
    Buffer.from(source.subject),
    JSON.stringify(headers).toWellFormed(),
    Buffer.from(source.data),
    reason.toWellFormed(),
    attempts,
    new Date().toISOString(),
    retryOf(source),
  ];
}

/** The row that an operator has had tried again with this message; null for a message that is the first of its kind. */
function retryOf({ headers }: Stored): string | null {
  const id = headers?.get(HEADERS.retryOf) ?? '';

  return /^\d{1,18}$/.test(id) ? id : null;
}
