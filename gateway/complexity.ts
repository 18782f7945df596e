/** A bound on the work that one operation can ask for, whatever it nests. */
import { getNamedType, GraphQLError, isLeafType, Kind, type DocumentNode, type GraphQLSchema } from 'graphql';
import { fieldExtensionsEstimator, getComplexity, type ComplexityEstimator } from 'graphql-query-complexity';
import { fault } from './errors.js';

/** About the number of objects in the largest answer. */
const MOST_OBJECTS = 10_000;

/** A page counts its objects as often as it may hold them; what has no fields is free. */
const estimate: ComplexityEstimator = ({ field, args, childComplexity }) => {
  if (isLeafType(getNamedType(field.type))) return 0;
  const times = 'first' in args ? Math.max(1, Number(args.first ?? 20)) : 1;

  return 1 + times * childComplexity;
};

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
  const found = findFault(schema, document, operationName, variables);
  if (!found && key.length <= MOST_CHARACTERS && mayRun.size < MOST_KNOWN) known.set(document, mayRun.add(key));

  return found;
}

/** Of a document that is valid. Null when it may run, and when its variables are not right: who executes it says how. */
function findFault(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Record<string, unknown>,
): GraphQLError | null {
  const tooMuch = (why: string) => fault('BAD_USER_INPUT', why, { http: 400 });
  let complexity: number;
  try {
    complexity = getComplexity({
      schema,
      query: document,
      variables,
      ...(operationName ? { operationName } : {}),
      // A field that reads more than it shows says so itself.
      estimators: [fieldExtensionsEstimator(), estimate],
    });
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;
    // An argument that is null and must not be, or more fields than are worth counting: uncounted, it does not run.
    return error.nodes?.[0]?.kind === Kind.VARIABLE_DEFINITION ? null : tooMuch(error.message);
  }
  if (complexity <= MOST_OBJECTS) return null;

  return tooMuch(`This could ask for ${complexity} objects, and ${MOST_OBJECTS} is the most. Ask for smaller pages, or nest less.`);
}
