/**
 * Standard output and standard error, which may fail at any time. Whoever reads may have seen enough, as `head` has: that is no error,
 * and what was begun is finished. A disk may be full: then the answer is not there, and the command has not done what it was called for.
 */
import { OperatorError } from './subcommand.js';

let failure: NodeJS.ErrnoException | null = null;

/** From now on no error of these streams ends the process. */
export function watchOutput(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    failure ??= error;
  });
  process.stderr.on('error', () => undefined);
}

/** Nobody reads any more, or nothing can be written: a command that goes on for ever is over. */
export const isOutputGone = (): boolean => failure !== null;

/** @throws OperatorError when something that was printed could not be written, although somebody wanted it */
export function expectWritten(): void {
  if (failure) expectReaderGone(failure);
}

/** @throws OperatorError when it is another error of standard output */
export function expectReaderGone(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return;
  if (error.syscall !== undefined) throw new OperatorError(`Standard output cannot be written: ${error.message}`);
  throw error;
}
