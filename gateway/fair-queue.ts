/**
 * A queue in which everybody has the same share of what it is a queue for (start-time fair queueing: Goyal, Vin and Cheng, 1996). Who has used
 * least has the next turn, however many others wait, and however much of what they have asked for. What somebody did not use is not
 * saved up: who comes after a pause is level with those who have their turn then.
 *
 * Who somebody is may have several levels: an address, say, and a connection from there. Then addresses have the same share, and of that of
 * their address the connections.
 */
import TinyQueue from 'tinyqueue';
import { Queue } from './queue.js';

/** Of each level, those remembered who wait for nothing, and have used more than others. */
const MAX_REMEMBERED = 1_000;

type Key = string | number;
/** From the first level to the last. */
type Keys = readonly Key[];

/** What waits for one of a level: in a line, or in a queue of the next level. */
interface Items<T> {
  readonly size: number;
  readonly first: T | undefined;
  push(item: T, keys: Keys): void;
  shift(): T | undefined;
  pop(): T | undefined;
}

interface Member<T> {
  readonly key: Key;
  used: number;
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
  /** What the last one who had a turn had used. */
  private level = 0;
  private pushed = 0;
  private count = 0;
  private forgetAt = MAX_REMEMBERED;

  /**
   * @param deposits of each level, what somebody who is not known has used, in place of nothing: else it could pay to be somebody else each
   *   time
   */
  constructor([deposit = 0, ...ofNextLevel]: readonly number[]) {
    this.deposit = deposit;
    this.ofNextLevel = ofNextLevel;
  }

  get size(): number {
    return this.count;
  }

  /** Whose turn is next. */
  get first(): T | undefined {
    return this.next()?.items.first;
  }

  /** Of somebody of the first level: how many wait, and the one whose turn is next among them. */
  of(key: Key): { size: number; first: T | undefined } {
    return this.members.get(key)?.items ?? { size: 0, first: undefined };
  }

  push(item: T, [key, ...keys]: Keys): void {
    const member = this.member(key!);
    const isFirst = member.items.size === 0;
    member.items.push(item, keys);
    this.count += 1;
    if (!isFirst) return;
    member.used = Math.max(member.used, this.level);
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

  /** The last item of whoever has most that wait. */
  pop(): T | undefined {
    const most = this.most;
    if (most) this.count -= 1;

    return most?.items.pop();
  }

  /** Of the first level, who has most that wait. */
  get greediest(): Key | undefined {
    return this.most?.key;
  }

  /** Somebody has used something, with or without a turn. */
  charge(amount: number, [key, ...keys]: Keys): void {
    const { items } = this.charged(key!, amount);
    if (items instanceof FairQueue) items.charge(amount, keys);
  }

  /** What somebody has used, at each level; who has used less than others is level with them. */
  usedBy([key, ...keys]: Keys): number[] {
    const member = this.members.get(key!);
    const used = Math.max(member?.used ?? this.level + this.deposit, this.level);

    return [used, ...(member?.items instanceof FairQueue ? member.items.usedBy(keys) : this.ofNextLevel)];
  }

  /** Has somebody used no more, at any level, than who had the last turn? */
  isLevel([key, ...keys]: Keys): boolean {
    const member = this.members.get(key!);
    if (!member) return this.deposit === 0;

    return member.used <= this.level && (!(member.items instanceof FairQueue) || member.items.isLevel(keys));
  }

  private charged(key: Key, amount: number): Member<T> {
    const member = this.member(key);
    member.used = Math.max(member.used, this.level) + amount;

    return member;
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
      const items = this.ofNextLevel.length > 0 ? new FairQueue<T>(this.ofNextLevel) : new Queue<T>();
      member = { key, used: this.level + this.deposit, items, order: 0, isStanding: false };
      this.members.set(key, member);
    }

    return member;
  }

  /** Of those who wait for nothing, the ones who are level again anyway; and if that is not enough, those who came first. */
  private forget(): void {
    const idle = [...this.members.values()].filter(({ items }) => items.size === 0);
    for (const { key, used } of idle) if (used <= this.level) this.members.delete(key);
    for (const { key } of idle) {
      if (this.members.size <= MAX_REMEMBERED / 2) break;
      this.members.delete(key);
    }
    // While many wait, it would find the same again and again.
    this.forgetAt = Math.max(MAX_REMEMBERED, 2 * this.members.size);
  }
}
