/** The values of an operation's variables. */
import { getVariableValues, type GraphQLSchema, type OperationDefinitionNode } from 'graphql';

/** As many as graphql-js describes when it executes an operation. */
const MAX_VARIABLE_ERRORS = 50;

/**
 * graphql-js's `getVariableValues` with a bound on the errors that it describes. Each wrong item of a list is an error with a stack and a text
 * of its own: without a bound, 125,000 of them, which fit into one request, blocked the process for 16 seconds.
 * @param maxErrors 0 for a caller who only needs to know whether there are any
 */
export const variablesOf = (
  schema: GraphQLSchema,
  { variableDefinitions = [] }: OperationDefinitionNode,
  given: Record<string, unknown> | null | undefined,
  maxErrors = MAX_VARIABLE_ERRORS,
) => getVariableValues(schema, variableDefinitions, given ?? {}, { maxErrors });
