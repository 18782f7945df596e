/** Structured logs, one JSON object a line on standard output: https://getpino.io */
import { pino, type Logger } from 'pino';

export type { Logger };

export function createLog(service: string, level = 'info'): Logger {
  return pino({ level, base: { service, pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime });
}
