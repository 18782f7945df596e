/** Sends commands to the write side, and hears what came of them. */
import { randomUUID } from 'node:crypto';
import { headers, RequestError, TimeoutError } from '@nats-io/transport-node';
import { JetStreamApiError } from '@nats-io/jetstream';
import { crashPoint } from '../shared/crash-point.js';
import { pause } from '../shared/follow.js';
import { partOf } from '../shared/ids.js';
import { commandsStream, ensureStream, isNoStream, type Nats } from '../shared/jetstream.js';
import type { Logger } from '../shared/log.js';
import type { CommandDefinition, CommandMessage, Outcome } from '../shared/messages/command.js';
import { HEADERS, natsNames } from '../shared/names.js';
import { fault } from './errors.js';
import { siteOf, type ClientAddress } from './origins.js';
import { Shares } from '../shared/shares.js';

export interface CommandSenderOptions {
  nats: Nats;
  namespace: string;
  lanes: number;
  commitDeadlineMs: number;
  log: Logger;
}

export interface CommandSource {
  address: ClientAddress;
  /** Its sender, or the connection of one who is nobody yet. */
  client: unknown;
}

/** JetStream has it, and what came of it is not known. */
export type Sent = Outcome | { status: 'ACCEPTED' };

/** Commands under way from one gateway, at the most: when they wait for MySQL, some operations are left for those who read. */
const MAX_UNDER_WAY = 1_500;
const PUBLISH_TIMEOUT_MS = 1_000;
const RETRY_MS = 50;

/**
 * JetStream refuses what a full stream cannot take with the same code as what it fails to write (10077).
 * Source: ErrMaxMsgs and ErrMaxBytes in https://github.com/nats-io/nats-server/blob/main/server/store.go
 */
const isStreamFull = (error: unknown): boolean =>
  error instanceof JetStreamApiError && (error.code === 10_122 || (error.code === 10_077 && error.message.includes('exceeded')));

export class CommandSender {
  private readonly id = randomUUID();
  private readonly names;
  private readonly waiting = new Map<number, (outcome: Outcome) => void>();
  private readonly places = new Shares(MAX_UNDER_WAY);
  private next = 0;

  constructor(private readonly options: CommandSenderOptions) {
    const { nats, namespace, log } = options;
    this.names = natsNames(namespace);
    nats.connection.subscribe(this.names.outcome(this.id, '*'), {
      callback: (error, message) => {
        if (error) return log.error({ err: error }, 'outcomes');
        const n = Number(message.subject.split('.').at(-1));
        this.waiting.get(n)?.(message.json<Outcome>());
      },
    });
  }

  /** Commands go into a stream that must be there; whoever comes first makes it. @throws when it is another system's */
  async prepare(): Promise<void> {
    await ensureStream(this.options.nats, commandsStream(this.names, this.options.lanes));
  }

  /**
   * Sends a command. With `waitForOutcome` it settles with the outcome, or, at the deadline, with ACCEPTED.
   * @param from whose places it takes: of an address, and of a sender there
   * @throws OVERLOADED when nothing was sent; UNAVAILABLE when it may or may not have been
   */
  async send<Payload>(
    definition: CommandDefinition<string, Payload>,
    message: CommandMessage,
    waitForOutcome: boolean,
    from: CommandSource,
  ): Promise<Sent> {
    const leave = this.places.take(siteOf(from.address.network), from.client);
    if (!leave) throw fault('OVERLOADED', 'Too many commands are under way. Nothing was sent; try again.');
    const { commitDeadlineMs, lanes } = this.options;
    const n = this.next++;
    const settled = Promise.withResolvers<Sent>();
    // Not an AbortController: aborting one makes an exception with a stack, for each command.
    const publishing = { isOver: false };
    let isAccepted = false;
    const timer = setTimeout(() => {
      if (isAccepted) settled.resolve({ status: 'ACCEPTED' });
      else settled.reject(unavailable('The write side does not answer.', message.commandId));
    }, commitDeadlineMs);
    // An outcome that overtakes the acknowledgement says no less than it.
    this.waiting.set(n, (outcome) => settled.resolve(waitForOutcome ? outcome : { status: 'ACCEPTED' }));
    try {
      const lane = partOf(definition.laneKey(message.payload as Payload), lanes);
      // The outcome may come before the acknowledgement, and then it is the answer.
      this.publish(this.names.command(lane, message.name), message, n, publishing).then(() => {
        isAccepted = true;
        if (!waitForOutcome) settled.resolve({ status: 'ACCEPTED' });
      }, settled.reject);

      const outcome = await settled.promise;
      crashPoint('gateway: before reply');

      return outcome;
    } finally {
      clearTimeout(timer);
      leave();
      this.waiting.delete(n);
      publishing.isOver = true;
    }
  }

  /** Publishes until JetStream has it. The same message may be stored twice; the inbox knows. */
  private async publish(subject: string, message: CommandMessage, n: number, publishing: { isOver: boolean }): Promise<void> {
    const { nats, log } = this.options;
    const h = headers();
    h.set(HEADERS.replyTo, this.names.outcome(this.id, n));
    const data = JSON.stringify(message);
    for (let attempt = 1; !publishing.isOver; attempt++) {
      if (!nats.isConnected()) throw unavailable('The write side cannot be reached.', message.commandId);
      try {
        crashPoint('gateway: before publish');
        await nats.js.publish(subject, data, { headers: h, timeout: PUBLISH_TIMEOUT_MS });
        crashPoint('gateway: after publish');
        return;
      } catch (error) {
        if (publishing.isOver) return;
        if (isStreamFull(error)) {
          // An earlier try may have been stored, whatever we heard of it.
          if (attempt > 1) throw unavailable('Too many commands are waiting.', message.commandId);
          throw fault('OVERLOADED', 'Too many commands are waiting. Nothing was sent; try again.');
        }
        log.warn({ err: error, commandId: message.commandId }, 'could not publish a command, trying again');
        // Nobody listens there: the stream was lost, and with it nothing that MySQL has.
        if (isNoStream(error)) await this.prepare().catch(() => undefined);
        else if (![TimeoutError, RequestError, JetStreamApiError].some((kind) => error instanceof kind)) throw error;
        await pause(RETRY_MS);
      }
    }
  }
}

const unavailable = (why: string, commandId: string) => fault('UNAVAILABLE', `${why} Try again with the same commandId.`, { commandId });
