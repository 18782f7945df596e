/** Which fields are selected below a field: what nobody asked for need not be read. */
import { Kind, type FragmentDefinitionNode, type GraphQLResolveInfo, type SelectionSetNode } from 'graphql';

// Documents are cached by the server, so their nodes come again. Directives like @skip are not looked at: too much is harmless.
const cache = new WeakMap<SelectionSetNode, ReadonlySet<string>>();

/** The names of the fields that are selected directly below this one, through fragments too. */
export function selectedFields(info: GraphQLResolveInfo): ReadonlySet<string> {
  const [only, ...others] = info.fieldNodes.flatMap((node) => node.selectionSet ?? []);
  if (!only) return new Set();
  const first = ofSelection(only, info.fragments);

  return others.reduce((all, set) => new Set([...all, ...ofSelection(set, info.fragments)]), first);
}

function ofSelection(set: SelectionSetNode, fragments: Record<string, FragmentDefinitionNode>): ReadonlySet<string> {
  const known = cache.get(set);
  if (known) return known;
  const names = new Set<string>();
  for (const selection of set.selections) {
    if (selection.kind === Kind.FIELD) {
      names.add(selection.name.value);
      continue;
    }
    const inner = selection.kind === Kind.INLINE_FRAGMENT ? selection : fragments[selection.name.value];
    if (inner) for (const name of ofSelection(inner.selectionSet, fragments)) names.add(name);
  }
  cache.set(set, names);

  return names;
}
