/** What clients may use over time: those who want more of it harm nobody, and passwords are not guessed. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../shared/ids.js';
import { PASSWORD } from '../system.js';
import { expectNoHarm, startVictim, type Victim } from './harm.js';

let victim: Victim;
beforeAll(async () => (victim = await startVictim()));
afterAll(() => victim?.stop());

interface Answer {
  status: number;
  body: { data?: Record<string, unknown> | null; errors?: { extensions: { code: string } }[] };
}

async function ask(address: string, query: string, variables: Record<string, unknown> = {}): Promise<Answer> {
  const response = await fetch(victim.system.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': address },
    body: JSON.stringify({ query, variables }),
  });

  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

const LOG_IN = 'mutation ($input: LogInInput!) { logIn(input: $input) { session { accessToken } userErrors { code } } }';
/** IN, WRONG_CREDENTIALS, or the code of the error. */
async function outcomeOf(address: string, usernameOrEmail: string, password: string): Promise<string> {
  const { body } = await ask(address, LOG_IN, { input: { usernameOrEmail, password } });
  const { session, userErrors } = (body.data?.logIn ?? {}) as { session?: unknown; userErrors?: { code: string }[] };

  return session ? 'IN' : (userErrors?.[0]?.code ?? body.errors![0]!.extensions.code);
}

const ELSEWHERE = '198.51.100.77';

describe('wrong log-ins without number', () => {
  it('at one account guess little, harm nobody, and its owner signs in from elsewhere meanwhile', async () => {
    const { username } = victim.author;
    const guesses: string[] = [];
    const owners: string[] = [];
    const harm = await victim.harmOf(async ({ number, address, signal }) => {
      if (number === 0) for (let i = 0; i < 3; i++) owners.push(await outcomeOf(ELSEWHERE, username, PASSWORD));
      else while (!signal.aborted) guesses.push(await outcomeOf(address, username, `guess ${newId()}`));
    });
    expectNoHarm(harm);
    expect(owners).toEqual(['IN', 'IN', 'IN']);
    const looked = guesses.filter((one) => one === 'WRONG_CREDENTIALS').length;
    console.info(JSON.stringify({ guesses: guesses.length, looked, owners: owners.length }));
    // Of 19 addresses: five at once, and what comes after delays of 1, 2 and 4 seconds.
    expect(looked).toBeLessThanOrEqual(19 * 8);
    expect(guesses.filter((one) => one === 'RATE_LIMITED').length).toBe(guesses.length - looked);
  });
});

describe('sign-ups without number', () => {
  it('make few accounts, and keep nobody from reading', async () => {
    const outcomes: number[] = [];
    const harm = await victim.harmOf(
      async ({ address, signal }) => {
        while (!signal.aborted) {
          const username = `u${newId().replaceAll('-', '').slice(-12)}`;
          const input = { username, email: `${username}@example.org`, password: PASSWORD };
          const { status } = await ask(address, 'mutation ($input: SignUpInput!) { signUp(input: $input) { status } }', { input });
          outcomes.push(status);
        }
      },
      { attackers: 2 },
    );
    expectNoHarm(harm);
    expect(outcomes.filter((status) => status === 200).length).toBeLessThanOrEqual(2 * 21);
    expect(outcomes).toContain(429);
  });
});
