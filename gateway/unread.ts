/**
 * What clients have not read: bytes that wait in this process for sockets and event streams whose clients read slowly, or not at all. One
 * client's are bounded by what it may ask for, and those of all clients here.
 */
import type { Logger } from '../shared/log.js';

/** Beyond that, the clients who have left most unread are cut off. */
const MAX_BYTES_UNREAD_IN_ALL = 64 * 1024 * 1024;
const LOOK_MS = 1_000;
/** What is added between two looks may be many times the bound, so after so many bytes there is another look. */
const MAX_BYTES_BETWEEN_LOOKS = 16 * 1024 * 1024;

export interface Reader {
  readonly unreadBytes: number;
  cutOff(): void;
}

export class Unread {
  private readonly readers = new Set<Reader>();
  private readonly timer = setInterval(() => this.look(), LOOK_MS);
  private addedBytes = 0;

  constructor(private readonly log: Logger) {}

  /** @returns what to call when it has gone */
  watch(reader: Reader): () => void {
    this.readers.add(reader);

    return () => this.readers.delete(reader);
  }

  /** So much was sent to a client that has not read what came before it. */
  added(bytes: number): void {
    this.addedBytes += bytes;
    if (this.addedBytes > MAX_BYTES_BETWEEN_LOOKS) this.look();
  }

  private look(): void {
    this.addedBytes = 0;
    let unread = 0;
    for (const { unreadBytes } of this.readers) unread += unreadBytes;
    if (unread <= MAX_BYTES_UNREAD_IN_ALL) return;
    this.log.warn({ unread }, 'too much waits to be read by sockets and event streams, closing those who read least');
    for (const reader of [...this.readers].sort((a, b) => b.unreadBytes - a.unreadBytes)) {
      if (unread <= MAX_BYTES_UNREAD_IN_ALL / 2) break;
      unread -= reader.unreadBytes;
      reader.cutOff();
    }
  }

  stop(): void {
    clearInterval(this.timer);
  }
}
