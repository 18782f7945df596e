import { describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Rows, RowsRequest } from '../read-side/rows.js';
import type { Shard, Snapshot, Space } from '../read-side/shard.js';
import { RowReads } from './row-reads.js';

interface Row {
  id: string;
  counts: string[];
}

/** What was read, in the order in which it was; a row is there for every id, and the flag is set where the ids agree in their last character. */
function reading(fails = false) {
  const read: { shard: number; epoch: string; counts: string[]; ids: string[]; viewers: [string, string[]][] }[] = [];
  const rows = new RowReads<Row, 'a' | 'b'>(
    async (_, { epoch }, { number }, request: RowsRequest<'a' | 'b'>): Promise<Snapshot<Rows<Row>>> => {
      const [ids, counts] = [[...request.ids], [...(request.counts ?? [])]];
      const viewers = [...(request.viewers ?? [])].map(([viewerId, of]): [string, string[]] => [viewerId, [...of]]);
      read.push({ shard: number, epoch, counts, ids, viewers });
      if (fails) throw new Error('Redis is away');
      const asked = new Map(viewers);
      const isFlagged = (viewerId: string, id: string) => (asked.get(viewerId) ?? []).includes(id) && viewerId.at(-1) === id.at(-1);

      return { applied: read.length, target: 0, value: { rows: new Map(ids.map((id) => [id, { id, counts }])), isFlagged } };
    },
  );
  // It is handed on, and never asked.
  const redis = new Redis({ lazyConnect: true });
  const ask = (
    ids: string[],
    { viewerId = null as string | null, counts = ['a'] as ('a' | 'b')[], number = 0, epoch = 'one' } = {},
  ): Promise<Snapshot<Rows<Row>>> => {
    const space: Space = { namespace: 'test', epoch, shards: 2 };
    const shard: Shard = { projection: { name: 'rows', version: 1 }, number };

    return rows.read(redis, space, shard, { ids, counts: new Set(counts), viewerId });
  };

  return { read, ask, begin: () => rows.begin() };
}

describe('rows that several ask for at the same moment', () => {
  it('are read once, and each is told its own flags', async () => {
    const { read, ask } = reading();
    const [first, second, nobody] = await Promise.all([
      ask(['x1', 'x2'], { viewerId: 'v1' }),
      ask(['x2', 'x3'], { viewerId: 'v2' }),
      ask(['x1']),
    ]);
    expect(read).toEqual([
      {
        ...{ shard: 0, epoch: 'one', counts: ['a'], ids: ['x1', 'x2', 'x3'] },
        viewers: [
          ['v1', ['x1', 'x2']],
          ['v2', ['x2', 'x3']],
        ],
      },
    ]);
    expect([first.value.isFlagged('v1', 'x1'), first.value.isFlagged('v1', 'x2')]).toEqual([true, false]);
    expect([second.value.isFlagged('v2', 'x2'), second.value.isFlagged('v2', 'x3')]).toEqual([true, false]);
    expect(nobody.value.rows.get('x1')).toEqual({ id: 'x1', counts: ['a'] });
  });

  it('of one viewer twice, are one look for the flags', async () => {
    const { read, ask } = reading();
    await Promise.all([ask(['x1'], { viewerId: 'v1' }), ask(['x2', 'x1'], { viewerId: 'v1' })]);
    expect(read.map(({ viewers }) => viewers)).toEqual([[['v1', ['x1', 'x2']]]]);
  });

  it('but in another shard, of another epoch, or with other counts, are read apart', async () => {
    const { read, ask } = reading();
    await Promise.all([ask(['x1']), ask(['x1'], { number: 1 }), ask(['x1'], { epoch: 'two' }), ask(['x1'], { counts: ['a', 'b'] })]);
    expect(read.map(({ shard, epoch, counts }) => [shard, epoch, counts])).toEqual([
      [0, 'one', ['a']],
      [1, 'one', ['a']],
      [0, 'two', ['a']],
      [0, 'one', ['a', 'b']],
    ]);
  });

  it('are 500 at the most: who comes then is the first of the next read', async () => {
    const { read, ask } = reading();
    const ids = (from: number, count: number) => Array.from({ length: count }, (_, i) => `x${from + i}`);
    await Promise.all([ask(ids(0, 300)), ask(ids(300, 200)), ask(ids(500, 1)), ask(ids(501, 1))]);
    expect(read.map(({ ids }) => ids.length)).toEqual([500, 2]);
  });

  it('are not those of a read that has begun: that may be as of before it was asked for', async () => {
    const { read, ask } = reading();
    const first = ask(['x1']);
    await first;
    const second = await ask(['x1']);
    expect(read).toHaveLength(2);
    expect(second.applied).toBe(2);
  });

  it('are read before the round of the loop is over when that is asked for, and then not once more', async () => {
    const { read, ask, begin } = reading();
    const all = [ask(['x1']), ask(['x2'])];
    begin();
    expect(read.map(({ ids }) => ids)).toEqual([['x1', 'x2']]);
    all.push(ask(['x3']));
    await Promise.all(all);
    expect(read.map(({ ids }) => ids)).toEqual([['x1', 'x2'], ['x3']]);
  });

  it('are told to nobody when the read fails, and those who ask again read again', async () => {
    const { read, ask } = reading(true);
    const all = await Promise.allSettled([ask(['x1']), ask(['x2'])]);
    expect(all.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(ask(['x1'])).rejects.toThrow('Redis is away');
    expect(read).toHaveLength(2);
  });
});
