import { ID, Field, InterfaceType } from 'type-graphql';

@InterfaceType({ description: 'An object with a globally unique id.' })
export abstract class Node {
  @Field(() => ID, {
    description: 'Globally unique: no two objects have the same id, whatever their types are. `node(id)` reads the object again.',
  })
  id!: string;
}
