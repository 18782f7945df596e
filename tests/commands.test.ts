/** What came of a command, told to its sender, live: also when the answer was ACCEPTED and it was refused later. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { FollowAuthorReceiptDocument, PostCheepReceiptDocument, SettledCommandDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import { startSystem, type System } from './system.js';

let system: System;
beforeAll(async () => {
  system = await startSystem({ gateways: 2 });
});
afterAll(() => system?.stop());

describe('subscription command(id)', () => {
  it('tells a refusal that came after an ACCEPTED answer, with its code, on another gateway, and ends', async () => {
    const alice = await system.author();
    const elsewhere = system.client({ url: system.urlOf(system.gateways[1]!), accessToken: alice.client.accessToken });
    const commandId = newId();
    // While the write side stands still, the subscription is there before the outcome.
    system.writeSides[0]!.signal('SIGSTOP');
    const frames = elsewhere.subscribe(SettledCommandDocument, { id: commandId });
    const first = frames.next();
    const { followAuthor } = await alice.client.request(FollowAuthorReceiptDocument, {
      input: { authorId: newId(), commandId, waitFor: 'ACCEPTED' },
    });
    expect(followAuthor).toMatchObject({ status: 'ACCEPTED', userErrors: [] });
    system.writeSides[0]!.signal('SIGCONT');

    expect((await first).value?.command).toMatchObject({
      id: commandId,
      name: 'FollowAuthor',
      status: 'REJECTED',
      userErrors: [{ code: 'AUTHOR_NOT_FOUND', field: ['authorId'] }],
    });
    expect(await frames.next()).toEqual({ value: undefined, done: true });
  });

  it('tells at once what is settled already', async () => {
    const alice = await system.author();
    const commandId = newId();
    await alice.client.request(PostCheepReceiptDocument, { input: { message: 'Hello', commandId } });
    const frames = alice.client.subscribe(SettledCommandDocument, { id: commandId.toUpperCase() });
    expect((await frames.next()).value?.command).toMatchObject({ id: commandId, name: 'PostCheep', status: 'COMMITTED' });
    expect((await frames.next()).done).toBe(true);
  });

  it('is for the sender alone: under the same id, each is told of its own', async () => {
    const [alice, bob] = [await system.author(), await system.author()];
    const commandId = newId();
    const frames = bob.client.subscribe(SettledCommandDocument, { id: commandId });
    const first = frames.next();
    await alice.client.request(PostCheepReceiptDocument, { input: { message: 'Hello', commandId } });
    await bob.client.request(FollowAuthorReceiptDocument, { input: { authorId: alice.id, commandId } });
    expect((await first).value?.command).toMatchObject({ name: 'FollowAuthor', status: 'COMMITTED' });
  });

  it('is refused to nobody, and for what is no id', async () => {
    const alice = await system.author();
    await expect(system.client().subscribe(SettledCommandDocument, { id: newId() }).next()).rejects.toMatchObject({
      errors: [{ extensions: { code: 'UNAUTHENTICATED' } }],
    });
    await expect(alice.client.subscribe(SettledCommandDocument, { id: 'x' }).next()).rejects.toMatchObject({
      errors: [{ extensions: { code: 'BAD_USER_INPUT' } }],
    });
  });
});
