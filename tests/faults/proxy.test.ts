/** The network that the fault tests break must break as it says, or they prove nothing. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../system.js';
import { Proxy } from './proxy.js';

/** For what must not come: long enough that it would have come. */
const SILENCE_MS = 100;

let server: Server;
let proxy: Proxy;
/** What the server has heard, of all connections. */
let heard = '';
beforeAll(async () => {
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      heard += data.toString();
      socket.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy = await Proxy.start((server.address() as AddressInfo).port);
});
afterEach(() => proxy.heal());
afterAll(async () => {
  await proxy.stop();
  server.close();
});

interface Talker {
  socket: Socket;
  said(): string;
  isGone(): boolean;
}

async function talker(): Promise<Talker> {
  const socket = connect({ host: '127.0.0.1', port: proxy.port });
  let text = '';
  let isGone = false;
  socket.on('data', (data) => (text += data.toString()));
  socket.on('error', () => undefined);
  socket.on('close', () => (isGone = true));
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));

  return { socket, said: () => text, isGone: () => isGone };
}

const silence = () => new Promise((resolve) => setTimeout(resolve, SILENCE_MS));

describe('a proxy', () => {
  it('passes everything on, in both directions, and the end too', async () => {
    const { socket, said, isGone } = await talker();
    socket.write('hello');
    await eventually(() => said() === 'hello', 'it is answered');
    socket.end();
    await eventually(isGone, 'it is over');
  });

  it('that is cut resets what there is, and each new connection', async () => {
    const before = await talker();
    before.socket.write('a');
    await eventually(() => before.said() === 'a', 'it is answered');
    proxy.cut();
    await eventually(before.isGone, 'the old one is gone');
    const after = await talker();
    await eventually(after.isGone, 'so is the new one');
    proxy.heal();
    const healed = await talker();
    healed.socket.write('b');
    await eventually(() => healed.said() === 'b', 'it is answered again');
    healed.socket.destroy();
  });

  it('that loses everything tells nobody of it, and sends it when it is healed', async () => {
    const old = await talker();
    proxy.hold(['up', 'down']);
    heard = '';
    old.socket.write('c');
    const fresh = await talker();
    fresh.socket.write('d');
    await silence();
    expect([heard, old.said(), old.isGone(), fresh.said(), fresh.isGone()]).toEqual(['', '', false, '', false]);
    proxy.heal();
    await eventually(() => old.said() === 'c' && fresh.said() === 'd', 'both are answered');
    // One that has gone meanwhile is heard of when it can be.
    old.socket.destroy();
    fresh.socket.destroy();
  });

  it('that loses one direction lets the other through', async () => {
    const { socket, said } = await talker();
    proxy.hold(['down']);
    heard = '';
    socket.write('e');
    await eventually(() => heard === 'e', 'the server has heard it');
    await silence();
    expect(said()).toBe('');
    proxy.heal();
    await eventually(() => said() === 'e', 'the answer comes');
    socket.destroy();
  });

  it('that is slow delays each direction, in order', async () => {
    const { socket, said } = await talker();
    proxy.delay(SILENCE_MS);
    const start = performance.now();
    for (const letter of 'fghi') socket.write(letter);
    await eventually(() => said() === 'fghi', 'it is answered');
    expect(performance.now() - start).toBeGreaterThanOrEqual(2 * SILENCE_MS - 10);
    proxy.heal();
    socket.destroy();
  });
});
