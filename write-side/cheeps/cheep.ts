import { defineEntity, p } from '@mikro-orm/core';
import type { CheepEdited, CheepPosted } from '../../shared/messages/cheep.js';

/** A message. Its row stays when it is deleted, without the text: what hangs below it in the thread goes on hanging there. */
export class Cheep {
  declare id: string;
  declare version: number;
  declare authorId: string;
  declare message: string;
  declare inReplyTo: string | null;
  /** The cheep that its thread began with: itself, when it answers nothing. */
  declare threadId: string;
  declare postedAt: string;
  declare deleted: boolean;

  static posted({ cheepId, authorId, message, inReplyTo, threadId }: CheepPosted, at: string): Cheep {
    return Object.assign(new Cheep(), {
      id: cheepId,
      version: 1,
      authorId,
      message,
      inReplyTo,
      threadId,
      postedAt: at,
      deleted: false,
    });
  }

  edit({ changes }: CheepEdited): void {
    this.message = changes.message.to;
    this.version += 1;
  }

  delete(): void {
    this.message = '';
    this.deleted = true;
    this.version += 1;
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
    threadId: p.string(),
    postedAt: p.string(),
    deleted: p.boolean(),
  },
});
