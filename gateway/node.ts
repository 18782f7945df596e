import { ID, Field, InterfaceType } from 'type-graphql';

@InterfaceType({ description: 'Everything that has an id.' })
export abstract class Node {
  @Field(() => ID, { description: 'No two things have the same, of whatever types they are. `node(id)` finds it again.' })
  id!: string;
}
