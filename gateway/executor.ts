/**
 * Executes operations as graphql-js does, and remembers the plan of each. A subscription's is that of its frames.
 *
 * graphql-js works out again, for each request, which fields a selection set has, where each is defined, and which arguments it takes. It also
 * calls a function, with a description of the call, for what is only a property of an object. Here, all that depends on the document alone is
 * worked out once: that is the plan. The rest follows graphql-js step by step: the same resolvers are called in the same order with the same
 * values, errors occur at the same moments, and promises are chained alike, so the answer is the same byte for byte.
 * tests/execution compares the two over random documents.
 *
 * A plan grows while it is executed: a selection set is planned when the first object comes to it. So the work and the memory that one document
 * can take are at most what graphql-js would take, however its fragments nest.
 *
 * The bytes of an answer are counted while it is made, and so are its errors. Where the answer becomes too large, the whole operation ends: no
 * resolver is called any more, and what was made is dropped.
 */
import {
  defaultFieldResolver,
  defaultTypeResolver,
  execute,
  getArgumentValues,
  getOperationAST,
  GraphQLEnumType,
  GraphQLError,
  GraphQLIncludeDirective,
  GraphQLList,
  GraphQLNonNull,
  GraphQLObjectType,
  GraphQLScalarType,
  GraphQLSkipDirective,
  Kind,
  locatedError,
  OperationTypeNode,
  responsePathAsArray,
  TypeNameMetaFieldDef,
  visit,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLAbstractType,
  type GraphQLField,
  type GraphQLLeafType,
  type GraphQLOutputType,
  type GraphQLResolveInfo,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import { collectFields, collectSubfields } from 'graphql/execution/collectFields.js';
import { getFieldDef } from 'graphql/execution/execute.js';
import { inspect } from 'graphql/jsutils/inspect.js';
import { LRUCache } from 'lru-cache';
import { AnswerSize } from './answer-size.js';
import { costOf } from './complexity.js';
import type { Context } from './context.js';
import { bytesOf } from './document-size.js';
import { fault } from './errors.js';
import { HeavyWork } from './heavy-work.js';
import type { ClientAddress } from './origins.js';
import { coercedVariables, NO_VARIABLES, variablesOf } from './variables.js';

/** Memory of all plans together, with the documents that they keep alive. */
const MAX_PLANNED_BYTES = 48 * 1024 * 1024;
/** A document that takes more is planned again for each request, as graphql-js does it. */
const MAX_DOCUMENT_BYTES = 2 * 1024 * 1024;
/** Measured: a field of a plan; a plan. */
const FIELD_BYTES = 400;
const PLAN_BYTES = 600;

/** In one answer: each has a text, a path and a place in the document, and is described at some cost. */
export const MAX_ERRORS = 100;
/** An error in an answer, besides its message, and each step of its path. */
const ERROR_BYTES = 120;
const STEP_BYTES = 12;

export interface OperationExecution {
  document: DocumentNode;
  /** The operation to execute; undefined when the document has none of that name. */
  operation: OperationDefinitionNode | undefined;
  operationName: string | null | undefined;
  variables: Record<string, unknown> | undefined;
  context: Context;
  /** Of a frame. */
  rootValue?: unknown;
}

export class Executor {
  private readonly planned = new LRUCache<DocumentNode, PlannedDocument>({
    maxSize: MAX_PLANNED_BYTES,
    maxEntrySize: MAX_DOCUMENT_BYTES,
  });

  private readonly heavy: HeavyWork;

  /** @param onBusy as of `HeavyWork` */
  constructor(
    private readonly schema: GraphQLSchema,
    onBusy?: (network: string, ms: number) => void,
  ) {
    this.heavy = new HeavyWork(undefined, onBusy);
  }

  /** Estimated, of all plans that are remembered. */
  get plannedBytes(): number {
    return this.planned.calculatedSize;
  }

  /** For who calls graphql-js's `execute` with these, be it for a query, a mutation, or a frame of a subscription. */
  executeAsTold({ document, operationName, variableValues, contextValue, rootValue }: ExecutionArgs): Promise<ExecutionResult> {
    return this.execute({
      document,
      operation: getOperationAST(document, operationName) ?? undefined,
      operationName,
      variables: variableValues ?? undefined,
      context: contextValue as Context,
      rootValue,
    });
  }

  /** Executes an operation of a valid document. Like graphql-js's `execute`, it does not reject: the result has the errors. */
  async execute(asked: OperationExecution): Promise<ExecutionResult> {
    const { document, operationName, variables = NO_VARIABLES, context, rootValue } = asked;
    // A frame is small.
    const cost = rootValue === undefined ? costOf(this.schema, document, operationName, variables) : null;
    let turn: ReturnType<HeavyWork['begin']> = null;
    try {
      // Who lets an operation come here has asked whether it costs too much.
      if (cost && 'values' in cost)
        turn = this.heavy.begin(cost.values, (context.address as ClientAddress | undefined)?.network ?? '', context.valuesTogether);
    } catch (error) {
      return { errors: [error as GraphQLError], data: null };
    }
    if (!turn) return this.executeNow(asked);
    const end = await turn;
    if ((context as Partial<Context>).presence?.isGone) {
      end();
      return { errors: [fault('UNAVAILABLE', 'Nobody waits for it any more.')], data: null };
    }

    return this.executeNow(asked).finally(end);
  }

  private async executeNow({
    document,
    operation,
    operationName,
    variables,
    context,
    rootValue,
  }: OperationExecution): Promise<ExecutionResult> {
    const { schema } = this;
    const type = operation && schema.getRootType(operation.operation);
    const variableValues = operation && coercedVariables(schema, operation, variables);
    if (operation && !variableValues) return { errors: variablesOf(schema, operation, variables).errors! };
    // graphql-js says what is wrong with a request that cannot be executed.
    if (!operation || !type || !variableValues)
      return execute({ schema, document, operationName, variableValues: variables, contextValue: context, rootValue });

    const errors = new CollectedErrors();
    const size = (context.answerSize as AnswerSize | undefined) ?? new AnswerSize();
    const begun: string[] = [];
    const isMutation = operation.operation === OperationTypeNode.MUTATION;
    let fields: Fields | undefined;
    let data: unknown;
    try {
      const planned = this.planOf(document);
      const { fragments } = planned;
      const plan = planned.planOf(operation, variableValues);
      const execution: Execution = { schema, plan, fragments, operation, variableValues, context, rootValue, errors, size, begun };
      fields = plan.rootFields(execution, type);
      data = await (isMutation ? executeInOrder : executeFields)(execution, fields, rootValue, undefined);
    } catch (error) {
      if (size.isFull) return { errors: [size.fault(isMutation ? { mutations: mutationsOf(fields, begun) } : {})], data: null };
      data = null;
      errors.add(error, undefined);
    }

    return errors.count === 0 ? { data: data as Answered } : { errors: errors.told(), data: data as Answered | null };
  }

  private planOf(document: DocumentNode): PlannedDocument {
    let planned = this.planned.get(document);
    if (!planned) {
      planned = new PlannedDocument(document, (grown) => {
        if (this.planned.peek(document) !== grown) return;
        this.planned.delete(document);
        this.planned.set(document, grown, { size: grown.bytes });
      });
      this.planned.set(document, planned, { size: planned.bytes });
    }

    return planned;
  }
}

/** All plans of a document: one for each of its operations, and for each set of fields that `@skip` and `@include` leave. */
class PlannedDocument {
  readonly fragments: Fragments = Object.create(null) as Fragments;
  private readonly plans = new Map<string, Plan>();
  /** The variables that decide which fields there are. */
  private readonly switches = new Set<string>();
  bytes: number;

  constructor(
    document: DocumentNode,
    private readonly onGrowth: (planned: PlannedDocument) => void,
  ) {
    for (const one of document.definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) this.fragments[one.name.value] = one;
    this.bytes = bytesOf(document);
    visit(document, {
      enter: (node) => {
        if (node.kind !== Kind.DIRECTIVE || !SWITCHING.has(node.name.value)) return;
        for (const { value } of node.arguments ?? []) if (value.kind === Kind.VARIABLE) this.switches.add(value.name.value);
      },
    });
  }

  planOf(operation: OperationDefinitionNode, variableValues: Record<string, unknown>): Plan {
    let key = operation.name?.value ?? '';
    // `collectFields` refuses a null, and a variable without a value; what it refuses is not planned.
    for (const name of this.switches) key += Object.hasOwn(variableValues, name) ? ` ${String(variableValues[name])}` : ' -';
    let plan = this.plans.get(key);
    if (!plan) {
      plan = new Plan((fields) => this.grow(fields * FIELD_BYTES));
      this.plans.set(key, plan);
      this.grow(PLAN_BYTES + key.length);
    }

    return plan;
  }

  private grow(bytes: number): void {
    this.bytes += bytes;
    this.onGrowth(this);
  }
}

/** What has taken place, or may have, although the answer does not tell of it, and what has not. */
const mutationsOf = (fields: Fields | undefined, begun: readonly string[]) => ({
  begun,
  notBegun: (fields?.all ?? []).map(({ name }) => name).filter((name) => !begun.includes(name)),
});

/** The fields of an operation, as far as objects came to them. */
class Plan {
  private root: Fields | undefined;

  constructor(private readonly onGrowth: (fields: number) => void) {}

  rootFields({ schema, fragments, variableValues, operation }: Execution, type: GraphQLObjectType): Fields {
    return (this.root ??= this.fieldsOf(schema, type, collectFields(schema, fragments, variableValues, type, operation.selectionSet)));
  }

  fieldsBelow({ schema, fragments, variableValues }: Execution, { nodes, below }: Field, type: GraphQLObjectType): Fields {
    let fields = below.get(type);
    if (!fields) {
      fields = this.fieldsOf(schema, type, collectSubfields(schema, fragments, variableValues, type, nodes));
      below.set(type, fields);
    }

    return fields;
  }

  private fieldsOf(schema: GraphQLSchema, parent: GraphQLObjectType, collected: Map<string, readonly FieldNode[]>): Fields {
    const fields: Field[] = [];
    let bytes = OBJECT_BYTES;
    for (const [name, nodes] of collected) {
      const definition = getFieldDef(schema, parent, nodes[0]!);
      if (!definition) continue;
      const { resolve, args, type } = definition;
      bytes += name.length + NAME_BYTES;
      const innerType = type instanceof GraphQLNonNull ? type.ofType : type;
      fields.push({
        name,
        nodes,
        parent,
        definition,
        resolve,
        hasArguments: args.length > 0,
        isProperty: !resolve && args.length === 0,
        isNullable: !(type instanceof GraphQLNonNull),
        leaf: isLeaf(innerType) ? innerType : undefined,
        typename: definition === TypeNameMetaFieldDef ? parent.name : undefined,
        below: new Map(),
      });
    }
    this.onGrowth(fields.length + 1);

    return { all: fields, bytes };
  }
}

/** Brackets and a comma; quotes, a colon and a comma. */
const OBJECT_BYTES = 2;
const NAME_BYTES = 4;

/** Of an object. */
interface Fields {
  readonly all: readonly Field[];
  /** Of their names in the answer, with what stands around them. */
  readonly bytes: number;
}

interface Field {
  /** In the answer. */
  readonly name: string;
  /** All that are merged in it. */
  readonly nodes: readonly FieldNode[];
  readonly parent: GraphQLObjectType;
  readonly definition: GraphQLField<unknown, unknown>;
  readonly resolve: GraphQLField<unknown, unknown>['resolve'];
  readonly hasArguments: boolean;
  /** Without a resolver or arguments. */
  readonly isProperty: boolean;
  readonly isNullable: boolean;
  /** Its type, if that is a scalar or an enum, or a non-null one. */
  readonly leaf: GraphQLLeafType | undefined;
  /** The value of `__typename`. */
  readonly typename: string | undefined;
  /** The fields below it, of each type of object that has come here. */
  readonly below: Map<GraphQLObjectType, Fields>;
}

interface Execution {
  readonly schema: GraphQLSchema;
  readonly plan: Plan;
  readonly fragments: Fragments;
  readonly operation: OperationDefinitionNode;
  readonly variableValues: Record<string, unknown>;
  readonly context: Context;
  readonly rootValue: unknown;
  readonly errors: CollectedErrors;
  readonly size: AnswerSize;
  /** The fields of a mutation that were executed, and the one that is. */
  readonly begun: string[];
}

type Fragments = Record<string, FragmentDefinitionNode>;
type Path = GraphQLResolveInfo['path'];
type Answered = Record<string, unknown>;

/** A field of one object: what is known of it once it is more than a property. */
class Call {
  readonly type: GraphQLOutputType;
  readonly path: Path;
  private described: GraphQLResolveInfo | undefined;

  constructor(
    readonly execution: Execution,
    readonly field: Field,
    prev: Path | undefined,
  ) {
    this.type = field.definition.type;
    this.path = { prev, key: field.name, typename: field.parent.name };
  }

  get info(): GraphQLResolveInfo {
    if (this.described) return this.described;
    const { field, path } = this;
    const { definition, nodes, parent } = field;
    const { schema, fragments, operation, variableValues, rootValue } = this.execution;

    return (this.described = {
      fieldName: definition.name,
      fieldNodes: nodes,
      returnType: definition.type,
      parentType: parent,
      path,
      schema,
      fragments,
      rootValue,
      operation,
      variableValues,
    });
  }
}

/** An object of an answer. It has no prototype with a `__proto__`, which is a name like others here; and unlike `Object.create(null)`, V8 gives it a shape. */
const Row = function () {} as unknown as new () => Answered;
Row.prototype = Object.create(null) as Answered;

/** The errors of an execution, as many as are told. Once a position is null because of one, nothing more is said of what is below. */
class CollectedErrors {
  private readonly all: GraphQLError[] = [];
  private readonly positions = new Set<Path | undefined>();
  private leftOut = 0;
  private areAlike = true;

  get count(): number {
    return this.all.length + this.leftOut;
  }

  /** Those that come now are left out, and need not be described. */
  get isFull(): boolean {
    return this.all.length >= MAX_ERRORS;
  }

  add(error: unknown, path: Path | undefined): void {
    if (this.isFull) {
      this.leftOut += 1;
      this.areAlike &&= codeOf(error) === codeOf(this.all[0]);
      return;
    }
    if (this.positions.has(undefined)) return;
    for (let at = path; at; at = at.prev) if (this.positions.has(at)) return;
    this.positions.add(path);
    this.all.push(error as GraphQLError);
  }

  told(): readonly GraphQLError[] {
    if (this.leftOut === 0) return this.all;
    // What has no code is a bug.
    const { code, retryable } = this.all[0]!.extensions;
    const areAlike = this.areAlike && this.all.every((error) => error.extensions.code === code);
    const alike = { code: code ?? 'INTERNAL_SERVER_ERROR', ...(retryable === undefined ? {} : { retryable }) };

    return [
      ...this.all,
      new GraphQLError(`There are more errors than these ${MAX_ERRORS}.`, { extensions: areAlike ? alike : { code: 'TOO_MANY_ERRORS' } }),
    ];
  }
}

const codeOf = (error: unknown): unknown => (error instanceof GraphQLError ? error.extensions.code : undefined);

type ExecuteFields = (execution: Execution, fields: Fields, source: unknown, path: Path | undefined) => unknown;

/** One after another, as mutations are. */
const executeInOrder: ExecuteFields = (execution, fields, source, path) => {
  execution.size.add(fields.bytes);
  let results: Answered | PromiseLike<Answered> = new Row();
  for (const field of fields.all) {
    const step = (before: Answered): Answered | PromiseLike<Answered> => {
      if (!execution.size.isFull) execution.begun.push(field.name);
      const value = executeField(execution, field, source, path);
      const finish = (resolved: unknown) => {
        before[field.name] = resolved;

        return before;
      };

      return isPromise(value) ? value.then(finish) : finish(value);
    };
    results = isPromise<Answered>(results) ? results.then(step) : step(results);
  }

  return results;
};

const executeFields: ExecuteFields = (execution, fields, source, path) => {
  const results = new Row();
  let pending: [name: string, value: PromiseLike<unknown>][] | undefined;
  execution.size.add(fields.bytes);
  try {
    for (const field of fields.all) {
      const value = executeField(execution, field, source, path);
      results[field.name] = value;
      if (isPromise(value)) (pending ??= []).push([field.name, value]);
    }
  } catch (error) {
    if (!pending) throw error;

    // They may reject as well, and are waited for.
    return settle(results, pending).finally(() => {
      throw error;
    });
  }

  return pending ? settle(results, pending) : results;
};

/** Waits for the values that are promises, and puts what they become where they stand. */
function settle(results: Answered, pending: [name: string, value: PromiseLike<unknown>][]): Promise<Answered> {
  return Promise.all(pending.map(([, value]) => value)).then((values) => {
    for (let i = 0; i < pending.length; i++) results[pending[i]![0]] = values[i];

    return results;
  });
}

function executeField(execution: Execution, field: Field, source: unknown, prev: Path | undefined): unknown {
  const { isProperty, typename, leaf, isNullable, definition } = field;
  const { size } = execution;
  if (size.isFull) size.end();
  if (typename !== undefined) {
    size.addLeaf(typename);

    return typename;
  }
  let call: Call | undefined;
  try {
    let value: unknown;
    if (isProperty) {
      value = isObject(source) || typeof source === 'function' ? (source as Answered)[definition.name] : undefined;
      if (leaf) {
        // Most fields are this: nothing is made for them but the value.
        if ((value === null || value === undefined) && isNullable) return null;
        if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return completeLeaf(size, leaf, value);
      }
    }
    const mine = (call = new Call(execution, field, prev));
    const { path, type } = mine;
    if (!isProperty || typeof value === 'function') value = resolve(mine, source);
    const completed = isPromise(value) ? value.then((resolved) => complete(mine, type, path, resolved)) : complete(mine, type, path, value);

    return isPromise(completed) ? completed.then(undefined, (error: unknown) => failed(mine, type, path, error)) : completed;
  } catch (error) {
    const { path, type } = (call ??= new Call(execution, field, prev));

    return failed(call, type, path, error);
  }
}

function resolve({ field, execution, info }: Call, source: unknown): unknown {
  const { definition, nodes, hasArguments, resolve } = field;
  const args = hasArguments ? getArgumentValues(definition, nodes[0]!, execution.variableValues) : {};

  return (resolve ?? defaultFieldResolver)(source, args, execution.context, info);
}

/** Where null is allowed, an error makes the value null. Elsewhere it goes on to what the value is part of. */
function failed({ execution, field }: Call, type: GraphQLOutputType, path: Path, thrown: unknown): null {
  const { errors, size } = execution;
  const isNullable = !(type instanceof GraphQLNonNull);
  // Nothing of it will be told.
  if (size.isFull || (errors.isFull && !isNullable)) throw thrown;
  if (errors.isFull) {
    errors.add(thrown, path);

    return null;
  }
  const steps = responsePathAsArray(path);
  const error = locatedError(thrown, field.nodes, steps);
  if (!isNullable) throw error;
  size.add(ERROR_BYTES + error.message.length + STEP_BYTES * steps.length);
  errors.add(error, path);

  return null;
}

/** The answer's value, or a promise of it. */
function complete(call: Call, type: GraphQLOutputType, path: Path, value: unknown): unknown {
  if (value instanceof Error) throw value;
  if (type instanceof GraphQLNonNull) {
    const completed = complete(call, type.ofType, path, value);
    if (completed !== null) return completed;
    const { parent, definition } = call.field;
    throw new Error(`Cannot return null for non-nullable field ${parent.name}.${definition.name}.`);
  }
  if (value === null || value === undefined) return null;
  if (isLeaf(type)) return completeLeaf(call.execution.size, type, value);
  if (type instanceof GraphQLList) return completeList(call, type.ofType, path, value);
  if (type instanceof GraphQLObjectType) return completeObject(call, type, path, value);

  return completeAbstract(call, type, path, value);
}

function completeLeaf(size: AnswerSize, type: GraphQLLeafType, value: unknown): unknown {
  const serialized: unknown = type.serialize(value);
  if (serialized !== null && serialized !== undefined) {
    size.addLeaf(serialized);

    return serialized;
  }
  const call = `${inspect(type)}.serialize(${inspect(value)})`;
  throw new Error(`Expected \`${call}\` to return non-nullable value, returned: ${inspect(serialized)}`);
}

function completeList(call: Call, type: GraphQLOutputType, prev: Path, list: unknown): unknown {
  if (!isObject(list) || typeof (list as Partial<Iterable<unknown>>)[Symbol.iterator] !== 'function') {
    const { parent, definition } = call.field;
    throw new GraphQLError(`Expected Iterable, but did not find one for field "${parent.name}.${definition.name}".`);
  }
  const items: unknown[] = [];
  let hasPromise = false;
  try {
    for (const item of list as Iterable<unknown>) {
      const completed = completeItem(call, type, { prev, key: items.length, typename: undefined }, item);
      hasPromise ||= isPromise(completed);
      items.push(completed);
    }
  } catch (error) {
    // Nobody waits for these any more. If one of them rejected unheard, that would end the process.
    for (const item of items) if (isPromise(item)) void item.then(undefined, () => undefined);
    throw error;
  }

  return hasPromise ? Promise.all(items) : items;
}

function completeItem(call: Call, type: GraphQLOutputType, path: Path, item: unknown): unknown {
  const fail = (error: unknown) => failed(call, type, path, error);
  try {
    const completed = isPromise(item) ? item.then((resolved) => complete(call, type, path, resolved)) : complete(call, type, path, item);

    return isPromise(completed) ? completed.then(undefined, fail) : completed;
  } catch (error) {
    return fail(error);
  }
}

function completeAbstract(call: Call, type: GraphQLAbstractType, path: Path, value: unknown): unknown {
  const name: unknown = (type.resolveType ?? defaultTypeResolver)(value, call.execution.context, call.info, type);
  const completeAs = (resolved: unknown) => completeObject(call, runtimeTypeOf(call, type, value, resolved), path, value);

  return isPromise(name) ? name.then(completeAs) : completeAs(name);
}

/** The type of that name, if an object of the abstract type can be of it. */
function runtimeTypeOf({ execution, field }: Call, abstract: GraphQLAbstractType, value: unknown, resolved: unknown): GraphQLObjectType {
  const { schema } = execution;
  const { name } = abstract;
  const { nodes } = field;
  const at = `field "${field.parent.name}.${field.definition.name}"`;
  if (resolved === null || resolved === undefined) {
    throw new GraphQLError(
      `Abstract type "${name}" must resolve to an Object type at runtime for ${at}. Either the "${name}" type should provide a "resolveType" function or each possible type should provide an "isTypeOf" function.`,
      { nodes },
    );
  }
  if (resolved instanceof GraphQLObjectType) {
    throw new GraphQLError(
      'Support for returning GraphQLObjectType from resolveType was removed in graphql-js@16.0.0 please return type name instead.',
    );
  }
  if (typeof resolved !== 'string') {
    throw new GraphQLError(
      `Abstract type "${name}" must resolve to an Object type at runtime for ${at} with value ${inspect(value)}, received "${inspect(resolved)}".`,
    );
  }
  const type = schema.getType(resolved);
  if (!type)
    throw new GraphQLError(`Abstract type "${name}" was resolved to a type "${resolved}" that does not exist inside the schema.`, {
      nodes,
    });
  if (!(type instanceof GraphQLObjectType)) {
    throw new GraphQLError(`Abstract type "${name}" was resolved to a non-object type "${resolved}".`, { nodes });
  }
  if (!schema.isSubType(abstract, type)) {
    throw new GraphQLError(`Runtime Object type "${type.name}" is not a possible type for "${name}".`, { nodes });
  }

  return type;
}

function completeObject(call: Call, type: GraphQLObjectType, path: Path, value: unknown): unknown {
  const { execution, field } = call;
  const fields = execution.plan.fieldsBelow(execution, field, type);
  if (!type.isTypeOf) return executeFields(execution, fields, value, path);
  const isOne = type.isTypeOf(value, execution.context, call.info);
  const completeIf = (resolved: boolean) => {
    if (resolved) return executeFields(execution, fields, value, path);
    throw new GraphQLError(`Expected value of type "${type.name}" but got: ${inspect(value)}.`, { nodes: field.nodes });
  };

  return isPromise<boolean>(isOne) ? isOne.then(completeIf) : completeIf(isOne);
}

const SWITCHING: ReadonlySet<string> = new Set([GraphQLSkipDirective.name, GraphQLIncludeDirective.name]);

const isLeaf = (type: unknown): type is GraphQLLeafType => type instanceof GraphQLScalarType || type instanceof GraphQLEnumType;

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

function isPromise<T = unknown>(value: unknown): value is PromiseLike<T> {
  return isObject(value) && typeof (value as Partial<PromiseLike<T>>).then === 'function';
}
