/** Files of lines, read and written in pieces, however large they are; and how far one has come, on a terminal. */
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { describe } from './servers.js';
import { OperatorError } from './subcommand.js';

/** Characters of a line, at the most: what is longer was not written by us. */
const MAX_CHARACTERS = 64 * 1024 * 1024;

/**
 * The lines of a file, without their ends, some at a time. `-` is standard input.
 * @throws OperatorError when it cannot be read
 */
export async function* readLines(file: string, { gzip = false } = {}): AsyncGenerator<string[]> {
  const source: Readable = file === '-' ? process.stdin : createReadStream(file, { highWaterMark: 256 * 1024 });
  let text: Readable = source;
  if (gzip) {
    const gunzip = createGunzip();
    pipeline(source, gunzip).catch(() => undefined); // Whoever reads the last stream hears of it.
    text = gunzip;
  }
  text.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of text) {
      const lines = (rest + (chunk as string)).split('\n');
      rest = lines.pop()!;
      if (rest.length > MAX_CHARACTERS) throw new OperatorError(`${file} has a line that is too long to be one of ours.`);
      if (lines.length > 0) yield lines;
    }
    if (rest !== '') yield [rest];
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall) throw new OperatorError(`${file} cannot be read: ${describe(error)}`);
    if (code?.startsWith('Z_')) throw new OperatorError(`${file} is damaged, cut short, or not what it should be: ${describe(error)}`);
    throw error;
  } finally {
    source.destroy();
  }
}

/**
 * Writes a file that is whole, on the disk, and its owner's alone: it holds everybody's address. One that was cut short is not to be
 * taken for it, nor to take the place of the one before.
 * @throws OperatorError when it cannot be written
 */
export async function writeWhole(file: string, lines: () => AsyncGenerator<string>, { gzip = false } = {}): Promise<void> {
  const unfinished = `${file}.${process.pid}.unfinished`;
  try {
    const packed = gzip ? createGzip({ level: 5 }) : new PassThrough();
    await pipeline(lines, packed, createWriteStream(unfinished, { mode: 0o600 }));
    const handle = await open(unfinished, 'r+');
    await handle.sync().finally(() => handle.close());
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true });
    if ((error as NodeJS.ErrnoException).syscall) throw new OperatorError(`${file} cannot be written: ${describe(error)}`);
    throw error;
  }
}

const TELL_MS = 500;

/** Says now and then how many are done, how fast, and for how long it will go on. On a terminal only. */
export function progress(what: string, total?: number): (count: number, isOver?: boolean) => void {
  const startedAt = performance.now();
  let toldAt = startedAt;

  return (count, isOver = false) => {
    const now = performance.now();
    if (!process.stderr.isTTY || (!isOver && now - toldAt < TELL_MS)) return;
    toldAt = now;
    const perSecond = count / Math.max(0.001, (now - startedAt) / 1_000);
    const left = total === undefined || isOver ? '' : `, ${Math.ceil(Math.max(0, total - count) / Math.max(1, perSecond))} s left`;
    const of = total === undefined ? '' : ` of ${total}`;
    process.stderr.write(`\r\u001b[K${count}${of} ${what}, ${Math.round(perSecond)}/s${left}${isOver ? '\n' : ''}`);
  };
}
