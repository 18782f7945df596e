import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';

/** A message of the server's, whole and not masked (RFC 6455, section 5.2): two bytes, and two that say how long it is. */
const WHOLE_TEXT = 0x81;
const LENGTH_FOLLOWS = 126;
const HEADER_BYTES = 4;
/** What two bytes can say. Shorter messages have a shorter header. */
const LARGEST_LENGTH = 0xffff;

/**
 * Messages of one socket of which the beginning is its own, and the rest the same for many: that is encoded once for all of them. (`ws` would encode
 * the whole text for each socket.)
 */
export class MessagesWithSharedRest {
  /** The header of `ws`'s frame, and the beginning. It is written again for each message, so none may be on its way then. */
  private readonly head: Buffer;

  /** @param beginning as text */
  constructor(
    private readonly websocket: WebSocket,
    private readonly connection: Duplex,
    beginning: string,
  ) {
    this.head = Buffer.from('\0'.repeat(HEADER_BYTES) + beginning);
    this.head[0] = WHOLE_TEXT;
    this.head[1] = LENGTH_FOLLOWS;
  }

  /**
   * Sends a message, if nothing else is on its way. To a socket that is closed nothing is sent.
   * @param rest as UTF-8
   * @returns false if it is to be sent in another way: something else is on its way, or it is too long or too short for this
   */
  sendNow(rest: Buffer): boolean {
    const { websocket, connection, head } = this;
    const length = head.length - HEADER_BYTES + rest.length;
    if (length < LENGTH_FOLLOWS || length > LARGEST_LENGTH || websocket.bufferedAmount > 0) return false;
    if (websocket.readyState !== WebSocket.OPEN) return true;
    head.writeUInt16BE(length, 2);
    connection.cork();
    connection.write(head);
    connection.write(rest);
    connection.uncork();

    return true;
  }
}
