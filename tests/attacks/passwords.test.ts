/** The queue of passwords: a flood of log-ins delays somebody else's by a hash or two, whether those who flood it stay or leave. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { newId } from '../../shared/ids.js';
import { PASSWORD } from '../system.js';
import { addressOf, expectNoHarm, startVictim, type Victim } from './harm.js';

const AT_ONCE = 50;
const LEAVE_MS = 150;
/** Whoever was refused tries again: a thousand times a second in all. */
const AGAIN_MS = 1_000;
/** On a machine that everybody shares, a hash may take so long. */
const HASH_MS = 250;

let victim: Victim;
beforeAll(async () => (victim = await startVictim()));
afterAll(() => victim?.stop());

const LOG_IN = 'mutation ($input: LogInInput!) { logIn(input: $input) { author { id } userErrors { code } } }';
const SIGN_UP = 'mutation ($input: SignUpInput!) { signUp(input: $input) { status userErrors { code } } }';

/** Settles when it is answered, or when it has left. */
function send(query: string, input: object, address: string, leaveMs?: number): Promise<string> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'x-forwarded-for': address };
    const asked = request(victim.system.url, { method: 'POST', headers }, (response) => {
      let text = '';
      response.on('data', (part: Buffer) => (text += part.toString()));
      response.once('end', () => resolve(text));
    });
    asked.once('error', (error) => resolve(error.message));
    if (leaveMs !== undefined) setTimeout(() => (asked.destroy(), resolve('left')), leaveMs);
    asked.end(JSON.stringify({ query, variables: { input } }));
  });
}

/** Somebody else's log-ins, one after another, for as long as that takes. */
async function logIns(count: number): Promise<{ p99Ms: number; wrong: string[] }> {
  const ms: number[] = [];
  const wrong: string[] = [];
  for (let i = 0; i < count; i++) {
    const begun = performance.now();
    const answer = await send(LOG_IN, { usernameOrEmail: victim.author.username, password: PASSWORD }, '198.51.100.2');
    ms.push(performance.now() - begun);
    if (!answer.includes(victim.author.id)) wrong.push(answer);
  }

  return { p99Ms: ms.sort((a, b) => a - b)[Math.floor(ms.length * 0.99)]!, wrong };
}

/** Some of it takes none of a machine but a hash; what is measured is who waits for whom. */
async function measured(attack: (address: string, number: number, isLeaving: boolean) => Promise<unknown>): Promise<void> {
  const alone = await logIns(20);
  expect(alone.wrong).toEqual([]);
  let during: typeof alone | null = null;
  const harm = await victim.harmOf(
    async ({ number, signal }) => {
      // One of them is the other who logs in.
      if (number === 0) during = await logIns(20);
      else
        await Promise.all(Array.from({ length: AT_ONCE }, () => again(signal, () => attack(addressOf(number), number, number % 2 === 0))));
    },
    { attackers: 21, forMs: 8_000 },
  );
  console.info(JSON.stringify({ alone, during }));
  expect(during!.wrong).toEqual([]);
  expect(during!.p99Ms).toBeLessThan(3 * alone.p99Ms + 3 * HASH_MS);
  expectNoHarm(harm);
}

async function again(signal: AbortSignal, run: () => Promise<unknown>): Promise<void> {
  while (!signal.aborted) await Promise.all([run(), sleep(AGAIN_MS)]);
}

describe('20 clients with 50 log-ins at a time each, half of which leave', () => {
  it('delay nobody else’s log-in by more than a few hashes', async () => {
    await measured((address, number, isLeaving) =>
      send(LOG_IN, { usernameOrEmail: `nobody_${number}`, password: 'not this one' }, address, isLeaving ? LEAVE_MS : undefined),
    );
  });

  it('at one account keep its owner from nothing', async () => {
    await measured((address, _, isLeaving) =>
      send(LOG_IN, { usernameOrEmail: victim.author.username, password: 'not this one' }, address, isLeaving ? LEAVE_MS : undefined),
    );
  });

  it('that sign up do as little', async () => {
    await measured((address, number, isLeaving) => {
      const username = `f${number}_${newId().slice(0, 8)}`;
      const input = { username, email: `${username}@example.org`, password: PASSWORD };
      return send(SIGN_UP, input, address, isLeaving ? LEAVE_MS : undefined);
    });
  });
});
