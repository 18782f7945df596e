/** A command that always fails is set aside with its cause, and disturbs nobody; a service that is told to stop leaves in order. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CommandDocument, PostCheepReceiptDocument } from '../client/operations.js';
import { headers } from '@nats-io/transport-node';
import { newId, partOf } from '../shared/ids.js';
import { connectNats } from '../shared/jetstream.js';
import { HEADERS, natsNames } from '../shared/names.js';
import { expectNothingLost, load, type Author } from './load.js';
import { eventually, startSystem, type System } from './system.js';

let system: System;
let authors: Author[];
beforeAll(async () => {
  system = await startSystem({ writeSides: 2, readSides: 2, gateways: 2 });
  authors = await Promise.all(Array.from({ length: 16 }, () => system.author()));
});
afterAll(() => system?.stop());

describe('a command that the database will never take', () => {
  it('is parked with its cause after bounded tries, while those beside and behind it are committed', async () => {
    await system.sql("ALTER TABLE cheeps ADD CONSTRAINT no_poison CHECK (message <> 'poison')");
    const [poisoner] = authors as [Author, ...Author[]];
    const start = performance.now();
    const poisonId = newId();
    const send = ({ client }: Author, message: string, commandId = newId()) =>
      client.request(PostCheepReceiptDocument, { input: { message, commandId } }).then(({ postCheep }) => postCheep);
    const [poisoned, ...others] = await Promise.all([
      send(poisoner, 'poison', poisonId),
      ...authors.flatMap((author) => Array.from({ length: 8 }, (_, i) => send(author, `harmless ${i}`))),
    ]);
    // It is not known to have failed for good: an operator may run it yet. And nobody waited for the deadline.
    expect(poisoned).toMatchObject({ status: 'ACCEPTED', userErrors: [] });
    expect(performance.now() - start).toBeLessThan(12_000);
    expect(others.filter(({ status }) => status !== 'COMMITTED')).toEqual([]);
    const rows = await system.sql<{ reason: string; body: Buffer; attempts: number; subject: Buffer }>(
      'SELECT reason, body, attempts, subject FROM parked',
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ attempts: 5 });
    expect(rows[0]!.reason).toContain('no_poison');
    expect(JSON.parse(rows[0]!.body.toString())).toMatchObject({ commandId: poisonId, payload: { message: 'poison' } });
    const [count] = await system.sql<{ n: number }>(`SELECT COUNT(*) AS n FROM journal WHERE type = 'CheepPosted'`);
    expect(Number(count!.n)).toBe(others.length);
    expect((await poisoner.client.request(CommandDocument, { id: poisonId })).command).toBeNull();
  });
});

describe('a message that no gateway would send', () => {
  it('(an answer asked to nowhere, or too large) disturbs nobody', async () => {
    const nats = await connectNats(system.env.NATS_URL, 'test');
    const names = natsNames(system.namespace);
    const [author] = authors as [Author, ...Author[]];
    const lane = partOf(author.id, 16);
    const h = headers();
    h.set(HEADERS.replyTo, 'a b');
    await nats.js.publish(names.command(lane, 'PostCheep'), 'not json', { headers: h });
    await expect(nats.js.publish(names.command(lane, 'PostCheep'), 'x'.repeat(100_000))).rejects.toThrow(/size/);
    const { postCheep } = await author.client.request(PostCheepReceiptDocument, { input: { message: 'right behind it' } });
    expect(postCheep.status).toBe('COMMITTED');
    expect(await system.sql("SELECT 1 FROM parked WHERE body = 'not json'")).toHaveLength(1);
    await nats.close();
  });
});

describe.each(['writeSides', 'readSides', 'gateways'] as const)('one of the %s that is told to stop in mid-load', (which) => {
  it('leaves in order, with exit code 0, and nothing is lost', async () => {
    const victim = system[which][0]!;
    const { sent, committed, stop } = load(system, authors);
    await eventually(() => committed() > 50, 'the load runs');
    expect(await victim.stop('SIGTERM')).toBe(0);
    const then = committed();
    await eventually(() => committed() > then + 50, 'the load goes on without it');
    victim.start();
    await victim.ready();
    await stop();
    await expectNothingLost(system, authors, sent);
  });
});
