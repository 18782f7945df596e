/** Over real connections, to a server that may have few of them. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { EventEmitter, once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { createLog } from '../shared/log.js';
import { readConfig } from '../shared/config.js';
import { Connections, CountedMessage } from './connections.js';
import { Origins } from './origins.js';

let server: Server;
let connections: Connections;
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  connections.stop();
  server.close();
});

async function start(max: number, handle: RequestListener, env: Record<string, string> = {}): Promise<void> {
  const log = createLog('gateway', 'silent');
  const origins = new Origins(readConfig(['PUBLIC_ORIGINS', 'ALLOWED_ORIGINS', 'TRUST_PROXY'], env), log);
  connections = new Connections(origins, log, max);
  server = createServer({ IncomingMessage: CountedMessage }, connections.inTurn(handle));
  connections.of(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
}

/** What it was sent until the server closed it, or what it is sent until `until` has come. */
interface Client {
  socket: Socket;
  text: () => string;
  closed: Promise<void>;
  has(text: RegExp): Promise<void>;
}

async function client(localAddress: string): Promise<Client> {
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', localAddress });
  sockets.push(socket);
  let text = '';
  socket.on('error', () => undefined); // Its close tells.
  socket.on('data', (data) => (text += String(data)));
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await Promise.race([once(socket, 'connect'), closed]);

  return {
    socket,
    text: () => text,
    closed,
    has: async (wanted) => {
      while (!wanted.test(text)) await once(socket, 'data');
    },
  };
}

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const answer: RequestListener = (_, response) => void response.end('here');
const ask = async (address: string) => {
  const one = await client(address);
  one.socket.write(GET);
  await Promise.race([one.has(/here/), one.closed]);

  return one;
};

describe('when there is no place left', () => {
  it('somebody new gets that of one without a request, then that of the oldest idle one of who has most', async () => {
    await start(6, answer);
    const silent = await client('127.0.0.6');
    const alone = await ask('127.0.0.2');
    const many = [await ask('127.0.0.3'), await ask('127.0.0.3'), await ask('127.0.0.3')];
    const pair = await ask('127.0.0.4');
    // The first of the many was used since.
    many[0]!.socket.write(GET);
    await many[0]!.has(/here[^]*here/);

    expect((await ask('127.0.0.5')).text()).toContain('here');
    await silent.closed;
    expect((await ask('127.0.0.5')).text()).toContain('here');
    await many[1]!.closed;
    for (const one of [alone, pair]) {
      one.socket.write(GET);
      await one.has(/here[^]*here/);
    }
  });

  it('no request that is under way is cut off; one whose body does not come is', async () => {
    const waiting: (() => void)[] = [];
    await start(3, (request, response) => {
      if (request.method === 'POST') request.resume();
      else waiting.push(() => response.end('here'));
    });
    const asking = await client('127.0.0.2');
    asking.socket.write(GET);
    const slow = await client('127.0.0.3');
    slow.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx');
    const other = await client('127.0.0.4');
    other.socket.write(GET);
    while (waiting.length < 2) await new Promise(setImmediate);

    const late = await client('127.0.0.5');
    await slow.closed;
    late.socket.write(GET);
    while (waiting.length < 3) await new Promise(setImmediate);
    const refused = await client('127.0.0.6');
    await refused.closed;
    expect(refused.text()).toBe('');
    for (const end of waiting) end();
    for (const one of [asking, other, late]) await one.has(/here/);
  });

  it('one address alone does not fill all places; a proxy that is trusted does', async () => {
    await start(10, answer);
    const many = [];
    for (let i = 0; i < 6; i++) many.push(await ask('127.0.0.2'));
    const seventh = await client('127.0.0.2');
    await seventh.closed;
    expect((await ask('127.0.0.3')).text()).toContain('here');
    for (const one of many) expect(one.socket.destroyed).toBe(false);
    connections.stop();
    server.close();

    await start(10, answer, { TRUST_PROXY: '127.0.0.2' });
    for (let i = 0; i < 10; i++) expect((await ask('127.0.0.2')).text()).toContain('here');
    // Theirs go last, and the oldest first.
    expect((await ask('127.0.0.3')).text()).toContain('here');
    expect((await ask('127.0.0.4')).text()).toContain('here');
  });
});

describe('requests on one connection', () => {
  it('are answered one after another, in order', async () => {
    let underWay = 0;
    let most = 0;
    await start(10, (request, response) => {
      most = Math.max(most, ++underWay);
      setImmediate(() => {
        underWay--;
        response.end(`[${request.url}]`);
      });
    });
    const one = await client('127.0.0.2');
    one.socket.write(Array.from({ length: 16 }, (_, i) => `GET /${i} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
    await one.has(/\[\/15\]/);
    expect([...one.text().matchAll(/\[\/(\d+)\]/g)].map(([, number]) => Number(number))).toEqual(Array.from({ length: 16 }, (_, i) => i));
    expect(most).toBe(1);
  });

  it('begin in turns: hundreds that wait for the one before them, on many connections, leave somebody else a turn', async () => {
    const CONNECTIONS = 60;
    const REQUESTS = 16;
    let begun = 0;
    const answered: ServerResponse[] = [];
    await start(1_000, (request, response) => {
      if (request.url === '/other') return void response.end('here');
      begun++;
      const until = performance.now() + 1;
      while (performance.now() < until);
      // All at once, so that the next of each connection may begin in the same round of the loop.
      answered.push(response);
      if (answered.length === CONNECTIONS) for (const one of answered.splice(0)) one.end('here');
    });
    const other = await client('127.0.0.2');
    for (let i = 0; i < CONNECTIONS; i++) (await client('127.0.0.3')).socket.write(GET.repeat(REQUESTS));
    while (begun < 2 * CONNECTIONS) await new Promise(setImmediate);
    for (let i = 0; i < 5; i++) {
      other.socket.write('GET /other HTTP/1.1\r\nHost: x\r\n\r\n');
      await once(other.socket, 'data');
    }
    // A few of them begin beside each of its requests, and not one of each connection, again and again.
    expect(begun).toBeLessThan(4 * CONNECTIONS);
    while (begun < CONNECTIONS * REQUESTS) await new Promise(setImmediate);
  });

  it('are too many when a thousand come before an answer is taken', async () => {
    let begun = 0;
    await start(10, (_, response) => {
      begun++;
      setImmediate(() => response.end('here'));
    });
    const one = await client('127.0.0.2');
    one.socket.write(GET.repeat(1_000));
    await one.closed;
    expect(begun).toBeLessThan(20);
  });
});

describe('bodies that come at the same time', () => {
  it('are bounded in all: the oldest that is not complete makes room', async () => {
    const complete: number[] = [];
    await start(1_000, (request, response) => {
      request.resume().once('end', () => {
        complete.push(1);
        response.end('here');
      });
    });
    // 16 MiB are 64 of the longest.
    const head = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
    const slow: Client[] = [];
    for (let i = 0; i < 64; i++) {
      const one = await client(`127.0.0.${2 + (i % 50)}`);
      one.socket.write(head);
      slow.push(one);
    }
    const late = await client('127.0.0.100');
    late.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx');
    await late.has(/here/);
    expect(complete).toEqual([1]);
    await slow[0]!.closed;
    slow[63]!.socket.write('1\r\nx\r\n0\r\n\r\n');
    await slow[63]!.has(/here/);
  });

  it('do not count once they have come whole, however long their answers take', async () => {
    const answers: (() => void)[] = [];
    const seen = new EventEmitter();
    await start(1_000, (request, response) => {
      request.resume().once('end', () =>
        seen.emit(
          'whole',
          answers.push(() => response.end('here')),
        ),
      );
    });
    const head = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
    const slow = await client('127.0.0.2');
    slow.socket.write(head);
    const whole: Client[] = [];
    for (let i = 0; i < 150; i++) {
      const one = await client(`127.0.0.${3 + i}`);
      one.socket.write(`${head}1\r\nx\r\n0\r\n\r\n`);
      whole.push(one);
    }
    while (answers.length < 150) await once(seen, 'whole');
    slow.socket.write('1\r\nx\r\n0\r\n\r\n');
    while (answers.length < 151) await once(seen, 'whole');
    for (const end of answers) end();
    for (const one of [slow, ...whole]) await one.has(/here/);
  });
});

describe('bodies in pieces', () => {
  const chunks = (count: number, each: string) => `${each.length.toString(16)}\r\n${each}\r\n`.repeat(count);
  const CHUNKED = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';

  it('may be as many as small packets make of the longest', async () => {
    await start(1_000, (request, response) => void request.resume().once('end', () => response.end('here')));
    const one = await client('127.0.0.2');
    one.socket.write(`${CHUNKED}${chunks(512, 'x'.repeat(512))}0\r\n\r\n`);
    await one.has(/here/);
  });

  it.each([
    ['chunks', `${CHUNKED}${chunks(2_000, 'x')}`, true],
    ['chunks that nobody reads yet', `${CHUNKED}${chunks(2_000, 'x')}`, false],
    ['chunks of a request that waits for the one before it', `${CHUNKED}0\r\n\r\n${CHUNKED}${chunks(2_000, 'x')}`, false],
  ])('are not kept when they are many more: %s', async (_, text, isRead) => {
    await start(1_000, (request) => void (isRead && request.resume()));
    const one = await client('127.0.0.2');
    one.socket.write(text);
    await one.closed;
  });

  it('are cut off, and whoever comes next is read whole', async () => {
    let pieces = 0;
    await start(1_000, (request, response) => {
      request.on('data', () => pieces++).once('end', () => response.end('here'));
    });
    for (let i = 0; i < 20; i++) {
      pieces = 0;
      const one = await client('127.0.0.2');
      one.socket.write(`${CHUNKED}${chunks(2_000, 'x')}`);
      await one.closed;
      expect(pieces).toBeLessThanOrEqual(128 + 512);
      const next = await client('127.0.0.3');
      next.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde');
      await next.has(/here/);
      expect(pieces).toBeGreaterThan(0);
      pieces = 0;
      next.socket.write(`${CHUNKED}${chunks(3, 'x')}0\r\n\r\n`);
      while (pieces < 3) await once(next.socket, 'data');
    }
  });

  it('are not kept when each is a packet of its own', async () => {
    let come = 0;
    const seen = new EventEmitter();
    await start(1_000, (request) => {
      request.on('data', ({ length }: Buffer) => seen.emit('come', (come += length)));
    });
    const one = await client('127.0.0.2');
    let isClosed = false;
    void one.closed.then(() => (isClosed = true));
    one.socket.setNoDelay(true);
    one.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1024\r\n\r\n');
    for (let sent = 1; !isClosed; sent++) {
      one.socket.write('x');
      while (!isClosed && come < sent) await Promise.race([one.closed, once(seen, 'come')]);
    }
    expect(come).toBe(128 + 1024 / 512);
  });
});

describe('what clients do not read', () => {
  it('is bounded in all: connections of the site that has left most unread are closed, and no others', async () => {
    let ended = 0;
    await start(1_000, ({ socket }, response) => {
      socket.once('close', () => ended++);
      response.end('x'.repeat(16 * 1024 * 1024));
    });
    const lazy = async (address: string) => {
      const one = await client(address);
      one.socket.pause();
      one.socket.write(GET);

      return one;
    };
    const alone = await lazy('127.0.0.2');
    const many: Client[] = [];
    for (let i = 0; i < 6; i++) many.push(await lazy('127.0.0.3'));
    while (ended === 0) await new Promise(setImmediate);
    alone.socket.resume();
    while (alone.text().length < 16 * 1024 * 1024) await once(alone.socket, 'data');
  });
});

describe('bodies that do not come', () => {
  it('make room by site: those of the one that has most are cut off, however old others are', async () => {
    await start(1_000, (request, response) => void request.resume().once('end', () => response.end('here')));
    const head = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
    const slow = await client('127.0.0.2');
    slow.socket.write(head);
    const many: Client[] = [];
    // With one more than may come at a time.
    for (let i = 0; i < 64; i++) {
      const one = await client('127.0.0.3');
      one.socket.write(head);
      many.push(one);
    }
    await Promise.race(many.map(({ closed }) => closed));
    slow.socket.write('1\r\nx\r\n0\r\n\r\n');
    await slow.has(/here/);
  });
});
