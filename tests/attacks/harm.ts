/**
 * What an attack does to somebody else: a reader of a timeline, at another address, is measured alone, and then while the attack goes on.
 * `npm run test:attacks` runs these tests, one file at a time: beside others, latencies would tell of those.
 *
 * Where other things run on the machine, a p99 tells little. With MACHINE_IS_SHARED=1 attacks are shorter, and the
 * bounds of time and memory are those that only a fault reaches; that nobody gets an error, and that the process stays, holds in any case.
 */
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { FollowAuthorDocument, PostCheepReceiptDocument } from '../../client/operations.js';
import { startSystem, type System, type SystemOptions } from '../system.js';

/** Clients that attack at a time. */
export const ATTACKERS = 20;
/** What the gateway compiles as it gets warm is no harm. */
const WARM_UP_MS = 4_000;
/** Once in a file: what an attack leaves behind would excuse what the next one does. */
const ALONE_MS = 4_000;
/** Of two values, the one for this machine. */
export const unlessShared = <T>(own: T, shared: T): T => (process.env['MACHINE_IS_SHARED'] === '1' ? shared : own);
export const ATTACK_MS = unlessShared(5_000, 2_500);
const LOOK_MS = 50;
/** A p99 during the attack, in proportion to the one before it. */
const MAX_SLOWER = 3;
/** Below this, on a machine that attackers, servers and services share, a latency is of the machine. */
const MACHINE_MS = unlessShared(150, 1_000);
/** Resident memory during an attack, in proportion to the most before it. */
export const MAX_MEMORY = unlessShared(1.5, 2);
/** A page with its authors, as people read it. */
const PAGE =
  '{ timeline(first: 20) { edges { cursor node { id message postedAt likesCount likedByViewer author { username cheepsCount } } } } }';

export interface Harm {
  /** Of the reader's requests: at p99, in milliseconds. */
  aloneP99Ms: number;
  duringP99Ms: number;
  answered: number;
  /** What the reader got in place of a page. */
  errors: string[];
  /** The most memory of the gateway during the attack (resident), in proportion to the most before it. */
  memory: number;
  /** Of the gateway: none has ended, or been started again. */
  isSameProcess: boolean;
}

/** Of an attacker, who attacks again and again until the signal. It gets a number, 0 and up, and what tells the gateway its address. */
export type Attack = (attacker: Attacker) => Promise<unknown>;

export interface Attacker {
  number: number;
  address: string;
  /** With the address, unless the attackers are on the gateway's own machine. */
  headers: Record<string, string>;
  signal: AbortSignal;
}

export interface AttackOptions {
  attackers?: number;
  forMs?: number;
  /** They tell of no address: it is this machine's, for which there are no rates, and all of them have it together. */
  areLocal?: boolean;
}

export interface Victim {
  system: System;
  /** Somebody whose timeline the reader reads, with an access token. */
  reader: { id: string; accessToken: string };
  /** Somebody whom the reader follows. */
  author: Awaited<ReturnType<System['author']>>;
  /** Waits, the first time, until it is known what the reader has when it is alone. */
  harmOf(attack: Attack, options?: AttackOptions): Promise<Harm>;
  /** Of the gateway, now. */
  gateway(): { pid: number; residentBytes: number };
  stop(): Promise<void>;
}

export const READERS_ADDRESS = '198.51.100.1';
/** Each attacker has an address of its own; with the same number, the same. */
export const addressOf = (number: number) => `203.0.113.${(number % 250) + 1}`;

/**
 * A system behind what could be a proxy: addresses are told by `X-Forwarded-For`, unless `env` has another TRUST_PROXY.
 * @param cheeps how many the author has posted
 */
export async function startVictim({ cheeps = 25, ...options }: SystemOptions & { cheeps?: number } = {}): Promise<Victim> {
  const system = await startSystem({ ...options, env: { TRUST_PROXY: 'loopback', ...options.env } });
  const [reader, author] = await Promise.all([system.author(), system.author()]);
  await reader.client.mutate(FollowAuthorDocument, { input: { authorId: author.id } });
  for (let i = 0; i < cheeps; i++)
    await author.client.mutate(PostCheepReceiptDocument, { input: { message: `The news of the hour, number ${i}` } });
  const accessToken = reader.client.accessToken!;
  const measured = startClient(system.url, {
    headers: { authorization: `Bearer ${accessToken}`, 'x-forwarded-for': READERS_ADDRESS },
    body: { query: PAGE },
    right: '{"data":{"timeline":{"edges":[{"cursor":',
  });
  await measured.askFor(WARM_UP_MS);
  const { pid = 0 } = system.gateways[0]!;
  let alone: Promise<Watched> | undefined;

  return {
    system,
    reader: { id: reader.id, accessToken },
    author,
    harmOf: async (attack, options) =>
      harmOf(system, measured, await (alone ??= watched(pid, () => measured.askFor(ALONE_MS))), attack, options),
    gateway: () => ({ pid: system.gateways[0]!.pid!, residentBytes: residentBytes(system.gateways[0]!.pid!) }),
    stop: async () => {
      measured.stop();
      await system.stop();
    },
  };
}

async function harmOf(
  system: System,
  measured: Client,
  alone: Watched,
  attack: Attack,
  { attackers = ATTACKERS, forMs = ATTACK_MS, areLocal = false }: AttackOptions = {},
): Promise<Harm> {
  const { pid } = system.gateways[0]!;
  const before = Math.max(alone.mostBytes, residentBytes(pid!));
  const over = new AbortController();
  const priority = getPriority();
  // Who attacks sits at machines of their own. (Only root can go back.)
  if (process.getuid?.() === 0) setPriority(19);
  const attacking = Promise.all(
    Array.from({ length: attackers }, async (_, number) => {
      // It begins with everybody else's.
      await Promise.resolve();
      const address = addressOf(number);
      await attack({ number, address, headers: areLocal ? {} : { 'x-forwarded-for': address }, signal: over.signal });
    }),
  );
  try {
    const during = await watched(pid!, () => Promise.race([measured.askFor(forMs), failed(attacking)]));
    const { latenciesMs, errors } = during.result;

    return {
      aloneP99Ms: p99(alone.result.latenciesMs),
      duringP99Ms: p99(latenciesMs),
      answered: latenciesMs.length,
      errors: [...alone.result.errors, ...errors],
      memory: during.mostBytes / before,
      isSameProcess: system.gateways[0]!.pid === pid && isAlive(pid!),
    };
  } finally {
    over.abort();
    if (process.getuid?.() === 0) setPriority(priority);
    await attacking;
  }
}

/** The reader has what it had, at the same gateway. */
export function expectNoHarm(harm: Harm): void {
  console.info(JSON.stringify({ ...harm, errors: harm.errors.length }));
  expect(harm.isSameProcess).toBe(true);
  expect([...new Set(harm.errors)].slice(0, 5)).toEqual([]);
  expect(harm.memory).toBeLessThan(MAX_MEMORY);
  expect(harm.duringP99Ms).toBeLessThan(Math.max(MAX_SLOWER * harm.aloneP99Ms, MACHINE_MS));
}

/** What a client got: how long each answer took, and those that were wrong. */
export interface Told {
  latenciesMs: number[];
  errors: string[];
}

/** A client in a process of its own (client.mjs). */
export interface Client {
  /** Sends one request after another for so long. */
  askFor(ms: number): Promise<Told>;
  stop(): void;
}

/** @param right is in every right answer */
export function startClient(
  url: string,
  { headers, body, right }: { headers: Record<string, string>; body: object; right: string },
): Client {
  const args = [url, JSON.stringify(headers), JSON.stringify(body), right];
  const client = fork(join(import.meta.dirname, 'client.mjs'), args, { execArgv: [] });

  return {
    askFor: (ms) =>
      new Promise((resolve, reject) => {
        const ended = () => reject(new Error('the client has ended'));
        client.once('exit', ended);
        client.once('message', (told) => {
          client.off('exit', ended);
          resolve(told as Told);
        });
        client.send(ms);
      }),
    stop: () => void client.kill(),
  };
}

interface Watched {
  result: Told;
  mostBytes: number;
}

async function watched(pid: number, work: () => Promise<Told>): Promise<Watched> {
  let mostBytes = residentBytes(pid);
  const looking = setInterval(() => (mostBytes = Math.max(mostBytes, residentBytes(pid))), LOOK_MS);
  try {
    const result = await work();

    return { result, mostBytes };
  } finally {
    clearInterval(looking);
  }
}

/** Never settles when all goes well. */
const failed = (attacking: Promise<unknown>) => new Promise<never>((_, reject) => void attacking.catch(reject));

/** 0 of a process that has ended. */
function residentBytes(pid: number): number {
  try {
    return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function isAlive(pid: number): boolean {
  return residentBytes(pid) > 0;
}

export const p99 = (latenciesMs: number[]) => [...latenciesMs].sort((a, b) => a - b)[Math.floor(latenciesMs.length * 0.99)] ?? Infinity;
