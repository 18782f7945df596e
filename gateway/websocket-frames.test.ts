/** Over a real connection: what another websocket client takes for messages. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { MessagesWithSharedRest } from './websocket-frames.js';

let server: WebSocketServer;
let client: WebSocket;
let serverSide: WebSocket;
let connection: Socket;
const received: string[] = [];
beforeEach(async () => {
  server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  received.length = 0;
  client.on('message', (data: Buffer) => received.push(data.toString()));
  const opened = once(client, 'open');
  [serverSide, { socket: connection }] = (await once(server, 'connection')) as [WebSocket, { socket: Socket }];
  await opened;
});
afterEach(() => {
  client.terminate();
  server.close();
});

/** After all that was sent before. */
async function everything(): Promise<string[]> {
  const last = `last ${received.length}`;
  serverSide.send(last);
  while (received.at(-1) !== last) await once(client, 'message');

  return received.slice(0, -1);
}

describe('a message with a rest that others get too', () => {
  it.each([
    ['the shortest', 'b'.repeat(100), 'r'.repeat(26)],
    ['in other letters', '{"id":"Gänse 🪿","payload":', '日本語'.repeat(50)],
    ['the longest', 'b', 'r'.repeat(65_534)],
  ])('comes whole: %s', async (_, beginning, rest) => {
    const messages = new MessagesWithSharedRest(serverSide, connection, beginning);
    expect(messages.sendNow(Buffer.from(rest))).toBe(true);
    expect(messages.sendNow(Buffer.from(`${rest.slice(0, -1)}!`))).toBe(true);
    expect(await everything()).toEqual([beginning + rest, `${beginning}${rest.slice(0, -1)}!`]);
  });

  it.each([
    ['short', 'r'.repeat(24)],
    ['long', 'r'.repeat(65_535)],
  ])('is not sent like this when it is too %s', async (_, rest) => {
    const messages = new MessagesWithSharedRest(serverSide, connection, 'b');
    expect(messages.sendNow(Buffer.from(rest))).toBe(false);
    expect(await everything()).toEqual([]);
  });

  it('is not sent like this while something is on its way, whose beginning is kept', async () => {
    const messages = new MessagesWithSharedRest(serverSide, connection, 'beginning ');
    client.pause();
    const rest = Buffer.from('r'.repeat(60_000));
    let sent = 0;
    while (messages.sendNow(rest)) sent += 1;
    expect(messages.sendNow(Buffer.from('s'.repeat(200)))).toBe(false);
    client.resume();
    expect(await everything()).toEqual(Array.from({ length: sent }, () => `beginning ${rest.toString()}`));
    expect(messages.sendNow(Buffer.from('s'.repeat(200)))).toBe(true);
    expect((await everything()).at(-1)).toBe(`beginning ${'s'.repeat(200)}`);
  });

  it('is not sent once the socket is closed', async () => {
    const messages = new MessagesWithSharedRest(serverSide, connection, 'b');
    serverSide.close();
    expect(messages.sendNow(Buffer.from('r'.repeat(200)))).toBe(true);
    await once(client, 'close');
    expect(received).toEqual([]);
  });
});
