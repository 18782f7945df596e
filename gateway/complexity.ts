/** A bound on the work that one operation can ask for, whatever it nests. */
import {
  getArgumentValues,
  getDirectiveValues,
  getNamedType,
  getOperationAST,
  GraphQLError,
  GraphQLIncludeDirective,
  GraphQLSkipDirective,
  isAbstractType,
  getNullableType,
  isCompositeType,
  isListType,
  isObjectType,
  Kind,
  SchemaMetaFieldDef,
  TypeMetaFieldDef,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLDirective,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLObjectType,
  type GraphQLResolveInfo,
  type GraphQLSchema,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
  type ValueNode,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import { fault } from './errors.js';
import { coercedVariables } from './variables.js';

/** About the number of objects in the largest answer. */
const MAX_OBJECTS = 10_000;
/** Values in the largest answer: scalars, nulls, lists and objects. */
export const MAX_VALUES = 50_000;

/** What operations were found to cost, with what may count of their variables: so many bytes of it, estimated. */
const MAX_KNOWN_BYTES = 2 * 1024 * 1024;
/** Measured: what an entry takes besides its text, which has up to two bytes for each character. */
const KNOWN_BYTES = 300;
const MAX_CHARACTERS = 500;
const known = new LRUCache<string, Cost>({ maxSize: MAX_KNOWN_BYTES, sizeCalculation: (_, key) => KNOWN_BYTES + 2 * key.length });

/** By the variables of a request, for as long as it is under way: several of its steps ask for the same. */
const found = new WeakMap<object, { document: DocumentNode; operationName: string | null | undefined; cost: Cost | GraphQLError }>();

/** By document, and by the name of an operation: what it costs whatever its variables are. */
const alike = new WeakMap<DocumentNode, Map<string, Cost>>();

/** Stands for a document in the keys of what is known, and keeps nothing of it. */
const numbers = new WeakMap<DocumentNode, number>();
let newest = 0;

function numberOf(document: DocumentNode): number {
  let number = numbers.get(document);
  if (number === undefined) numbers.set(document, (number = ++newest));

  return number;
}

/** The most that an answer can hold. */
export interface Cost {
  /** What is read for it: each object, and for fields that read more than they show as much as they say. */
  objects: number;
  /** Everything that stands in it: scalars, nulls, lists and objects. */
  values: number;
}

const NOTHING: Cost = { objects: 0, values: 0 };

/**
 * What an operation of a valid document can cost, or why it may not run: it could ask for too much. Found once for the same sizes of pages.
 * What cannot be executed costs nothing: when there is no such operation, or when its variables are not right. Who executes it says what is
 * wrong.
 */
export function costOf(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Record<string, unknown>,
): Cost | GraphQLError {
  const before = found.get(variables);
  if (before?.document === document && before.operationName === operationName) return before.cost;
  const cost = countOnce(schema, document, operationName, variables);
  found.set(variables, { document, operationName, cost });

  return cost;
}

function countOnce(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Record<string, unknown>,
): Cost | GraphQLError {
  const operation = getOperationAST(document, operationName);
  const given = operation && coercedVariables(schema, operation, variables);
  const root = operation && schema.getRootType(operation.operation);
  // Another value may be right where this one is not.
  if (!root || !given) return NOTHING;
  const always = alike.get(document)?.get(operationName ?? '');
  if (always) return always;
  // Texts do not count.
  const sizes = JSON.stringify(given, (_, value: unknown) => (typeof value === 'string' ? '' : value));
  const key = `${numberOf(document)} ${operationName ?? ''} ${sizes}`;
  const before = known.get(key);
  if (before) return before;
  const { cost, isForAll, isForAllTexts } = count(schema, document, operation, root, given);
  if (cost instanceof GraphQLError) return cost;
  // There are no more names than a document has operations: another one finds none.
  if (isForAll) alike.set(document, (alike.get(document) ?? new Map<string, Cost>()).set(operationName ?? '', cost));
  else if (isForAllTexts && key.length <= MAX_CHARACTERS) known.set(key, cost);

  return cost;
}

/** Of operations that are one request: all of them together may cost no more than one alone. */
export function costOfAll(costs: readonly Cost[]): Cost | GraphQLError {
  const all = {
    objects: costs.reduce((sum, { objects }) => sum + objects, 0),
    values: costs.reduce((sum, { values }) => sum + values, 0),
  };

  return faultOf(all, 'All operations of this request together', {}) ?? all;
}

/**
 * The option `complexity` of a field, in objects. A number: of its own, besides what is selected of it. A function, of a list: `own + items *
 * childComplexity`, where that is what is selected of each item.
 */
type Complexity = number | ((of: { args: Record<string, unknown>; childComplexity: number }) => number);

const BEFORE_IT_IS_EXECUTED = { http: 400 };
const tooMuch = (why: string, details: { http?: number } = BEFORE_IT_IS_EXECUTED) => fault('BAD_USER_INPUT', why, details);
const LESS = 'Ask for smaller pages, or for less of each item.';
const tooManyObjects = (objects: number | string, what = 'This', details?: { http?: number }) =>
  tooMuch(`${what} could ask for ${objects} objects, and ${MAX_OBJECTS} is the most. ${LESS}`, details);

function faultOf({ objects, values }: Cost, what = 'This', details?: { http?: number }): GraphQLError | null {
  if (objects > MAX_OBJECTS) return tooManyObjects(objects, what, details);
  if (values > MAX_VALUES) return tooMuch(`${what} could ask for ${values} values, and ${MAX_VALUES} is the most. ${LESS}`, details);

  return null;
}

function count(
  schema: GraphQLSchema,
  document: DocumentNode,
  { selectionSet }: OperationDefinitionNode,
  root: GraphQLObjectType,
  variables: Record<string, unknown>,
): { cost: Cost | GraphQLError; isForAll: boolean; isForAllTexts: boolean } {
  const counting = new Counting(schema, document, variables);
  try {
    const { objects, values } = counting.ofObject(root, selectionSet);
    const cost = { objects, values: 1 + values };

    return { cost: faultOf(cost) ?? cost, isForAll: counting.isForAll, isForAllTexts: counting.isForAllTexts };
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;

    return { cost: error, isForAll: false, isForAllTexts: false };
  }
}

function hasVariable(value: ValueNode): boolean {
  if (value.kind === Kind.LIST) return value.values.some(hasVariable);
  if (value.kind === Kind.OBJECT) return value.fields.some((field) => hasVariable(field.value));

  return value.kind === Kind.VARIABLE;
}

/** Null when graphql-js refuses the values: whoever executes the operation says so, at its place. */
function unlessRefused<Values>(read: () => Values): Values | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof GraphQLError) return null;
    throw error;
  }
}

/** Of what is selected of an object. */
interface Size extends Cost {
  /** Of one item of each of its lists: how many items there are is said by who has the object, as a page by its `first`. */
  ofItems: Cost;
}

const EMPTY: Size = { objects: 0, values: 0, ofItems: NOTHING };
const LEAF: Size = { ...EMPTY, values: 1 };
/** A page that is not told how large it is to be. */
const USUAL_PAGE = 20;
/** In a list that is on no page, and has no option `complexity`: what changed of a profile, or what is wrong with an input. */
const MAX_OTHER_ITEMS = 20;

/**
 * Counts each selection set once for each type that it is of, however often fragments lead there. A document whose fragments multiply takes
 * as long as its text is, and its size is a product of numbers.
 */
class Counting {
  /** False when a variable makes a difference. */
  isForAll = true;
  /** False when a text of the variables makes a difference. */
  isForAllTexts = true;
  private readonly fragments = new Map<string, FragmentDefinitionNode>();
  private readonly sizes = new Map<SelectionSetNode, Map<GraphQLObjectType, Size>>();
  private readonly introspected = new Map<SelectionSetNode, Map<unknown, Cost>>();
  private introspectedCount = 0;

  constructor(
    private readonly schema: GraphQLSchema,
    document: DocumentNode,
    private readonly variables: Record<string, unknown>,
  ) {
    for (const one of document.definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) this.fragments.set(one.name.value, one);
  }

  /** An object of this type counts for its selected fields, without itself. */
  ofObject(type: GraphQLObjectType, set: SelectionSetNode): Size {
    let ofSet = this.sizes.get(set);
    if (!ofSet) this.sizes.set(set, (ofSet = new Map<GraphQLObjectType, Size>()));
    const known = ofSet.get(type);
    if (known) return known;
    const size = { objects: 0, values: 0, ofItems: { objects: 0, values: 0 } };
    for (const [selection, inner] of this.selected(type, set)) {
      const one = selection.kind === Kind.FIELD ? this.ofField(type, selection) : this.ofObject(type, inner!);
      size.objects += one.objects;
      size.values += one.values;
      size.ofItems.objects += one.ofItems.objects;
      size.ofItems.values += one.ofItems.values;
    }
    ofSet.set(type, size);

    return size;
  }

  /** What counts for an object of this type: fields, and fragments with what they select. */
  private *selected(type: GraphQLObjectType, set: SelectionSetNode): Iterable<[SelectionNode, SelectionSetNode | undefined]> {
    for (const selection of set.selections) {
      if (!this.isIncluded(selection)) continue;
      if (selection.kind === Kind.FIELD) {
        yield [selection, selection.selectionSet];
      } else {
        const fragment = selection.kind === Kind.FRAGMENT_SPREAD ? this.fragments.get(selection.name.value) : selection;
        const name = fragment?.typeCondition?.name.value ?? type.name;
        const condition = this.schema.getType(name);
        if (fragment && (name === type.name || (isAbstractType(condition) && this.schema.isSubType(condition, type))))
          yield [selection, fragment.selectionSet];
      }
    }
  }

  private isIncluded(selection: SelectionNode): boolean {
    if (!selection.directives?.length) return true;
    this.isForAll = false;
    // What execution will refuse, with the object around it, counts as if it were executed.
    const valueOf = (directive: GraphQLDirective) => unlessRefused(() => getDirectiveValues(directive, selection, this.variables))?.if;

    return valueOf(GraphQLSkipDirective) !== true && valueOf(GraphQLIncludeDirective) !== false;
  }

  /** The field with its value, and all that is in it but the items of a list whose number is not known here. */
  private ofField(parent: GraphQLObjectType, node: FieldNode): Size {
    const field = this.fieldOf(parent, node);
    if (!field) return LEAF;
    const type = getNamedType(field.type);
    const isList = isListType(getNullableType(field.type));
    const isObject = isCompositeType(type) && node.selectionSet !== undefined;
    if (!isObject && !isList) return LEAF;
    const size = isObject ? this.ofType(type, node.selectionSet) : EMPTY;
    const args = unlessRefused(() => getArgumentValues(field, node, this.variables));
    // Execution refuses the field alone, for a null where none may be, and goes on with the others.
    if (!args) {
      this.isForAll = false;

      return { objects: 1, values: 1, ofItems: NOTHING };
    }
    if (field === SchemaMetaFieldDef || field === TypeMetaFieldDef) {
      this.isForAll = false;
      this.isForAllTexts &&= field === SchemaMetaFieldDef;

      return { ...this.ofIntrospection(undefined, field, type as GraphQLObjectType, node), ofItems: NOTHING };
    }
    // A page has as many items in each of its lists as it was asked for.
    const items = 'first' in args ? Math.max(1, Number(args.first ?? USUAL_PAGE)) : MAX_OTHER_ITEMS;
    const objects = size.objects + items * size.ofItems.objects;
    const values = 1 + size.values + items * size.ofItems.values;
    const own = field.extensions.complexity as Complexity | undefined;
    if ('first' in args || typeof own === 'function') this.isForAll &&= !node.arguments?.some(({ value }) => hasVariable(value));
    if (typeof own === 'function') {
      const all = (childComplexity: number) => own({ args, childComplexity });

      return { objects: all(objects), values: 1 + (all(1) - all(0)) * values, ofItems: NOTHING };
    }
    if (isList) return { objects: 0, values: 1, ofItems: { objects: (isObject ? 1 : 0) + objects, values } };

    return { objects: (own ?? 1) + objects, values, ofItems: NOTHING };
  }

  private ofType(type: GraphQLCompositeType, set: SelectionSetNode): Size {
    if (isObjectType(type)) return this.ofObject(type, set);
    const sizes = this.schema.getPossibleTypes(type).map((one) => this.ofObject(one, set));
    const largest = (sizeOf: (size: Size) => number) => Math.max(0, ...sizes.map(sizeOf));

    return {
      objects: largest(({ objects }) => objects),
      values: largest(({ values }) => values),
      ofItems: { objects: largest(({ ofItems }) => ofItems.objects), values: largest(({ ofItems }) => ofItems.values) },
    };
  }

  private fieldOf(parent: GraphQLObjectType, { name: { value: name } }: FieldNode): GraphQLField<unknown, unknown> | undefined {
    if (parent === this.schema.getQueryType()) {
      if (name === SchemaMetaFieldDef.name) return SchemaMetaFieldDef;
      if (name === TypeMetaFieldDef.name) return TypeMetaFieldDef;
    }

    return parent.getFields()[name];
  }

  /**
   * Lists of the schema have no `first`, and its types differ in how long they are. But the schema is here, so what a field of introspection
   * holds is looked at; each selection of each of its objects once, and no more of them than an answer may have.
   */
  private ofIntrospection(source: unknown, field: GraphQLField<unknown, unknown>, type: GraphQLObjectType, node: FieldNode): Cost {
    const args = getArgumentValues(field, node, this.variables);
    const value: unknown = field.resolve!(source, args, undefined, { schema: this.schema } as GraphQLResolveInfo);
    const isList = Array.isArray(value);
    const cost = { objects: 0, values: isList ? 1 : 0 };
    for (const one of isList ? (value as unknown[]) : [value]) {
      cost.values += 1;
      if (one === null || one === undefined || !node.selectionSet) continue;
      const { objects, values } = this.ofIntrospected(one, type, node.selectionSet);
      cost.objects += 1 + objects;
      cost.values += values;
    }

    return cost;
  }

  private ofIntrospected(value: unknown, type: GraphQLObjectType, set: SelectionSetNode): Cost {
    let ofSet = this.introspected.get(set);
    if (!ofSet) this.introspected.set(set, (ofSet = new Map<unknown, Cost>()));
    const known = ofSet.get(value);
    if (known !== undefined) return known;
    if (++this.introspectedCount > MAX_OBJECTS) throw tooManyObjects(`more than ${MAX_OBJECTS}`);
    const cost = { objects: 0, values: 0 };
    for (const [selection, inner] of this.selected(type, set)) {
      const { objects, values } =
        selection.kind === Kind.FIELD ? this.ofIntrospectedField(value, type, selection) : this.ofIntrospected(value, type, inner!);
      cost.objects += objects;
      cost.values += values;
    }
    ofSet.set(value, cost);

    return cost;
  }

  private ofIntrospectedField(value: unknown, type: GraphQLObjectType, node: FieldNode): Cost {
    const field = type.getFields()[node.name.value];
    if (!field || (!node.selectionSet && !isListType(getNullableType(field.type)))) return LEAF;

    return this.ofIntrospection(value, field, getNamedType(field.type) as GraphQLObjectType, node);
  }
}
