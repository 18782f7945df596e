/**
 * Subscriptions that are many, large, never read, or begun again and again: what they do to a reader, and to a subscriber of an author who
 * posts all the while, at other addresses.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { PostCheepReceiptDocument, TimelineDocument } from '../../client/operations.js';
import { newId } from '../../shared/ids.js';
import { eventually } from '../system.js';
import {
  addressOf,
  ATTACK_MS,
  ATTACKERS,
  expectNoHarm,
  startVictim,
  unlessShared,
  type Attack,
  type AttackOptions,
  type Victim,
} from './harm.js';

const ALONE_MS = 3_000;
/** Frames during the attack take so many times as long at the most. */
const MAX_SLOWER = 3;
/** On a machine that attackers, servers and services share, a frame that comes sooner than that is in time. */
const MACHINE_MS = unlessShared(300, 1_500);

let victim: Victim;
let subscriber: ChildProcess;
/** Once for all: what an attack leaves behind would excuse what the next one does. */
let alone: Told;
beforeAll(async () => {
  victim = await startVictim();
  const { system, author, reader } = victim;
  subscriber = fork(join(import.meta.dirname, 'subscriber.mjs'), [system.url, author.client.accessToken!, reader.id], { execArgv: [] });
  await frames(ALONE_MS); // It gets warm.
  alone = await frames(ALONE_MS);
});
afterAll(async () => {
  subscriber?.kill();
  await victim?.stop();
});

interface Told {
  tookMs: number[];
  errors: string[];
}

const frames = (forMs: number) =>
  new Promise<Told>((resolve, reject) => {
    const ended = () => reject(new Error('the subscriber has ended'));
    subscriber.once('exit', ended);
    subscriber.once('message', (told) => {
      subscriber.off('exit', ended);
      resolve(told as Told);
    });
    subscriber.send(forMs);
  });

const p90 = ({ tookMs }: Told) => [...tookMs].sort((a, b) => a - b)[Math.floor(0.9 * tookMs.length)]!;

/** Neither for the reader nor for the subscriber. */
async function expectHarmless(attack: Attack, options?: AttackOptions): Promise<void> {
  let during: Told = { tookMs: [], errors: [] };
  const measured = async () => void (during = await frames(ATTACK_MS));
  const harm = await victim.harmOf(async (attacker) => {
    await Promise.all([attack(attacker), ...(attacker.number === 0 ? [measured()] : [])]);
  }, options);
  console.info(`frames: ${p90(alone)} ms alone, ${p90(during)} ms during the attack (p90 of ${during.tookMs.length})`);
  expectNoHarm(harm);
  expect([...alone.errors, ...during.errors]).toEqual([]);
  expect(p90(during)).toBeLessThan(Math.max(MAX_SLOWER * p90(alone), MACHINE_MS));
}

/** A socket that does not look at what it gets. */
async function open(headers: Record<string, string>, params?: object): Promise<WebSocket> {
  const socket = new WebSocket(victim.system.url.replace(/^http/, 'ws'), 'graphql-transport-ws', { headers });
  // To be refused or cut off is what may happen to it.
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => socket.once('open', resolve).once('close', () => resolve()));
  send(socket, { type: 'connection_init', payload: params });

  return socket;
}

const send = (socket: WebSocket, message: object) => socket.readyState === socket.OPEN && socket.send(JSON.stringify(message));
const subscribe = (socket: WebSocket, id: string, query: string, variables: object) =>
  send(socket, { id, type: 'subscribe', payload: { query, variables } });

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** As many values as that, or a few less, under names of their own for each number. */
function named(number: number, values: number): string {
  const author = 'author { id username cheepsCount followersCount followingCount signedUpAt }';
  const aliases = Array.from({ length: Math.floor(values / 7) }, (_, i) => `a${number}_${i}: ${author}`).join(' ');

  return `subscription ($id: ID, $after: String) { timeline(authorId: $id, after: $after) { ... on CheepAdded { cheep { ${aliases} } } } }`;
}

describe('subscriptions of 95 documents of their own on each socket', () => {
  it.each([
    ['as large as they may be', 480, false],
    ['as large as they may be, from this machine, for which there are no rates', 480, true],
    ['larger than they may be', 600, false],
  ])('%s, delay nobody else’s frames or pages', async (_, values, areLocal) => {
    const attack: Attack = async ({ number, headers, signal }) => {
      const socket = await open(headers);
      for (let i = 0; i < 95; i++) subscribe(socket, String(i), named(100 * number + i, values), { id: victim.reader.id });
      await aborted(signal);
      socket.terminate();
    };
    await expectHarmless(attack, { areLocal });
  });
});

describe('large frames that come to many', () => {
  it.each([
    ['never read them', true],
    ['read them', false],
  ])('who %s cost others nothing', async (_, isPaused) => {
    const all = await Promise.all(
      Array.from({ length: ATTACKERS }, (_, number) =>
        Promise.all(Array.from({ length: 20 }, () => open({ 'x-forwarded-for': addressOf(number) }))),
      ),
    );
    await expectHarmless(async ({ number, signal }) => {
      for (const socket of all[number]!) {
        if (isPaused) socket.pause();
        for (let n = 0; n < 20; n++) subscribe(socket, String(n), named(20 * (number % 2) + n, 480), { id: victim.reader.id });
      }
      await aborted(signal);
      for (const socket of all[number]!) socket.terminate();
    });
  });
});

describe('subscriptions that are begun and completed without end', () => {
  it('from an old cursor, delay nobody else’s frames or pages', async () => {
    const { timeline } = await victim.author.client.query(TimelineDocument, { first: 1 });
    for (let i = 0; i < 1_000; i += 50) {
      await Promise.all(
        Array.from({ length: 50 }, () => victim.author.client.mutate(PostCheepReceiptDocument, { input: { message: newId() } })),
      );
    }
    await expectHarmless(async ({ number, headers, signal }) => {
      const socket = await open(headers);
      for (let n = 0; !signal.aborted && socket.readyState === socket.OPEN; n++) {
        subscribe(socket, String(n), named(number, 100), { id: victim.reader.id, after: timeline.resumeCursor });
        send(socket, { id: String(n), type: 'complete' });
        if (n % 100 !== 99) continue;
        // What is written to a connection that was closed is gone at once, and the socket hears of it only when the loop comes round.
        await setImmediate();
        await eventually(() => socket.bufferedAmount === 0 || signal.aborted || socket.readyState !== socket.OPEN, 'all of it is sent');
      }
      socket.terminate();
    });
  });
});

describe('sockets that are opened with much', () => {
  it('keep little of it', async () => {
    const params = { much: 'x'.repeat(16_000) };
    await expectHarmless(async ({ headers, signal }) => {
      const sockets: WebSocket[] = [];
      while (!signal.aborted && sockets.length < 20) sockets.push(await open(headers, params));
      await aborted(signal);
      for (const socket of sockets) socket.terminate();
    });
  });
});
