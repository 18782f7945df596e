/** The queue of passwords: a flood of log-ins delays somebody else's by a hash or two, whether those who flood it stay or leave. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { newId } from '../../shared/ids.js';
import { PASSWORD } from '../system.js';
import {
  ATTACK_MS,
  addressOf,
  expectNoHarm,
  p99,
  startClient,
  startVictim,
  unlessShared,
  type Client,
  type Told,
  type Victim,
} from './harm.js';

const ALONE_MS = 3_000;
const AT_ONCE = 50;
const LEAVE_MS = 150;
/** Whoever was refused tries again: a thousand times a second in all. */
const AGAIN_MS = 1_000;
/** A log-in that waits for a few hashes, of which each takes up to 100 ms while others compete for two cores. */
const FEW_HASHES_MS = unlessShared(500, 2_000);

let victim: Victim;
let owner: Client;
beforeAll(async () => {
  victim = await startVictim();
  owner = startClient(victim.system.url, {
    headers: { 'x-forwarded-for': '198.51.100.2' },
    body: { query: LOG_IN, variables: { input: { usernameOrEmail: victim.author.username, password: PASSWORD } } },
    right: victim.author.id,
  });
});
afterAll(() => {
  owner?.stop();

  return victim?.stop();
});

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

/** Half of what is sent costs no hash, as its sender has left; what is measured is who waits for whom. */
async function measured(attack: (address: string, number: number, isLeaving: boolean) => Promise<unknown>): Promise<void> {
  const alone = await owner.askFor(ALONE_MS);
  let during: Told | null = null;
  const harm = await victim.harmOf(
    async ({ number, signal }) => {
      // One of them is the owner, who logs in.
      if (number === 0) during = await owner.askFor(ATTACK_MS);
      else
        await Promise.all(Array.from({ length: AT_ONCE }, () => again(signal, () => attack(addressOf(number), number, number % 2 === 0))));
    },
    { attackers: 21 },
  );
  const [aloneMs, duringMs] = [p99(alone.latenciesMs), p99(during!.latenciesMs)];
  console.info(JSON.stringify({ aloneMs, duringMs, logIns: during!.latenciesMs.length }));
  expect([...alone.errors, ...during!.errors]).toEqual([]);
  expect(duringMs).toBeLessThan(Math.max(3 * aloneMs, FEW_HASHES_MS));
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
