/**
 * What every mutation does that is a command: checks the input, names and sends the command, and makes the receipt. How long
 * the whole answer takes is up to what is selected: the field of the thing itself waits for its own write to be readable.
 */
import { createHash } from 'node:crypto';
import { GraphQLError } from 'graphql';
import { readCommand } from '../read-side/commands/query.js';
import { allShards, readApplied } from '../read-side/progress.js';
import { derivedId, newId, NOBODY } from '../shared/ids.js';
import { isSameCommand, type CommandDefinition, type CommandMessage } from '../shared/messages/command.js';
import { REASONS, type ErrorCode } from '../shared/refused.js';
import { faultsOf, id as idRule, type FieldFault } from '../shared/rules.js';
import { encodeToken } from '../shared/token.js';
import type { Sent } from './command-sender.js';
import type { CommandInput, CommandPayload, CommandStatus, UserError } from './command-payload.js';
import type { Context } from './context.js';

type Fields = Record<string, unknown>;

export interface MutationOptions<Payload> {
  /** Who sends it. */
  senderId: string;
  /**
   * The command's payload from the input, not yet checked. What the caller left to us is derived from its id, so that a
   * retry is the same command.
   * @param derived the id for the new thing, when the caller chose none
   */
  payload: (derived: string) => Payload;
  /** What is done to the payload once all of the input is right: work that is not worth doing before. */
  complete?: (payload: Payload) => Promise<Payload>;
  /** Where a field of the command comes from a field of the input with another name. */
  renamed?: Partial<Record<keyof Payload & string, string>>;
  /** Faults that were found in fields that the command does not have. */
  faults?: FieldFault[];
  /** What to tell a retry by, of the input's fields, where it is not simply these. */
  fingerprinted?: (fields: Fields) => Fields;
}

/** What came of it, in the fields of a `CommandPayload`. */
export interface Receipt extends CommandPayload {
  /** The outcome had been recorded before: this was a retry. */
  replayed: boolean;
}

export async function runCommand<Payload extends object>(
  context: Context,
  definition: CommandDefinition<string, Payload>,
  input: CommandInput,
  options: MutationOptions<Payload>,
): Promise<Receipt> {
  const givenId = input.commandId === null || input.commandId === undefined ? null : idRule.safeParse(input.commandId);
  const commandId = givenId?.success ? givenId.data : newId();
  const checked = definition.schema.safeParse(options.payload(derivedId(options.senderId, commandId)));
  const faults = [
    ...(options.faults ?? []),
    ...(checked.success ? [] : faultsOf(checked.error)).map(({ code, field: [first, ...rest] }) => ({
      code,
      field: [options.renamed?.[first as keyof Payload & string] ?? first!, ...rest],
    })),
    ...(givenId?.success === false ? [{ code: 'INVALID' as const, field: ['commandId'] }] : []),
  ];
  if (!checked.success || faults.length > 0) return refusedAtTheDoor(faults);

  const { fingerprinted = (fields: Fields) => fields } = options;
  const kept = putIn(definition.name, fingerprinted(asKept(input, checked.data, options.renamed ?? {})));
  const typed = putIn(definition.name, fingerprinted({ ...input }));
  const message: CommandMessage = {
    name: definition.name,
    commandId,
    fingerprint: digest(kept),
    ...(typed === kept ? {} : { formerFingerprint: digest(typed) }),
    sentAt: new Date().toISOString(),
    correlationId: context.correlationId,
    causationId: null,
    traceparent: context.traceparent,
    payload: options.complete ? await options.complete(checked.data) : checked.data,
  };
  const { commands } = context.services;
  const { address, presence } = context;
  const client = options.senderId === NOBODY ? presence.client : options.senderId;
  const sent = await commands.send(definition, message, input.waitFor !== 'ACCEPTED', { address, client });
  const known = sent.status === 'ACCEPTED' && input.waitFor !== 'ACCEPTED' ? await lookUp(context, options.senderId, message) : sent;

  const answer = await receipt(context, commandId, known, input.waitFor === 'PROJECTED');
  const { correlationId, services } = context;
  services.log.debug(
    { name: definition.name, commandId, correlationId, status: answer.status, position: answer.position },
    'command answered',
  );

  return answer;
}

const userError = ({ code, field }: { code: ErrorCode; field: string[] | null }): UserError => ({ code, field, message: REASONS[code] });

const refusedAtTheDoor = (faults: FieldFault[]): Receipt => ({
  commandId: null,
  status: 'REJECTED',
  consistencyToken: null,
  userErrors: faults.map(userError),
  position: null,
  replayed: false,
});

/** The outcome's message was lost, or is late: the projection may know it. */
async function lookUp({ services: { reads } }: Context, senderId: string, message: CommandMessage): Promise<Sent> {
  const { space } = reads;
  const read = await readCommand(reads.redis, space, senderId, message.commandId).catch(() => null); // Not knowing is ACCEPTED.
  if (!read?.value?.fingerprint) return { status: 'ACCEPTED' };
  const { position, refusal } = read.value;
  const settled = { epoch: space.epoch, position, replayed: true };
  if (!isSameCommand(read.value.fingerprint, message))
    return { status: 'REJECTED', code: 'COMMAND_ID_REUSED', field: ['commandId'], ...settled };

  return refusal ? { status: 'REJECTED', ...refusal, ...settled } : { status: 'COMMITTED', version: null, ...settled };
}

async function receipt(context: Context, commandId: string, sent: Sent, isToBeProjected: boolean): Promise<Receipt> {
  // What is parked is kept for an operator, who may run it yet: accepted, and no more.
  if (sent.status === 'ACCEPTED' || sent.status === 'PARKED') {
    return { commandId, status: 'ACCEPTED', consistencyToken: null, userErrors: [], position: null, replayed: false };
  }
  const { epoch, replayed } = sent;
  // In a new epoch that this gateway has not heard of yet, the position means nothing to the projections that it reads.
  const position = epoch === context.consistency.epoch ? sent.position : null;
  if (position !== null) context.consistency.settled(position);
  const consistencyToken = encodeToken({ epoch, position: sent.position });
  if (sent.status === 'REJECTED') {
    return { commandId, status: 'REJECTED', consistencyToken, userErrors: [userError(sent)], position, replayed };
  }
  const status: CommandStatus = isToBeProjected && position !== null && (await isProjected(context, position)) ? 'PROJECTED' : 'COMMITTED';

  return { commandId, status, consistencyToken, userErrors: [], position, replayed };
}

/** Waits until every projection has applied the position; false when the deadline came first. */
async function isProjected({ services: { reads }, consistency }: Context, position: number): Promise<boolean> {
  try {
    const waits = allShards(reads.space).map((shard) =>
      reads.read(consistency, shard, (redis, space) => readApplied(redis, space, shard), { floor: position }),
    );

    return (await Promise.all(waits)).every(({ applied }) => applied >= position);
  } catch (error) {
    // It is committed all the same, and that is what the receipt says.
    if (error instanceof GraphQLError && (error.extensions.code === 'NOT_CAUGHT_UP' || error.extensions.code === 'UNAVAILABLE'))
      return false;
    throw error;
  }
}

/** The input's fields as the command has them, in the form that their rules give them: a retry may be typed in another. */
function asKept(input: CommandInput, payload: object, renamed: Partial<Record<string, string>>): Fields {
  const nameInPayload = new Map(Object.entries(renamed).map(([inPayload, inInput]) => [inInput!, inPayload]));
  const kept = new Map<string, unknown>(Object.entries(payload));

  return Object.fromEntries(
    Object.entries(input).map(([field, value]) => [field, kept.get(nameInPayload.get(field) ?? field) ?? (value as unknown)]),
  );
}

/** What the caller put in: its own fields only, so that a retry is known whatever else we add. */
function putIn(name: string, { commandId: _, waitFor: __, ...fields }: Fields): string {
  const sorted = Object.entries(fields)
    .filter(([, value]) => value !== undefined && value !== null)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));

  return JSON.stringify([name, sorted]);
}

const digest = (text: string): string => createHash('sha256').update(text).digest('base64url');
