/**
 * A schema whose resolvers are all replaced: what each does follows from a seed, the object and the arguments. They answer at once or
 * later, with values, nulls, errors, values of a wrong type, functions and thenables, they throw, and they note how they were called.
 */
import {
  GraphQLError,
  isAbstractType,
  isEnumType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  type GraphQLAbstractType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLResolveInfo,
  type GraphQLSchema,
} from 'graphql';
import { hash, Random } from './random.js';

/** What happened in an execution. */
export interface World {
  seed: number;
  /** How often something goes wrong. */
  trouble: number;
  /** Every call of a resolver, in order: what it was given. */
  calls: string[];
  /** So that no answer is endless. */
  left: number;
}

/** How much an answer may hold. */
const MAX_VALUES = 1_500;

export const newWorld = (seed: number, trouble: number): World => ({ seed, trouble, calls: [], left: MAX_VALUES });

/** The world of the execution under way: properties are not given it. */
let world = newWorld(0, 0);
export function enter(next: World): void {
  world = next;
}

/** An object of an answer: its properties follow from its seed. */
class Fake {
  constructor(
    readonly typeName: string,
    readonly seed: number,
  ) {}
}

/** Replaces the resolvers of a schema, all of them or, in a schema that has none, about half. */
export function fake(schema: GraphQLSchema): void {
  const hasResolvers = Object.values(schema.getQueryType()!.getFields()).some(({ resolve }) => resolve);
  const roots = [schema.getQueryType(), schema.getMutationType()];
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith('__')) continue;
    if (isAbstractType(type)) {
      possibleTypes.set(type.name, schema.getPossibleTypes(type));
      type.resolveType = typeResolver(type);
    }
    if (!isObjectType(type)) continue;
    type.isTypeOf = typeChecker(type);
    const mine = class extends Fake {};
    prototypes.set(type.name, mine);
    for (const field of Object.values(type.getFields())) {
      const coordinate = `${type.name}.${field.name}`;
      const isResolved = roots.includes(type) || (hasResolvers ? field.resolve !== undefined : hash(coordinate) % 2 === 0);
      field.resolve = isResolved ? (source, args, _, info) => called(field.type, source, args, info) : undefined;
      if (isResolved) continue;
      Object.defineProperty(mine.prototype, field.name, {
        get(this: Fake) {
          const random = new Random(hash(field.name, this.seed));
          if (random.chance(0.03)) return (args: unknown, __: unknown, info: GraphQLResolveInfo) => called(field.type, this, args, info);

          return outcome(field.type, random);
        },
      });
    }
  }
}
const prototypes = new Map<string, typeof Fake>();
const possibleTypes = new Map<string, readonly GraphQLObjectType[]>();

function called(type: GraphQLOutputType, source: unknown, args: unknown, info: GraphQLResolveInfo): unknown {
  const { path, fieldName, fieldNodes, returnType, parentType, variableValues, fragments, operation, rootValue } = info;
  const keys: (string | number)[] = [];
  for (let at: typeof path | undefined = path; at; at = at.prev) keys.push(at.key, at.typename ?? '');
  const given = shown(args);
  const places = fieldNodes.map((node) => node.loc?.start);
  const names = `${Object.keys(fragments).join()} ${operation.loc?.start} ${Object.keys(info).join()}`;
  world.calls.push(
    `${keys.join('<')} ${parentType.name}.${fieldName}: ${String(returnType)} ${given} at ${places.join()} ${names} ${shown(variableValues)} ${String(rootValue)}`,
  );

  return outcome(type, new Random(hash(`${fieldName} ${given}`, source instanceof Fake ? source.seed : world.seed)));
}

/** Nothing, null and no value at all differ. */
const shown = (value: unknown) => JSON.stringify(value, (_, part: unknown) => (part === undefined ? '(undefined)' : part));

/** A value, a promise of one, or an error. */
function outcome(type: GraphQLOutputType, random: Random): unknown {
  const kind = random.next();
  if (kind < 0.55) return settled(type, random);
  let promise: Promise<unknown> = Promise.resolve();
  for (let ticks = random.below(4); ticks > 0; ticks--) promise = promise.then(() => undefined);
  const settling = promise.then(() => settled(type, random));
  // A list that an error ends leaves the promises behind that are in it.
  settling.catch(() => undefined);
  if (kind < 0.97) return settling;

  // A promise of some library.
  return { then: (resolve: (value: unknown) => void, reject: (error: unknown) => void) => settling.then(resolve, reject) };
}

function settled(type: GraphQLOutputType, random: Random): unknown {
  const { trouble } = world;
  if (random.chance(trouble * 0.3)) throw problem(random);
  if (random.chance(trouble * 0.15)) return new Error('returned');

  return value(type, random);
}

function problem(random: Random): unknown {
  return random.pick<() => unknown>([
    () => new TypeError('a bug'),
    () => new GraphQLError('refused', { extensions: { code: 'NO', n: random.below(9) } }),
    () => new GraphQLError('located', { path: ['elsewhere'] }),
    () => Object.assign(new Error('with extensions'), { extensions: { code: 'E' } }),
    () => 'a text',
    () => undefined,
    () => ({ an: 'object' }),
  ])();
}

function value(type: GraphQLOutputType, random: Random): unknown {
  const { trouble } = world;
  if (isNonNullType(type)) return random.chance(trouble * 0.2) ? null : present(type.ofType as GraphQLOutputType, random);

  return random.chance(0.06) ? random.pick([null, null, undefined]) : present(type, random);
}

function present(type: GraphQLOutputType, random: Random): unknown {
  const { trouble } = world;
  world.left -= 1;
  if (isListType(type)) {
    if (random.chance(trouble * 0.1)) return random.pick<unknown>(['no list', 7, {}, true]);
    const count = world.left < 0 ? 0 : random.below(4);
    const items = Array.from({ length: count }, () => (random.chance(0.85) ? value(type.ofType, random) : outcome(type.ofType, random)));

    return random.chance(0.1) ? new Set(items) : items;
  }
  if (isEnumType(type)) return random.chance(trouble * 0.1) ? 'NONE_OF_THEM' : random.pick(type.getValues()).value;
  if (isLeafType(type)) return leaf(type.name, random);
  if (isObjectType(type)) return random.chance(trouble * 0.05) ? random.pick<unknown>([7, 'no object', {}]) : object(type, random);
  const possible = possibleTypes.get(type.name)!;
  if (random.chance(trouble * 0.1))
    return random.pick<unknown>([{}, new Fake('NoType', 1), new Fake('String', 1), new Fake('Query', 1), 7]);

  return object(random.pick(possible), random);
}

function object(type: GraphQLObjectType, random: Random): Fake {
  const Mine = prototypes.get(type.name)!;

  return new Mine(type.name, random.below(0x7fff_ffff));
}

function leaf(name: string, random: Random): unknown {
  const isWrong = random.chance(world.trouble * 0.1);
  if (isWrong) return random.pick<unknown>([{}, [], Symbol('s'), NaN, 'no number', new Error('no leaf')]);
  if (name === 'Boolean') return random.pick<unknown>([true, false, 1]);
  if (name === 'Int' || name === 'Float') return random.pick<unknown>([0, 1, -7, '12', true, 2_000_000_000]);
  if (name === 'Date') return '2001-02-03';
  if (name === 'DateTime') return random.pick<unknown>(['2001-02-03T04:05:06.000Z', new Date(random.below(1_000_000_000))]);

  return random.pick<unknown>(['text', '', '"\n', 12, true, '__proto__']);
}

/** By name, at once or later, or as graphql-js does it for who has no such function. */
function typeResolver(type: GraphQLAbstractType): GraphQLAbstractType['resolveType'] {
  const kind = Math.abs(hash(type.name)) % 3;
  const typeOf = (given: unknown) => (given instanceof Fake ? given.typeName : given === 7 ? 7 : undefined) as string | undefined;
  if (kind === 0) return typeOf;
  if (kind === 1) return async (given) => typeOf(given);

  return undefined;
}

function typeChecker(type: GraphQLObjectType): GraphQLObjectType['isTypeOf'] {
  const kind = Math.abs(hash(type.name)) % 4;
  const isOne = (given: unknown) => given instanceof Fake && given.typeName === type.name;
  if (kind === 0) return undefined;
  if (kind === 1) return async (given) => isOne(given);

  return isOne;
}
