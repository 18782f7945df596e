/** For tests of faults: what must be true of the public stream when all has calmed down. */
import { expect } from '@jest/globals';
import { connectNats } from '../shared/jetstream.js';
import { natsNames } from '../shared/names.js';
import { publicEvents, type CloudEvent } from '../write-side/public-events/public-events.js';
import { eventually, type System } from './system.js';

/** It has every event of the journal that the outside may know, each once, in order. The load must be over. */
export async function expectPublicStreamIsWhole(system: Pick<System, 'sql' | 'env' | 'namespace'>): Promise<void> {
  const journal = await system.sql<{ entryId: string; type: keyof typeof publicEvents; epoch: string }>(
    'SELECT entry_id AS entryId, type, (SELECT epoch FROM journal_head) AS epoch FROM journal ORDER BY position',
  );
  const wanted = journal.filter(({ type }) => 'name' in publicEvents[type]).map(({ entryId }) => entryId);
  const nats = await connectNats(system.env.NATS_URL, 'test');
  try {
    const stream = natsNames(system.namespace).publicEvents(journal[0]!.epoch);
    const { state } = await eventually(
      async () => {
        const info = await nats.jsm.streams.info(stream).catch(() => null);
        return info && info.state.messages >= wanted.length ? info : null;
      },
      `the public stream has ${wanted.length} events`,
      20_000,
    );
    const consumer = await nats.js.consumers.get(stream);
    const published: string[] = [];
    for await (const message of await consumer.fetch({ max_messages: state.messages, expires: 10_000 })) {
      published.push(message.json<CloudEvent>().id);
    }
    expect(published).toEqual(wanted);
  } finally {
    await nats.close();
  }
}
