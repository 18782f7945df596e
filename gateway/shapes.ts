/**
 * The shape of a subscription: what its document makes of a frame. It is the same for all whose documents ask for the same, whatever the
 * arguments of the subscription itself are (whose timeline, after which cursor), which have done their work before there is a frame.
 *
 * Frames are executed with what is kept here once for each shape, and not with what each subscriber has sent: the same document comes in any
 * layout, with any comments, and with other operations beside the one that is meant.
 */
import { createHash } from 'node:crypto';
import {
  getOperationAST,
  GraphQLError,
  Kind,
  type DocumentNode,
  type ExecutionArgs,
  type FragmentDefinitionNode,
  type FragmentSpreadNode,
  type NameNode,
  type OperationDefinitionNode,
  type SelectionNode,
  type VariableNode,
} from 'graphql';
import { costOf } from './complexity.js';
import type { Shape } from './subscription-shares.js';

/** Measured: a node of a document without its place in the text. */
const NODE_BYTES = 150;

/** What is executed for each frame, but for who it is for. */
export type FrameArgs = Omit<ExecutionArgs, 'contextValue' | 'rootValue'>;

export interface OpenShape extends Shape {
  readonly args: FrameArgs;
}

export class Shapes {
  private readonly open = new Map<string, { shape: OpenShape; count: number }>();

  /** Of the arguments of a valid subscription. @throws BAD_USER_INPUT for one that asks for too much */
  of(args: ExecutionArgs): OpenShape {
    const id = idOf(args);

    return this.open.get(id)?.shape ?? newShape(id, args);
  }

  /** Others get the same one from now on. @returns what to call once, when it is not used any more */
  keep(shape: OpenShape): () => void {
    const { id } = shape;
    const kept = this.open.get(id) ?? { shape, count: 0 };
    this.open.set(id, kept);
    kept.count += 1;

    return () => {
      kept.count -= 1;
      if (kept.count === 0) this.open.delete(id);
    };
  }
}

interface Text {
  /** Of the operation and its fragments without the subscription's arguments, and of what its variables are when they are not given. */
  digest: string;
  /** The variables that are used elsewhere. */
  variables: string[];
}

/** Of each document, by the name of the operation. */
const texts = new WeakMap<DocumentNode, Map<string, Text>>();

function textOf(document: DocumentNode, operationName: string | null | undefined): Text {
  let ofDocument = texts.get(document);
  if (!ofDocument) texts.set(document, (ofDocument = new Map<string, Text>()));
  const known = ofDocument.get(operationName ?? '');
  if (known) return known;
  const { operation, fragments } = new Asked(document, operationName);
  const { variableDefinitions = [], selectionSet, ...others } = operation;
  const withoutArguments = (one: SelectionNode) => (one.kind === Kind.FIELD ? { ...one, arguments: [] } : one);
  const bare = { ...others, selectionSet: { ...selectionSet, selections: selectionSet.selections.map(withoutArguments) } };
  const names = new Set<string>();
  for (const one of [bare, ...fragments]) variablesIn(one, names);
  const variables = [...names].sort();
  const defaults = variableDefinitions.filter(({ variable }) => names.has(variable.name.value));
  const text = { digest: digestOf(JSON.stringify([bare, fragments, defaults])), variables };
  ofDocument.set(operationName ?? '', text);

  return text;
}

function idOf({ document, operationName, variableValues }: ExecutionArgs): string {
  const { digest, variables } = textOf(document, operationName);
  const values = variables.map((name) => (variableValues && Object.hasOwn(variableValues, name) ? [variableValues[name]] : []));

  return variables.length === 0 ? digest : digestOf(JSON.stringify([digest, values]));
}

function newShape(id: string, args: ExecutionArgs): OpenShape {
  const { contextValue: _, rootValue: __, ...others } = args;
  const { schema, document, operationName, variableValues } = args;
  const cost = costOf(schema, document, operationName, variableValues ?? {});
  if (cost instanceof GraphQLError) throw cost;
  const { operation, fragments, nodes } = new Asked(document, operationName);
  // Long names are parts of the text, and keep all of it.
  const characters = (document.loc?.source.body.length ?? 0) + JSON.stringify(variableValues ?? null).length;
  const bytes = nodes * NODE_BYTES + 2 * characters;

  return { id, values: cost.values, bytes, args: { ...others, document: { kind: Kind.DOCUMENT, definitions: [operation, ...fragments] } } };
}

/** Copies of the operation that is meant and of the fragments that it uses, which keep nothing of the text. */
class Asked {
  readonly operation: OperationDefinitionNode;
  /** In the order in which they are used. */
  readonly fragments: FragmentDefinitionNode[] = [];
  nodes = 0;
  private readonly names = new Map<string, object>();
  private readonly known = new Map<string, FragmentDefinitionNode>();

  constructor(document: DocumentNode, operationName: string | null | undefined) {
    for (const one of document.definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) this.known.set(one.name.value, one);
    this.operation = this.copy(getOperationAST(document, operationName)!);
  }

  private copy<Value>(value: Value): Value {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return (value.length === 0 ? NONE : value.map((one: unknown) => this.copy(one))) as Value;
    const name = nameIn(value);
    const sameName = name === null ? undefined : this.names.get(name);
    if (sameName) return sameName as Value;
    this.nodes += 1;
    const copied: Record<string, unknown> = {};
    for (const key in value) if (key !== 'loc') copied[key] = this.copy(value[key]);
    if (name !== null) this.names.set(name, copied);
    if (copied.kind === Kind.FRAGMENT_SPREAD) this.use((copied as unknown as FragmentSpreadNode).name.value);

    return copied as Value;
  }

  private use(name: string): void {
    const fragment = this.known.get(name);
    if (!fragment) return;
    this.known.delete(name);
    this.fragments.push(this.copy(fragment));
  }
}

const NONE: readonly never[] = [];
const nameIn = (node: object): string | null => ('kind' in node && node.kind === Kind.NAME ? (node as NameNode).value : null);

function variablesIn(value: unknown, names: Set<string>): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) return value.forEach((one) => variablesIn(one, names));
  const node = value as Record<string, unknown>;
  if (node.kind === Kind.VARIABLE) names.add((node as unknown as VariableNode).name.value);
  else for (const name in node) variablesIn(node[name], names);
}

const digestOf = (text: string) => createHash('sha256').update(text).digest('base64url');
