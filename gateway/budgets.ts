/**
 * Budgets that refill: so many points, of which each use takes some, and which come back evenly. All gateways share them, in Redis, by
 * rate-limiter-flexible. While Redis is away, or silent, each process counts for itself.
 *
 * Of the library it is the store: its windows are fixed, and give a client two budgets at once at their border. The script that the library
 * lets one put in place of its own makes of each key a bucket: the key is there for as long as it takes the bucket to refill, so its time to
 * live says how much is missing, there is nothing to store, and nothing to clean up (docs/decisions/0027).
 */
import type { Redis } from 'ioredis';
import { LRUCache } from 'lru-cache';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';

export interface BudgetOptions {
  /** Part of its keys, and told to who has used it up. */
  name: string;
  points: number;
  /** From nothing to all of its points. */
  refillSeconds: number;
  /** Points that a charge can leave missing beyond all of the budget's; as many as the budget has, if not given. */
  maxDebt?: number;
}

export interface Standing {
  isGranted: boolean;
  /** Points that are left; negative while some are owed. */
  left: number;
  /** Until what was asked for could be had; 0 if it was granted. */
  retryAfterMs: number;
}

/** The library's duration of what is charged, in place of that of a budget. */
const OF_CHARGE = 1;

/**
 * KEYS: one budget of somebody. ARGV: points to take (or give back, if negative), the library's duration, the budget's points and seconds.
 * What is taken is rounded up to whole milliseconds: rounded down, many small takings would cost nothing. A charge takes all that there is, if
 * that is less.
 */
const TAKE = `
local points, most, refillMs = tonumber(ARGV[1]), tonumber(ARGV[3]), ARGV[4] * 1000
local usedMs = math.max(0, redis.call('pttl', KEYS[1]))
local wantedMs = math.max(0, usedMs + math.ceil(points * refillMs / most))
if ARGV[2] == '${OF_CHARGE}' then wantedMs = math.min(wantedMs, math.max(usedMs, math.floor(refillMs))) end
local used = math.ceil(wantedMs * most / refillMs)
if points > 0 and wantedMs > refillMs then return { used, wantedMs - refillMs } end
if wantedMs == 0 then redis.call('del', KEYS[1]) elseif points ~= 0 then redis.call('set', KEYS[1], '', 'px', wantedMs) end
return { used, wantedMs }`;

/** Of budgets that are counted in this process. One that is forgotten begins as a full one. */
const MAX_COUNTED_HERE = 50_000;
/** After Redis has failed to answer, for how long it is not asked. */
const AWAY_MS = 1_000;
/** What all budgets of a process have in common. */
export class BudgetStore {
  /** By key, when it will be full again, in milliseconds since 1970. */
  readonly countedHere = new LRUCache<string, number>({ max: MAX_COUNTED_HERE });
  private awayUntil = 0;

  /** @param onFailure hears why Redis did not answer, once for each time that it is left alone */
  constructor(
    readonly redis: Redis,
    private readonly namespace: string,
    private readonly onFailure: (error: unknown) => void = () => undefined,
  ) {}

  /** Not in the slot of any shard. */
  prefix(name: string): string {
    return `${this.namespace}:rates:${name}`;
  }

  get isAway(): boolean {
    return this.redis.status !== 'ready' || performance.now() < this.awayUntil;
  }

  /** What is asked of Redis, or of this process while Redis is away. */
  async ask<T>(redis: () => Promise<T>, here: () => T): Promise<T> {
    if (this.isAway) return here();
    try {
      return await redis();
    } catch (outcome) {
      if (outcome instanceof RateLimiterRes) throw outcome;
      if (!this.isAway) this.onFailure(outcome);
      this.awayUntil = performance.now() + AWAY_MS;

      return here();
    }
  }
}

/** One budget of each account, address, or whatever its keys name. */
export class Budget {
  private readonly limiter: RateLimiterRedis;
  private readonly debts: RateLimiterRedis;

  constructor(
    private readonly store: BudgetStore,
    readonly options: BudgetOptions,
  ) {
    const { points, refillSeconds: duration, name } = options;
    const shared = { storeClient: store.redis, keyPrefix: store.prefix(name), customIncrTtlLuaScript: TAKE };
    this.limiter = new RateLimiterRedis({ ...shared, points, duration });
    // It refills as fast, and has the points that can be owed besides.
    const withDebt = points + this.maxDebt;
    this.debts = new RateLimiterRedis({ ...shared, points: withDebt, duration: (duration * withDebt) / points });
  }

  /** Takes points, or none of them if that is more than there are. @throws RangeError for more than there can ever be */
  async take(key: string, points: number): Promise<Standing> {
    if (points > this.options.points) throw new RangeError(`${points} points of ${this.options.name} can never be granted`);

    return this.ask(this.limiter, key, points, false);
  }

  /**
   * Takes points however many there are, down to the largest debt, which must come back before anything is granted. What is beyond that is
   * dropped: else a client would wait without end for what was charged in a moment.
   */
  charge(key: string, points: number): Promise<Standing> {
    return this.ask(this.debts, key, points, true);
  }

  /** What was taken, and not used. */
  giveBack(key: string, points: number): Promise<Standing> {
    return this.ask(this.debts, key, -points, true);
  }

  /** How many points are missing; more than there are, after a charge. */
  async used(key: string): Promise<number> {
    const { left } = await this.ask(this.debts, key, 0, true);

    return this.options.points - left;
  }

  /** Makes it full. */
  async refill(key: string): Promise<void> {
    const forget = () => this.store.countedHere.delete(this.limiter.getKey(key));
    forget();
    await this.store.ask(() => this.limiter.delete(key), forget);
  }

  private get maxDebt(): number {
    return this.options.maxDebt ?? this.options.points;
  }

  private async ask(limiter: RateLimiterRedis, key: string, points: number, canOwe: boolean): Promise<Standing> {
    try {
      const taken = await this.store.ask(
        () => limiter.consume(key, points, canOwe ? { customDuration: OF_CHARGE } : {}),
        () => this.takeHere(limiter.getKey(key), points, canOwe),
      );

      return { isGranted: true, left: this.options.points - taken.consumedPoints, retryAfterMs: 0 };
    } catch (refused) {
      if (!(refused instanceof RateLimiterRes)) throw refused;

      return { isGranted: false, left: this.options.points - (refused.consumedPoints - points), retryAfterMs: refused.msBeforeNext };
    }
  }

  /** As the script. @throws RateLimiterRes as the library */
  private takeHere(key: string, points: number, canOwe: boolean): RateLimiterRes {
    const { countedHere } = this.store;
    const { points: most } = this.options;
    const refillMs = this.options.refillSeconds * 1_000;
    const now = Date.now();
    const usedMs = Math.max(0, (countedHere.get(key) ?? 0) - now);
    let wantedMs = Math.max(0, usedMs + Math.ceil((points * refillMs) / most));
    if (canOwe) wantedMs = Math.min(wantedMs, Math.max(usedMs, Math.floor((refillMs * (most + this.maxDebt)) / most)));
    const used = Math.ceil((wantedMs * most) / refillMs);
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- the library's own way to refuse
    if (!canOwe && points > 0 && wantedMs > refillMs) throw new RateLimiterRes(0, wantedMs - refillMs, used);
    if (wantedMs === 0) countedHere.delete(key);
    else countedHere.set(key, now + wantedMs);

    return new RateLimiterRes(0, wantedMs, used);
  }
}
