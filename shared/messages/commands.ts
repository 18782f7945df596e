/** Every command there is. */
import { SignUp } from './author.js';
import { PostCheep } from './cheep.js';
import { FollowAuthor, UnfollowAuthor } from './follow.js';
import type { CommandDefinition, PayloadOf } from './command.js';

export const commands = { SignUp, FollowAuthor, UnfollowAuthor, PostCheep };

export type CommandName = keyof typeof commands;
export type CommandPayload<Name extends CommandName> = PayloadOf<(typeof commands)[Name]>;

/** The definition of a command by its name; undefined for a name that is none. */
export const commandNamed = (name: string): CommandDefinition | undefined =>
  Object.hasOwn(commands, name) ? commands[name as CommandName] : undefined;
