/** Relay: a network. */
import { Network, Observable, type GraphQLResponse, type INetwork, type RequestParameters, type Variables } from 'relay-runtime';
import type { CheeperClient } from './client.js';

/**
 * Sends every operation through the client: with its tokens, repeated where that helps, and live subscriptions without a gap or a
 * double. `new Environment({ network: cheeperNetwork(client), store })`.
 */
export function cheeperNetwork(client: CheeperClient): INetwork {
  const run = ({ text, name }: RequestParameters, variables: Variables) =>
    Observable.create<GraphQLResponse>((sink) => {
      // The gateway keeps no documents, so Relay must not be compiled to send their ids alone.
      if (text === null) return sink.error(new Error(`The operation ${name} has no text: it was compiled for persisted queries.`));

      return client.run(
        { query: text, variables },
        {
          next: ({ data, errors, extensions }) =>
            sink.next({ data: data ?? null, extensions, ...(errors.length > 0 ? { errors: [...errors] } : {}) } as GraphQLResponse),
          error: (error) => sink.error(error),
          complete: () => sink.complete(),
        },
      );
    });

  return Network.create(run, run);
}
