/**
 * Errors that are not a rule of the domain: GraphQL errors with `extensions.code`. (A rule's no is a `userError` with an
 * `ErrorCode`.) The list, with what a client should do, is in docs/errors.md.
 */
import { GraphQLError, type FormattedExecutionResult } from 'graphql';
import type { TokenFault } from './sessions.js';

export type FaultCode =
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'BAD_USER_INPUT'
  | 'ANSWER_TOO_LARGE'
  | 'BAD_TOKEN'
  | 'NOT_CAUGHT_UP'
  | 'OVERLOADED'
  | 'RATE_LIMITED'
  | 'UNAVAILABLE';

/** Those after which the same again may succeed. */
const RETRYABLE: ReadonlySet<FaultCode> = new Set(['NOT_CAUGHT_UP', 'OVERLOADED', 'RATE_LIMITED', 'UNAVAILABLE']);

/**
 * An error without a stack: nobody looks at the stack of a refusal, and to make one takes as long as everything else that a refused request needs.
 * @param http the HTTP status when the fault ends the whole request before it is executed; later it changes nothing
 */
export function fault(code: FaultCode, message: string, { http, ...details }: { http?: number; [key: string]: unknown } = {}) {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return new GraphQLError(message, {
      extensions: {
        code,
        ...(RETRYABLE.has(code) ? { retryable: true } : {}),
        ...details,
        ...(http ? { http: { status: http } } : {}),
      },
    });
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** @param authentication what is wrong with the access token that came, if one did */
export const unauthenticated = (authentication?: Authentication | null) =>
  fault('UNAUTHENTICATED', authentication ? `Nobody is signed in. ${authentication.message}` : 'Nobody is signed in.');

/** In `extensions.authentication`: the operation was executed as nobody's, because its access token is no good. */
export interface Authentication {
  code: TokenFault;
  message: string;
}

export const authenticationOf = (code: TokenFault): Authentication => ({
  code,
  message: code === 'TOKEN_EXPIRED' ? 'The access token has expired.' : 'The access token is not valid.',
});

export const overloaded = () => fault('OVERLOADED', 'This gateway has its hands full. Nothing was done; try again.', { http: 503 });

/**
 * Somebody has used up a budget. Nothing was done of what was asked for.
 * @param budget its name, as in docs/limits.md
 */
export function rateLimited(why: string, budget: string, retryAfterMs: number) {
  const seconds = secondsOf(retryAfterMs);

  return fault('RATE_LIMITED', `${why} Try again in ${seconds} ${seconds === 1 ? 'second' : 'seconds'}.`, {
    http: 429,
    budget,
    retryAfterMs,
  });
}

/** The header `Retry-After` of errors that say when to come again; null if none does. */
export function retryAfterOf(errors: readonly { extensions?: Record<string, unknown> }[] = []): string | null {
  const waitsMs = errors.map(({ extensions }) => Number(extensions?.retryAfterMs ?? 0));
  const longestMs = Math.max(0, ...waitsMs);

  return longestMs > 0 ? String(secondsOf(longestMs)) : null;
}

const secondsOf = (ms: number) => Math.ceil(ms / 1_000);

/** graphql-js describes a wrong value by writing all of it down, once for each thing that is wrong with it. */
const MAX_MESSAGE_CHARACTERS = 1_000;

/** The message of an error, cut where it would make the answer many times as long as the request. */
export const cutMessage = (message: string): string =>
  message.length <= MAX_MESSAGE_CHARACTERS ? message : `${message.slice(0, MAX_MESSAGE_CHARACTERS - 1).toWellFormed()}…`;

/** The header `WWW-Authenticate` of a 401 (RFC 6750, section 3). */
export const NO_ACCESS = 'Bearer error="invalid_token"';

export const A_BUG = 'Something went wrong here. It was written down.';

/** Is there nothing in an answer but this refusal, that nobody is signed in, say? */
export const isRefusedWhole = (
  { data, errors = [] }: Pick<FormattedExecutionResult, 'data' | 'errors'>,
  code: FaultCode = 'UNAUTHENTICATED',
): boolean =>
  errors.length > 0 &&
  errors.every(({ extensions }) => extensions?.code === code) &&
  Object.values(data ?? {}).every((field) => field === null);

/** To all who come before a gateway has what it cannot do without. */
export const NOT_YET = { status: 503, body: { errors: [fault('UNAVAILABLE', 'This gateway has only just begun.')] } };

/** What a frame of a subscription is about has gone meanwhile, as a later frame will tell: this one is left out. */
export class GoneMeanwhile extends Error {
  override name = 'GoneMeanwhile';
}
