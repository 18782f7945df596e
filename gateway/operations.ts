/**
 * Checks operations before they are executed, and keeps their documents: every transport, Apollo Server too, executes the document that was
 * parsed and validated here, once.
 */
import { createHash } from 'node:crypto';
import {
  getOperationAST,
  GraphQLError,
  Kind,
  NoFragmentCyclesRule,
  OperationTypeNode,
  parse,
  specifiedRules,
  validate,
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  type SelectionSetNode,
  type ValidationRule,
} from 'graphql';
import { LRUCache } from 'lru-cache';
import { costOf, costOfAll, type Cost } from './complexity.js';
import { bytesOf, faultInText, PARSE_OPTIONS, shapeOf, VALIDATION_OPTIONS } from './document-size.js';
import { cutMessage, fault } from './errors.js';
import { noIntrospection, withoutSuggestions } from './introspection.js';
import { HeavyWork } from './heavy-work.js';
import { siteOf, type ClientAddress } from './origins.js';
import { variablesOf } from './variables.js';

/** Memory of valid documents that are kept parsed: many clients ask the same. Of those that are asked for from one address alone. */
const MAX_NEW_DOCUMENT_BYTES = 6 * 1024 * 1024;
/** Of all others. */
const MAX_SHARED_DOCUMENT_BYTES = 18 * 1024 * 1024;
/** Requests whose documents wait to be checked, each of its own kind. */
const MAX_UNCHECKED = 1_000;
/** Of all documents of a request; each has its own bound too. */
const MAX_TOKENS_TOGETHER = 6_000;

export interface OperationRequest {
  query: string;
  operationName?: string | null | undefined;
  variables?: Record<string, unknown> | null | undefined;
}

/** A document, with the SHA-256 of its text in hex; or what is wrong with it. */
type Checked = { tokens: number } & (
  | { document: DocumentNode; hash: string; errors: null }
  /** `isHarm` if it is too large, or would overflow the stack, and is answered as the whole request's fault. */
  | { document: null; errors: GraphQLError[]; isHarm: boolean }
);

/** What was found of the documents of a request, by their texts: each is parsed and validated once. */
export type CheckedDocuments = ReadonlyMap<string, Checked>;

interface Known {
  document: DocumentNode;
  hash: string;
  /** Where it was first asked for. */
  network: string;
}

const boundedBy = (maxSize: number) => new LRUCache<string, Known>({ maxSize, sizeCalculation: ({ document }) => bytesOf(document) });

export class Operations {
  /** A document comes here first, and from here to the shared ones: so one client's many documents displace nobody else's. */
  private readonly fresh = boundedBy(MAX_NEW_DOCUMENT_BYTES);
  private readonly shared = boundedBy(MAX_SHARED_DOCUMENT_BYTES);
  /** Texts of manifests. */
  private readonly trusted = new Set<string>();
  /** By hash, what is being executed, and by how many requests. */
  private readonly held = new Map<string, { document: DocumentNode; count: number }>();
  private readonly checks = new HeavyWork(MAX_UNCHECKED, (network, ms) => this.onBusy(network, ms));
  /** The texts that wait for their turn to be checked. */
  private readonly checking = new Map<string, Promise<void>>();

  private readonly rules: readonly ValidationRule[];

  /** Called when a valid document was not known, and had to be checked. */
  onNew: (address: ClientAddress, characters: number) => void = () => undefined;

  /** Called when documents of a client at this address have kept the process busy, beside its turns. */
  onBusy: (network: string, ms: number) => void = () => undefined;

  /** @param introspection whether operations may ask for the schema, and errors may suggest what is in it */
  constructor(
    private readonly schema: GraphQLSchema,
    private readonly introspection = true,
  ) {
    this.rules = introspection ? specifiedRules : [...specifiedRules, noIntrospection];
  }

  /** Estimated, of all documents that are kept. */
  get bytes(): number {
    return this.fresh.calculatedSize + this.shared.calculatedSize;
  }

  /** A document that is held. @param hash SHA-256 of its text, in hex */
  withHash(hash: string): DocumentNode | undefined {
    return this.held.get(hash)?.document;
  }

  /** Valid documents stay until the request is over, whatever else is asked for meanwhile. @returns what to call then */
  hold(documents: CheckedDocuments): () => void {
    const hashes: string[] = [];
    for (const checked of documents.values()) {
      if (checked.errors !== null) continue;
      const held = this.held.get(checked.hash);
      if (held) held.count += 1;
      else this.held.set(checked.hash, { document: checked.document, count: 1 });
      hashes.push(checked.hash);
    }

    return () => {
      for (const hash of hashes.splice(0)) {
        const held = this.held.get(hash)!;
        held.count -= 1;
        if (held.count === 0) this.held.delete(hash);
      }
    };
  }

  /**
   * What there is to say of the documents of a request, each of which is looked at once; or what is wrong with the whole request: a document that
   * is too large, or on which graphql-js would throw, or take long, in place of saying what is wrong. It overflows the stack when a document is
   * nested too deeply, and when fragments spread themselves (by the rule that fields of one name must agree); the rule that a subscription has
   * one field throws what is wrong with a directive of that field.
   */
  checkAll(queries: readonly string[], address: ClientAddress): CheckedDocuments | GraphQLError[] {
    const documents = new Map<string, Checked>();
    let tokens = 0;
    for (const query of new Set(queries)) {
      const checked = this.read(query, address);
      if (checked.errors && checked.isHarm) return checked.errors;
      documents.set(query, checked);
      tokens += checked.tokens;
      if (tokens > MAX_TOKENS_TOGETHER)
        return [fault('BAD_USER_INPUT', `All documents of a request have at most ${MAX_TOKENS_TOGETHER} tokens together.`)];
    }

    return documents;
  }

  /** What all operations of a request cost together, which is bounded as what one may. Those that cannot be executed say so themselves. */
  costOfAll(requests: readonly Partial<OperationRequest>[], documents: CheckedDocuments): Cost | GraphQLError {
    return costOfAll(
      requests.flatMap(({ query, operationName, variables }): Cost[] => {
        const document = typeof query === 'string' ? documents.get(query)?.document : null;
        const cost = document && costOf(this.schema, document, nameOf(operationName), variables ?? {});

        return !cost || cost instanceof GraphQLError ? [] : [cost];
      }),
    );
  }

  /**
   * Runs `check`, which calls what is here for these documents, when it is their turn: to check one that is not known takes a few milliseconds, so
   * these are checked one after another. @throws OVERLOADED
   */
  async inTurn<Result>(queries: readonly string[], address: string, check: () => Result): Promise<Result> {
    const areKnown = () => queries.every((query) => this.isKnown(query));
    if (areKnown()) return check();
    const text = queries.join('\n');
    // Many clients that come at once, with the same, wait for one of them.
    await this.checking.get(text);
    if (areKnown()) return check();
    const checked = Promise.withResolvers<void>();
    this.checking.set(text, checked.promise);
    try {
      const end = await this.checks.turn(address);
      try {
        return check();
      } finally {
        end();
      }
    } finally {
      if (this.checking.get(text) === checked.promise) this.checking.delete(text);
      checked.resolve();
    }
  }

  /** The document, or what is wrong with it: told to this operation, while others of the same connection go on. */
  check({ query, operationName: name, variables }: OperationRequest, address: ClientAddress): DocumentNode | GraphQLError[] {
    const { schema } = this;
    const { document, errors } = this.read(query, address);
    if (errors) return errors;
    const operationName = nameOf(name);
    const operation = getOperationAST(document, operationName);
    if (!operation) return [new GraphQLError('Which operation is meant?', { extensions: { code: 'OPERATION_RESOLUTION_FAILURE' } })];
    const wrong = variablesOf(schema, operation, variables).errors ?? [];
    if (wrong.length > 0) return wrong.map(this.told('BAD_USER_INPUT'));
    const cost = costOf(schema, document, operationName, variables ?? {});

    return cost instanceof GraphQLError ? [cost] : document;
  }

  /** Was this document checked before, and is it remembered? */
  isKnown(query: string): boolean {
    return this.shared.has(query) || this.fresh.has(query);
  }

  /** What is wrong with a document of a manifest, whatever its variables are. It is kept as one for which many clients ask. */
  faultsOf(query: string): readonly GraphQLError[] {
    this.trusted.add(query);

    return this.read(query, null).errors ?? [];
  }

  /**
   * Query, mutation or subscription, as far as it can be told without checking more; null if it cannot. A document that is not known is parsed
   * when it is its turn. @throws OVERLOADED
   */
  async kindOf(query: unknown, operationName: unknown, { network }: ClientAddress): Promise<OperationTypeNode | null> {
    if (typeof query !== 'string') return null;
    // GraphQL has no other way to write the two words, and most queries have neither of them.
    if (!/mutation|subscription/.test(query)) return OperationTypeNode.QUERY;

    return this.inTurn([query], network, () => {
      const document = (this.shared.peek(query) ?? this.fresh.peek(query))?.document ?? (faultInText(query) ? null : parsed(query));
      if (document === null || document instanceof GraphQLError) return null;

      return getOperationAST(document, typeof operationName === 'string' ? nameOf(operationName) : null)?.operation ?? null;
    });
  }

  private known(query: string, network: string | null): Known | undefined {
    const shared = this.shared.get(query);
    if (shared) return shared;
    const known = this.fresh.get(query);
    if (!known) return undefined;
    // One address alone may use what is left of the others' memory.
    const hasRoom = this.shared.calculatedSize + bytesOf(known.document) <= MAX_SHARED_DOCUMENT_BYTES;
    if (known.network !== network || hasRoom) {
      this.fresh.delete(query);
      this.shared.set(query, known);
    }

    return known;
  }

  /** @param address null for who runs the gateway */
  private read(query: string, address: ClientAddress | null): Checked {
    const network = address ? siteOf(address.network) : '';
    const known = this.known(query, network);
    if (known) return { document: known.document, hash: known.hash, errors: null, tokens: known.document.tokenCount ?? 0 };
    const tooLong = faultInText(query);
    if (tooLong) return { document: null, errors: [tooLong], isHarm: true, tokens: 0 };
    const document = parsed(query);
    if (document instanceof GraphQLError)
      return { document: null, errors: [this.told('GRAPHQL_PARSE_FAILED')(document)], isHarm: false, tokens: PARSE_OPTIONS.maxTokens };
    const tokens = document.tokenCount ?? 0;
    const { isCyclic, fault: tooLarge } = shapeOf(document);
    const harm = [
      ...(isCyclic ? validate(this.schema, document, [NoFragmentCyclesRule], VALIDATION_OPTIONS) : []),
      ...rootDirectives(document),
    ].map(this.told('GRAPHQL_VALIDATION_FAILED'));
    if (harm.length > 0) return { document: null, errors: harm, isHarm: true, tokens };
    if (tooLarge) return { document: null, errors: [tooLarge], isHarm: true, tokens };
    const invalid = validate(this.schema, document, this.rules, VALIDATION_OPTIONS);
    if (invalid.length > 0) {
      const errors = invalid.map(this.told('GRAPHQL_VALIDATION_FAILED'));
      return { document: null, errors, isHarm: false, tokens };
    }
    const hash = createHash('sha256').update(query).digest('hex');
    (this.trusted.has(query) ? this.shared : this.fresh).set(query, { document, hash, network });
    if (address) this.onNew(address, query.length);

    return { document, hash, errors: null, tokens };
  }

  private told(code: string): (error: GraphQLError) => GraphQLError {
    return ({ message, nodes, source, positions }) =>
      new GraphQLError(cutMessage(this.introspection ? message : withoutSuggestions(message)), {
        nodes,
        source,
        positions,
        extensions: { code },
      });
  }
}

/** An empty name is as none: clients send it for a document with one operation. */
export const nameOf = (operationName: string | null | undefined): string | null => operationName || null;

function parsed(query: string): DocumentNode | GraphQLError {
  try {
    return parse(query, PARSE_OPTIONS);
  } catch (error) {
    if (error instanceof GraphQLError) return error;
    throw error;
  }
}

/** The specification forbids them there: which field is subscribed to would be up to a variable. graphql-js does not check it. */
function rootDirectives(document: DocumentNode): GraphQLError[] {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const one of document.definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) fragments.set(one.name.value, one);
  const wrong: GraphQLError[] = [];
  const seen = new Set<SelectionSetNode>();
  const look = (set: SelectionSetNode) => {
    if (seen.has(set)) return;
    seen.add(set);
    for (const selection of set.selections) {
      const nodes = selection.directives?.filter(({ name }) => name.value === 'skip' || name.value === 'include') ?? [];
      if (nodes.length > 0) wrong.push(new GraphQLError('@skip and @include do not go with the field of a subscription.', { nodes }));
      if (selection.kind === Kind.INLINE_FRAGMENT) look(selection.selectionSet);
      if (selection.kind === Kind.FRAGMENT_SPREAD && fragments.has(selection.name.value))
        look(fragments.get(selection.name.value)!.selectionSet);
    }
  };
  for (const one of document.definitions) {
    if (one.kind === Kind.OPERATION_DEFINITION && one.operation === OperationTypeNode.SUBSCRIPTION) look(one.selectionSet);
  }

  return wrong;
}
