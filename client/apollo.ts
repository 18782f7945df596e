/** Apollo Client 4: a terminating link. It takes the place of `HttpLink` and `GraphQLWsLink`. */
import { ApolloLink } from '@apollo/client';
import { Observable } from 'rxjs';
import type { CheeperClient, Result } from './client.js';

/**
 * Sends every operation through the client: with its tokens, repeated where that helps, and live subscriptions without a gap or a
 * double. `context: { headers }` of an operation is sent with it.
 */
export function cheeperLink(client: CheeperClient): ApolloLink {
  return new ApolloLink(
    ({ query, variables, operationName, getContext }) =>
      new Observable<ApolloLink.Result>((observer) => {
        const { headers } = getContext() as { headers?: Record<string, string> };

        return client.run(
          { query, variables, operationName, headers },
          {
            next: (result) => observer.next(formatted(result)),
            error: (error) => observer.error(error),
            complete: () => observer.complete(),
          },
        );
      }),
  );
}

/** Apollo takes an empty list of errors for errors. */
function formatted({ data, errors, extensions }: Result): ApolloLink.Result {
  return { ...(data === undefined ? {} : { data }), ...(errors.length > 0 ? { errors } : {}), extensions };
}
