/**
 * Commands that subscriptions wait for. Shards move all the time, and each time any command may have been settled; so all that is awaited in
 * a shard is looked for together, one look after another, however many wait.
 */
import { commandShard, readCommands, type CommandRow } from '../../read-side/commands/query.js';
import { shardName, type Shard } from '../../read-side/shard.js';
import type { Logger } from '../../shared/log.js';
import type { Progress } from '../progress.js';
import type { Reads } from '../reads.js';

/** Commands that are looked for in one read. */
const MAX_IN_A_READ = 500;

interface Awaited {
  senderId: string;
  commandId: string;
  settled(row: CommandRow): void;
}

export class AwaitedCommands {
  private readonly ofShards = new Map<number, AwaitedInShard>();

  constructor(
    private readonly reads: Reads,
    private readonly progress: Progress,
    private readonly log: Logger,
  ) {}

  /**
   * @param settled is called once, when the command is found; not for what was settled before, if nothing happens any more
   * @returns what to call when nobody waits for it any more
   */
  wait(awaited: Awaited): () => void {
    const { reads, progress, log } = this;
    const shard = commandShard(awaited.senderId, reads.space);
    const known = this.ofShards.get(shard.number);
    const ofShard = known ?? new AwaitedInShard(shard, reads, log);
    if (!known) {
      this.ofShards.set(shard.number, ofShard);
      ofShard.stopListening = progress.listen(shard, () => void ofShard.look());
    }
    ofShard.awaited.add(awaited);

    return () => {
      ofShard.awaited.delete(awaited);
      if (ofShard.awaited.size > 0 || this.ofShards.get(shard.number) !== ofShard) return;
      ofShard.stopListening();
      this.ofShards.delete(shard.number);
    };
  }
}

class AwaitedInShard {
  readonly awaited = new Set<Awaited>();
  private isLooking = false;
  private hasMoved = false;
  stopListening = () => undefined as void;

  constructor(
    private readonly shard: Shard,
    private readonly reads: Reads,
    private readonly log: Logger,
  ) {}

  async look(): Promise<void> {
    this.hasMoved = true;
    if (this.isLooking) return;
    this.isLooking = true;
    try {
      while (this.hasMoved) {
        this.hasMoved = false;
        const all = [...this.awaited];
        for (let from = 0; from < all.length; from += MAX_IN_A_READ) await this.lookFor(all.slice(from, from + MAX_IN_A_READ));
      }
    } catch (error) {
      // Progress is told again every second, and with it this is.
      this.log.warn({ err: error, shard: shardName(this.shard) }, 'could not look what came of commands');
    } finally {
      this.isLooking = false;
    }
  }

  private async lookFor(some: Awaited[]): Promise<void> {
    const { redis, space } = this.reads;
    // Of the generation that is read now.
    const shard = commandShard(some[0]!.senderId, space);
    const { value } = await readCommands(redis, space, shard, some);
    for (const [i, row] of value.entries()) if (row && this.awaited.delete(some[i]!)) some[i]!.settled(row);
  }
}
