/**
 * What the client changes in a document before it is sent, so that the operation can be sent again:
 *
 * - Each command of a mutation gets a `commandId`, unless it has one. A repeated command then has one effect.
 * - A live subscription takes its `after` from a variable of the client's, and selects the cursor and the type of every event under
 *   aliases of the client's. So it can go on after the last event. The aliases are removed before the application sees the event.
 *
 * Only names are known of the schema: the mutations that are no commands, and the subscriptions that have no cursor. All else follows
 * from the documents, so an application's own documents work like those of `operations.ts`.
 */
import {
  getOperationAST,
  Kind,
  OperationTypeNode,
  parse,
  print,
  separateOperations,
  valueFromASTUntyped,
  visit,
  type DocumentNode,
  type FieldNode,
  type ObjectValueNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
  type ValueNode,
  type VariableDefinitionNode,
} from 'graphql';

export type Variables = Readonly<Record<string, unknown>>;

/** An operation as any GraphQL client has it. */
export interface Operation {
  query: string | DocumentNode;
  /** May be absent when the document has one operation only. */
  operationName?: string | null | undefined;
  variables?: Variables | null | undefined;
  /** For this operation alone, beside those of the client. */
  headers?: Readonly<Record<string, string>> | undefined;
}

/** The body of a request, or a message that begins a subscription. */
export interface Payload {
  query: string;
  operationName?: string;
  variables: Variables;
}

/** A `Payload` that has its document's id in place of the text. */
export type NamedPayload = Omit<Payload, 'query'> & { documentId: string };

/** Mutations without a `commandId`. To send them again does no harm. */
export const NOT_COMMANDS: ReadonlySet<string> = new Set(['logIn', 'logOut']);
/** Subscriptions that end by themselves, so they have no cursor. */
export const NOT_LIVE: ReadonlySet<string> = new Set(['command']);

const AFTER = 'cheeperAfter';
const CURSOR = 'cheeperCursor';
const TYPE = 'cheeperType';
const COMMAND_ID = 'cheeperCommandId_';

/** Parsing and printing take longer than all else here, and applications have few documents. */
const printed = new WeakMap<DocumentNode, string>();
const parsed = new Map<string, DocumentNode>();
const MAX_PARSED = 500;
const ids = new Map<string, string>();
const MAX_IDS = 500;

/** The text of a document. */
export function textOf(document: string | DocumentNode): string {
  if (typeof document === 'string') return document;
  let text = printed.get(document);
  if (text === undefined) printed.set(document, (text = print(document)));

  return text;
}

/** The id of a text: its SHA-256. Null in pages that came over plain HTTP, where browsers do not compute it. */
export async function documentIdOf(text: string): Promise<string | null> {
  const { subtle } = crypto as { subtle?: SubtleCrypto };
  if (!subtle) return null;
  let id = ids.get(text);
  if (id === undefined) {
    const bytes = new Uint8Array(await subtle.digest('SHA-256', new TextEncoder().encode(text)));
    id = `sha256:${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
    if (ids.size >= MAX_IDS) ids.clear();
    ids.set(text, id);
  }

  return id;
}

function documentOf(query: string | DocumentNode): DocumentNode {
  if (typeof query !== 'string') return query;
  let document = parsed.get(query);
  if (!document) {
    if (parsed.size >= MAX_PARSED) parsed.clear();
    parsed.set(query, (document = parse(query, { noLocation: true })));
  }

  return document;
}

/** The operation that is meant, in a document without others; null when there is no such operation, as the server will say. */
function operationOf({ query, operationName }: Operation): { document: DocumentNode; node: OperationDefinitionNode } | null {
  const document = documentOf(query);
  const node = getOperationAST(document, operationName);
  if (!node) return null;
  const isAlone = document.definitions.every((one) => one === node || one.kind !== Kind.OPERATION_DEFINITION);

  return { node, document: isAlone ? document : separateOperations(document)[node.name?.value ?? '']! };
}

/** @throws GraphQLError when the document is text that does not parse */
export const isSubscription = (operation: Operation): boolean => operationOf(operation)?.node.operation === OperationTypeNode.SUBSCRIPTION;

/** As it is. */
export function unchanged({ query, operationName, variables }: Operation): Payload {
  return { query: textOf(query), variables: variables ?? {}, ...(operationName ? { operationName } : {}) };
}

// ---- Queries and mutations

export interface Repeatable {
  payload: Payload;
  kind: 'query' | 'mutation';
  /** Whether it may be sent again when no answer came: then the first may have been executed. */
  isRepeatable: boolean;
}

/**
 * The operation, each of whose commands has a `commandId`.
 *
 * @param newId makes a UUID
 * @throws GraphQLError when the document is text that does not parse
 */
export function repeatable(operation: Operation, newId: () => string): Repeatable {
  const meant = operationOf(operation);
  if (meant?.node.operation !== OperationTypeNode.MUTATION) return { payload: unchanged(operation), kind: 'query', isRepeatable: true };
  const { node } = meant;
  const added = new Map<string, string>();
  const variables: Record<string, unknown> = { ...operation.variables };
  /** The key in the answer of the command that a variable is the input of. */
  const inputs = new Map<string, string>();
  let isRepeatable = true;
  const document = withRootFields(meant.document, node, (field) => {
    const name = field.name.value;
    const index = field.arguments?.findIndex((argument) => argument.name.value === 'input') ?? -1;
    if (NOT_COMMANDS.has(name) || name.startsWith('__')) return field;
    const input = field.arguments?.[index]?.value;
    const key = field.alias?.value ?? name;
    if (input?.kind === Kind.OBJECT) {
      const others = input.fields.filter((one) => one.name.value !== 'commandId');
      const given = input.fields.find((one) => one.name.value === 'commandId');
      if (given && valueOf(given.value, node, variables) != null) return field;
      const variable = COMMAND_ID + key;
      added.set(variable, 'ID');
      variables[variable] ??= newId();
      const value: ObjectValueNode = {
        ...input,
        fields: [...others, { kind: Kind.OBJECT_FIELD, name: nameOf('commandId'), value: variableOf(variable) }],
      };

      return { ...field, arguments: field.arguments!.map((argument, i) => (i === index ? { ...argument, value } : argument)) };
    }
    const variable = input?.kind === Kind.VARIABLE ? input.name.value : null;
    const given = variable === null ? null : variables[variable];
    // Two commands with one input would be one command, if it had an id.
    const isShared = variable !== null && (inputs.get(variable) ?? key) !== key;
    if (variable === null || !isObject(given) || isShared) isRepeatable = false;
    else {
      inputs.set(variable, key);
      if (given['commandId'] == null) variables[variable] = { ...given, commandId: newId() };
    }

    return field;
  });
  const query = added.size > 0 ? textOf(withVariables(document, added)) : textOf(operation.query);
  if (!isRepeatable) return { payload: unchanged(operation), kind: 'mutation', isRepeatable };

  return { payload: { ...unchanged(operation), query, variables }, kind: 'mutation', isRepeatable };
}

// ---- Subscriptions

/** What the client reads of an event before the application gets it. */
export interface EventHead {
  field: string;
  type: string;
  cursor: string;
}

export interface LiveSubscription {
  /** What to send to begin after a cursor; null begins now. */
  payload(after: unknown): Payload;
  /** The cursor that the application begins after. */
  after: unknown;
  /** Removes from an event what the application did not ask for. @returns null when there is no event in it */
  take(data: Record<string, unknown>): EventHead | null;
}

/** The subscription in a form that can be resumed; null when it has no cursor. @throws GraphQLError when the document does not parse */
export function live(operation: Operation): LiveSubscription | null {
  const meant = operationOf(operation);
  if (meant?.node.operation !== OperationTypeNode.SUBSCRIPTION) return null;
  const { node } = meant;
  const variables = operation.variables ?? {};
  const keys: string[] = [];
  let after: unknown = null;
  let name = '';
  let isLive = true;
  const document = withRootFields(meant.document, node, (field) => {
    if (NOT_LIVE.has(field.name.value) || field.name.value.startsWith('__') || !field.selectionSet) {
      isLive = false;
      return field;
    }
    name = field.name.value;
    keys.push(field.alias?.value ?? name);
    const given = field.arguments?.find((argument) => argument.name.value === 'after');
    if (given) after = valueOf(given.value, node, variables) ?? null;
    const others = field.arguments?.filter((argument) => argument !== given) ?? [];

    return {
      ...field,
      arguments: [...others, { kind: Kind.ARGUMENT, name: nameOf('after'), value: variableOf(AFTER) }],
      selectionSet: {
        ...field.selectionSet,
        selections: [...field.selectionSet.selections, aliased(CURSOR, 'cursor'), aliased(TYPE, '__typename')],
      },
    };
  });
  const key = keys[0];
  if (!isLive || key === undefined) return null;
  const query = textOf(withVariables(document, new Map([[AFTER, 'String']])));
  const payload = unchanged(operation);

  return {
    after,
    payload: (cursor) => ({ ...payload, query, variables: { ...variables, [AFTER]: cursor } }),
    take(data) {
      const event = data[key];
      if (!isObject(event)) return null;
      const { [CURSOR]: cursor, [TYPE]: type, ...rest } = event;
      data[key] = rest;

      return typeof cursor === 'string' && typeof type === 'string' ? { field: name, type, cursor } : null;
    },
  };
}

// ---- Documents

/** Each text that the client may send for an application's document: as it is, and as the client changes its operations. */
export function textsOf(query: string | DocumentNode): Set<string> {
  const texts = new Set<string>();
  for (const definition of documentOf(query).definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
    const operation: Operation = { query, operationName: definition.name?.value };
    texts.add(textOf(query));
    texts.add(repeatable({ ...operation, variables: inputsOf(operation) }, () => '').payload.query);
    const subscription = live(operation);
    if (subscription) texts.add(subscription.payload(null).query);
  }

  return texts;
}

/** An empty input for each variable that is the input of a command: only what is there can be given a `commandId`. */
function inputsOf(operation: Operation): Variables {
  const meant = operationOf(operation)!;
  const variables: Record<string, unknown> = {};
  withRootFields(meant.document, meant.node, (field) => {
    const input = field.arguments?.find((argument) => argument.name.value === 'input')?.value;
    if (input?.kind === Kind.VARIABLE) variables[input.name.value] = {};

    return field;
  });

  return variables;
}

/** Changes the fields of the operation itself, in whatever fragments they stand. */
function withRootFields(document: DocumentNode, operation: OperationDefinitionNode, change: (field: FieldNode) => FieldNode): DocumentNode {
  const fragments = new Set<string>();
  const inSet = (set: SelectionSetNode): SelectionSetNode => ({
    ...set,
    selections: set.selections.map((selection) => {
      if (selection.kind === Kind.FIELD) return change(selection);
      if (selection.kind === Kind.INLINE_FRAGMENT) return { ...selection, selectionSet: inSet(selection.selectionSet) };
      fragments.add(selection.name.value);

      return selection;
    }),
  });
  const changed = new Map<unknown, SelectionSetNode>([[operation, inSet(operation.selectionSet)]]);
  // A fragment may name others, which are then added to the set.
  for (const name of fragments) {
    for (const one of document.definitions) {
      if (one.kind === Kind.FRAGMENT_DEFINITION && one.name.value === name) changed.set(one, inSet(one.selectionSet));
    }
  }

  return {
    ...document,
    definitions: document.definitions.map((one) => (changed.has(one) ? ({ ...one, selectionSet: changed.get(one) } as typeof one) : one)),
  };
}

/** Declares variables for a document's one operation. Those that they have replaced are no longer declared, if nothing else uses them. */
function withVariables(document: DocumentNode, added: ReadonlyMap<string, string>): DocumentNode {
  const definitions: VariableDefinitionNode[] = [...added].map(([name, type]) => ({
    kind: Kind.VARIABLE_DEFINITION,
    variable: variableOf(name),
    type: { kind: Kind.NAMED_TYPE, name: nameOf(type) },
  }));
  const used = new Set<string>();
  // Without this, the declaration of a variable would count as its use.
  visit(document, { VariableDefinition: () => false, Variable: ({ name }) => void used.add(name.value) });

  return visit(document, {
    OperationDefinition: (operation) => ({
      ...operation,
      variableDefinitions: [
        ...(operation.variableDefinitions ?? []).filter(({ variable }) => used.has(variable.name.value)),
        ...definitions,
      ],
    }),
  });
}

/** What a value of a document is with these variables; undefined for a variable that is absent and has no default. */
function valueOf(value: ValueNode, operation: OperationDefinitionNode, variables: Variables): unknown {
  if (value.kind !== Kind.VARIABLE) return valueFromASTUntyped(value, variables);
  const name = value.name.value;
  if (variables[name] !== undefined) return variables[name];
  const fallback = operation.variableDefinitions?.find(({ variable }) => variable.name.value === name)?.defaultValue;

  return fallback && valueFromASTUntyped(fallback);
}

const nameOf = (value: string) => ({ kind: Kind.NAME, value }) as const;
const variableOf = (name: string) => ({ kind: Kind.VARIABLE, name: nameOf(name) }) as const;
const aliased = (alias: string, name: string): FieldNode => ({ kind: Kind.FIELD, alias: nameOf(alias), name: nameOf(name) });
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
