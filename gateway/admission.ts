/** The last checks of an operation before it is executed, on every transport: of a document that is valid, and no larger than it may be. */
import { getOperationAST, GraphQLError, OperationTypeNode, type DocumentNode, type GraphQLSchema } from 'graphql';
import { costOf } from './complexity.js';
import type { Context } from './context.js';
import { faultOfSignIns, rootFields } from './root-fields.js';
import { NO_VARIABLES } from './variables.js';

export interface ValidOperation {
  document: DocumentNode;
  operationName: string | null | undefined;
  variables: Record<string, unknown> | null | undefined;
}

/** Counts it for whoever sent it. @throws BAD_USER_INPUT, RATE_LIMITED */
export function admit(
  schema: GraphQLSchema,
  context: Context,
  { document, operationName, variables }: ValidOperation,
): void | Promise<void> {
  const kind = getOperationAST(document, operationName)?.operation;
  const fields = kind === OperationTypeNode.MUTATION ? rootFields(document, operationName, variables) : [];
  const tooMany = faultOfSignIns(fields, context.transport?.isBatch ?? false);
  if (tooMany) throw tooMany;
  const { rates } = context.services;
  if (!rates.areFor(context.address)) return;
  const cost = costOf(schema, document, operationName, variables ?? NO_VARIABLES);
  if (cost instanceof GraphQLError) throw cost;

  return rates.admit(context, { cost, fields, isSubscription: kind === OperationTypeNode.SUBSCRIPTION });
}
