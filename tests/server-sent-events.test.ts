/**
 * Subscriptions over server-sent events: what a client behind a proxy gets, by the library's own client and by a bare request.
 * https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createClient } from 'graphql-sse';
import { print } from 'graphql';
import { FollowAuthorReceiptDocument, LiveTimelineDocument, PostCheepReceiptDocument, TimelineDocument } from '../client/operations.js';
import { Sessions } from '../gateway/sessions.js';
import { newId } from '../shared/ids.js';
import { decodeToken } from '../shared/token.js';
import type { Author } from './load.js';
import { eventually, SIGNING_KEY, startSystem, type ServiceProcess, type System } from './system.js';

let system: System;
let alice: Author;
let bob: Author;
beforeAll(async () => {
  system = await startSystem({ gateways: 2 });
  [alice, bob] = [await system.author(), await system.author()];
  await alice.client.request(FollowAuthorReceiptDocument, { input: { authorId: bob.id } });
});
afterAll(() => system?.stop());

const streamOf = (gateway: ServiceProcess) => `${system.urlOf(gateway)}/stream`;
/** Who has seen what bob has written. */
const asAlice = () => ({
  authorization: `Bearer ${alice.client.accessToken}`,
  ...(bob.client.consistencyToken ? { 'x-cheeper-consistency': bob.client.consistencyToken } : {}),
});
const post = async (message: string) => {
  const cheepId = newId();
  await bob.client.request(PostCheepReceiptDocument, { input: { message, cheepId } });

  return cheepId;
};

interface Result {
  data?: { timeline: { __typename: string; cursor: string; cheep?: { message: string }; reason?: string } } | null;
  errors?: { message: string; extensions: { code: string } }[];
  extensions: { consistency: { token: string; position: string } };
}

/** An event stream, one event at a time. */
class Stream {
  private text = '';
  private moved: () => void = () => undefined;
  isOver = false;

  private constructor(readonly response: IncomingMessage) {
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      this.text += chunk;
      this.moved();
    });
    response.on('close', () => {
      this.isOver = true;
      this.moved();
    });
    response.on('error', () => undefined); // Its close tells.
  }

  static open(url: string, body: object | null, headers: Record<string, string>): Promise<Stream> {
    return new Promise((resolve, reject) => {
      const request = httpRequest(url, {
        method: body ? 'POST' : 'GET',
        headers: { ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
      });
      request.once('response', (response) => resolve(new Stream(response)));
      request.once('error', reject);
      request.end(body ? JSON.stringify(body) : undefined);
    });
  }

  /** Comments are left out. */
  async next(): Promise<{ event: string; data: Result | null } | null> {
    for (;;) {
      const end = this.text.indexOf('\n\n');
      if (end !== -1) {
        const block = this.text.slice(0, end);
        this.text = this.text.slice(end + 2);
        if (block.startsWith(':')) continue;
        const [, event, data] = /^event: (\w+)\ndata:(?: (.*))?$/s.exec(block) ?? [];
        if (!event) throw new Error(`not an event: ${block}`);

        return { event, data: data ? (JSON.parse(data) as Result) : null };
      }
      if (this.isOver) return null;
      await new Promise<void>((resolve) => (this.moved = resolve));
    }
  }

  async frame() {
    const next = await this.next();
    if (!next?.data?.data) throw new Error(`not a frame: ${JSON.stringify(next)}`);

    return next.data.data.timeline;
  }

  close(): void {
    this.response.destroy();
  }
}

const LIVE = print(LiveTimelineDocument);
const open = (headers: Record<string, string> = asAlice(), variables: object = {}, url = streamOf(system.gateways[0]!)) =>
  Stream.open(url, { query: LIVE, variables }, { accept: 'text/event-stream', ...headers });

describe('a subscription over server-sent events', () => {
  it('replays, says that it is live, goes on, and resumes on another gateway without a gap or a repeat', async () => {
    const page = await alice.client.request(TimelineDocument, {});
    const missed = await post('missed');
    const client = createClient({ url: streamOf(system.gateways[0]!), headers: asAlice(), retryAttempts: 0 });
    const seen: string[] = [];
    let cursor = page.timeline.resumeCursor;
    const read = async (using: typeof client, until: string) => {
      const frames = using.iterate<Result['data']>({ query: LIVE, variables: { after: cursor } });
      for await (const { data } of frames) {
        cursor = data!.timeline.cursor;
        seen.push(data!.timeline.cheep?.message ?? data!.timeline.__typename);
        if (seen.at(-1) === until) break;
      }
    };
    const reading = read(client, 'live');
    await eventually(() => seen.includes('TimelineLive'), 'it is live');
    await post('live');
    await reading;
    client.dispose();
    await post('while away');
    const other = createClient({ url: streamOf(system.gateways[1]!), headers: asAlice(), retryAttempts: 0 });
    await read(other, 'TimelineLive');
    other.dispose();
    expect(seen).toEqual(['missed', 'TimelineLive', 'live', 'while away', 'TimelineLive']);
    expect(missed).toBeTruthy();
  });

  it('is there at the path of all operations too, for who asks for an event stream', async () => {
    const url = system.urlOf(system.gateways[0]!);
    for (const accept of ['text/event-stream', 'application/graphql-response+json, application/json, text/event-stream']) {
      const stream = await open({ ...asAlice(), accept }, {}, url);
      expect(stream.response.headers['content-type']).toBe('text/event-stream; charset=utf-8');
      expect((await stream.frame()).__typename).toBe('TimelineLive');
      stream.close();
    }
    // Who takes JSON as well gets it, for what has an end.
    const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query: '{ __typename }' }) });
    expect(await answer.json()).toMatchObject({ data: { __typename: 'Query' } });
  });

  it('is opened by a browser’s EventSource, which can only get, and carries consistency', async () => {
    const variables = JSON.stringify({ authorId: alice.id });
    const stream = await Stream.open(
      `${streamOf(system.gateways[0]!)}?${new URLSearchParams({ query: LIVE, variables }).toString()}`,
      null,
      {
        accept: 'text/event-stream',
        'x-cheeper-consistency': alice.client.consistencyToken!,
      },
    );
    expect(decodeToken(stream.response.headers['x-cheeper-consistency'] as string).position).toBeGreaterThan(0);
    const { data } = (await stream.next())!;
    expect(data).toMatchObject({
      data: { timeline: { __typename: 'TimelineLive' } },
      extensions: { consistency: { token: expect.any(String) } },
    });
    stream.close();
  });

  it('that cannot begin is one error and the end; what is no request at all is refused with its status', async () => {
    for (const [body, code] of [
      [{ query: 'subscription {' }, 'GRAPHQL_PARSE_FAILED'],
      [{ query: 'subscription { nothing }' }, 'GRAPHQL_VALIDATION_FAILED'],
      [{ query: LIVE, variables: { after: 'forged' } }, 'BAD_USER_INPUT'],
    ] as const) {
      const stream = await Stream.open(streamOf(system.gateways[0]!), body, { accept: 'text/event-stream', ...asAlice() });
      expect(await stream.next()).toMatchObject({ event: 'next', data: { errors: [{ extensions: { code } }] } });
      expect(await stream.next()).toEqual({ event: 'complete', data: null });
      expect(await stream.next()).toBeNull();
    }
    const status = async (init: RequestInit, query = '') => (await fetch(`${streamOf(system.gateways[0]!)}${query}`, init)).status;
    const json = { 'content-type': 'application/json' };
    expect(await status({ method: 'POST', headers: json, body: '{}' })).toBe(400);
    expect(await status({ method: 'POST', headers: json, body: '[]' })).toBe(400);
    expect(await status({}, '?query={__typename}&variables=nonsense')).toBe(400);
    expect(await status({}, `?query=${encodeURIComponent('mutation { logOut }')}`)).toBe(405);
    expect(await status({ method: 'PUT' })).toBe(405);
    expect(
      await status({
        method: 'POST',
        headers: { ...json, authorization: 'Bearer nobody’s'.replace('’', '') },
        body: JSON.stringify({ query: LIVE }),
      }),
    ).toBe(401);
    expect(
      await status({ method: 'POST', headers: { ...json, 'x-cheeper-consistency': 'x' }, body: JSON.stringify({ query: LIVE }) }),
    ).toBe(400);
  });

  it('also answers queries and mutations, each with one event', async () => {
    const query = 'mutation { postCheep(input: { message: "by event stream" }) { status cheep { message } } }';
    const stream = await Stream.open(streamOf(system.gateways[0]!), { query }, { accept: 'text/event-stream', ...asAlice() });
    expect(await stream.next()).toMatchObject({
      event: 'next',
      data: {
        data: { postCheep: { status: 'COMMITTED', cheep: { message: 'by event stream' } } },
        extensions: { consistency: { satisfied: true } },
      },
    });
    expect(await stream.next()).toEqual({ event: 'complete', data: null });
  });

  it('ends when the access token runs out, and says so', async () => {
    const { accessToken } = await new Sessions(SIGNING_KEY, system.namespace, 10 / 3_600).issue(alice.id);
    const stream = await open({ authorization: `Bearer ${accessToken}` });
    expect((await stream.frame()).__typename).toBe('TimelineLive');
    expect(await stream.next()).toMatchObject({ event: 'next', data: { errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] } });
    expect(await stream.next()).toEqual({ event: 'complete', data: null });
    expect(await stream.next()).toBeNull();
  });

  it('is cut, not completed, by a gateway that is stopped, which leaves in order', async () => {
    const [, second] = system.gateways;
    const stream = await open(asAlice(), {}, streamOf(second!));
    expect((await stream.frame()).__typename).toBe('TimelineLive');
    expect(await second!.stop()).toBe(0);
    expect(await stream.next()).toBeNull();
    second!.start();
    await second!.ready();
  });
});
