/**
 * Follows a stream from a checkpoint that the follower keeps itself, in the same atomic write as the effect. Nothing is
 * acknowledged to the broker, and nothing that the broker remembers about us is trusted: whenever its consumer is lost,
 * re-created or silent, a new one is opened from the checkpoint. So a follower may see a message again, and must know by
 * itself what it has done.
 */
import { DeliverPolicy, type JsMsg } from '@nats-io/jetstream';
import type { Logger } from './log.js';
import type { Nats } from './jetstream.js';

export interface FollowOptions {
  stream: string;
  /** Only messages with such a subject. One: nats-server 2.9 knows no more. */
  filter?: string;
  /** The sequence to begin at, asked each time that a consumer is opened. What comes may begin earlier. */
  from(): number | Promise<number>;
  /** Called for each message in stream order, one at a time; a promise holds back the next. */
  handle(message: JsMsg): void | Promise<void>;
  /** How many messages may wait on this side. */
  buffer: number;
  log: Logger;
}

export interface Following {
  /** Is a consumer open? */
  isOpen(): boolean;
  /** No more messages are handled after this has settled. */
  stop(): Promise<void>;
}

/** The server says that it is alive at this interval; two silences in a row and the consumer is given up. */
const HEARTBEAT_MS = 1_000;
const REOPEN_MS = 250;

export function follow(nats: Nats, options: FollowOptions): Following {
  const stopping = new AbortController();
  const { signal } = stopping;
  let open = false;

  const run = async () => {
    while (!signal.aborted) {
      try {
        await followOnce(nats, options, signal, (isOpen) => (open = isOpen));
      } catch (error) {
        options.log.warn({ err: error, stream: options.stream, filter: options.filter }, 'consumer lost, opening another');
      }
      open = false;
      if (!signal.aborted) await pause(REOPEN_MS, signal);
    }
  };
  const done = run();

  return {
    isOpen: () => open,
    stop: async () => {
      stopping.abort();
      await done;
    },
  };
}

async function followOnce(nats: Nats, options: FollowOptions, signal: AbortSignal, setOpen: (isOpen: boolean) => void) {
  const from = await options.from();
  const consumer = await nats.js.consumers.get(options.stream, {
    ...(options.filter ? { filter_subjects: options.filter } : {}),
    ...(from > 1 ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from } : { deliver_policy: DeliverPolicy.All }),
    inactive_threshold: 30_000,
  });
  const messages = await consumer.consume({ max_messages: options.buffer, expires: 30_000, idle_heartbeat: HEARTBEAT_MS });
  let lost: string | undefined;
  const give = (reason?: string) => {
    lost ??= reason;
    setOpen(false);
    messages.stop();
  };
  const onStop = () => give();
  signal.addEventListener('abort', onStop, { once: true });
  // What the server had sent may be lost with it, and the client's consumer would go on after that: nobody acknowledges anything here.
  const forget = nats.onLost(() => give('the connection was lost'));
  const watch = (async () => {
    for await (const status of messages.status()) {
      switch (status.type) {
        case 'heartbeats_missed':
          if (status.count >= 2) give('the server is silent');
          break;
        // The client re-creates an ordered consumer from what it saw last. After a rolled-back stream, sequences are used
        // again, so only the follower's own checkpoint knows where to go on.
        case 'ordered_consumer_recreated':
        case 'consumer_not_found':
        case 'consumer_deleted':
        case 'stream_not_found':
        case 'no_responders':
          give(status.type);
          break;
        default:
        // The rest is the client's own business.
      }
    }
  })();
  setOpen(true);
  let failure: Error | undefined;
  // The iterator is always read to its end, which `give` brings: one that is left alone never closes.
  if (signal.aborted) give();
  for await (const message of messages) {
    if (signal.aborted || lost) continue;
    try {
      await options.handle(message);
    } catch (error) {
      failure = error as Error;
      give('it could not be handled');
    }
  }
  signal.removeEventListener('abort', onStop);
  forget();
  await messages.close().catch(() => undefined); // It may have gone with its server: we only wanted it gone.
  await watch;
  if (failure) throw failure;
  if (lost) throw new Error(lost);
}

/** Settles after that time, or when aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
