/**
 * What could not be run is kept whole, with its reason, before anything that came after it is run. A message is parked once,
 * however often it is delivered.
 */
import type { JsMsg } from '@nats-io/jetstream';

/** A message as a stream has it. */
type Stored = Pick<JsMsg, 'subject' | 'seq' | 'timestamp' | 'data' | 'headers'>;

/** The statement that parks `n` messages; its values are those of `parkingRow`, one after another. */
export const PARK = (n: number): string =>
  `INSERT IGNORE INTO parked (stream_created, sequence, stored_at, subject, headers, body, reason, attempts, parked_at)
   VALUES ${Array.from({ length: n }, () => '(?, ?, ?, ?, ?, ?, ?, ?, ?)').join(', ')}`;

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
  ];
}
