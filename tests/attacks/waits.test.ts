/** Whoever waits takes nobody's place: not by positions that the journal cannot have, and not by those that do not come. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { newId } from '../../shared/ids.js';
import { decodeToken, encodeToken } from '../../shared/token.js';
import { RawSocket } from '../raw-socket.js';
import { addressOf, expectNoHarm, startVictim, type Victim } from './harm.js';

/** So long that who waits for it is not mistaken for who does not. */
const READ_DEADLINE_MS = 10_000;

let victim: Victim;
beforeAll(async () => (victim = await startVictim({ env: { READ_DEADLINE_MS: String(READ_DEADLINE_MS) } })));
afterAll(() => victim?.stop());
afterEach(() => {
  for (const service of [...victim.system.writeSides, ...victim.system.readSides]) service.signal('SIGCONT');
});

/** Of two sockets of each of 20 attackers: more than a gateway has places. */
const ON_A_SOCKET = 60;
/** It is places that they want. How much they can make the gateway do is a matter of turns, and of other tests. */
const AGAIN_MS = 2_000;

interface Answer {
  data?: Record<string, unknown> | null;
  errors?: { message: string; extensions: Record<string, unknown> }[];
}

async function post(
  body: object,
  headers: Record<string, string> = { 'x-forwarded-for': '198.51.100.9' },
): Promise<Answer & { ms: number; status: number }> {
  const begun = performance.now();
  const response = await fetch(victim.system.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as Answer;

  return { ...answer, status: response.status, ms: performance.now() - begun };
}

/** So many operations at once on each socket, each of them again when it was answered. */
async function flood(
  { number, signal }: { number: number; signal: AbortSignal },
  [query, variables, extensions]: [query: string, variables?: Record<string, unknown>, extensions?: Record<string, unknown>],
  sockets = 2,
): Promise<void> {
  const headers = { 'x-forwarded-for': addressOf(number) };
  const all = await Promise.all(Array.from({ length: sockets }, () => RawSocket.ready(victim.system.url, {}, { headers })));
  await Promise.all(
    all.map(async (socket) => {
      let n = 0;
      const ask = () => signal.aborted || socket.subscribe(String(n++), query, variables, extensions);
      for (let i = 0; i < ON_A_SOCKET; i++) setTimeout(ask, (i * AGAIN_MS) / ON_A_SOCKET);
      signal.addEventListener('abort', () => socket.websocket.terminate(), { once: true });
      for (;;) {
        const message = await socket.next().catch(() => null);
        if (!message) return;
        if (message.type === 'error' || message.type === 'complete') setTimeout(ask, AGAIN_MS);
      }
    }),
  );
}

const tokenAhead = (by: number) => {
  const { epoch, position } = decodeToken(victim.author.client.consistencyToken!);

  return encodeToken({ epoch, position: position + by });
};
const ofAuthor = 'query ($id: ID!, $version: Int) { author(id: $id, minVersion: $version) { id } }';

describe('what the journal cannot have', () => {
  const maximum = () =>
    encodeToken({ epoch: decodeToken(victim.author.client.consistencyToken!).epoch, position: Number.MAX_SAFE_INTEGER });

  it.each<{ what: string; code: string; ask: () => ReturnType<typeof post> }>([
    {
      what: 'a version',
      code: 'BAD_USER_INPUT',
      ask: () => post({ query: ofAuthor, variables: { id: victim.author.id, version: 2 ** 31 - 1 } }),
    },
    {
      what: 'a version of a cheep that is not there',
      code: 'BAD_USER_INPUT',
      ask: () => post({ query: 'query ($id: ID!) { cheep(id: $id, minVersion: 2147483647) { id } }', variables: { id: newId() } }),
    },
    {
      what: 'a token',
      code: 'BAD_TOKEN',
      ask: () => post({ query: ofAuthor, variables: { id: victim.author.id } }, { 'x-cheeper-consistency': maximum() }),
    },
  ])('is refused at once: $what', async ({ code, ask }) => {
    const { errors, ms } = await ask();
    expect(errors).toMatchObject([{ extensions: { code } }]);
    expect(ms).toBeLessThan(READ_DEADLINE_MS / 2);
  });

  it.each([() => Number.MAX_SAFE_INTEGER, () => decodeToken(tokenAhead(1_000)).position])(
    'is as none in a cookie, and replaced by the answer',
    async (position) => {
      const { epoch } = decodeToken(victim.author.client.consistencyToken!);
      const response = await fetch(victim.system.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', cookie: `cheeper_consistency=${encodeToken({ epoch, position: position() })}` },
        body: JSON.stringify({ query: ofAuthor, variables: { id: victim.author.id } }),
      });
      expect(await response.json()).toMatchObject({ data: { author: { id: victim.author.id } } });
      const [, kept] = /cheeper_consistency=([^;]+)/.exec(response.headers.getSetCookie().join('\n'))!;
      expect(decodeToken(kept!).position).toBeLessThan(position());
    },
  );

  it.each<{ what: string; asked: () => Parameters<typeof flood>[1] }>([
    { what: 'a version', asked: () => [ofAuthor, { id: victim.author.id, version: 2 ** 31 - 1 }] },
    { what: 'a token', asked: () => [ofAuthor, { id: victim.author.id }, { 'x-cheeper-consistency': maximum() }] },
    {
      what: 'a token that is a little ahead',
      asked: () => [ofAuthor, { id: victim.author.id }, { 'x-cheeper-consistency': tokenAhead(5_000) }],
    },
  ])('takes nobody’s place: $what, on two sockets of each of 20 attackers', async ({ asked }) => {
    expectNoHarm(await victim.harmOf((attacker) => flood(attacker, asked())));
  });
});

describe('what does not come', () => {
  it('is waited for by a share of those who want it, and others wait for their own writes meanwhile', async () => {
    const own: number[] = [];
    let tried = 0;
    const writer = victim.author.client;
    const harm = await victim.harmOf(async (attacker) => {
      if (attacker.number > 0) return flood(attacker, [ofAuthor, { id: victim.author.id, version: 1_000 }]);
      // One of the twenty is no attacker, and reads what it writes.
      while (!attacker.signal.aborted) {
        const begun = performance.now();
        tried += 1;
        const query = `mutation { postCheep(input: { message: "of my own", waitFor: COMMITTED }) { cheep { message } } }`;
        // From this machine, for which there are no rates: more than 60 posts would be refused.
        const headers = { authorization: `Bearer ${writer.accessToken}` };
        const { data } = await post({ query }, headers);
        if ((data?.['postCheep'] as { cheep: unknown } | undefined)?.cheep) own.push(performance.now() - begun);
      }
    });
    expectNoHarm(harm);
    expect(tried).toBeGreaterThan(5);
    expect(own).toHaveLength(tried);
  });

  it('is refused at once, and can be tried again, where an address has all its places', async () => {
    const headers = { 'x-forwarded-for': '198.51.100.20' };
    const sockets = await Promise.all(Array.from({ length: 12 }, () => RawSocket.ready(victim.system.url, {}, { headers })));
    const variables = { id: victim.author.id, version: 1_000 };
    for (const socket of sockets) for (let i = 0; i < ON_A_SOCKET; i++) socket.subscribe(String(i), ofAuthor, variables);
    const codes = await Promise.all(
      sockets.map(async (socket) => {
        const told: unknown[] = [];
        for (let done = 0; done < ON_A_SOCKET;) {
          const { type, payload } = await socket.next();
          if (type === 'next') told.push((payload as Answer).errors?.[0]?.extensions['code']);
          if (type === 'error') told.push((payload as { extensions: { code: string } }[])[0]!.extensions.code);
          if (type !== 'next') done += 1;
        }
        socket.close();
        return told;
      }),
    );
    expect([...new Set(codes.flat())].filter((code) => code !== 'OVERLOADED')).toEqual(['NOT_CAUGHT_UP']);
  });
});

describe('places of operations', () => {
  it('are not held by bodies that do not come', async () => {
    const { hostname, port } = new URL(victim.system.url);
    const harm = await victim.harmOf(async ({ address, signal }) => {
      const sockets: Socket[] = [];
      for (let i = 0; i < 110 && !signal.aborted; i++) {
        await sleep(20);
        const socket = connect({ host: hostname, port: Number(port) });
        socket.on('error', () => undefined);
        socket.write(
          `POST /graphql HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${address}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{`,
        );
        sockets.push(socket);
      }
      await until(signal);
      for (const socket of sockets) socket.destroy();
    });
    expectNoHarm(harm);
  });

  it('are not all held by commands that wait for a write side, nor by those whose clients have left', async () => {
    const authors = await Promise.all(Array.from({ length: 10 }, () => victim.system.author()));
    victim.system.writeSides[0]!.signal('SIGSTOP');
    const harm = await victim.harmOf(async ({ number, address, signal }) => {
      const { client } = authors[number % authors.length]!;
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${client.accessToken}`, 'x-forwarded-for': address };
      const query = 'mutation { postCheep(input: { message: "of many" }) { status } }';
      const body = JSON.stringify(Array.from({ length: 10 }, () => ({ query })));
      const send = () =>
        new Promise<void>((resolve) => {
          const asked = request(victim.system.url, { method: 'POST', headers }, (response) => response.resume().once('end', resolve));
          asked.once('error', () => resolve());
          // Half of them leave.
          if (number % 2 === 0) setTimeout(() => (asked.destroy(), resolve()), 100);
          asked.end(body);
        });
      while (!signal.aborted) await Promise.race([Promise.all([...Array.from({ length: 20 }, send), sleep(AGAIN_MS)]), until(signal)]);
    });
    victim.system.writeSides[0]!.signal('SIGCONT');
    expectNoHarm(harm);
  });
});

const until = (signal: AbortSignal) =>
  new Promise<void>((resolve) => (signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true })));
