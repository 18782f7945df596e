import { describe, expect, it } from '@jest/globals';
import { Writable } from 'node:stream';
import { createLog } from './log.js';

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
});
