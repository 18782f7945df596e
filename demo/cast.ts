/** Who plays: the book's three, with the book's ids, and each with a session of its own. */
import { randomInt } from 'node:crypto';
import { CheeperClient } from '../client/client.js';
import { AuthorByUsernameDocument, AuthorDocument } from '../client/operations.js';
import { newId } from '../shared/ids.js';
import type { Story } from './story.js';

const BOOK = {
  bob: 'a64a52cc-3ee9-4a15-918b-099e18b43119',
  alice: '1fd7d739-2ad7-41a8-8c18-565603e3733f',
  charlie: '1da1366f-b066-4514-9b29-7346df41e371',
};

export type Role = keyof typeof BOOK;

export interface Player {
  role: Role;
  id: string;
  username: string;
  client: CheeperClient;
}

export type Cast = Record<Role, Player>;

/** The book's three; where one of them is there already, three new ones whose names begin like theirs. */
export async function castPlayers(story: Story, url: string[]): Promise<Cast> {
  const visitor = new CheeperClient({ url });
  const roles = Object.keys(BOOK) as Role[];
  const taken = await Promise.all(roles.map((role) => isTaken(role, visitor)));
  const suffix = taken.includes(true) ? randomInt(36 ** 5, 36 ** 6).toString(36) : '';
  const player = (role: Role): Player => ({
    role,
    id: suffix ? newId() : BOOK[role],
    username: role + suffix,
    client: new CheeperClient({ url }),
  });
  const cast = { bob: player('bob'), alice: player('alice'), charlie: player('charlie') };
  if (suffix) {
    const names = roles.map((role) => cast[role].username).join(', ');
    story.tell(`There is a bob, alice or charlie here already, so new ones play, with new ids: ${names}.`);
  }

  return cast;
}

async function isTaken(role: Role, visitor: CheeperClient): Promise<boolean> {
  const { author } = await visitor.query(AuthorDocument, { id: BOOK[role] });
  const { authorByUsername } = await visitor.query(AuthorByUsernameDocument, { username: role });

  return author !== null || authorByUsername !== null;
}
