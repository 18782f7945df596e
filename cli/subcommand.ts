/** What a subcommand is, and the two ways in which it can fail that are not a bug. */

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
