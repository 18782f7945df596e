/**
 * How large the answers to one request may become: one counter for all of its operations, counted while they are made. What could be asked for
 * is bounded before (complexity.ts), by numbers of values; how long a text is shows only then.
 */
import type { GraphQLError } from 'graphql';
import { fault } from './errors.js';

/** Of all answers to one request, or to one operation of a socket, as JSON. */
export const MAX_ANSWER_BYTES = 1024 * 1024;
/** Counting a text as UTF-8 costs more than a short one can be wrong by. */
const SHORT = 64;
/** Of numbers, booleans and nulls. */
const SMALL_BYTES = 5;
const DATE_BYTES = 26;

export class AnswerSize {
  private bytes = 0;
  /** Once it is, nothing more is to be made. */
  isFull = false;
  /** One for all of its fields: to make an error, with where it was thrown, takes a hundred times as long as to throw it. */
  private thrown: GraphQLError | undefined;

  constructor(private readonly max = MAX_ANSWER_BYTES) {}

  /** @throws ANSWER_TOO_LARGE */
  add(bytes: number): void {
    this.bytes += bytes;
    if (this.bytes > this.max) this.end();
  }

  /** A scalar or an enum, about as long as it will be in JSON. */
  addLeaf(value: unknown): void {
    if (typeof value === 'string') this.add(2 + (value.length > SHORT ? Buffer.byteLength(value) : value.length));
    else if (typeof value !== 'object') this.add(SMALL_BYTES);
    else this.add(value instanceof Date ? DATE_BYTES : JSON.stringify(value).length);
  }

  /** @throws ANSWER_TOO_LARGE */
  end(): never {
    this.isFull = true;
    throw (this.thrown ??= this.fault());
  }

  fault(details: Record<string, unknown> = {}): GraphQLError {
    const most = this.max % (1024 * 1024) === 0 ? `${this.max / (1024 * 1024)} MiB` : `${this.max} bytes`;

    return fault('ANSWER_TOO_LARGE', `The answer would be longer than ${most}. Ask for smaller pages, or for less of each item.`, details);
  }
}
