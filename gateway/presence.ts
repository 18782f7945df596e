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
export class PresenceOfResponse implements Presence {
  constructor(private readonly response: ServerResponse) {}

  get client(): object {
    return this.response.req.socket;
  }

  get isGone(): boolean {
    return this.response.destroyed && !this.response.writableFinished;
  }

  whenGone(listener: () => void): () => void {
    this.response.once('close', listener);

    return () => void this.response.off('close', listener);
  }
}
