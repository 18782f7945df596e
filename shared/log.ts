/** Structured logs, one JSON object a line on standard output: https://getpino.io */
import { pino, stdSerializers, type DestinationStream, type Logger } from 'pino';

export type { Logger };

/** @param out standard output, if not another stream */
export function createLog(service: string, level = 'info', out?: DestinationStream): Logger {
  const options = {
    level,
    base: { service, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: withoutStatement },
  };

  return out ? pino(options, out) : pino(options);
}

/** Drivers put the whole statement, or command, into their errors, values and all: password hashes and addresses are in some. */
function withoutStatement(error: Error): unknown {
  const { sql: _, parameters: __, query: ___, command: ____, ...rest } = stdSerializers.err(error) as Record<string, unknown>;

  return rest;
}
