import { z } from 'zod';
import type { FieldRules } from '../rules.js';
import { NOBODY } from '../ids.js';
import { defineCommand, type PayloadOf } from './command.js';
import type { Change } from './event.js';

/** What an author says about itself. */
const profile = (rules: FieldRules) =>
  z.object({
    name: rules.name.nullable(),
    biography: rules.biography.nullable(),
    location: rules.location.nullable(),
    website: rules.website.nullable(),
    birthDate: rules.birthDate.nullable(),
  });

export type Profile = z.infer<ReturnType<typeof profile>>;

export const SignUp = defineCommand(
  'SignUp',
  (rules) =>
    profile(rules).extend({
      authorId: rules.id,
      username: rules.username,
      email: rules.email,
      /** Argon2id, in PHC string format. Goes into its own table and nowhere else. */
      passwordHash: z
        .string()
        .max(255)
        .regex(/^\$argon2id\$[\w$=,+/.-]*$/),
    }),
  { sender: () => NOBODY, actor: (command) => command.authorId, hasSecret: true, laneKey: (command) => command.authorId },
);
export type SignUp = PayloadOf<typeof SignUp>;

export const UpdateProfile = defineCommand(
  'UpdateProfile',
  /** Absent: unchanged. Null: cleared. */
  (rules) => profile(rules).partial().extend({ authorId: rules.id }),
  { sender: (command) => command.authorId, laneKey: (command) => command.authorId },
);
export type UpdateProfile = PayloadOf<typeof UpdateProfile>;

export const ChangeUsername = defineCommand('ChangeUsername', ({ id, username }) => z.object({ authorId: id, username }), {
  sender: (command) => command.authorId,
  laneKey: (command) => command.authorId,
});
export type ChangeUsername = PayloadOf<typeof ChangeUsername>;

export const ChangeEmail = defineCommand('ChangeEmail', ({ id, email }) => z.object({ authorId: id, email }), {
  sender: (command) => command.authorId,
  laneKey: (command) => command.authorId,
});
export type ChangeEmail = PayloadOf<typeof ChangeEmail>;

export interface AuthorSignedUp extends Profile {
  type: 'AuthorSignedUp';
  authorId: string;
  username: string;
  email: string;
}

export interface AuthorProfileUpdated {
  type: 'AuthorProfileUpdated';
  authorId: string;
  /** Those fields that are no longer what they were. */
  changes: { [Field in keyof Profile]?: Change<Profile[Field]> };
}

export interface AuthorUsernameChanged {
  type: 'AuthorUsernameChanged';
  authorId: string;
  changes: { username: Change<string> };
}

export interface AuthorEmailChanged {
  type: 'AuthorEmailChanged';
  authorId: string;
  changes: { email: Change<string> };
}

export type AuthorEvent = AuthorSignedUp | AuthorProfileUpdated | AuthorUsernameChanged | AuthorEmailChanged;
