/** Publishing in order, when others publish to the same stream. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { headers } from '@nats-io/transport-node';
import { randomBytes } from 'node:crypto';
import { connectNats, type Nats } from '../shared/jetstream.js';
import { HEADERS } from '../shared/names.js';
import { publishInOrder, type Publishable } from './publish-in-order.js';

let nats: Nats;
let stream: string;
beforeAll(async () => {
  nats = await connectNats(process.env.TEST_NATS_URL!, 'test');
});
afterAll(() => nats?.close());
beforeEach(async () => {
  stream = `t${randomBytes(6).toString('hex')}`;
  await nats.jsm.streams.add({ name: stream, subjects: [`${stream}.>`] });
});
afterEach(() => nats.jsm.streams.delete(stream));

const message = (name: string): Publishable => {
  const h = headers();
  h.set(HEADERS.entryId, name);

  return { subject: `${stream}.x`, body: name, headers: h };
};
const messages = (...names: string[]) => names.map(message);
const byHand = (body: string) => nats.js.publish(`${stream}.x`, body);

/** What is stored, by sequence. */
async function stored(): Promise<[number, string][]> {
  const { state } = await nats.jsm.streams.info(stream);
  const all: [number, string][] = [];
  for (let seq = 1; seq <= state.last_seq; seq++) {
    const found = await nats.jsm.streams.getMessage(stream, { seq }).catch(() => null);
    if (found) all.push([seq, found.string()]);
  }

  return all;
}

describe('messages that follow each other', () => {
  it('are stored in their order', async () => {
    await publishInOrder(nats, stream, 0, messages('a', 'b', 'c'));
    await publishInOrder(nats, stream, 3, messages('d'));
    expect((await stored()).map(([, body]) => body)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('are not stored at all by one who does not know where the stream stands', async () => {
    await publishInOrder(nats, stream, 0, messages('a', 'b'));
    for (const wrong of [1, 3]) await expect(publishInOrder(nats, stream, wrong, messages('c'))).rejects.toThrow(/wrong last sequence/);
    expect((await stored()).map(([, body]) => body)).toEqual(['a', 'b']);
  });

  it('leave nothing behind a hole: when another message has the place of one, those that came through after it are taken out', async () => {
    await byHand('stray');
    await expect(publishInOrder(nats, stream, 0, messages('a', 'b', 'c'))).rejects.toThrow(/wrong last sequence/);
    expect(await stored()).toEqual([[1, 'stray']]);
  });

  it('may be there already: published by somebody else, or by a try whose acknowledgement was lost', async () => {
    await publishInOrder(nats, stream, 0, messages('a', 'b'));
    await publishInOrder(nats, stream, 0, messages('a', 'b', 'c', 'd'));
    await publishInOrder(nats, stream, 1, messages('b'));
    expect((await stored()).map(([, body]) => body)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('are each there once, in order, when two publish the same at the same time', async () => {
    const names = Array.from({ length: 200 }, (_, i) => `m${i}`);
    const publishAll = async (size: number) => {
      for (let i = 0; i < names.length; i += size) await publishInOrder(nats, stream, i, messages(...names.slice(i, i + size)));
    };
    await Promise.all([publishAll(7), publishAll(16), publishAll(200)]);
    expect((await stored()).map(([, body]) => body)).toEqual(names);
  });
});
