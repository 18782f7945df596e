/** Taken ones are let go of in one go, this many: taking the first out of a long array moves all others. */
const MAX_TAKEN = 1_024;

/** First in, first out. */
export class Queue<T> {
  private items: T[] = [];
  private begin = 0;

  get size(): number {
    return this.items.length - this.begin;
  }

  get first(): T | undefined {
    return this.items[this.begin];
  }

  push(item: T): void {
    this.items.push(item);
  }

  shift(): T | undefined {
    const item = this.items[this.begin];
    if (item === undefined) return undefined;
    this.begin += 1;
    if (this.begin === MAX_TAKEN || this.begin === this.items.length) [this.items, this.begin] = [this.items.slice(this.begin), 0];

    return item;
  }

  /** @returns whether it was there */
  remove(item: T): boolean {
    const at = this.items.indexOf(item, this.begin);
    if (at >= 0) this.items.splice(at, 1);

    return at >= 0;
  }

  /** The last one. */
  pop(): T | undefined {
    return this.size > 0 ? this.items.pop() : undefined;
  }
}
