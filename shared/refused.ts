/**
 * The expected error: a rule of the domain said no. It is recorded, answered with its code, and never retried. Everything
 * else that a handler throws is a fault.
 */
export const ERROR_CODES = [
  'INVALID',
  'TOO_SHORT',
  'TOO_LONG',
  'RESERVED',
  'TOO_COMMON',
  'USERNAME_TAKEN',
  'EMAIL_TAKEN',
  'AUTHOR_ALREADY_EXISTS',
  'AUTHOR_NOT_FOUND',
  'CANNOT_FOLLOW_SELF',
  'FOLLOWING_TOO_MANY',
  'CHEEP_ALREADY_EXISTS',
  'CHEEP_NOT_FOUND',
  'NOT_YOUR_CHEEP',
  'CHEEP_DELETED',
  'NOTHING_TO_CHANGE',
  'COMMAND_ID_REUSED',
  'WRONG_CREDENTIALS',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export class Refused extends Error {
  override name = 'Refused';

  /** @param field the path inside the mutation's input, such as `['username']`; null when it is about no field */
  constructor(
    readonly code: ErrorCode,
    readonly field: string[] | null = null,
  ) {
    super(REASONS[code]);
  }
}

/** What a code says to a person. A stored refusal keeps the code only, so the words can get better. */
export const REASONS: Record<ErrorCode, string> = {
  INVALID: 'This is not valid.',
  TOO_SHORT: 'This is too short.',
  TOO_LONG: 'This is too long.',
  RESERVED: 'Nobody can have this name, or one that looks like it.',
  TOO_COMMON: 'Many people have this password, and it is tried first. Choose another.',
  USERNAME_TAKEN: 'Somebody has this username already.',
  EMAIL_TAKEN: 'Somebody has signed up with this e-mail address already.',
  AUTHOR_ALREADY_EXISTS: 'An author, or something else, has this id already.',
  AUTHOR_NOT_FOUND: 'There is no such author.',
  CANNOT_FOLLOW_SELF: 'One cannot follow oneself.',
  FOLLOWING_TOO_MANY: 'One can follow at most 5,000 authors.',
  CHEEP_ALREADY_EXISTS: 'A cheep, or something else, has this id already.',
  CHEEP_NOT_FOUND: 'There is no such cheep.',
  NOT_YOUR_CHEEP: 'This is somebody else’s cheep.',
  CHEEP_DELETED: 'This cheep was deleted.',
  NOTHING_TO_CHANGE: 'No field was named that could change.',
  COMMAND_ID_REUSED: 'This commandId was used before, with another input.',
  WRONG_CREDENTIALS: 'No author has this name and password.',
};
