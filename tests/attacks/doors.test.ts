/** Those who are slow, and those who are many, keep nobody else out. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { fork, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { eventually } from '../system.js';
import { expectNoHarm, startVictim, type Attack, type Attacker, type Victim } from './harm.js';

/** In all, of 20 attackers. */
const SLOW_HEADERS = 2_000;
const IDLE = 22_000;
const SLOW_BODIES = 1_000;
const SLOW_READERS = 400;
const FRAGMENTED = 1_000;
const ATTACKERS = 20;
const HOLDERS = 2;
/** Files that a process has open besides connections. */
const OTHER_FILES = 500;
/** With fewer, there is nothing that the gateway would have to close. */
const FEWEST_IDLE = 5_000;
const DEADLINE_MS = 30_000;
/** A connection for which nobody's deadline counts was seen to stay for 60 to 90 s. What loads this machine comes on top of the 30. */
const LATE_MS = 55_000;

let victim: Victim;
let port: number;
beforeAll(async () => {
  // No proxy is trusted from which these connections come: each is of the address that it comes from, and bounds of an address hold.
  victim = await startVictim({ env: { TRUST_PROXY: '10.0.0.0/8' } });
  port = victim.system.gateways[0]!.port;
});
afterAll(() => victim?.stop());

const head = (...lines: string[]) =>
  `${['POST /graphql HTTP/1.1', 'Host: x', 'Content-Type: application/json', ...lines].join('\r\n')}\r\n`;
const CHUNKED = 'Transfer-Encoding: chunked';
/** No more in all than a body may have. */
const CHUNKS_OF_A_BYTE = Buffer.from('1\r\n \r\n'.repeat(250_000));
const NO_JSON = Buffer.from(`${head('Content-Length: 262000')}\r\n${'x'.repeat(262_000)}`);
/** Of this machine, but not the reader's. */
const localAddressOf = (number: number) => `127.0.1.${number + 1}`;

/** Connections of one attacker, each opened again when it is closed, until the attack is over. */
async function keep(count: number, { number, signal }: Attacker, open: (socket: Socket) => void): Promise<void> {
  const sockets = new Set<Socket>();
  const begin = () => {
    if (signal.aborted) return;
    const socket = connect({ port, host: '127.0.0.1', localAddress: localAddressOf(number) });
    sockets.add(socket);
    socket.on('error', () => undefined); // Its close tells.
    socket.once('connect', () => open(socket));
    socket.once('close', () => {
      sockets.delete(socket);
      setTimeout(begin, 50);
    });
  };
  for (let i = 0; i < count; i++) begin();
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  for (const socket of sockets) socket.destroy();
}

/** Sends the same again and again, as fast as it is taken. */
function flood(socket: Socket, text: string | Buffer): void {
  const send = () => {
    // Not without end in one step: the other attackers are of this process too.
    for (let i = 0; i < 8 && socket.writable; i++) if (!socket.write(text)) return;
    setImmediate(send);
  };
  socket.on('drain', send);
  socket.resume();
  send();
}

/** Sends a text, then `more` again and again. */
function trickle(socket: Socket, text: string | Buffer, more: string | Buffer, everyMs: number): void {
  if (text.length > 0) socket.write(text);
  const timer = setInterval(() => more.length > 0 && socket.write(more), everyMs);
  socket.once('close', () => clearInterval(timer));
}

/** Of a websocket, however well it answers pings. */
async function endOfMessageThatStops(): Promise<void> {
  const websocket = new WebSocket(victim.system.url.replace('http', 'ws'), 'graphql-transport-ws');
  websocket.on('open', () => {
    websocket.send(JSON.stringify({ type: 'connection_init' }));
    websocket.send('{"type":', { fin: false });
  });
  await new Promise((resolve) => websocket.once('close', resolve));
}

describe('a connection is closed', () => {
  const upgrade = 'GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Ver';
  const slow: [string, { text: string; more: string; answer: RegExp }][] = [
    ['on which nothing comes', { text: '', more: '', answer: /^HTTP\/1\.1 408 / }],
    ['that sends half a header', { text: head(), more: '', answer: /^HTTP\/1\.1 408 / }],
    ['that sends a byte of its header now and then', { text: `${head()}X: `, more: 'x', answer: /^HTTP\/1\.1 408 / }],
    ['that sends half the header of an upgrade', { text: upgrade, more: '', answer: /^HTTP\/1\.1 408 / }],
    [
      'that sends a byte of its body now and then',
      { text: `${head('Content-Length: 1000')}\r\n{"query":"`, more: 'x', answer: /^HTTP\/1\.1 408 / },
    ],
    ['that sends a chunk of its body now and then', { text: `${head(CHUNKED)}\r\n`, more: '1\r\n \r\n', answer: /^HTTP\/1\.1 408 / }],
    [
      'that was told to go on, and does not',
      {
        text: `${head('Content-Length: 1000', 'Expect: 100-continue')}\r\n`,
        more: '',
        answer: /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 408 /,
      },
    ],
    [
      'that sends the second of two requests slowly',
      {
        text: `${head('Content-Length: 27')}\r\n{"query":"{ __typename }"} ${head()}`,
        more: 'x',
        answer: /^HTTP\/1\.1 200 [^]*HTTP\/1\.1 408 /,
      },
    ],
  ];
  it(`after 30 s ${slow.map(([what]) => what).join(', and ')}, and a websocket in the middle of a message`, async () => {
    const begun = performance.now();
    const websocketTookMs = endOfMessageThatStops().then(() => performance.now() - begun);
    const ends = slow.map(async ([what, { text, more, answer }]) => {
      const socket = connect({ port, host: '127.0.0.1' });
      let said = '';
      socket.on('data', (data) => (said += String(data)));
      socket.on('error', () => undefined); // Its close tells.
      const closed = new Promise((resolve) => socket.once('close', resolve));
      trickle(socket, text, more, 2_000);
      await closed;

      return { what, said, answer, tookMs: performance.now() - begun };
    });
    for (const { what, said, answer, tookMs } of await Promise.all(ends)) {
      expect([what, said]).toEqual([what, expect.stringMatching(answer)]);
      expect(tookMs).toBeGreaterThan(DEADLINE_MS - 1_000);
      expect(tookMs).toBeLessThan(LATE_MS);
    }
    expect(await websocketTookMs).toBeGreaterThan(DEADLINE_MS - 1_000);
    expect(await websocketTookMs).toBeLessThan(LATE_MS);
  });

  it('at once when it speaks TLS', async () => {
    const socket = connect({ port, host: '127.0.0.1' });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => undefined);
    socket.resume().write(Buffer.from('16030100c8010000c40303', 'hex'));
    await closed;
  });
});

/** Each process that holds connections has a file open for each, and no more than it may have. */
function asManyAsMayBeOpen(): number {
  const [, files = 'unlimited'] = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  const most = HOLDERS * (Number(files) - OTHER_FILES);
  if (most < FEWEST_IDLE)
    throw new Error(
      `This test needs ${FEWEST_IDLE / HOLDERS + OTHER_FILES} open files in a process, and the hard limit is ${files} (ulimit -Hn)`,
    );
  if (most < IDLE) console.info(`${most} connections in place of ${IDLE}, as the hard limit of open files is ${files} (ulimit -Hn)`);

  return most < IDLE ? most : IDLE;
}

describe('a reader gets what it had', () => {
  const attacks: [string, Attack][] = [
    [
      `beside ${SLOW_HEADERS} headers of which a byte comes a second`,
      (attacker) => keep(SLOW_HEADERS / ATTACKERS, attacker, (socket) => trickle(socket, `${head()}X: ${'x'.repeat(8_000)}`, 'x', 1_000)),
    ],
    [
      `beside ${SLOW_BODIES} bodies that never come whole`,
      (attacker) =>
        keep(SLOW_BODIES / ATTACKERS, attacker, (socket) =>
          trickle(socket, `${head('Content-Length: 262144')}\r\n{"query":"${' '.repeat(200_000)}`, ' ', 1_000),
        ),
    ],
    [
      `beside ${SLOW_BODIES} chunked bodies that never come whole`,
      (attacker) =>
        keep(SLOW_BODIES / ATTACKERS, attacker, (socket) =>
          trickle(socket, `${head(CHUNKED)}\r\n30d40\r\n{"query":"${' '.repeat(199_990)}\r\n`, '1\r\n \r\n', 1_000),
        ),
    ],
    [
      'beside 100 bodies in chunks of a byte',
      (attacker) =>
        keep(100 / ATTACKERS, attacker, (socket) => socket.write(Buffer.concat([Buffer.from(`${head(CHUNKED)}\r\n`), CHUNKS_OF_A_BYTE]))),
    ],
    [
      'beside 100 bodies in chunks with long extensions',
      (attacker) =>
        keep(100 / ATTACKERS, attacker, (socket) => {
          socket.write(`${head(CHUNKED)}\r\n`);
          flood(socket, `1;a=${'x'.repeat(12_000)}\r\n \r\n`);
        }),
    ],
    [
      'beside 40 who send large bodies that are no JSON, one after another',
      (attacker) =>
        keep(40 / ATTACKERS, attacker, (socket) => {
          const send = () => socket.write(NO_JSON);
          socket.on('data', send);
          send();
        }),
    ],
    [
      `beside ${SLOW_READERS} who do not read what they have asked for`,
      (attacker) =>
        keep(SLOW_READERS / ATTACKERS, attacker, (socket) => {
          const fields = Array.from({ length: 20 }, (_, i) => `a${i}: message`).join(' ');
          const body = JSON.stringify({
            query: `{ timeline(authorId: "${victim.reader.id}", first: 25) { nodes { ${fields} } } }`,
          });
          socket.pause();
          socket.write(`${head(`Content-Length: ${body.length}`)}\r\n${body}`.repeat(8));
        }),
    ],
    [
      'beside 20 who send a thousand requests before they take an answer',
      (attacker) =>
        keep(1, attacker, (socket) => {
          socket.resume();
          const body = '{"query":"{ viewer { id } }"}';
          socket.write(`${head(`Content-Length: ${body.length}`)}\r\n${body}`.repeat(1_000));
        }),
    ],
    [
      `beside ${FRAGMENTED} websockets whose messages never end`,
      async ({ number, signal }) => {
        const sockets = new Set<WebSocket>();
        const open = () => {
          if (signal.aborted) return;
          const websocket = new WebSocket(victim.system.url.replace('http', 'ws'), 'graphql-transport-ws', {
            localAddress: localAddressOf(number),
          });
          sockets.add(websocket);
          websocket.on('open', () => {
            websocket.send(JSON.stringify({ type: 'connection_init' }));
            websocket.send('x'.repeat(200_000), { fin: false });
          });
          websocket.on('error', () => undefined); // Its close tells.
          websocket.on('close', () => {
            sockets.delete(websocket);
            setTimeout(open, 50);
          });
        };
        for (let i = 0; i < FRAGMENTED / ATTACKERS; i++) open();
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        for (const websocket of sockets) websocket.terminate();
      },
    ],
    [
      'beside 200 who ask for nothing much, and do not wait for the answers',
      (attacker) =>
        keep(200 / ATTACKERS, attacker, (socket) => {
          const requests = ['/healthz', '/readyz', '/nothing/here'].map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
          // As many as one may have asked for, then again when they are answered.
          const batch = requests.join('').repeat(5);
          let answers = 0;
          socket.on('data', (data) => {
            answers += String(data).split('HTTP/1.1 ').length - 1;
            if (answers % 15 === 0) socket.write(batch);
          });
          socket.write(batch);
        }),
    ],
    [
      'beside 20 websockets that send control frames without end',
      (attacker) =>
        keep(1, attacker, (socket) => {
          socket.write(
            'GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
              'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n',
          );
          // Pings, empty and masked: 6 bytes each.
          socket.once('data', () => flood(socket, Buffer.from('898000000000'.repeat(10_000), 'hex')));
        }),
    ],
    [
      'beside 200 who open a websocket, and close it',
      (attacker) =>
        keep(200 / ATTACKERS, attacker, (socket) => {
          socket.once('data', () => socket.destroy());
          socket.write(
            'GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
              'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n',
          );
        }),
    ],
  ];
  it.each(attacks)('%s', async (_, attack) => {
    expectNoHarm(await victim.harmOf(attack, { attackers: ATTACKERS }));
  });

  it(`beside ${IDLE} connections on which nothing comes, and so does who comes new, or has come and not asked yet`, async () => {
    const idle = asManyAsMayBeOpen();
    const holders: ChildProcess[] = [];
    const counts = new Map<ChildProcess, { open: number; opened: number; closed: number }>();
    const open = () => [...counts.values()].reduce((sum, its) => sum + its.open, 0);
    try {
      for (let i = 0; i < HOLDERS; i++) {
        const args = [port, idle / HOLDERS, 1 + i * 10, ATTACKERS / HOLDERS].map(String);
        const holder = fork(join(import.meta.dirname, 'holder.mjs'), args, { execArgv: [] });
        holder.on('message', (told) => counts.set(holder, told as { open: number; opened: number; closed: number }));
        holders.push(holder);
      }
      await eventually(
        () => [...counts.values()].reduce((sum, { opened }) => sum + opened, 0) >= idle,
        () => `${open()} are open`,
      );
      const health = async () => {
        const begun = performance.now();
        const response = await fetch(`http://127.0.0.1:${port}/readyz`, { headers: { connection: 'close' } });
        return { status: response.status, ms: performance.now() - begun };
      };
      const healths: { status: number; ms: number }[] = [];
      // What browsers do: its address has one, and those who are many have a hundred each.
      const early = connect({ port, host: '127.0.0.1', localAddress: '127.0.2.1' });
      let said = '';
      early.on('data', (data) => (said += String(data)));
      early.on('error', () => undefined); // What it was told tells.
      const harm = await victim.harmOf(async ({ number, signal }) => {
        while (number === 0 && !signal.aborted) healths.push(await health());
      });
      console.info(`${open()} idle connections were open, ${JSON.stringify([...counts.values()])}; ${healths.length} looks at /readyz`);
      expect(healths.length).toBeGreaterThan(10);
      expect(healths.filter(({ status }) => status !== 200)).toEqual([]);
      expectNoHarm(harm);
      early.write('GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      await eventually(
        () => early.closed,
        () => `it was told ${JSON.stringify(said)}`,
      );
      expect(said).toMatch(/^HTTP\/1\.1 200 /);
    } finally {
      for (const holder of holders) holder.kill('SIGKILL');
    }
  });
});
