/** Waits: an operation waits once, for no longer than its client says, and not at all for what cannot come. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  AuthorDocument,
  FollowAuthorReceiptDocument,
  LiveTimelineDocument,
  PostCheepReceiptDocument,
  TimelineDocument,
} from '../client/operations.js';
import { AUTHORS } from '../read-side/authors/query.js';
import { LOG, prefixOf, shardName, shardOf } from '../read-side/shard.js';
import { resumeCursor } from '../gateway/resume-cursor.js';
import { newId } from '../shared/ids.js';
import { decodeToken } from '../shared/token.js';
import { eventually, startSystem, type System } from './system.js';

/** So long that who waits for it is not mistaken for who does not. */
const READ_DEADLINE_MS = 10_000;
/** So much shorter that two waits are not mistaken for one. */
const WAIT_MS = 4_000;

let system: System;
beforeAll(async () => {
  system = await startSystem({ env: { READ_DEADLINE_MS: String(READ_DEADLINE_MS) } });
});
afterAll(() => system?.stop());

async function timed<T>(run: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const start = performance.now();
  const value = await run();

  return { value, ms: performance.now() - start };
}

/** As any client that is no typed one. */
async function send(body: object, headers: Record<string, string>) {
  const response = await fetch(system.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

  return { headers: response.headers, body: (await response.json()) as unknown };
}

const codesOf = ({ errors = [] }: { errors?: { extensions: { code: string } }[] }) => errors.map(({ extensions }) => extensions.code);

describe('while the read side stands still', () => {
  it('an operation waits once, whatever it waits for, one after another or at the same time', async () => {
    const { id, client } = await system.author();
    const headers = { authorization: `Bearer ${client.accessToken}`, 'x-cheeper-wait-ms': String(WAIT_MS) };
    const [readSide] = system.readSides;
    readSide!.signal('SIGSTOP');
    try {
      const post = (name: string) => `${name}: postCheep(input: { message: "${name}" }) { status cheep { message } }`;
      const posted = await timed(() => send({ query: `mutation { ${['one', 'two', 'three', 'four'].map(post).join(' ')} }` }, headers));
      expect(posted.value.body).toMatchObject({
        data: { one: { status: 'COMMITTED', cheep: null }, four: { status: 'COMMITTED', cheep: null } },
      });
      expect(codesOf(posted.value.body as object)).toEqual(Array(4).fill('NOT_CAUGHT_UP'));
      expect(posted.ms).toBeGreaterThan(WAIT_MS - 100);
      expect(posted.ms).toBeLessThan(2 * WAIT_MS);

      const token = posted.value.headers.get('x-cheeper-consistency')!;
      const reads = {
        query: `{ ${['a', 'b', 'c', 'd'].map((name) => `${name}: author(id: "${id}") { id }`).join(' ')} }`,
      };
      const batched = await timed(() => send([reads, reads, reads], { ...headers, 'x-cheeper-consistency': token }));
      const answers = batched.value.body as {
        errors: { extensions: { code: string } }[];
        extensions: { consistency: { waitedMs: number } };
      }[];
      expect(answers.map(codesOf)).toEqual(Array(3).fill(Array(4).fill('NOT_CAUGHT_UP')));
      for (const { extensions } of answers) expect(extensions.consistency.waitedMs).toBeLessThan(1.5 * WAIT_MS);
      expect(batched.ms).toBeLessThan(2 * WAIT_MS);
    } finally {
      readSide!.signal('SIGCONT');
    }
    await readSide!.ready();
  });

  it('what was refused is not waited for, whatever was asked for', async () => {
    const { client } = await system.author();
    const [readSide] = system.readSides;
    readSide!.signal('SIGSTOP');
    try {
      const query = `mutation ($id: ID!) { editCheep(input: { cheepId: $id, message: "!", waitFor: PROJECTED }) { status userErrors { code } cheep { id } } }`;
      const refused = await timed(() => send({ query, variables: { id: newId() } }, { authorization: `Bearer ${client.accessToken}` }));
      expect(refused.value.body).toMatchObject({
        data: { editCheep: { status: 'REJECTED', userErrors: [{ code: 'CHEEP_NOT_FOUND' }], cheep: null } },
      });
      expect(refused.ms).toBeLessThan(READ_DEADLINE_MS / 2);
    } finally {
      readSide!.signal('SIGCONT');
    }
    await readSide!.ready();
  });
});

describe('a batch', () => {
  it('is answered in order, each with what it has seen itself, and with the newest token of all', async () => {
    const { id, client } = await system.author();
    const headers = { authorization: `Bearer ${client.accessToken}` };
    const post = { query: 'mutation { postCheep(input: { message: "of a batch", waitFor: PROJECTED }) { status consistencyToken } }' };
    const answer = await send(
      [{ query: '{ nonsense' }, post, { query: '{ author(id: "x") { id } }' }, { query: `{ author(id: "${id}") { id } }` }],
      headers,
    );
    const [wrong, posted, nobody, author] = answer.body as {
      data: Record<string, { consistencyToken: string } | null>;
      extensions: { consistency: { token: string; position: string } };
    }[];
    expect(codesOf(wrong as object)).toEqual(['GRAPHQL_PARSE_FAILED']);
    const { consistencyToken } = posted!.data.postCheep!;
    expect(posted).toMatchObject({
      data: { postCheep: { status: 'PROJECTED' } },
      extensions: { consistency: { position: String(decodeToken(consistencyToken).position) } },
    });
    expect(nobody!.data).toEqual({ author: null });
    expect(author!.data).toEqual({ author: { id } });
    expect(decodeToken(answer.headers.get('x-cheeper-consistency')!).position).toBeGreaterThanOrEqual(
      decodeToken(consistencyToken).position,
    );
  });

  it('has ten operations at the most', async () => {
    const operations = (n: number) => Array.from({ length: n }, () => ({ query: '{ __typename }' }));
    expect((await send(operations(10), {})).body).toHaveLength(10);
    expect(codesOf((await send(operations(11), {})).body as object)).toEqual(['BAD_REQUEST']);
  });
});

describe('a cursor that the journal has not reached', () => {
  it('is nobody’s: BAD_USER_INPUT, at once', async () => {
    const { client } = await system.author();
    const { epoch, position } = decodeToken(client.consistencyToken!);
    const after = resumeCursor(epoch, { position: position + 1_000_000, index: null });
    const { value, ms } = await timed(() =>
      client
        .subscribe(LiveTimelineDocument, { after })
        .next()
        .catch((error: unknown) => error),
    );
    expect(value).toMatchObject({ errors: [{ extensions: { code: 'BAD_USER_INPUT', argument: 'after' } }] });
    expect(ms).toBeLessThan(READ_DEADLINE_MS / 2);
  });

  it('is not mistaken for one of what was written just now, and the shard has not applied', async () => {
    const { client } = await system.author();
    for (let i = 0; i < 30; i++) {
      const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: `${i}` } });
      const { epoch, position } = decodeToken(postCheep.consistencyToken!);
      const frames = client.subscribe(LiveTimelineDocument, { after: resumeCursor(epoch, { position, index: null }) });
      expect((await frames.next()).value?.timeline.__typename).toBe('TimelineLive');
      await frames.return?.();
    }
  });
});

describe('a shard that met an event which it cannot apply', () => {
  it('is named at once to those who wait for it, others go on, and it goes on when that is mended', async () => {
    const [author, follower] = [await system.author(), await system.author()];
    const { epoch } = decodeToken(author.client.consistencyToken!);
    const space = { namespace: system.namespace, epoch, shards: 8 };
    const shard = shardOf(AUTHORS, author.id, space);
    // Somebody has put something else in the place of its log of changes.
    const key = prefixOf(space, shard) + LOG;
    await system.redis.set(key, 'not a log');
    const { followAuthor } = await follower.client.request(FollowAuthorReceiptDocument, { input: { authorId: author.id } });
    expect(followAuthor.status).toBe('COMMITTED');

    const { value, ms } = await timed(() => follower.client.ask(AuthorDocument, { id: author.id }));
    const name = shardName(shard);
    expect(value.errors).toMatchObject([
      {
        message: expect.stringContaining(`${name} has stopped`),
        extensions: { code: 'NOT_CAUGHT_UP', retryable: true, shard: name, stopped: true },
      },
    ]);
    expect(ms).toBeLessThan(READ_DEADLINE_MS / 2);
    // Who did not ask for it, or takes what there is, has it at once; other shards know nothing of it.
    expect((await system.client().request(AuthorDocument, { id: author.id })).author).toMatchObject({ id: author.id });
    const stale = await follower.client.ask(AuthorDocument, { id: author.id }, { 'x-cheeper-read': 'stale-ok' });
    expect(stale).toMatchObject({ data: { author: { id: author.id } }, errors: [], extensions: { consistency: { satisfied: false } } });
    expect((await follower.client.ask(TimelineDocument, {})).errors).toEqual([]);
    expect(await (await fetch(`http://127.0.0.1:${system.readSides[0]!.port}/readyz`)).text()).toContain(`${name} stopped`);

    await system.redis.del(key);
    await eventually(
      async () => (await follower.client.ask(AuthorDocument, { id: author.id })).data?.author?.isFollowedByViewer,
      'it has gone on',
    );
  });
});
