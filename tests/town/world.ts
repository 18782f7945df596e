/** One town on a real system: what the model says, and what the driver must keep to talk to the public face. */
import { newId } from '../../shared/ids.js';
import type { System } from '../system.js';
import { Face } from './face.js';
import type { Bookmark, ListName, Viewer } from './looks.js';
import { Town } from './model.js';
import type { Sent } from './orders.js';

const WORDS = ['red', 'Blue', 'GREEN', 'grey_1', 'grey_2', 'x', '1', '_', 'Mauve', 'pink', 'teal', 'ochre'];

let towns = 0;

export class World {
  readonly town = new Town();
  readonly face: Face;
  /** Access tokens by author. */
  readonly tokens = new Map<string, string>();
  /** What every username of this town begins with, so that towns on one system do not get in each other's way. */
  readonly tag = `${String(++towns).padStart(3, 'T')}_`;
  /** Is nobody's and nothing's. */
  readonly unknownId = newId();
  /** Usernames that somebody had once. */
  readonly formerNames: string[] = [];
  /** Every command that was settled, with its answer: for those who send it again. */
  readonly sent: Sent[] = [];
  /** Which command ids each sender has used: `senderId/commandId`. */
  readonly usedIds = new Set<string>();
  /** Command ids that were refused at the door, and so are free. */
  readonly freeIds: { senderId: Viewer; commandId: string }[] = [];
  /** The steps so far. */
  readonly played: string[] = [];
  readonly bookmarks: { list: ListName; of: string; viewerId: Viewer; at: Bookmark }[] = [];
  /** Of the newest command that is known to be settled. */
  position = 0;

  constructor(system: System) {
    this.face = new Face(system);
  }

  /** Of everybody, in the order in which they signed up. */
  get people(): string[] {
    return [...this.town.authors.keys()];
  }

  /** A name that may be free. */
  wordName(n: number): string {
    return this.tag + WORDS[n % WORDS.length]!;
  }
}
