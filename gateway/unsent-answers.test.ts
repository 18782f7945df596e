import { EventEmitter } from 'node:events';
import { expect, it } from '@jest/globals';
import { UnsentAnswers } from './unsent-answers.js';

const MIB = 1024 * 1024;
class Reader extends EventEmitter {
  isCutOff = false;
  destroy(): this {
    this.isCutOff = true;
    this.emit('close');

    return this;
  }
}

it('answers that nobody takes are given up, the oldest first, and no others', () => {
  const answers = new UnsentAnswers();
  const readers = Array.from({ length: 64 }, () => new Reader());
  for (const reader of readers) answers.add(reader, MIB);
  // Who has taken it does not count any more.
  readers[0]!.emit('close');
  answers.add(new Reader(), MIB);
  expect(readers.filter(({ isCutOff }) => isCutOff)).toEqual([]);

  const last = new Reader();
  answers.add(last, MIB);
  expect(readers.map(({ isCutOff }) => isCutOff)).toEqual(readers.map((_, i) => i > 0 && i <= 33));
  expect(last.isCutOff).toBe(false);
});
