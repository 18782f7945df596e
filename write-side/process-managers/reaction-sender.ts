/**
 * Sends the commands that follow from events, and hears what came of them. It sends a command again, under its id, until it
 * knows: what is stored twice, the inbox knows.
 */
import { randomUUID } from 'node:crypto';
import { headers } from '@nats-io/transport-node';
import { crashPoint } from '../../shared/crash-point.js';
import { pause } from '../../shared/follow.js';
import { partOf } from '../../shared/ids.js';
import { commandsStream, ensureStream, isNoStream, type Nats } from '../../shared/jetstream.js';
import type { Logger } from '../../shared/log.js';
import type { CommandDefinition, CommandMessage, Outcome } from '../../shared/messages/command.js';
import { HEADERS, natsNames } from '../../shared/names.js';

export interface ReactionSenderOptions {
  /** Outcomes come from this very process, so it must hear its own echo. */
  nats: Nats;
  namespace: string;
  lanes: number;
  log: Logger;
}

const PUBLISH_TIMEOUT_MS = 2_000;
/** After a failure to publish; doubles up to the last. */
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5_000;
/** Without an outcome it is sent again after this long; doubles up to the last, as MySQL may be away for hours. */
const FIRST_RESEND_MS = 5_000;
const LAST_RESEND_MS = 60_000;

export class ReactionSender {
  private readonly id = randomUUID();
  private readonly names;
  private readonly waiting = new Map<number, () => void>();
  private next = 0;

  constructor(private readonly options: ReactionSenderOptions) {
    const { nats, namespace, log } = options;
    this.names = natsNames(namespace);
    nats.connection.subscribe(this.names.outcome(this.id, '*'), {
      callback: (error, message) => {
        if (error) return log.error({ err: error }, 'outcomes of reactions');
        const { status } = message.json<Outcome>();
        // Kept whole for an operator: there is nothing more to do here, and what comes after must go on.
        if (status === 'PARKED') log.error({ subject: message.subject }, 'a reaction was parked');
        this.waiting.get(Number(message.subject.split('.').at(-1)))?.();
      },
    });
  }

  /** Settles when the command has an outcome, whichever. @throws only when aborted */
  async send<Payload>(
    definition: CommandDefinition<string, Payload>,
    message: CommandMessage & { payload: Payload },
    signal: AbortSignal,
  ): Promise<void> {
    const n = this.next++;
    let isSettled = false;
    // Resolving is all that it takes to end a wait, so each wait puts its own resolver here.
    let wake = () => undefined as void;
    this.waiting.set(n, () => {
      isSettled = true;
      wake();
    });
    const h = headers();
    h.set(HEADERS.replyTo, this.names.outcome(this.id, n));
    const subject = this.names.command(partOf(definition.laneKey(message.payload), this.options.lanes), message.name);
    const data = JSON.stringify(message);
    const { nats, log } = this.options;
    try {
      let retryMs = FIRST_RETRY_MS;
      let resendMs = FIRST_RESEND_MS;
      while (!isSettled) {
        if (signal.aborted) throw new Error('the process manager stops');
        try {
          crashPoint('reactions: before publish');
          await nats.js.publish(subject, data, { headers: h, timeout: PUBLISH_TIMEOUT_MS });
          crashPoint('reactions: after publish');
        } catch (error) {
          log.warn({ err: error, commandId: message.commandId }, 'could not publish a reaction, trying again');
          // Nobody listens there: the stream was lost, and with it nothing that MySQL has.
          if (isNoStream(error)) await this.prepare();
          await pause(retryMs, signal);
          retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
          continue;
        }
        if (isSettled) break;
        const waitMs = resendMs;
        await new Promise<void>((resolve) => {
          const over = () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', over);
            resolve();
          };
          const timer = setTimeout(over, waitMs);
          signal.addEventListener('abort', over, { once: true });
          wake = over;
        });
        if (!isSettled && !signal.aborted)
          log.warn({ commandId: message.commandId, waitMs }, 'a reaction has no outcome yet, sending it again');
        resendMs = Math.min(2 * resendMs, LAST_RESEND_MS);
      }
    } finally {
      this.waiting.delete(n);
    }
  }

  private async prepare(): Promise<void> {
    const { nats, lanes, log } = this.options;
    await ensureStream(nats, commandsStream(this.names, lanes)).catch((error: unknown) => {
      log.warn({ err: error }, 'could not make the stream of commands');
    });
  }
}
