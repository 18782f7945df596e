/** Which fields are selected below a field: what nobody asked for need not be read. */
import { Kind, type FragmentDefinitionNode, type GraphQLResolveInfo, type SelectionSetNode } from 'graphql';

type Fragments = Record<string, FragmentDefinitionNode>;
/** By the name of a field, the selections below it: several, where it is selected several times. */
type Selected = ReadonlyMap<string, readonly SelectionSetNode[]>;

// Documents are cached by the server, so their nodes come again. Directives like @skip are not looked at: too much is harmless.
const cache = new WeakMap<SelectionSetNode, Selected>();

const ownSelections = (info: GraphQLResolveInfo) => info.fieldNodes.flatMap((node) => node.selectionSet ?? []);

/** The names of the fields that are selected directly below this one, through fragments too. */
export function selectedFields(info: GraphQLResolveInfo): ReadonlySet<string> {
  return namesIn(ownSelections(info), info.fragments);
}

/**
 * The names of the fields that are selected at the end of any of these paths below this field (`['edges', 'node']`, say), all
 * together; null when none of the paths is selected.
 */
export function selectedAt(info: GraphQLResolveInfo, ...paths: string[][]): ReadonlySet<string> | null {
  const ends = paths.flatMap((path) =>
    path.reduce((sets, name) => sets.flatMap((set) => fieldsOf(set, info.fragments).get(name) ?? []), ownSelections(info)),
  );

  return ends.length > 0 ? namesIn(ends, info.fragments) : null;
}

function namesIn(sets: SelectionSetNode[], fragments: Fragments): ReadonlySet<string> {
  return new Set(sets.flatMap((set) => [...fieldsOf(set, fragments).keys()]));
}

function fieldsOf(set: SelectionSetNode, fragments: Fragments): Selected {
  const known = cache.get(set);
  if (known) return known;
  const fields = new Map<string, SelectionSetNode[]>();
  const add = (name: string, below: readonly SelectionSetNode[]) => fields.set(name, [...(fields.get(name) ?? []), ...below]);
  for (const selection of set.selections) {
    if (selection.kind === Kind.FIELD) {
      add(selection.name.value, selection.selectionSet ? [selection.selectionSet] : []);
      continue;
    }
    const inner = selection.kind === Kind.INLINE_FRAGMENT ? selection : fragments[selection.name.value];
    if (inner) for (const [name, below] of fieldsOf(inner.selectionSet, fragments)) add(name, below);
  }
  cache.set(set, fields);

  return fields;
}
