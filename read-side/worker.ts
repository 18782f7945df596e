/**
 * A read-side process: it shares the shards evenly with the others, by leases in Redis, and keeps its own up to date.
 *
 * A lease only spares two processes the same work; correctness is in `applied`, which every write compares. All shards that
 * are up to date share one pump; those that have just been taken, or must build themselves from the beginning, get one of
 * their own until they have caught up.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { ConfigError } from '../shared/config.js';
import { crashPoint } from '../shared/crash-point.js';
import { pause } from '../shared/follow.js';
import { askJournalHead, type JournalHead } from '../shared/journal-requests.js';
import type { Nats } from '../shared/jetstream.js';
import type { Logger } from '../shared/log.js';
import { natsNames } from '../shared/names.js';
import { failOnConfigError } from '../shared/service.js';
import { createApply, type Apply } from './apply.js';
import { generationsOf, keptGenerations, liveGenerations, readControl, shardsOf, type Control } from './control.js';
import { loggedAfter } from './changes.js';
import { HELD, type ProgressMessage } from './progress.js';
import type { Projection } from './projection.js';
import { Pump, type PumpedShard } from './pump.js';
import {
  APPLIED,
  epochKey,
  hotFollowersKey,
  LOGGED_AFTER,
  MAX_LOGGED_BEFORE_TARGET,
  newestKey,
  prefixOf,
  projectionName,
  shardName,
  shardsKey,
  TARGET,
  type Shard,
  type Space,
} from './shard.js';

export interface WorkerOptions {
  redis: Redis;
  /** Another connection, for what must not wait behind what is applied: leases. */
  leases: Redis;
  nats: Nats;
  namespace: string;
  shards: number;
  projections: Projection[];
  /** What they were made with: told to those who compare. */
  hotFollowers: number;
  log: Logger;
}

export interface Worker {
  waitsFor(): string[];
  stop(): Promise<void>;
}

/** A process that is silent for this long loses its shards to the others. */
const LEASE_MS = 5_000;
/** Leases are renewed, progress is told again, and free shards are looked for. */
const TICK_MS = 1_000;
/** Whoever has not come around for so long is stuck: then its leases are for others. */
const STUCK_MS = 30_000;
const RETRY_MS = 250;
/** A shard that stopped at an entry tries again after this long, in case what it stopped at was mended. */
const STOPPED_RETRY_MS = 5_000;

interface Owned extends PumpedShard {
  pump: Pump | null;
  target: number;
  stopped: { cause: Error; until: number } | null;
}

// Each takes what is free or already its own: KEYS are leases, ARGV[1] the process, ARGV[2] milliseconds.
const LEASE = `
local mine = {}
for i, key in ipairs(KEYS) do
  local owner = redis.call('GET', key)
  if not owner or owner == ARGV[1] then
    redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
    mine[i] = 1
  else
    mine[i] = 0
  end
end
return mine`;
// Begins a shard, unless it is there, and says where it stands: whoever was slow must not change what another works by. KEYS: applied,
// target, logged-after; ARGV: what the last two are to be.
const BEGIN = `
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('MSET', KEYS[1], 0, KEYS[2], ARGV[1], KEYS[3], ARGV[2]) end
return redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])`;
// Of those that are still its own.
const RENEW = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`;
// ARGV: a position, and the id of its entry. Only what is newer is kept.
const NOTE_NEWEST = `
local known = redis.call('GET', KEYS[1])
if not known or tonumber(string.match(known, '^%d+')) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2])
end`;
// How many processes there are. KEYS[1] is the set of them; ARGV: this one, milliseconds. By the clock of Redis alone: those of
// processes differ, and jump, and a process of the future would be counted until then.
const COUNT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + ARGV[2], '+inf')
return redis.call('ZCARD', KEYS[1])`;
const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

export function startWorker(options: WorkerOptions): Worker {
  const worker = new ReadSideWorker(options);
  const stopping = new AbortController();
  const done = worker.run(stopping.signal);

  return {
    waitsFor: () => worker.waitsFor(),
    stop: async () => {
      stopping.abort();
      await done;
    },
  };
}

class ReadSideWorker {
  private readonly id = randomUUID();
  private readonly owned = new Map<string, Owned>();
  private readonly pumps = new Set<Pump>();
  /** The pump of all shards that are up to date. */
  private main: Pump | null = null;
  private space: Space | null = null;
  private apply: Apply | null = null;
  private control: Control | null = null;
  /** What shards are to leave out, as `skipKey` names it; null before the write side has told. */
  private skips: Set<string> | null = null;
  /** Why nothing may be applied: MySQL has gone back to before what was applied already. */
  private differs: Error | null = null;
  private hasTicked = false;
  /** When the shards were looked after last, or it was tried. */
  private cameAround = 0;
  private wakeUp: () => void = () => undefined;

  constructor(private readonly options: WorkerOptions) {}

  waitsFor(): string[] {
    if (!this.space) return ['the journal’s epoch (from the write side, or Redis)'];
    if (!this.hasTicked) return ['Redis'];

    return [...this.owned.values()].flatMap((owned) => {
      const name = shardName(owned.shard);
      if (owned.stopped) return [`shard ${name} stopped at position ${owned.applied}: ${reason(owned.stopped.cause)}`];
      if (isHeld(owned)) return [];
      if (owned.applied < owned.target) return [`shard ${name} catches up: it has applied ${owned.applied} of ${owned.target}`];
      return owned.pump?.isOpen() ? [] : [`shard ${name}: the stream of events`];
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { log, nats, namespace } = this.options;
    const control = nats.connection.subscribe(natsNames(namespace).control, { callback: () => this.hear() });
    const leasesKept = this.keepLeases(signal);
    while (!signal.aborted) {
      this.cameAround = performance.now();
      try {
        // Who cannot hear events would only keep others from applying them.
        if (!nats.isConnected()) {
          await this.release([...this.owned.keys()]);
          await pause(RETRY_MS, signal);
          continue;
        }
        this.space ??= await this.findSpace();
        const woken = new Promise<void>((resolve) => (this.wakeUp = resolve));
        await this.tick(this.space);
        this.hasTicked = true;
        await Promise.race([pause(TICK_MS, signal), woken]);
      } catch (error) {
        failOnConfigError(error);
        log.warn({ err: error }, 'could not look after the shards, trying again');
        await pause(RETRY_MS, signal);
      }
    }
    control.unsubscribe();
    await leasesKept;
    await Promise.all([...this.pumps].map((pump) => pump.stop()));
    await this.release([...this.owned.keys()]).catch((error: unknown) => log.warn({ err: error }, 'leases will run out by themselves'));
  }

  /**
   * Renews what is owned, by itself: all else that a tick does may take long, and under load does. Whoever loses its shards for
   * that finds the others at what it was about to do, and they it; then both only get in each other's way.
   */
  private async keepLeases(signal: AbortSignal): Promise<void> {
    const { leases, log } = this.options;
    for (; !signal.aborted; await pause(TICK_MS, signal)) {
      const { space } = this;
      if (!space || this.owned.size === 0 || performance.now() - this.cameAround > STUCK_MS) continue;
      try {
        await this.countProcesses(space);
        const renew = ({ shard }: Owned) => leases.eval(RENEW, 1, this.leaseKey(space, shard), this.id, LEASE_MS);
        await Promise.all([...this.owned.values()].map(renew));
      } catch (error) {
        log.warn({ err: error }, 'could not renew the leases, trying again');
      }
    }
  }

  private async countProcesses(space: Space): Promise<number> {
    return Number(await this.options.leases.eval(COUNT, 1, `${space.namespace}:read-sides`, this.id, LEASE_MS));
  }

  /** The write side knows the epoch; when it is away, Redis knows the last one. */
  private async findSpace(): Promise<Space> {
    const { nats, redis, namespace, shards, projections, log } = this.options;
    const head = await askJournalHead(nats, natsNames(namespace)).catch((error: unknown) => {
      log.warn({ err: error }, 'no write side tells the epoch');
      return null;
    });
    const epoch = head?.epoch ?? (await redis.get(epochKey(namespace)));
    if (!epoch) throw new Error('nobody knows the epoch yet');
    const space = { namespace, epoch, shards };
    await this.introduce(space, head !== null);
    this.apply = createApply(redis, space, projections);

    return space;
  }

  /** Tells those who only know Redis what they find there. */
  private async introduce(space: Space, isNewest: boolean): Promise<void> {
    const { redis, shards } = this.options;
    const begunWith = await redis.set(shardsKey(space), shards, 'NX', 'GET');
    if (begunWith !== null && Number(begunWith) !== shards) {
      throw new ConfigError(`The projections were begun with SHARDS=${begunWith}, and this process has SHARDS=${shards}`);
    }
    const hotFollowers = String(this.options.hotFollowers);
    const known = await redis.get(hotFollowersKey(space));
    if (known?.split(' ').at(-1) !== hotFollowers) await redis.append(hotFollowersKey(space), ` ${hotFollowers}`);
    if (isNewest) await redis.set(epochKey(space.namespace), space.epoch);
  }

  // ---- Once a second ----

  /** An operator has said something: what had stopped may go on now. */
  private hear(): void {
    for (const { stopped } of this.owned.values()) if (stopped) stopped.until = 0;
    this.wakeUp();
  }

  private async tick(space: Space): Promise<void> {
    const { nats, redis, log } = this.options;
    // Leases first: a write side that is silent holds the question up for seconds.
    this.control = await readControl(redis, space);
    await this.share(space, this.control);
    const newest = await this.findNewest(space);
    const head = await askJournalHead(nats, natsNames(space.namespace), newest?.position).catch(() => null); // It may be away.
    if (head && head.epoch !== space.epoch) {
      log.warn({ epoch: space.epoch, newEpoch: head.epoch }, 'the journal has a new epoch, starting over');
      await this.release([...this.owned.keys()]);
      this.space = null;
      this.differs = null;
      return;
    }
    if (head) {
      // Redis was emptied.
      if ((await redis.get(epochKey(space.namespace))) !== space.epoch) await this.introduce(space, true);
      this.skips = new Set(head.skips.map(skipKey));
      this.compare(head, newest);
    }
    this.hold(this.control);
    this.report(space, [...this.owned.values()]);
    if (this.differs) return;
    await this.findLost(space);
    const idle = [...this.owned.values()].filter(
      (owned) => !owned.pump && !isHeld(owned) && (!owned.stopped || owned.stopped.until <= Date.now()),
    );
    if (idle.length > 0) await this.begin(space, idle, head);
  }

  /** The newest entry that any read side is known to have had, with what this one has had. */
  private async findNewest(space: Space): Promise<{ position: number; entryId: string } | null> {
    const { redis } = this.options;
    for (const { taken, takenEntryId } of this.pumps) {
      if (takenEntryId) await redis.eval(NOTE_NEWEST, 1, newestKey(space), taken, takenEntryId);
    }
    const [position, entryId] = (await redis.get(newestKey(space)))?.split(' ') ?? [];

    return position && entryId ? { position: Number(position), entryId } : null;
  }

  /** What was applied must be in the journal. If not, MySQL has lost it, and what comes now would be mixed with it. */
  private compare(head: JournalHead, newest: { position: number; entryId: string } | null): void {
    if (!newest || head.entryId === newest.entryId) {
      this.differs = null;
      return;
    }
    this.differs ??= new Error(
      `the entry at position ${newest.position} is not the journal’s. Was MySQL restored from a backup? It needs a new epoch (cheeper epoch new)`,
    );
    for (const owned of this.owned.values()) {
      if (owned.stopped?.cause === this.differs) continue;
      owned.pump?.leave(shardName(owned.shard));
      this.left(owned, this.differs);
    }
  }

  /** Operators may hold a projection at a position. */
  private hold({ holds }: Control): void {
    for (const owned of this.owned.values()) {
      owned.limit = holds.get(projectionName(owned.shard.projection)) ?? Infinity;
      if (!owned.pump?.isIdle() || owned.applied < owned.limit) continue;
      owned.pump.leave(shardName(owned.shard));
      this.left(owned, 'held');
    }
  }

  /** Renews the leases, gives back what is over an even share, and takes what is free up to it. */
  private async share(space: Space, control: Control): Promise<void> {
    const { projections, log } = this.options;
    const all = projections.flatMap((projection) =>
      keptGenerations(generationsOf(control, projection.id))
        .flatMap((generation) => shardsOf(space, projection.id, generation))
        .map((shard) => ({ shard, projection })),
    );
    const names = new Set(all.map(({ shard }) => shardName(shard)));
    await this.release([...this.owned.keys()].filter((name) => !names.has(name)));
    const processes = await this.countProcesses(space);
    const share = Math.ceil(all.length / Math.max(1, processes));

    const surplus = [...this.owned.keys()].slice(share);
    if (surplus.length > 0) await this.release(surplus);

    const kept = await this.lease(
      space,
      [...this.owned.values()].map((owned) => owned.shard),
    );
    const lost = [...this.owned.keys()].filter((_, i) => !kept[i]);
    for (const name of lost) await this.drop(name);

    const candidates = all.filter(({ shard }) => !this.owned.has(shardName(shard)));
    // Begin at a place of one's own, so that processes which start together do not all ask for the same ones.
    const offset = Number.parseInt(this.id.slice(0, 4), 16) % Math.max(1, candidates.length);
    const wanted = [...candidates.slice(offset), ...candidates.slice(0, offset)];
    const taken: string[] = [];
    for (const candidate of wanted) {
      if (this.owned.size >= share) break;
      const [got] = await this.lease(space, [candidate.shard]);
      if (!got) continue;
      this.owned.set(shardName(candidate.shard), {
        ...candidate,
        applied: -1,
        target: 0,
        limit: Infinity,
        unseenUpTo: 0,
        pump: null,
        stopped: null,
      });
      taken.push(shardName(candidate.shard));
    }
    if (surplus.length || lost.length || taken.length) log.info({ processes, owned: this.owned.size, taken, surplus, lost }, 'shards');
  }

  private leaseKey = (space: Space, shard: Shard) => `${prefixOf(space, shard)}lease`;

  private async lease(space: Space, shards: Shard[]): Promise<boolean[]> {
    // One call a shard: in a cluster they are different slots.
    const results = await Promise.all(
      shards.map((shard) => this.options.leases.eval(LEASE, 1, this.leaseKey(space, shard), this.id, LEASE_MS)),
    );

    return results.map((result) => (result as number[])[0] === 1);
  }

  private async release(names: string[]): Promise<void> {
    const { leases, namespace } = this.options;
    for (const name of names) {
      const owned = this.owned.get(name);
      await this.drop(name);
      if (owned && this.space) await leases.eval(RELEASE, 1, this.leaseKey(this.space, owned.shard), this.id);
    }
    if (this.owned.size === 0) await leases.zrem(`${namespace}:read-sides`, this.id);
  }

  /** Lets go of a shard, after the batch under way. */
  private async drop(name: string): Promise<void> {
    const pump = this.owned.get(name)?.pump;
    this.owned.delete(name);
    if (!pump) return;
    pump.leave(name);
    if (pump.shards.size === 0) await this.retire(pump);
  }

  private async retire(pump: Pump): Promise<void> {
    this.pumps.delete(pump);
    if (this.main === pump) this.main = null;
    await pump.stop();
  }

  // ---- Keeping up ----

  /** Gives shards a pump, from where they stand; a shard that has never been is begun. */
  private async begin(space: Space, idle: Owned[], head: { position: number } | null): Promise<void> {
    const { redis, nats, log } = this.options;
    const standing = await Promise.all(
      idle.map(({ shard }) => redis.mget([APPLIED, TARGET, LOGGED_AFTER].map((name) => prefixOf(space, shard) + name))),
    );
    // Without the write side, what stands can go on; what is new cannot be begun.
    if (!head && standing.some(([applied]) => applied === null)) throw new Error('no write side tells where the journal stands');
    if (head) {
      for (const [i, { shard }] of idle.entries()) {
        if (standing[i]![0] !== null) continue;
        const prefix = prefixOf(space, shard);
        const { live } = generationsOf(this.control!, shard.projection);
        const after = await loggedAfter(redis, prefixOf(space, { ...shard, generation: live }));
        const unlogged = after ?? Math.max(0, head.position - MAX_LOGGED_BEFORE_TARGET);
        crashPoint('read side: before beginning');
        const keys = [APPLIED, TARGET, LOGGED_AFTER].map((name) => prefix + name);
        standing[i] = (await redis.eval(BEGIN, keys.length, ...keys, head.position, unlogged)) as string[];
        crashPoint('read side: after beginning');
        log.info({ shard: shardName(shard), applied: standing[i][0], target: standing[i][1] }, 'a shard builds itself');
      }
    }
    idle.forEach((owned, i) => {
      const [applied, target, unlogged] = standing[i]!.map((position) => Number(position ?? 0)) as [number, number, number];
      owned.applied = applied;
      owned.unseenUpTo = Math.min(unlogged, target - 1);
      // Ready is who has all that there was when it took the shard.
      owned.target = Math.max(target, head?.position ?? 0);
      owned.stopped = null;
    });
    this.hold(this.control!);
    // Where all is applied anew, what was left out once must be left out again.
    const canGoOn = (owned: Owned) => this.skips !== null || owned.applied >= owned.target;
    const alive = idle.filter((owned) => this.owned.get(shardName(owned.shard)) === owned && !isHeld(owned) && canGoOn(owned));
    if (alive.length === 0) return;
    const pump: Pump = new Pump(
      {
        nats,
        space,
        apply: this.apply!,
        log,
        onApplied: (shards) => this.report(space, shards),
        isSkipped: ({ projection, number }, position) =>
          this.skips !== null && this.skips.size > 0 && this.skips.has(skipKey({ projection: projection.name, shard: number, position })),
        onLeft: (shard, cause) => this.left(shard as Owned, cause),
        onBatch: (done) => {
          log.debug({ position: done.taken, shards: done.shards.size }, 'applied a batch');
          this.merge(done);
        },
      },
      alive,
    );
    this.pumps.add(pump);
    for (const owned of alive) owned.pump = pump;
    this.merge(pump);
  }

  /** A pump that has caught up with the main one hands its shards over to it. */
  private merge(pump: Pump): void {
    // Its last batch may end after it was retired.
    if (!this.pumps.has(pump)) return;
    this.main ??= pump;
    const { main } = this;
    if (pump === main || [...pump.shards.values()].some((shard) => shard.applied < main.taken)) return;
    for (const shard of pump.shards.values()) {
      main.join(shard);
      (shard as Owned).pump = main;
    }
    pump.shards.clear();
    this.pumps.delete(pump);
    void pump.stop();
  }

  private left(owned: Owned, cause: 'held' | 'moved' | Error): void {
    const { log } = this.options;
    const { pump } = owned;
    const name = shardName(owned.shard);
    owned.pump = null;
    if (cause === 'moved') {
      log.warn({ shard: name, applied: owned.applied }, 'somebody else has moved this shard, looking again');
    } else if (cause === 'held') {
      log.info({ shard: name, applied: owned.applied }, 'a shard is held here by an operator');
      if (this.space) this.report(this.space, [owned]);
    } else {
      owned.stopped = { cause, until: Date.now() + STOPPED_RETRY_MS };
      log.error({ err: cause, shard: name, applied: owned.applied }, 'a shard stopped');
      // Who waits for it need not.
      if (this.space) this.report(this.space, [owned]);
    }
    if (pump?.shards.size === 0) void this.retire(pump);
  }

  /** Redis may have lost what it had. Where something is being applied, that notices; where nothing happens, nobody else would. */
  private async findLost(space: Space): Promise<void> {
    const { redis } = this.options;
    const pumped = [...this.owned.values()].filter(({ pump, applied }) => pump?.isIdle() && applied >= 0);
    const before = pumped.map(({ applied }) => applied);
    const standing = await Promise.all(pumped.map(({ shard }) => redis.get(prefixOf(space, shard) + APPLIED)));
    pumped.forEach((owned, i) => {
      if (Number(standing[i] ?? -1) >= before[i]! || !owned.pump?.isIdle()) return;
      owned.pump.leave(shardName(owned.shard));
      this.left(owned, 'moved');
    });
  }

  private report(space: Space, shards: PumpedShard[]): void {
    const standing = shards.filter(({ applied }) => applied >= 0);
    if (standing.length === 0) return;
    const { nats, namespace } = this.options;
    const message: ProgressMessage = {
      epoch: space.epoch,
      applied: Object.fromEntries(standing.map(({ shard, applied }) => [shardName(shard), applied])),
      stopped: Object.fromEntries(
        standing.flatMap((shard) => {
          const { stopped } = shard as Owned;
          if (stopped) return [[shardName(shard.shard), reason(stopped.cause)]];
          return isHeld(shard as Owned) ? [[shardName(shard.shard), HELD]] : [];
        }),
      ),
      live: this.control ? Object.fromEntries(liveGenerations(this.control)) : {},
    };
    crashPoint('read side: before progress');
    nats.connection.publish(natsNames(namespace).progress, JSON.stringify(message));
    crashPoint('read side: after progress');
  }
}

const isHeld = ({ pump, applied, limit }: Owned): boolean => !pump && applied >= 0 && applied >= limit;

const skipKey = ({ projection, shard, position }: JournalHead['skips'][number]): string => `${projection}:${shard}:${position}`;

const reason = (error: Error): string => (error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message);
