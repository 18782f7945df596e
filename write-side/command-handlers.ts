/** Every command handler there is: start here to find a rule. */
import type { CommandName, CommandPayload } from '../shared/messages/commands.js';
import { signUp } from './authors/sign-up.js';
import { postCheep } from './cheeps/post-cheep.js';
import type { CommandHandler } from './command-handler.js';
import { followAuthor } from './follows/follow-author.js';
import { unfollowAuthor } from './follows/unfollow-author.js';

export const commandHandlers: { [Name in CommandName]: CommandHandler<CommandPayload<Name>> } = {
  SignUp: signUp,
  FollowAuthor: followAuthor,
  UnfollowAuthor: unfollowAuthor,
  PostCheep: postCheep,
};
