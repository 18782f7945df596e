/**
 * A queue with a line for each key (an address, say), in which all keys have the same share of the turns. Whoever has had fewer has the next
 * one, and whoever comes after a pause is one turn before those who have theirs then: so somebody who comes seldom waits for nobody who comes all
 * the time, neither for their long lines nor for those whose short lines end and begin again (start-time fair queueing: Goyal, Vin and Cheng,
 * 1996). A call takes as long as there are keys: it is for few and slow things, such as passwords.
 */
export interface Place {
  /** Leaves the queue, if it has not had its turn. */
  leave(): void;
}

interface Line<T> {
  items: T[];
  /** The turns that it has had, on the clock of all lines. */
  used: number;
}

export class FairLines<T> {
  private readonly lines = new Map<string, Line<T>>();
  /** What the last one who had a turn had used before. */
  private level = 0;
  private waiting = 0;

  get size(): number {
    return this.waiting;
  }

  /** How many have their turns before one who joins the line of this key now, if nobody else comes. */
  ahead(key: string): number {
    const own = this.lines.get(key);
    const turn = this.entering(own) + (own?.items.length ?? 0);
    let ahead = 0;
    for (const { items, used } of this.lines.values()) ahead += Math.min(items.length, Math.max(0, Math.floor(turn - used) + 1));

    return ahead;
  }

  push(key: string, item: T): Place {
    const line = this.lines.get(key) ?? { items: [], used: this.entering() };
    this.lines.set(key, line);
    line.used = this.entering(line);
    line.items.push(item);
    this.waiting += 1;

    return {
      leave: () => {
        const at = line.items.indexOf(item);
        if (at < 0) return;
        line.items.splice(at, 1);
        this.waiting -= 1;
      },
    };
  }

  /** The last of the longest line, if that is longer than the line of this key would be with one more. */
  pop(key: string): T | undefined {
    let longest: Line<T> | null = null;
    for (const line of this.lines.values()) if (line.items.length > (longest?.items.length ?? 0)) longest = line;
    if (!longest || longest.items.length <= (this.lines.get(key)?.items.length ?? 0) + 1) return undefined;
    this.waiting -= 1;

    return longest.items.pop();
  }

  shift(): T | undefined {
    let next: Line<T> | null = null;
    for (const [key, line] of this.lines) {
      if (line.items.length > 0) next = next && next.used <= line.used ? next : line;
      // It has nothing that whoever is new has not.
      else if (line.used <= this.entering()) this.lines.delete(key);
    }
    if (!next) return undefined;
    this.level = Math.max(this.level, next.used);
    next.used += 1;
    this.waiting -= 1;

    return next.items.shift();
  }

  /** What a line has used that begins now, or goes on. */
  private entering(line?: Line<T>): number {
    return line && line.items.length > 0 ? line.used : Math.max(line?.used ?? -1, this.level - 1);
  }
}
