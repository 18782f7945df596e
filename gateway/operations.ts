/** What is asked for by those transports that are not Apollo's (the websocket and server-sent events), or what is wrong with it. */
import { getOperationAST, getVariableValues, GraphQLError, parse, validate, type DocumentNode, type GraphQLSchema } from 'graphql';
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

  private parse(query: string): DocumentNode | GraphQLError[] {
    const known = this.valid.get(query);
    if (known) return known;
    let document: DocumentNode;
    try {
      document = parse(query, PARSE_OPTIONS);
    } catch (error) {
      if (error instanceof GraphQLError) return [withCode('GRAPHQL_PARSE_FAILED')(error)];
      throw error;
    }
    const invalid = validate(this.schema, document);
    if (invalid.length > 0) return invalid.map(withCode('GRAPHQL_VALIDATION_FAILED'));
    this.valid.set(query, document);

    return document;
  }
}

const withCode = (code: string) => (error: GraphQLError) =>
  new GraphQLError(error.message, { nodes: error.nodes, source: error.source, positions: error.positions, extensions: { code } });
