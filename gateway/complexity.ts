/** A bound on the work that one operation can ask for, whatever it nests. */
import { getNamedType, isLeafType, type DocumentNode, type GraphQLError, type GraphQLSchema } from 'graphql';
import { getComplexity, type ComplexityEstimator } from 'graphql-query-complexity';
import { fault } from './errors.js';

/** About the number of objects in the largest answer. */
const MOST_OBJECTS = 10_000;

/** A page counts its objects as often as it may hold them; what has no fields is free. */
const estimate: ComplexityEstimator = ({ field, args, childComplexity }) => {
  if (isLeafType(getNamedType(field.type))) return 0;
  const times = 'first' in args ? Math.max(1, Number(args.first ?? 20)) : 1;

  return 1 + times * childComplexity;
};

export function complexityFault(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Record<string, unknown>,
): GraphQLError | null {
  const complexity = getComplexity({
    schema,
    query: document,
    variables,
    ...(operationName ? { operationName } : {}),
    estimators: [estimate],
  });
  if (complexity <= MOST_OBJECTS) return null;

  return fault(
    'BAD_USER_INPUT',
    `This could ask for ${complexity} objects, and ${MOST_OBJECTS} is the most. Ask for smaller pages, or nest less.`,
    {
      http: 400,
    },
  );
}
