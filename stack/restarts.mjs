/**
 * What ends by itself is started again. Who is killed from outside may be so any number of times; who does not live for long
 * on its own, time after time, has a cause that a person must see to.
 *
 * No dependencies; Node 20 and later.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** It lives if it lives for this long. */
const longEnoughMs = 10_000;
const mostShortLives = 8;
const firstPauseMs = 100;
const lastPauseMs = 3_000;

export class Restarts {
  #shortLives = 0;
  #startedAt = 0;

  /** It has started now. */
  started() {
    this.#startedAt = Date.now();
  }

  /** It has ended: false when it is not to be started again; else true, after a pause that grows with the number of short lives. */
  async another() {
    const livedLong = this.#startedAt > 0 && Date.now() - this.#startedAt >= longEnoughMs;
    this.#startedAt = 0;
    this.#shortLives = livedLong ? 0 : this.#shortLives + 1;
    if (this.#shortLives > mostShortLives) return false;
    await sleep(Math.min(firstPauseMs * 2 ** this.#shortLives, lastPauseMs));

    return true;
  }
}
