/** What the write side answers over core NATS: sign-in, where the journal stands, and entries that a follower misses. */
import type { Msg } from '@nats-io/transport-node';
import type { Nats } from '../shared/jetstream.js';
import { pause } from '../shared/follow.js';
import { NoTurn } from '../shared/fair-work.js';
import type { Logger } from '../shared/log.js';
import { natsNames } from '../shared/names.js';
import { journalHeadRequest, journalReadRequest } from '../shared/journal-requests.js';
import { authenticate, authenticateRequest } from './authors/authenticate.js';
import { isDatabaseTrouble, type Pool } from './database.js';
import { readHead, readJournal, readSkips, type StoredEntry } from './journal.js';

/** Of entries in one reply: a NATS message holds 1 MiB, and JSON in JSON is longer than itself. */
const MAX_CHARACTERS = 256 * 1024;

/** Questions that are being answered by this process, without those about passwords, which have a queue of their own. */
const MAX_QUESTIONS = 256;

/** As many of the first as fit into one reply, and one at least; who asked goes on after the last. */
function fitting(entries: StoredEntry[]): StoredEntry[] {
  let characters = 0;
  const end = entries.findIndex(({ body }, i) => (characters += body.length) > MAX_CHARACTERS && i > 0);

  return end === -1 ? entries : entries.slice(0, end);
}

/** Between looks whether MySQL is there again. */
const RETRY_MS = 500;

/**
 * Each question goes to one of the write sides, whichever NATS picks. Who finds that MySQL is away, or silent, leaves them until it is
 * there again: others may have it still, and when nobody has, whoever asks is told at once that nobody answers.
 */
export function startAnswers({ nats, pool, namespace, log }: { nats: Nats; pool: Pool; namespace: string; log: Logger }) {
  const names = natsNames(namespace);
  const stopping = new AbortController();
  const replies: Record<string, (request: unknown) => Promise<unknown>> = {
    [names.authenticate]: (request) => authenticate(pool, authenticateRequest.parse(request)),
    [names.journalHead]: async (request) => {
      const { at } = journalHeadRequest.parse(request) ?? {};
      const [head, skips, [entry]] = await Promise.all([readHead(pool), readSkips(pool), at ? readJournal(pool, at - 1, 1) : []]);

      return { ...head, entryId: entry?.position === at ? (entry?.entryId ?? null) : null, skips };
    },
    [names.journalRead]: async (request) => {
      const { after, most } = journalReadRequest.parse(request);
      return fitting(await readJournal(pool, after, most));
    },
  };
  const join = () =>
    Object.entries(replies).map(([subject, reply]) =>
      nats.connection.subscribe(subject, {
        queue: 'write-side',
        callback: (error, message) => {
          if (error) return log.error({ err: error, subject }, 'subscription failed');
          respond(message, reply).catch((cause: unknown) => {
            // Whoever asked is told if it still waits; a busy write side is no news to the log.
            if (cause instanceof NoTurn) return void message.respond(JSON.stringify({ error: 'The write side is busy.', isBusy: true }));
            log.error({ err: cause, subject }, 'could not answer');
            message.respond(JSON.stringify({ error: 'The write side could not answer.' }));
            if (isDatabaseTrouble(cause) && subscriptions.length > 0) void rejoin();
          });
        },
      }),
    );
  const rejoin = async () => {
    for (const subscription of subscriptions) subscription.unsubscribe();
    subscriptions = [];
    while (!stopping.signal.aborted && !nats.connection.isClosed()) {
      await pause(RETRY_MS, stopping.signal);
      if (!(await pool.query('SELECT 1').catch(() => null))) continue;
      if (!stopping.signal.aborted) subscriptions = join();
      return;
    }
  };
  let underWay = 0;
  const respond = async (message: Msg, reply: (request: unknown) => Promise<unknown>) => {
    if (message.subject === names.authenticate) return void message.respond(JSON.stringify(await reply(message.json())));
    if (underWay >= MAX_QUESTIONS) throw new Error('too many questions at once');
    underWay += 1;
    try {
      message.respond(JSON.stringify(await reply(message.data.length > 0 ? message.json() : null)));
    } finally {
      underWay -= 1;
    }
  };
  let subscriptions = join();

  return {
    stop: async () => {
      stopping.abort();
      await Promise.all(subscriptions.map((subscription) => subscription.drain()));
    },
  };
}
