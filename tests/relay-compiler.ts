import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  buildSchema,
  getNamedType,
  getNullableType,
  isLeafType,
  isListType,
  isObjectType,
  Kind,
  parse,
  valueFromASTUntyped,
  type GraphQLField,
  type GraphQLSchema,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import type { ConcreteRequest, NormalizationSelection } from 'relay-runtime';

const schema = buildSchema(readFileSync(join(import.meta.dirname, '../schema.graphql'), 'utf8'));

/** What Relay’s own compiler, a program of 60 MB, makes of a document with one operation and no named fragments. */
export function compiled(text: string): ConcreteRequest {
  const operation = parse(text).definitions[0] as OperationDefinitionNode;
  const name = operation.name!.value;
  const typeOf = { query: schema.getQueryType(), mutation: schema.getMutationType(), subscription: schema.getSubscriptionType() };
  const selections = selectionsOf(schema, operation.selectionSet, typeOf[operation.operation]!.name);
  const argumentDefinitions = (operation.variableDefinitions ?? []).map(({ variable }) => ({
    kind: 'LocalArgument',
    name: variable.name.value,
    defaultValue: null,
  }));
  const common = { name, argumentDefinitions, selections };

  return {
    kind: 'Request',
    fragment: { ...common, kind: 'Fragment', metadata: null, type: typeOf[operation.operation]!.name, abstractKey: null },
    operation: { ...common, kind: 'Operation' },
    params: { id: null, cacheID: text, metadata: {}, name, operationKind: operation.operation, text },
  } as unknown as ConcreteRequest;
}

function selectionsOf(schema: GraphQLSchema, set: SelectionSetNode, typeName: string): NormalizationSelection[] {
  return set.selections.map((one) => {
    if (one.kind === Kind.INLINE_FRAGMENT) {
      const type = one.typeCondition!.name.value;
      return { kind: 'InlineFragment', type, abstractKey: null, selections: selectionsOf(schema, one.selectionSet, type) };
    }
    if (one.kind !== Kind.FIELD) throw new Error('The tests have no such fragments.');
    const name = one.name.value;
    const fields = (schema.getType(typeName) as unknown as { getFields(): Record<string, GraphQLField<unknown, unknown>> }).getFields();
    const type = name === '__typename' ? null : getNullableType(fields[name]!.type);
    const args = (one.arguments ?? []).map(({ name, value }) =>
      value.kind === Kind.VARIABLE
        ? { kind: 'Variable', name: name.value, variableName: value.name.value }
        : { kind: 'Literal', name: name.value, value: valueFromASTUntyped(value) },
    );
    const common = { alias: one.alias?.value ?? null, name, args: args.length > 0 ? args : null, storageKey: null };
    const named = type && getNamedType(type);
    if (!named || isLeafType(named)) return { ...common, kind: 'ScalarField' } as NormalizationSelection;
    const selections = selectionsOf(schema, one.selectionSet!, named.name);

    return {
      ...common,
      kind: 'LinkedField',
      plural: isListType(type),
      concreteType: isObjectType(named) ? named.name : null,
      selections,
    } as NormalizationSelection;
  });
}
