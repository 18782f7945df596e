/** Questions about the journal that the write side answers over core NATS. */
import { z } from 'zod';
import type { Nats } from './jetstream.js';
import type { NatsNames } from './names.js';

/** There may be fewer in a reply, when they are long: it must fit into one NATS message. */
export const MAX_ENTRIES_READ = 100;
const TIMEOUT_MS = 2_000;

export const journalReadRequest = z.object({
  after: z.number().int().min(0),
  most: z.number().int().min(1).max(MAX_ENTRIES_READ),
});

export const journalHeadRequest = z.object({ at: z.number().int().min(1).optional() }).nullable();

const journalHead = z.object({
  epoch: z.string(),
  position: z.number().int(),
  /** Of the entry at the position that was asked about; null when there is none. */
  entryId: z.string().nullable(),
  /** Entries that some shards of projections are to leave out, by an operator's word. */
  skips: z.array(z.object({ projection: z.string(), shard: z.number().int(), position: z.number().int() })),
});

export type JournalHead = z.infer<typeof journalHead>;
const storedEntries = z.array(z.object({ position: z.number().int(), entryId: z.string(), type: z.string(), body: z.string() }));

/**
 * Where the journal stands.
 * @param at a position whose entry's id is wanted too
 * @throws when no write side answers in time
 */
export async function askJournalHead({ connection }: Nats, names: NatsNames, at?: number): Promise<JournalHead> {
  const reply = await connection.request(names.journalHead, at ? JSON.stringify({ at }) : undefined, { timeout: TIMEOUT_MS });

  return journalHead.parse(reply.json());
}

/** The entries after a position, up to `MAX_ENTRIES_READ`. @throws when no write side answers in time */
export async function askJournal({ connection }: Nats, names: NatsNames, after: number) {
  const request = JSON.stringify({ after, most: MAX_ENTRIES_READ });
  const reply = await connection.request(names.journalRead, request, { timeout: TIMEOUT_MS });

  return storedEntries.parse(reply.json());
}
