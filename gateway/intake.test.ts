/** Over real connections. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { Intake } from './intake.js';

let server: Server;
let intake: Intake;
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  intake.stop();
  server.close();
});

async function start(handle: RequestListener): Promise<void> {
  server = Object.assign(createServer(handle), { pauseOnConnect: true });
  intake = new Intake(server);
  server.on('connection', (socket: Socket) => {
    sockets.push(socket);
    intake.add(socket, socket.remoteAddress!);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
}

async function client(localAddress = '127.0.0.2'): Promise<Socket> {
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', localAddress });
  sockets.push(socket);
  socket.on('error', () => undefined); // Its close tells.
  await once(socket, 'connect');

  return socket;
}

const post = (body: string, more = '') => `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;

it('a body of many pieces comes whole, also when it is read late, and so does the request behind it', async () => {
  const bodies: string[] = [];
  await start((request, response) => {
    setTimeout(() => {
      void text(request).then((body) => {
        bodies.push(body);
        response.end();
      });
    }, 20);
  });
  const long = Array.from({ length: 200_000 }, (_, i) => String.fromCharCode(97 + (i % 26))).join('');
  const socket = await client();
  socket.resume();
  socket.write(post(long) + post('short') + post(long, 'Connection: close\r\n'));
  await once(socket, 'close');
  expect(bodies.map((body) => body.length)).toEqual([200_000, 5, 200_000]);
  expect(bodies).toEqual([long, 'short', long]);
});

it('requests behind a large answer that is not taken at once are all answered', async () => {
  await start((request, response) => {
    intake.watch(request.socket);
    response.end('x'.repeat(request.url === '/large' ? 4_000_000 : 5));
  });
  const socket = await client();
  const ask = (path: string, more = '') => socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`);
  ask('/large');
  const large = new Promise((resolve) => server.once('request', resolve));
  await large;
  ask('/second');
  let bytes = 0;
  socket.on('data', (data: Buffer) => {
    bytes += data.length;
    if (bytes > 4_000_000 && bytes - data.length <= 4_000_000) ask('/third', 'Connection: close\r\n');
  });
  await once(socket, 'close');
  expect(bytes).toBeGreaterThan(4_000_000);
});

it('what comes behind an upgrade, in the same chunk, is for whoever takes up the upgrade', async () => {
  await start((_, response) => response.end());
  const got = new Promise<string>((resolve) => {
    server.on('upgrade', (_request, socket, head: Buffer) => {
      // As `ws` does it.
      if (head.length > 0) socket.unshift(head);
      let all = '';
      socket.on('data', (data: Buffer) => {
        all += String(data);
        if (all.endsWith('.')) resolve(all);
      });
    });
  });
  const behind = `${Array.from({ length: 5_000 }, (_, i) => i).join(' ')}.`;
  const socket = await client();
  socket.write(`GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${behind}`);
  expect(await got).toBe(behind);
});

it('of a chunk of thousands of requests from a site that is suspected, no more is parsed once the connection is closed', async () => {
  let parsed = 0;
  await start((request) => {
    parsed++;
    request.socket.destroy();
  });
  intake.suspect('127.0.0.2');
  const socket = await client();
  socket.resume();
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2_000));
  await once(socket, 'close');
  expect(parsed).toBeGreaterThan(0);
  expect(parsed).toBeLessThan(200);
});

describe('turns', () => {
  const busyMs = (ms: number) => {
    const until = performance.now() + ms;
    while (performance.now() < until);
  };

  it('go to whoever has kept the process busy least, however many others that are watched have come before', async () => {
    const order: string[] = [];
    await start((request, response) => {
      intake.watch(request.socket);
      order.push(request.url!);
      if (request.url === '/long') busyMs(5);
      response.end();
    });
    // Twenty connections of one site, each of which asks for much again and again.
    for (let i = 0; i < 20; i++) {
      const socket = await client('127.0.0.3');
      const ask = () => socket.write('GET /long HTTP/1.1\r\nHost: x\r\n\r\n');
      socket.on('data', ask);
      ask();
    }
    while (order.length < 50) await new Promise(setImmediate);
    const light = await client('127.0.0.4');
    const begun = order.length;
    light.write('GET /short HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(light, 'data');
    // Behind a round or two of them, and not behind all.
    expect(order.indexOf('/short') - begun).toBeLessThan(10);
  });

  it('of a site that is suspected come later, one after another, and all of them', async () => {
    await start((_, response) => response.end('here'));
    intake.suspect('127.0.0.3');
    const begun = performance.now();
    const late = Array.from({ length: 10 }, async () => {
      const socket = await client('127.0.0.3');
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      await once(socket, 'data');

      return performance.now() - begun;
    });
    const other = await client('127.0.0.4');
    other.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(other, 'data');
    const tookMs = await Promise.all(late);
    // Ten turns, with 5 ms between two.
    expect(Math.max(...tookMs)).toBeGreaterThan(40);
  });
});
