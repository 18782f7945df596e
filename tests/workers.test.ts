/** A gateway in several processes: to its clients any number of gateways at one port, to who runs it one process. */
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { print, type DocumentNode } from 'graphql';
import { CheepMessageDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { eventually, startSystem, type ServiceProcess, type System } from './system.js';

const WORKERS = 3;
/** That one of three processes gets none of so many happens once in 10¹⁰ runs. */
const CONNECTIONS = 60;

let system: System;
let gateway: ServiceProcess;
beforeAll(async () => {
  system = await startSystem({ env: { GATEWAY_PROCESSES: String(WORKERS) } });
  gateway = system.gateways[0]!;
  await allAtWork();
});
afterAll(() => system?.stop());

const workers = () =>
  readFileSync(`/proc/${gateway.pid}/task/${gateway.pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
/** (One that has ended may be listed until somebody asks what became of it.) */
const isThere = (pid: number) => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false; // There is no such process any more.
  }
};

/** Each says so once it has opened the port. */
const allAtWork = () =>
  eventually(
    () => {
      const lines = gateway.log(10_000).split('\n').filter(Boolean);
      const started = lines.map((line) => JSON.parse(line) as { pid: number; msg: string }).filter(({ msg }) => msg === 'started');
      const alive = workers().filter((pid) => started.some((line) => line.pid === pid));

      return alive.length === WORKERS ? alive : null;
    },
    () => `${WORKERS} processes at work\n${gateway.log()}`,
  );

interface Answer {
  data: Record<string, unknown>;
  errors?: unknown;
  extensions: { consistency: { token: string } };
}

/** On a connection of its own, so that any of the processes may get it. */
async function ask(document: DocumentNode, variables: object, headers: Record<string, string> = {}): Promise<Answer> {
  const body = JSON.stringify({ query: print(document), variables });
  return new Promise((resolve, reject) => {
    const sent = request(system.url, { method: 'POST', agent: false, headers: { 'content-type': 'application/json', ...headers } });
    sent.once('error', reject);
    sent.once('response', (response) => void json(response).then((answer) => resolve(answer as Answer), reject));
    sent.end(body);
  });
}

const readAll = (times: number) =>
  Promise.all(Array.from({ length: times }, () => ask(CheepMessageDocument, { id: newId() }).then(({ errors, data }) => errors ?? data)));

async function openConnections(): Promise<Socket[]> {
  return Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const socket = connect(gateway.port, '127.0.0.1');
      await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));

      return socket.on('error', () => undefined);
    }),
  );
}

describe('a gateway in several processes', () => {
  it('is one session, whichever of them answers', async () => {
    const alice = await system.author();
    const authorization = `Bearer ${alice.client.accessToken}`;
    for (let i = 0; i < 30; i++) {
      const cheepId = newId();
      const posted = await ask(PostCheepReceiptDocument, { input: { message: `the ${i}th`, cheepId } }, { authorization });
      expect(posted).toMatchObject({ data: { postCheep: { status: 'COMMITTED' } } });
      const { token } = posted.extensions.consistency;
      const read = await ask(CheepMessageDocument, { id: cheepId }, { 'x-cheeper-consistency': token });
      expect(read.data).toEqual({ cheep: { id: cheepId, message: `the ${i}th` } });
    }
  });

  it('goes on with the others when one of them is killed, and starts another', async () => {
    const before = await allAtWork();
    const sockets = await openConnections();
    const closed = new Set<Socket>();
    for (const socket of sockets) socket.once('close', () => closed.add(socket));
    const [victim] = before;
    process.kill(victim!, 'SIGKILL');
    // With all of its threads, so that the system takes nobody to it any more.
    await eventually(() => !workers().includes(victim!), 'it is gone');
    // Those who are left, and then the new one too, which lets nobody in before it is ready.
    const answers = readAll(CONNECTIONS);
    const after = await allAtWork();
    expect(await answers).toEqual(Array(CONNECTIONS).fill({ cheep: null }));
    expect(after).not.toContain(victim);
    expect(await readAll(CONNECTIONS)).toEqual(Array(CONNECTIONS).fill({ cheep: null }));
    await eventually(() => closed.size > 0, 'those who were its own are closed');
    expect(closed.size).toBeLessThan(CONNECTIONS);
    for (const socket of sockets) socket.destroy();
  });

  it('leaves none of them behind, in order or not', async () => {
    const stopped = await allAtWork();
    expect(await gateway.stop()).toBe(0);
    expect(stopped.filter(isThere)).toEqual([]);
    gateway.start();
    await gateway.ready();
    const killed = await allAtWork();
    await gateway.stop('SIGKILL');
    await eventually(() => !killed.some(isThere), 'they are gone');
    gateway.start();
    await gateway.ready();
  });
});
