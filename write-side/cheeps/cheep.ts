import { defineEntity, p } from '@mikro-orm/core';
import type { CheepPosted } from '../../shared/messages/cheep.js';

export class Cheep {
  declare id: string;
  declare version: number;
  declare authorId: string;
  declare message: string;
  declare inReplyTo: string | null;
  declare postedAt: string;

  static posted({ cheepId, authorId, message, inReplyTo }: CheepPosted, at: string): Cheep {
    return Object.assign(new Cheep(), { id: cheepId, version: 1, authorId, message, inReplyTo, postedAt: at });
  }
}

export const cheepEntity = defineEntity({
  class: Cheep,
  tableName: 'cheeps',
  properties: {
    id: p.string().primary(),
    version: p.integer().concurrencyCheck(),
    authorId: p.string(),
    message: p.text(),
    inReplyTo: p.string().nullable(),
    postedAt: p.string(),
  },
});
