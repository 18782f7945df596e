/**
 * Reads that wait: a read gets its data and the position that the data is as of, in one step. If that is not enough, it is
 * read again when the shard is heard to have moved on (or a moment later, in case that was not heard), until the deadline.
 */
import type { Redis } from 'ioredis';
import { readAuthors } from '../read-side/authors/query.js';
import { readCheeps, readCheepVersions } from '../read-side/cheeps/query.js';
import { writeNow, writeTogether } from '../shared/redis.js';
import { shardName, type Shard, type Snapshot, type Space } from '../read-side/shard.js';
import type { Consistency } from './consistency.js';
import type { Context } from './context.js';
import { fault } from './errors.js';
import type { Progress } from './progress.js';
import { RowReads } from './row-reads.js';

/** Between reads when nothing is heard, in milliseconds: doubles up to the last. */
const FIRST_BACKOFF_MS = 50;
const LAST_BACKOFF_MS = 400;

/** What ioredis, and Redis, say when they are not well. The connection's status may be `ready` still, or again. */
const CONNECTION_TROUBLE = /timed out|Connection is closed|isn't writeable|max retries per request|ECONN|EPIPE|LOADING/i;

/** What the error at the deadline says of a value that is not good enough: the end of a sentence, and details for `extensions`. */
export interface Lack {
  text: string;
  details: Record<string, unknown>;
}

/** Of something that must have a version at least. `version` is 0 when it is not there. */
export function lackOfVersion(what: string, version: number, wantedVersion: number): Lack | null {
  if (version >= wantedVersion) return null;
  const found = version === 0 ? `no ${what}` : `version ${version} of ${what}`;

  return { text: `has ${found}, and version ${wantedVersion} was asked for`, details: { version, wantedVersion } };
}

/** Each change has a position of its own, so no version is higher than the journal is long. @throws BAD_USER_INPUT */
export function checkVersion({ services: { progress } }: Context, minVersion: number | null | undefined): void {
  if (minVersion && !progress.isPossible(minVersion))
    throw fault('BAD_USER_INPUT', 'There cannot be such a version yet: fewer changes were made to everything.', { argument: 'minVersion' });
}

export interface ReadOptions<T> {
  /** At least as of this position; the operation's own demand when it is higher. */
  floor?: number;
  /** What the value still lacks, to wait for that too; null when it lacks nothing. */
  lacking?: (value: T) => Lack | null;
  /** False when it is as of another read of the answer, or may be thrown away: then it does not say what the answer is as of. */
  isBase?: boolean;
  /** What to say when `floor` is further than the journal has come: nobody can have been given such a one. */
  fromTheFuture?: () => Error;
}

/** What a read needs to know of how far shards have come. */
type Heard = Pick<Progress, 'known' | 'wait' | 'isFollowed' | 'isStopped' | 'isFuture' | 'lagMs'>;

export class Reads {
  readonly authors = new RowReads(readAuthors);
  readonly cheeps = new RowReads(readCheeps);
  readonly cheepVersions = new RowReads(readCheepVersions);

  constructor(
    readonly redis: Redis,
    private readonly progress: Heard,
    private readonly currentSpace: () => Space | null,
  ) {}

  /** @throws UNAVAILABLE while nobody has told the epoch */
  get space(): Space {
    const space = this.currentSpace();
    if (!space) throw fault('UNAVAILABLE', 'The read side has not been heard of yet.', { http: 503 });

    return space;
  }

  /** What was asked for in this round of the process's loop goes to Redis now. */
  begin(): void {
    writeTogether(this.redis);
    this.authors.begin();
    this.cheeps.begin();
    this.cheepVersions.begin();
    writeNow(this.redis);
  }

  /**
   * @returns what was read, and the position that it is as of
   * @throws NOT_CAUGHT_UP at the deadline, UNAVAILABLE when Redis does not answer
   */
  async read<T>(
    consistency: Consistency,
    shard: Shard,
    run: (redis: Redis, space: Space) => Promise<Snapshot<T>>,
    { floor = 0, lacking = () => null, isBase = floor === 0, fromTheFuture }: ReadOptions<T> = {},
  ): Promise<{ value: T; applied: number }> {
    const { progress } = this;
    const name = shardName(shard);
    /** A cookie may turn out to be from the future, and then it does not count. */
    const wantedNow = () => Math.max(floor, consistency.floor);
    let hasWaited = false;
    let deadline: number | null = null;
    let future: { isCertain: boolean; told: Promise<void> } | null = null;
    const wait = async (position: number, ms: number) => {
      deadline ??= consistency.beginWaiting(performance.now());
      const left = deadline - performance.now();
      hasWaited = true;
      if (left > 0) await Promise.race([progress.wait(name, position, Math.min(ms, left)), ...(future ? [future.told] : [])]);
    };
    const done = ({ applied, value }: Snapshot<T>) => {
      consistency.saw(applied, progress.lagMs(applied), isBase);

      return { value, applied };
    };
    try {
      const heardOf = progress.known(name);
      // It was heard to be behind: likely it will be heard of in a moment, and a read before that would be for nothing.
      if (heardOf >= 0 && heardOf < wantedNow() && !progress.isStopped(name)) await wait(wantedNow(), FIRST_BACKOFF_MS);
      for (let backoff = FIRST_BACKOFF_MS; ; backoff = Math.min(2 * backoff, LAST_BACKOFF_MS)) {
        const known = progress.known(name);
        const wanted = wantedNow();
        const snapshot = await this.ask(run);
        const { applied, target, value } = snapshot;
        // Below its target a shard is being built, and has not even what was there long ago.
        const needed = Math.max(wanted, target);
        const isThere = applied >= 0;
        const isCaughtUp = isThere && applied >= needed;
        const lack = isCaughtUp ? lacking(value) : null;
        if (isCaughtUp && !lack) return done(snapshot);

        deadline ??= consistency.beginWaiting(performance.now());
        const left = consistency.isLeft ? 0 : deadline - performance.now();
        // What cannot come is not waited for.
        const isStopped = applied < needed && progress.isStopped(name);
        if (fromTheFuture && applied < floor) future ??= this.askWhetherFuture(floor);
        // A cookie is mostly of what was committed a moment ago: only what does not come soon is asked about.
        else if (hasWaited && applied < wanted && wanted > floor && consistency.isOfCookie) future ??= this.askWhetherFuture(wanted);
        if (future?.isCertain) {
          if (fromTheFuture && applied < floor) throw fromTheFuture();
          consistency.forgetCookie();
          future = null;
          continue;
        }
        if (left <= 0 || isStopped) {
          // Stale is for what was asked, never for one part of an answer beside another.
          if (consistency.staleOk && isThere && applied >= Math.max(target, floor)) {
            consistency.satisfied = false;
            return done(snapshot);
          }
          if (lack) {
            throw fault('NOT_CAUGHT_UP', `The projection ${name} has applied position ${applied}: it ${lack.text}.`, {
              shard: name,
              applied: String(applied),
              ...lack.details,
            });
          }
          const why = consistency.hasNoPlace ? ' Too many wait already.' : '';
          throw fault('NOT_CAUGHT_UP', notCaughtUp(name, snapshot, wanted, isStopped) + why, {
            shard: name,
            applied: String(applied),
            wanted: String(needed),
            ...(isStopped ? { stopped: true } : {}),
          });
        }
        // What was heard while the read was under way may be the very thing that it missed.
        const awaited = applied >= needed ? applied + 1 : needed;
        const justHeard = progress.known(name) >= awaited && known < awaited;
        if (justHeard) continue;
        const isInVain = () =>
          progress.known(name) < awaited &&
          progress.isFollowed(name) &&
          !progress.isStopped(name) &&
          !future?.isCertain &&
          !consistency.isLeft &&
          performance.now() < deadline!;
        // While it is heard of, and has not come so far, to look would be for nothing. At the deadline it is looked once more.
        do await wait(awaited, backoff);
        while (isInVain());
      }
    } finally {
      if (deadline !== null) consistency.endWaiting(performance.now());
    }
  }

  /** `told` settles when it is certain, and else never. */
  private askWhetherFuture(wanted: number) {
    const certain = Promise.withResolvers<void>();
    const future = { isCertain: false, told: certain.promise };
    void this.progress.isFuture(wanted, this.space.epoch).then((isCertain) => {
      future.isCertain = isCertain;
      if (isCertain) certain.resolve();
    });

    return future;
  }

  private async ask<T>(run: (redis: Redis, space: Space) => Promise<Snapshot<T>>): Promise<Snapshot<T>> {
    const { space } = this;
    writeTogether(this.redis);
    try {
      return await run(this.redis, space);
    } catch (error) {
      if (this.redis.status === 'ready' && !CONNECTION_TROUBLE.test((error as Error).message)) throw error;
      throw fault('UNAVAILABLE', 'The projections do not answer.');
    }
  }
}

function notCaughtUp(shard: string, { applied, target }: Snapshot<unknown>, wanted: number, isStopped: boolean): string {
  if (applied < 0) return `The projection ${shard} is not there yet.`;
  if (isStopped) return `The projection ${shard} has stopped at position ${applied}, until somebody sees to it.`;
  if (applied < target) return `The projection ${shard} is being built: it has applied ${applied} of ${target}.`;

  return `The projection ${shard} has applied position ${applied}, and ${wanted} was asked for.`;
}
