/** Every command there is. */
import { ChangeEmail, ChangeUsername, SignUp, UpdateProfile } from './author.js';
import { DeleteCheep, EditCheep, PostCheep } from './cheep.js';
import type { CommandDefinition, PayloadOf } from './command.js';
import { FollowAuthor, UnfollowAuthor } from './follow.js';
import { LikeCheep, UnlikeCheep } from './like.js';
import { MarkNotificationsRead, NotifyAuthor } from './notification.js';

export const commands = {
  SignUp,
  UpdateProfile,
  ChangeUsername,
  ChangeEmail,
  FollowAuthor,
  UnfollowAuthor,
  PostCheep,
  EditCheep,
  DeleteCheep,
  LikeCheep,
  UnlikeCheep,
  NotifyAuthor,
  MarkNotificationsRead,
};

export type CommandName = keyof typeof commands;
export type CommandPayload<Name extends CommandName> = PayloadOf<(typeof commands)[Name]>;

/** The definition of a command by its name; undefined for a name that is none. */
export const commandNamed = (name: string): CommandDefinition | undefined =>
  Object.hasOwn(commands, name) ? commands[name as CommandName] : undefined;
