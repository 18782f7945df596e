/** A message of the stream `COMMANDS`, as it reaches a lane: a command that can be run, or something that never was one. */
import type { JsMsg } from '@nats-io/jetstream';
import { commandMessage, type CommandDefinition, type CommandMessage } from '../shared/messages/command.js';
import { commandNamed } from '../shared/messages/commands.js';
import { HEADERS } from '../shared/names.js';
import { partOf } from '../shared/ids.js';

export interface Received {
  lane: number;
  source: JsMsg;
  /** Counts the openings of its lane's consumer: sequences of two of them may not be compared. */
  opening: number;
  /** It was in the stream already when its lane's consumer was opened. */
  isBacklog: boolean;
  /** The creation time of the stream that it came from; with its sequence and time that names the message for ever. */
  streamCreated: string;
  /** The asking gateway's inbox, on core NATS. */
  replyTo: string | null;
  command: Command | null;
  /** Why it is no command; null when it is one. */
  broken: string | null;
}

export interface Command {
  message: CommandMessage;
  definition: CommandDefinition;
  payload: unknown;
  senderId: string;
}

/** Only a gateway's own subject is answered to: whatever else a header says is no reason to fail. */
const OUTCOMES = /^[\w-]+\.outcomes\.[\w-]+\.\d+$/;

export function receive(source: JsMsg, from: Pick<Received, 'lane' | 'opening' | 'isBacklog' | 'streamCreated'>, lanes: number): Received {
  const asked = source.headers?.get(HEADERS.replyTo) ?? '';
  const replyTo = OUTCOMES.test(asked) ? asked : null;
  try {
    const command = parseCommand(source.json());
    const right = laneOf(command, lanes);
    // Elsewhere it could overtake, or be overtaken by, another command of the same key.
    if (right !== from.lane) throw new Error(`It belongs in lane ${right}, and came in lane ${from.lane}.`);

    return { ...from, source, replyTo, command, broken: null };
  } catch (error) {
    return { ...from, source, replyTo, command: null, broken: (error as Error).message };
  }
}

/** @throws when it is no command that this process knows, for whatever reason */
export function parseCommand(body: unknown): Command {
  const message = commandMessage.parse(body);
  const definition = commandNamed(message.name);
  if (!definition) throw new Error(`There is no command ${message.name}.`);
  const payload = definition.received.parse(message.payload);

  return { message, definition, payload, senderId: definition.sender(payload) };
}

/** The lane that such a command belongs to. */
export const laneOf = ({ definition, payload }: Command, lanes: number): number => partOf(definition.laneKey(payload), lanes);
