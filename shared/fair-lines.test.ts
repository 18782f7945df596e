import { describe, expect, it } from '@jest/globals';
import { FairLines } from './fair-lines.js';

const drain = (queue: FairLines<string>) => {
  const all: string[] = [];
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) all.push(item);

  return all;
};

describe('a queue with fair lines', () => {
  it('of one key is first in, first out', () => {
    const queue = new FairLines<string>();
    for (let i = 0; i < 5; i++) queue.push('a', `a${i}`);
    expect(queue.size).toBe(5);
    expect(drain(queue)).toEqual(['a0', 'a1', 'a2', 'a3', 'a4']);
    expect([queue.size, queue.shift()]).toEqual([0, undefined]);
  });

  it('serves whoever comes seldom next, however many others have long lines', () => {
    const queue = new FairLines<string>();
    for (let n = 0; n < 20; n++) for (let i = 0; i < 50; i++) queue.push(`flood ${n}`, `flood ${n}`);
    for (let i = 0; i < 100; i++) queue.shift();
    for (let i = 0; i < 10; i++) {
      queue.push('somebody', 'somebody');
      expect(queue.shift()).toBe('somebody');
      for (let n = 0; n < 20; n++) queue.shift();
    }
  });

  it('serves them next, however many others come again as soon as they were served', () => {
    const queue = new FairLines<string>();
    for (let n = 0; n < 16; n++) queue.push(`flood ${n}`, `flood ${n}`);
    for (let i = 0; i < 100; i++) {
      const served = queue.shift()!;
      queue.push(served, served);
    }
    queue.push('somebody', 'somebody');
    expect(queue.ahead('nobody yet')).toBe(1);
    expect(queue.shift()).toBe('somebody');
  });

  it('gives all keys the same share, and remembers only those that have had more than others', () => {
    const queue = new FairLines<string>();
    for (let i = 0; i < 30; i++) for (const key of ['a', 'b', 'c']) queue.push(key, key);
    const first = Array.from({ length: 30 }, () => queue.shift());
    for (const key of ['a', 'b', 'c']) expect(first.filter((one) => one === key)).toHaveLength(10);
  });

  it('can be left, from anywhere, and once', () => {
    const queue = new FairLines<string>();
    const places = ['a', 'b', 'a', 'a', 'b'].map((key, i) => queue.push(key, `${key}${i}`));
    places[2]!.leave();
    places[1]!.leave();
    places[1]!.leave();
    expect(queue.size).toBe(3);
    expect(drain(queue).sort()).toEqual(['a0', 'a3', 'b4']);
    places[0]!.leave();
    expect(queue.size).toBe(0);
  });
});
