/** Numbers that look random, and are the same for the same seed and name: so that each party to a run has its own, whatever the others do. */
export class Random {
  private state: number;

  constructor(seed: number, name: string) {
    this.state = seed;
    for (const character of name) this.state = Math.imul(this.state ^ character.codePointAt(0)!, 0x01000193);
  }

  /** From 0 to 1, without 1: mulberry32. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;

    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From `from` to `to`, both included. */
  integer(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  pick<T>(things: readonly T[]): T {
    return things[this.integer(0, things.length - 1)]!;
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  /** A UUID. */
  id(): string {
    const hex = Array.from({ length: 8 }, () => this.integer(0, 0xffff).toString(16).padStart(4, '0'));

    return `${hex[0]}${hex[1]}-${hex[2]}-4${hex[3]!.slice(1)}-8${hex[4]!.slice(1)}-${hex[5]}${hex[6]}${hex[7]}`;
  }

  shuffled<T>(things: readonly T[]): T[] {
    const rest = [...things];

    return Array.from(things, () => rest.splice(this.integer(0, rest.length - 1), 1)[0]!);
  }
}
