import { defineEntity, p } from '@mikro-orm/core';

/** Whether one author follows another. It stays when it ends, so that its version goes on. */
export class Follow {
  /** `followId(followerId, followedId)` */
  declare id: string;
  declare version: number;
  declare followerId: string;
  declare followedId: string;
  declare active: boolean;

  static between(followerId: string, followedId: string): Follow {
    return Object.assign(new Follow(), {
      id: followId(followerId, followedId),
      version: 0,
      followerId,
      followedId,
      active: false,
    });
  }

  become(active: boolean): void {
    this.active = active;
    this.version += 1;
  }
}

export const followId = (followerId: string, followedId: string): string => `${followerId}:${followedId}`;

export const followEntity = defineEntity({
  class: Follow,
  tableName: 'follows',
  properties: {
    id: p.string().primary(),
    version: p.integer().concurrencyCheck(),
    followerId: p.string(),
    followedId: p.string(),
    active: p.boolean(),
  },
});
