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
  isCompositeType,
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
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import { fault } from './errors.js';
import { variablesOf } from './variables.js';

/** About the number of objects in the largest answer. */
const MOST_OBJECTS = 10_000;
/** Fields and fragments of an operation, each fragment counted where it is spread: an executor collects its fields there again. */
const MAX_SELECTIONS = 10_000;

/** What may run, of each document so many: its operations, with what may count of their variables. */
const known = new WeakMap<DocumentNode, Set<string>>();
const MOST_KNOWN = 100;
const MOST_CHARACTERS = 500;

/** As `findFault`, found once for the same sizes of pages. */
export function complexityFault(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Record<string, unknown>,
): GraphQLError | null {
  // Texts do not count.
  const sizes = JSON.stringify(variables, (_, value: unknown) => (typeof value === 'string' ? '' : value));
  const key = `${operationName ?? ''} ${sizes}`;
  const mayRun = known.get(document) ?? new Set<string>();
  if (mayRun.has(key)) return null;
  const { found, isForAllTexts } = findFault(schema, document, operationName, variables);
  if (!found && isForAllTexts && key.length <= MOST_CHARACTERS && mayRun.size < MOST_KNOWN) known.set(document, mayRun.add(key));

  return found;
}

/** The option `complexity` of a field: objects of its own, or how many there are with those that are selected of it. */
type Complexity = number | ((of: { args: Record<string, unknown>; childComplexity: number }) => number);

const tooMuch = (why: string) => fault('BAD_USER_INPUT', why, { http: 400 });

/**
 * Of a document that is valid. Nothing is found when it may run, and when its operation or its variables are not right: who executes it
 * says how.
 */
function findFault(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Record<string, unknown>,
): { found: GraphQLError | null; isForAllTexts: boolean } {
  const operation = getOperationAST(document, operationName);
  const root = operation && schema.getRootType(operation.operation);
  const values = operation && variablesOf(schema, operation, variables, 0).coerced;
  // Another text may be right where this one is not: a value of an enum, say.
  if (!root || !values) return { found: null, isForAllTexts: false };
  const counting = new Counting(schema, document, values);
  try {
    const { objects, selections } = counting.ofObject(root, operation.selectionSet);
    if (selections > MAX_SELECTIONS)
      throw tooMuch(`With its fragments this asks for ${selections} fields, and ${MAX_SELECTIONS} is the most.`);
    if (objects > MOST_OBJECTS) throw tooManyObjects(objects);

    return { found: null, isForAllTexts: counting.isForAllTexts };
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;

    return { found: error, isForAllTexts: false };
  }
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

const tooManyObjects = (objects: number | string) =>
  tooMuch(`This could ask for ${objects} objects, and ${MOST_OBJECTS} is the most. Ask for smaller pages, or nest less.`);

/** Of what is selected of an object: the objects that it can hold at the most, and the selections with all fragments expanded. */
interface Size {
  objects: number;
  selections: number;
}

/**
 * Counts each selection set once for each type that it is of, however often fragments lead there. A document whose fragments multiply takes
 * as long as its text is, and its size is a product of numbers.
 */
class Counting {
  /** False when a text of the variables makes a difference. */
  isForAllTexts = true;
  private readonly fragments = new Map<string, FragmentDefinitionNode>();
  private readonly sizes = new Map<SelectionSetNode, Map<GraphQLObjectType, Size>>();
  private readonly introspected = new Map<SelectionSetNode, Map<unknown, number>>();
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
    const size = { objects: 0, selections: 0 };
    for (const [selection, inner] of this.selected(type, set)) {
      const { objects, selections } = selection.kind === Kind.FIELD ? this.ofField(type, selection) : this.ofObject(type, inner!);
      size.objects += objects;
      size.selections += 1 + selections;
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
    // What execution will refuse, with the object around it, counts as if it were executed.
    const valueOf = (directive: GraphQLDirective) => unlessRefused(() => getDirectiveValues(directive, selection, this.variables))?.if;

    return valueOf(GraphQLSkipDirective) !== true && valueOf(GraphQLIncludeDirective) !== false;
  }

  private ofField(parent: GraphQLObjectType, node: FieldNode): Size {
    const field = this.fieldOf(parent, node);
    const type = field && getNamedType(field.type);
    // What has no fields is free, and the parser bounds how many there are.
    if (!isCompositeType(type) || !node.selectionSet) return { objects: 0, selections: 0 };
    const { objects: each, selections } = this.ofType(type, node.selectionSet);
    const args = unlessRefused(() => getArgumentValues(field!, node, this.variables));
    // Execution refuses the field alone, for a null where none may be, and goes on with the others.
    if (!args) return { objects: 1, selections };
    if (field === SchemaMetaFieldDef || field === TypeMetaFieldDef) {
      this.isForAllTexts &&= field === SchemaMetaFieldDef;

      return { objects: this.ofIntrospection(undefined, field, type as GraphQLObjectType, node), selections };
    }
    // A field that reads more than it shows says so itself.
    const own = field!.extensions.complexity as Complexity | undefined;
    if (typeof own === 'number') return { objects: own + each, selections };
    if (own) return { objects: own({ args, childComplexity: each }), selections };
    // A page counts its objects as often as it may hold them.
    const times = 'first' in args ? Math.max(1, Number(args.first ?? 20)) : 1;

    return { objects: 1 + times * each, selections };
  }

  private ofType(type: GraphQLCompositeType, set: SelectionSetNode): Size {
    if (isObjectType(type)) return this.ofObject(type, set);
    const sizes = this.schema.getPossibleTypes(type).map((one) => this.ofObject(one, set));

    return {
      objects: Math.max(0, ...sizes.map(({ objects }) => objects)),
      selections: Math.max(0, ...sizes.map(({ selections }) => selections)),
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
  private ofIntrospection(source: unknown, field: GraphQLField<unknown, unknown>, type: GraphQLObjectType, node: FieldNode): number {
    const args = getArgumentValues(field, node, this.variables);
    const value: unknown = field.resolve!(source, args, undefined, { schema: this.schema } as GraphQLResolveInfo);
    let objects = 0;
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (one !== null && one !== undefined) objects += 1 + this.ofIntrospected(one, type, node.selectionSet!);
    }

    return objects;
  }

  private ofIntrospected(value: unknown, type: GraphQLObjectType, set: SelectionSetNode): number {
    let ofSet = this.introspected.get(set);
    if (!ofSet) this.introspected.set(set, (ofSet = new Map<unknown, number>()));
    const known = ofSet.get(value);
    if (known !== undefined) return known;
    if (++this.introspectedCount > MOST_OBJECTS) throw tooManyObjects(`more than ${MOST_OBJECTS}`);
    let objects = 0;
    for (const [selection, inner] of this.selected(type, set)) {
      if (selection.kind !== Kind.FIELD) objects += this.ofIntrospected(value, type, inner!);
      else if (inner) {
        const field = type.getFields()[selection.name.value]!;
        objects += this.ofIntrospection(value, field, getNamedType(field.type) as GraphQLObjectType, selection);
      }
    }
    ofSet.set(value, objects);

    return objects;
  }
}
