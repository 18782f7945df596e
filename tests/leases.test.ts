/**
 * A process that stands still holds up what it has for no longer than its lease. (That nothing is lost, whatever else happens to
 * it, is `tests/faults`.)
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CheepDocument } from '../client/operations.js';
import { expectNothingLost, load, type Author } from './load.js';
import { eventually, startSystem, type System } from './system.js';

const AUTHORS = 16;
/** MySQL closes a silent connection after 10 s, and lanes are looked for twice a second. */
const WRITE_LEASE_MS = 10_000 + 1_000;
/** Redis forgets a lease after 5 s, and shards are looked for once a second. */
const READ_LEASE_MS = 5_000 + 2_000;
/** For a machine on which others work too: nothing but a lease that never ends takes this long. */
const SLACK_MS = 40_000;

let system: System;
let authors: Author[];
beforeAll(async () => {
  system = await startSystem({ gateways: 2, writeSides: 2, readSides: 2 });
  authors = await Promise.all(Array.from({ length: AUTHORS }, () => system.author()));
});
afterAll(() => system?.stop());

describe('a process that is stopped for longer than its lease', () => {
  it('(write side) holds its lanes for no longer than that, and does nothing twice when it goes on', async () => {
    const [victim] = system.writeSides;
    const { sent, committed, stop } = load(system, authors);
    await eventually(() => committed() > 100, 'the load runs');
    const stoppedAt = performance.now();
    victim!.signal('SIGSTOP');
    // Each author's lane is somebody else's, at the latest when the lease is over.
    const waiting = new Set(authors.map((_, author) => author));
    const seen = sent.length;
    await eventually(
      () => {
        for (const { author, status } of sent.slice(seen)) if (status === 'COMMITTED') waiting.delete(author);
        return waiting.size === 0;
      },
      () => `commands of all authors are committed again (still not: ${[...waiting].join()})`,
      WRITE_LEASE_MS + SLACK_MS,
    );
    expect(performance.now() - stoppedAt).toBeLessThan(WRITE_LEASE_MS + SLACK_MS);
    victim!.signal('SIGCONT');
    const then = committed();
    await eventually(() => committed() > then + 100, 'the load goes on');
    await victim!.ready();
    await stop();
    await expectNothingLost(system, authors, sent);
  });

  it('(read side) holds its shards for no longer than that, and changes nothing when it goes on', async () => {
    const [victim] = system.readSides;
    const { sent, committed, stop } = load(system, authors);
    await eventually(() => committed() > 100, 'the load runs');
    victim!.signal('SIGSTOP');
    const before = sent.findLast((s) => s.token)!;
    const reader = system.client({ consistencyToken: before.token });
    const ids = sent.slice(-40).map(({ cheepId }) => cheepId);
    const stoppedAt = performance.now();
    for (const id of ids) {
      await eventually(
        async () => (await reader.ask(CheepDocument, { id })).data?.cheep,
        'a shard of every cheep has gone on',
        READ_LEASE_MS + SLACK_MS,
      );
    }
    expect(performance.now() - stoppedAt).toBeLessThan(READ_LEASE_MS + SLACK_MS);
    victim!.signal('SIGCONT');
    await victim!.ready();
    await stop();
    await expectNothingLost(system, authors, sent);
  });
});
