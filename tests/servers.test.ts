/** While a server is away, what needs it says so or waits, and all else goes on. (That nothing is lost is `tests/faults`.) */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { AuthorDocument, CommandDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { connectNats, streamInfo, type Nats } from '../shared/jetstream.js';
import { natsNames } from '../shared/names.js';
import { startStack, temporaryFolder, type Stack } from '../stack/stack.mjs';
import type { Author } from './load.js';
import { eventually, startSystem, type System } from './system.js';

let dataDir: string;
let stack: Stack;
let system: System;
let authors: Author[];
beforeAll(async () => {
  dataDir = await temporaryFolder();
  stack = await startStack({ dataDir });
  system = await startSystem({ servers: stack, env: { COMMIT_DEADLINE_MS: '5000' } });
  authors = await Promise.all(Array.from({ length: 8 }, () => system.author()));
});
afterAll(async () => {
  await system?.stop();
  await stack?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

describe('while a server is away', () => {
  it('(MySQL) commands are accepted and wait, reads go on, and all of it catches up', async () => {
    const { client, id } = authors[0]!;
    const commandId = newId();
    const first = await client.request(PostCheepReceiptDocument, { input: { message: 'one', commandId } });
    // The read side has it once the relay has published it; until then only MySQL knows.
    await eventually(async () => (await client.request(CommandDocument, { id: commandId })).command, 'the read side knows of it');
    await stack.kill('mysql');
    // What was settled before is known all the same, and so is that it was something else.
    const again = await client.request(PostCheepReceiptDocument, { input: { message: 'one', commandId } });
    expect(again.postCheep).toEqual(first.postCheep);
    const other = await client.request(PostCheepReceiptDocument, { input: { message: 'another', commandId } });
    expect(other.postCheep).toMatchObject({ status: 'REJECTED', userErrors: [{ code: 'COMMAND_ID_REUSED' }] });
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: 'patience' } });
    expect(postCheep).toMatchObject({ status: 'ACCEPTED', userErrors: [] });
    const before = (await client.request(AuthorDocument, { id })).author!.cheepsCount;
    await stack.restart('mysql');
    await eventually(async () => (await client.request(AuthorDocument, { id })).author!.cheepsCount === before + 1, 'the cheep is there');
  });

  it('(NATS) reads go on, and mutations fail clearly', async () => {
    const { client, id } = authors[1]!;
    client.consistencyToken = null;
    await stack.kill('nats');
    await eventually(
      async () =>
        (await client.ask(PostCheepReceiptDocument, { input: { message: 'nobody hears' } })).errors[0]?.extensions?.code === 'UNAVAILABLE',
      'mutations are UNAVAILABLE',
    );
    expect((await client.ask(AuthorDocument, { id })).errors).toEqual([]);
    await stack.restart('nats');
    await eventually(
      async () =>
        (await client.ask(PostCheepReceiptDocument, { input: { message: 'somebody does' } })).data?.postCheep.status === 'COMMITTED',
      'mutations are committed again',
    );
  });

  it('(Redis) mutations go on, and reads fail clearly', async () => {
    const { client, id } = authors[2]!;
    await stack.kill('redis');
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: 'nobody reads' } });
    expect(postCheep.status).toBe('COMMITTED');
    expect((await client.ask(AuthorDocument, { id })).errors[0]?.extensions?.code).toBe('UNAVAILABLE');
    await stack.restart('redis');
    await eventually(async () => (await client.ask(AuthorDocument, { id })).data?.author, 'reads go on, with the token of that cheep');
  });

  it('(Redis) what it has lost is built again, although nothing happens', async () => {
    const { client, id } = authors[3]!;
    const before = (await client.request(AuthorDocument, { id })).author;
    const keys = await system.redis.keys(`${system.namespace}:*`);
    await system.redis.unlink(keys);
    const after = await eventually(async () => (await client.ask(AuthorDocument, { id })).data?.author, 'it is there again');
    expect(after).toEqual(before);
    const [head] = await system.sql<{ epoch: string }>('SELECT epoch FROM journal_head');
    const told = ['epoch', `${head!.epoch}:shards`, `${head!.epoch}:hot-followers`].map((key) => `${system.namespace}:${key}`);
    expect(keys).toEqual(expect.arrayContaining(told));
    await eventually(async () => (await system.redis.exists(told)) === told.length, 'those who only know Redis are told what is there');
  });

  it.each([
    ['the stream is deleted', (nats: Nats, stream: string) => nats.jsm.streams.delete(stream)],
    ['it comes back at once, and is empty', () => stack.wipe('nats').then(() => stack.restart('nats'))],
  ])('(NATS) what it has lost is filled in again, although nothing happens: %s', async (_, lose) => {
    const nats = await connectNats(system.env.NATS_URL, 'test');
    try {
      const [head] = await system.sql<{ epoch: string; position: number }>('SELECT epoch, position FROM journal_head');
      const stream = natsNames(system.namespace).events(head!.epoch);
      const length = async () => (await streamInfo(nats.jsm, stream).catch(() => null))?.state.last_seq;
      const whole = await length();
      expect(whole).toBe(Number(head!.position));
      await lose(nats, stream);
      await eventually(async () => (await length()) !== whole, 'it is lost');
      await eventually(async () => (await length()) === whole, 'it is whole again');
    } finally {
      await nats.close();
    }
    const { client, id } = authors[4]!;
    await client.request(PostCheepReceiptDocument, { input: { message: 'and on it goes' } });
    expect((await client.request(AuthorDocument, { id })).author!.cheepsCount).toBeGreaterThan(0);
  });
});
