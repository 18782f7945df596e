/** The types that all mutations share which are commands. */
import { Field, ID, InputType, InterfaceType, ObjectType, registerEnumType } from 'type-graphql';
import { ERROR_CODES, type ErrorCode as ErrorCodeName } from '../shared/refused.js';

const enumOf = <T extends string>(names: readonly T[]) => Object.fromEntries(names.map((name) => [name, name])) as { [K in T]: K };

export const ErrorCode = enumOf(ERROR_CODES);
registerEnumType(ErrorCode, { name: 'ErrorCode' });

export const CommandStatus = enumOf(['ACCEPTED', 'COMMITTED', 'PROJECTED', 'REJECTED'] as const);
export type CommandStatus = keyof typeof CommandStatus;
registerEnumType(CommandStatus, { name: 'CommandStatus' });

export const WaitFor = enumOf(['ACCEPTED', 'COMMITTED', 'PROJECTED'] as const);
export type WaitFor = keyof typeof WaitFor;
registerEnumType(WaitFor, { name: 'WaitFor' });

@ObjectType({ description: 'A rule of the domain said no, or a field is not right. `field` is the path in the input.' })
export class UserError {
  @Field(() => ErrorCode)
  code!: ErrorCodeName;

  @Field(() => [String], { nullable: true })
  field!: string[] | null;

  @Field()
  message!: string;
}

@InterfaceType({ description: 'Every mutation that is a command answers with this, and with the thing it is about.' })
export abstract class CommandPayload {
  @Field(() => ID, { nullable: true, description: 'Null when the input was refused at the door, before it became a command.' })
  commandId!: string | null;

  @Field(() => CommandStatus)
  status!: CommandStatus;

  @Field(() => String, { nullable: true })
  consistencyToken!: string | null;

  @Field(() => [UserError])
  userErrors!: UserError[];

  /** Not in the schema. Of the command's journal entry; null when it is not known to be settled. */
  position!: number | null;
}

@InputType()
export abstract class CommandInput {
  @Field(() => ID, { nullable: true })
  commandId?: string | null;

  @Field(() => WaitFor, { nullable: true })
  waitFor?: WaitFor | null;
}
