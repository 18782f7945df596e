/**
 * How much of a gateway each client may use over time. Budgets refill (gateway/budgets.ts), and are shared by all gateways: of an account, of
 * an address, where nobody is signed in, and of a site, which is an IPv4 address or an IPv6 /48, for all who are there together. A client that
 * has used one up is refused with RATE_LIMITED, and told when to come again. All figures are in docs/limits.md.
 *
 * Rates are limited for everybody, or for all but clients on this machine (setting RATE_LIMITS). What bounds the size of things, waits and
 * queues is elsewhere, and holds for everybody.
 */
import type { GraphQLError } from 'graphql';
import { LRUCache } from 'lru-cache';
import type { Logger } from '../shared/log.js';
import { writeTogether } from '../shared/redis.js';
import { Budget, BudgetStore, type BudgetOptions, type Standing } from './budgets.js';
import type { Cost } from './complexity.js';
import { fault, rateLimited } from './errors.js';
import { siteOf, type ClientAddress } from './origins.js';

/** A query or mutation costs this, and a point for each object that it may hold, and one for each so many values. */
const POINTS_OF_AN_OPERATION = 10;
const VALUES_OF_A_POINT = 10;
/** A log-in or sign-up that is refused costs so many besides: a client that does not wait is soon refused before its body is read. */
const POINTS_OF_A_REFUSED_SIGN_IN = 600;
/** A document that is not executed, or was not known, costs a point for each so many characters, besides. */
const CHARACTERS_OF_A_POINT = 100;

const MAX_POINTS_OF_ACCOUNT = 1_200_000;
const MAX_POINTS_OF_ADDRESS = 60_000;
const MAX_POINTS_OF_SITE = 6_000_000;
const MAX_COMMANDS = 120;
const MAX_POSTS = 60;
/** Each of them may be a mail to somebody. */
const MAX_FOLLOWS = 60;
/** Each says of an address whether somebody has it. */
const MAX_EMAIL_CHANGES = 5;
const MAX_SIGN_UPS_OF_ADDRESS = 20;
const MAX_SIGN_UPS_OF_SITE = 80;
const MAX_SOCKETS_OPENED = 600;
const MAX_SUBSCRIPTIONS_BEGUN = 300;
const MAX_SUBSCRIPTIONS_BEGUN_AT_SITE = 6_000;
const MAX_OPERATIONS_OF_SOCKET = 1_000;
/** Of any kind: most of them, pings say, cost little. */
const MAX_MESSAGES_OF_SOCKET = 10_000;
const SOCKET_REFILL_SECONDS = 50;

const MINUTE = 60;
const HOUR = 3_600;
const DAY = 86_400;

const BUDGETS = {
  account: { name: 'cost', points: MAX_POINTS_OF_ACCOUNT, refillSeconds: MINUTE },
  address: { name: 'cost-of-address', points: MAX_POINTS_OF_ADDRESS, refillSeconds: MINUTE / 3 },
  site: { name: 'cost-of-site', points: MAX_POINTS_OF_SITE, refillSeconds: MINUTE },
  commands: { name: 'commands', points: MAX_COMMANDS, refillSeconds: 2 * MINUTE },
  posts: { name: 'posts', points: MAX_POSTS, refillSeconds: 10 * MINUTE },
  follows: { name: 'follows', points: MAX_FOLLOWS, refillSeconds: 10 * MINUTE },
  emailChanges: { name: 'email-changes', points: MAX_EMAIL_CHANGES, refillSeconds: DAY / 2 },
  signUpsOfAddress: { name: 'sign-ups', points: MAX_SIGN_UPS_OF_ADDRESS, refillSeconds: 4 * HOUR },
  signUpsOfSite: { name: 'sign-ups-of-site', points: MAX_SIGN_UPS_OF_SITE, refillSeconds: 4 * HOUR },
  sockets: { name: 'sockets', points: MAX_SOCKETS_OPENED, refillSeconds: MINUTE },
  subscriptions: { name: 'subscriptions', points: MAX_SUBSCRIPTIONS_BEGUN, refillSeconds: MINUTE },
  subscriptionsOfSite: { name: 'subscriptions-of-site', points: MAX_SUBSCRIPTIONS_BEGUN_AT_SITE, refillSeconds: MINUTE },
} as const satisfies Record<string, BudgetOptions>;
type BudgetName = keyof typeof BUDGETS;

/** What a refusal says. */
const REASONS: Record<BudgetName, string> = {
  account: 'This account has asked for too much.',
  address: 'Too much was asked for from this address by people who are not signed in.',
  site: 'Too much was asked for from this address.',
  commands: 'This account has done too much.',
  posts: 'This account has posted too much.',
  follows: 'This account has followed too many.',
  emailChanges: 'This account has changed its e-mail address too often.',
  signUpsOfAddress: 'Too many people have signed up from this address.',
  signUpsOfSite: 'Too many people have signed up from this address.',
  sockets: 'Too many sockets were opened from this address.',
  subscriptions: 'Too many subscriptions were begun.',
  subscriptionsOfSite: 'Too many subscriptions were begun from this address.',
};

/** Commands with a budget of their own, besides that of all commands. Those who sign in or out are no commands. */
const BUDGET_OF_COMMAND: Partial<Record<string, BudgetName>> = { postCheep: 'posts', followAuthor: 'follows', changeEmail: 'emailChanges' };
const NO_COMMANDS: ReadonlySet<string> = new Set(['logIn', 'logOut', 'signUp', '__typename']);

/** Of a budget a process takes so much at once, in advance: what most operations take is there already, and Redis is not asked. */
const SHARE = 1 / 20;
/** Shares in a process: with more, the least recently used go, and the rest of them is lost. */
const MAX_SHARES = 20_000;

/** What an operation cost, and what is left to whoever sent it: `extensions.cost`, named as Shopify's API names it. */
export interface CostReport {
  requestedQueryCost: number;
  throttleStatus: {
    maximumAvailable: number;
    /** About: what other gateways have taken in advance is not in it. Negative while points are owed, which come back first. */
    currentlyAvailable: number;
    /** Points a second. */
    restoreRate: number;
  };
}

/** One who is counted. */
export interface Client {
  readonly address: ClientAddress;
  /** Null for nobody who is signed in. */
  readonly accountId: string | null;
  /** Of the operation, once it is known, whether it was admitted or not. */
  cost: CostReport | null;
}

/** What an operation takes. */
export interface Demand {
  cost: Cost;
  /** The fields of a mutation; none for other operations. */
  fields: readonly string[];
  isSubscription: boolean;
}

/** A budget counts whole milliseconds, rounded up: once for what is owed, and once for what is taken. */
const ROUNDED_UP_MS = 2;

/** What a process has taken of somebody's budget in advance. */
class Share {
  private left = 0;
  /** At the last question. */
  private remaining: number;
  private askedAt = -Infinity;
  private asking: Promise<unknown> = Promise.resolve();
  private isSettling = false;

  constructor(
    private readonly budget: Budget,
    private readonly key: string,
  ) {
    this.remaining = budget.options.points;
  }

  /** At once where the share has as much, or where it is known that there is not as much. */
  take(points: number): Standing | Promise<Standing> {
    return this.takeHere(points) ?? this.inTurn(() => this.takeHere(points) ?? this.ask(points));
  }

  /** What was taken, and not used. */
  giveBack(points: number): void {
    this.left += points;
  }

  /** Takes points that may not be there: what comes next waits for them. */
  charge(points: number): void {
    this.left -= points;
    // Else nobody would know of it until something is asked for that can be refused.
    if (this.isSettling || this.left > -SHARE * this.budget.options.points) return;
    this.isSettling = true;
    const settled = () => void (this.isSettling = false);
    this.inTurn(() => this.settleDebt()).then(settled, settled);
  }

  /** Is nothing left, as far as this process knows? Then for how long, in milliseconds; else 0. */
  get usedUpMs(): number {
    return this.tooMuchMs(POINTS_OF_AN_OPERATION);
  }

  get standing(): Standing {
    return { isGranted: true, left: this.leftInAll(), retryAfterMs: 0 };
  }

  /** For how long so many points are more than the budget has, as far as this process knows; 0 if it may have them. */
  private tooMuchMs(points: number): number {
    const missing = points - this.left - this.remainingNow;

    return missing > 0 ? Math.ceil(missing * this.msOfPoint) + ROUNDED_UP_MS : 0;
  }

  private takeHere(points: number): Standing | null {
    if (this.left >= points) {
      this.left -= points;

      return this.standing;
    }
    // What is owed is moved to the budget first: while that is full, time brings back nothing.
    const retryAfterMs = this.left < 0 ? 0 : this.tooMuchMs(points);

    return retryAfterMs > 0 ? { isGranted: false, left: this.leftInAll(), retryAfterMs } : null;
  }

  /** One after another: each of many at once would take a share in advance. */
  private inTurn<T>(ask: () => Promise<T> | T): Promise<T> {
    const turn = this.asking.then(ask);
    this.asking = turn.catch(() => undefined);

    return turn;
  }

  private async ask(points: number): Promise<Standing> {
    if (this.left < 0) {
      await this.settleDebt();
      const known = this.takeHere(points);
      if (known) return known;
    }
    // A debt that came meanwhile is settled later: with it, what is missing could be more than the whole budget, and never be granted.
    const missing = points - Math.max(0, this.left);
    const share = Math.max(missing, Math.floor(this.budget.options.points * SHARE));
    let taken = share;
    let standing = await this.budget.take(this.key, share);
    if (!standing.isGranted && missing < share) {
      taken = missing;
      standing = await this.budget.take(this.key, missing);
    }
    this.heard(standing);
    if (!standing.isGranted) return { ...standing, left: this.leftInAll() };
    this.left += taken - points;

    return this.standing;
  }

  /** Moves what is owed here to the budget, which bounds it. */
  private async settleDebt(): Promise<void> {
    const debt = -this.left;
    if (debt <= 0) return;
    const standing = await this.budget.charge(this.key, debt);
    this.left += debt;
    this.heard(standing);
  }

  private heard({ left }: Standing): void {
    this.remaining = left;
    this.askedAt = performance.now();
  }

  /** In the budget, if nobody else has taken of it since it was asked. */
  private get remainingNow(): number {
    return this.remaining + (performance.now() - this.askedAt) / this.msOfPoint;
  }

  private get msOfPoint(): number {
    const { points, refillSeconds } = this.budget.options;

    return (refillSeconds * 1_000) / points;
  }

  private leftInAll(): number {
    return Math.floor(Math.min(this.budget.options.points, this.remainingNow + this.left));
  }
}

export class Rates {
  private readonly budgets: Record<BudgetName, Budget>;
  private readonly shares = new LRUCache<string, Share>({ max: MAX_SHARES });
  private isProxySuspected = false;

  constructor(
    readonly store: BudgetStore,
    private readonly setting: 'on' | 'remote',
    private readonly log: Logger,
  ) {
    const made = Object.entries(BUDGETS).map(([name, options]) => [name, new Budget(store, options)]);
    this.budgets = Object.fromEntries(made) as Record<BudgetName, Budget>;
  }

  /** Are there rates for this client? */
  areFor({ isLoopback }: ClientAddress): boolean {
    return this.setting === 'on' || !isLoopback;
  }

  /**
   * Takes what an operation costs, of all budgets that it counts for, or nothing. Sets the client's `cost`.
   * @throws RATE_LIMITED; BAD_USER_INPUT if no budget is large enough
   */
  admit(client: Client, demand: Demand): void | Promise<void> {
    const points = pointsOf(demand.cost);
    const cost = this.costOf(client, points);
    const takings = [...cost, ...this.countedOf(client, demand)];

    return this.take(takings, (standings) => {
      const reports = cost.map(({ budget }, i) => reportOf(BUDGETS[budget], standings[i]!, points));
      client.cost = reports.reduce((one, other) => (partLeft(other) < partLeft(one) ? other : one));
      this.settle(takings, standings);
    });
  }

  /** When it is known that not even the cheapest operation can be had: before anything is done for it. Null otherwise. */
  refusalOfUsedUp(client: Client): GraphQLError | null {
    for (const { budget, key } of this.costOf(client, 0)) {
      const usedUpMs = this.shares.get(shareKey(budget, key))?.usedUpMs ?? 0;
      if (usedUpMs > 0) return refusal(budget, usedUpMs);
    }

    return null;
  }

  /** Of a document that was checked, and either is new or not executed, because something is wrong with it. */
  chargeForDocument(client: Client, characters: number): void {
    const points = POINTS_OF_AN_OPERATION + Math.ceil(characters / CHARACTERS_OF_A_POINT);
    for (const { budget, key } of this.costOf(client, points)) this.share(budget, key).charge(points);
  }

  /** Charges who asked for a log-in or sign-up when `take` refuses it. @throws as `take` */
  async chargingRefusals<T>(client: Client, take: () => Promise<T>): Promise<T> {
    try {
      return await take();
    } catch (error) {
      for (const { budget, key, points } of this.costOf(client, POINTS_OF_A_REFUSED_SIGN_IN)) this.share(budget, key).charge(points);
      throw error;
    }
  }

  /** @throws RATE_LIMITED */
  signUp({ network }: ClientAddress): void | Promise<void> {
    const takings: Taking[] = [
      { budget: 'signUpsOfAddress', key: network, points: 1 },
      { budget: 'signUpsOfSite', key: siteOf(network), points: 1 },
    ];

    return this.take(takings, (standings) => this.settle(takings, standings));
  }

  /** @throws RATE_LIMITED */
  openSocket({ network }: ClientAddress): void | Promise<void> {
    const takings: Taking[] = [{ budget: 'sockets', key: siteOf(network), points: 1 }];

    return this.take(takings, (standings) => this.settle(takings, standings));
  }

  /** Counts the operations of one socket, which is this process's alone. */
  ofSocket(): SocketRate {
    return new SocketRate();
  }

  /** Behind a proxy that is not trusted, all clients have one address, and use up what is meant for one of them. */
  suspectProxy(address: ClientAddress): void {
    if (this.isProxySuspected || !this.areFor(address)) return;
    this.isProxySuspected = true;
    this.log.warn(
      { address: address.network },
      'A request has X-Forwarded-For, and comes from an address that TRUST_PROXY does not name. If that is a proxy, set TRUST_PROXY: now all of ' +
        'its clients together have the rates of one.',
    );
  }

  private costOf({ accountId, address: { network } }: Client, points: number): Taking[] {
    const own: Taking = accountId === null ? { budget: 'address', key: network, points } : { budget: 'account', key: accountId, points };

    return [own, { budget: 'site', key: siteOf(network), points }];
  }

  private countedOf({ accountId, address: { network } }: Client, { fields, isSubscription }: Demand): Taking[] {
    const takings: Taking[] = [];
    if (isSubscription) {
      takings.push({ budget: 'subscriptions', key: accountId ?? network, points: 1 });
      takings.push({ budget: 'subscriptionsOfSite', key: siteOf(network), points: 1 });
    }
    // Who is not signed in can send none.
    if (accountId === null) return takings;
    const counts = new Map<BudgetName, number>();
    for (const field of fields) {
      if (NO_COMMANDS.has(field)) continue;
      for (const budget of ['commands', BUDGET_OF_COMMAND[field]] as const)
        if (budget !== undefined) counts.set(budget, (counts.get(budget) ?? 0) + 1);
    }
    for (const [budget, points] of counts) takings.push({ budget, key: accountId, points });

    return takings;
  }

  /** All at once, and without a promise where this process has taken enough in advance. */
  private take<T>(takings: readonly Taking[], settle: (standings: Standing[]) => T): T | Promise<T> {
    const tooMuch = takings.find(({ budget, points }) => points > BUDGETS[budget].points);
    if (tooMuch) {
      const { name, points } = BUDGETS[tooMuch.budget];
      throw fault('BAD_USER_INPUT', `This takes ${tooMuch.points} points of the budget ${name}, which has ${points}.`, { http: 400 });
    }
    writeTogether(this.store.redis);
    const standings = takings.map(({ budget, key, points }) => this.share(budget, key).take(points));

    const isToWait = standings.some((one) => one instanceof Promise);

    return isToWait ? Promise.all(standings.map(async (one) => one)).then(settle) : settle(standings as Standing[]);
  }

  /** @throws RATE_LIMITED for the one that refuses for longest, with nothing taken of the others */
  private settle(takings: readonly Taking[], standings: readonly Standing[]): void {
    const refused = standings.filter(({ isGranted }) => !isGranted);
    if (refused.length === 0) return;
    this.giveBack(takings.filter((_, i) => standings[i]!.isGranted));
    const longest = refused.reduce((one, other) => (other.retryAfterMs > one.retryAfterMs ? other : one));
    throw refusal(takings[standings.indexOf(longest)]!.budget, longest.retryAfterMs);
  }

  private giveBack(takings: readonly Taking[]): void {
    for (const { budget, key, points } of takings) this.share(budget, key).giveBack(points);
  }

  private share(budget: BudgetName, key: string): Share {
    const name = shareKey(budget, key);
    let share = this.shares.get(name);
    if (!share) this.shares.set(name, (share = new Share(this.budgets[budget], key)));

    return share;
  }
}

/** Of one socket, in the process that has it. */
export class SocketRate {
  private fullAt = 0;
  private messagesFullAt = 0;

  /** Each of its messages. @returns whether it may be looked at */
  takeMessage(): boolean {
    const now = performance.now();
    const msOfOne = (SOCKET_REFILL_SECONDS * 1_000) / MAX_MESSAGES_OF_SOCKET;
    this.messagesFullAt = Math.max(this.messagesFullAt, now) + msOfOne;

    return this.messagesFullAt - now <= MAX_MESSAGES_OF_SOCKET * msOfOne;
  }

  /** @throws RATE_LIMITED */
  takeOperation(): void {
    const now = performance.now();
    const msOfOne = (SOCKET_REFILL_SECONDS * 1_000) / MAX_OPERATIONS_OF_SOCKET;
    const fullAt = Math.max(this.fullAt, now) + msOfOne;
    const beforeNextMs = fullAt - now - MAX_OPERATIONS_OF_SOCKET * msOfOne;
    if (beforeNextMs > 0) throw rateLimited('Too much was asked for on this socket.', 'socket', Math.ceil(beforeNextMs));
    this.fullAt = fullAt;
  }
}

interface Taking {
  budget: BudgetName;
  key: string;
  points: number;
}

const shareKey = (budget: BudgetName, key: string) => `${budget}/${key}`;

const pointsOf = ({ objects, values }: Cost) => POINTS_OF_AN_OPERATION + objects + Math.ceil(values / VALUES_OF_A_POINT);

const refusal = (budget: BudgetName, retryAfterMs: number) => rateLimited(REASONS[budget], BUDGETS[budget].name, Math.ceil(retryAfterMs));

const reportOf = ({ points, refillSeconds }: BudgetOptions, { left }: Standing, requestedQueryCost: number): CostReport => ({
  requestedQueryCost,
  throttleStatus: { maximumAvailable: points, currentlyAvailable: left, restoreRate: points / refillSeconds },
});

const partLeft = ({ throttleStatus: { maximumAvailable, currentlyAvailable } }: CostReport) => currentlyAvailable / maximumAvailable;

/** Of draft-ietf-httpapi-ratelimit-headers-06: later drafts name others, which fewer clients read. */
export const RATE_LIMIT_HEADERS = ['ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset', 'ratelimit-policy'] as const;

/** Points of the budget, and those that are left; seconds until all are back; the budget, and seconds in which it refills. */
export function rateLimitHeaders({ throttleStatus }: CostReport): [name: string, value: string][] {
  const { maximumAvailable, currentlyAvailable, restoreRate } = throttleStatus;

  const values = [
    String(maximumAvailable),
    String(Math.max(0, currentlyAvailable)),
    String(Math.ceil((maximumAvailable - currentlyAvailable) / restoreRate)),
    `${maximumAvailable};w=${Math.ceil(maximumAvailable / restoreRate)}`,
  ];

  return RATE_LIMIT_HEADERS.map((name, i) => [name, values[i]!]);
}
