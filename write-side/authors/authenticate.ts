/** The one question that is asked of the write side: is this the password of that author? */
import { verify } from '@node-rs/argon2';
import type { RowDataPacket } from 'mysql2';
import { z } from 'zod';
import { FairWork } from '../../shared/fair-work.js';
import { HASHED_AT_ONCE } from '../../shared/hashing.js';
import { emailsToLookUp, id } from '../../shared/rules.js';
import type { Pool } from '../database.js';

const ofAll = {
  password: z.string().max(512),
  /** Where the client is; '' for a gateway that does not say it. */
  address: z.string().max(64).default(''),
  /** Was the account signed in to from there before? */
  isKnown: z.boolean().default(false),
  /** For how long the gateway waits for the answer. */
  waitMs: z.number().min(0).max(60_000).default(2_500),
};
export const authenticateRequest = z.union([
  z.object({ usernameOrEmail: z.string().max(512), ...ofAll }),
  /** Who signed up before may have another name and address by now. */
  z.object({ authorId: id, ...ofAll }),
]);
export type AuthenticateRequest = z.infer<typeof authenticateRequest>;
/** `null`: there is no such author, or the password is another; nobody is told which. */
export type AuthenticateReply = { authorId: string | null };

// Of a random password that nobody knows. Verified when there is no such author, so that both answers take the same time.
const NO_ONES_HASH = '$argon2id$v=19$m=19456,t=2,p=1$/MVwjWRaPvGaPZdOe9LLpQ$Vwd+Css2Im2zPZzF/o523yfGEjZpZotAF6LITcivQUk';

/** Passwords that wait to be verified. One address alone has half of the places. */
const MAX_QUEUED = 256;
/** Of one account, from one address. */
const MAX_OF_ACCOUNT = 16;
const verifying = new FairWork({ atOnce: HASHED_AT_ONCE, places: MAX_QUEUED, placesOfAccount: MAX_OF_ACCOUNT });

/** @throws NoTurn if it could not be answered while the gateway waits */
export async function authenticate(pool: Pool, request: AuthenticateRequest): Promise<AuthenticateReply> {
  const begun = performance.now();
  const [column, handles] = 'authorId' in request ? ['id', [request.authorId]] : handlesOf(request.usernameOrEmail);
  const [[row]] =
    handles.length > 0
      ? await pool.query<RowDataPacket[]>(
          `SELECT a.id, p.hash FROM authors a JOIN password_hashes p ON p.author_id = a.id WHERE a.${column} IN (?)
           ORDER BY a.${column} = ? DESC LIMIT 1`,
          [handles, handles[0]],
        )
      : [[]];
  const account = ('authorId' in request ? request.authorId : request.usernameOrEmail).toLowerCase();
  const waitMs = request.waitMs - (performance.now() - begun);
  const verified = await verifying.run({ address: request.address, account, isKnown: request.isKnown, waitMs }, () =>
    verify((row?.hash as string | undefined) ?? NO_ONES_HASH, request.password),
  );

  return { authorId: row && verified ? (row.id as string) : null };
}

/** An @ is in every e-mail address and in no username. None for what nobody can have; the first that somebody has is meant. */
function handlesOf(usernameOrEmail: string): [column: string, handles: string[]] {
  if (usernameOrEmail.includes('@')) return ['email', emailsToLookUp(usernameOrEmail)];
  const handle = usernameOrEmail.normalize('NFC').toLowerCase();

  return ['username', /^\p{ASCII}+$/u.test(handle) ? [handle] : []];
}
