/**
 * What there is for those who subscribe, and how much of it one socket and one address may have.
 *
 * A frame is executed once for each shape: for all whose documents make the same of it (see subscriptions.ts). So what an event costs is up to
 * the number of shapes, not to that of subscriptions, and shapes are what is bounded here, by what may be in a frame of each. People behind one address
 * run the same programs, whose shapes count once.
 */
import type { GraphQLError } from 'graphql';
import { fault } from './errors.js';
import { siteOf } from './origins.js';

/** Of a gateway: each takes some 20 KB. */
const MAX_SUBSCRIPTIONS = 20_000;
/** Values in a frame of each shape, of all shapes together: what an event costs at the most. */
const MAX_VALUES = 20_000;
/** Memory of all shapes. */
const MAX_SHAPE_BYTES = 32 * 1024 * 1024;
/** Subscriptions on one socket whose frames differ in shape. */
const MAX_SHAPES_OF_SOCKET = 20;
/** Values in a frame: what an event makes a gateway read and send is not up to who waits for it. */
const MAX_VALUES_IN_A_FRAME = 500;

/** What the documents of many subscriptions make alike of a frame. */
export interface Shape {
  readonly id: string;
  /** In a frame, at the most. */
  readonly values: number;
  /** That are kept of it, about, while there are subscriptions. */
  readonly bytes: number;
}

/** The subscriptions of a socket, of an address, or of all. */
class Share {
  subscriptions = 0;
  /** Of each shape once. */
  values = 0;
  bytes = 0;
  private readonly open = new Map<string, number>();

  get shapes(): number {
    return this.open.size;
  }

  has({ id }: Shape): boolean {
    return this.open.has(id);
  }

  add(shape: Shape): void {
    const count = this.open.get(shape.id) ?? 0;
    this.open.set(shape.id, count + 1);
    this.subscriptions += 1;
    if (count > 0) return;
    this.values += shape.values;
    this.bytes += shape.bytes;
  }

  remove(shape: Shape): void {
    const count = this.open.get(shape.id)! - 1;
    this.subscriptions -= 1;
    if (count > 0) return void this.open.set(shape.id, count);
    this.open.delete(shape.id);
    this.values -= shape.values;
    this.bytes -= shape.bytes;
  }
}

const NONE = new Share();
const SMALLEST: Shape = { id: '', values: 1, bytes: 1 };

export class SubscriptionShares {
  private readonly all = new Share();
  private readonly ofAddress = new Map<string, Share>();
  /** By what stands for the socket. */
  private readonly ofSocket = new Map<object, Share>();

  /**
   * @param network of the address: those of one site have one share
   * @param socket the same for all subscriptions of a socket
   * @returns what to call once, when the subscription ends
   * @throws BAD_USER_INPUT for a frame that may be too large; OVERLOADED
   */
  take(network: string, socket: object, shape: Shape): () => void {
    const address = siteOf(network);
    const why = this.whyNot(this.ofAddress.get(address) ?? NONE, this.ofSocket.get(socket) ?? NONE, shape);
    if (why) throw why;
    this.all.add(shape);
    add(this.ofAddress, address, shape);
    add(this.ofSocket, socket, shape);

    return () => {
      this.all.remove(shape);
      remove(this.ofAddress, address, shape);
      remove(this.ofSocket, socket, shape);
    };
  }

  /** For a subscription whose shape is not that of another. */
  hasRoom(network: string, socket: object): boolean {
    const address = siteOf(network);
    return !this.whyNot(this.ofAddress.get(address) ?? NONE, this.ofSocket.get(socket) ?? NONE, SMALLEST);
  }

  private whyNot(atAddress: Share, onSocket: Share, shape: Shape): GraphQLError | null {
    const { all } = this;
    const { values, bytes } = shape;
    if (values > MAX_VALUES_IN_A_FRAME) {
      const text = `A frame of this subscription could have ${values} values, and ${MAX_VALUES_IN_A_FRAME} is the most.`;
      return fault('BAD_USER_INPUT', `${text} Subscribe to less, and ask for the rest when there is news.`, { http: 400 });
    }
    // An address has no more than is free, so one alone has half of all, and whoever comes next finds some.
    if (atAddress.subscriptions >= MAX_SUBSCRIPTIONS - all.subscriptions)
      return tooMany('Too many subscriptions are open from this address.');
    if (!onSocket.has(shape) && onSocket.shapes >= MAX_SHAPES_OF_SOCKET) return tooManyShapes();
    if (atAddress.has(shape)) return null;
    // What others keep already takes nothing more.
    const isTooMuch =
      atAddress.values + values > MAX_VALUES - all.values || (!all.has(shape) && atAddress.bytes + bytes > MAX_SHAPE_BYTES - all.bytes);
    if (isTooMuch) return tooManyShapes();

    return null;
  }
}

function add<Key>(shares: Map<Key, Share>, key: Key, shape: Shape): void {
  const share = shares.get(key) ?? new Share();
  shares.set(key, share);
  share.add(shape);
}

function remove<Key>(shares: Map<Key, Share>, key: Key, shape: Shape): void {
  const share = shares.get(key)!;
  share.remove(shape);
  if (share.subscriptions === 0) shares.delete(key);
}

export const tooManyShapes = () =>
  tooMany(
    `Too many subscriptions that select something else each are open: on one socket ${MAX_SHAPES_OF_SOCKET} are the most, and an address has a share.`,
  );

const tooMany = (why: string) => fault('OVERLOADED', `${why} Nothing was begun.`, { http: 503 });
