/** More than can be done: who is refused is told so soon, nothing of theirs is ever done, and all that was taken on is. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { print } from 'graphql';
import { CheepMessageDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { eventually, startSystem, type System } from './system.js';

const MUTATIONS = 5_000;
/** The most that the gateway takes. */
const IN_A_REQUEST = 10;
const COMMIT_DEADLINE_MS = 3_000;
/** From the first answer to the last: the bound of a command, and that of one to begin; the rest is for a busy machine. */
const ANSWERED_MS = COMMIT_DEADLINE_MS + 1_000 + 8_000;

type Author = Awaited<ReturnType<System['author']>>;

let system: System;
let authors: Author[];
beforeAll(async () => {
  system = await startSystem({ env: { COMMIT_DEADLINE_MS: String(COMMIT_DEADLINE_MS) } });
  authors = await Promise.all(Array.from({ length: 8 }, () => system.author()));
});
afterAll(() => system?.stop());
afterEach(() => system?.writeSides[0]!.signal('SIGCONT'));

interface Sent {
  commandId: string;
  answer: string;
  answeredAt: number;
}

/** All at once, ten in a request, so that it is not this client that takes the time. */
async function post(count: number): Promise<Sent[]> {
  const asked = await Promise.allSettled(
    Array.from({ length: count / IN_A_REQUEST }, async (_, i) => {
      const ids = Array.from({ length: IN_A_REQUEST }, () => newId());
      const response = await fetch(system.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${authors[i % authors.length]!.client.accessToken}` },
        body: JSON.stringify(
          ids.map((commandId) => ({ query: print(PostCheepReceiptDocument), variables: { input: { message: 'of many', commandId } } })),
        ),
      });
      const body = (await response.json()) as Answer | Answer[];
      const answeredAt = performance.now();
      // Refused before it was looked at, or one by one by the field that would have sent the command.
      expect(response.status).toBe(Array.isArray(body) ? 200 : 503);

      return ids.map((commandId, n) => {
        const { data, errors } = Array.isArray(body) ? body[n]! : body;
        return { commandId, answeredAt, answer: data?.postCheep.status ?? String(errors?.[0]?.extensions.code) };
      });
    }),
  );

  return asked.flatMap((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

interface Answer {
  data?: { postCheep: { status: string } } | null;
  errors?: { extensions: { code: string } }[];
}

const commandsRun = async () =>
  new Set(
    (await system.sql<{ id: string }>(`SELECT JSON_UNQUOTE(JSON_EXTRACT(body, '$.commandId')) AS id FROM journal`)).map(({ id }) => id),
  );

describe('thousands of queries at once', () => {
  const QUERIES = 4_000;
  const query = print(CheepMessageDocument);
  /** What urql names. */
  const URQL = 'application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed';
  const variables = { id: newId() };
  const byPost = (accept: string, path = '') =>
    fetch(`${system.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept },
      body: JSON.stringify({ query, variables }),
    });
  const byGet = (accept: string, path = '') =>
    fetch(`${system.url}${path}?${new URLSearchParams({ query, variables: JSON.stringify(variables) }).toString()}`, {
      headers: { accept },
    });

  it.each([
    { what: 'that name event streams beside JSON', ask: () => byPost(URQL) },
    { what: 'that do so by GET', ask: () => byGet(URQL) },
    { what: 'that want event streams', ask: () => byPost('text/event-stream', '/stream') },
  ])('$what are answered or refused, and a subscription among them begins', async ({ ask }) => {
    const flood = Promise.all(
      Array.from({ length: QUERIES }, async () => {
        const response = await ask();
        await response.text();
        return `${response.status} ${response.headers.get('retry-after')}`;
      }),
    );
    const { id } = authors[0]!;
    const live = JSON.stringify({ query: 'subscription ($id: ID!) { timeline(authorId: $id) { __typename } }', variables: { id } });
    const subscriptions = await Promise.all(
      [URQL, 'text/event-stream'].map((accept) =>
        fetch(system.url, { method: 'POST', headers: { 'content-type': 'application/json', accept }, body: live }),
      ),
    );
    for (const subscription of subscriptions) {
      expect([subscription.status, subscription.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
      await subscription.body!.cancel();
    }
    const counts = Object.groupBy(await flood, (answer) => answer);
    // A gateway that is fast enough on this machine refuses nobody.
    expect(['200 null', '503 1']).toEqual(expect.arrayContaining(Object.keys(counts)));
    expect(counts['200 null']!.length).toBeGreaterThan(100);
  });
});

describe('thousands of mutations at once', () => {
  it('while nobody runs them, are accepted or refused in bounded time; those and only those that were accepted are run', async () => {
    const [writeSide] = system.writeSides;
    const cheepId = newId();
    const { client } = authors[0]!;
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: 'before', cheepId } });
    expect(postCheep.status).toBe('COMMITTED');
    // It is published by the process that is about to be stopped.
    expect((await client.query(CheepMessageDocument, { id: cheepId })).cheep).not.toBeNull();
    writeSide!.signal('SIGSTOP');
    const sent = await post(MUTATIONS);
    const counts = Object.groupBy(sent, ({ answer }) => answer);
    const answeredAt = sent.map((one) => one.answeredAt);
    expect(Object.keys(counts).sort()).toEqual(['ACCEPTED', 'OVERLOADED']);
    expect(Math.max(...answeredAt) - Math.min(...answeredAt)).toBeLessThan(ANSWERED_MS);

    // As many again, and reads go on meanwhile.
    const again = post(2_000);
    const reader = system.client();
    const reads = await Promise.all(Array.from({ length: 20 }, () => reader.query(CheepMessageDocument, { id: cheepId })));
    expect(reads.every(({ cheep }) => cheep?.message === 'before')).toBe(true);
    const all = [...sent, ...(await again)];

    writeSide!.signal('SIGCONT');
    const accepted = all.filter(({ answer }) => answer !== 'OVERLOADED');
    let missing = accepted;
    await eventually(
      async () => {
        const run = await commandsRun();
        missing = accepted.filter(({ commandId }) => !run.has(commandId));
        return missing.length === 0;
      },
      () => `all that was accepted is run (${missing.length} of ${accepted.length} are not)\n${writeSide!.log()}`,
    );
    const { postCheep: last } = await client.mutate(PostCheepReceiptDocument, { input: { message: 'after' } });
    expect(last.status).toBe('COMMITTED');
    const run = await commandsRun();
    expect(all.filter(({ answer, commandId }) => answer === 'OVERLOADED' && run.has(commandId))).toEqual([]);
  });

  it('while they are run, are committed or refused, and each author’s client that tries again gets through', async () => {
    const sent = await post(2_500);
    const counts = Object.groupBy(sent, ({ answer }) => answer);
    expect(Object.keys(counts).filter((answer) => !['COMMITTED', 'ACCEPTED', 'OVERLOADED'].includes(answer))).toEqual([]);
    expect(counts.COMMITTED?.length ?? 0).toBeGreaterThan(100);
    const answers = await Promise.all(
      authors.map(({ client }) => client.mutate(PostCheepReceiptDocument, { input: { message: 'at last' } })),
    );
    expect(answers.map(({ postCheep }) => postCheep.status)).toEqual(authors.map(() => 'COMMITTED'));
  });
});
