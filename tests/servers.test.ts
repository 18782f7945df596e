/**
 * MySQL, NATS and Redis may be killed in mid-load, and NATS and Redis may lose everything that they have: nothing that was
 * answered COMMITTED is lost or done twice, and all of it catches up again.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { AuthorDocument, CommandDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { startStack, temporaryFolder, type Stack } from '../stack/stack.mjs';
import { expectNothingLost, load, type Author } from './load.js';
import { expectPublicStreamIsWhole } from './public-stream.js';
import { eventually, startSystem, type System } from './system.js';

let dataDir: string;
let stack: Stack;
let system: System;
let authors: Author[];
beforeAll(async () => {
  dataDir = await temporaryFolder();
  stack = await startStack({ dataDir });
  system = await startSystem({ servers: stack, writeSides: 2, readSides: 2 });
  authors = await Promise.all(Array.from({ length: 8 }, () => system.author()));
}, 90_000);
afterAll(async () => {
  await system?.stop();
  await stack?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

const allReady = () => Promise.all([...system.writeSides, ...system.readSides, ...system.gateways].map((service) => service.ready(30_000)));

describe('in mid-load', () => {
  it.each(['mysql', 'nats', 'redis'] as const)(
    '%s is killed with -9 and comes back: nothing is lost, and all goes on',
    async (name) => {
      const { sent, committed, stop } = load(system, authors);
      await eventually(() => committed() > 50, 'the load runs');
      await stack.kill(name);
      await stack.restart(name);
      const then = committed();
      await eventually(() => committed() > then + 50, `the load goes on (${committed()} after ${then})`, 30_000);
      await stop();
      await allReady();
      await expectNothingLost(system, authors, sent);
      await expectPublicStreamIsWhole(system);
    },
    90_000,
  );

  it.each(['nats', 'redis'] as const)(
    '%s loses all that it has: it is filled again from the journal',
    async (name) => {
      const { sent, committed, stop } = load(system, authors);
      await eventually(() => committed() > 50, 'the load runs');
      await stack.wipe(name);
      await stack.restart(name);
      const then = committed();
      await eventually(() => committed() > then + 50, 'the load goes on', 30_000);
      await stop();
      await allReady();
      // What was only accepted may have been in NATS alone.
      await expectNothingLost(system, authors, name === 'nats' ? sent.filter(({ status }) => status === 'COMMITTED') : sent);
      await expectPublicStreamIsWhole(system);
    },
    90_000,
  );
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
    await eventually(
      async () => (await client.request(AuthorDocument, { id })).author!.cheepsCount === before + 1,
      'the cheep is there',
      20_000,
    );
  }, 60_000);

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
      20_000,
    );
  }, 60_000);

  it('(Redis) mutations go on, and reads fail clearly', async () => {
    const { client, id } = authors[2]!;
    await stack.kill('redis');
    const { postCheep } = await client.request(PostCheepReceiptDocument, { input: { message: 'nobody reads' } });
    expect(postCheep.status).toBe('COMMITTED');
    expect((await client.ask(AuthorDocument, { id })).errors[0]?.extensions?.code).toBe('UNAVAILABLE');
    await stack.restart('redis');
    await eventually(
      async () => (await client.ask(AuthorDocument, { id })).data?.author,
      'reads go on, with the token of that cheep',
      20_000,
    );
  }, 60_000);

  it('(Redis) what it has lost is built again, although nothing happens', async () => {
    const { client, id } = authors[3]!;
    const before = (await client.request(AuthorDocument, { id })).author;
    const keys = await system.redis.keys(`${system.namespace}:*`);
    await system.redis.unlink(keys);
    const after = await eventually(async () => (await client.ask(AuthorDocument, { id })).data?.author, 'it is there again', 20_000);
    expect(after).toEqual(before);
  }, 60_000);
});
