/**
 * The commands that Redis has written by, whatever scripts they were in, as they stand in its append-only file, which has them as they
 * would be sent; to be sent again, bare. Redis must be on this machine.
 * Source of the form: https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
 */
import { createReadStream, linkSync, readdirSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { required } from './figures.js';
import { until } from './system.js';

const REWRITE_DEADLINE_MS = 300_000;
/** Of batches that are read before they are sent, so that reading them is not measured. */
const MAX_READ = 200;
const CHUNK_BYTES = 1 << 24;
/** They say what is one step, and to whom it belongs. */
const AROUND = /^\*\d+\r\n\$\d+\r\n(MULTI|EXEC|SELECT)\r\n/i;
const LONGEST_AROUND = 40;
/** Its answer says that all before it are done. */
const LAST = 'the last of a batch';

export class WrittenCommands {
  /** @param length of the file, in bytes: what is written later comes after that */
  private constructor(
    private readonly file: string,
    private readonly length: number,
  ) {}

  /** What is written while `write` goes on. Redis is one without a password. */
  static async record(redis: Redis, write: () => Promise<unknown>): Promise<WrittenCommands> {
    const setting = async (name: string) => ((await redis.config('GET', name)) as string[])[1]!;
    const folder = join(await setting('dir'), await setting('appenddirname'));
    const percentage = await setting('auto-aof-rewrite-percentage');
    const says = (what: RegExp) => async () => what.test(await redis.info('persistence'));
    const rewritten = says(/aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/);
    await redis.config('SET', 'auto-aof-rewrite-percentage', 0);
    await until('Redis has rewritten its file', REWRITE_DEADLINE_MS, rewritten);
    // From here on all goes into a new file.
    await redis.bgrewriteaof();
    await until('Redis has begun a new file', REWRITE_DEADLINE_MS, rewritten);
    await write();
    await until('all is in the file', REWRITE_DEADLINE_MS, says(/aof_pending_rewrite:0\r\naof_buffer_length:0\r\naof_pending_bio_fsync:0/));
    const files = readdirSync(folder).filter((name) => name.endsWith('.incr.aof'));
    const [newest] = files.map((name) => join(folder, name)).toSorted((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
    // It stays when Redis is done with it.
    const file = join(folder, 'recorded');
    rmSync(file, { force: true });
    linkSync(newest!, file);
    const { size } = statSync(file);
    // It would rewrite at once what is about to be removed, beside what is measured next.
    await redis.bgrewriteaof();
    await until('Redis has rewritten its file again', REWRITE_DEADLINE_MS, rewritten);
    await redis.config('SET', 'auto-aof-rewrite-percentage', percentage);

    return new WrittenCommands(file, size);
  }

  /** Sends them, so many at once. @returns how many seconds that took, without reading them */
  async replay(atOnce: number): Promise<number> {
    const { hostname, port } = new URL(required('REDIS_URL'));
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    let done: () => void = () => undefined;
    let end = '';
    socket.on('data', (data) => {
      const text = data.toString('latin1');
      if (/(^|\n)-/.test(text)) throw new Error(`Redis refuses: ${text.slice(0, 200)}`);
      end = (end + text).slice(-LAST.length - 2);
      if (end === `${LAST}\r\n`) done();
    });
    let seconds = 0;
    let batches: Buffer[] = [];
    const send = async () => {
      const startedAt = performance.now();
      for (const batch of batches) {
        const answered = new Promise<void>((resolve) => (done = resolve));
        socket.write(batch);
        socket.write(`ECHO "${LAST}"\r\n`);
        await answered;
      }
      seconds += (performance.now() - startedAt) / 1_000;
      batches = [];
    };
    let some: Buffer[] = [];
    for await (const command of this.commands()) {
      if (AROUND.test(command.toString('latin1', 0, LONGEST_AROUND))) continue;
      some.push(command);
      if (some.length < atOnce) continue;
      batches.push(Buffer.concat(some));
      some = [];
      if (batches.length === MAX_READ) await send();
    }
    batches.push(Buffer.concat(some));
    await send();
    socket.destroy();
    rmSync(this.file);

    return seconds;
  }

  /** One after another, as they are sent. */
  private async *commands(): AsyncGenerator<Buffer> {
    let bytes = Buffer.alloc(0);
    for await (const more of createReadStream(this.file, { end: this.length - 1, highWaterMark: CHUNK_BYTES })) {
      bytes = Buffer.concat([bytes, more as Buffer]);
      let start = 0;
      for (let end = endOf(bytes, start); end !== null; end = endOf(bytes, start)) {
        yield bytes.subarray(start, end);
        start = end;
      }
      bytes = bytes.subarray(start);
    }
  }
}

/** Of the command that begins there; null when it has not come whole. */
function endOf(bytes: Buffer, start: number): number | null {
  let at = start;
  /** The number in a line that begins here; NaN when it has not come whole. */
  const number = () => {
    const end = bytes.indexOf('\r\n', at);
    if (end === -1) return NaN;
    const value = Number(bytes.toString('latin1', at + 1, end));
    at = end + 2;

    return value;
  };
  const count = number();
  for (let word = 0; word < count; word++) {
    const length = number();
    if (Number.isNaN(length)) return null;
    at += length + '\r\n'.length;
  }

  return count > 0 && at <= bytes.length ? at : null;
}
