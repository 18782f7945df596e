/** Publishing to a stream in order and without a gap, pipelined. */
import type { MsgHdrs } from '@nats-io/transport-node';
import type { Nats } from '../shared/jetstream.js';
import { HEADERS } from '../shared/names.js';

export interface Publishable {
  subject: string;
  body: string;
  /** With `HEADERS.entryId`, by which a message is known. */
  headers: MsgHdrs;
}

/**
 * Publishes messages that follow each other, each fenced by the sequence that it expects before it: nobody can put one
 * twice or out of order. No message ids: after a wiped tail the server would take what is published again for a duplicate,
 * and drop it.
 * @param stream where the subjects lead
 * @param lastSequence of the newest message in the stream
 * @returns when every message is stored in its place, by whomever
 * @throws when one is not; then none after it is there either
 */
export async function publishInOrder(nats: Nats, stream: string, lastSequence: number, messages: Publishable[]): Promise<void> {
  // All must be settled before another try, else a straggler could meet it; then the first failure is the cause.
  const results = await Promise.allSettled(
    messages.map(({ subject, body, headers }, i) =>
      nats.js.publish(subject, body, { headers, expect: { lastSequence: lastSequence + i } }),
    ),
  );
  for (const [i, result] of results.entries()) {
    if (result.status === 'fulfilled') continue;
    // It may be there all the same: its acknowledgement was lost, or somebody who had our place has published it.
    const there = await nats.jsm.streams.getMessage(stream, { seq: lastSequence + i + 1 }).catch(() => null);
    if (there?.header.get(HEADERS.entryId) === messages[i]!.headers.get(HEADERS.entryId)) continue;
    // A message put in by hand can take the place of one just as the next one expects it: what we have stored after a hole
    // is taken out again, and published in its turn.
    for (const later of results.slice(i)) {
      if (later.status === 'fulfilled') await nats.jsm.streams.deleteMessage(later.value.stream, later.value.seq);
    }
    throw result.reason;
  }
}
