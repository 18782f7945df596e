/** What a subcommand is, and the two ways in which it can fail that are not a bug. */

import { parseArgs, type ParseArgsConfig } from 'node:util';

export interface Subcommand {
  /** What it does, in a line. */
  summary: string;
  /** Its arguments, and what they mean: shown by `--help`. */
  usage: string;
  /** @throws UsageError, OperatorError */
  run(args: string[], print: (text: string) => void): Promise<void>;
}

/** It was called in a way that it does not know. `message` is one line. Exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** It could not do what it was called for. `message` is one line. Exit code 1. */
export class OperatorError extends Error {
  override name = 'OperatorError';
}

/** Options and positionals, as `parseArgs` gives them. @throws UsageError */
export function parseArguments<Options extends NonNullable<ParseArgsConfig['options']>>(args: string[], options: Options) {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // The first sentence; what follows is advice that does not fit.
    if (code?.startsWith('ERR_PARSE_ARGS')) throw new UsageError(message.replace(/(\. To |\n).*$/s, '.'));
    throw error;
  }
}

/** @throws UsageError when there are more than `most` */
export function atMost(positionals: string[], most: number): string[] {
  if (positionals.length > most) throw new UsageError(`${JSON.stringify(positionals[most])} is too much.`);

  return positionals;
}

/** A whole number that somebody has typed. @throws UsageError */
export function wholeNumber(what: string, text: string | undefined, least: number, most: number): number {
  if (text === undefined) throw new UsageError(`${what} is missing: a number from ${least} to ${most}.`);
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(value >= least && value <= most))
    throw new UsageError(`${what} must be a number from ${least} to ${most}, and not ${JSON.stringify(text)}.`);

  return value;
}

/** Columns as wide as their longest cell; the last one as it is. */
export function table(rows: string[][]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];

  return rows.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}

/** `1.2 s`, `5 min`, `3 h`, `2 d` */
export function duration(seconds: number): string {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;

  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}
