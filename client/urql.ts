/** urql: a terminating exchange. It takes the place of `fetchExchange` and `subscriptionExchange`, as the last one. */
import { makeErrorResult, makeOperation, makeResult, type Exchange, type Operation, type OperationResult } from '@urql/core';
import { filter, make, merge, mergeMap, pipe, takeUntil } from 'wonka';
import type { CheeperClient } from './client.js';

/**
 * Sends every operation through the client: with its tokens, repeated where that helps, and live subscriptions without a gap or a
 * double. `fetchOptions: { headers }` in an operation's context is sent with it.
 */
export function cheeperExchange(client: CheeperClient): Exchange {
  return ({ client: urql, forward }) =>
    (operations) => {
      const results = (operation: Operation) =>
        make<OperationResult>(({ next, complete }) =>
          client.run(
            { query: operation.query, variables: operation.variables as Record<string, unknown>, headers: headersOf(operation) },
            {
              next: ({ data, errors, extensions }) =>
                next(makeResult(operation, { data: data ?? null, extensions, ...(errors.length > 0 ? { errors } : {}) })),
              error: (error) => {
                next(makeErrorResult(operation, error));
                complete();
              },
              complete: () => {
                // urql is told of the end of a subscription in this way.
                if (operation.kind === 'subscription') urql.reexecuteOperation(makeOperation('teardown', operation, operation.context));
                complete();
              },
            },
          ),
        );
      const isTeardown = ({ kind }: Operation) => kind === 'teardown';
      const answered = pipe(
        operations,
        filter((operation) => !isTeardown(operation)),
        mergeMap((operation) => {
          const isOver = (other: Operation) => isTeardown(other) && other.key === operation.key;

          return pipe(results(operation), takeUntil(pipe(operations, filter(isOver))));
        }),
      );

      return merge([answered, forward(pipe(operations, filter(isTeardown)))]);
    };
}

function headersOf({ context: { fetchOptions } }: Operation): Record<string, string> {
  const { headers } = (typeof fetchOptions === 'function' ? fetchOptions() : fetchOptions) ?? {};

  return Object.fromEntries(new Headers(headers));
}
