import { execute } from 'graphql';

/** As the gateway's own. */
export class Executor {
  /** @param {import('graphql').GraphQLSchema} schema */
  constructor(schema) {
    this.schema = schema;
  }

  /** @param {import('../../gateway/executor.js').OperationExecution} execution */
  async execute({ document, operationName, variables, context }) {
    return execute({ schema: this.schema, document, operationName, variableValues: variables, contextValue: context });
  }
}
