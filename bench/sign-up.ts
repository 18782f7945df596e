/** Authors for all benches: whoever posts or follows has to be somebody. */
import { randomUUID } from 'node:crypto';
import { CheeperClient } from '../client/client.js';
import { SignUpDocument } from '../client/operations.js';

/** Somebody new who is signed in. @param url of the GraphQL endpoint */
export async function signUp(url: string): Promise<{ id: string; client: CheeperClient }> {
  const client = new CheeperClient({ url });
  const username = `bench_${randomUUID().slice(0, 8)}`;
  const input = { username, email: `${username}@example.org`, password: randomUUID() };
  const { session, author, userErrors } = (await client.request(SignUpDocument, { input })).signUp;
  if (!session || !author) throw new Error(`nobody was signed up: ${JSON.stringify(userErrors)}`);
  client.accessToken = session.accessToken;

  return { id: author.id, client };
}
