/**
 * Projections that are filled straight from events, without services: for more data than can be sent in through the front door,
 * and for moments in which some shards are ahead of others. Reading is the gateway's own, in this process.
 */
import { randomBytes } from 'node:crypto';
import { graphql, type ExecutionResult } from 'graphql';
import { Redis } from 'ioredis';
import { Consistency } from '../gateway/consistency.js';
import { Context, type Services } from '../gateway/context.js';
import { Progress } from '../gateway/progress.js';
import { Reads } from '../gateway/reads.js';
import { createSchema } from '../gateway/schema.js';
import { createApply, type Apply, type PositionedWrite } from '../read-side/apply.js';
import type { Projection } from '../read-side/projection.js';
import { createProjections } from '../read-side/projections.js';
import { APPLIED, prefixOf, shardName, type Shard, type Space } from '../read-side/shard.js';
import { newId, partOf } from '../shared/ids.js';
import { connectNats, type Nats } from '../shared/jetstream.js';
import { createLog } from '../shared/log.js';
import type { AggregateVersion, Event, JournalEntry } from '../shared/messages/event.js';

const ADDRESS = { network: '127.0.0.1', isLoopback: true };

const SHARDS = 8;
const MAX_IN_A_BATCH = 256;

const shardsOf = ({ id }: Projection): Shard[] => Array.from({ length: SHARDS }, (_, number) => ({ projection: id, number }));

/** A command that went to Redis, and how many round trips had to be over before it could be sent: 1 for none. */
export interface Sent {
  command: string;
  wave: number;
}

/** Calls back before the reads of each wave. */
class WatchedReads extends Reads {
  before: () => Promise<void> = async () => undefined;

  override async read<T>(...[consistency, shard, run, options]: Parameters<typeof Reads.prototype.read<T>>) {
    await this.before();

    return super.read(consistency, shard, run, options);
  }
}

export class Projected {
  readonly space: Space = { namespace: `t${randomBytes(6).toString('hex')}`, epoch: 'e', shards: SHARDS };
  readonly redis = new Redis(process.env.TEST_REDIS_URL!);
  /** What was sent since the last `ask` began. */
  sent: Sent[] = [];
  private readonly reading = new Redis(process.env.TEST_REDIS_URL!);
  private readonly journal: JournalEntry[] = [];
  private readonly versions = new Map<string, number>();
  /** How far the shards of each have come. */
  private readonly applied = new Map<Projection, number>();
  private readonly apply: Apply;
  private readonly schema = createSchema();
  private reads!: WatchedReads;
  private services!: Services;
  private nats!: Nats;
  private waves = 0;

  private constructor(hotFollowers: number) {
    const projections = createProjections({ HOT_FOLLOWERS: hotFollowers });
    for (const projection of projections) this.applied.set(projection, 0);
    this.apply = createApply(this.redis, this.space, projections);
  }

  static async begin(hotFollowers = 1_000): Promise<Projected> {
    const projected = new Projected(hotFollowers);
    const shards = [...projected.applied.keys()].flatMap((projection) => shardsOf(projection));
    await Promise.all(shards.map((shard) => projected.redis.set(prefixOf(projected.space, shard) + APPLIED, 0)));
    projected.nats = await connectNats(process.env.TEST_NATS_URL!, 'test');
    const log = createLog('test', 'silent');
    const progress = new Progress(projected.nats, projected.space.namespace, log);
    projected.reads = new WatchedReads(projected.reading, progress, () => projected.space);
    // Queries need no more than this.
    projected.services = { reads: projected.reads, progress, log } as Partial<Services> as Services;
    projected.watch();

    return projected;
  }

  get position(): number {
    return this.journal.length;
  }

  /** What happens before the reads of a wave are sent: 1 for the first of a query. They wait for it. */
  set beforeWave(happens: (wave: number) => Promise<void>) {
    const happening = new Map<number, Promise<void>>();
    this.reads.before = async () => {
      const wave = this.waves + 1;
      if (!happening.has(wave)) happening.set(wave, happens(wave));
      await happening.get(wave);
    };
  }

  /** These events have happened, and the shards of these projections know of them; the others only once they are told. */
  async happened(events: Event[], ...projections: string[]): Promise<void> {
    for (const event of events) this.journal.push(this.entry(event));
    await this.catchUp(...projections);
  }

  /** Brings the shards of these projections up to date; of all, when none is named. */
  async catchUp(...projections: string[]): Promise<void> {
    const behind = [...this.applied.keys()].filter(({ id }) => projections.length === 0 || projections.includes(id.name));
    await Promise.all(
      behind.map(async (projection) => {
        for (let from = this.applied.get(projection)!; from < this.position; from += MAX_IN_A_BATCH) {
          const entries = this.journal.slice(from, from + MAX_IN_A_BATCH);
          const upTo = from + entries.length;
          const writes = entries.flatMap((entry) =>
            projection
              .writes(entry)
              .map(({ id, write }) => ({ number: id === null ? null : partOf(id, SHARDS), position: entry.position, write })),
          );
          const isIn = (number: number) => (write: { number: number | null }) => write.number === null || write.number === number;
          await Promise.all(shardsOf(projection).map((shard) => this.applyTo(shard, from, upTo, writes.filter(isIn(shard.number)))));
          this.applied.set(projection, upTo);
        }
      }),
    );
  }

  /** One script does a bounded part: until all of it is done. */
  private async applyTo(shard: Shard, from: number, upTo: number, writes: PositionedWrite[]): Promise<void> {
    for (let applied = from; applied < upTo;) {
      const left = writes.filter(({ position }) => position > applied);
      const result = await this.apply(shard, applied, upTo, left);
      if (result.status !== 'applied') throw new Error(`somebody else moved ${shardName(shard)}`);
      applied = result.applied;
    }
  }

  /** Runs a query, as a gateway does. Waits at most `waitMs` for shards that are behind. */
  async ask(source: string, { viewerId = null as string | null, waitMs = 1_000 } = {}): Promise<ExecutionResult> {
    this.sent = [];
    this.waves = 0;
    const consistency = new Consistency(this.space.epoch, 0, false, waitMs);

    const viewer = viewerId === null ? null : { authorId: viewerId, expiresAtMs: Infinity };

    return graphql({ schema: this.schema, source, contextValue: new Context(this.services, ADDRESS, viewer, consistency, 'test', null) });
  }

  async end(): Promise<void> {
    const keys = await this.redis.keys(`${this.space.namespace}:*`);
    if (keys.length > 0) await this.redis.unlink(keys);
    this.redis.disconnect();
    this.reading.disconnect();
    await this.nats?.close();
  }

  /** What is sent after a reply has come may have needed it: so it is counted as a later wave. */
  private watch(): void {
    const send = this.reading.sendCommand.bind(this.reading);
    this.reading.sendCommand = (command, stream) => {
      const wave = this.waves + 1;
      this.sent.push({ command: command.name, wave });
      const replied = () => void (this.waves = Math.max(this.waves, wave));
      command.promise.then(replied, replied);

      return send(command, stream);
    };
  }

  private entry(event: Event): JournalEntry {
    const id = 'cheepId' in event ? event.cheepId : 'authorId' in event ? event.authorId : newId();
    const version = (this.versions.get(id) ?? 0) + 1;
    this.versions.set(id, version);
    const aggregate: AggregateVersion = { type: 'cheepId' in event ? 'Cheep' : 'Author', id, version };

    return {
      position: this.position + 1,
      entryId: newId(),
      schemaVersion: 2,
      aggregate,
      actorId: newId(),
      commandId: newId(),
      commandName: 'Whatever',
      fingerprint: null,
      correlationId: 'test',
      causationId: 'test',
      traceparent: null,
      at: new Date().toISOString(),
      event,
    };
  }
}

/** An author's first event. */
export const signedUp = (authorId: string, username: string): Event => ({
  type: 'AuthorSignedUp',
  authorId,
  username,
  email: `${username}@example.org`,
  name: null,
  biography: null,
  location: null,
  website: null,
  birthDate: null,
});

export const posted = (authorId: string, cheepId: string, inReplyTo: string | null = null): Event => ({
  type: 'CheepPosted',
  authorId,
  cheepId,
  message: 'Hello',
  mentions: [],
  inReplyTo,
  inReplyToAuthorId: null,
  threadId: inReplyTo ?? cheepId,
});

export const deleted = (authorId: string, cheepId: string, inReplyTo: string | null = null): Event => ({
  type: 'CheepDeleted',
  authorId,
  cheepId,
  inReplyTo,
  threadId: inReplyTo ?? cheepId,
});
