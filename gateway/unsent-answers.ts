/**
 * Answers over HTTP that their clients have not taken yet: each may be 1 MiB, and there may be thousands of connections. (A websocket's are
 * counted by its own bound, and an event stream has one frame at a time.)
 */
/** Of all together: beyond that, the connections of those who have left theirs for longest are closed. */
const MAX_UNSENT_BYTES = 64 * 1024 * 1024;
/** Shorter ones are with the system at once, nearly always. */
const SHORT_BYTES = 16 * 1024;

/** A `ServerResponse`, as far as it counts here. */
interface Response {
  once(event: 'close', listener: () => void): unknown;
  destroy(): unknown;
}

export class UnsentAnswers {
  private bytes = 0;
  /** Those that have waited longest come first. */
  private readonly waiting = new Map<Response, number>();

  /** What is about to be sent. */
  add(response: Response, bytes: number): void {
    if (bytes <= SHORT_BYTES) return;
    this.waiting.set(response, bytes);
    this.bytes += bytes;
    response.once('close', () => this.forget(response));
    if (this.bytes <= MAX_UNSENT_BYTES) return;
    for (const one of this.waiting.keys()) {
      if (this.bytes <= MAX_UNSENT_BYTES / 2) break;
      this.forget(one);
      one.destroy();
    }
  }

  private forget(response: Response): void {
    this.bytes -= this.waiting.get(response) ?? 0;
    this.waiting.delete(response);
  }
}
