/** Who waits for the answer of an operation: for whoever has left, nothing is waited for, and nobody's password is hashed. */
import type { ServerResponse } from 'node:http';

export interface Presence {
  /** The connection or socket: one of the clients at its address. */
  readonly client: object;
  readonly isGone: boolean;
  /** @returns what to call when it does not matter any more */
  whenGone(listener: () => void): () => void;
}

/** Frames, and what a gateway asks for itself. */
export const ALWAYS_THERE: Presence = { client: {}, isGone: false, whenGone: () => () => undefined };

/** Over HTTP: whoever closes its connection before the answer is written does not want it. */
export function presenceOf(response: ServerResponse): Presence {
  return {
    client: response.req.socket,
    get isGone() {
      return response.destroyed && !response.writableFinished;
    },
    whenGone(listener) {
      response.once('close', listener);

      return () => void response.off('close', listener);
    },
  };
}
