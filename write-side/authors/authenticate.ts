/** The one question that is asked of the write side: is this the password of that author? */
import { verify } from '@node-rs/argon2';
import type { RowDataPacket } from 'mysql2';
import { z } from 'zod';
import type { Pool } from '../database.js';

export const authenticateRequest = z.object({ usernameOrEmail: z.string().max(512), password: z.string().max(512) });
export type AuthenticateRequest = z.infer<typeof authenticateRequest>;
/** `null`: there is no such author, or the password is another; nobody is told which. */
export type AuthenticateReply = { authorId: string | null };

// Of a random password that nobody knows. Verified when there is no such author, so that both answers take the same time.
const NO_ONES_HASH = '$argon2id$v=19$m=19456,t=2,p=1$/MVwjWRaPvGaPZdOe9LLpQ$Vwd+Css2Im2zPZzF/o523yfGEjZpZotAF6LITcivQUk';

export async function authenticate(pool: Pool, request: AuthenticateRequest): Promise<AuthenticateReply> {
  const { usernameOrEmail, password } = request;
  // An @ is in every e-mail address and in no username.
  const column = usernameOrEmail.includes('@') ? 'email' : 'username';
  const handle = usernameOrEmail.normalize('NFC').toLowerCase();
  const [[row]] =
    /^\p{ASCII}*$/u.test(handle) || column === 'email'
      ? await pool.query<RowDataPacket[]>(
          `SELECT a.id, p.hash FROM authors a JOIN password_hashes p ON p.author_id = a.id WHERE a.${column} = ?`,
          [handle],
        )
      : [[]];
  const verified = await verify((row?.hash as string | undefined) ?? NO_ONES_HASH, password);

  return { authorId: row && verified ? (row.id as string) : null };
}
