/**
 * GraphQL over websockets, as its contract has it; the titles quote it. A bare socket asks, because a well-behaved client
 * would not do most of this. https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
 */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { PostCheepReceiptDocument, FollowAuthorReceiptDocument, ViewerDocument } from '../client/operations.js';
import { Sessions } from '../gateway/sessions.js';
import { newId } from '../shared/ids.js';
import { decodeToken, encodeToken } from '../shared/token.js';
import { closeCodeOf } from './fuzz/frames.js';
import { RawSocket, type Message, type RawSocketOptions, type Result } from './raw-socket.js';
import { eventually, SIGNING_KEY, startSystem, type System } from './system.js';

const FRIEND = 'https://friend.example';
const LIVE = `subscription ($authorId: ID) { timeline(authorId: $authorId) { __typename ... on CheepAdded { cheep { message } } } }`;
const TYPENAME = '{ __typename }';
/** Waits for what never comes, until the read deadline. */
const SLOW = 'query ($id: ID!) { author(id: $id, minVersion: 1) { id } }';

let system: System;
let silent: RawSocket;
beforeAll(async () => {
  system = await startSystem({ gateways: 2, env: { ALLOWED_ORIGINS: FRIEND } });
  silent = await RawSocket.open(system.url);
});
afterAll(() => system?.stop());

const sockets: { close(): void }[] = [];
afterEach(() => sockets.splice(0).forEach((socket) => socket.close()));
const keep = <T extends { close(): void }>(socket: T): T => {
  sockets.push(socket);
  return socket;
};
const open = async (options?: RawSocketOptions) => keep(await RawSocket.open(system.url, options));
const ready = async (payload?: Record<string, unknown>, options?: RawSocketOptions) =>
  keep(await RawSocket.ready(system.url, payload, options));

type Author = Awaited<ReturnType<System['author']>>;
const authorization = ({ client }: Author) => ({ authorization: `Bearer ${client.accessToken}` });
/** Who they are, and what they have seen. */
const sessionOf = (author: Author) => ({ ...authorization(author), 'x-cheeper-consistency': author.client.consistencyToken });

/** Somebody who reads, and somebody whom they follow. */
async function readerAndWriter() {
  const [reader, writer] = await Promise.all([system.author(), system.author()]);
  await reader.client.request(FollowAuthorReceiptDocument, { input: { authorId: writer.id } });
  const post = (message: string) => writer.client.request(PostCheepReceiptDocument, { input: { message } });

  return { reader, writer, post };
}

describe('The WebSocket sub-protocol for this specification is: graphql-transport-ws', () => {
  it('which the server picks from those that are offered', async () => {
    const socket = await open({ protocols: ['graphql-ws', 'graphql-transport-ws'] });

    expect(socket.websocket.protocol).toBe('graphql-transport-ws');
  });

  it('and a socket with another one, or none, is closed', async () => {
    const socket = await open({ protocols: [] });
    expect(await socket.closed).toEqual({ code: 4406, reason: 'Subprotocol not acceptable' });

    // Without the protocol that it asked for, the client closes by itself.
    await expect(open({ protocols: ['graphql-ws'] })).rejects.toThrow('subprotocol');
  });
});

describe('ConnectionInit', () => {
  it.each([undefined, null, {}, { anything: 1 }])(
    'with the payload %j is followed by ConnectionAck, “acknowledging a successful connection”',
    async (payload) => {
      const socket = await open();
      socket.send({ type: 'connection_init', payload });

      expect(await socket.next()).toEqual({ type: 'connection_ack' });
    },
  );

  it('“If the server receives more than one ConnectionInit message at any given time, the server will close the socket with the event 4429: Too many initialisation requests”', async () => {
    const late = await ready();
    late.send({ type: 'connection_init' });
    expect(await late.closed).toEqual({ code: 4429, reason: 'Too many initialisation requests' });

    const early = await open();
    early.send({ type: 'connection_init' });
    early.send({ type: 'connection_init' });
    expect((await early.closed).code).toBe(4429);
  });

  it('“If the client does not request a connection within the allowed timeout, the server will close the socket with the event: 4408: Connection initialisation timeout”', async () => {
    expect(await silent.closed).toEqual({ code: 4408, reason: 'Connection initialisation timeout' });
  });

  it('“If the server wishes to reject the connection, for example during authentication, it is recommended to close the socket with 4403: Forbidden”', async () => {
    for (const wrong of ['Bearer no.access.token', 'Basic eDp5', 'Bearer']) {
      const socket = await open();
      socket.send({ type: 'connection_init', payload: { authorization: wrong } });

      expect(await socket.closed).toEqual({ code: 4403, reason: 'Forbidden' });
    }
  });
});

describe('Ping and Pong', () => {
  it('“A Pong must be sent in response from the receiving party as soon as possible”, with the payload', async () => {
    const socket = await ready();
    socket.send({ type: 'ping' });
    expect(await socket.next()).toEqual({ type: 'pong' });
    socket.send({ type: 'ping', payload: { sent: 1 } });
    expect(await socket.next()).toEqual({ type: 'pong', payload: { sent: 1 } });
  });

  it('“The Ping message can be sent at any time within the established socket”', async () => {
    const socket = await open();
    socket.send({ type: 'ping' });
    expect(await socket.next()).toEqual({ type: 'pong' });
    socket.send({ type: 'connection_init' });
    expect(await socket.next()).toEqual({ type: 'connection_ack' });
  });

  it('“the Pong message may even be sent unsolicited as an unidirectional heartbeat”', async () => {
    const socket = await ready();
    socket.send({ type: 'pong', payload: { still: 'here' } });

    expect(await socket.untilNow()).toEqual([]);
  });
});

describe('Subscribe', () => {
  it('“Executing operations is allowed only after the server has acknowledged the connection through the ConnectionAck message, if the connection is not acknowledged, the socket will be closed immediately with the event 4401: Unauthorized”', async () => {
    const socket = await open();
    socket.subscribe('1', TYPENAME);

    expect(await socket.closed).toEqual({ code: 4401, reason: 'Unauthorized' });
  });

  it('“If there is already an active subscriber for an operation matching the provided ID, regardless of the operation type, the server must close the socket immediately with the event 4409”', async () => {
    for (const [first, second] of [
      [LIVE, TYPENAME],
      [SLOW, LIVE],
    ] as const) {
      const socket = await ready();
      socket.subscribe('the-id', first, { authorId: newId(), id: newId() });
      socket.subscribe('the-id', second);

      expect(await socket.closed).toEqual({ code: 4409, reason: 'Subscriber for the-id already exists' });
    }
  });

  it.each([
    ['94 letters', 'i'.repeat(94)],
    ['256 letters', 'i'.repeat(256)],
    ['60 letters of two bytes', 'ü'.repeat(60)],
    ['100 emoji', '🙂'.repeat(100)],
    ['a lone surrogate', '\ud800'.repeat(50)],
  ])('with an ID of %s closes with the same code, and as much of the reason as fits into a close frame', async (_, id) => {
    const whole = `Subscriber for ${id} already exists`.toWellFormed();
    for (const begin of [[LIVE], [LIVE, null, LIVE]]) {
      const socket = await ready();
      // All at once, so that what was completed has not quite ended.
      for (const query of [...begin, TYPENAME]) {
        if (query) socket.subscribe(id, query, { authorId: newId() });
        else socket.complete(id);
      }
      const { code, reason } = await socket.closed;

      expect(code).toBe(4409);
      expect(whole.startsWith(reason)).toBe(true);
      // Not even one more character would fit.
      expect(Buffer.byteLength(reason)).toBeGreaterThan(119);
      expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123);
    }
  });

  it('“Once a client completes an operation, it is free to re-use that ID”', async () => {
    const socket = await ready();
    socket.subscribe('1', TYPENAME);
    await socket.only('1');
    socket.subscribe('1', LIVE, { authorId: newId() });
    expect((await socket.result('1')).data).toMatchObject({ timeline: { __typename: 'TimelineLive' } });
    socket.complete('1');
    expect(await socket.untilNow()).toEqual([]);
    socket.subscribe('1', TYPENAME);
    await socket.only('1');
  });

  it('and the next one of that ID is not mixed up with it, although it has not quite ended', async () => {
    const { reader, post } = await readerAndWriter();
    const socket = await ready(sessionOf(reader));
    for (let round = 0; round < 20; round++) {
      socket.subscribe('1', LIVE);
      expect((await socket.result('1')).data).toMatchObject({ timeline: { __typename: 'TimelineLive' } });
      const posting = post(`round ${round}`);
      socket.complete('1');
      // What it had to say is over. Of these two, the first may never begin.
      socket.subscribe('1', TYPENAME);
      socket.complete('1');
      socket.subscribe('1', TYPENAME);
      await posting;
      const told: Message[] = [];
      const isTimeline = ({ type, payload }: Message) => type === 'next' && 'timeline' in ((payload as Result).data ?? {});
      const answers = () => told.filter((message) => !isTimeline(message));
      while (answers().length < 2 || answers().at(-1)!.type !== 'complete') told.push(await socket.next());
      told.push(...(await socket.untilNow()));
      expect(told.filter(isTimeline).length).toBeLessThanOrEqual(1); // that was on its way
      expect(told.slice(1).filter(isTimeline)).toEqual([]);
      const kinds = answers().map(({ id, type, payload }) => [id, type, (payload as Result | undefined)?.data?.__typename]);
      const answer = [
        ['1', 'next', 'Query'],
        ['1', 'complete', undefined],
      ];
      expect([answer, [...answer, ...answer]]).toContainEqual(kinds);
    }
    expect(await socket.untilNow()).toEqual([]);
  });

  it('“Multiple operations identified with separate IDs can be active at any time and their messages can be interleaved”', async () => {
    const socket = await ready({ 'x-cheeper-wait-ms': '300' });
    socket.subscribe('slow', SLOW, { id: newId() });
    socket.subscribe('fast', TYPENAME);

    await socket.only('fast');
    expect((await socket.only('slow')).errors).toMatchObject([{ extensions: { code: 'NOT_CAUGHT_UP', retryable: true } }]);
  });
});

describe('Next', () => {
  it('“A single result operation is identical to a streaming operation except that at most one Next message is sent”: a query, and a mutation', async () => {
    const author = await system.author();
    const socket = await ready(authorization(author));
    socket.subscribe('query', '{ viewer { id } }');
    expect((await socket.only('query')).data).toEqual({ viewer: { id: author.id } });

    socket.subscribe('mutation', 'mutation { postCheep(input: { message: "over a socket" }) { status cheep { message } } }');
    expect((await socket.only('mutation')).data).toEqual({ postCheep: { status: 'COMMITTED', cheep: { message: 'over a socket' } } });
    expect(await socket.untilNow()).toEqual([]);
  });

  it('carries the consistency of each result, a frame’s too', async () => {
    const { reader, post } = await readerAndWriter();
    const socket = await ready(sessionOf(reader));
    const report = {
      token: expect.any(String),
      position: expect.any(String),
      waitedMs: expect.any(Number),
      satisfied: true,
      lagMs: expect.any(Number),
    };
    socket.subscribe('query', '{ viewer { id } }');
    expect((await socket.only('query')).extensions).toEqual({ consistency: report });

    socket.subscribe('live', LIVE);
    const live = await socket.result('live');
    const { postCheep } = await post('a frame');
    const frame = await socket.result('live');
    expect(frame.data).toEqual({ timeline: { __typename: 'CheepAdded', cheep: { message: 'a frame' } } });
    expect(frame.extensions).toEqual({ consistency: report });
    const position = (token: string) => decodeToken(token).position;
    expect(position(frame.extensions.consistency.token)).toBeGreaterThanOrEqual(position(postCheep.consistencyToken!));
    expect(position(live.extensions.consistency.token)).toBeLessThan(position(postCheep.consistencyToken!));
  });
});

describe('Error', () => {
  const documents = [
    { what: 'does not parse', query: '{', code: 'GRAPHQL_PARSE_FAILED' },
    { what: 'is not valid', query: '{ nickname }', code: 'GRAPHQL_VALIDATION_FAILED' },
    {
      what: 'leaves open which operation is meant',
      query: 'query A { __typename } query B { __typename }',
      code: 'OPERATION_RESOLUTION_FAILURE',
    },
    { what: 'is given a wrong variable', query: SLOW, variables: { id: ['x'] }, code: 'BAD_USER_INPUT' },
    {
      what: 'asks for too much',
      query: '{ viewer { followers(first: 100) { nodes { followers(first: 100) { nodes { followers { totalCount } } } } } } }',
      code: 'BAD_USER_INPUT',
    },
  ];

  it.each(documents)(
    '“terminates the operation and no further messages will be sent”, and no other is disturbed, when a document $what',
    async ({ query, variables, code }) => {
      const { reader, post } = await readerAndWriter();
      const socket = await ready(sessionOf(reader));
      socket.subscribe('live', LIVE);
      await socket.result('live');
      socket.subscribe('wrong', query, variables);

      expect(await socket.next()).toMatchObject({
        id: 'wrong',
        type: 'error',
        payload: [{ message: expect.any(String), extensions: { code } }],
      });
      expect(await socket.untilNow()).toEqual([]);
      await post('after the error');
      expect((await socket.result('live')).data).toMatchObject({ timeline: { cheep: { message: 'after the error' } } });
    },
  );

  it('does not end a subscription that cannot begin otherwise than by an answer to it alone', async () => {
    const socket = await ready();
    socket.subscribe('1', 'subscription { timeline(after: "x") { cursor } }');
    expect((await socket.only('1')).errors).toMatchObject([{ extensions: { code: 'UNAUTHENTICATED' } }]);
    socket.subscribe('2', `subscription { timeline(authorId: "${newId()}", after: "x") { cursor } }`);
    expect((await socket.only('2')).errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT', argument: 'after' } }]);
  });
});

describe('a subscription whose field is left out by a directive', () => {
  it.each([
    ['subscription { timeline @skip(if: true) { __typename } }', {}],
    ['subscription ($x: Boolean!) { timeline @include(if: $x) { __typename } }', { x: true }],
    ['subscription ($x: Boolean!) { ...F } fragment F on Subscription { ... @skip(if: $x) { timeline { __typename } } }', { x: true }],
  ])('is refused, and its socket goes on: %s', async (query, variables) => {
    const socket = await ready();
    socket.subscribe('1', query, variables);
    expect(await socket.next()).toMatchObject({ type: 'error', id: '1', payload: [{ extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } }] });
    socket.subscribe('2', TYPENAME);
    expect((await socket.only('2')).data).toEqual({ __typename: 'Query' });
    const url = `${system.url}/stream?${new URLSearchParams({ query, variables: JSON.stringify(variables) }).toString()}`;
    expect(await (await fetch(url)).text()).toContain('GRAPHQL_VALIDATION_FAILED');
  });
});

describe('Complete', () => {
  it('“No further events, relevant to the original subscription, should be sent through”', async () => {
    const { reader, post } = await readerAndWriter();
    const socket = await ready(sessionOf(reader));
    for (const id of ['stopped', 'live']) {
      socket.subscribe(id, LIVE);
      await socket.result(id);
    }
    socket.complete('stopped');
    await post('one');
    await post('two');

    for (const message of ['one', 'two']) expect((await socket.result('live')).data).toMatchObject({ timeline: { cheep: { message } } });
    expect(await socket.untilNow()).toEqual([]);
  });

  it('“Even if the client sent a Complete message for a single-result-operation before it resolved, the result should not be sent through once it does”', async () => {
    const socket = await ready({ 'x-cheeper-wait-ms': '200' });
    socket.subscribe('stopped', SLOW, { id: newId() });
    socket.complete('stopped');
    socket.subscribe('later', SLOW, { id: newId() });

    // It waits for as long, and began later.
    await socket.only('later');
    expect(await socket.untilNow()).toEqual([]);
  });

  it('“Receiving a message (other than Subscribe) with an ID that belongs to an operation that has been previously completed does not constitute an error”', async () => {
    const socket = await ready();
    socket.subscribe('1', TYPENAME);
    await socket.only('1');
    socket.complete('1');
    socket.complete('never was');

    expect(await socket.untilNow()).toEqual([]);
  });
});

describe('“Receiving a message of a type or format which is not specified in this document will result in an immediate socket closure with the event 4400: <error-message>”', () => {
  const subscribe = { id: '1', type: 'subscribe', payload: { query: TYPENAME } };

  it.each([
    'not JSON',
    '[]',
    'null',
    '{}',
    { type: 'start' },
    { type: 'connection_init', payload: 'x' },
    { ...subscribe, id: undefined },
    { ...subscribe, id: '' },
    { ...subscribe, payload: undefined },
    { ...subscribe, payload: { query: 1 } },
    { ...subscribe, payload: { query: TYPENAME, variables: [] } },
    { ...subscribe, payload: { query: TYPENAME, operationName: 1 } },
    { type: 'complete' },
    { type: 'connection_ack' },
    { id: '1', type: 'next', payload: {} },
    '1',
    '"x"',
    '',
    '\ufeff{"type":"ping"}',
    { type: '__proto__' },
    { type: ['ping'] },
    { type: 'ping', payload: [] },
    { ...subscribe, id: 1 },
    { ...subscribe, id: { toString: 1 } },
    { ...subscribe, payload: [] },
    { ...subscribe, payload: { query: { toString: 1 } } },
    { ...subscribe, payload: { query: TYPENAME, extensions: [] } },
    { type: 'complete', id: null },
  ])('%j', async (message) => {
    const socket = await ready();
    socket.send(message);

    expect(await socket.closed).toEqual({ code: 4400, reason: 'Invalid message received' });
  });
});

describe('a message that is odd, and no fault of its form', () => {
  it('has no effect on another operation of its socket', async () => {
    const socket = await ready();
    for (const id of ['__proto__', 'constructor', 'toString', '\0', '\ud800', 'x'.repeat(256)]) {
      socket.subscribe(id, TYPENAME);
      expect((await socket.only(id)).data).toEqual({ __typename: 'Query' });
      socket.complete(id);
    }
    socket.send('{"type":"pong","payload":{"__proto__":{"a":1},"constructor":null}}');
    socket.send('{"id":"1","type":"subscribe","type":"complete","__proto__":null}');
    socket.send(`{"id":"1","type":"subscribe","payload":{"query":"${TYPENAME}","variables":{"__proto__":{"a":1}},"extensions":{"a":[]}}}`);
    expect((await socket.only('1')).data).toEqual({ __typename: 'Query' });
  });

  it.each([
    ['a ping', (deep: string) => `{"type":"ping","payload":{"a":${deep}}}`],
    ['connection parameters', (deep: string) => `{"type":"connection_init","payload":{"a":${deep}}}`],
    ['variables', (deep: string) => `{"id":"1","type":"subscribe","payload":{"query":"${TYPENAME}","variables":{"a":${deep}}}}`],
    ['extensions', (deep: string) => `{"id":"1","type":"subscribe","payload":{"query":"${TYPENAME}","extensions":{"a":${deep}}}}`],
    ['nothing that is known', (deep: string) => deep],
  ])('unless it is nested too deeply: %s', async (_, message) => {
    const socket = await ready();
    socket.send(message('['.repeat(100_000) + ']'.repeat(100_000)));

    expect(await socket.closed).toEqual({ code: 4400, reason: 'JSON has at most 100 levels here.' });
  });

  it('and what comes behind a message for which the socket is closed is not executed', async () => {
    const author = await system.author();
    const socket = await ready(authorization(author));
    socket.send('[]');
    socket.subscribe('1', 'mutation { postCheep(input: { message: "too late" }) { status } }');
    expect((await socket.closed).code).toBe(4400);
    const { viewer } = await author.client.request(ViewerDocument, {});
    expect(viewer?.cheepsCount).toBe(0);
  });

  it.each<Record<string, unknown>>([
    { authorization: [{ toString: 1 }] },
    { authorization: { toString: null, valueOf: null } },
    { 'x-request-id': [[]], traceparent: ['\ud800', null] },
    { 'x-cheeper-wait-ms': 1e20, 'x-cheeper-read': [] },
    { __proto__: 1, constructor: 1 },
  ])('connection parameters of another form mean nothing: %j', async (payload) => {
    const socket = await ready(payload);
    socket.subscribe('1', '{ viewer { id } }');

    expect((await socket.only('1')).data).toEqual({ viewer: null });
  });
});

describe('a frame that breaks the protocol of websockets closes its socket, and no other', () => {
  const masked = (head: number[], payload = Buffer.alloc(0)) => Buffer.concat([Buffer.from(head), Buffer.alloc(4), payload]);
  const frames: [string, Buffer, number][] = [
    ['a reserved opcode', masked([0x83, 0x80]), 1002],
    ['reserved bits', masked([0xf1, 0x80]), 1002],
    ['no mask', Buffer.from([0x81, 0x01, 0x41]), 1002],
    ['a continuation of nothing', masked([0x80, 0x80]), 1002],
    ['a ping in fragments', masked([0x09, 0x80]), 1002],
    ['a ping that is too long', masked([0x89, 0xfe, 0x00, 0x7e], Buffer.alloc(126)), 1002],
    ['text that is no UTF-8', masked([0x81, 0x82], Buffer.from([0xc0, 0x80])), 1007],
    ['a close with a code that must not be sent', masked([0x88, 0x82], Buffer.from([0x03, 0xed])), 1002],
    ['a close with half a code', masked([0x88, 0x81], Buffer.from([0x03])), 1002],
    ['a close whose reason is no UTF-8', masked([0x88, 0x83], Buffer.from([0x03, 0xe8, 0xff])), 1007],
    ['a length of 2⁶³', masked([0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]), 1009],
  ];

  it.each(frames)('%s', async (_, bytes, code) => {
    const socket = await deafSocket(system.gateways[0]!.port);
    const answer: Buffer[] = [];
    socket.on('data', (data) => answer.push(data));
    socket.write(bytes);
    await once(socket, 'end');
    socket.destroy();

    expect(closeCodeOf(Buffer.concat(answer))).toBe(code);
  });

  it.each(frames)('%s, with more behind it, while what came before is not read yet', async (_, bytes, code) => {
    const socket = await deafSocket(system.gateways[0]!.port);
    const answer: Buffer[] = [];
    socket.on('data', (data) => answer.push(data));
    socket.setNoDelay(true);
    // One is read in a round of the loop: what is sent at their first answers comes long before their last.
    socket.write(Buffer.concat(Array.from({ length: 2_000 }, () => masked([0x89, 0x80]))));
    await once(socket, 'data');
    socket.write(bytes);
    await once(socket, 'data');
    socket.write(masked([0x81, 0x8a], Buffer.alloc(10, 'x')));
    await once(socket, 'end');
    socket.destroy();

    expect(closeCodeOf(Buffer.concat(answer))).toBe(code);
  });
});

describe('an upgrade', () => {
  it('to another protocol is not taken up, and the request is answered', async () => {
    const body = JSON.stringify({ query: TYPENAME });
    const answer = await raw(
      `POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      '"Query"',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });

  it.each([
    ['another method', 405, (text: string) => text.replace('GET', 'POST')],
    ['a key that is none', 400, (text: string) => text.replace(/Key: \S+/, 'Key: x')],
    ['another version', 400, (text: string) => text.replace('Version: 13', 'Version: 12')],
    ['protocols that are none', 400, (text: string) => text.replace(/Protocol: \S+/, 'Protocol: ,;')],
    ['a path that is none', 404, (text: string) => text.replace('/graphql', '/%')],
    ['cookies that are none', 101, (text: string) => text.replace('Host', 'Cookie: cheeper_session=%; =;; x\r\nHost')],
    ['an origin that is none', 101, (text: string) => text.replace('Host', 'Origin: http://[\r\nHost')],
  ])('with %s is %i', async (_, status, change) => {
    expect(await raw(change(handshake('/graphql')), '\r\n\r\n')).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });

  it('at another path is refused with 404', async () => {
    await expect(RawSocket.open(`${system.url}/x`)).rejects.toThrow('404');
    await expect(RawSocket.open(system.url.replace('/graphql', '/'))).rejects.toThrow('404');
    keep(await RawSocket.open(`${system.url}?x=1`));
  });

  it('that is refused may be broken off, and the gateway lives', async () => {
    const broken: Promise<unknown>[] = [];
    for (let i = 0; i < 200; i++) {
      const socket = connect(system.gateways[0]!.port, '127.0.0.1');
      broken.push(
        once(
          socket.on('error', () => undefined),
          'close',
        ),
      );
      socket.once('connect', () => {
        socket.write(handshake('/nowhere'));
        setImmediate(() => socket.resetAndDestroy());
      });
    }
    await Promise.all(broken);
    const socket = await ready();
    socket.subscribe('1', TYPENAME);
    await socket.only('1');
  });

  it('by a page of another origin is refused when the browser sends our cookie along, and else is nobody’s', async () => {
    const author = await system.author();
    const cookie = `cheeper_session=${author.client.accessToken}`;
    const viewerOf = async (headers: Record<string, string>) => {
      const socket = await ready(undefined, { headers });
      socket.subscribe('1', '{ viewer { id } }');
      return (await socket.only('1')).data;
    };
    for (const origin of ['https://evil.example', 'null', system.url.replace('127.0.0.1', 'localhost')]) {
      await expect(open({ headers: { origin, cookie } })).rejects.toThrow('403');
      expect(await viewerOf({ origin })).toEqual({ viewer: null });
    }
    // A friend is let in, and gets nothing by cookie all the same.
    expect(await viewerOf({ origin: FRIEND, cookie })).toEqual({ viewer: null });
    expect(await viewerOf({ origin: new URL(system.url).origin, cookie })).toEqual({ viewer: { id: author.id } });
    expect(await viewerOf({ cookie })).toEqual({ viewer: { id: author.id } });
  });
});

describe('connectionParams', () => {
  it('sign in, before the upgrade’s own header', async () => {
    const [one, other] = [await system.author(), await system.author()];
    const socket = await ready(authorization(one), { headers: authorization(other) });
    socket.subscribe('1', '{ viewer { id } }');

    expect((await socket.only('1')).data).toEqual({ viewer: { id: one.id } });
  });

  const tokenAhead = async (ahead: number) => {
    const [head] = await system.sql<{ epoch: string; position: number }>('SELECT epoch, position FROM journal_head');
    return encodeToken({ epoch: head!.epoch, position: Number(head!.position) + ahead });
  };

  it('say what every operation must have seen, and an operation’s own extensions say more', async () => {
    const [token, later] = [await tokenAhead(0), await tokenAhead(1_000)];
    const socket = await ready({ 'x-cheeper-consistency': token, 'x-cheeper-wait-ms': '50' });
    socket.subscribe('1', TYPENAME);
    // What reads nothing is as of what was asked for.
    expect((await socket.only('1')).extensions.consistency).toMatchObject({ token, position: String(decodeToken(token).position) });
    socket.subscribe('2', `{ author(id: "${newId()}") { id } }`, undefined, { 'x-cheeper-consistency': later });
    expect((await socket.only('2')).errors).toMatchObject([
      { extensions: { code: 'NOT_CAUGHT_UP', wanted: String(decodeToken(later).position) } },
    ]);
  });

  it('with a token that is none are told to each operation, and the socket stays', async () => {
    const socket = await ready({ 'x-cheeper-consistency': 'x' });
    for (const [id, query] of [
      ['1', TYPENAME],
      ['2', LIVE],
    ] as const) {
      socket.subscribe(id, query);
      expect(await socket.next()).toMatchObject({ id, type: 'error', payload: [{ extensions: { code: 'BAD_TOKEN' } }] });
    }
  });
});

describe('an access token that runs out', () => {
  it('ends the socket with 4403, after which a client may come with another; a socket of nobody’s goes on', async () => {
    const { reader, post } = await readerAndWriter();
    const { accessToken } = await new Sessions(SIGNING_KEY, system.namespace, 10 / 3_600).issue(reader.id);
    const stranger = await ready();
    stranger.subscribe('live', LIVE, { authorId: reader.id });
    await stranger.result('live');
    const sockets = [
      await ready({ authorization: `Bearer ${accessToken}` }),
      await ready({}, { headers: { cookie: `cheeper_session=${accessToken}` } }),
    ];
    for (const socket of sockets) {
      socket.subscribe('live', LIVE);
      expect((await socket.result('live')).data).toMatchObject({ timeline: { __typename: 'TimelineLive' } });
    }
    for (const { closed } of sockets) expect(await closed).toEqual({ code: 4403, reason: 'The access token has expired' });
    await post('still told');
    expect((await stranger.result('live')).data).toMatchObject({ timeline: { cheep: { message: 'still told' } } });
  });
});

describe('the operations of one socket', () => {
  it('are one session, which does not go back when a slow one ends after a later one', async () => {
    const author = await system.author();
    const socket = await ready({ ...authorization(author), 'x-cheeper-wait-ms': '300' });
    socket.subscribe('slow', SLOW, { id: newId() });
    socket.subscribe('mutation', 'mutation { postCheep(input: { message: "later" }) { consistencyToken } }');
    const { extensions } = await socket.only('mutation');
    await socket.only('slow');
    socket.subscribe('then', TYPENAME);

    expect(Number((await socket.only('then')).extensions.consistency.position)).toBeGreaterThanOrEqual(
      Number(extensions.consistency.position),
    );
  });

  it('are 100 at the most, however fast they come, and one that is completed frees its place', async () => {
    const socket = await ready();
    const authorId = newId();
    for (let i = 0; i < 130; i++) socket.subscribe(`s${i}`, LIVE, { authorId });
    const first = [];
    for (let i = 0; i < 130; i++) first.push(await socket.next());
    expect(first.filter(({ type }) => type === 'next')).toHaveLength(100);
    const refused = first.filter(({ type }) => type === 'error');
    expect(refused).toHaveLength(30);
    for (const { payload } of refused) expect(payload).toMatchObject([{ extensions: { code: 'OVERLOADED', retryable: true } }]);

    const taken = first.filter(({ type }) => type === 'next').map(({ id }) => id!);
    for (const id of taken.slice(0, 50)) socket.complete(id);
    let n = 0;
    const again = async () => {
      socket.subscribe(`t${n++}`, LIVE, { authorId });
      return (await socket.next()).type === 'next';
    };
    for (let i = 0; i < 50; i++) await eventually(again, 'a place is free');
    expect(await again()).toBe(false);
  });

  it('are over with the socket, and leave nothing behind that would hold up another', async () => {
    for (let i = 0; i < 3; i++) {
      const socket = await ready();
      for (let j = 0; j < 100; j++) socket.subscribe(`${j}`, LIVE, { authorId: newId() });
      for (let j = 0; j < 100; j++) expect((await socket.next()).type).toBe('next');
      socket.websocket.terminate();
    }
    const socket = await ready();
    socket.subscribe('1', TYPENAME);
    await socket.only('1');
  });
});

describe('a client that does harm', () => {
  it('is closed when an operation’s id is longer than ids are, or what it is opened with than headers are', async () => {
    const named = await ready();
    named.subscribe('i'.repeat(257), TYPENAME);
    expect(await named.closed).toEqual({ code: 4400, reason: "An operation's id has at most 256 characters" });

    const opened = await open();
    opened.send({ type: 'connection_init', payload: { authorization: `Bearer ${'x'.repeat(10_000)}` } });
    expect(await opened.closed).toEqual({ code: 4400, reason: 'A parameter has at most 8192 characters' });
  });

  it('is sent back no more of its pings than a little', async () => {
    const socket = await ready();
    socket.send({ type: 'ping', payload: { large: 'x'.repeat(10_000) } });
    expect(await socket.next()).toEqual({ type: 'pong' });
  });

  it('is closed when it asks for more and more pongs, and reads none', async () => {
    const socket = await ready();
    socket.websocket.pause();
    // More than the system keeps on the way to it.
    for (let i = 0; i < 20_000; i++) {
      socket.send({ type: 'ping', payload: { large: 'x'.repeat(950) } });
      if (i % 100 === 0) await new Promise(setImmediate);
    }
    socket.websocket.resume();
    expect((await socket.closed).code).toBe(1013);
  });

  it('is closed when anything but an operation is long', async () => {
    for (const type of ['ping', 'pong', 'complete']) {
      const socket = await ready();
      socket.send({ type, id: '1', payload: { large: 'x'.repeat(20_000) } });
      expect(await socket.closed).toEqual({ code: 4400, reason: 'Only operations are so long' });
    }
    const socket = await ready();
    socket.websocket.send('{},'.repeat(80_000));
    expect((await socket.closed).code).toBe(4400);
  });

  it('has its long operations done, and what comes behind them', async () => {
    const socket = await ready();
    const long = `{ __typename } #${'x'.repeat(20_000)}`;
    for (const id of ['1', '2']) socket.subscribe(id, long);
    socket.send({ type: 'ping', payload: { sent: 1 } });
    const got: unknown[] = [];
    while (got.length < 5) got.push(await socket.next());
    expect(got).toContainEqual({ type: 'pong', payload: { sent: 1 } });
    for (const id of ['1', '2']) {
      expect(got).toContainEqual({ id, type: 'next', payload: expect.objectContaining({ data: { __typename: 'Query' } }) });
      expect(got).toContainEqual({ id, type: 'complete' });
    }
  });

  it('may send any number of pings of the websocket itself at once', async () => {
    const socket = await ready();
    const pong = new Promise<void>((resolve) => {
      let pongs = 0;
      socket.websocket.on('pong', () => ++pongs === 1_000 && resolve());
    });
    for (let i = 0; i < 1_000; i++) socket.websocket.ping();
    await pong;
    socket.subscribe('1', TYPENAME);
    await socket.only('1');
  });

  it('is closed when it sends too large a message', async () => {
    const socket = await ready();
    socket.send({ type: 'ping', payload: { large: 'x'.repeat(256 * 1024) } });

    expect((await socket.closed).code).toBe(1009);
  });

  it('is closed when it asks and asks and does not read', async () => {
    const socket = await ready();
    socket.websocket.pause();
    const types = '__schema { types { name description fields { name description } } }';
    const query = `{ ${['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${name}: ${types}`).join(' ')} }`;
    let sent = 0;
    await eventually(
      () => {
        for (
          let i = 0;
          i < 20 && socket.websocket.readyState === socket.websocket.OPEN && socket.websocket.bufferedAmount < 1_000_000;
          i++
        ) {
          socket.subscribe(newId(), query);
          sent += query.length;
        }
        if (sent > 4_000_000) socket.websocket.resume();
        return socket.websocket.readyState === socket.websocket.CLOSED;
      },
      () => `cut off after ${sent} bytes`,
    );
  });
});

describe('a gateway that is stopped', () => {
  it('closes its sockets with 1001, also those that do not answer, and leaves in order', async () => {
    const [, gateway] = system.gateways;
    const url = system.urlOf(gateway!);
    const [idle, live] = [await RawSocket.ready(url), await RawSocket.ready(url)];
    live.subscribe('1', LIVE, { authorId: newId() });
    await live.result('1');
    const deaf = await deafSocket(gateway!.port);
    const refused = await halfOpenSocket(gateway!.port);
    const silent = await silentSocket(gateway!.port);
    const start = performance.now();

    expect(await gateway!.stop('SIGTERM')).toBe(0);
    expect(performance.now() - start).toBeLessThan(12_000);
    for (const socket of [idle, live]) expect(await socket.closed).toEqual({ code: 1001, reason: 'Going away' });
    deaf.destroy();
    refused.destroy();
    silent.destroy();
  });
});

describe('all of this', () => {
  it('was nobody’s bug: the log has lines of JSON only, and no error', () => {
    for (const gateway of system.gateways) {
      const lines = gateway.log(Infinity).trim().split('\n');
      const levels = lines.map((line) => (JSON.parse(line) as { level: number }).level);

      expect(Math.max(...levels)).toBeLessThan(50);
    }
  });
});

const handshake = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
  `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n`;

/** What is answered to these bytes, until this text has come. */
async function raw(bytes: string, until: string): Promise<string> {
  const socket = connect({ port: system.gateways[0]!.port, host: '127.0.0.1' });
  socket.write(bytes);
  let answer = '';
  for await (const data of socket) {
    answer += String(data);
    if (answer.includes(until)) break;
  }

  return answer;
}

/** A websocket that is open, and answers nothing: no ping, no close. */
async function deafSocket(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  socket.write(handshake('/graphql'));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  if (!answer.toString().startsWith('HTTP/1.1 101')) throw new Error(answer.toString());
  socket.resume();

  return socket;
}

/** One whose upgrade was refused, and which does not go. */
async function halfOpenSocket(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  socket.write(handshake('/nowhere'));
  const [answer] = (await once(socket, 'data')) as [Buffer];
  if (!answer.toString().startsWith('HTTP/1.1 404')) throw new Error(answer.toString());

  return socket;
}

/** On which nothing is ever said. */
async function silentSocket(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  await once(socket, 'connect');

  return socket;
}
