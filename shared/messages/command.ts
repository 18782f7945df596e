/**
 * A command: the wish that something be done, in the imperative. Its message travels through the stream `COMMANDS` to one
 * lane of the write side, and leaves one outcome, whatever is sent again.
 */
import { z } from 'zod';
import { id, received, typed, type FieldRules } from '../rules.js';
import type { ErrorCode } from '../refused.js';

export interface CommandDefinition<Name extends string = string, Payload = unknown> {
  name: Name;
  /** What a client may send today. */
  schema: z.ZodType<Payload>;
  /** What may be in the stream: as `schema`, with the rules for texts of any release. */
  received: z.ZodType<Payload>;
  /** Who sends it. With the command's id this is the idempotency key. */
  sender(payload: Payload): string;
  /** Whose command it is once it is done, where that is not the sender: a sign-up is by the author that it made. */
  actor?(payload: Payload): string;
  /** Its input has a secret, so its fingerprint goes nowhere but into the inbox. */
  hasSecret?: boolean;
  /** Commands with the same key are run in the order in which they were sent. */
  laneKey(payload: Payload): string;
}

export const defineCommand = <Name extends string, Payload>(
  name: Name,
  shape: (rules: FieldRules) => z.ZodType<Payload>,
  keys: Pick<CommandDefinition<Name, NoInfer<Payload>>, 'sender' | 'actor' | 'hasSecret' | 'laneKey'>,
): CommandDefinition<Name, Payload> => ({ name, schema: shape(typed), received: shape(received), ...keys });

export type PayloadOf<D> = D extends CommandDefinition<string, infer Payload> ? Payload : never;

const FINGERPRINT = /^[\w-]{1,64}$/;

/** The message around a command's payload. */
export const commandMessage = z.object({
  name: z.string(),
  commandId: id,
  /** What the caller put in, digested: tells a retry from another command under the same id. */
  fingerprint: z.string().regex(FINGERPRINT),
  /**
   * The same as earlier releases made it, from what the caller typed; only where that differs. A command that such a release
   * recorded is known again by it.
   */
  formerFingerprint: z.string().regex(FINGERPRINT).optional(),
  sentAt: z.iso.datetime(),
  /** All that comes of one request shares this. */
  correlationId: z.string().min(1).max(64),
  /** The message that caused this one; a request's own command is caused by nothing but the request. */
  causationId: z.string().min(1).max(64).nullable(),
  /** W3C Trace Context, when the request had one. */
  traceparent: z.string().max(64).nullable(),
  payload: z.unknown(),
});

export type CommandMessage = z.infer<typeof commandMessage>;

/** Whether the command that was recorded with this fingerprint is the one in the message, sent again. */
export const isSameCommand = (recorded: string, { fingerprint, formerFingerprint }: CommandMessage): boolean =>
  recorded === fingerprint || recorded === formerFingerprint;

/** What came of a command. `position` is that of its journal entry, so a refusal can be waited for too. */
export type Outcome =
  | { status: 'COMMITTED'; epoch: string; position: number; version: number | null; replayed: boolean }
  | { status: 'REJECTED'; epoch: string; position: number; code: ErrorCode; field: string[] | null; replayed: boolean }
  /** It failed for no reason that the domain knows; it is kept, with its cause, for an operator. */
  | { status: 'PARKED' };
