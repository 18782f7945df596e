/** Every command handler there is: start here to find a rule. */
import type { CommandName, CommandPayload } from '../shared/messages/commands.js';
import { changeEmail } from './authors/change-email.js';
import { changeUsername } from './authors/change-username.js';
import { signUp } from './authors/sign-up.js';
import { updateProfile } from './authors/update-profile.js';
import { deleteCheep } from './cheeps/delete-cheep.js';
import { editCheep } from './cheeps/edit-cheep.js';
import { postCheep } from './cheeps/post-cheep.js';
import type { CommandHandler } from './command-handler.js';
import { followAuthor } from './follows/follow-author.js';
import { unfollowAuthor } from './follows/unfollow-author.js';
import { likeCheep } from './likes/like-cheep.js';
import { unlikeCheep } from './likes/unlike-cheep.js';
import { markNotificationsRead } from './notifications/mark-notifications-read.js';
import { notifyAuthor } from './notifications/notify-author.js';

export const commandHandlers: { [Name in CommandName]: CommandHandler<CommandPayload<Name>> } = {
  SignUp: signUp,
  UpdateProfile: updateProfile,
  ChangeUsername: changeUsername,
  ChangeEmail: changeEmail,
  FollowAuthor: followAuthor,
  UnfollowAuthor: unfollowAuthor,
  PostCheep: postCheep,
  EditCheep: editCheep,
  DeleteCheep: deleteCheep,
  LikeCheep: likeCheep,
  UnlikeCheep: unlikeCheep,
  NotifyAuthor: notifyAuthor,
  MarkNotificationsRead: markNotificationsRead,
};
