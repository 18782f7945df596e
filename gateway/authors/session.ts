import { Field, ObjectType } from 'type-graphql';
import { DateTime } from '../scalars.js';

@ObjectType()
export class Session {
  @Field()
  accessToken!: string;

  @Field(() => DateTime)
  expiresAt!: Date;
}
