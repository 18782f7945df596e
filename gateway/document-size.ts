/**
 * How large a document may be before it is parsed, and before graphql-js validates it. Some of graphql-js's rules compare fields pair by pair,
 * or look up a line for each error by reading the text from its beginning; within 2,000 tokens that took up to a second. What is
 * bounded here is what makes them slow, so that any document that comes to them takes a few milliseconds.
 */
import {
  GraphQLError,
  Kind,
  Lexer,
  Source,
  TokenKind,
  type DirectiveNode,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import { fault } from './errors.js';

/** Limits of a document, before it is even parsed whole. */
export const PARSE_OPTIONS = { maxTokens: 2_000 };
/** As many errors as graphql-js describes of a document. */
export const VALIDATION_OPTIONS = { maxErrors: 20 };
/** UTF-16 code units of a document. */
const MAX_CHARACTERS = 100_000;
/** A comment takes a line, and more memory than a token has. */
const MAX_LINES = 2_000;
/** Brackets within each other: the parser, and most of what walks through documents, is recursive. */
const MAX_LEVELS = 100;

/** Operations and fragments. */
const MAX_DEFINITIONS = 150;
const MAX_ALIASES = 100;
const MAX_DIRECTIVES = 150;
/** On one field, say. */
const MAX_DIRECTIVES_AT_ONCE = 8;
/** Fields that stand where one of the same name in the answer stands already: the rules compare each with each. */
const MAX_REPEATED = 200;
/** Of these, such as have fields themselves, also in fragments that are spread at the same place. */
const MAX_REPEATED_OBJECTS = 50;
/** Fields within each other, through fragments. */
const MAX_DEPTH = 50;
/** Fields and fragments of an operation, each fragment counted where it is spread. */
const MAX_SELECTIONS = 10_000;

/** Measured: a token with the nodes that are made of it, at the most; a comment. */
const TOKEN_BYTES = 500;
const LINE_BYTES = 110;
/** Of the text; of a string that has an escape is kept, besides, what is before the escape, and what it means. */
const CHARACTER_BYTES = 2;
const ESCAPE_BYTES = 100;

/** What is wrong with a text, whatever else it may be; null for what can be parsed. */
export function faultInText(text: string): GraphQLError | null {
  if (text.length > MAX_CHARACTERS) return notParsed(`A document has at most ${MAX_CHARACTERS} characters.`);
  if (linesIn(text) > MAX_LINES) return notParsed(`A document has at most ${MAX_LINES} lines.`);
  if (isNestedTooDeeply(text)) return notParsed(`A document has at most ${MAX_LEVELS} brackets within each other.`);

  return null;
}

const notParsed = (message: string) => new GraphQLError(message, { extensions: { code: 'GRAPHQL_PARSE_FAILED' } });

/** How much memory a document keeps, with its text. */
export function bytesOf(document: DocumentNode): number {
  const text = document.loc?.source.body ?? '';

  const ofTokens = TOKEN_BYTES * (document.tokenCount ?? PARSE_OPTIONS.maxTokens);

  return ofTokens + CHARACTER_BYTES * text.length + ESCAPE_BYTES * escapesIn(text) + LINE_BYTES * linesIn(text);
}

function escapesIn(text: string): number {
  let escapes = 0;
  for (let at = text.indexOf('\\'); at >= 0; at = text.indexOf('\\', at + 1)) escapes += 1;

  return escapes;
}

/** A line ends as graphql-js ends it. */
function linesIn(text: string): number {
  let lines = 1;
  for (const end of ['\n', '\r'])
    for (let at = text.indexOf(end); at >= 0 && lines <= MAX_LINES; at = text.indexOf(end, at + 1)) lines += 1;

  return lines;
}

/** Looks at no more tokens than are parsed, and at none when there are few brackets, which is nearly always so. */
function isNestedTooDeeply(query: string): boolean {
  if ((query.match(/[{([]/g)?.length ?? 0) <= MAX_LEVELS) return false;
  const lexer = new Lexer(new Source(query));
  let level = 0;
  try {
    for (let i = 0; i < PARSE_OPTIONS.maxTokens && level <= MAX_LEVELS; i++) {
      const { kind } = lexer.advance();
      if (kind === TokenKind.EOF) break;
      if (kind === TokenKind.BRACE_L || kind === TokenKind.PAREN_L || kind === TokenKind.BRACKET_L) level += 1;
      if (kind === TokenKind.BRACE_R || kind === TokenKind.PAREN_R || kind === TokenKind.BRACKET_R) level -= 1;
    }
  } catch (error) {
    // No token: the parser says so.
    if (!(error instanceof GraphQLError)) throw error;
  }

  return level > MAX_LEVELS;
}

/** What is found of a document without its schema. */
export interface Shape {
  fault: GraphQLError | null;
  /** Fragments spread themselves. */
  isCyclic: boolean;
}

export function shapeOf(document: DocumentNode): Shape {
  const shape = new Counting(document);
  const [what, count, most] = shape.counts().find(([, count, most]) => count > most) ?? [];

  return {
    fault: what === undefined ? null : fault('BAD_USER_INPUT', `This document has ${count} ${what}, and ${most} is the most.`),
    isCyclic: shape.isCyclic,
  };
}

interface Extent {
  depth: number;
  selections: number;
  /** Names in the answer of its fields that have fields themselves. */
  objects: ReadonlySet<string>;
}
const NO_EXTENT: Extent = { depth: 0, selections: 0, objects: new Set() };
const ONE_FIELD: Extent = { ...NO_EXTENT, depth: 1 };
/** The fields that stand at one place: those of inline fragments stand with those around them. */
interface Place {
  names: Set<string>;
  objects: Set<string>;
}

/** Looks at each selection once: fragments are measured once, however often they are spread. */
class Counting {
  isCyclic = false;
  private aliases = 0;
  private directives = 0;
  private directivesAtOnce = 0;
  private repeated = 0;
  private repeatedObjects = 0;
  private readonly definitions: number;
  private readonly largest = { depth: 0, selections: 0 };
  private readonly fragments = new Map<string, FragmentDefinitionNode>();
  /** Null while they are being measured. */
  private readonly extents = new Map<FragmentDefinitionNode, Extent | null>();

  constructor({ definitions }: DocumentNode) {
    this.definitions = definitions.length;
    for (const one of definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) this.fragments.set(one.name.value, one);
    for (const one of definitions) {
      if (one.kind === Kind.OPERATION_DEFINITION) {
        this.look(one.directives);
        for (const variable of one.variableDefinitions ?? []) this.look(variable.directives);
        this.grow(this.ofSet(one.selectionSet));
      } else if (one.kind === Kind.FRAGMENT_DEFINITION) {
        // Also one that nobody spreads, which is validated too.
        this.grow(this.ofFragment(one));
      }
    }
  }

  counts(): (readonly [what: string, count: number, most: number])[] {
    return [
      ['operations and fragments', this.definitions, MAX_DEFINITIONS],
      ['aliases', this.aliases, MAX_ALIASES],
      ['directives', this.directives, MAX_DIRECTIVES],
      ['directives at one place', this.directivesAtOnce, MAX_DIRECTIVES_AT_ONCE],
      ['fields that are repeated', this.repeated, MAX_REPEATED],
      ['fields that are repeated, and have fields', this.repeatedObjects, MAX_REPEATED_OBJECTS],
      ['fields within each other', this.largest.depth, MAX_DEPTH],
      ['fields with its fragments', this.largest.selections, MAX_SELECTIONS],
    ];
  }

  private grow({ depth, selections }: Extent): void {
    this.largest.depth = Math.max(this.largest.depth, depth);
    this.largest.selections = Math.max(this.largest.selections, selections);
  }

  private look(directives: readonly DirectiveNode[] = []): void {
    this.directives += directives.length;
    this.directivesAtOnce = Math.max(this.directivesAtOnce, directives.length);
  }

  private ofFragment(fragment: FragmentDefinitionNode): Extent {
    const known = this.extents.get(fragment);
    if (known) return known;
    if (known === null) {
      this.isCyclic = true;
      return NO_EXTENT;
    }
    this.extents.set(fragment, null);
    this.look(fragment.directives);
    const extent = this.ofSet(fragment.selectionSet);
    this.extents.set(fragment, extent);

    return extent;
  }

  private ofSet({ selections }: SelectionSetNode, place: Place = { names: new Set(), objects: new Set() }): Extent {
    const all = { depth: 0, selections: 0, objects: place.objects };
    for (const selection of selections) {
      this.look(selection.directives);
      let extent: Extent;
      if (selection.kind === Kind.FIELD) {
        extent = this.ofField(selection, place);
      } else if (selection.kind === Kind.INLINE_FRAGMENT) {
        extent = this.ofSet(selection.selectionSet, place);
      } else {
        const fragment = this.fragments.get(selection.name.value);
        extent = fragment ? this.ofFragment(fragment) : NO_EXTENT;
        for (const key of extent.objects) this.place(key, place);
      }
      all.depth = Math.max(all.depth, extent.depth);
      all.selections += 1 + extent.selections;
    }

    return all;
  }

  private ofField({ alias, name, selectionSet }: FieldNode, place: Place): Extent {
    const key = (alias ?? name).value;
    if (alias) this.aliases += 1;
    if (place.names.has(key)) this.repeated += 1;
    place.names.add(key);
    if (!selectionSet) return ONE_FIELD;
    this.place(key, place);
    const { depth, selections } = this.ofSet(selectionSet);

    return { ...ONE_FIELD, depth: 1 + depth, selections };
  }

  private place(key: string, { objects }: Place): void {
    if (objects.has(key)) this.repeatedObjects += 1;
    objects.add(key);
  }
}
