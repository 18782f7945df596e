/**
 * How often passwords may be guessed: less and less often for an account from one address, and for an address at all accounts. Nobody can be kept
 * out of their account by what others do elsewhere: an account has no count of its own that would refuse anybody. While many try one account
 * from everywhere, it only makes addresses that are new to it wait for longer between tries.
 *
 * What is counted is what was typed, not whose it is: so an answer that refuses says nothing about whether there is such an account.
 */
import { LRUCache } from 'lru-cache';
import { emailsToLookUp } from '../../shared/rules.js';
import { BudgetStore, Budget } from '../budgets.js';
import { rateLimited } from '../errors.js';
import { siteOf, type ClientAddress } from '../origins.js';
import type { Sessions } from '../sessions.js';

/** Of an account, from one address: so many tries without a delay. Each second brings back one. */
const MAX_FREE_TRIES = 5;
/** After them each wrong try doubles the delay, from a second to this. */
const MAX_DELAY_SECONDS = 900;
/** Of wrong tries one an hour is forgotten, and all of them with a right one. */
const FORGETTING = { name: 'wrong-tries', points: 24, refillSeconds: 86_400, maxDebt: 0 };
/** Wrong tries at all accounts from an address (of IPv6, a /64), and from a site (a /48). They come back one every 36, or 9, seconds. */
const MAX_WRONG_OF_ADDRESS = 100;
const MAX_WRONG_OF_SITE = 400;
/** Wrong tries at an account from everywhere. They come back within an hour. */
const MAX_WRONG_OF_ACCOUNT = 200;
/** With more of these an account is under attack: an address that is new to it has one try at a time, and waits this long after the first. */
const ATTACKED = MAX_WRONG_OF_ACCOUNT / 2;
const FIRST_DELAY_UNDER_ATTACK_SECONDS = 64;
/** Addresses from which an account was signed in to, and for how long each is known. */
const MAX_KNOWN_ADDRESSES = 32;
const KNOWN_MS = 30 * 86_400_000;
/** Refusals that are remembered, and for how long: whoever does not wait costs no question to Redis. */
const MAX_REFUSED = 10_000;
const REFUSED_MS = 1_000;

/** How a try ended; without an end, it stays counted as a wrong one. */
export interface Try {
  /** The account was signed in to from this address before. */
  readonly isKnown: boolean;
  wrong(): Promise<unknown>;
  right(): Promise<unknown>;
  /** Nobody could say whether it is right. */
  unknown(): Promise<unknown>;
}

export class LogInTries {
  private readonly pair;
  private readonly wrongOfPair;
  private readonly ofAddress;
  private readonly ofSite;
  private readonly ofAccount;
  /** By account and address, when they may come again. */
  private readonly refused = new LRUCache<string, number>({ max: MAX_REFUSED, ttl: REFUSED_MS });

  constructor(
    private readonly store: BudgetStore,
    private readonly sessions: Sessions,
  ) {
    // Points are seconds of delay.
    this.pair = new Budget(store, { name: 'log-in', points: MAX_FREE_TRIES, refillSeconds: MAX_FREE_TRIES, maxDebt: MAX_DELAY_SECONDS });
    this.wrongOfPair = new Budget(store, FORGETTING);
    this.ofAddress = new Budget(store, { name: 'log-ins-of-address', points: MAX_WRONG_OF_ADDRESS, refillSeconds: 3_600 });
    this.ofSite = new Budget(store, { name: 'log-ins-of-site', points: MAX_WRONG_OF_SITE, refillSeconds: 3_600 });
    this.ofAccount = new Budget(store, { name: 'log-ins-of-account', points: MAX_WRONG_OF_ACCOUNT, refillSeconds: 3_600 });
  }

  /** Before the password is looked at: many tries at once count as many. @throws RATE_LIMITED */
  async begin(usernameOrEmail: string, { network }: ClientAddress): Promise<Try> {
    const account = this.sessions.digest(`log-in/${normalised(usernameOrEmail)}`);
    const pair = `${account}/${network}`;
    const site = siteOf(network);
    const refusedMs = (this.refused.get(pair) ?? 0) - Date.now();
    if (refusedMs > 0) throw tooMany(refusedMs);
    const [isKnown, wrongOfAccount] = await Promise.all([this.isKnown(account, network), this.ofAccount.used(account)]);
    const isStrict = !isKnown && wrongOfAccount >= ATTACKED;
    const taken = isStrict ? MAX_FREE_TRIES : 1;
    const { isGranted, left: leftOfPair, retryAfterMs } = await this.pair.take(pair, taken);
    if (!isGranted) {
      this.refused.set(pair, Date.now() + retryAfterMs);
      throw tooMany(retryAfterMs);
    }
    // Neighbours who guess at other accounts are no reason to keep somebody out who has signed in from here before.
    const shared = isKnown ? [] : [this.ofAddress.take(network, 1), this.ofSite.take(site, 1)];
    const [ofAddress, ofSite] = await Promise.all(shared);
    const refused = [ofAddress, ofSite].filter((one) => one?.isGranted === false);
    const giveBackShared = () => [
      ...(ofAddress?.isGranted ? [this.ofAddress.giveBack(network, 1)] : []),
      ...(ofSite?.isGranted ? [this.ofSite.giveBack(site, 1)] : []),
    ];
    if (refused.length > 0) {
      await Promise.all([this.pair.giveBack(pair, taken), ...giveBackShared()]);
      throw tooMany(Math.max(...refused.map((one) => one!.retryAfterMs)));
    }
    const [{ left }, counted] = await Promise.all([this.wrongOfPair.charge(pair, 1), this.ofAccount.take(account, 1)]);
    const giveBackOfAccount = () => (counted.isGranted ? [this.ofAccount.giveBack(account, 1)] : []);
    const delaySeconds = delayAfter(FORGETTING.points - left, isStrict);

    return {
      isKnown,
      // So that there is room for as many again after so many seconds.
      wrong: async () => delaySeconds > 0 && this.pair.charge(pair, Math.max(0, delaySeconds + leftOfPair - taken)),
      right: () => {
        this.refused.delete(pair);

        return Promise.all([
          this.pair.refill(pair),
          this.wrongOfPair.refill(pair),
          ...giveBackShared(),
          ...giveBackOfAccount(),
          this.remember(account, network),
        ]);
      },
      unknown: () =>
        Promise.all([this.pair.giveBack(pair, taken), this.wrongOfPair.giveBack(pair, 1), ...giveBackShared(), ...giveBackOfAccount()]),
    };
  }

  private async isKnown(account: string, network: string): Promise<boolean> {
    const { redis } = this.store;
    const since = await this.store.ask(
      () => redis.zscore(this.knownKey(account), this.memberOf(account, network)),
      () => null,
    );

    return since !== null && Number(since) > Date.now() - KNOWN_MS;
  }

  private async remember(account: string, network: string): Promise<void> {
    const { redis } = this.store;
    const key = this.knownKey(account);
    await this.store.ask(
      async () => {
        const known = redis.multi().zadd(key, Date.now(), this.memberOf(account, network));
        await known
          .zremrangebyrank(key, 0, -MAX_KNOWN_ADDRESSES - 1)
          .pexpire(key, KNOWN_MS)
          .exec();
      },
      () => undefined,
    );
  }

  private knownKey(account: string): string {
    return `${this.store.prefix('known-addresses')}:${account}`;
  }

  /** Where people were is nobody's business who looks into Redis. */
  private memberOf(account: string, network: string): string {
    return this.sessions.digest(`address/${account}/${network}`);
  }
}

const tooMany = (retryAfterMs: number) => rateLimited('There were too many wrong log-ins.', 'log-in', retryAfterMs);

function delayAfter(wrongTries: number, isStrict: boolean): number {
  const delaySeconds = isStrict
    ? FIRST_DELAY_UNDER_ATTACK_SECONDS * 2 ** (wrongTries - 1)
    : wrongTries < MAX_FREE_TRIES
      ? 0
      : 2 ** (wrongTries - MAX_FREE_TRIES);

  return Math.min(delaySeconds, MAX_DELAY_SECONDS);
}

/** The same for what finds the same account. */
function normalised(usernameOrEmail: string): string {
  if (usernameOrEmail.includes('@')) return emailsToLookUp(usernameOrEmail).at(-1) ?? '';

  return usernameOrEmail.normalize('NFC').toLowerCase();
}
