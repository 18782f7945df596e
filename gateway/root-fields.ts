/** The fields of an operation's own, with which its mutations begin: for what is bounded for each of them. */
import {
  getDirectiveValues,
  getOperationAST,
  GraphQLError,
  GraphQLIncludeDirective,
  GraphQLSkipDirective,
  Kind,
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLDirective,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import { fault } from './errors.js';

/** A password is hashed for each of them, and passwords are guessed by them. */
const SIGN_INS: ReadonlySet<string> = new Set(['logIn', 'signUp']);
const MAX_SIGN_INS = 1;

/**
 * The names of the fields that are executed, each as often as it has another name in the answer: those that share one are one field. Of a
 * valid document.
 * @param variables as they were given
 */
export function rootFields(
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Record<string, unknown> | null | undefined,
): string[] {
  const operation = getOperationAST(document, operationName);
  if (!operation) return [];
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const one of document.definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) fragments.set(one.name.value, one);
  const byKey = new Map<string, string>();
  const spread = new Set<string>();
  const defaults = operation.variableDefinitions?.flatMap(({ variable, defaultValue }) =>
    defaultValue?.kind === Kind.BOOLEAN ? [[variable.name.value, defaultValue.value] as const] : [],
  );
  const values = { ...Object.fromEntries(defaults ?? []), ...variables };
  const look = ({ selections }: SelectionSetNode) => {
    for (const selection of selections) {
      if (!isIncluded(selection, values)) continue;
      if (selection.kind === Kind.FIELD) {
        byKey.set(selection.alias?.value ?? selection.name.value, selection.name.value);
      } else if (selection.kind === Kind.INLINE_FRAGMENT) {
        look(selection.selectionSet);
      } else if (!spread.has(selection.name.value)) {
        spread.add(selection.name.value);
        const fragment = fragments.get(selection.name.value);
        if (fragment) look(fragment.selectionSet);
      }
    }
  };
  look(operation.selectionSet);

  return [...byKey.values()];
}

function isIncluded(selection: SelectionNode, variables: Record<string, unknown>): boolean {
  if (!selection.directives?.length) return true;
  const valueOf = (directive: GraphQLDirective): unknown => {
    try {
      return getDirectiveValues(directive, selection, variables)?.if;
    } catch (error) {
      // Whoever executes the operation says what is wrong with it. Until then it counts.
      if (error instanceof GraphQLError) return undefined;
      throw error;
    }
  };

  return valueOf(GraphQLSkipDirective) !== true && valueOf(GraphQLIncludeDirective) !== false;
}

/** Null when the operation may sign in, or does not. @param isBatch did it come with others in one request? */
export function faultOfSignIns(fields: readonly string[], isBatch: boolean): GraphQLError | null {
  const signIns = fields.filter((name) => SIGN_INS.has(name)).length;
  if (signIns <= (isBatch ? 0 : MAX_SIGN_INS)) return null;
  const why = `An operation has at most ${MAX_SIGN_INS} logIn or signUp, and those of a batch have none. Send them one after another.`;

  return fault('BAD_USER_INPUT', why, { http: 400 });
}
