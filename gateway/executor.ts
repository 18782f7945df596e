/**
 * Executes queries and mutations as graphql-js does, by code that graphql-jit makes of each document that comes again.
 *
 * Both do the same by our tests; whatever graphql-jit is not sure of is left to graphql-js: a document that it does not compile, and
 * variables that it does not take, of which graphql-js says in the specification's words what is wrong.
 */
import { execute, GraphQLError, type DocumentNode, type ExecutionResult, type GraphQLSchema, type OperationDefinitionNode } from 'graphql';
import { compileQuery, isCompiledQuery, type CompiledQuery } from 'graphql-jit';
import { LRUCache } from 'lru-cache';
import type { Context } from './context.js';

/** Operations that are kept compiled: a large one takes some 100 KB. */
const MOST_COMPILED = 500;
/** Compiling takes as long as executing some dozens of times. */
const USES_BEFORE = 2;

export interface OperationExecution {
  document: DocumentNode;
  /** The one that is meant; undefined when the document has none such. */
  operation: OperationDefinitionNode | undefined;
  operationName: string | null | undefined;
  variables: Record<string, unknown> | undefined;
  context: Context;
}

export class Executor {
  /** How often an operation was used, and then its code; null where there can be none. */
  private readonly known = new LRUCache<OperationDefinitionNode, { uses: number; compiled: CompiledQuery | null | undefined }>({
    max: MOST_COMPILED,
  });

  constructor(private readonly schema: GraphQLSchema) {}

  /** A valid document's operation. As graphql-js's `execute`, it does not reject: what goes wrong is in the result. */
  async execute(execution: OperationExecution): Promise<ExecutionResult> {
    const { document, variables, context } = execution;
    const compiled = this.compiledOf(execution);
    const result = compiled && ((await compiled.query(undefined, context, variables)) as ExecutionResult);
    // Without data nothing was executed: it did not take the variables.
    if (!result || result.data === undefined) return this.interpret(execution);
    if (!result.errors) return result;

    return { ...result, errors: result.errors.map((error) => asGraphQLError(error, document)) };
  }

  private async interpret({ document, operationName, variables, context }: OperationExecution): Promise<ExecutionResult> {
    return execute({ schema: this.schema, document, operationName, variableValues: variables, contextValue: context });
  }

  private compiledOf({ document, operation, operationName }: OperationExecution): CompiledQuery | null {
    if (!operation) return null;
    const known = this.known.get(operation) ?? { uses: 0, compiled: undefined };
    known.uses += 1;
    if (known.uses === 1) this.known.set(operation, known);
    if (known.compiled === undefined && known.uses > USES_BEFORE) {
      const compiled = compileQuery(this.schema, document, operationName ?? undefined);
      known.compiled = isCompiledQuery(compiled) ? compiled : null;
    }

    return known.compiled ?? null;
  }
}

/** graphql-jit's errors are none of graphql-js's: they lack `extensions`, and where in the document they belong is told as lines alone. */
function asGraphQLError({ message, locations, path, originalError }: GraphQLError, { loc }: DocumentNode): GraphQLError {
  const { source } = loc ?? {};
  const positions = source && locations?.map(({ line, column }) => offsetOf(source.body, line) + column - 1);

  // What it finds by itself (a null where none may be) is a bug of ours, as it is to graphql-js.
  return new GraphQLError(message, { source, positions, path, originalError: originalError ?? new Error(message) });
}

/** Where a line begins, in UTF-16 code units. */
function offsetOf(text: string, line: number): number {
  let at = 1;
  for (const { 0: end, index } of text.matchAll(/\r\n|[\n\r]/g)) {
    if (at === line) break;
    at += 1;
    if (at === line) return index + end.length;
  }

  return 0;
}
