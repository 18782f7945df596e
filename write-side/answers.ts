/** What the write side answers over core NATS: sign-in, where the journal stands, and entries that a follower misses. */
import type { Msg } from '@nats-io/transport-node';
import type { Nats } from '../shared/jetstream.js';
import type { Logger } from '../shared/log.js';
import { natsNames } from '../shared/names.js';
import { journalReadRequest } from '../shared/journal-requests.js';
import { authenticate, authenticateRequest } from './authors/authenticate.js';
import type { Pool } from './database.js';
import { readHead, readJournal, type StoredEntry } from './journal.js';

/** Of entries in one reply: a NATS message holds 1 MiB, and JSON in JSON is longer than itself. */
const MOST_CHARACTERS = 256 * 1024;

/** As many of the first as fit into one reply, and one at least; who asked goes on after the last. */
function fitting(entries: StoredEntry[]): StoredEntry[] {
  let characters = 0;
  const end = entries.findIndex(({ body }, i) => (characters += body.length) > MOST_CHARACTERS && i > 0);

  return end === -1 ? entries : entries.slice(0, end);
}

export function startAnswers({ nats, pool, namespace, log }: { nats: Nats; pool: Pool; namespace: string; log: Logger }) {
  const names = natsNames(namespace);
  const answer = (subject: string, reply: (request: unknown) => Promise<unknown>) =>
    nats.connection.subscribe(subject, {
      queue: 'write-side',
      callback: (error, message) => {
        if (error) return log.error({ err: error, subject }, 'subscription failed');
        respond(message, reply).catch((cause: unknown) => {
          log.error({ err: cause, subject }, 'could not answer');
          message.respond(JSON.stringify({ error: 'The write side could not answer.' }));
        });
      },
    });
  const respond = async (message: Msg, reply: (request: unknown) => Promise<unknown>) => {
    message.respond(JSON.stringify(await reply(message.data.length > 0 ? message.json() : null)));
  };
  const subscriptions = [
    answer(names.authenticate, (request) => authenticate(pool, authenticateRequest.parse(request))),
    answer(names.journalHead, () => readHead(pool)),
    answer(names.journalRead, async (request) => {
      const { after, most } = journalReadRequest.parse(request);
      return fitting(await readJournal(pool, after, most));
    }),
  ];

  return { stop: () => Promise.all(subscriptions.map((subscription) => subscription.drain())) };
}
