import { z } from 'zod';
import * as rules from '../rules.js';
import { NOBODY } from '../ids.js';
import { defineCommand, type PayloadOf } from './command.js';

/** What an author says about itself. */
export const profile = z.object({
  name: rules.name.nullable(),
  biography: rules.biography.nullable(),
  location: rules.location.nullable(),
  website: rules.website.nullable(),
  birthDate: rules.birthDate.nullable(),
});

export type Profile = z.infer<typeof profile>;

export const SignUp = defineCommand(
  'SignUp',
  profile.extend({
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

export interface AuthorSignedUp extends Profile {
  type: 'AuthorSignedUp';
  authorId: string;
  username: string;
  email: string;
}

export type AuthorEvent = AuthorSignedUp;
