/**
 * Checks operations before they are executed. For the websocket and event streams it makes every check. Over HTTP, Apollo Server parses and
 * validates by itself; there it only refuses the documents on which graphql-js would throw.
 */
import {
  getOperationAST,
  GraphQLError,
  Kind,
  Lexer,
  NoFragmentCyclesRule,
  OperationTypeNode,
  parse,
  Source,
  TokenKind,
  validate,
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  type SelectionSetNode,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import { complexityFault } from './complexity.js';
import { cutMessage } from './errors.js';
import { variablesOf } from './variables.js';

/** Limits of a document, before it is even parsed whole. */
export const PARSE_OPTIONS = { maxTokens: 2_000 };

/** Brackets within each other, in a document: the parser, and most of what walks through documents, is recursive. */
const MAX_LEVELS = 100;

/** Characters of valid documents that are kept parsed, at the most: many clients ask the same. */
const MOST_CHARACTERS = 1_000_000;

export interface OperationRequest {
  query: string;
  operationName?: string | null | undefined;
  variables?: Record<string, unknown> | null | undefined;
}

export class Operations {
  private readonly valid = new LRUCache<string, DocumentNode>({ maxSize: MOST_CHARACTERS, sizeCalculation: (_, text) => 1 + text.length });

  private readonly harmless = new LRUCache<string, true>({ maxSize: MOST_CHARACTERS, sizeCalculation: (_, text) => 1 + text.length });

  constructor(private readonly schema: GraphQLSchema) {}

  /**
   * What is wrong with a document on which graphql-js throws in place of saying what is wrong, before it gets there. It overflows the stack
   * when a document is nested too deeply, and when fragments spread themselves (by the rule that fields of one name must agree); the rule
   * that a subscription has one field throws what is wrong with a directive of that field.
   */
  harmIn(query: string): GraphQLError[] {
    if (this.harmless.has(query)) return [];
    if (isNestedTooDeeply(query)) return [new GraphQLError(TOO_DEEP, { extensions: { code: 'GRAPHQL_PARSE_FAILED' } })];
    const document = /fragment|subscription/.test(query) ? parsed(query) : null;
    // One that does not parse does no harm: whoever parses it next says what is wrong.
    const harm =
      document && !(document instanceof GraphQLError)
        ? [...validate(this.schema, document, [NoFragmentCyclesRule]), ...rootDirectives(document)]
        : [];
    if (harm.length === 0) this.harmless.set(query, true);

    return harm.map(withCode('GRAPHQL_VALIDATION_FAILED'));
  }

  /** The document, or what is wrong with it: told to this operation, while others of the same connection go on. */
  check({ query, operationName: name, variables }: OperationRequest): DocumentNode | GraphQLError[] {
    const { schema } = this;
    const document = this.parse(query);
    if (Array.isArray(document)) return document;
    const operationName = nameOf(name);
    const operation = getOperationAST(document, operationName);
    if (!operation) return [new GraphQLError('Which operation is meant?', { extensions: { code: 'OPERATION_RESOLUTION_FAILURE' } })];
    const wrong = variablesOf(schema, operation, variables).errors ?? [];
    if (wrong.length > 0) return wrong.map(withCode('BAD_USER_INPUT'));
    const tooMuch = complexityFault(schema, document, operationName, variables ?? {});

    return tooMuch ? [tooMuch] : document;
  }

  /** Query, mutation or subscription, as far as it can be told without checking more; null if it cannot. */
  kindOf(query: unknown, operationName: unknown): OperationTypeNode | null {
    if (typeof query !== 'string') return null;
    // GraphQL has no other way to write the two words, and most queries have neither of them.
    if (!/mutation|subscription/.test(query)) return OperationTypeNode.QUERY;
    const document = this.valid.get(query) ?? (isNestedTooDeeply(query) ? null : parsed(query));
    if (document === null || document instanceof GraphQLError) return null;

    return getOperationAST(document, typeof operationName === 'string' ? nameOf(operationName) : null)?.operation ?? null;
  }

  private parse(query: string): DocumentNode | GraphQLError[] {
    const known = this.valid.get(query);
    if (known) return known;
    const harm = this.harmIn(query);
    if (harm.length > 0) return harm;
    const document = parsed(query);
    if (document instanceof GraphQLError) return [withCode('GRAPHQL_PARSE_FAILED')(document)];
    const invalid = validate(this.schema, document);
    if (invalid.length > 0) return invalid.map(withCode('GRAPHQL_VALIDATION_FAILED'));
    this.valid.set(query, document);

    return document;
  }
}

/** An empty name is as none: clients send it for a document with one operation. */
export const nameOf = (operationName: string | null | undefined): string | null => operationName || null;

const TOO_DEEP = `A document has at most ${MAX_LEVELS} brackets within each other.`;

function parsed(query: string): DocumentNode | GraphQLError {
  try {
    return parse(query, PARSE_OPTIONS);
  } catch (error) {
    if (error instanceof GraphQLError) return error;
    throw error;
  }
}

/** Looks at no more tokens than are parsed, and at none when there are few brackets, which is nearly always so. */
function isNestedTooDeeply(query: string): boolean {
  if ((query.match(/[{([]/g)?.length ?? 0) <= MAX_LEVELS) return false;
  const lexer = new Lexer(new Source(query));
  let level = 0;
  try {
    for (let i = 0; i < PARSE_OPTIONS.maxTokens && level <= MAX_LEVELS; i++) {
      const { kind } = lexer.advance();
      if (kind === TokenKind.EOF) break;
      if (kind === TokenKind.BRACE_L || kind === TokenKind.PAREN_L || kind === TokenKind.BRACKET_L) level += 1;
      if (kind === TokenKind.BRACE_R || kind === TokenKind.PAREN_R || kind === TokenKind.BRACKET_R) level -= 1;
    }
  } catch (error) {
    // No token: the parser says so.
    if (!(error instanceof GraphQLError)) throw error;
  }

  return level > MAX_LEVELS;
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
  new GraphQLError(cutMessage(error.message), {
    nodes: error.nodes,
    source: error.source,
    positions: error.positions,
    extensions: { code },
  });
