/**
 * What operators do to projections, while people write and read: a new generation beside the live one, a switch and the way back,
 * a projection that is held and stepped, an event that cannot be applied.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AuthorDocument, FollowAuthorReceiptDocument, PostCheepReceiptDocument, TimelineDocument } from '../client/operations.js';
import { LOG, prefixOf, shardOf, type Space } from '../read-side/shard.js';
import { AUTHORS } from '../read-side/authors/query.js';
import { load } from './load.js';
import { RawSocket } from './raw-socket.js';
import { cheeper, eventually, startSystem, type System } from './system.js';

const SHARDS = 8;

let system: System;
let space: Space;
beforeAll(async () => {
  system = await startSystem({ gateways: 2, readSides: 2 });
  space = { namespace: system.namespace, epoch: (await system.redis.get(`${system.namespace}:epoch`))!, shards: SHARDS };
});
afterAll(() => system?.stop());

/** As an operator does. */
const run = (...args: string[]) => cheeper(system.env, ...args);

interface Listed {
  name: string;
  heldAt: number | null;
  generations: {
    generation: number;
    role: string;
    applied: number;
    lag: number;
    stopped: { shard: string; applied: number; reason: string }[];
  }[];
}
const listed = async (name: string): Promise<Listed> =>
  (JSON.parse((await run('projections', '--json')).out) as Listed[]).find((one) => one.name === name)!;

describe('subscriptions', () => {
  it('go on in the generation that is read, after a reset, through a switch, a drop, and the loss of all that Redis knew of it', async () => {
    const [reader, writer] = await Promise.all([system.author(), system.author()]);
    await reader.client.request(FollowAuthorReceiptDocument, { input: { authorId: writer.id } });
    const socket = await RawSocket.ready(system.url, { authorization: `Bearer ${reader.client.accessToken}` });
    socket.subscribe(
      'live',
      'subscription { timeline { __typename ... on CheepAdded { cheep { message } } ... on TimelineReset { reason } } }',
      {},
      { 'x-cheeper-consistency': reader.client.consistencyToken },
    );
    const next = async () => {
      const { timeline } = (await socket.result('live')).data as { timeline: { __typename: string; cheep?: { message: string } } };
      return timeline.cheep?.message ?? timeline.__typename;
    };
    const post = (message: string) => writer.client.mutate(PostCheepReceiptDocument, { input: { message } });
    expect(await next()).toBe('TimelineLive');
    await post('before');
    expect(await next()).toBe('before');

    expect(await run('projections', 'rebuild', 'timelines')).toMatchObject({ code: 0 });
    expect(await run('projections', 'switch', 'timelines')).toMatchObject({ code: 0 });
    expect(await run('projections', 'drop', 'timelines', '--yes')).toMatchObject({ code: 0 });
    expect(await next()).toBe('TimelineReset');
    await post('after the switch');
    expect(await next()).toBe('after the switch');

    await system.redis.unlink(await system.redis.keys(`${system.namespace}:*`));
    expect(await next()).toBe('TimelineReset');
    await post('after the loss');
    expect(await next()).toBe('after the loss');
    socket.close();
  });
});

describe('a new generation beside the live one', () => {
  it('is built, compared, switched to and taken back, while all go on writing and reading', async () => {
    const authors = await Promise.all(Array.from({ length: 4 }, () => system.author()));
    const [reader] = authors as [(typeof authors)[number], ...typeof authors];
    const running = load(system, authors);
    await eventually(() => running.committed() > 50, 'the load runs');

    // A name that nobody ever had: as if a projection had gone wrong.
    const broken = prefixOf(space, shardOf(AUTHORS, reader.id, space)) + `author:${reader.id}`;
    expect(await system.redis.hget(broken, 'username')).toBe(reader.username);
    await system.redis.hset(broken, 'username', 'nobody');
    const names = async () => {
      const seen = await Promise.all(
        system.gateways.map((gateway) => system.client({ url: system.urlOf(gateway) }).request(AuthorDocument, { id: reader.id })),
      );
      return seen.map(({ author }) => author?.username);
    };
    expect(await names()).toEqual(['nobody', 'nobody']);

    expect(await run('projections', 'verify', 'authors')).toMatchObject({ code: 1 });
    const built = await run('projections', 'rebuild', 'authors', '--json');
    expect(built).toMatchObject({ code: 0 });
    expect(JSON.parse(built.out)).toEqual({ name: 'authors', generation: 2, isComplete: true });
    expect(await names()).toEqual(['nobody', 'nobody']);

    const compared = await run('projections', 'verify', 'authors', '--json');
    expect(compared.code).toBe(1);
    expect(JSON.parse(compared.out)).toMatchObject({
      live: 1,
      other: 2,
      differing: 1,
      first: [{ is: 'nobody', shouldBe: reader.username }],
    });
    expect(await run('projections', 'switch', 'authors')).toMatchObject({ code: 1 });
    expect(await run('projections', 'switch', 'authors', '--yes')).toMatchObject({ code: 0 });
    await eventually(async () => (await names()).every((name) => name === reader.username), 'both gateways read the new generation');

    expect(await run('projections', 'rollback', 'authors')).toMatchObject({ code: 0 });
    await eventually(async () => (await names()).every((name) => name === 'nobody'), 'both gateways read the former generation');
    expect(await run('projections', 'rollback', 'authors')).toMatchObject({ code: 0 });
    await eventually(async () => (await names()).every((name) => name === reader.username), 'and the new one again');

    expect(await run('projections', 'drop', 'authors')).toMatchObject({ code: 2 });
    expect(await run('projections', 'drop', 'authors', '--yes')).toMatchObject({ code: 0 });
    expect(await system.redis.exists(broken)).toBe(0);
    const before = running.committed();
    await eventually(() => running.committed() > before + 50, 'the load goes on');
    await running.stop();
    // What was written last is read from the generation that is left.
    for (const { client, id } of authors) {
      client.consistencyToken = running.sent.findLast((sent) => sent.token)!.token;
      const count = running.sent.filter(({ author, status }) => authors[author]!.id === id && status === 'COMMITTED').length;
      expect((await client.request(AuthorDocument, { id })).author!.cheepsCount).toBeGreaterThanOrEqual(count);
    }
    expect((await listed('authors')).generations).toMatchObject([{ generation: 2, role: 'live', stopped: [] }]);
    // A gateway that begins now reads it too.
    await system.gateways[1]!.stop();
    system.gateways[1]!.start();
    await system.gateways[1]!.ready();
    expect(await names()).toEqual([reader.username, reader.username]);
  });
});

describe('a projection that an operator holds', () => {
  it('stands still at one position, is stepped by exactly as many events as said, and goes on', async () => {
    const { client, id } = await system.author();
    expect(await run('pause', 'timelines')).toMatchObject({ code: 0 });
    const { heldAt } = await listed('timelines');
    expect(heldAt).not.toBeNull();
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: 'held' } });
    expect(postCheep.status).toBe('COMMITTED');

    client.consistencyToken = postCheep.consistencyToken!;
    const asked = performance.now();
    const answer = await client.ask(TimelineDocument, { authorId: id });
    expect(answer.errors).toMatchObject([{ extensions: { code: 'NOT_CAUGHT_UP', stopped: true } }]);
    // It is known not to come, so nobody waited for it.
    expect(performance.now() - asked).toBeLessThan(4_000);
    // Others go on.
    expect((await client.request(AuthorDocument, { id })).author!.cheepsCount).toBe(1);

    expect(await run('step', '1', 'timelines')).toMatchObject({ code: 0 });
    expect(await listed('timelines')).toMatchObject({ heldAt: heldAt! + 1, generations: [{ applied: heldAt! + 1 }] });
    expect(await run('resume', 'timelines')).toMatchObject({ code: 0 });
    await eventually(async () => (await client.ask(TimelineDocument, { authorId: id })).errors.length === 0, 'the timeline is read');
  });
});

describe('an event that cannot be applied', () => {
  it('stops its shards, visibly, until it is left out by name; another generation leaves it out too', async () => {
    const { client, id } = await system.author();
    const healthy = await client.request(AuthorDocument, { id });
    expect(healthy.author).toBeTruthy();
    // As an event of a later release would be. It is committed as any other.
    await system.sql('UPDATE journal_head SET position = LAST_INSERT_ID(position + 1) WHERE id = 1');
    const [head] = await system.sql<{ position: number }>('SELECT position FROM journal_head');
    const position = Number(head!.position);
    await system.sql(
      `INSERT INTO journal (position, entry_id, type, body)
       SELECT ?, UUID(), type, JSON_SET(body, '$.schemaVersion', 99) FROM journal WHERE position = 1`,
      [position],
    );
    await eventually(async () => {
      const all = JSON.parse((await run('projections', '--json')).out) as Listed[];
      return all.every(({ generations }) => generations[0]!.stopped.length === SHARDS);
    }, 'all shards have stopped');
    const ready = await fetch(`http://127.0.0.1:${system.readSides[0]!.port}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.text()).toContain(`stopped at position ${position - 1}`);
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: 'behind it' } });
    client.consistencyToken = postCheep.consistencyToken!;
    expect((await client.ask(AuthorDocument, { id })).errors).toMatchObject([{ extensions: { code: 'NOT_CAUGHT_UP', stopped: true } }]);

    const skip = (name: string, ...more: string[]) => run('projections', 'skip', name, String(position), ...more);
    expect(await skip('authors')).toMatchObject({ code: 2 });
    expect(await skip('authors', '--reason', 'of a later release')).toMatchObject({ code: 2 });
    expect(await run('projections', 'skip', 'authors', '1', '--reason', 'x', '--yes')).toMatchObject({ code: 1 });
    expect(await skip('all', '--reason', 'of a later release', '--yes')).toMatchObject({ code: 0 });
    expect((await client.request(AuthorDocument, { id })).author!.cheepsCount).toBe(1);
    for (const service of system.readSides) await service.ready();
    expect(await run('projections', 'rebuild', 'cheeps')).toMatchObject({ code: 0 });
    expect(await run('projections', 'verify', 'cheeps')).toMatchObject({ code: 0 });
  });

  it('(a key that is of another type) stops one shard, which goes on when that is mended', async () => {
    const { client, id } = await system.author();
    const [live] = (await listed('authors')).generations;
    const key = prefixOf(space, { ...shardOf(AUTHORS, id, space), generation: live!.generation }) + LOG;
    const dumped = await system.redis.dumpBuffer(key);
    await system.redis.set(key, 'no stream');
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: 'behind it' } });
    client.consistencyToken = postCheep.consistencyToken!;
    await eventually(async () => (await listed('authors')).generations[0]!.stopped.length === 1, 'one shard has stopped');
    const [stopped] = (await listed('authors')).generations[0]!.stopped;
    expect(stopped!.reason).toMatch(/WRONGTYPE/);
    await system.redis.del(key);
    if (dumped) await system.redis.restore(key, 0, dumped);
    await eventually(async () => (await client.ask(AuthorDocument, { id })).errors.length === 0, 'it goes on');
  });
});
