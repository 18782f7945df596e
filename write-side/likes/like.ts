import { defineEntity, p } from '@mikro-orm/core';

/** Whether an author likes a cheep. It stays when it ends, so that its version goes on. */
export class Like {
  /** `likeId(likerId, cheepId)` */
  declare id: string;
  declare version: number;
  declare likerId: string;
  declare cheepId: string;
  declare active: boolean;

  static of(likerId: string, cheepId: string): Like {
    return Object.assign(new Like(), { id: likeId(likerId, cheepId), version: 0, likerId, cheepId, active: false });
  }

  become(active: boolean): void {
    this.active = active;
    this.version += 1;
  }
}

export const likeId = (likerId: string, cheepId: string): string => `${likerId}:${cheepId}`;

export const likeEntity = defineEntity({
  class: Like,
  tableName: 'likes',
  properties: {
    id: p.string().primary(),
    version: p.integer().concurrencyCheck(),
    likerId: p.string(),
    cheepId: p.string(),
    active: p.boolean(),
  },
});
