/** Structured logs, one JSON object a line on standard output: https://getpino.io */
import { pino, stdSerializers, type DestinationStream, type Logger } from 'pino';

export type { Logger };

/** What is logged may come from anywhere, and must neither throw, nor fill the disk: text is cut, and so is what is deep or wide. */
const MAX_TEXT = 8 * 1024;
const MAX_DEPTH = 6;
const MAX_ENTRIES = 100;
/** Of a line's fields, in all. */
const MAX_CHARACTERS = 32 * 1024;

/** @param out standard output, if not another stream */
export function createLog(service: string, level = 'info', out?: DestinationStream): Logger {
  const options = {
    level,
    base: { service, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (error: unknown) => (error instanceof Error ? withoutStatement(error, line()) : error) },
    formatters: { log: (fields: Record<string, unknown>) => loggable(fields, 0, line()) as Record<string, unknown> },
    hooks: {
      logMethod(this: Logger, args: unknown[], method: (...args: Parameters<Logger['info']>) => void) {
        const write = (...args: unknown[]) => method.apply(this, args as Parameters<Logger['info']>);
        // Anything else that pino trips over is logged as that: to log must not be what ends a process.
        try {
          const [first, ...texts] = args;
          const cutTexts = texts.map((text) => (typeof text === 'string' ? cut(text) : text));
          if (first instanceof Error) write({ err: first }, ...(texts.length > 0 ? cutTexts : [cut(String(first.message))]));
          else if (typeof first === 'object' && first !== null) write(first, ...cutTexts);
          else write(cut(String(first)), ...cutTexts);
        } catch (error) {
          write({ unloggable: inWords(error) }, 'could not log');
        }
      },
    },
  };

  return out ? pino(options, out) : pino(options);
}

/** How many characters a line still has room for. */
interface Line {
  left: number;
}

const line = (): Line => ({ left: MAX_CHARACTERS });

const cut = (text: string, most = MAX_TEXT) =>
  text.length <= most ? text : `${text.slice(0, most).toWellFormed()}… (${text.length} characters)`;

const inWords = (error: unknown) => cut(error instanceof Error ? String(error.message) : String(error));

/** Drivers put the whole statement, or command, into their errors, values and all: password hashes and addresses are in some. */
const STATEMENTS: ReadonlySet<string> = new Set(['sql', 'parameters', 'query', 'command']);

function withoutStatement(error: Error, room: Line): unknown {
  try {
    return loggable(stdSerializers.err(error), 0, room, STATEMENTS);
  } catch (cause) {
    return { type: 'Error', message: `An error that cannot be logged: ${inWords(cause)}` };
  }
}

/** The same value as something that is JSON: what throws, has no form in JSON, or is in itself, is said in words. */
function loggable(value: unknown, depth: number, room: Line, without?: ReadonlySet<string>): unknown {
  room.left -= 8;
  if (typeof value === 'string') {
    const text = cut(value, Math.max(0, Math.min(MAX_TEXT, room.left)));
    room.left -= text.length;

    return text;
  }
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'symbol' || typeof value === 'function') return `[${typeof value}]`;
  if (typeof value !== 'object' || value === null) return value;
  if (depth > MAX_DEPTH || room.left <= 0) return '[…]';
  try {
    if (value instanceof Error) return withoutStatement(value, room);
    if ('toJSON' in value && typeof value.toJSON === 'function')
      return loggable((value.toJSON as () => unknown)(), depth + 1, room, without);
    if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
    if (Array.isArray(value)) {
      const items = value.slice(0, MAX_ENTRIES).map((item: unknown) => loggable(item, depth + 1, room, without));

      return value.length > MAX_ENTRIES ? [...items, `[${value.length - MAX_ENTRIES} more]`] : items;
    }
    const keys = Object.keys(value).filter((key) => !without?.has(key));
    const entries = keys.slice(0, MAX_ENTRIES).map((key) => [loggable(key, depth, room), field(value, key, depth, room, without)] as const);

    return Object.fromEntries(keys.length > MAX_ENTRIES ? [...entries, ['…', `${keys.length - MAX_ENTRIES} more`]] : entries);
  } catch (error) {
    return `[unloggable: ${inWords(error)}]`;
  }
}

/** A getter may throw, and the other fields are logged all the same. */
function field(value: object, key: string, depth: number, room: Line, without?: ReadonlySet<string>): unknown {
  try {
    return loggable((value as Record<string, unknown>)[key], depth + 1, room, without);
  } catch (error) {
    return `[unloggable: ${inWords(error)}]`;
  }
}
