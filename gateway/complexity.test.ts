import { describe, expect, it } from '@jest/globals';
import { GraphQLError, parse, validate } from 'graphql';
import { costOf } from './complexity.js';
import { createSchema } from './schema.js';

const schema = createSchema();

function cost(query: string, variables: Record<string, unknown> = {}, operationName?: string) {
  const document = parse(query);
  const invalid = validate(schema, document);
  if (invalid.length > 0) throw invalid[0]!;

  return costOf(schema, document, operationName, variables);
}
function faultOf(...args: Parameters<typeof cost>): GraphQLError | null {
  const found = cost(...args);

  return found instanceof GraphQLError ? found : null;
}
/** The objects that it could ask for; null when that is not too many. */
const objects = (...args: Parameters<typeof faultOf>) => /for (\d+) objects/.exec(faultOf(...args)?.message ?? '')?.[1] ?? null;

/** 1 viewer, 1 connection, and for each of its 100 authors: itself, 1 connection, and `inner` authors. */
const nested = (inner: string) => `{ viewer { followers(first: 100) { nodes { followers${inner} { nodes { id } } } } } }`;

describe('the work that an operation can ask for', () => {
  it('is bounded by about 10,000 objects', () => {
    expect(objects(nested('(first: 97)'))).toBeNull();
    expect(objects(nested('(first: 98)'))).toBe('10002');
    expect(faultOf(nested('(first: 98)'))?.extensions).toEqual({ code: 'BAD_USER_INPUT', http: { status: 400 } });
  });

  it('counts a page by its size: as given, by a variable, or the usual 20', () => {
    const query = `query ($first: Int, $with: Int = 98) { viewer { followers(first: $first) { nodes { followers(first: $with) { nodes { id } } } } } }`;
    expect(objects(query, { first: 100 })).toBe('10002');
    expect(objects(query, { first: 100, with: 97 })).toBeNull();
    for (const first of [undefined, null]) expect(objects(query, { first, with: 1_000 })).toBe('20042');
    const three = (args: string) => `{ viewer { followers${args} { nodes { followers { nodes { followers { nodes { id } } } } } } } }`;
    expect(objects(three(''))).toBeNull(); // 8,842
    expect(objects(three('(first: 23)'))).toBe('10168');
  });

  it('counts what is there twice twice, and what is selected by a fragment where it is spread', () => {
    const twice = `{ a: viewer { ...F } b: viewer { ...F } } fragment F on Author { followers(first: 71) { nodes { followers(first: 69) { nodes { id } } } } }`;
    expect(objects(twice.replaceAll('71', '70'))).toBeNull();
    expect(objects(twice)).toBe('10086');
  });

  it('counts the most that one of several types can be, and nothing that is skipped', () => {
    const page = (n: number) => `replies(first: ${n}) { nodes { replies(first: 99) { nodes { id } } } }`;
    const union = (n: number) =>
      `{ node(id: "x") { ... on Cheep { ${page(n)} } ... on Author { cheeps(first: 60) { nodes { ${page(1)} } } } } }`;
    expect(objects(union(99))).toBe('10001');
    expect(objects(union(98))).toBeNull();
    expect(
      objects(
        `query ($no: Boolean!) { a: viewer @include(if: $no) { ...F } viewer { ...F @skip(if: true) } } fragment F on Author { cheeps(first: 100) { nodes { ${page(100)} } } }`,
        { no: false },
      ),
    ).toBeNull();
  });

  it('counts what a list of ids can find for each id', () => {
    const query = 'query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Author { followers(first: 100) { nodes { id } } } } }';
    const ids = (n: number) => ({ ids: Array.from({ length: n }, () => 'x') });
    expect(objects(query, ids(98))).toBeNull();
    expect(objects(query, ids(100))).toBe('10201');
    const often = Array.from({ length: 101 }, (_, i) => `a${i}: nodes(ids: $ids) { id }`).join(' ');
    expect(objects(`query ($ids: [ID!]!) { ${often} }`, ids(100))).toBe('10201');
  });

  it('costs nothing for fields without fields, of which the parser bounds the number', () => {
    expect(faultOf(`{ ${Array.from({ length: 900 }, (_, i) => `a${i}: __typename`).join(' ')} }`)).toBeNull();
  });

  it('is that of the operation which is meant', () => {
    const query = `query Small { viewer { id } } query Large ${nested('(first: 100)')}`;
    expect(objects(query, {}, 'Small')).toBeNull();
    expect(objects(query, {}, 'Large')).toBe('10202');
  });

  it('is not counted without end', () => {
    const fragments = Array.from({ length: 30 }, (_, i) => `fragment f${i} on Query { ...f${i + 1} a${i}: viewer { id } ...f${i + 1} }`);
    const start = performance.now();
    const fault = faultOf(`{ ...f0 } ${fragments.join(' ')} fragment f30 on Query { __typename }`);

    expect(fault?.extensions.code).toBe('BAD_USER_INPUT');
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  it('is left to execution to refuse when a variable is not right: it names all of those', () => {
    expect(faultOf('query ($first: Int) { viewer { cheeps(first: $first) { resumeCursor } } }', { first: 'x' })).toBeNull();
    expect(faultOf('query ($id: ID!) { author(id: $id) { id } }')).toBeNull();
  });

  it('is counted for a variable that is right, whatever was asked with one that is not', () => {
    const query = `mutation ($waitFor: WaitFor!) { followAuthor(input: { authorId: "x", waitFor: $waitFor }) { status author ${nested('(first: 100)').replace('{ viewer', '')} }`;
    const document = parse(query);
    expect(validate(schema, document)).toEqual([]);
    expect(costOf(schema, document, null, { waitFor: 'NOTHING' })).toEqual({ objects: 0, values: 0 });
    expect(costOf(schema, document, null, { waitFor: 'COMMITTED' })).toMatchObject({ message: expect.stringMatching(/10203 objects/) });
  });

  it('is told at once when very much is wrong with the variables', () => {
    const start = performance.now();
    expect(faultOf('query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', { ids: Array.from({ length: 120_000 }, () => 0.5) })).toBeNull();
    expect(performance.now() - start).toBeLessThan(3_000);
  });

  it('is counted whether execution refuses a null in it or not, which is left to execution', () => {
    const large = nested('(first: 100)').slice(1);
    expect(faultOf('query ($id: ID = "x") { author(id: $id) { id } viewer { id } }', { id: null })).toBeNull();
    expect(objects(`query ($id: ID = "x") { author(id: $id) { id } ${large}`, { id: null })).toBe('10203');
    expect(objects(`query ($no: Boolean = false) { ... @include(if: $no) { ${large} }`, { no: null })).toBe('10202');
  });
});
