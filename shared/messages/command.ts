/**
 * A command: the wish that something be done, in the imperative. Its message travels through the stream `COMMANDS` to one
 * lane of the write side, and leaves one outcome, whatever is sent again.
 */
import { z } from 'zod';
import { id } from '../rules.js';
import type { ErrorCode } from '../refused.js';

export interface CommandDefinition<Name extends string = string, Payload = unknown> {
  name: Name;
  schema: z.ZodType<Payload>;
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
  schema: z.ZodType<Payload>,
  keys: Pick<CommandDefinition<Name, NoInfer<Payload>>, 'sender' | 'actor' | 'hasSecret' | 'laneKey'>,
): CommandDefinition<Name, Payload> => ({ name, schema, ...keys });

export type PayloadOf<D> = D extends CommandDefinition<string, infer Payload> ? Payload : never;

/** The message around a command's payload. */
export const commandMessage = z.object({
  name: z.string(),
  commandId: id,
  /** What the caller put in, digested: tells a retry from another command under the same id. */
  fingerprint: z.string().regex(/^[\w-]{1,64}$/),
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

/** What came of a command. `position` is that of its journal entry, so a refusal can be waited for too. */
export type Outcome =
  | { status: 'COMMITTED'; epoch: string; position: number; version: number | null; replayed: boolean }
  | { status: 'REJECTED'; epoch: string; position: number; code: ErrorCode; field: string[] | null; replayed: boolean }
  /** It failed for no reason that the domain knows; it is kept, with its cause, for an operator. */
  | { status: 'PARKED' };
