/**
 * Rows are read for all operations together: what several ask of a shard at the same moment is one read. A row that many show is read
 * once for all of them, and the busier a gateway is, the fewer reads an operation takes.
 */
import type { Redis } from 'ioredis';
import type { Rows, RowsRequest } from '../read-side/rows.js';
import { writeNow, writeTogether } from '../shared/redis.js';
import { shardName, type Shard, type Snapshot, type Space } from '../read-side/shard.js';

/** Read for several operations together, at the most: Redis does nothing else meanwhile. What one asks for is not cut. */
const MAX_ROWS = 500;

export type ReadRows<Row, Count extends string> = (
  redis: Redis,
  space: Space,
  shard: Shard,
  request: RowsRequest<Count>,
) => Promise<Snapshot<Rows<Row>>>;

interface FormingRead<Row> {
  ids: Set<string>;
  viewers: Map<string, Set<string>>;
  rows: Promise<Snapshot<Rows<Row>>>;
  /** Once. */
  begin: () => void;
}

export class RowReads<Row, Count extends string> {
  /**
   * Of this round of the loop; the next has a map of its own. One that lives for long, and grows and shrinks all the time, keeps what was in
   * it from being collected while it is young: V8 links each of its tables to the next.
   */
  private forming: Map<string, FormingRead<Row>> | null = null;

  constructor(private readonly readRows: ReadRows<Row, Count>) {}

  /**
   * Reads with all who ask for the same of rows in this round of the process's loop. It begins after the call, so it is as new as a read
   * of one's own.
   * @param viewerId whose flags are asked; null for none
   * @returns what all of them asked for together; it rejects for all, as a read of rows does
   */
  read(
    redis: Redis,
    space: Space,
    shard: Shard,
    { ids, counts, viewerId }: { ids: readonly string[]; counts: ReadonlySet<Count>; viewerId: string | null },
  ): Promise<Snapshot<Rows<Row>>> {
    const name = `${space.epoch} ${shardName(shard)} ${[...counts].join()}`;
    const all = (this.forming ??= this.newRound(redis));
    let forming = all.get(name);
    // One that is full is begun without waiting for the round.
    if (forming && forming.ids.size + ids.length > MAX_ROWS) {
      forming.begin();
      forming = undefined;
    }
    if (!forming) {
      forming = formingRead((asked) => this.readRows(redis, space, shard, { ...asked, counts }));
      all.set(name, forming);
    }
    for (const id of ids) forming.ids.add(id);
    if (viewerId !== null) {
      const flags = forming.viewers.get(viewerId);
      if (flags) for (const id of ids) flags.add(id);
      else forming.viewers.set(viewerId, new Set(ids));
    }

    return forming.rows;
  }

  /** What was asked for in this round is read now. */
  begin(): void {
    const { forming } = this;
    this.forming = null;
    if (forming) for (const { begin } of forming.values()) begin();
  }

  private newRound(redis: Redis): Map<string, FormingRead<Row>> {
    const round = new Map<string, FormingRead<Row>>();
    setImmediate(() => {
      if (this.forming !== round) return;
      writeTogether(redis);
      this.begin();
      writeNow(redis);
    });

    return round;
  }
}

function formingRead<Row>(run: (asked: Pick<FormingRead<Row>, 'ids' | 'viewers'>) => Promise<Snapshot<Rows<Row>>>): FormingRead<Row> {
  const asked = { ids: new Set<string>(), viewers: new Map<string, Set<string>>() };
  const { promise, resolve } = Promise.withResolvers<Snapshot<Rows<Row>>>();

  return { ...asked, rows: promise, begin: () => resolve((async () => run(asked))()) };
}
