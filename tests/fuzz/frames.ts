/** Frames of the websocket protocol, right ones and wrong ones: https://www.rfc-editor.org/rfc/rfc6455#section-5.2 */
import type { Random } from '../consistency/random.js';

const CLOSE = 8;
/** All that four bits can say; most are reserved. */
export const OPCODES = Array.from({ length: 16 }, (_, i) => i);

interface FrameOptions {
  opcode?: number;
  isLast?: boolean;
  isMasked?: boolean;
}

/** A client's frame. */
export function frame(payload: Buffer, random: Random, { opcode = 1, isLast = true, isMasked = true }: FrameOptions = {}): Buffer {
  const { length } = payload;
  const long = length > 0xffff ? 127 : length > 125 ? 126 : length;
  const head = Buffer.alloc(2 + (long === 127 ? 8 : long === 126 ? 2 : 0));
  head[0] = (isLast ? 0x80 : 0) | opcode;
  head[1] = (isMasked ? 0x80 : 0) | long;
  if (long === 126) head.writeUInt16BE(length, 2);
  if (long === 127) head.writeBigUInt64BE(BigInt(length), 2);
  if (!isMasked) return Buffer.concat([head, payload]);
  const mask = Buffer.from(Array.from({ length: 4 }, () => random.integer(0, 255)));

  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i % 4]!)]);
}

/** The close code in what a server sent after its handshake; null when it has sent none, and 1005 for one without. */
export function closeCodeOf(bytes: Buffer): number | null {
  for (let at = 0; at + 2 <= bytes.length;) {
    const opcode = bytes[at]! & 0x0f;
    const short = bytes[at + 1]! & 0x7f;
    const head = 2 + (short === 127 ? 8 : short === 126 ? 2 : 0);
    if (at + head > bytes.length) return null;
    const length = short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short === 126 ? bytes.readUInt16BE(at + 2) : short;
    if (opcode === CLOSE) return length >= 2 && at + head + 2 <= bytes.length ? bytes.readUInt16BE(at + head) : 1005;
    at += head + length;
  }

  return null;
}
