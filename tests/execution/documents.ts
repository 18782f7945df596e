/**
 * Random documents for a schema, with requests for them: fragments in several places, nested and repeated; `@skip` and `@include`; several
 * operations; variables that are absent, null, wrong, in literals, in lists, with defaults; fields that merge; every abstract type; odd names.
 *
 * Nearly all are valid. What is not is left out by who executes them, as a server does.
 */
import {
  astFromValue,
  doTypesOverlap,
  getNamedType,
  GraphQLBoolean,
  GraphQLFloat,
  GraphQLID,
  GraphQLInt,
  GraphQLNonNull,
  isAbstractType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isTypeSubTypeOf,
  isUnionType,
  print,
  SchemaMetaFieldDef,
  TypeMetaFieldDef,
  TypeNameMetaFieldDef,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLObjectType,
  type GraphQLSchema,
} from 'graphql';
import { hash, Random } from './random.js';

export interface Sample {
  text: string;
  requests: { operationName: string | undefined; variables: Record<string, unknown> | undefined }[];
}

/** How to make samples for one schema in particular. */
export interface Habits {
  /** Root fields, and arguments, that are left out. */
  without?: readonly string[];
  isReadOnly?: boolean;
  /** An id or a text for an argument, an input field or a variable of that name, in place of a random one; undefined for none. */
  textOf?: (name: string, random: Random) => string | undefined;
}

type Field = GraphQLField<unknown, unknown>;

/** A part of a document: its text, and what it needs. */
interface Part {
  words: string[];
  spreads: Set<Fragment>;
  variables: Set<Variable>;
}
interface Fragment extends Part {
  name: string;
  on: GraphQLCompositeType;
}
interface Variable {
  name: string;
  type: GraphQLInputType;
  defaultText: string | null;
}
interface Operation extends Part {
  name: string | null;
}

/** JavaScript knows them, and GraphQL does not. */
const ODD = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'then',
  'length',
  'prototype',
  'valueOf',
  'toJSON',
  '__defineGetter__',
];
const ALIASES = [...ODD, 'a', 'b', 'c', 'on', 'null', 'true', 'query', 'fragment', 'id', 'name', '_'];
const BETWEEN = [' ', ' ', ' ', ' ', '\n', '  ', ', ', '\r\n', '\r', '\t', ' # so\n'];
const MAX_DEPTH = 4;
const MAX_COMPOSITE_FIELDS = 2;

export function sample(schema: GraphQLSchema, random: Random, habits: Habits = {}): Sample {
  return new Generator(schema, random, habits).sample();
}

class Generator {
  private readonly fragments: Fragment[] = [];
  private readonly variables = new Map<string, Variable>();
  /** What each name in an answer stands for in this document: fields of one name must be alike. */
  private readonly meanings = new Map<string, string>();
  /** Fields that a type has had already: the same again are merged. */
  private readonly had = new Map<string, { key: string | null; field: Field; args: string[] }[]>();

  constructor(
    private readonly schema: GraphQLSchema,
    private readonly random: Random,
    private readonly habits: Habits,
  ) {}

  sample(): Sample {
    const { random } = this;
    for (let i = random.below(5); i > 0; i--) this.addFragment();
    const names = random.shuffled(['A', 'B', 'C', ...ODD]);
    const operations: Operation[] = [];
    const count = random.chance(0.7) ? 1 : 2 + random.below(2);
    for (let i = 0; i < count; i++) operations.push(this.operation(count === 1 && random.chance(0.5) ? null : names[i]!));
    const reached = new Set<Fragment>(operations.flatMap((operation) => [...reachedFrom(operation)]));
    const definitions = [
      ...operations.map((operation) => operation.words),
      ...[...reached].map(({ name, on, words }) => ['fragment', name, 'on', on.name, ...words]),
    ];
    const text = random
      .shuffled(definitions)
      .flat()
      .map((word) => word + random.pick(BETWEEN))
      .join('');

    return { text, requests: Array.from({ length: 2 }, () => this.request(operations)) };
  }

  private addFragment(): void {
    const { random } = this;
    const on = random.pick(Object.values(this.schema.getTypeMap()).filter((type) => isCompositeType(type) && this.isShown(type)));
    const names = random.shuffled([...ODD, 'F', 'G', 'H', 'I', 'J']);
    const name = names.find((one) => this.fragments.every((fragment) => fragment.name !== one))!;
    const part = newPart();
    this.selections(part, on as GraphQLCompositeType, 2 + random.below(2));
    this.fragments.push({ ...part, name, on: on as GraphQLCompositeType });
  }

  private isShown(type: GraphQLCompositeType): boolean {
    return !type.name.startsWith('__') && type !== this.schema.getSubscriptionType();
  }

  private operation(name: string | null): Operation {
    const { schema, random } = this;
    const mutation = schema.getMutationType();
    const isMutation = mutation && !this.habits.isReadOnly && random.chance(0.3);
    const part = newPart();
    this.selections(part, (isMutation ? mutation : schema.getQueryType())!, 0);
    const variables = variablesOf(part);
    if (name === null && !isMutation && variables.length === 0 && random.chance(0.8)) return { ...part, name };
    const words = [isMutation ? 'mutation' : 'query', ...(name === null ? [] : [name])];
    if (variables.length > 0) {
      const defined = variables.map((one) => [
        `$${one.name}`,
        ':',
        String(one.type),
        ...(one.defaultText === null ? [] : ['=', one.defaultText]),
      ]);
      words.push('(', ...random.shuffled(defined).flat(), ')');
    }

    return { ...part, name, words: [...words, ...part.words] };
  }

  private selections(part: Part, type: GraphQLCompositeType, depth: number): void {
    const { random, schema } = this;
    const from = part.words.push('{');
    let composites = 0;
    for (let i = 1 + random.below(depth === 0 ? 3 : 4); i > 0; i--) {
      const kind = random.next();
      if (kind < 0.16) {
        const fitting = this.fragments.filter(({ on }) => doTypesOverlap(schema, on, type));
        if (fitting.length === 0) continue;
        // More than once, at times.
        const fragment = random.pick(fitting);
        part.spreads.add(fragment);
        part.words.push('...', fragment.name, ...this.directives(part));
      } else if (kind < (isAbstractType(type) ? 0.6 : 0.28) && depth < MAX_DEPTH + 1) {
        const others = Object.values(schema.getTypeMap()).filter(
          (other) => isCompositeType(other) && this.isShown(other) && doTypesOverlap(schema, other, type),
        );
        const on = random.chance(0.75) && others.length > 0 ? (random.pick(others) as GraphQLCompositeType) : null;
        part.words.push('...', ...(on ? ['on', on.name] : []), ...this.directives(part));
        this.selections(part, on ?? type, depth + 1);
      } else {
        const isDeep = depth >= MAX_DEPTH || composites >= MAX_COMPOSITE_FIELDS;
        const field = this.fieldOf(type, isDeep);
        if (!field) continue;
        if (isCompositeType(getNamedType(field.type))) composites += 1;
        this.field(part, type, field, depth);
      }
    }
    if (part.words.length === from) part.words.push('__typename', ...this.directives(part));
    part.words.push('}');
  }

  private fieldOf(type: GraphQLCompositeType, isDeep: boolean): Field | null {
    const { random, schema, habits } = this;
    if (isUnionType(type) || random.chance(0.08)) return TypeNameMetaFieldDef;
    const isQuery = type === schema.getQueryType();
    if (isQuery && random.chance(0.03)) return random.pick([SchemaMetaFieldDef, TypeMetaFieldDef]);
    const isRoot = isQuery || type === schema.getMutationType();
    const fields: Field[] = Object.values(type.getFields()).filter(
      ({ name, type: of }) => (!isDeep || isLeafType(getNamedType(of))) && !(isRoot && habits.without?.includes(name)),
    );

    return fields.length > 0 ? random.pick(fields) : null;
  }

  private field(part: Part, parent: GraphQLCompositeType, chosen: Field, depth: number): void {
    const { random } = this;
    const had = this.had.get(parent.name)?.filter(({ field }) => depth < MAX_DEPTH || isLeafType(getNamedType(field.type)));
    let args: string[];
    let field = chosen;
    let key: string | null;
    if (had && had.length > 0 && random.chance(0.25)) {
      const again = random.pick(had);
      ({ field, key } = again);
      // A variable that stands there is one of this part as well.
      args = again.args;
      for (const word of args) if (word.startsWith('$')) part.variables.add(this.variables.get(word.slice(1))!);
    } else {
      args = this.args(part, field);
      key = this.keyOf(field, args);
      this.had.set(parent.name, [...(had ?? []), { key, field, args }]);
    }
    if (key !== null) part.words.push(key, ':');
    part.words.push(field.name, ...args, ...this.directives(part));
    const named = getNamedType(field.type);
    if (isCompositeType(named)) this.selections(part, named, depth + 1);
  }

  /** An alias, or null for none. Whatever has the same one must be the same field with the same arguments. */
  private keyOf(field: Field, args: readonly string[]): string | null {
    const { random, meanings } = this;
    const meaning = `${field.name} ${args.join(' ')} ${String(field.type)}`;
    const isFree = (key: string) => (meanings.get(key) ?? meaning) === meaning;
    let key = random.chance(0.35) ? random.pick(ALIASES) : field.name;
    if (!isFree(key)) key = `z${meanings.size}`;
    meanings.set(key, meaning);

    return key === field.name && random.chance(0.9) ? null : key;
  }

  private directives(part: Part): string[] {
    const { random } = this;
    if (!random.chance(0.2)) return [];
    const names = random.chance(0.8) ? [random.pick(['skip', 'include'])] : random.shuffled(['skip', 'include']);

    return names.flatMap((name) => {
      const value = random.chance(0.5) ? [random.pick(['true', 'false'])] : this.variable(part, new GraphQLNonNull(GraphQLBoolean), false);

      return [`@${name}`, '(', 'if', ':', ...value, ')'];
    });
  }

  private args(part: Part, field: Field): string[] {
    const { random } = this;
    const words = random.shuffled(field.args).flatMap(({ name, type, defaultValue }) => {
      const isRequired = isNonNullType(type) && defaultValue === undefined;

      return isRequired || (random.chance(0.5) && !this.habits.without?.includes(name))
        ? [name, ':', ...this.value(part, name, type, defaultValue !== undefined, 0)]
        : [];
    });

    return words.length > 0 ? ['(', ...words, ')'] : [];
  }

  /** A literal, or a variable; without a part, where no variable may be. */
  private value(part: Part | null, name: string, type: GraphQLInputType, hasDefault: boolean, depth: number): string[] {
    const { random } = this;
    if (part && random.chance(0.3)) return this.variable(part, type, hasDefault);
    if (isNonNullType(type)) return this.literal(part, name, type.ofType, depth);

    return random.chance(0.12) ? ['null'] : this.literal(part, name, type, depth);
  }

  private literal(part: Part | null, name: string, type: GraphQLInputType, depth: number): string[] {
    const { random } = this;
    if (isListType(type)) {
      const items = random.chance(0.2) ? 1 : random.below(4);
      const words = Array.from({ length: items }, () => this.value(part, name, type.ofType, false, depth + 1));

      // One value stands for a list of one; a variable, which is a list already, would not.
      return items === 1 && words[0]!.length === 1 && !/^(\$|null$)/.test(words[0]![0]!) ? words[0]! : ['[', ...words.flat(), ']'];
    }
    if (isInputObjectType(type)) {
      const fields = random.shuffled(Object.values(type.getFields())).flatMap((field) => {
        const isRequired = isNonNullType(field.type) && field.defaultValue === undefined;
        if (!isRequired && !random.chance(depth > 2 ? 0.1 : 0.5)) return [];

        return [field.name, ':', ...this.value(part, field.name, field.type, field.defaultValue !== undefined, depth + 1)];
      });

      return ['{', ...fields, '}'];
    }

    return [print(astFromValue(this.leaf(name, type), type)!)];
  }

  /** As it comes in JSON. */
  private leaf(name: string, type: GraphQLInputType): unknown {
    const { random, habits } = this;
    if (isEnumType(type)) return random.pick(type.getValues()).value;
    if (type === GraphQLBoolean) return random.chance(0.5);
    if (type === GraphQLInt) return random.below(20) - 2;
    if (type === GraphQLFloat) return random.pick([1, -2.5, 1e21]);
    const text = habits.textOf?.(name, random);
    if (text !== undefined) return text;
    if (type === GraphQLID && random.chance(0.3)) return String(random.below(100));
    if (String(type) === 'Date') return `19${10 + random.below(90)}-0${1 + random.below(9)}-11`;
    if (String(type) === 'DateTime') return `20${10 + random.below(90)}-0${1 + random.below(9)}-11T10:11:12.000Z`;

    return random.pick(['', 'x', 'a b', '"', '\\', 'two\nlines', 'ü', '😀', '$a', '{', '__proto__']);
  }

  /** One that may stand there: an old one, or a new one. */
  private variable(part: Part, type: GraphQLInputType, hasDefault: boolean): string[] {
    const { random, schema } = this;
    const fitting = [...this.variables.values()].filter((one) => {
      if (!isNonNullType(type) || isNonNullType(one.type)) return isTypeSubTypeOf(schema, one.type, type);
      const isFilled = (one.defaultText !== null && one.defaultText !== 'null') || hasDefault;

      return isFilled && isTypeSubTypeOf(schema, one.type, type.ofType);
    });
    let variable = random.chance(0.5) && fitting.length > 0 ? random.pick(fitting) : null;
    if (!variable) {
      const free = random.shuffled([...ODD, 'i', 'n', 's', 'v', 'w']).find((name) => !this.variables.has(name));
      const inner = isNonNullType(type) ? type.ofType : type;
      const kind = random.next();
      const ofType = isNonNullType(type)
        ? kind < 0.6
          ? type
          : inner
        : kind < 0.2
          ? new GraphQLNonNull(inner as GraphQLObjectType & GraphQLInputType)
          : inner;
      const mustHaveDefault = isNonNullType(type) && ofType === inner && !hasDefault;
      const words = mustHaveDefault || random.chance(0.25) ? this.literal(null, '', inner, 1) : null;
      const isNullDefault = words && !mustHaveDefault && !isNonNullType(ofType) && random.chance(0.2);
      variable = {
        name: free ?? `v${this.variables.size}`,
        type: ofType,
        defaultText: isNullDefault ? 'null' : (words?.join(' ') ?? null),
      };
      this.variables.set(variable.name, variable);
    }
    part.variables.add(variable);

    return [`$${variable.name}`];
  }

  private request(operations: readonly Operation[]): Sample['requests'][number] {
    const { random } = this;
    const { name, ...part } = random.pick(operations);
    const isNamed = operations.length > 1 ? !random.chance(0.05) : random.chance(0.5);
    const operationName = random.chance(0.02) ? 'Nobody' : isNamed && name !== null ? name : undefined;
    const pairs: string[] = [];
    const wrong = random.chance(0.1) ? 0.1 : 0;
    for (const variable of this.variablesFor(part, random.chance(0.1))) {
      const isRequired = isNonNullType(variable.type) && variable.defaultText === null;
      if (random.chance(isRequired ? wrong : 0.35)) continue;
      pairs.push(`${JSON.stringify(variable.name)}:${JSON.stringify(this.input(variable.name, variable.type, wrong, 0))}`);
    }
    if (pairs.length === 0 && random.chance(0.5)) return { operationName, variables: undefined };

    // Parsed, as a server does, so that `__proto__` is a name like others.
    return { operationName, variables: JSON.parse(`{${random.shuffled(pairs).join()}}`) as Record<string, unknown> };
  }

  /** Those of the operation, or all that the document has. */
  private variablesFor(part: Part, all: boolean): Variable[] {
    return all ? [...this.variables.values()] : variablesOf(part);
  }

  /** A value of a variable, which is wrong at times. */
  private input(name: string, type: GraphQLInputType, wrong: number, depth: number): unknown {
    const { random } = this;
    if (random.chance(wrong)) return random.pick<unknown>([null, 'x', 7, 1.5, true, [], {}, [null], { __typename: 1 }]);
    if (!isNonNullType(type)) return random.chance(0.12) ? null : this.presentInput(name, type, wrong, depth);

    return this.presentInput(name, type.ofType, wrong, depth);
  }

  private presentInput(name: string, type: GraphQLInputType, wrong: number, depth: number): unknown {
    const { random } = this;
    if (isListType(type)) {
      if (random.chance(0.15)) return this.input(name, type.ofType, wrong, depth + 1);

      return Array.from({ length: random.below(4) }, () => this.input(name, type.ofType, wrong, depth + 1));
    }
    if (!isInputObjectType(type)) return this.leaf(name, type);
    const fields = random.shuffled(Object.values(type.getFields())).filter((field) => {
      const isRequired = isNonNullType(field.type) && field.defaultValue === undefined;

      return isRequired ? !random.chance(wrong) : random.chance(depth > 2 ? 0.1 : 0.5);
    });

    return Object.fromEntries(fields.map((field) => [field.name, this.input(field.name, field.type, wrong, depth + 1)]));
  }
}

const newPart = (): Part => ({ words: [], spreads: new Set(), variables: new Set() });

function reachedFrom(part: Part, reached = new Set<Fragment>()): Set<Fragment> {
  for (const fragment of part.spreads) {
    if (reached.has(fragment)) continue;
    reached.add(fragment);
    reachedFrom(fragment, reached);
  }

  return reached;
}

function variablesOf(part: Part): Variable[] {
  return [...new Set([part, ...reachedFrom(part)].flatMap(({ variables }) => [...variables]))];
}

/** Another seed for each sample of a run. */
export const seedOf = (seed: number, sample: number) => hash(`${seed} ${sample}`);
