/** Questions about the journal that the write side answers over core NATS. */
import { z } from 'zod';
import type { Nats } from './jetstream.js';
import type { NatsNames } from './names.js';

/** There may be fewer in a reply, when they are long: it must fit into one NATS message. */
export const MOST_ENTRIES_READ = 100;
const TIMEOUT_MS = 2_000;

export const journalReadRequest = z.object({
  after: z.number().int().min(0),
  most: z.number().int().min(1).max(MOST_ENTRIES_READ),
});

const journalHead = z.object({ epoch: z.string(), position: z.number().int() });
const storedEntries = z.array(z.object({ position: z.number().int(), entryId: z.string(), type: z.string(), body: z.string() }));

/** Where the journal stands. @throws when no write side answers in time */
export async function askJournalHead({ connection }: Nats, names: NatsNames) {
  const reply = await connection.request(names.journalHead, undefined, { timeout: TIMEOUT_MS });

  return journalHead.parse(reply.json());
}

/** The entries after a position, up to `MOST_ENTRIES_READ`. @throws when no write side answers in time */
export async function askJournal({ connection }: Nats, names: NatsNames, after: number) {
  const request = JSON.stringify({ after, most: MOST_ENTRIES_READ });
  const reply = await connection.request(names.journalRead, request, { timeout: TIMEOUT_MS });

  return storedEntries.parse(reply.json());
}
