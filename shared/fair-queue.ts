/**
 * A queue in which everybody has the same share of what it is a queue for (start-time fair queueing: Goyal, Vin and Cheng, 1996). Who has used
 * least has the next turn, however many others wait, and however much of what they have asked for. What somebody did not use is not
 * saved up: who comes after a pause is level with those who have their turn then.
 *
 * Who somebody is may have several levels: an address, say, and a connection from there. Then addresses have the same share, and of that of
 * their address the connections.
 *
 * What is measured is noisy: a turn may be short by chance, or have a collection of garbage in it that was nobody's fault. Among hundreds it would take
 * very long until all others have used as much as somebody who had one long turn. So at the last level all turns that are short count alike, and somebody is
 * charged at the most twice what they use as a rule: who uses much again and again pays for it.
 *
 * With a credit, whoever comes after a pause is ahead of those who have their turns then, by so much. So somebody who comes seldom does not wait for
 * everybody who comes again as soon as they had a turn.
 */
import TinyQueue from 'tinyqueue';
import { Queue } from './queue.js';

/** Of each level, those remembered who wait for nothing, and have used more than others. */
const MAX_REMEMBERED = 1_000;

type Key = string | number;
/** From the first level to the last. */
type Keys = readonly Key[];

/** What waits for one of a level: in a line, or in a queue of the next level, whose key is the one at `at`. */
interface Items<T> {
  readonly size: number;
  readonly first: T | undefined;
  push(item: T, keys: Keys, at: number): void;
  shift(): T | undefined;
  pop(): T | undefined;
  remove(item: T, keys: Keys, at: number): boolean;
}

interface Member<T> {
  readonly key: Key;
  used: number;
  /** At a time, as a rule. */
  usual: number;
  readonly items: Items<T>;
  /** Among equals, who has waited for longest. */
  order: number;
  /** It has an entry in `waiting`. */
  isStanding: boolean;
}

export class FairQueue<T> implements Items<T> {
  private readonly members = new Map<Key, Member<T>>();
  /** Those who wait, by what they had used when they came in here; it may be more by now. */
  private readonly waiting = new TinyQueue<{ used: number; order: number; member: Member<T> }>(
    [],
    (a, b) => a.used - b.used || a.order - b.order,
  );
  private readonly deposit: number;
  private readonly ofNextLevel: readonly number[];
  private readonly isNoisy: boolean;
  /** What the last one who had a turn had used. */
  private level = 0;
  private pushed = 0;
  private count = 0;
  private forgetAt = MAX_REMEMBERED;

  /**
   * @param deposits of each level, what somebody who is not known has used, in place of nothing: else it could pay to be somebody else each
   *   time. A negative one is a credit
   * @param isMeasured whether what is charged is measured; then a turn of the last level is short up to half of its deposit
   */
  constructor(
    [deposit = 0, ...ofNextLevel]: readonly number[],
    private readonly isMeasured = false,
  ) {
    this.deposit = deposit;
    this.ofNextLevel = ofNextLevel;
    this.isNoisy = isMeasured && ofNextLevel.length === 0;
  }

  get size(): number {
    return this.count;
  }

  /** Of the first level: how many wait, at the most. */
  get asking(): number {
    return this.waiting.length;
  }

  /** Whose turn is next. */
  get first(): T | undefined {
    return this.next()?.items.first;
  }

  /** Of somebody of the first level: how many wait, and the one whose turn is next among them. */
  of(key: Key): { size: number; first: T | undefined } {
    return this.members.get(key)?.items ?? { size: 0, first: undefined };
  }

  push(item: T, keys: Keys, at = 0): void {
    const member = this.member(keys[at]!);
    const isFirst = member.items.size === 0;
    member.items.push(item, keys, at + 1);
    this.count += 1;
    if (!isFirst) return;
    member.used = Math.max(member.used, this.least);
    this.stand(member);
  }

  /** The first item of who has used least. */
  shift(): T | undefined {
    const member = this.next();
    if (!member) return undefined;
    this.waiting.pop();
    member.isStanding = false;
    this.level = Math.max(this.level, member.used);
    this.count -= 1;
    const item = member.items.shift();
    if (member.items.size > 0) this.stand(member);

    return item;
  }

  /** Somebody has a turn without waiting, since nobody waits. */
  pass(keys: Keys, at = 0): void {
    const { used, items } = this.member(keys[at]!);
    this.level = Math.max(this.level, used);
    if (items instanceof FairQueue) items.pass(keys, at + 1);
  }

  /** The last item of whoever has most that wait. */
  pop(): T | undefined {
    const most = this.most;
    if (most) this.count -= 1;

    return most?.items.pop();
  }

  /** An item that waits leaves the queue, from wherever in it. @returns false if it does not wait any more */
  remove(item: T, keys: Keys, at = 0): boolean {
    const wasThere = this.members.get(keys[at]!)?.items.remove(item, keys, at + 1) ?? false;
    if (wasThere) this.count -= 1;

    return wasThere;
  }

  /** Of the first level: how many have their turns before one more of somebody would, if each is charged 1, and nobody else comes. */
  ahead(key: Key): number {
    const own = this.members.get(key);
    const size = own?.items.size ?? 0;
    const used = own?.used ?? this.level + this.deposit;
    const turn = (size > 0 ? used : Math.max(used, this.least)) + size;
    let ahead = 0;
    for (const { items, used } of this.members.values())
      if (items.size > 0) ahead += Math.min(items.size, Math.max(0, Math.floor(turn - used) + 1));

    return ahead;
  }

  /** Of the first level, who has most that wait. */
  get greediest(): Key | undefined {
    return this.most?.key;
  }

  /** Somebody has used something, with or without a turn. */
  charge(amount: number, keys: Keys, at = 0): void {
    const member = this.member(keys[at]!);
    const charged = this.isNoisy ? chargedFor(member, amount, this.deposit / 2) : amount;
    member.used = Math.max(member.used, this.least) + charged;
    if (member.items instanceof FairQueue) member.items.charge(amount, keys, at + 1);
  }

  /** What somebody has used, at a level (0 for the first); who has used less than others is level with them. */
  usedBy(keys: Keys, level: number, at = 0): number {
    const member = this.members.get(keys[at]!);
    if (level === 0) return Math.max(member?.used ?? this.level + this.deposit, this.least);

    return member?.items instanceof FairQueue ? member.items.usedBy(keys, level - 1, at + 1) : (this.ofNextLevel[level - 1] ?? 0);
  }

  /** Has somebody used no more, at any level, than who had the last turn? */
  isLevel(keys: Keys, at = 0): boolean {
    const member = this.members.get(keys[at]!);
    if (!member) return this.deposit === 0;

    return member.used <= this.level && (!(member.items instanceof FairQueue) || member.items.isLevel(keys, at + 1));
  }

  /** What somebody has used at the least who comes after a pause. */
  private get least(): number {
    return this.level + Math.min(0, this.deposit);
  }

  private get most(): Member<T> | undefined {
    let most: Member<T> | undefined;
    for (const member of this.members.values()) if (member.items.size > (most?.items.size ?? 0)) most = member;

    return most;
  }

  private next(): Member<T> | undefined {
    for (let first = this.waiting.peek(); first; first = this.waiting.peek()) {
      const { member, used } = first;
      const { size } = member.items;
      if (member.used === used && size > 0) return member;
      this.waiting.pop();
      if (size > 0) this.waiting.push({ used: member.used, order: member.order, member });
      else member.isStanding = false;
    }

    return undefined;
  }

  private stand(member: Member<T>): void {
    // One that was left behind by `pop` is put right when it comes first.
    if (member.isStanding) return;
    member.isStanding = true;
    member.order = ++this.pushed;
    this.waiting.push({ used: member.used, order: member.order, member });
  }

  private member(key: Key): Member<T> {
    let member = this.members.get(key);
    if (!member) {
      if (this.members.size >= this.forgetAt) this.forget();
      const items = this.ofNextLevel.length > 0 ? new FairQueue<T>(this.ofNextLevel, this.isMeasured) : new Queue<T>();
      member = { key, used: this.level + this.deposit, usual: this.deposit, items, order: 0, isStanding: false };
      this.members.set(key, member);
    }

    return member;
  }

  /** Of those who wait for nothing, the ones who are level again anyway; and if that is not enough, those who came first. */
  private forget(): void {
    const idle = [...this.members.values()].filter(({ items }) => items.size === 0);
    for (const { key, used } of idle) if (used <= this.least) this.members.delete(key);
    for (const { key } of idle) {
      if (this.members.size <= MAX_REMEMBERED / 2) break;
      this.members.delete(key);
    }
    // While many wait, it would find the same again and again.
    this.forgetAt = Math.max(MAX_REMEMBERED, 2 * this.members.size);
  }
}

/** @param short all that is less counts as much */
function chargedFor<T>(member: Member<T>, amount: number, short: number): number {
  const counted = Math.max(amount, short);
  const charged = Math.min(counted, 2 * member.usual);
  member.usual = Math.max(short, (member.usual + Math.min(counted, 4 * member.usual)) / 2);

  return charged;
}
