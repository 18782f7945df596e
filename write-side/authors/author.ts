import { defineEntity, p } from '@mikro-orm/core';
import type { AuthorEmailChanged, AuthorProfileUpdated, AuthorSignedUp, AuthorUsernameChanged } from '../../shared/messages/author.js';

/** Somebody who signed up. Held unique by the database: id, username (in any case), e-mail. */
export class Author {
  declare id: string;
  declare version: number;
  declare username: string;
  declare email: string;
  declare name: string | null;
  declare biography: string | null;
  declare location: string | null;
  declare website: string | null;
  declare birthDate: string | null;
  declare signedUpAt: string;

  static signedUp({ authorId, username, email, ...event }: AuthorSignedUp, at: string): Author {
    const { name, biography, location, website, birthDate } = event;

    return Object.assign(new Author(), {
      id: authorId,
      version: 1,
      username,
      email,
      name,
      biography,
      location,
      website,
      birthDate,
      signedUpAt: at,
    });
  }

  change({ changes }: AuthorProfileUpdated | AuthorUsernameChanged | AuthorEmailChanged): void {
    for (const [field, { to }] of Object.entries(changes)) Object.assign(this, { [field]: to });
    this.version += 1;
  }
}

/** In a table of its own, read by nothing but `authenticate`. */
export class PasswordHash {
  declare authorId: string;
  /** Argon2id, in PHC string format. */
  declare hash: string;
}

export const authorEntity = defineEntity({
  class: Author,
  tableName: 'authors',
  properties: {
    id: p.string().primary(),
    version: p.integer().concurrencyCheck(),
    username: p.string(),
    email: p.string(),
    name: p.string().nullable(),
    biography: p.string().nullable(),
    location: p.string().nullable(),
    website: p.string().nullable(),
    birthDate: p.string().nullable(),
    signedUpAt: p.string(),
  },
});

export const passwordHashEntity = defineEntity({
  class: PasswordHash,
  tableName: 'password_hashes',
  properties: { authorId: p.string().primary(), hash: p.string() },
});
