/** The one question that is asked of the write side: is this the password of that author? */
import { verify } from '@node-rs/argon2';
import type { RowDataPacket } from 'mysql2';
import { z } from 'zod';
import { emailsToLookUp, id } from '../../shared/rules.js';
import type { Pool } from '../database.js';

const password = z.string().max(512);
export const authenticateRequest = z.union([
  z.object({ usernameOrEmail: z.string().max(512), password }),
  /** Who signed up before may have another name and address by now. */
  z.object({ authorId: id, password }),
]);
export type AuthenticateRequest = z.infer<typeof authenticateRequest>;
/** `null`: there is no such author, or the password is another; nobody is told which. */
export type AuthenticateReply = { authorId: string | null };

// Of a random password that nobody knows. Verified when there is no such author, so that both answers take the same time.
const NO_ONES_HASH = '$argon2id$v=19$m=19456,t=2,p=1$/MVwjWRaPvGaPZdOe9LLpQ$Vwd+Css2Im2zPZzF/o523yfGEjZpZotAF6LITcivQUk';

export async function authenticate(pool: Pool, request: AuthenticateRequest): Promise<AuthenticateReply> {
  const [column, handles] = 'authorId' in request ? ['id', [request.authorId]] : handlesOf(request.usernameOrEmail);
  const [[row]] =
    handles.length > 0
      ? await pool.query<RowDataPacket[]>(
          `SELECT a.id, p.hash FROM authors a JOIN password_hashes p ON p.author_id = a.id WHERE a.${column} IN (?)
           ORDER BY a.${column} = ? DESC LIMIT 1`,
          [handles, handles[0]],
        )
      : [[]];
  const verified = await verify((row?.hash as string | undefined) ?? NO_ONES_HASH, request.password);

  return { authorId: row && verified ? (row.id as string) : null };
}

/** An @ is in every e-mail address and in no username. None for what nobody can have; the first that somebody has is meant. */
function handlesOf(usernameOrEmail: string): [column: string, handles: string[]] {
  if (usernameOrEmail.includes('@')) return ['email', emailsToLookUp(usernameOrEmail)];
  const handle = usernameOrEmail.normalize('NFC').toLowerCase();

  return ['username', /^\p{ASCII}+$/u.test(handle) ? [handle] : []];
}
