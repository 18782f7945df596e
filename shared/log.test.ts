import { describe, expect, it } from '@jest/globals';
import { Writable } from 'node:stream';
import { createLog, type Logger } from './log.js';

describe('a log', () => {
  it('says what went wrong with a statement, and not the statement, which holds what nobody may read', () => {
    let written = '';
    const out = new Writable({ write: (chunk, _, done) => done(void (written += chunk)) });
    const error = Object.assign(new Error('Duplicate entry'), { sql: "insert … '$argon2id$secret'", errno: 1062, parameters: ['secret'] });
    Object.assign(error, { command: { name: 'set', args: ['secret'] } });
    createLog('test', 'info', out).error({ err: error }, 'a command failed');
    expect(JSON.parse(written)).toMatchObject({
      service: 'test',
      msg: 'a command failed',
      err: { message: 'Duplicate entry', errno: 1062 },
    });
    expect(written).not.toContain('secret');
  });

  it.each<[string, () => unknown]>([
    ['a BigInt', () => 10n],
    ['a cycle', () => Object.assign(cycle, { cycle })],
    ['a getter that throws', () => Object.defineProperty({}, 'bad', { enumerable: true, get: () => fail(new Error('no')) })],
    ['a getter that throws nothing', () => Object.defineProperty({}, 'bad', { enumerable: true, get: () => fail(null) })],
    ['a toJSON that throws', () => ({ toJSON: () => fail(new Error('no')) })],
    ['a toJSON that gives itself', () => Object.assign(itself, { toJSON: () => itself })],
    ['a lone surrogate', () => `\ud800 ${'x'.repeat(200)} \udc00`],
    ['an enormous text', () => 'x'.repeat(10_000_000)],
    ['an enormous key', () => ({ ['x'.repeat(1_000_000)]: 1 })],
    ['a list without end', () => Array.from({ length: 1_000_000 }, (_, i) => ({ i }))],
    ['what is as wide as it is deep', () => wide(6)],
    ['100,000 levels', () => JSON.parse('['.repeat(100_000) + ']'.repeat(100_000)) as unknown],
    ['bytes', () => Buffer.alloc(1_000_000)],
    ['a Date that is none', () => new Date(NaN)],
    ['a proxy that throws', () => new Proxy({}, { ownKeys: () => fail(new Error('no')), get: () => fail(new Error('no')) })],
    ['a symbol', () => Symbol('x')],
    ['a function', () => () => undefined],
    ['nothing', () => undefined],
    ['an error with all of it', () => Object.assign(new Error('x'.repeat(1_000_000)), { big: 1n, cycle, cause: new Error('y') })],
    ['an error whose message throws', () => Object.defineProperty(new Error('x'), 'message', { get: () => fail(new Error('no')) })],
    [
      'an error in another, with its statement',
      () => Object.assign(new Error('x'), { original: Object.assign(new Error('y'), { sql: 'secret' }) }),
    ],
  ])('writes a line of JSON, and a short one, of %s', (_, value) => {
    for (const write of [
      (log: Logger) => log.info({ value: value() }, 'told'),
      (log: Logger) => log.error({ err: value(), more: { value: value() } }, 'told'),
      (log: Logger) => log.warn(value() as object, 'told'),
      (log: Logger) => log.warn(value() as object),
      (log: Logger) => log.child({ service: 'test' }).info({ list: [value()] }, 'told'),
    ]) {
      let written = '';
      write(createLog('test', 'info', new Writable({ write: (chunk, _, done) => done(void (written += chunk)) })));
      const lines = written.split('\n').filter(Boolean);
      expect(lines).toHaveLength(1);
      expect(lines[0]!.length).toBeLessThan(100_000);
      expect(lines[0]!.isWellFormed()).toBe(true);
      expect(JSON.parse(lines[0]!)).toMatchObject({ service: 'test' });
      expect(written).not.toContain('secret');
    }
  });
});

const cycle: Record<string, unknown> = { a: 1 };
const itself: Record<string, unknown> = {};
const wide = (levels: number): unknown =>
  levels === 0 ? 'x'.repeat(1_000) : Array.from({ length: 20 }, () => (levels < 5 ? 'x'.repeat(1_000) : wide(levels - 1)));
function fail(error: unknown): never {
  throw error;
}
