/** A plan must answer as graphql-js does, each time that it is used. tests/execution does the same with random documents. */
import { describe, expect, it } from '@jest/globals';
import {
  execute,
  getOperationAST,
  GraphQLInputObjectType,
  GraphQLInt,
  GraphQLList,
  GraphQLNonNull,
  GraphQLObjectType,
  GraphQLSchema,
  GraphQLString,
  parse,
  validate,
  type ExecutionResult,
} from 'graphql';
import { AnswerSize } from './answer-size.js';
import type { Context } from './context.js';
import { fault } from './errors.js';
import { Executor } from './executor.js';

const context = {} as Context;
const bounded = (bytes: number) => ({ answerSize: new AnswerSize(bytes) }) as Context;

const Thing: GraphQLObjectType = new GraphQLObjectType({
  name: 'Thing',
  fields: () => ({
    name: { type: GraphQLString },
    never: { type: new GraphQLNonNull(GraphQLString), resolve: () => null },
    refused: { type: GraphQLString, resolve: () => Promise.reject(fault('NOT_CAUGHT_UP', 'Later.', { shard: 'a.1:0' })) },
    broken: {
      type: GraphQLString,
      resolve: () => {
        throw new TypeError('a bug');
      },
    },
    things: { type: new GraphQLList(Thing), resolve: async () => [{ name: 'a' }, { name: 'b' }] },
    /** Its first item rejects later than its second one throws. */
    strict: { type: new GraphQLList(new GraphQLNonNull(Strict)), resolve: () => [{ isLate: true }, {}] },
  }),
});
const Strict = new GraphQLObjectType<{ isLate?: boolean }>({
  name: 'Strict',
  fields: {
    name: {
      type: new GraphQLNonNull(GraphQLString),
      resolve: ({ isLate }) => (isLate ? Promise.reject(new Error('late')) : null),
    },
  },
});
const Input = new GraphQLInputObjectType({
  name: 'Input',
  fields: { name: { type: GraphQLString }, more: { type: new GraphQLList(GraphQLString) } },
});
let counted = 0;
const schema = new GraphQLSchema({
  query: new GraphQLObjectType({
    name: 'Query',
    fields: {
      thing: { type: Thing, args: { n: { type: GraphQLInt } }, resolve: (_, { n }: { n?: number }) => ({ name: `thing ${n}` }) },
      told: { type: GraphQLString, args: { input: { type: Input } }, resolve: (_, args) => JSON.stringify(args) },
    },
  }),
  mutation: new GraphQLObjectType({
    name: 'Mutation',
    fields: {
      count: {
        type: GraphQLInt,
        resolve: async () => {
          const before = counted;
          await Promise.resolve();
          counted = before + 1;

          return before;
        },
      },
    },
  }),
});

interface Case {
  what: string;
  text: string;
  variables?: Record<string, unknown>;
  operationName?: string;
}
const TWO = 'query A { thing { name } } query B { thing(n: 2) { name } }';
const ONE = 'query ($n: Int!) { thing(n: $n) { name } }';
const CASES: Case[] = [
  { what: 'fields', text: 'query ($s: Boolean = true) { a: thing(n: 1) { ...F no: name @skip(if: $s) } } fragment F on Thing { name }' },
  { what: 'variables', text: ONE, variables: { n: 3 } },
  { what: 'variables that are wrong', text: ONE, variables: { n: 'three' } },
  { what: 'variables that are missing', text: ONE },
  { what: 'faults, in lists, where they are', text: '{\n  thing {\r\n    things {\n      name\n      refused\n    }\n  }\n}' },
  { what: 'bugs', text: '{ thing { name broken } }' },
  { what: 'null where it must not be', text: '{ thing { name\n things { never } } }' },
  { what: 'one of several operations', text: TWO, operationName: 'B' },
  { what: 'introspection', text: '{ __schema { types { name fields { name type { name kind } } } } }' },
  { what: 'an operation that is not there', text: TWO, operationName: 'C' },
  { what: 'an absent variable in a literal', text: 'query ($n: String) { told(input: { name: $n }) }' },
  { what: 'a null in a literal', text: 'query ($n: String) { told(input: { name: $n }) }', variables: { n: null } },
  { what: 'an absent variable in a list', text: 'query ($n: String) { told(input: { more: [$n, "a"] }) }' },
  { what: 'a fragment that is skipped first', text: '{ thing { ...F @skip(if: true) ...F } } fragment F on Thing { name }' },
  {
    what: 'a fragment that is left out elsewhere',
    text: '{ a: thing { ...F @include(if: false) } b: thing { ...F } } fragment F on Thing { name }',
  },
  {
    what: 'a fragment that another operation skips',
    text: 'query A { thing { ...F @skip(if: true) } } query B { thing { ...F } } fragment F on Thing { name }',
    operationName: 'B',
  },
  {
    what: 'odd names',
    text: '{ __proto__: thing { then: name constructor: name toString: name } hasOwnProperty: told length: __typename toJSON: told }',
  },
  {
    what: 'a variable with an odd name',
    text: 'query ($__proto__: Int) { thing(n: $__proto__) { name } }',
    variables: JSON.parse('{"__proto__":4}') as Case['variables'],
  },
  { what: 'a variable with an odd name that is absent', text: 'query ($constructor: Int) { thing(n: $constructor) { name } }' },
  {
    what: 'a fragment with an odd name',
    text: '{ thing { ...__proto__ ...toString } } fragment __proto__ on Thing { name } fragment toString on Thing { again: name }',
  },
  { what: 'a switch that is null', text: 'query ($s: Boolean = true) { thing { name @skip(if: $s) } }', variables: { s: null } },
  { what: 'errors at once and later, in order', text: '{ thing { refused broken things { refused broken } } }' },
];

/** As it would be sent, with what the gateway looks at besides. */
const sent = ({ data, errors }: ExecutionResult) =>
  JSON.stringify({
    errors: errors?.map(({ message, locations, path, extensions, originalError, nodes }) => ({
      ...{ message, locations, path, extensions },
      bug: originalError?.constructor.name,
      kinds: nodes?.map(({ kind }) => kind),
    })),
    data,
  });

describe('an operation that comes again', () => {
  it.each(CASES)('answers as graphql-js does: $what', async ({ text, variables, operationName }) => {
    const executor = new Executor(schema);
    const document = parse(text);
    expect(validate(schema, document)).toEqual([]);
    const expected = sent(await execute({ schema, document, operationName, variableValues: variables, contextValue: context }));
    const operation = getOperationAST(document, operationName) ?? undefined;
    for (let i = 0; i < 4; i++)
      expect(sent(await executor.execute({ document, operation, operationName, variables, context }))).toBe(expected);
  });

  it('leaves no promise behind that ends the process when it rejects', async () => {
    const document = parse('{ thing { strict { name } } }');
    const operation = getOperationAST(document) ?? undefined;
    const { data, errors } = await new Executor(schema).execute({ document, operation, operationName: null, variables: {}, context });
    await new Promise(setImmediate);
    expect(JSON.stringify(data)).toBe('{"thing":{"strict":null}}');
    expect(errors?.map(({ path }) => path)).toEqual([['thing', 'strict', 1, 'name']]);
  });

  it('has the fields that its variables say, each time', async () => {
    const executor = new Executor(schema);
    const document = parse(
      'query ($a: Boolean = false, $b: Boolean!) { thing { ...F @skip(if: $a) things { ...F @include(if: $b) } } } fragment F on Thing { name }',
    );
    const operation = getOperationAST(document) ?? undefined;
    for (const a of [undefined, true, false, undefined, null, true]) {
      for (const b of [true, false]) {
        const variables = a === undefined ? { b } : { a, b };
        const expected = sent(await execute({ schema, document, variableValues: variables }));
        expect(sent(await executor.execute({ document, operation, operationName: null, variables, context }))).toBe(expected);
      }
    }
  });

  it('runs mutations one after another', async () => {
    const executor = new Executor(schema);
    const document = parse('mutation { a: count b: count c: count }');
    const operation = getOperationAST(document) ?? undefined;
    for (let i = 0; i < 4; i++) {
      const from = counted;
      const { data } = await executor.execute({ document, operation, operationName: null, variables: {}, context });
      expect({ ...data }).toEqual({ a: from, b: from + 1, c: from + 2 });
    }
  });
});

describe('an answer that becomes too large', () => {
  const executor = new Executor(schema);
  const run = (text: string, of: Context) => {
    const document = parse(text);
    expect(validate(schema, document)).toEqual([]);

    return executor.execute({ document, operation: getOperationAST(document)!, operationName: null, variables: {}, context: of });
  };
  const codes = ({ errors = [] }: ExecutionResult) => errors.map(({ extensions }) => extensions.code);

  it('ends the whole operation, with nothing of what was made', async () => {
    const text = '{ a: thing { name things { name } } b: thing { refused } told }';
    expect(codes(await run(text, bounded(1_000)))).toEqual(['NOT_CAUGHT_UP']);
    const ended = await run(text, bounded(60));
    expect(ended.data).toBeNull();
    expect(codes(ended)).toEqual(['ANSWER_TOO_LARGE']);
  });

  it('is counted for all operations of a request', async () => {
    const request = bounded(200);
    expect((await run('{ thing { name } }', request)).errors).toBeUndefined();
    const text = `{ ${Array.from({ length: 5 }, (_, i) => `a${i}: thing { name }`).join(' ')} }`;
    expect(codes(await run(text, request))).toEqual(['ANSWER_TOO_LARGE']);
    expect(codes(await run('{ thing { name } }', request))).toEqual(['ANSWER_TOO_LARGE']);
  });

  it('calls no mutation any more, and says which were begun', async () => {
    const from = counted;
    const names = Array.from({ length: 20 }, (_, i) => `count${i}`);
    const { data, errors } = await run(`mutation { ${names.map((name) => `${name}: count`).join(' ')} }`, bounded(20 * 10 + 50));
    const { begun, notBegun } = errors![0]!.extensions.mutations as { begun: string[]; notBegun: string[] };
    expect(data).toBeNull();
    expect([...begun, ...notBegun]).toEqual(names);
    expect(begun.length).toBe(counted - from);
    expect(notBegun.length).toBeGreaterThan(0);
  });

  it('counts its errors too', async () => {
    const text = `{ ${Array.from({ length: 90 }, (_, i) => `a${i}: thing { broken }`).join(' ')} }`;
    expect(codes(await run(text, bounded(10_000)))).toEqual(['ANSWER_TOO_LARGE']);
  });

  it('has no more errors than are told, and says that there are more', async () => {
    const times = (field: string, n: number) => `{ ${Array.from({ length: n }, (_, i) => `a${i}: thing { ${field} }`).join(' ')} }`;
    expect((await run(times('broken', 100), context)).errors).toHaveLength(100);
    const bugs = await run(times('broken', 500), context);
    expect(bugs.errors).toHaveLength(101);
    expect(Object.keys(bugs.data!)).toHaveLength(500);
    expect(bugs.errors!.at(-1)!.extensions.code).toBe('INTERNAL_SERVER_ERROR');
    // Who tries again because of them all tries again because of this one too.
    const late = await run(times('refused', 500), context);
    expect(late.errors!.at(-1)!.extensions).toEqual({ code: 'NOT_CAUGHT_UP', retryable: true });
    const never = await run(times('things { never }', 300), context);
    expect(never.errors).toHaveLength(101);
    expect(JSON.stringify(never.data)).toContain('"a299":{"things":[null,null]}');
  });
});
