/** What keeps the schema from those who are not meant to see it, where the setting INTROSPECTION is off. */
import { GraphQLError, type ValidationRule } from 'graphql';

const FIELDS: ReadonlySet<string> = new Set(['__schema', '__type']);

/** A rule of validation. `__typename` is no introspection: clients put it into everything. */
export const noIntrospection: ValidationRule = (context) => ({
  Field(node) {
    if (!FIELDS.has(node.name.value)) return undefined;
    context.reportError(new GraphQLError(`${node.name.value} is not answered here: introspection is turned off.`, { nodes: node }));

    return false;
  },
});

/** A message of graphql-js without the names that it found in the schema, and that its reader may have meant. */
export const withoutSuggestions = (message: string): string => message.replaceAll(/ ?Did you mean [^?]*\?/g, '');
