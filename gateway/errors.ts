/**
 * Errors that are not a rule of the domain: GraphQL errors with `extensions.code`. (A rule's no is a `userError` with an
 * `ErrorCode`.) The list, with what a client should do, is in docs/errors.md.
 */
import { GraphQLError } from 'graphql';

export type FaultCode = 'UNAUTHENTICATED' | 'FORBIDDEN' | 'BAD_USER_INPUT' | 'BAD_TOKEN' | 'NOT_CAUGHT_UP' | 'OVERLOADED' | 'UNAVAILABLE';

/** Those after which the same again may succeed. */
const RETRYABLE: ReadonlySet<FaultCode> = new Set(['NOT_CAUGHT_UP', 'OVERLOADED', 'UNAVAILABLE']);

/**
 * @param http the HTTP status when the fault ends the whole request before it is executed; later it changes nothing
 */
export function fault(code: FaultCode, message: string, { http, ...details }: { http?: number; [key: string]: unknown } = {}) {
  return new GraphQLError(message, {
    extensions: {
      code,
      ...(RETRYABLE.has(code) ? { retryable: true } : {}),
      ...details,
      ...(http ? { http: { status: http } } : {}),
    },
  });
}

export const unauthenticated = () => fault('UNAUTHENTICATED', 'Nobody is signed in.');

export const overloaded = () => fault('OVERLOADED', 'This gateway has its hands full. Nothing was done; try again.', { http: 503 });

/** To all who come before a gateway has what it cannot do without. */
export const NOT_YET = { status: 503, body: { errors: [fault('UNAVAILABLE', 'This gateway has only just begun.')] } };

/** What a frame of a subscription is about has gone meanwhile, as a later frame will tell: this one is left out. */
export class GoneMeanwhile extends Error {
  override name = 'GoneMeanwhile';
}
