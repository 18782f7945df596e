/** What clients may use over time: those who want more of it harm nobody, and passwords are not guessed. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../shared/ids.js';
import { PASSWORD } from '../system.js';
import { addressOf, expectNoHarm, p99, startClient, startVictim, unlessShared, type Told, type Victim } from './harm.js';

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
const GUESSES = 10_000;
const ADDRESSES = 250;
/** Of each attacker: so that guesses wait for nothing but their answers. */
const AT_ONCE = 5;
const READ_MS = 10_000;
const ALONE_MS = 3_000;
/** Of the owner's log-ins at p99, where 100 guesses are always under way: 1 s was measured on two cores. (It was 3 s; 250 ms is the aim.) */
const LOG_IN_MS = unlessShared(1_500, 5_000);
const LOOK_MS = 500;

describe('ten thousand wrong log-ins', () => {
  it('at one account guess little, harm nobody, and its owner signs in from elsewhere all the time', async () => {
    const { username } = victim.author;
    const owner = startClient(victim.system.url, {
      headers: { 'x-forwarded-for': ELSEWHERE },
      body: { query: LOG_IN, variables: { input: { usernameOrEmail: username, password: PASSWORD } } },
      right: '"accessToken"',
    });
    try {
      const alone = await owner.askFor(ALONE_MS);
      const guesses: string[] = [];
      const during: Told = { latenciesMs: [], errors: [] };
      let sent = 0;
      const guess = async () => {
        while (sent < GUESSES) guesses.push(await outcomeOf(addressOf(sent++ % ADDRESSES), username, `guess ${newId()}`));
      };
      const begun = performance.now();
      let tookMs = 0;
      const harm = await victim.harmOf(
        async ({ number }) => {
          if (number > 0) {
            await Promise.all(Array.from({ length: AT_ONCE }, guess));
            tookMs = performance.now() - begun;
            return;
          }
          do {
            const { latenciesMs, errors } = await owner.askFor(LOOK_MS);
            during.latenciesMs.push(...latenciesMs);
            during.errors.push(...errors);
          } while (guesses.length < GUESSES);
        },
        { forMs: READ_MS },
      );
      const looked = guesses.filter((one) => one === 'WRONG_CREDENTIALS').length;
      const [aloneMs, duringMs] = [p99(alone.latenciesMs), p99(during.latenciesMs)];
      console.info(JSON.stringify({ guesses: guesses.length, tookMs, looked, logIns: during.latenciesMs.length, aloneMs, duringMs }));
      expect([...alone.errors, ...during.errors]).toEqual([]);
      expect(duringMs).toBeLessThan(Math.max(3 * aloneMs, LOG_IN_MS));
      // One of each address, and before so many were wrong that the account is under attack, up to five.
      expect(looked).toBeLessThanOrEqual(ADDRESSES + 200);
      expect(guesses.filter((one) => one === 'RATE_LIMITED').length).toBe(GUESSES - looked);
      expectNoHarm(harm);
    } finally {
      owner.stop();
    }
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
