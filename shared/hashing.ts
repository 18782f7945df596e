/** How passwords are hashed, and how many at once. */
import { availableParallelism } from 'node:os';
import type { Algorithm } from '@node-rs/argon2';

/** OWASP's recommendation for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. */
export const ARGON2ID = { algorithm: 2 satisfies Algorithm.Argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** Each takes a thread of libuv, of which there are so many. */
const MAX_HASHED_AT_ONCE = 4;
/** One core is left to those who do not sign in. */
export const HASHED_AT_ONCE = Math.max(1, Math.min(MAX_HASHED_AT_ONCE, availableParallelism() - 1));
