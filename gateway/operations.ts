/** What is asked for by those transports that are not Apollo's (the websocket and server-sent events), or what is wrong with it. */
import {
  getOperationAST,
  getVariableValues,
  GraphQLError,
  Kind,
  OperationTypeNode,
  parse,
  validate,
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  type SelectionSetNode,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import { complexityFault } from './complexity.js';

/** Limits of a document, before it is even parsed whole. */
export const PARSE_OPTIONS = { maxTokens: 2_000 };

/** Characters of valid documents that are kept parsed, at the most: many clients ask the same. */
const MOST_CHARACTERS = 1_000_000;

export interface OperationRequest {
  query: string;
  operationName?: string | null | undefined;
  variables?: Record<string, unknown> | null | undefined;
}

export class Operations {
  private readonly valid = new LRUCache<string, DocumentNode>({ maxSize: MOST_CHARACTERS, sizeCalculation: (_, text) => 1 + text.length });

  constructor(private readonly schema: GraphQLSchema) {}

  /** The document, or what is wrong with it: told to this operation, while others of the same connection go on. */
  check({ query, operationName, variables }: OperationRequest): DocumentNode | GraphQLError[] {
    const { schema } = this;
    const document = this.parse(query);
    if (Array.isArray(document)) return document;
    const operation = getOperationAST(document, operationName);
    if (!operation) return [new GraphQLError('Which operation is meant?', { extensions: { code: 'OPERATION_RESOLUTION_FAILURE' } })];
    const wrong = getVariableValues(schema, operation.variableDefinitions ?? [], variables ?? {}).errors ?? [];
    if (wrong.length > 0) return wrong.map(withCode('BAD_USER_INPUT'));
    const tooMuch = complexityFault(schema, document, operationName, variables ?? {});

    return tooMuch ? [tooMuch] : document;
  }

  /** Query, mutation or subscription, as far as it can be told without checking more; null if it cannot. */
  kindOf(query: unknown, operationName: unknown): OperationTypeNode | null {
    if (typeof query !== 'string') return null;
    // GraphQL has no other way to write the two words, and most queries have neither of them.
    if (!/mutation|subscription/.test(query)) return OperationTypeNode.QUERY;
    const document = this.valid.get(query) ?? parsed(query);
    if (document instanceof GraphQLError) return null;

    return getOperationAST(document, typeof operationName === 'string' ? operationName : null)?.operation ?? null;
  }

  private validate(document: DocumentNode): readonly GraphQLError[] {
    const wrong = rootDirectives(document);

    return wrong.length > 0 ? wrong : validate(this.schema, document);
  }

  private parse(query: string): DocumentNode | GraphQLError[] {
    const known = this.valid.get(query);
    if (known) return known;
    const document = parsed(query);
    if (document instanceof GraphQLError) return [withCode('GRAPHQL_PARSE_FAILED')(document)];
    const invalid = this.validate(document);
    if (invalid.length > 0) return invalid.map(withCode('GRAPHQL_VALIDATION_FAILED'));
    this.valid.set(query, document);

    return document;
  }
}

function parsed(query: string): DocumentNode | GraphQLError {
  try {
    return parse(query, PARSE_OPTIONS);
  } catch (error) {
    if (error instanceof GraphQLError) return error;
    throw error;
  }
}

/** The specification forbids them there: which field is subscribed to would be up to a variable. graphql-js does not check it. */
function rootDirectives(document: DocumentNode): GraphQLError[] {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const one of document.definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) fragments.set(one.name.value, one);
  const wrong: GraphQLError[] = [];
  const seen = new Set<SelectionSetNode>();
  const look = (set: SelectionSetNode) => {
    if (seen.has(set)) return;
    seen.add(set);
    for (const selection of set.selections) {
      const nodes = selection.directives?.filter(({ name }) => name.value === 'skip' || name.value === 'include') ?? [];
      if (nodes.length > 0) wrong.push(new GraphQLError('@skip and @include do not go with the field of a subscription.', { nodes }));
      if (selection.kind === Kind.INLINE_FRAGMENT) look(selection.selectionSet);
      if (selection.kind === Kind.FRAGMENT_SPREAD && fragments.has(selection.name.value))
        look(fragments.get(selection.name.value)!.selectionSet);
    }
  };
  for (const one of document.definitions) {
    if (one.kind === Kind.OPERATION_DEFINITION && one.operation === OperationTypeNode.SUBSCRIPTION) look(one.selectionSet);
  }

  return wrong;
}

const withCode = (code: string) => (error: GraphQLError) =>
  new GraphQLError(error.message, { nodes: error.nodes, source: error.source, positions: error.positions, extensions: { code } });
