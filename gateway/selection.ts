/** Which fields are selected below a field: what nobody asked for need not be read. */
import { Kind, type FieldNode, type FragmentDefinitionNode, type GraphQLResolveInfo, type SelectionSetNode } from 'graphql';

type Fragments = Record<string, FragmentDefinitionNode>;
/** By its name, each selection of a field. */
type Selected = ReadonlyMap<string, readonly FieldNode[]>;

// Documents are cached by the server, so their nodes come again. Directives like @skip are not looked at: too much is harmless.
const cache = new WeakMap<SelectionSetNode, Selected>();

const setsBelow = (nodes: readonly FieldNode[]) => nodes.flatMap((node) => node.selectionSet ?? []);

// Of all items of a list they are the same.
const namesBelow = new WeakMap<readonly FieldNode[], ReadonlySet<string>>();

/** The names of the fields that are selected directly below this one, through fragments too. The same set for the same field. */
export function selectedFields({ fieldNodes, fragments }: GraphQLResolveInfo): ReadonlySet<string> {
  const known = namesBelow.get(fieldNodes);
  if (known) return known;
  const names = namesIn(setsBelow(fieldNodes), fragments);
  namesBelow.set(fieldNodes, names);

  return names;
}

/** The selections of a field directly below this one, through fragments too. */
export function selectionsOf(info: GraphQLResolveInfo, name: string): readonly FieldNode[] {
  return setsBelow(info.fieldNodes).flatMap((set) => fieldsOf(set, info.fragments).get(name) ?? []);
}

const namesAt = new WeakMap<readonly FieldNode[], Map<string, ReadonlySet<string> | null>>();

/**
 * The names of the fields that are selected at the end of any of these paths below this field (`edges.node`, say), all
 * together; null when none of the paths is selected. The same set for the same field.
 */
export function selectedAt({ fieldNodes, fragments }: GraphQLResolveInfo, ...paths: string[]): ReadonlySet<string> | null {
  const known = namesAt.get(fieldNodes) ?? new Map<string, ReadonlySet<string> | null>();
  if (known.size === 0) namesAt.set(fieldNodes, known);
  const asked = paths.join();
  let names = known.get(asked);
  if (names !== undefined) return names;
  const ends = paths.flatMap((path) =>
    path
      .split('.')
      .reduce((sets, name) => setsBelow(sets.flatMap((set) => fieldsOf(set, fragments).get(name) ?? [])), setsBelow(fieldNodes)),
  );
  names = ends.length > 0 ? namesIn(ends, fragments) : null;
  known.set(asked, names);

  return names;
}

function namesIn(sets: SelectionSetNode[], fragments: Fragments): ReadonlySet<string> {
  return new Set(sets.flatMap((set) => [...fieldsOf(set, fragments).keys()]));
}

function fieldsOf(set: SelectionSetNode, fragments: Fragments): Selected {
  const known = cache.get(set);
  if (known) return known;
  const fields = new Map<string, FieldNode[]>();
  const add = (name: string, nodes: readonly FieldNode[]) => fields.set(name, [...(fields.get(name) ?? []), ...nodes]);
  for (const selection of set.selections) {
    if (selection.kind === Kind.FIELD) {
      add(selection.name.value, [selection]);
      continue;
    }
    const inner = selection.kind === Kind.INLINE_FRAGMENT ? selection : fragments[selection.name.value];
    if (inner) for (const [name, nodes] of fieldsOf(inner.selectionSet, fragments)) add(name, nodes);
  }
  cache.set(set, fields);

  return fields;
}
