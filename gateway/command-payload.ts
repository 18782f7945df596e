/** The types that all mutations share which are commands. */
import { Field, ID, InputType, InterfaceType, ObjectType, registerEnumType } from 'type-graphql';
import { ERROR_CODES, REASONS, type ErrorCode as ErrorCodeName } from '../shared/refused.js';

const enumOf = <T extends string>(names: readonly T[]) => Object.fromEntries(names.map((name) => [name, name])) as { [K in T]: K };

export const ErrorCode = enumOf(ERROR_CODES);
registerEnumType(ErrorCode, {
  name: 'ErrorCode',
  description: 'Why a rule of the domain said no.',
  valuesConfig: Object.fromEntries(ERROR_CODES.map((code) => [code, { description: REASONS[code] }])),
});

export const CommandStatus = enumOf(['ACCEPTED', 'COMMITTED', 'PROJECTED', 'REJECTED'] as const);
export type CommandStatus = keyof typeof CommandStatus;
registerEnumType(CommandStatus, {
  name: 'CommandStatus',
  valuesConfig: {
    ACCEPTED: { description: 'It will be done, or refused: `command(id)` tells.' },
    COMMITTED: { description: 'It is done, for good. It may have had no effect, because it was so already.' },
    PROJECTED: { description: 'It is done, and everybody can read it.' },
    REJECTED: { description: 'It was refused: `userErrors` tell why. Nothing was done.' },
  },
});

export const WaitFor = enumOf(['ACCEPTED', 'COMMITTED', 'PROJECTED'] as const);
export type WaitFor = keyof typeof WaitFor;
registerEnumType(WaitFor, {
  name: 'WaitFor',
  description: 'When a mutation answers; what is selected of the thing itself waits until its own write can be read.',
  valuesConfig: {
    ACCEPTED: { description: 'When it cannot be lost on its way any more. The thing is null then.' },
    COMMITTED: { description: 'When it is done. The default; at the deadline it becomes ACCEPTED.' },
    PROJECTED: { description: 'When everybody can read it. At the deadline it becomes COMMITTED.' },
  },
});

@ObjectType({ description: 'A rule of the domain said no, or a field is not right. `field` is the path in the input.' })
export class UserError {
  @Field(() => ErrorCode)
  code!: ErrorCodeName;

  // In no input there are more levels.
  @Field(() => [String], { nullable: true, complexity: ({ childComplexity }) => 3 * childComplexity })
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

  @Field(() => String, {
    nullable: true,
    description: 'Send it with a read, and the read shows this command’s effect. Null when it is not settled.',
  })
  consistencyToken!: string | null;

  @Field(() => [UserError])
  userErrors!: UserError[];

  /** Not in the schema. Of the command's journal entry; null when it is not known to be settled. */
  position!: number | null;
}

@InputType()
export abstract class CommandInput {
  @Field(() => ID, { nullable: true, description: 'A UUID of the caller’s: the same again has one effect and one answer.' })
  commandId?: string | null;

  @Field(() => WaitFor, { nullable: true, description: 'COMMITTED when absent.' })
  waitFor?: WaitFor | null;
}
