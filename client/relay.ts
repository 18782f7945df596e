/** Relay: a network. */
import { Network, Observable, type GraphQLResponse, type INetwork, type RequestParameters, type Variables } from 'relay-runtime';
import type { CheeperClient } from './client.js';

/**
 * Sends every operation through the client: with its tokens, repeated where that helps, and live subscriptions without a gap or a
 * double. `new Environment({ network: cheeperNetwork(client), store })`.
 *
 * @param texts the file that Relay's compiler has written (`persistConfig`), if it was told to leave ids in place of the texts: the client
 *   changes some documents before it sends them, so it needs the texts
 */
export function cheeperNetwork(client: CheeperClient, texts: Readonly<Record<string, string>> = {}): INetwork {
  const run = ({ text, id, name }: RequestParameters, variables: Variables) =>
    Observable.create<GraphQLResponse>((sink) => {
      const query = text ?? texts[id ?? ''];
      if (query === undefined)
        return sink.error(
          new Error(`The operation ${name} has no text: it was compiled for persisted queries, so give the network its texts.`),
        );

      return client.run(
        { query, variables },
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
