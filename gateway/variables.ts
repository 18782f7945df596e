/** The values of an operation's variables. */
import {
  getVariableValues,
  GraphQLError,
  isEnumType,
  isInputObjectType,
  isInputType,
  isListType,
  isNonNullType,
  typeFromAST,
  type GraphQLInputType,
  type GraphQLSchema,
  type OperationDefinitionNode,
  type TypeNode,
  type VariableDefinitionNode,
} from 'graphql';

/** As many as graphql-js describes when it executes an operation. */
const MAX_VARIABLE_ERRORS = 50;
/** Of values that are long: each error writes down the whole value that it is about. */
const MAX_LONG_ERRORS = 5;
const LONG_CHARACTERS = 10_000;
/** Items of lists, and fields of objects, in all variables of an operation. */
const MAX_PARTS = 1_000;
/** Fields of one object: what is wrong with one of them is described with all of them. */
const MAX_FIELDS = 100;
/** Of a field's name, or of a value of an enum: graphql-js compares a wrong one with all that would be right, letter by letter. */
const MAX_NAME_CHARACTERS = 100;
/** Of a value that is too large, as far as its error shows it. */
const SHOWN_CHARACTERS = 60;

/**
 * graphql-js's `getVariableValues` with a bound on the errors that it describes, and on what it looks at. Each wrong item of a list is an error
 * with a stack and a text of its own, and each unknown field of an object one with the whole object in it: 22,000 of them, which fit into one
 * request, blocked the process for a second.
 * @param maxErrors 0 for a caller who only needs to know whether there are any
 */
export function variablesOf(
  schema: GraphQLSchema,
  { variableDefinitions = [] }: OperationDefinitionNode,
  given: Record<string, unknown> | null | undefined,
  maxErrors = MAX_VARIABLE_ERRORS,
): ReturnType<typeof getVariableValues> {
  if (!given) return getVariableValues(schema, variableDefinitions, {}, { maxErrors });
  const extent = new Extent();
  for (const definition of variableDefinitions) {
    const type = inputTypeOf(schema, definition.type);
    const name = definition.variable.name.value;
    if (!type || !Object.hasOwn(given, name) || extent.fits(type, given[name])) continue;

    return { errors: [tooLarge(definition, given[name])] };
  }

  return getVariableValues(schema, variableDefinitions, given, {
    maxErrors: extent.characters > LONG_CHARACTERS ? Math.min(maxErrors, MAX_LONG_ERRORS) : maxErrors,
  });
}

/** By the values that were given, for as long as their request is under way: several of its steps need them. */
const coerced = new WeakMap<object, { operation: OperationDefinitionNode; values: Record<string, unknown> }>();
/** In place of the values of who gives none. */
export const NO_VARIABLES: Readonly<Record<string, unknown>> = Object.freeze({});

/** The values that an operation is executed with; undefined when those that were given are not right, of which `variablesOf` says why. */
export function coercedVariables(
  schema: GraphQLSchema,
  operation: OperationDefinitionNode,
  given: Readonly<Record<string, unknown>> | null | undefined,
): Record<string, unknown> | undefined {
  const key = given ?? NO_VARIABLES;
  const before = coerced.get(key);
  if (before?.operation === operation) return before.values;
  const { coerced: values } = variablesOf(schema, operation, key, 0);
  if (values) coerced.set(key, { operation, values });

  return values;
}

/** Undefined for what validation refuses. */
function inputTypeOf(schema: GraphQLSchema, node: TypeNode): GraphQLInputType | undefined {
  const type = typeFromAST(schema, node);

  return isInputType(type) ? type : undefined;
}

/** The same beginning as graphql-js's: Apollo tells by it what it is about. */
function tooLarge(definition: VariableDefinitionNode, value: unknown): GraphQLError {
  const shown = typeof value === 'string' ? `"${value.slice(0, SHOWN_CHARACTERS).toWellFormed()}…"` : Array.isArray(value) ? '[…]' : '{…}';
  const why = `at most ${MAX_PARTS} items and fields, ${MAX_FIELDS} in one object, and ${MAX_NAME_CHARACTERS} characters in a name`;

  return new GraphQLError(`Variable "$${definition.variable.name.value}" got invalid value ${shown}; there may be ${why}.`, {
    nodes: definition,
  });
}

/** Of all variables of an operation. */
class Extent {
  characters = 0;
  private parts = 0;

  /** Looks at no more than there may be. @param type undefined where no value may be, which is looked at as well: it is described */
  fits(type: GraphQLInputType | undefined, value: unknown): boolean {
    if (isNonNullType(type)) return this.fits(type.ofType, value);
    this.parts += 1;
    if (this.parts > MAX_PARTS) return false;
    if (typeof value === 'string') {
      this.characters += value.length;

      return !isEnumType(type) || value.length <= MAX_NAME_CHARACTERS;
    }
    if (Array.isArray(value)) {
      const itemType = isListType(type) ? (type.ofType as GraphQLInputType) : type;

      return value.length <= MAX_PARTS && value.every((item) => this.fits(itemType, item));
    }
    if (typeof value !== 'object' || value === null) return true;
    const objectType = itemOf(type);
    const fields = isInputObjectType(objectType) ? objectType.getFields() : {};
    let count = 0;
    for (const name in value) {
      count += 1;
      if (count > MAX_FIELDS) return false;
      this.characters += name.length;
      if (name.length > MAX_NAME_CHARACTERS) return false;
      if (!this.fits(fields[name]?.type, (value as Record<string, unknown>)[name])) return false;
    }

    return true;
  }
}

/** A value that is none stands for a list of one. */
function itemOf(type: GraphQLInputType | undefined): GraphQLInputType | undefined {
  return isNonNullType(type) || isListType(type) ? itemOf(type.ofType as GraphQLInputType) : type;
}
